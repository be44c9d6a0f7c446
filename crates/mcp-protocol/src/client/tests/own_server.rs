//! The peer against this crate's own server: both eras, every transport.

use std::sync::{Arc, Mutex};

use serde_json::{Map, json};

use super::fake::soon;
use super::own_fixtures::{self, WATCHED};
use crate::client::{
    CallOptions, ClientError, HttpOptions, InputHandler, Notice, Peer, PeerOptions, Subscription,
    ToolOutcome, WsOptions, form_defaults, input_fn,
};
use crate::error::INVALID_PARAMS;
use crate::http::HttpConfig;
use crate::testing::Probe;
use crate::wire::{
    CallToolResult, CompleteParams, CompletionArgument, CompletionReference, Content, Elicitation, Era,
    InputKind, InputRequest, LogLevel, ProtocolVersion, SubscriptionFilter, TaskState,
};
use crate::{Notifier, Server};

/// A peer, and the hands on its server.
struct Pair {
    kind: String,
    peer: Peer,
    probe: Probe,
    notifier: Notifier,
}

/// A peer of each kind.
async fn pairs(options: PeerOptions) -> Vec<Pair> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut pairs = Vec::new();
    for newest in [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY, ProtocolVersion::V2025_06_18] {
        let options = PeerOptions { newest, ..options.clone() };
        for transport in ["http", "ws", "stdio"] {
            let probe = Probe::new();
            let (server, notifier) = own_fixtures::server(&probe);
            let peer = connect(transport, server, options.clone()).await;
            assert_eq!(peer.server().version, newest);
            pairs.push(Pair { kind: format!("{transport} {newest}"), peer, probe, notifier });
        }
    }
    pairs
}

