//! A session goes on after a restart, and on another server with the same store.

use std::sync::Arc;

use serde_json::json;

use super::puppet::{Step, Strings, puppet, with_board};
use super::sse::Sse;
use super::{Web, body, call};
use crate::testing::{Probe, builder};
use crate::{LogLevel, MemorySessionStore, Server};

fn server(store: &Arc<MemorySessionStore>) -> (Server, Strings) {
    let (builder, strings) = puppet(with_board(builder(&Probe::new())), "puppet");
    (builder.session_store(Arc::clone(store) as Arc<_>).build().expect("a server"), strings)
}

#[tokio::test]
async fn a_session_goes_on_elsewhere() {
    let store = Arc::new(MemorySessionStore::default());
    let (before, strings_before) = server(&store);
    let (after, strings_after) = server(&store);
    let (web_before, web_after) = (Web::start(before).await, Web::start(after.clone()).await);

    let session = web_before.initialize("2025-11-25").await;
    for (method, params) in
        [("logging/setLevel", json!({"level": "debug"})), ("resources/subscribe", json!({"uri": "test:a"}))]
    {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = web_before.legacy(&session, &request).send().await.expect("an answer");
        assert_eq!(body(answer).await["result"], json!({}));
    }
    let mut cut_off = Sse::of(web_before.get(&session).send().await.expect("a stream"));
    let last = cut_off.event().await;

    // The log level.
    strings_after.pull(Step::Log(LogLevel::Debug, "details".to_owned()));
    strings_after.end("done");
    let request = web_after.legacy(&session, &call(1, "puppet", &json!({})));
    let events = Sse::of(request.send().await.expect("a stream")).rest().await;
    assert_eq!(events[1].message()["params"]["data"], "details");

    // The subscriptions, on a stream that goes on as well as it can: under ids of the other server's own.
    let stream = web_after.get_after(&session, last.id()).send().await.expect("a stream");
    let mut stream = Sse::of(stream);
    let priming = stream.event().await;
    assert_eq!(priming.data, "");
    assert_ne!(priming.id(), last.id());
    after.notifier().resource_updated("test:a");
    assert_eq!(stream.message().await["params"]["uri"], "test:a");

    // The answer to a request is where the request runs.
    strings_before.pull(Step::Progress(1));
    let request = web_before.legacy(&session, &call(2, "puppet", &json!({})));
    let mut running = Sse::of(request.send().await.expect("a stream"));
    let first = running.event().await;
    let elsewhere = web_after.get_after(&session, first.id()).send().await.expect("an answer");
    assert_eq!(elsewhere.status(), 400);
    let message = body(elsewhere).await["error"]["message"].to_string();
    assert!(message.contains("there is no event"), "{message}");
}
