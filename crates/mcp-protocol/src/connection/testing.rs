//! A client for the tests, on any transport that is a stream of messages.

use std::time::Duration;

use axum::serve::ListenerExt as _;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Server;
use crate::http::{HttpConfig, router};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) struct Client {
    pub(crate) wire: Wire,
}

pub(crate) enum Wire {
    Stdio { input: DuplexStream, output: Lines<BufReader<DuplexStream>>, serving: Serving },
    WebSocket(Box<Socket>),
}

type Serving = JoinHandle<std::io::Result<()>>;

/// A client of the server on each transport, in turn.
pub(crate) async fn clients(server: &Server) -> Vec<Client> {
    vec![Client::stdio(server.clone()), Client::web_socket(server.clone()).await]
}

/// Serves it with a WebSocket endpoint at the URL that is returned.
pub(crate) async fn serve(server: Server, config: HttpConfig) -> String {
    let config = HttpConfig { websocket_path: Some("/ws".to_owned()), ..config };
    serve_router(router(server, config)).await
}

pub(crate) async fn serve_router(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ws://{}/ws", listener.local_addr().expect("an address"));
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

impl Client {
    pub(crate) fn stdio(server: Server) -> Client {
        let (input, reader) = tokio::io::duplex(1 << 16);
        let (writer, output) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(async move { server.serve_stdio(reader, writer).await });
        let output = BufReader::new(output).lines();
        Client { wire: Wire::Stdio { input, output, serving } }
    }

    pub(crate) async fn web_socket(server: Server) -> Client {
        Client::connect(&serve(server, HttpConfig::default()).await).await
    }

    pub(crate) async fn connect(url: &str) -> Client {
        let (socket, _) = connect_async(url).await.expect("a connection");
        Client { wire: Wire::WebSocket(Box::new(socket)) }
    }

    /// For messages that say where they fail.
    pub(crate) fn kind(&self) -> &'static str {
        match self.wire {
            Wire::Stdio { .. } => "stdio",
            Wire::WebSocket(_) => "websocket",
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        match &mut self.wire {
            Wire::Stdio { input, .. } => {
                input.write_all(text.as_bytes()).await.expect("the server reads");
                input.write_all(b"\n").await.expect("the server reads");
            }
            Wire::WebSocket(socket) => {
                socket.send(Message::text(text)).await.expect("the server reads");
            }
        }
    }

    /// The next message; panics on anything else.
    pub(crate) async fn receive(&mut self) -> Value {
        let text =
            tokio::time::timeout(Duration::from_secs(5), self.next()).await.expect("a message in time");
        serde_json::from_str(&text.expect("a message before the end")).expect("JSON")
    }

    /// `None` at the end.
    async fn next(&mut self) -> Option<String> {
        match &mut self.wire {
            Wire::Stdio { output, .. } => output.next_line().await.expect("the server writes"),
            Wire::WebSocket(socket) => loop {
                match socket.next().await?.expect("no failure") {
                    Message::Text(text) => return Some(text.to_string()),
                    Message::Ping(_) | Message::Pong(_) => {}
                    Message::Close(_) => return None,
                    other => panic!("not a text: {other:?}"),
                }
            },
        }
    }

    pub(crate) async fn ask(&mut self, message: &Value) -> Value {
        self.send(&message.to_string()).await;
        self.receive().await
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()).await;
    }

    /// Opens a legacy session.
    pub(crate) async fn initialize(&mut self, capabilities: &Value) -> Value {
        let mut message = initialize("2025-11-25");
        message["params"]["capabilities"] = capabilities.clone();
        let opened = self.ask(&message).await;
        self.notify("notifications/initialized", json!({})).await;
        opened
    }

    /// Says no more; what the server had still to say.
    pub(crate) async fn end(self) -> Vec<String> {
        let mut rest = Vec::new();
        match self.wire {
            Wire::Stdio { input, mut output, serving } => {
                drop(input);
                while let Some(line) = output.next_line().await.expect("the server writes") {
                    rest.push(line);
                }
                serving.await.expect("no panic").expect("no error");
            }
            Wire::WebSocket(mut socket) => {
                socket.close().await.expect("the server reads");
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Text(text) = message {
                        rest.push(text.to_string());
                    }
                }
            }
        }
        rest
    }
}

pub(crate) fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    if params["_meta"].get("io.modelcontextprotocol/clientCapabilities").is_none() {
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    }
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

pub(crate) fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    let mut request = json!({"jsonrpc": "2.0", "id": id.into(), "method": method});
    request["params"] = params;
    request
}

pub(crate) fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    let mut params = json!({"name": tool});
    params["arguments"] = arguments;
    request(id, "tools/call", params)
}

pub(crate) fn initialize(version: &str) -> Value {
    let client = json!({"name": "c", "version": "1"});
    request(0, "initialize", json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client}))
}
