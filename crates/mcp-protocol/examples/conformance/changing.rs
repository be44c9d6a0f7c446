//! Tools that change the lists of tools and prompts.

use std::sync::{Arc, OnceLock};

use mcp_protocol::{Server, ToolError};

use crate::fixture::{Fixture, Reply, text};
use crate::prompts::Simple;

const TOOL: &str = "test_dynamic_tool";
const PROMPT: &str = "test_dynamic_prompt";

/// The server is known to its tools only after it is built.
pub(crate) fn tools(server: &Arc<OnceLock<Server>>) -> Vec<Fixture> {
    let (tools, prompts) = (Arc::clone(server), Arc::clone(server));
    vec![
        Fixture::new("test_trigger_tool_change", move |_| std::future::ready(change_tools(&tools))),
        Fixture::new("test_trigger_prompt_change", move |_| std::future::ready(change_prompts(&prompts))),
    ]
}

/// Takes the tool away, or adds it where there is none.
fn change_tools(server: &OnceLock<Server>) -> Reply {
    let server = server.get().ok_or_else(too_early)?;
    if server.remove_tool(TOOL) {
        return Ok(text("There is a tool less."));
    }
    let added = server.add_tool(Fixture::new(TOOL, |_| async { Ok(text("I am new here.")) }));
    added.map_err(|error| ToolError::new("not_added", error.to_string()))?;
    Ok(text("There is a tool more."))
}

fn change_prompts(server: &OnceLock<Server>) -> Reply {
    let server = server.get().ok_or_else(too_early)?;
    if server.remove_prompt(PROMPT) {
        return Ok(text("There is a prompt less."));
    }
    let added = server.add_prompt(Simple::new(PROMPT, "I am new here."));
    added.map_err(|error| ToolError::new("not_added", error.to_string()))?;
    Ok(text("There is a prompt more."))
}

fn too_early() -> ToolError {
    ToolError::new("too_early", "the server is not built yet")
}
