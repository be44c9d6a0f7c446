//! Changes that modern servers tell.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::fake::{Answer, Fake, Feed, Seen, agreed, event, soon, tagged, told};
use super::over_stream::{modern, open_with};
use crate::client::{ClientError, HttpOptions, Notice, Peer, PeerOptions, Subscription};
use crate::wire::SubscriptionFilter;

fn filter() -> SubscriptionFilter {
    SubscriptionFilter {
        tools_list_changed: true,
        resource_subscriptions: vec!["x://1".to_owned()],
        ..SubscriptionFilter::default()
    }
}

fn updated(id: &Value, uri: &str) -> String {
    told("notifications/resources/updated", &tagged(id, json!({"uri": uri})))
}

fn is_listen(seen: &Seen) -> bool {
    seen.method() == "subscriptions/listen"
}

async fn next(subscription: &mut Subscription) -> Notice {
    soon(subscription.next()).await.unwrap().expect("it goes on")
}

/// A modern server, and the streams of its subscriptions as they are opened.
async fn server() -> (Fake, std::sync::Arc<Mutex<Vec<Feed>>>) {
    let feeds = std::sync::Arc::new(Mutex::new(Vec::new()));
    let opened = std::sync::Arc::clone(&feeds);
    let fake = Fake::modern(move |seen| {
        let filter = &seen.body["params"]["notifications"];
        let (answer, feed) = Answer::live(&event(&agreed(seen.id(), filter)));
        opened.lock().unwrap().push(feed);
        answer
    })
    .await;
    (fake, feeds)
}

async fn connect(fake: &Fake) -> Peer {
    Peer::connect_http(&fake.url, HttpOptions::default()).await.unwrap()
}

#[tokio::test]
async fn a_subscription_tells_what_it_is_for() {
    let (fake, feeds) = server().await;
    let peer = connect(&fake).await;
    let mut subscription = peer.listen(filter()).await.unwrap();
    assert_eq!(subscription.agreed(), &filter());
    let listen = fake.wait_for(is_listen).await;
    let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["x://1"]});
    assert_eq!(listen.body["params"]["notifications"], wanted);
    assert_eq!(listen.header("mcp-method"), "subscriptions/listen");

    let feed = feeds.lock().unwrap().pop().unwrap();
    for text in [
        updated(&json!(-5), "x://another"),
        told("notifications/tools/list_changed", &json!({})),
        told("notifications/resources/updated", &tagged(listen.id(), json!({"uri": 7}))),
        "junk".to_owned(),
        updated(listen.id(), "x://1"),
        told("notifications/tools/list_changed", &tagged(listen.id(), json!({}))),
    ] {
        feed.send(event(&text)).await.unwrap();
    }
    assert_eq!(next(&mut subscription).await, Notice::ResourceUpdated { uri: "x://1".to_owned() });
    assert_eq!(next(&mut subscription).await, Notice::ToolsChanged);

    let end = json!({"jsonrpc": "2.0", "id": listen.id(), "result": {"resultType": "complete"}});
    feed.send(event(&end.to_string())).await.unwrap();
    for _ in 0..2 {
        assert_eq!(soon(subscription.next()).await.unwrap(), None, "the server has ended it in good order");
    }
}

#[tokio::test]
async fn a_broken_subscription_is_opened_again_and_says_so() {
    let (fake, feeds) = server().await;
    let peer = connect(&fake).await;
    let mut subscription = peer.subscribe("x://1").await.unwrap();
    let first = fake.wait_for(is_listen).await;
    feeds.lock().unwrap().clear();
    assert_eq!(next(&mut subscription).await, Notice::Missed { at_least: 0 });
    let second = fake.wait_for(|seen| is_listen(seen) && seen.id() != first.id()).await;
    assert_eq!(second.body["params"]["notifications"], first.body["params"]["notifications"]);
    let feed = feeds.lock().unwrap().pop().unwrap();
    feed.send(event(&updated(first.id(), "x://old"))).await.unwrap();
    feed.send(event(&updated(second.id(), "x://1"))).await.unwrap();
    assert_eq!(next(&mut subscription).await, Notice::ResourceUpdated { uri: "x://1".to_owned() });

    drop(subscription);
    soon(fake.wait_for_close()).await;
}

