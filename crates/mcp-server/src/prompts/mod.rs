//! Prompts: what a person picks in the client to have a picture made, each filled with what is installed.

mod compare;
mod edit;
mod text;
mod workflow;

use std::sync::Arc;

use mcp_protocol::wire::{Completion, PromptArgument};
use mcp_protocol::{CallContext, ServerBuilder};

use crate::app::App;
use crate::error::ServerError;
use crate::guard::{self, principal};
use crate::models::Kind;

/// What every prompt ends with.
const AFTERWARDS: &str = "If the answer is a job that isn't done, go on with wait_for_job. Then show the picture, tell its \
    uri and seed, and offer one change that could make it better.";

/// Adds all prompts.
pub(crate) fn add_all(server: ServerBuilder, app: &Arc<App>) -> ServerBuilder {
    server
        .prompt(text::TextToImage(Arc::clone(app)))
        .prompt(edit::EditImage(Arc::clone(app)))
        .prompt(compare::CompareModels(Arc::clone(app)))
        .prompt(workflow::UseWorkflow(Arc::clone(app)))
}

fn required(name: &str, description: &str) -> PromptArgument {
    PromptArgument { required: true, ..optional(name, description) }
}

fn optional(name: &str, description: &str) -> PromptArgument {
    PromptArgument { name: name.into(), description: Some(description.into()), ..PromptArgument::default() }
}

/// Installed names of some kinds that fit what is typed; none while ComfyUI can't be reached, or for who may not list
/// them.
async fn installed(
    app: &App,
    cx: &CallContext,
    kinds: &[&str],
    typed: &str,
) -> Result<Completion, ServerError> {
    if !guard::may(&*principal(cx)?, "list_models") {
        return Ok(Completion::default());
    }
    let Ok(installed) = app.pool.installed().await else { return Ok(Completion::default()) };
    let kinds = kinds.iter().filter_map(|kind| Kind::named(kind));
    Ok(Completion::of(kinds.flat_map(|kind| kind.names(&installed.info)), typed))
}

/// The kinds of files that a picture is made with.
const MODELS: [&str; 2] = ["checkpoints", "diffusion_models"];