async fn connect(transport: &str, server: Server, peer: PeerOptions) -> Peer {
    if transport == "stdio" {
        let (near, far) = tokio::io::duplex(1024);
        let (reader, writer) = tokio::io::split(far);
        tokio::spawn(async move { server.serve_stdio(reader, writer).await });
        let (reader, writer) = tokio::io::split(near);
        return Peer::connect_stdio(reader, writer, peer).await.unwrap();
    }
    let config = HttpConfig { websocket_path: Some("/ws".to_owned()), ..HttpConfig::default() };
    let app = crate::http::router(server, config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    if transport == "ws" {
        let options = WsOptions { peer, ..WsOptions::default() };
        return Peer::connect_ws(&format!("ws://{address}/ws"), options).await.unwrap();
    }
    let options = HttpOptions { peer, ..HttpOptions::default() };
    Peer::connect_http(&format!("http://{address}/mcp"), options).await.unwrap()
}

/// Fills forms with what they propose, and tells the roots.
fn handler() -> Arc<dyn InputHandler> {
    input_fn([InputKind::ElicitForm, InputKind::Roots], async |question| match question {
        InputRequest::Elicit(Elicitation::Form { requested_schema, .. }) => {
            Ok(json!({"action": "accept", "content": form_defaults(&requested_schema)}))
        }
        InputRequest::ListRoots(_) => Ok(json!({"roots": [{"uri": "file:///home"}]})),
        other => panic!("{other:?}"),
    })
}

fn able() -> PeerOptions {
    PeerOptions { on_input: Some(handler()), tasks: true, ..PeerOptions::default() }
}

fn text(result: &CallToolResult) -> &str {
    match &result.content[..] {
        [Content::Text { text }] => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn calls_have_results_errors_and_progress() {
    for Pair { kind, peer, .. } in pairs(PeerOptions::default()).await {
        assert_eq!(peer.server().info.name, "test", "{kind}");
        assert_eq!(peer.server().instructions.as_deref(), Some("Say hello."), "{kind}");
        peer.ping().await.unwrap();
        let names: Vec<String> = peer.list_tools().await.unwrap().into_iter().map(|tool| tool.name).collect();
        assert!(names.contains(&"echo".to_owned()), "{kind}: {names:?}");

        let updates = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&updates);
        let options =
            CallOptions::default().progress(move |update| taken.lock().unwrap().push(update.progress));
        let result = peer.call_tool("count", json!({"to": 3}), options).await.unwrap();
        assert_eq!(result.structured_content.unwrap()["text"], "3", "{kind}");
        let updates = updates.lock().unwrap().clone();
        // A server may leave some out, but not turn back.
        assert!(!updates.is_empty() && updates.is_sorted(), "{kind}: {updates:?}");

        let result = peer.call_tool("fault", json!({"kind": "error"}), CallOptions::default()).await.unwrap();
        assert!(result.is_error, "{kind}");
        assert!(matches!(&result.content[..], [Content::Text { .. }]), "{kind}");
        let error = peer.call_tool("ecko", json!({}), CallOptions::default()).await.unwrap_err();
        assert!(matches!(&error, ClientError::Rpc { code: INVALID_PARAMS, .. }), "{kind}: {error:?}");
        // Its parameters go into headers too, in the modern era over HTTP.
        let arguments = json!({"region": "Zürich", "shard": 7});
        let result = peer.call_tool("region", arguments.clone(), CallOptions::default()).await.unwrap();
        assert_eq!(result.structured_content, Some(arguments), "{kind}");
        peer.close().await;
    }
}

#[tokio::test]
async fn a_dropped_call_is_cancelled_at_the_server() {
    for Pair { kind, peer, probe, .. } in pairs(PeerOptions::default()).await {
        let progressed = Arc::new(tokio::sync::Notify::new());
        let tell = Arc::clone(&progressed);
        let options = CallOptions::default().progress(move |_| tell.notify_one());
        tokio::select! {
            result = peer.call_tool("hang", json!({}), options) => panic!("{kind}: {result:?}"),
            () = progressed.notified() => {}
        }
        probe.until(|seen| seen.dropped == 1).await;
        assert_eq!(probe.seen().finished, 0, "{kind}");
        // Others go on.
        let result = peer.call_tool("echo", json!({"text": "x"}), CallOptions::default()).await.unwrap();
        assert!(!result.is_error, "{kind}");
    }
}

#[tokio::test]
async fn questions_are_answered_whatever_asks_them() {
    for Pair { kind, peer, .. } in pairs(able()).await {
        let mut notices = peer.notices();
        peer.set_log_level(LogLevel::Debug).await.unwrap();
        let result = soon(peer.call_tool("asks", json!({}), CallOptions::default())).await.unwrap();
        assert_eq!(text(&result), "John in \"file:///home\"", "{kind}");
        let Some(Notice::Log(log)) = soon(notices.next()).await else { panic!("{kind}: a log message") };
        assert_eq!((log.level, log.data), (LogLevel::Info, json!({"name": "John"})), "{kind}");

        let result = soon(peer.call_tool("polled", json!({}), CallOptions::default())).await.unwrap();
        assert_eq!(text(&result), "\"John\" again", "{kind}");

        let arguments = Map::from_iter([("name".to_owned(), json!("anna"))]);
        let prompt = soon(peer.get_prompt("greet", arguments, CallOptions::default())).await.unwrap();
        assert_eq!(prompt.messages[0].content, Content::text("John greets anna"), "{kind}");
        let read = soon(peer.read_resource("x://asks", CallOptions::default())).await.unwrap();
        assert_eq!(read.contents[0].text.as_deref(), Some("John"), "{kind}");
    }
    // Whoever can't be asked is not asked.
    for Pair { kind, peer, .. } in pairs(PeerOptions::default()).await {
        let result = soon(peer.call_tool("asks", json!({}), CallOptions::default())).await;
        assert!(matches!(&result, Ok(result) if result.is_error) || result.is_err(), "{kind}: {result:?}");
    }
}

#[tokio::test]
async fn what_a_server_has_is_listed_read_and_completed() {
    for Pair { kind, peer, .. } in pairs(PeerOptions::default()).await {
        let resources = peer.list_resources().await.unwrap();
        let uris: Vec<&str> = resources.iter().map(|resource| resource.uri.as_str()).collect();
        assert_eq!(uris, ["x://asks", WATCHED], "{kind}");
        assert_eq!(peer.list_resource_templates().await.unwrap()[0].uri_template, "x://{which}", "{kind}");
        let read = peer.read_resource(WATCHED, CallOptions::default()).await.unwrap();
        assert_eq!(read.contents[0].bytes().unwrap(), "now", "{kind}");
        let error = peer.read_resource("x://none", CallOptions::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::Rpc { .. }), "{kind}: {error:?}");

        let prompts = peer.list_prompts().await.unwrap();
        assert_eq!((prompts[0].name.as_str(), prompts[0].arguments[0].required), ("greet", true), "{kind}");
        let typed = CompleteParams {
            reference: CompletionReference::Prompt { name: "greet".to_owned() },
            argument: CompletionArgument { name: "name".to_owned(), value: "b".to_owned() },
            context: None,
        };
        assert_eq!(peer.complete(&typed).await.unwrap().values, ["bert"], "{kind}");
    }
}

async fn next(subscription: &mut Subscription) -> Notice {
    soon(subscription.next()).await.unwrap().expect("it goes on")
}

#[tokio::test]
async fn changes_are_told_to_those_who_listen() {
    for Pair { kind, peer, notifier, .. } in pairs(PeerOptions::default()).await {
        let filter = SubscriptionFilter {
            tools_list_changed: true,
            resource_subscriptions: vec![WATCHED.to_owned()],
            ..SubscriptionFilter::default()
        };
        let mut subscription = soon(peer.listen(filter.clone())).await.unwrap();
        assert_eq!(subscription.agreed(), &filter, "{kind}");
        notifier.resource_updated("x://asks");
        notifier.resource_updated(WATCHED);
        assert_eq!(
            next(&mut subscription).await,
            Notice::ResourceUpdated { uri: WATCHED.to_owned() },
            "{kind}"
        );
        notifier.prompts_changed();
        notifier.tools_changed();
        assert_eq!(next(&mut subscription).await, Notice::ToolsChanged, "{kind}");
        assert!(notifier.has_listeners(WATCHED), "{kind}");
        subscription.close().await;
        soon(async {
            while notifier.has_listeners(WATCHED) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn tasks_are_followed_listened_to_and_asked_back() {
    for Pair { kind, peer, .. } in pairs(able()).await {
        if peer.server().version.era() == Era::Legacy {
            continue;
        }
        let result = soon(peer.call_tool("later", json!({}), CallOptions::default())).await.unwrap();
        assert_eq!(text(&result), "\"John\" at last", "{kind}");
        let outcome = peer.call_tool_or_task("later", json!({}), CallOptions::default()).await.unwrap();
        let ToolOutcome::Task(task) = outcome else { panic!("{kind}: a task") };
        peer.cancel_task(&task.task_id).await.unwrap();
        let ended = soon(peer.wait_for_task(&task.task_id)).await.unwrap();
        assert_eq!(ended.state, TaskState::Cancelled, "{kind}");
        let error = peer.get_task("t-unknown").await.unwrap_err();
        assert!(matches!(error, ClientError::Rpc { code: INVALID_PARAMS, .. }), "{kind}: {error:?}");
    }
}