#[tokio::test]
async fn a_refused_subscription_is_an_error_and_a_partial_one_says_what_it_has() {
    let fake = Fake::modern(|seen| match seen.body["params"]["notifications"]["toolsListChanged"] {
        Value::Bool(true) => Answer::json(404, &seen.error(-32601, &Value::Null)),
        _ => Answer::live(&event(&agreed(seen.id(), &json!({})))).0.held(),
    })
    .await;
    let peer = connect(&fake).await;
    let error = peer.listen(filter()).await.unwrap_err();
    assert!(matches!(error, ClientError::Rpc { code: -32601, .. }), "{error:?}");
    let subscription = peer.subscribe("x://1").await.unwrap();
    assert_eq!(subscription.agreed(), &SubscriptionFilter::default());
    assert_eq!(fake.count(is_listen), 2, "a refusal is not tried again");
}

#[tokio::test]
async fn subscriptions_share_a_connection() {
    let (peer, mut far) = open_with(PeerOptions::default(), modern).await;
    let peer = peer.unwrap();
    let server = async {
        let (first, second) = (soon(far.next()).await, soon(far.next()).await);
        far.say(&updated(&first["id"], "x://early")).await;
        for listen in [&second, &first] {
            far.say(&agreed(&listen["id"], &listen["params"]["notifications"])).await;
        }
        (first, second)
    };
    let (one, two, (first, second)) = tokio::join!(peer.subscribe("x://1"), peer.subscribe("x://2"), server);
    let (mut one, mut two) = (one.unwrap(), two.unwrap());
    far.say(&updated(&second["id"], "x://2")).await;
    far.say(&updated(&first["id"], "x://1")).await;
    assert_eq!(next(&mut two).await, Notice::ResourceUpdated { uri: "x://2".to_owned() });
    // What comes before the agreement breaks the rules, and is no harm.
    assert_eq!(next(&mut one).await, Notice::ResourceUpdated { uri: "x://early".to_owned() });
    assert_eq!(next(&mut one).await, Notice::ResourceUpdated { uri: "x://1".to_owned() });

    one.close().await;
    let cancelled = soon(far.next()).await;
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], first["id"]);

    drop(far);
    assert!(matches!(soon(two.next()).await, Err(ClientError::Closed { .. })));
    assert_eq!(soon(two.next()).await.unwrap(), None);
}

#[tokio::test]
async fn whoever_is_slow_loses_the_oldest_and_learns_of_it() {
    let (peer, mut far) = open_with(PeerOptions::default(), modern).await;
    let peer = peer.unwrap();
    let mut notices = peer.notices();
    let log = |n: u32| told("notifications/message", &json!({"level": "info", "data": n}));
    for n in 0..1_000 {
        far.say(&log(n)).await;
    }
    // The answer to a call comes after them.
    let server = async {
        let request = soon(far.next()).await;
        far.answer(&request, &super::fake::discovered(&["2026-07-28"])).await;
    };
    let (pong, ()) = tokio::join!(peer.ping(), server);
    pong.unwrap();
    assert_eq!(soon(notices.next()).await, Some(Notice::Missed { at_least: 744 }));
    for n in 744..1_000 {
        let Some(Notice::Log(message)) = soon(notices.next()).await else { panic!("message {n}") };
        assert_eq!(message.data, n);
    }
    // The largest is kept, what came before it is not.
    for text in
        [log(1), told("notifications/message", &json!({"level": "info", "data": "x".repeat(5_000_000)}))]
    {
        far.say(&text).await;
    }
    assert!(matches!(soon(notices.next()).await, Some(Notice::Log(_) | Notice::Missed { .. })));
    drop(peer);
    while let Some(notice) = soon(notices.next()).await {
        assert!(matches!(notice, Notice::Log(_) | Notice::Missed { .. }));
    }
}
