//! Clients that read slowly or not at all, and requests that take too long.

use std::time::Duration;

use async_trait::async_trait;
use axum::serve::Listener as _;
use futures::future::poll_immediate;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::puppet::text_of;
use super::sse::Sse;
use super::{HttpConfig, Listener, PeerAddress, Web, body, call, router};
use crate::testing::{Probe, builder};
use crate::wire::ToolDescription;
use crate::{CallContext, Content, DynTool, Limits, LogLevel, ToolError, ToolReply};

#[tokio::test]
async fn a_connection_whose_other_end_takes_nothing_ends() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = tcp.local_addr().expect("an address");
    let mut listener = Listener::new(tcp).write_timeout(Duration::from_millis(50));
    let (silent, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut connection, peer) = accepted;
    assert_eq!(peer, silent.as_ref().expect("a connection").local_addr().expect("an address"));
    let chunk = vec![0; 1024 * 1024];
    let writing = async {
        loop {
            if let Err(error) = connection.write_all(&chunk).await {
                break error;
            }
        }
    };
    let error =
        tokio::time::timeout(Duration::from_secs(5), writing).await.expect("it doesn't wait for good");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_connection_too_many_waits_until_one_ends() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = tcp.local_addr().expect("an address");
    let mut listener = Listener::new(tcp).max_connections(1);
    let _clients = tokio::join!(TcpStream::connect(address), TcpStream::connect(address));
    let (first, _) = listener.accept().await;
    assert!(poll_immediate(std::pin::pin!(listener.accept())).await.is_none(), "there is one place");
    drop(first);
    tokio::time::timeout(Duration::from_secs(5), listener.accept()).await.expect("its place is free again");
}

/// Says a lot until it is told to end, or dropped.
struct Gush(watch::Sender<Gushing>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gushing {
    told_to_end: bool,
    dropped: bool,
}

struct Dropped<'a>(&'a watch::Sender<Gushing>);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|gushing| gushing.dropped = true);
    }
}

#[async_trait]
impl DynTool for Gush {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: "gush".to_owned(),
            input_schema: json!({"type": "object"}),
            ..ToolDescription::default()
        }
    }

    async fn call(&self, cx: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        let _dropped = Dropped(&self.0);
        let text = "x".repeat(64 * 1024);
        while !self.0.borrow().told_to_end {
            cx.log(LogLevel::Error, None, json!(text));
            tokio::task::yield_now().await;
        }
        Ok(ToolReply::with_content(Value::Null, vec![Content::text("done")]))
    }
}

/// A server that gives up a connection after so short a time.
async fn web() -> (Web, watch::Sender<Gushing>) {
    let gushing = watch::Sender::new(Gushing::default());
    let server = builder(&Probe::new()).dyn_tool(Gush(gushing.clone())).build().expect("a server");
    let routes = router(server, HttpConfig::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let web = Web::at(listener.local_addr().expect("an address"));
    let listener = Listener::new(listener).write_timeout(Duration::from_millis(50));
    let routes = routes.into_make_service_with_connect_info::<PeerAddress>();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (web, gushing)
}

#[tokio::test]
async fn a_modern_call_ends_with_a_client_that_reads_nothing() {
    let (web, gushing) = web().await;
    let params =
        json!({"name": "gush", "arguments": {}, "_meta": {"io.modelcontextprotocol/logLevel": "error"}});
    let mut unread = Sse::of(web.modern("tools/call", params).send().await.expect("a stream"));
    unread.event().await;
    let mut gushing = gushing.subscribe();
    let ended = tokio::time::timeout(Duration::from_secs(10), gushing.wait_for(|gushing| gushing.dropped));
    assert!(!ended.await.expect("it is dropped").expect("the tool is there").told_to_end);
}

#[tokio::test]
async fn a_legacy_call_goes_on_without_a_client_that_reads_nothing() {
    let (web, gushing) = web().await;
    let session = web.initialize("2025-11-25").await;
    let request = web.legacy(&session, &call(1, "gush", &json!({})));
    let mut unread = Sse::of(request.send().await.expect("a stream"));
    let priming = unread.event().await;
    unread.event().await;
    let others = (0..50).map(|number| {
        let ping = json!({"jsonrpc": "2.0", "id": format!("p{number}"), "method": "ping"});
        web.legacy(&session, &ping).send()
    });
    for other in others {
        assert_eq!(other.await.expect("an answer").status(), 200, "others are answered meanwhile");
    }
    assert!(!gushing.borrow().dropped);
    gushing.send_modify(|gushing| gushing.told_to_end = true);
    let events = Sse::of(web.get_after(&session, priming.id()).send().await.expect("a stream")).rest().await;
    assert_eq!(text_of(&events.last().expect("an answer").message()), "done");
    let kept: usize = events.iter().map(|event| event.data.len()).sum();
    assert!(kept < 3_000_000, "{kept} bytes were kept for it");
}

#[tokio::test]
async fn a_request_can_have_a_time_limit() {
    let probe = Probe::new();
    let limits = Limits { request_timeout: Some(Duration::from_millis(30)), ..Limits::default() };
    let server = builder(&probe).limits(limits).build().expect("a server");
    let web = Web::start(server.clone()).await;
    let params = json!({"notifications": {"toolsListChanged": true}});
    let listen = web.modern("subscriptions/listen", params);
    let mut listening = Sse::of(listen.send().await.expect("a stream"));
    listening.event().await;

    let hang = web.modern("tools/call", json!({"name": "hang", "arguments": {}}));
    let response = hang.send().await.expect("an answer");
    assert_eq!(response.status(), 504);
    let answer = body(response).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(-31504)));
    assert!(answer["error"]["message"].as_str().expect("a message").contains("30ms"), "{answer}");
    probe.until(|seen| seen.dropped == 1 && seen.cancelled == 1).await;

    let session = web.initialize("2025-11-25").await;
    let hang = web.legacy(&session, &call(2, "hang", &json!({})));
    let events = Sse::of(hang.send().await.expect("a stream")).rest().await;
    assert_eq!(events.last().expect("an answer").message()["error"]["code"], -31504);
    probe.until(|seen| seen.dropped == 2 && seen.cancelled == 2).await;

    assert!(server.remove_tool("count"));
    let told = listening.message().await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "it is there to stay open");
}
