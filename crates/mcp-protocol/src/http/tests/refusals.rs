//! Every way to be refused, and the status and code that go with it.

use std::time::Duration;

use axum::Extension;
use jsonrpsee::core::middleware::RpcServiceBuilder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Headers, HttpConfig, Web, body, call, initialize, modern, router};
use crate::testing::{Probe, builder, server};
use crate::{GuardLayer, Limits, RequestInfo, error};

/// What it is, the body, headers beside the usual ones (`-` takes one away), the status, and the code or 0.
type Case = (&'static str, String, Vec<(&'static str, &'static str)>, u16, i64);

fn replaced(headers: &[(&'static str, &str)]) -> HeaderMap {
    let mut all = HeaderMap::new();
    for (name, value) in
        [("content-type", "application/json"), ("mcp-protocol-version", "2026-07-28")].iter().chain(headers)
    {
        let name = HeaderName::from_static(name);
        match *value {
            "-" => _ = all.remove(name),
            value => _ = all.insert(name, HeaderValue::from_str(value).expect("a value")),
        }
    }
    all
}

fn without(method: &str, key: &str) -> String {
    let mut message = modern(method, json!({}));
    message["params"]["_meta"].as_object_mut().expect("_meta").remove(key);
    message.to_string()
}

fn with_version(version: &str) -> String {
    let mut message = modern("tools/list", json!({}));
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(version);
    message.to_string()
}

#[tokio::test]
async fn modern_requests() {
    let web = Web::start(server(&Probe::new())).await;
    let list = modern("tools/list", json!({})).to_string();
    let echo = modern("tools/call", json!({"name": "echo", "arguments": {"text": "x"}})).to_string();
    let fits = [("mcp-method", "tools/list")];
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    let version = "io.modelcontextprotocol/protocolVersion";
    let cases: Vec<Case> = vec![
        ("fits", list.clone(), fits.to_vec(), 200, 0),
        ("no version header", list.clone(), vec![fits[0], ("mcp-protocol-version", "-")], 400, -32020),
        (
            "another version header",
            list.clone(),
            vec![fits[0], ("mcp-protocol-version", "2025-11-25")],
            400,
            -32020,
        ),
        (
            "unknown version",
            with_version("1900-01-01"),
            vec![fits[0], ("mcp-protocol-version", "1900-01-01")],
            400,
            -32022,
        ),
        (
            "legacy version",
            with_version("2025-11-25"),
            vec![fits[0], ("mcp-protocol-version", "2025-11-25")],
            400,
            -32022,
        ),
        ("no capabilities", without("tools/list", capabilities), fits.to_vec(), 400, -32602),
        ("no version in _meta", without("tools/list", version), fits.to_vec(), 400, -32602),
        ("no method header", list.clone(), vec![], 400, -32020),
        ("another method header", list.clone(), vec![("mcp-method", "tools/call")], 400, -32020),
        ("case of the method", list.clone(), vec![("mcp-method", "Tools/List")], 400, -32020),
        ("no name header", echo.clone(), vec![("mcp-method", "tools/call")], 400, -32020),
        (
            "another name",
            echo.clone(),
            vec![("mcp-method", "tools/call"), ("mcp-name", "count")],
            400,
            -32020,
        ),
        (
            "bad base64",
            echo.clone(),
            vec![("mcp-method", "tools/call"), ("mcp-name", "=?base64?!?=")],
            400,
            -32020,
        ),
        (
            "encoded name",
            echo,
            vec![("mcp-method", "tools/call"), ("mcp-name", "=?base64?ZWNobw==?=")],
            200,
            0,
        ),
        (
            "unknown method",
            modern("no/such", json!({})).to_string(),
            vec![("mcp-method", "no/such")],
            404,
            -32601,
        ),
        (
            "initialize",
            modern("initialize", json!({})).to_string(),
            vec![("mcp-method", "initialize")],
            404,
            -32601,
        ),
        ("ping", modern("ping", json!({})).to_string(), vec![("mcp-method", "ping")], 404, -32601),
        ("not JSON", "{".to_owned(), fits.to_vec(), 400, -32700),
        ("a batch", format!("[{list}]"), fits.to_vec(), 400, -32600),
        ("an answer", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), fits.to_vec(), 400, -32600),
        ("not application/json", list.clone(), vec![fits[0], ("content-type", "text/plain")], 415, -32600),
        ("another origin", list.clone(), vec![fits[0], ("origin", "http://evil.example")], 403, -31403),
        ("accepts pictures", list.clone(), vec![fits[0], ("accept", "image/png")], 406, -32600),
        ("accepts JSON", list.clone(), vec![fits[0], ("accept", "application/json;q=0.9")], 200, 0),
        (
            "_meta of another type",
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":[]}}"#.to_owned(),
            fits.to_vec(),
            400,
            -32602,
        ),
    ];
    for (what, text, headers, status, code) in cases {
        let request = web.client.post(&web.url).headers(replaced(&headers)).body(text);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), status, "{what}");
        let answer = body(response).await;
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or(0), code, "{what}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0", "{what}");
        if code == -32022 {
            assert_eq!(answer["error"]["data"]["supported"][0], "2026-07-28", "{what}");
        }
    }
}

