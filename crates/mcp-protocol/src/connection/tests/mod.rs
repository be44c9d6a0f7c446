//! What holds on every transport that is a stream of messages.

mod news;
mod session;

use serde_json::json;

use super::testing::{Client, call, clients, initialize, modern, request};
use crate::Limits;
use crate::testing::{Probe, builder, server};

#[tokio::test]
async fn both_eras_on_one_stream() {
    for mut client in clients(&server(&Probe::new())).await {
        let early = client.ask(&request(1, "tools/list", json!({}))).await;
        assert_eq!(early["error"]["code"], -32602, "{early}");
        let ping = client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
        assert_eq!(ping, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));

        let opened = client.ask(&initialize("2025-06-18")).await;
        assert_eq!(opened["result"]["protocolVersion"], "2025-06-18");
        client.notify("notifications/initialized", json!({})).await;
        let legacy = client.ask(&call(2, "echo", json!({"text": "a"}))).await;
        let expected = json!({"content": [{"type": "text", "text": "{\"text\":\"a\"}"}], "structuredContent": {"text": "a"}});
        assert_eq!(legacy["result"], expected);

        let params = json!({"name": "echo", "arguments": {"text": "b"}});
        let answer = client.ask(&modern(3, "tools/call", params)).await;
        assert_eq!(answer["result"]["resultType"], "complete");
        assert_eq!(answer["result"]["structuredContent"], json!({"text": "b"}));
        let both = client.ask(&modern(4, "initialize", json!({}))).await;
        assert_eq!(both["error"]["code"], -32601, "the modern era has no initialize");
        let discover = client.ask(&modern(5, "server/discover", json!({}))).await;
        assert_eq!(discover["result"]["supportedVersions"], json!(["2026-07-28"]));
        assert!(client.end().await.is_empty());
    }
}

#[tokio::test]
async fn junk_is_answered_and_does_no_harm() {
    for mut client in clients(&server(&Probe::new())).await {
        let cases = [
            ("nonsense", json!(null), -32700),
            (r#"{"jsonrpc":"2.0","id":7}"#, json!(7), -32600),
            (r#"[{"jsonrpc":"2.0","id":7,"method":"ping"}]"#, json!(null), -32600),
            (r#"{"jsonrpc":"2.0","id":8,"method":"tools/list","params":{"_meta":7}}"#, json!(8), -32602),
            (r#"{"jsonrpc":"2.0","id":9,"method":"initialize","params":{}}"#, json!(9), -32602),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, json!(null), -32600),
            ("\u{0}\u{1}", json!(null), -32700),
        ];
        for (text, id, code) in cases {
            client.send(text).await;
            let answer = client.receive().await;
            assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{text}: {answer}");
            assert_eq!(answer.get("id").is_some(), !id.is_null(), "an id that isn't known is left out");
        }
        client.send(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#).await;
        client.send(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"?"}}"#).await;
        client.notify("notifications/cancelled", json!({"requestId": {}})).await;
        client.notify("notifications/unheard_of", json!({})).await;
        for id in [json!(-1), json!("x"), json!("")] {
            let answer = client.ask(&request(id.clone(), "ping", json!({}))).await;
            assert_eq!((&answer["id"], &answer["result"]), (&id, &json!({})));
        }
    }
}

#[tokio::test]
async fn requests_run_side_by_side_and_can_be_cancelled() {
    let probe = Probe::new();
    for (done, mut client) in clients(&server(&probe)).await.into_iter().enumerate() {
        client.initialize(&json!({})).await;
        client.send(&call(1, "hang", json!({})).to_string()).await;
        probe.until(|seen| seen.started == done + 1).await;
        let twin = client.ask(&call(1, "echo", json!({"text": ""}))).await;
        assert_eq!(twin["error"]["code"], -32600, "an id that is in use: {twin}");
        let quick = client.ask(&call(2, "echo", json!({"text": "quick"}))).await;
        assert_eq!(quick["id"], 2);
        client.notify("notifications/cancelled", json!({"requestId": 1})).await;
        probe.until(|seen| seen.dropped == done + 1 && seen.cancelled == done + 1).await;
        assert_eq!(client.ask(&request(3, "ping", json!({}))).await["id"], 3);
        let again = client.ask(&call(1, "echo", json!({"text": ""}))).await;
        assert_eq!(again["result"]["structuredContent"]["text"], "", "the id is free again");
        assert!(client.end().await.is_empty(), "nothing more is said of a cancelled request");
    }
}

#[tokio::test]
async fn progress_comes_before_the_answer() {
    for mut client in clients(&server(&Probe::new())).await {
        let params = json!({"name": "count", "arguments": {"to": 5}, "_meta": {"progressToken": "p"}});
        client.send(&modern(1, "tools/call", params).to_string()).await;
        let mut last = 0.0;
        loop {
            let message = client.receive().await;
            if message["id"] == 1 {
                assert_eq!(message["result"]["structuredContent"], json!({"text": "5"}));
                break;
            }
            assert_eq!(message["method"], "notifications/progress");
            assert_eq!(message["params"]["progressToken"], "p");
            let progress = message["params"]["progress"].as_f64().expect("a number");
            assert!(progress > last, "{progress} after {last}");
            last = progress;
        }
        assert!((last - 5.0).abs() < f64::EPSILON);
    }
}

#[tokio::test]
async fn one_connection_does_not_take_the_places_of_all() {
    let probe = Probe::new();
    let limits = Limits { max_in_flight: 4, max_in_flight_per_owner: 2, ..Limits::default() };
    let server = builder(&probe).limits(limits).build().expect("a server");
    let mut all = clients(&server).await;
    for (clients, client) in all.iter_mut().enumerate() {
        for id in 1..=2 {
            let hang = modern(id, "tools/call", json!({"name": "hang", "arguments": {}}));
            client.send(&hang.to_string()).await;
        }
        probe.until(|seen| seen.started == 2 * (clients + 1)).await;
        let more = client.ask(&modern(3, "server/discover", json!({}))).await;
        assert_eq!(more["error"]["code"], -31503, "{}: {more}", client.kind());
    }
    let mut third = Client::stdio(server.clone());
    let full = third.ask(&modern(1, "server/discover", json!({}))).await;
    assert_eq!(full["error"]["code"], -31503, "the places of all are taken: {full}");
    drop(all);
    probe.until(|seen| seen.dropped == 4).await;
    // A place is free when the call is gone, which is just after the tool is.
    loop {
        let free = third.ask(&modern(2, "server/discover", json!({}))).await;
        if free.get("result").is_some() {
            break;
        }
    }
}
