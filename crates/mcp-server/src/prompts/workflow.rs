//! `use_workflow`.

use std::sync::Arc;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{Completion, CompletionContext, PromptDescription};
use mcp_protocol::{Arguments, CallContext, Prompt, PromptReply};

use super::{AFTERWARDS, required};
use crate::app::App;
use crate::error::ServerError;
use crate::guard::{self, principal};
use crate::plan;
use crate::resources::workflow_names;
use crate::tools::workflows::facts;

/// A run of a stored workflow.
pub(super) struct UseWorkflow(pub(super) Arc<App>);

#[async_trait]
impl Prompt for UseWorkflow {
    fn description(&self) -> PromptDescription {
        PromptDescription {
            name: "use_workflow".into(),
            title: Some("Use a workflow".into()),
            description: Some("Runs a stored workflow for what you want".into()),
            arguments: vec![required("workflow", "Its name"), required("request", "What it shall do")],
            ..PromptDescription::default()
        }
    }

    async fn get(&self, cx: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let app = &self.0;
        if !guard::may(&*principal(&cx)?, "list_workflows") {
            return Err(ServerError::Forbidden("list_workflows".into()).into());
        }
        let (catalog, name) =
            (app.catalog.current(), arguments.get("workflow").unwrap_or_default().to_owned());
        let installed = app.pool.installed().await.ok();
        let make = move || {
            let info = installed.as_deref().map(|installed| &installed.info);
            Ok::<_, ServerError>(facts(&plan::find(&catalog, info, &name)?, info))
        };
        let entry = app.off_runtime(make).await??;
        let about = entry.description.map(|text| format!(" ({text})")).unwrap_or_default();
        let text = format!(
            "Run the workflow {:?}{about} with the tool run_workflow. What it shall do:\n\n{}\n\n\
             Its parameters are: {}. Set those that this needs and leave out the others; an image is given as the uri of \
             an artifact. {AFTERWARDS}",
            entry.name,
            arguments.get("request").unwrap_or_default(),
            if entry.parameters.is_empty() { "none".to_owned() } else { entry.parameters.join(", ") },
        );
        Ok(PromptReply::user(text))
    }

    async fn complete(
        &self,
        cx: CallContext,
        argument: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        if argument != "workflow" {
            return Ok(Completion::default());
        }
        let names = workflow_names(&self.0, &cx)?;
        Ok(Completion::of(names.iter().map(String::as_str), typed))
    }
}
