//! Changes that legacy servers tell, over HTTP and pipes.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::fake::{Answer, Fake, Feed, Seen, event, soon, told};
use super::over_stream::{legacy, open_with};
use crate::client::{ClientError, HttpOptions, Notice, Peer, PeerOptions, Subscription};
use crate::wire::{LogLevel, SubscriptionFilter};

fn updated(uri: &str) -> String {
    told("notifications/resources/updated", &json!({"uri": uri}))
}

fn is(uri: &str) -> Notice {
    Notice::ResourceUpdated { uri: uri.to_owned() }
}

async fn next(subscription: &mut Subscription) -> Notice {
    soon(subscription.next()).await.unwrap().expect("it goes on")
}

async fn connect(fake: &Fake) -> Peer {
    Peer::connect_http(&fake.url, HttpOptions::default()).await.unwrap()
}

/// A legacy server and its event streams as they are opened; each begins with `begin`.
async fn server(
    begin: &'static str,
    refuse: impl Fn(&Seen) -> bool + Send + Sync + 'static,
) -> (Fake, Arc<Mutex<Vec<Feed>>>) {
    let feeds = Arc::new(Mutex::new(Vec::new()));
    let opened = Arc::clone(&feeds);
    let fake = Fake::legacy(move |seen| match seen.verb.as_str() {
        _ if refuse(seen) => Answer::new(404, "", ""),
        "GET" => {
            let (answer, feed) = Answer::live(begin);
            opened.lock().unwrap().push(feed);
            answer
        }
        "POST" => Answer::json(200, &seen.result(&json!({}))),
        _ => Answer::accepted(),
    })
    .await;
    (fake, feeds)
}

fn is_get(seen: &Seen) -> bool {
    seen.verb == "GET"
}

#[tokio::test]
async fn a_stream_is_opened_for_subscriptions_and_taken_up_where_it_broke() {
    let (fake, feeds) = server("id: e0\nretry: 30\ndata:\n\n", |_| false).await;
    let peer = connect(&fake).await;
    assert_eq!(fake.count(is_get), 0, "nobody listens yet");
    let mut subscription = peer.subscribe("x://1").await.unwrap();
    assert_eq!(subscription.agreed().resource_subscriptions, ["x://1"]);
    let subscribe = fake.wait_for(|seen| seen.method() == "resources/subscribe").await;
    assert_eq!(subscribe.body["params"], json!({"uri": "x://1"}));
    let get = fake.wait_for(is_get).await;
    assert_eq!((get.header("mcp-session-id"), get.header("last-event-id")), ("s0", ""));
    assert_eq!(
        (get.header("accept"), get.header("mcp-protocol-version")),
        ("text/event-stream", "2025-11-25")
    );

    let feed = feeds.lock().unwrap().pop().unwrap();
    for text in
        [updated("x://2"), told("notifications/tools/list_changed", &json!({})), updated("x://1/part")]
    {
        feed.send(event(&text)).await.unwrap();
    }
    feed.send(format!("id: e7\n{}", event(&updated("x://1")))).await.unwrap();
    assert_eq!(next(&mut subscription).await, is("x://1/part"));
    assert_eq!(next(&mut subscription).await, is("x://1"));

    let broke = std::time::Instant::now();
    drop(feed);
    let again = soon(fake.wait_for(|seen| seen.header("last-event-id") == "e7")).await;
    assert!(broke.elapsed() >= std::time::Duration::from_millis(25), "the server asked for a pause");
    assert_eq!(again.header("mcp-session-id"), "s0");
    let feed = feeds.lock().unwrap().pop().unwrap();
    feed.send(event(&updated("x://1"))).await.unwrap();
    assert_eq!(next(&mut subscription).await, is("x://1"), "nothing was missed");

    drop(subscription);
    let ended = soon(fake.wait_for(|seen| seen.method() == "resources/unsubscribe")).await;
    assert_eq!(ended.body["params"], json!({"uri": "x://1"}));
    soon(fake.wait_for_close()).await;
}

#[tokio::test]
async fn without_ids_something_may_be_missed() {
    let (fake, feeds) = server("retry: 20\n\n", |_| false).await;
    let peer = connect(&fake).await;
    let mut subscription = peer.subscribe("x://1").await.unwrap();
    let feed = feeds.lock().unwrap().pop().unwrap();
    feed.send(event(&updated("x://1"))).await.unwrap();
    assert_eq!(next(&mut subscription).await, is("x://1"));
    drop(feed);
    assert_eq!(next(&mut subscription).await, Notice::Missed { at_least: 0 });
}

