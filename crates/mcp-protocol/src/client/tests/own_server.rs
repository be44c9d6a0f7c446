//! The peer against this crate's own server: both eras, both transports.

use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::client::{CallOptions, ClientError, HttpOptions, Peer, PeerOptions};
use crate::error::INVALID_PARAMS;
use crate::http::HttpConfig;
use crate::testing::{self, Probe};
use crate::wire::{Content, Era, ProtocolVersion};

/// A peer of each kind, with the probe of its server.
async fn peers() -> Vec<(String, Peer, Probe)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut peers = Vec::new();
    for newest in [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY] {
        let options = PeerOptions { newest, ..PeerOptions::default() };
        let probe = Probe::new();
        let app = crate::http::router(testing::server(&probe), HttpConfig::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let http = HttpOptions { peer: options.clone(), ..HttpOptions::default() };
        peers.push((format!("http {newest}"), Peer::connect_http(&url, http).await.unwrap(), probe));

        let probe = Probe::new();
        let server = testing::server(&probe);
        let (near, far) = tokio::io::duplex(1024);
        let (reader, writer) = tokio::io::split(far);
        tokio::spawn(async move { server.serve_stdio(reader, writer).await });
        let (reader, writer) = tokio::io::split(near);
        let peer = Peer::connect_stdio(reader, writer, options).await.unwrap();
        peers.push((format!("stdio {newest}"), peer, probe));
    }
    peers
}

#[tokio::test]
async fn calls_have_results_errors_and_progress() {
    for (kind, peer, _) in peers().await {
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
    for (kind, peer, probe) in peers().await {
        let progressed = Arc::new(tokio::sync::Notify::new());
        let tell = Arc::clone(&progressed);
        let options = CallOptions::default().progress(move |_| tell.notify_one());
        tokio::select! {
            result = peer.call_tool("hang", json!({}), options) => panic!("{kind}: {result:?}"),
            () = progressed.notified() => {}
        }
        probe.until(|seen| seen.dropped == 1).await;
        assert_eq!(probe.seen().finished, 0, "{kind}");
        let era = peer.server().version.era();
        assert_eq!(era == Era::Legacy, kind.ends_with(ProtocolVersion::LATEST_LEGACY.as_str()));
        // Others go on.
        let result = peer.call_tool("echo", json!({"text": "x"}), CallOptions::default()).await.unwrap();
        assert!(!result.is_error, "{kind}");
    }
}