#[tokio::test]
async fn other_verbs() {
    let web = Web::start(server(&Probe::new())).await;
    for verb in
        [reqwest::Method::GET, reqwest::Method::DELETE, reqwest::Method::PUT, reqwest::Method::OPTIONS]
    {
        let response = web.client.request(verb.clone(), &web.url).send().await.expect("an answer");
        assert_eq!(response.status(), 405, "{verb}");
        assert!(response.headers()["allow"].to_str().expect("ASCII").contains("POST"));
    }
}

#[tokio::test]
async fn messages_that_are_too_large() {
    let limits = Limits { max_message_bytes: 1000, ..Limits::default() };
    let web = Web::start(builder(&Probe::new()).limits(limits).build().expect("a server")).await;
    let params = json!({"name": "echo", "arguments": {"text": "x".repeat(2000)}});
    let response = web.modern("tools/call", params).send().await.expect("an answer");
    assert_eq!(response.status(), 413);
    let answer = body(response).await;
    assert!(answer["error"]["message"].as_str().expect("a message").contains("1000 bytes"), "{answer}");
    assert!(answer.get("id").is_none());
}

#[tokio::test]
async fn more_bytes_of_bodies_than_are_held_at_once() {
    let limits = Limits { max_message_bytes: 200_000, ..Limits::default() };
    let server = builder(&Probe::new()).limits(limits).build().expect("a server");
    let config = HttpConfig { max_buffered_bytes: 200_000, ..HttpConfig::default() };
    let web = Web::with(router(server, config)).await;
    let large = || json!({"name": "echo", "arguments": {"text": "x".repeat(150_000)}});
    // Announced, and never sent: it holds its room for as long as the connection lasts.
    let mut slow = TcpStream::connect(web.address()).await.expect("a connection");
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 190000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("a connection");
    let refused = until_status(&web, large(), 503).await;
    assert_eq!(refused.headers()["retry-after"], HeaderValue::from(1));
    assert_eq!(body(refused).await["error"]["code"], i64::from(error::OVERLOADED));
    assert_eq!(
        web.modern("tools/list", json!({})).send().await.expect("an answer").status(),
        200,
        "small ones pass"
    );
    drop(slow);
    until_status(&web, large(), 200).await;
}

/// Calls until the answer has this status.
async fn until_status(web: &Web, params: Value, status: u16) -> reqwest::Response {
    tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let response = web.modern("tools/call", params.clone()).send().await.expect("an answer");
            if response.status() == status {
                return response;
            }
        }
    })
    .await
    .expect("the status comes")
}

#[tokio::test]
async fn answers_that_are_too_large() {
    let limits = Limits { max_response_bytes: 1000, ..Limits::default() };
    let web = Web::start(builder(&Probe::new()).limits(limits).build().expect("a server")).await;
    let params = json!({"name": "echo", "arguments": {"text": "x", "times": 2000}});
    let answer = body(web.modern("tools/call", params).send().await.expect("an answer")).await;
    assert!(answer["error"].is_object(), "{answer}");
}