#[tokio::test]
async fn a_lost_session_is_renewed_with_its_subscriptions() {
    let lost = Arc::new(Mutex::new(false));
    let is_lost = Arc::clone(&lost);
    let refuse = move |seen: &Seen| *is_lost.lock().unwrap() && seen.header("mcp-session-id") == "s0";
    let (fake, feeds) = server("id: e0\nretry: 20\ndata:\n\n", refuse).await;
    let peer = connect(&fake).await;
    peer.set_log_level(LogLevel::Error).await.unwrap();
    let mut subscription = peer.subscribe("x://1").await.unwrap();
    *lost.lock().unwrap() = true;
    feeds.lock().unwrap().clear();
    assert_eq!(next(&mut subscription).await, Notice::Missed { at_least: 0 });
    let in_new = |method: &'static str| {
        soon(fake.wait_for(move |seen| seen.method() == method && seen.header("mcp-session-id") == "s1"))
    };
    assert_eq!(in_new("logging/setLevel").await.body["params"], json!({"level": "error"}));
    assert_eq!(in_new("resources/subscribe").await.body["params"], json!({"uri": "x://1"}));
    let get = soon(fake.wait_for(|seen| is_get(seen) && seen.header("mcp-session-id") == "s1")).await;
    assert_eq!(get.header("last-event-id"), "", "the new session knows nothing of the old one's events");
    assert_eq!(fake.count(|seen| seen.method() == "initialize"), 2);
}

#[tokio::test]
async fn a_server_without_a_stream_agrees_to_nothing() {
    let fake = Fake::legacy(|seen| match seen.verb.as_str() {
        "GET" => Answer::new(405, "", ""),
        _ => Answer::json(200, &seen.result(&json!({}))),
    })
    .await;
    let peer = connect(&fake).await;
    let subscription = peer.subscribe("x://1").await.unwrap();
    assert_eq!(subscription.agreed(), &SubscriptionFilter::default());
    drop(subscription);
    peer.close().await;
    assert_eq!(fake.count(is_get), 1, "a refusal is not tried again");
}

#[tokio::test]
async fn over_a_pipe_the_connection_itself_tells() {
    let (peer, mut far) = open_with(PeerOptions::default(), legacy).await;
    let peer = peer.unwrap();
    let mut notices = peer.notices();
    let filter = SubscriptionFilter {
        tools_list_changed: true,
        prompts_list_changed: true,
        task_ids: vec!["t".to_owned()],
        ..SubscriptionFilter::default()
    };
    let mut tools = peer.listen(filter).await.unwrap();
    let promised = SubscriptionFilter { tools_list_changed: true, ..SubscriptionFilter::default() };
    assert_eq!(tools.agreed(), &promised, "the server's capabilities promise no more");
    let server = async {
        for _ in 0..2 {
            let request = soon(far.next()).await;
            assert_eq!(request["method"], "resources/subscribe");
            far.answer(&request, &json!({})).await;
        }
    };
    let (one, two, ()) = tokio::join!(peer.subscribe("x://1"), peer.subscribe("x://1"), server);
    let (mut one, two) = (one.unwrap(), two.unwrap());

    for text in [
        told("notifications/message", &json!({"level": "warning", "logger": "l", "data": {"a": 1}})),
        told("notifications/message", &json!({"level": "loud", "data": 1})),
        told("notifications/tools/list_changed", &json!({})),
        updated("x://1"),
        updated("x://1"),
        told("notifications/elicitation/complete", &json!({"elicitationId": "e"})),
        told("notifications/what/ever", &Value::Array(Vec::new())),
    ] {
        far.say(&text).await;
    }
    assert_eq!(next(&mut tools).await, Notice::ToolsChanged);
    assert_eq!(next(&mut one).await, is("x://1"));
    let Some(Notice::Log(log)) = soon(notices.next()).await else { panic!("a log message") };
    assert_eq!((log.level, log.logger.as_deref(), log.data), (LogLevel::Warning, Some("l"), json!({"a": 1})));
    assert_eq!(soon(notices.next()).await, Some(Notice::ToolsChanged));
    assert!(soon(notices.next()).await == Some(is("x://1")));
    let mut complete = soon(notices.next()).await;
    if complete == Some(is("x://1")) {
        complete = soon(notices.next()).await;
    }
    assert_eq!(complete, Some(Notice::ElicitationComplete { elicitation_id: "e".to_owned() }));

    // Only the last one ends it at the server.
    one.close().await;
    let (unsubscribed, ()) = tokio::join!(soon(far.next()), async { drop(two) });
    assert_eq!(unsubscribed["method"], "resources/unsubscribe");
    drop(far);
    assert!(matches!(soon(tools.next()).await, Err(ClientError::Closed { .. })));
    assert_eq!(soon(notices.next()).await, None);
}

#[tokio::test]
async fn a_refused_resource_is_an_error() {
    let (peer, mut far) = open_with(PeerOptions::default(), legacy).await;
    let peer = peer.unwrap();
    let server = async {
        let request = soon(far.next()).await;
        let error = json!({"code": -32002, "message": "no such resource"});
        far.say(&json!({"jsonrpc": "2.0", "id": request["id"], "error": error}).to_string()).await;
    };
    let (subscription, ()) = tokio::join!(peer.subscribe("x://1"), server);
    assert!(matches!(subscription.unwrap_err(), ClientError::Rpc { code: -32002, .. }));
}
