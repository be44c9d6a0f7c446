//! A server with one tool: over stdio, or with `--http` on http://127.0.0.1:9100/mcp (`--http ADDRESS` elsewhere).
#![expect(clippy::print_stdout, reason = "whoever starts it reads the address")]

use mcp_protocol::{CallContext, Server, ServerInfo, Tool, ToolDefinition, ToolError, ToolReply, http};

struct Echo;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Args {
    /// What to say.
    text: String,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Said {
    text: String,
}

impl Tool for Echo {
    type Args = Args;
    type Output = Said;

    fn definition(&self) -> ToolDefinition {
        ToolDefinition::new("echo", "Says it back.")
    }

    async fn call(&self, cx: CallContext, args: Args) -> Result<ToolReply<Said>, ToolError> {
        cx.progress(1.0, Some(1.0), Some("heard"));
        Ok(Said { text: args.text }.into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let info = ServerInfo { name: "echo".to_owned(), version: "1.0.0".to_owned(), ..ServerInfo::default() };
    let server = Server::builder(info).tool(Echo).build()?;
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("--http") {
        let address = words.next().unwrap_or_else(|| "127.0.0.1:9100".to_owned());
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("http://{}/mcp", listener.local_addr()?);
        let router = http::router(server, http::HttpConfig::default());
        http::serve(listener, router, std::future::pending()).await?;
    } else {
        server.serve_stdio(tokio::io::stdin(), tokio::io::stdout()).await?;
    }
    Ok(())
}