#[tokio::test]
async fn more_requests_than_are_taken_at_once() {
    let probe = Probe::new();
    let limits = Limits { max_in_flight: 1, ..Limits::default() };
    let web = Web::start(builder(&probe).limits(limits).build().expect("a server")).await;
    let hanging = web.modern("tools/call", json!({"name": "hang", "arguments": {}}));
    let hanging = tokio::spawn(hanging.send());
    probe.until(|seen| seen.started == 1).await;
    let response = web.modern("tools/list", json!({})).send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &HeaderValue::from(1))
    );
    assert_eq!(body(response).await["error"]["code"], i64::from(error::OVERLOADED));
    probe.release();
    assert_eq!(hanging.await.expect("no panic").expect("an answer").status(), 200);
    assert_eq!(web.modern("tools/list", json!({})).send().await.expect("an answer").status(), 200);
}

/// What middleware in front finds out of the caller.
#[derive(Clone)]
struct Caller(&'static str);

fn guarded() -> crate::Server {
    let guard = GuardLayer::new(|request| {
        let Some(tool) = RequestInfo::called_tool(request) else { return Ok(()) };
        match request.extensions.get::<Caller>().map(|caller| caller.0) {
            Some("alice") if tool == "echo" => Ok(()),
            Some("alice") => Err(error::forbidden(format!("alice may not call {tool}"))),
            Some(_) => Err(error::rate_limited("slower", Duration::from_millis(1500))),
            None => Err(error::unauthenticated("who are you?")),
        }
    });
    builder(&Probe::new()).layers(RpcServiceBuilder::new().layer(guard)).build().expect("a server")
}

#[tokio::test]
async fn layers_decide_by_caller_and_tool_in_both_eras() {
    let cases = [
        (Some("alice"), "echo", 200, 0, None),
        (Some("alice"), "count", 403, error::FORBIDDEN, None),
        (Some("bob"), "echo", 429, error::RATE_LIMITED, Some("2")),
        (None, "echo", 401, error::UNAUTHENTICATED, None),
    ];
    for (caller, tool, status, code, retry_after) in cases {
        let mut routes = router(guarded(), HttpConfig::default());
        if let Some(caller) = caller {
            routes = routes.layer(Extension(Caller(caller)));
        }
        let web = Web::with(routes).await;
        let session = web.initialize("2025-11-25").await;
        let arguments = json!({"text": "hi"});
        let legacy = web.legacy(&session, &call(1, tool, &arguments));
        let modern = web.modern("tools/call", json!({"name": tool, "arguments": arguments}));
        for request in [legacy, modern] {
            let response = request.send().await.expect("an answer");
            assert_eq!(response.status(), status, "{caller:?} {tool}");
            let told =
                response.headers().get("retry-after").map(|value| value.to_str().expect("ASCII").to_owned());
            assert_eq!(told.as_deref(), retry_after);
            assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
            let answer: Value = body(response).await;
            assert_eq!(answer["error"]["code"].as_i64().unwrap_or(0), i64::from(code), "{answer}");
        }
    }
}

#[tokio::test]
async fn legacy_requests() {
    let web = Web::start(server(&Probe::new())).await;
    let session = web.initialize("2025-11-25").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let cases: &[(&str, Headers<'_>, u16)] = &[
        ("fits", &[("mcp-session-id", &session), ("mcp-protocol-version", "2025-11-25")], 200),
        ("no version", &[("mcp-session-id", &session)], 400),
        ("bad version", &[("mcp-session-id", &session), ("mcp-protocol-version", "2024-11-05")], 400),
        ("no session", &[("mcp-protocol-version", "2025-11-25")], 400),
        ("unknown session", &[("mcp-session-id", "nope"), ("mcp-protocol-version", "2025-11-25")], 404),
    ];
    for (what, headers, status) in cases {
        let mut request = web.post(&ping);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), *status, "{what}");
        let answer = body(response).await;
        assert_eq!(answer["id"], 1, "{what}");
        assert_eq!(answer.get("error").is_some(), *status != 200, "{what}: {answer}");
    }
    let bad = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 7}});
    let answer = body(web.post(&bad).send().await.expect("an answer")).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert_eq!(web.post(&initialize("2025-06-18")).send().await.expect("an answer").status(), 200);
}
