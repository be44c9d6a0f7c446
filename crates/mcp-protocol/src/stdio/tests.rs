use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::Limits;
use crate::connection::testing::{Client, Wire, call, request};
use crate::testing::{Probe, builder, server};

#[tokio::test]
async fn a_line_that_is_too_long_is_answered_and_skipped() {
    let limits = Limits { max_message_bytes: 1000, ..Limits::default() };
    let mut client = Client::stdio(builder(&Probe::new()).limits(limits).build().expect("a server"));
    for length in [1001, 5000, 100_000] {
        client.send(&"x".repeat(length)).await;
        let answer = client.receive().await;
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|message| message.contains("1000 bytes")));
    }
    for blank in ["", " \t", "\r"] {
        client.send(blank).await;
    }
    let padded = request(1, "ping", json!({"padding": "x".repeat(900)})).to_string();
    client.send(&format!("{padded}\r")).await;
    assert_eq!(client.receive().await["result"], json!({}));
}

#[tokio::test]
async fn the_end_of_stdin_ends_the_server() {
    let probe = Probe::new();
    let mut client = Client::stdio(server(&probe));
    client.initialize(&json!({})).await;
    client.send(&call(1, "hang", json!({})).to_string()).await;
    probe.until(|seen| seen.started == 1).await;
    client.send(&call(2, "echo", json!({"text": "last"})).to_string()).await;
    let rest = client.end().await;
    assert_eq!(rest.len(), 1, "what is quick is still answered: {rest:?}");
    probe.until(|seen| seen.dropped == 1).await;
}

#[tokio::test]
async fn a_message_without_a_line_end_is_the_last_one() {
    let mut client = Client::stdio(server(&Probe::new()));
    let Wire::Stdio { input, .. } = &mut client.wire else { panic!("not stdio") };
    input.write_all(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await.expect("the server reads");
    assert_eq!(client.end().await, [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]);
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_keep_the_server() {
    let mut client = Client::stdio(server(&Probe::new()));
    client.initialize(&json!({})).await;
    let text = "x".repeat(100_000);
    for id in 1..=3 {
        client.send(&call(id, "echo", json!({"text": text})).to_string()).await;
    }
    let Wire::Stdio { input, output, serving } = client.wire else { panic!("not stdio") };
    drop(input);
    serving.await.expect("no panic").expect("no error");
    drop(output);
}

#[tokio::test]
async fn a_client_that_is_gone_ends_the_server() {
    let probe = Probe::new();
    let mut client = Client::stdio(server(&probe));
    client.initialize(&json!({})).await;
    client.send(&call(1, "hang", json!({})).to_string()).await;
    probe.until(|seen| seen.started == 1).await;
    let Wire::Stdio { mut input, output, serving } = client.wire else { panic!("not stdio") };
    drop(output);
    input.write_all(b"nonsense\n").await.expect("the server reads");
    assert!(serving.await.expect("no panic").is_err(), "it can't write any more");
    probe.until(|seen| seen.dropped == 1).await;
}
