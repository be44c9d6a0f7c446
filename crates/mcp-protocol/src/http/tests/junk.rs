//! Whatever comes, the answer is an HTTP response with a JSON-RPC body.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{HttpConfig, router};
use crate::testing::{Probe, server};

fn answer(body: Vec<u8>, version: &str, method: &str) -> (u16, Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let request = Request::post("/mcp")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", version)
            .header("mcp-method", method)
            .body(Body::from(body))
            .expect("a request");
        let response =
            router(server(&Probe::new()), HttpConfig::default()).oneshot(request).await.expect("infallible");
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes(body in proptest::collection::vec(any::<u8>(), 0..100), version in "[ -~]{0,12}") {
        let (status, body) = answer(body, &version, "tools/list");
        prop_assert!((400..500).contains(&status));
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        prop_assert!(body["error"]["code"].is_i64());
    }

    #[test]
    fn params(
        params in "\\{(\"(name|cursor|_meta|arguments|uri)\":(null|7|\"[a-z]{0,4}\"|\\[\\]|\\{\\}),?){0,3}\\}",
        method in "(tools/call|tools/list|server/discover|initialize)",
    ) {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let (status, body) = answer(body.into_bytes(), "2026-07-28", &method);
        prop_assert!((400..500).contains(&status), "{status}");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        prop_assert!(body["error"]["code"].is_i64());
    }
}
