//! Over websockets: the handshake, frames of every kind, the end.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::fake::{discovered, soon, text_result};
use crate::client::{CallOptions, ClientError, Notice, Peer, PeerOptions, WsOptions};
use crate::wire::{Content, ProtocolVersion};

/// The server's end.
struct Far {
    socket: WebSocketStream<TcpStream>,
}

impl Far {
    async fn next(&mut self) -> Value {
        loop {
            match soon(self.socket.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(_) => {
                    // Looked at once more, it is returned.
                    while self.socket.next().await.is_some() {}
                    return Value::Null;
                }
                _ => {}
            }
        }
    }

    async fn say(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    async fn answer(&mut self, request: &Value, result: &Value) {
        self.say(json!({"jsonrpc": "2.0", "id": request["id"], "result": result}).to_string()).await;
    }
}

#[expect(clippy::result_large_err, clippy::unnecessary_wraps, reason = "the handshake's own type")]
fn handshake(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.headers()["sec-websocket-protocol"], "mcp");
    assert_eq!(request.headers()["authorization"], "Bearer ck_secret");
    assert_eq!(request.headers()["x-extra"], "1");
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("mcp"));
    Ok(response)
}

fn options() -> WsOptions {
    WsOptions {
        bearer: Some(SecretString::from("ck_secret")),
        headers: vec![("x-extra".to_owned(), "1".to_owned())],
        peer: PeerOptions { max_message_bytes: 10_000, ..PeerOptions::default() },
        ..WsOptions::default()
    }
}

/// A peer and the end of its modern server.
async fn open(options: WsOptions) -> (Peer, Far) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let socket = tokio_tungstenite::accept_hdr_async(stream, handshake).await.unwrap();
        let mut far = Far { socket };
        let request = far.next().await;
        assert_eq!(request["method"], "server/discover");
        far.answer(&request, &discovered(&["2026-07-28"])).await;
        far
    };
    let (peer, far) = tokio::join!(Peer::connect_ws(&url, options), server);
    (peer.unwrap(), far)
}

#[tokio::test]
async fn messages_are_text_frames_and_others_do_no_harm() {
    let (peer, mut far) = open(options()).await;
    assert_eq!(peer.server().version, ProtocolVersion::V2026_07_28);
    let mut notices = peer.notices();
    let server = async {
        let request = far.next().await;
        far.socket.send(Message::binary(vec![0, 159, 146, 150])).await.unwrap();
        far.socket.send(Message::Ping("are you there".into())).await.unwrap();
        far.say("not json").await;
        far.say("").await;
        let log = json!({"level": "info", "data": 1});
        far.say(super::fake::told("notifications/message", &log)).await;
        assert_eq!(far.socket.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
        far.answer(&request, &text_result("hi")).await;
    };
    let (result, ()) = tokio::join!(peer.call_tool("x", json!({}), CallOptions::default()), server);
    assert_eq!(result.unwrap().content, [Content::text("hi")]);
    assert!(matches!(soon(notices.next()).await, Some(Notice::Log(_))));

    let request = tokio::select! {
        _ = peer.call_tool("x", json!({}), CallOptions::default()) => panic!("it has no answer"),
        request = far.next() => request,
    };
    let cancelled = far.next().await;
    assert_eq!(cancelled["params"]["requestId"], request["id"]);
}

#[tokio::test]
async fn the_end_of_the_connection_ends_all_calls() {
    let (peer, mut far) = open(options()).await;
    let server = async {
        far.next().await;
        let frame = CloseFrame { code: CloseCode::Restart, reason: "the server\u{7} restarts".into() };
        far.socket.close(Some(frame)).await.unwrap();
        while soon(far.socket.next()).await.is_some() {}
    };
    let (result, ()) = tokio::join!(peer.call_tool("x", json!({}), CallOptions::default()), server);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("1012") && error.contains("the server  restarts"), "{error}");
    assert!(matches!(peer.ping().await, Err(ClientError::Closed { .. })));

    let (peer, mut far) = open(options()).await;
    let server = async {
        let request = far.next().await;
        far.answer(&request, &text_result(&"x".repeat(20_000))).await;
    };
    let (result, ()) = tokio::join!(peer.call_tool("x", json!({}), CallOptions::default()), server);
    assert!(result.unwrap_err().to_string().contains("more than 10000 bytes"));
}

#[tokio::test]
async fn a_server_that_gives_no_sign_of_life_is_gone() {
    let options = || WsOptions { ping_interval: Duration::from_millis(200), ..options() };
    let (peer, far) = open(options()).await;
    // Nobody reads at the other end, so no ping is answered.
    let error = soon(peer.call_tool("x", json!({}), CallOptions::default())).await.unwrap_err();
    assert!(error.to_string().contains("nothing came from it"), "{error}");
    drop(far);

    let (peer, mut far) = open(options()).await;
    let server = async {
        let request = far.next().await;
        for _ in 0..4 {
            // Each is answered as it is read, and that keeps the connection up.
            assert!(matches!(soon(far.socket.next()).await, Some(Ok(Message::Ping(_)))));
        }
        far.answer(&request, &text_result("late")).await;
    };
    let (result, ()) = tokio::join!(peer.call_tool("x", json!({}), CallOptions::default()), server);
    result.unwrap();
}

#[tokio::test]
async fn closing_says_farewell() {
    let (peer, mut far) = open(options()).await;
    let (gone, ()) = tokio::join!(far.next(), peer.close());
    assert_eq!(gone, Value::Null);
    let (peer, mut far) = open(options()).await;
    drop(peer);
    assert_eq!(far.next().await, Value::Null);
}

#[tokio::test]
async fn a_refused_handshake_says_why() {
    type Check = fn(&ClientError) -> bool;
    let error = r#"{"jsonrpc":"2.0","error":{"code":-31401,"message":"no such key"}}"#;
    let cases: [(&str, &str, Check); 5] = [
        (
            "401 X",
            error,
            |error| matches!(error, ClientError::Unauthorized { message } if message == "no such key"),
        ),
        ("403 X", "", |error| matches!(error, ClientError::Forbidden { .. })),
        ("404 X", "", |error| {
            matches!(error, ClientError::HttpStatus { status: 404, .. }) && error.remedy().is_some()
        }),
        ("200 OK", "hello", |error| matches!(error, ClientError::Protocol { .. })),
        ("101 Switching", "", |error| matches!(error, ClientError::Protocol { .. })),
    ];
    for (status, body, check) in cases {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        };
        let (peer, ()) = tokio::join!(Peer::connect_ws(&url, options()), server);
        let error = peer.unwrap_err();
        assert!(check(&error), "{status}: {error:?}");
    }
    let error = Peer::connect_ws("http://127.0.0.1:1/ws", options()).await.unwrap_err();
    assert!(error.to_string().contains("ws:// or wss://"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 1];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        hello[0]
    };
    let url = format!("wss://{address}/ws");
    let (peer, hello) = tokio::join!(Peer::connect_ws(&url, options()), server);
    assert_eq!(hello, 22, "a handshake of TLS");
    assert!(peer.unwrap_err().is_unreachable());
    let url = format!("ws://{address}/ws");
    drop(listener);
    let error = Peer::connect_ws(&url, options()).await.unwrap_err();
    assert!(error.is_unreachable() && error.is_transient(), "{error:?}");
}
