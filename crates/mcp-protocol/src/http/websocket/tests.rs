use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use futures::{SinkExt as _, StreamExt as _};
use jsonrpsee::core::middleware::RpcServiceBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{MaybeTlsStream, client_async, connect_async};

use crate::connection::testing::{Client, Socket, Wire, modern, serve, serve_router};
use crate::http::{AllowedHosts, HttpConfig, router};
use crate::testing::{Probe, builder, server};
use crate::{GuardLayer, Limits, SessionOwner, error};

/// Opens a connection with these headers; the headers of the answer, or its status and body.
async fn open(url: &str, headers: &[(&'static str, &str)]) -> Result<(Socket, HeaderMap), (u16, Value)> {
    let mut request = url.into_client_request().expect("a URL");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).expect("a value");
        request.headers_mut().append(*name, value);
    }
    match connect_async(request).await {
        Ok((socket, response)) => Ok((socket, response.headers().clone())),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            Err((response.status().as_u16(), serde_json::from_slice(body).unwrap_or_default()))
        }
        Err(error) => panic!("neither opened nor refused: {error}"),
    }
}

/// The code and the reason that the server closes with; what it says before is passed over.
async fn closed(socket: &mut Socket) -> (u16, String) {
    let closed = async {
        loop {
            let message = socket.next().await.expect("a close before the end").expect("a close frame");
            if let Message::Close(frame) = message {
                let frame = frame.expect("a code");
                break (frame.code.into(), frame.reason.to_string());
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.expect("a close in time")
}

fn socket(client: &mut Client) -> &mut Socket {
    match &mut client.wire {
        Wire::WebSocket(socket) => socket,
        Wire::Stdio { .. } => panic!("not a WebSocket"),
    }
}

/// The system takes little for it that it doesn't read.
async fn with_small_buffer(url: &str) -> Client {
    let address = url.trim_start_matches("ws://").trim_end_matches("/ws");
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a size");
    let stream = socket.connect(address.parse().expect("an address")).await.expect("a server");
    let (socket, _) = client_async(url, MaybeTlsStream::Plain(stream)).await.expect("a connection");
    Client { wire: Wire::WebSocket(Box::new(socket)) }
}

fn hang(id: i64) -> String {
    modern(id, "tools/call", json!({"name": "hang", "arguments": {}})).to_string()
}

#[tokio::test]
async fn the_subprotocol_is_mcp_where_one_is_offered() {
    let url = serve(server(&Probe::new()), HttpConfig::default()).await;
    let cases = [
        (None, None),
        (Some("mcp"), Some("mcp")),
        (Some("other, mcp"), Some("mcp")),
        (Some("other"), Some("refused")),
        (Some("MCP2, mcp.v1"), Some("refused")),
    ];
    for (offers, expected) in cases {
        let header = offers.map(|offers| ("sec-websocket-protocol", offers));
        match open(&url, header.as_slice()).await {
            Ok((_, headers)) => {
                let chosen =
                    headers.get("sec-websocket-protocol").map(|value| value.to_str().expect("ASCII"));
                assert_eq!(chosen, expected, "{offers:?}");
            }
            Err((status, body)) => {
                assert_eq!((status, Some("refused")), (400, expected), "{offers:?}: {body}");
                let message = body["error"]["message"].as_str().expect("a message");
                assert!(message.contains("mcp"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn strangers_and_requests_that_are_no_handshake_are_refused() {
    let config = HttpConfig { allowed_hosts: AllowedHosts::Loopback, ..HttpConfig::default() };
    let url = serve(server(&Probe::new()), config).await;
    let own = url.replace("ws://", "http://").replace("/ws", "");
    assert!(open(&url, &[("origin", &own)]).await.is_ok(), "a page of its own");
    let (status, body) = open(&url, &[("origin", "https://evil.example")]).await.expect_err("a strange page");
    assert_eq!((status, &body["error"]["code"]), (403, &json!(-31403)));

    let mut stream =
        tokio::net::TcpStream::connect(own.trim_start_matches("http://")).await.expect("a server");
    let rebound = "GET /ws HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    stream.write_all(rebound.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");

    _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().expect("a client");
    let plain = client.post(format!("{own}/ws")).body("{}").send().await.expect("an answer");
    assert_eq!((plain.status().as_u16(), plain.headers()["upgrade"].as_bytes()), (426, &b"websocket"[..]));
    let body: Value = plain.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], -32600, "{body}");
}

#[tokio::test]
async fn every_request_has_what_middleware_said_of_the_first() {
    let guard = GuardLayer::new(|request| match request.extensions.get::<SessionOwner>() {
        Some(owner) if owner.0 == "ann" => Ok(()),
        Some(owner) => Err(error::forbidden(format!("not for {}", owner.0))),
        None => Err(error::unauthenticated("who is it?")),
    });
    let layers = RpcServiceBuilder::new().layer(guard);
    let server = builder(&Probe::new()).layers(layers).build().expect("a server");
    let config = HttpConfig { websocket_path: Some("/ws".to_owned()), ..HttpConfig::default() };
    let who = from_fn(|mut request: Request, next: Next| async move {
        let Some(name) = request.headers().get("x-name").cloned() else {
            return crate::http::refusal(&error::unauthenticated("a name is needed"));
        };
        request.extensions_mut().insert(SessionOwner(name.to_str().expect("ASCII").to_owned()));
        next.run(request).await
    });
    let url = serve_router(router(server, config).layer(who)).await;

    let (status, body) = open(&url, &[]).await.expect_err("nobody");
    assert_eq!((status, &body["error"]["code"]), (401, &json!(-31401)));
    for (name, allowed) in [("ann", true), ("bob", false)] {
        let (socket, _) = open(&url, &[("x-name", name)]).await.expect("a connection");
        let mut client = Client { wire: Wire::WebSocket(Box::new(socket)) };
        for message in [modern(1, "server/discover", json!({})), modern(2, "tools/list", json!({}))] {
            let answer = client.ask(&message).await;
            assert_eq!(answer.get("result").is_some(), allowed, "{name}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_no_text_message_closes_the_connection_with_its_code() {
    let probe = Probe::new();
    let limits = Limits { max_message_bytes: 1000, ..Limits::default() };
    let server = builder(&probe).limits(limits).build().expect("a server");
    let url = serve(server, HttpConfig::default()).await;
    let cases = [
        (Message::binary(&b"{}"[..]), 1003),
        (Message::text("x".repeat(1001)), 1009),
        (Message::text("x".repeat(3_000_000)), 1009),
    ];
    for (number, (message, code)) in cases.into_iter().enumerate() {
        let mut client = Client::connect(&url).await;
        let padded = modern(1, "server/discover", json!({"padding": "x".repeat(700)})).to_string();
        assert!(padded.len() <= 1000);
        client.send(&padded).await;
        assert!(client.receive().await.get("result").is_some(), "up to the limit");
        client.send(&hang(1)).await;
        probe.until(|seen| seen.started == number + 1).await;
        // A large message may be cut off in its middle, which the sender may or may not notice.
        _ = socket(&mut client).send(message).await;
        if code != 1009 || number == 1 {
            let (closed, reason) = closed(socket(&mut client)).await;
            assert_eq!(closed, code, "{reason}");
        }
        probe.until(|seen| seen.dropped == number + 1).await;
    }
}

#[tokio::test]
async fn frames_that_break_the_rules_close_the_connection_with_their_code() {
    let url = serve(server(&Probe::new()), HttpConfig::default()).await;
    let address = url.trim_start_matches("ws://").trim_end_matches("/ws").to_owned();
    // Masked with zeros: a text that is not UTF-8, a reserved opcode, a continuation of nothing, an unmasked text.
    let cases: [(&[u8], u16); 4] = [
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe], 1007),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
        (&[0x81, 0x02, b'{', b'}'], 1002),
    ];
    for (frame, code) in cases {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a server");
        let handshake = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(handshake.as_bytes()).await.expect("the server reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        stream.write_all(frame).await.expect("the server reads");
        let mut close = [0; 4];
        stream.read_exact(&mut close).await.expect("a close frame");
        assert_eq!(close[0], 0x88, "{frame:x?}");
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), code, "{frame:x?}");
    }
}

#[tokio::test]
async fn a_message_may_come_in_fragments() {
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    let mut client = Client::web_socket(server(&Probe::new())).await;
    let text = modern(1, "server/discover", json!({})).to_string();
    let (first, rest) = text.split_at(20);
    let frames = [(first, Data::Text, false), (rest, Data::Continue, true)];
    for (part, data, is_last) in frames {
        let frame = Frame::message(part.to_owned(), OpCode::Data(data), is_last);
        socket(&mut client).send(Message::Frame(frame)).await.expect("the server reads");
    }
    assert_eq!(client.receive().await["id"], 1);
}

#[tokio::test]
async fn the_end_of_the_connection_drops_what_runs() {
    let probe = Probe::new();
    let limits = Limits { max_streams: 1, ..Limits::default() };
    let server = builder(&probe).limits(limits).build().expect("a server");
    let url = serve(server, HttpConfig::default()).await;
    for (round, politely) in [true, false].into_iter().enumerate() {
        let mut client = Client::connect(&url).await;
        client.send(&hang(1)).await;
        probe.until(|seen| seen.started == round + 1).await;
        let (status, body) = open(&url, &[]).await.expect_err("the only place is taken");
        assert_eq!((status, &body["error"]["code"]), (503, &json!(-31503)));
        if politely {
            assert!(client.end().await.is_empty());
        } else {
            drop(client);
        }
        probe.until(|seen| seen.dropped == round + 1 && seen.cancelled == round + 1).await;
        let freed = async { while open(&url, &[]).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(5), freed).await.expect("the place is free again");
        let freed = async { while open(&url, &[]).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(5), freed).await.expect("that connection is gone too");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_holds_nobody_up() {
    let probe = Probe::new();
    let config = HttpConfig { send_timeout: Duration::from_millis(500), ..HttpConfig::default() };
    let server = builder(&probe).build().expect("a server");
    let url = serve(server, config).await;
    let mut deaf = with_small_buffer(&url).await;
    deaf.send(&hang(0)).await;
    probe.until(|seen| seen.started == 1).await;
    // The answer has it twice.
    let large = |id: i64| {
        let arguments = json!({"text": "x".repeat(1000), "times": 500});
        modern(id, "tools/call", json!({"name": "echo", "arguments": arguments}))
    };
    for id in 1..=10 {
        // Once it is cut off, the rest can't be sent.
        _ = socket(&mut deaf).send(Message::text(large(id).to_string())).await;
    }
    probe.until(|seen| seen.dropped == 1 && seen.cancelled == 1).await;
    let mut other = Client::connect(&url).await;
    assert_eq!(other.ask(&large(1)).await["id"], 1, "one that reads gets all of it");
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_cut_off_if_it_stays_silent() {
    let probe = Probe::new();
    let config = HttpConfig {
        keep_alive: Duration::from_millis(20),
        body_timeout: Duration::from_millis(500),
        ..HttpConfig::default()
    };
    let url = serve(server(&probe), config).await;
    let mut alive = Client::connect(&url).await;
    let mut dead = Client::connect(&url).await;
    for client in [&mut alive, &mut dead] {
        client.send(&hang(1)).await;
    }
    probe.until(|seen| seen.started == 2).await;
    // Reading answers pings; the dead one doesn't read.
    let pings = async {
        for _ in 0..20 {
            assert!(matches!(socket(&mut alive).next().await, Some(Ok(Message::Ping(_)))));
        }
    };
    tokio::time::timeout(Duration::from_secs(5), pings).await.expect("pings, and no end");
    probe.until(|seen| seen.dropped == 1).await;
    probe.release();
    assert_eq!(alive.receive().await["result"]["structuredContent"]["text"], "released");
}

#[tokio::test]
async fn pings_are_answered() {
    let mut client = Client::web_socket(server(&Probe::new())).await;
    let payload = Bytes::from_static(b"hello");
    socket(&mut client).send(Message::Ping(payload.clone())).await.expect("the server reads");
    let pong = socket(&mut client).next().await.expect("an answer").expect("no failure");
    assert_eq!(pong, Message::Pong(payload));
}

#[tokio::test]
async fn a_stopping_server_answers_what_runs_and_goes_away() {
    let probe = Probe::new();
    let limits = Limits { drain: Duration::from_mins(10), ..Limits::default() };
    let server = builder(&probe).limits(limits).build().expect("a server");
    let url = serve(server.clone(), HttpConfig::default()).await;
    let mut busy = Client::connect(&url).await;
    let mut idle = Client::connect(&url).await;
    idle.ask(&modern(1, "server/discover", json!({}))).await;
    busy.send(&hang(1)).await;
    probe.until(|seen| seen.started == 1).await;

    server.close_streams();
    assert_eq!(closed(socket(&mut idle)).await.0, 1001);
    let late = busy.ask(&modern(2, "server/discover", json!({}))).await;
    assert_eq!((&late["id"], &late["error"]["code"]), (&json!(2), &json!(-31503)));
    let (status, _) = open(&url, &[]).await.expect_err("nobody new");
    assert_eq!(status, 503);
    probe.release();
    let answer = busy.receive().await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "released");
    assert_eq!(closed(socket(&mut busy)).await.0, 1001);
    drop((busy, idle));
    let gone = tokio::time::timeout(Duration::from_secs(5), server.connections_closed());
    gone.await.expect("all connections are closed");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cancelled_by_a_stop() {
    let probe = Probe::new();
    let server = server(&probe);
    let mut client = Client::web_socket(server.clone()).await;
    client.send(&hang(1)).await;
    probe.until(|seen| seen.started == 1).await;
    server.close_streams();
    assert_eq!(closed(socket(&mut client)).await.0, 1001);
    probe.until(|seen| seen.dropped == 1 && seen.finished == 0).await;
}
