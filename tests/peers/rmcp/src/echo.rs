//! The tool: the same names, schemas and notification as in `mcp-protocol`'s example.

use std::sync::Arc;

use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    Implementation, ProgressNotificationParam, RequestMetaObject, ServerCapabilities, ServerConfig,
};
use rmcp::{ErrorData, Json, Peer, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cheap to clone: the HTTP transport wants a handler for each request.
#[derive(Clone)]
pub(crate) struct Echo {
    router: Arc<ToolRouter<Echo>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Args {
    /// What to say.
    text: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Said {
    text: String,
}

impl Echo {
    pub(crate) fn new() -> Echo {
        Echo { router: Arc::new(Echo::tool_router()) }
    }
}

#[tool_router]
impl Echo {
    #[tool(description = "Says it back.")]
    async fn echo(
        &self,
        Parameters(args): Parameters<Args>,
        meta: RequestMetaObject,
        client: Peer<RoleServer>,
    ) -> Result<Json<Said>, ErrorData> {
        if let Some(token) = meta.get_progress_token() {
            let heard = ProgressNotificationParam::new(token, 1.0).with_total(1.0).with_message("heard");
            // A client that is gone doesn't hear it.
            _ = client.notify_progress(heard).await;
        }
        Ok(Json(Said { text: args.text }))
    }
}

#[tool_handler(router = self.router)]
impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("echo", "1.0.0"))
    }
}
