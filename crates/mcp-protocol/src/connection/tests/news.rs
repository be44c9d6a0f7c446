//! What a client hears of changes, in both eras.

use std::time::Duration;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use crate::connection::testing::{Client, clients, initialize, modern, request};
use crate::testing::{Probe, builder};
use crate::wire::{ResourceDescription, ToolDescription};
use crate::{
    CacheHints, CallContext, DynTool, Limits, Page, ResourceReply, Resources, Server, ToolError, ToolReply,
};

/// Nothing to read, but all of it may change.
struct Notes;

#[async_trait]
impl Resources for Notes {
    async fn list(
        &self,
        _: &CallContext,
        _: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        Ok(Page::whole(Vec::new()))
    }

    async fn read(&self, _: &CallContext, _: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        Ok(None)
    }

    async fn may_subscribe(&self, _: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(uri.starts_with("note:"))
    }

    fn can_subscribe(&self) -> bool {
        true
    }
}

struct Extra;

#[async_trait]
impl DynTool for Extra {
    fn description(&self) -> ToolDescription {
        let input_schema = json!({"type": "object"});
        ToolDescription { name: "extra".to_owned(), input_schema, ..ToolDescription::default() }
    }

    async fn call(&self, _: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        Ok(json!({}).into())
    }
}

fn server(limits: Limits) -> Server {
    builder(&Probe::new()).resources(Notes, CacheHints::NONE).limits(limits).build().expect("a server")
}

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

async fn listen(client: &mut Client, id: Value, wanted: Value) -> Value {
    client.ask(&modern(id, "subscriptions/listen", json!({"notifications": wanted}))).await
}

#[tokio::test]
async fn a_legacy_client_hears_of_changes() {
    let server = server(Limits::default());
    for mut client in clients(&server).await {
        assert!(client.ask(&initialize("2025-11-25")).await.get("result").is_some());
        server.add_tool(Extra).expect("a new tool");
        server.remove_tool("extra");
        let ping = client.ask(&request(1, "ping", json!({}))).await;
        assert_eq!(ping["id"], 1, "it isn't ready for news: {ping}");
        client.notify("notifications/initialized", json!({})).await;
        let news = client.receive().await;
        assert_eq!(news["method"], "notifications/tools/list_changed", "{}: {news}", client.kind());
        assert!(news["params"].get("_meta").is_none(), "{news}");

        let subscribe = |id: i64, method: &str| request(id, method, json!({"uri": "note:1"}));
        assert_eq!(client.ask(&subscribe(2, "resources/subscribe")).await["result"], json!({}));
        let unknown = client.ask(&request(3, "resources/subscribe", json!({"uri": "other:1"}))).await;
        assert_eq!(unknown["error"]["code"], -32002, "{unknown}");
        server.notifier().resource_updated("note:2");
        server.notifier().resource_updated("note:1");
        let news = client.receive().await;
        assert_eq!(news["method"], "notifications/resources/updated");
        assert_eq!(news["params"], json!({"uri": "note:1"}));

        assert_eq!(client.ask(&subscribe(4, "resources/unsubscribe")).await["result"], json!({}));
        server.notifier().resource_updated("note:1");
        server.notifier().resources_changed();
        let news = client.receive().await;
        assert_eq!(news["method"], "notifications/resources/list_changed");
        assert!(client.end().await.is_empty());
        assert!(!server.notifier().has_listeners("note:1"));
    }
}

#[tokio::test]
async fn a_modern_client_hears_of_what_it_listens_to() {
    let server = server(Limits::default());
    for mut client in clients(&server).await {
        let wanted = json!({"toolsListChanged": true, "promptsListChanged": true});
        let acknowledged = listen(&mut client, json!("tools"), wanted).await;
        assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(acknowledged["params"]["notifications"], json!({"toolsListChanged": true}));
        assert_eq!(acknowledged["params"]["_meta"][TAG], "tools");
        let wanted = json!({"resourceSubscriptions": ["note:1", "other:1"]});
        let acknowledged = listen(&mut client, json!(2), wanted).await;
        assert_eq!(acknowledged["params"]["notifications"], json!({"resourceSubscriptions": ["note:1"]}));

        server.notifier().resource_updated("note:1");
        let news = client.receive().await;
        assert_eq!(news["method"], "notifications/resources/updated");
        assert_eq!((&news["params"]["uri"], &news["params"]["_meta"][TAG]), (&json!("note:1"), &json!(2)));
        server.notifier().tools_changed();
        let news = client.receive().await;
        assert_eq!(news["method"], "notifications/tools/list_changed");
        assert_eq!(news["params"]["_meta"][TAG], "tools");

        client.notify("notifications/cancelled", json!({"requestId": 2})).await;
        // The connection takes its messages in order, so when this is answered that is cancelled.
        client.ask(&modern(3, "server/discover", json!({}))).await;
        server.notifier().resource_updated("note:1");
        server.notifier().tools_changed();
        let news = client.receive().await;
        assert_eq!(news["params"]["_meta"][TAG], "tools", "the other one goes on, alone: {news}");
        assert!(client.end().await.is_empty());
    }
}

#[tokio::test]
async fn subscriptions_end_with_their_result_when_the_server_closes() {
    for name in ["stdio", "websocket"] {
        let server = server(Limits::default());
        let mut client = clients(&server).await.into_iter().find(|client| client.kind() == name).expect(name);
        for id in [1, 2] {
            listen(&mut client, json!(id), json!({"toolsListChanged": true})).await;
        }
        server.close_streams();
        let mut ended = [client.receive().await, client.receive().await];
        ended.sort_by_key(|answer| answer["id"].as_i64());
        for (answer, id) in ended.iter().zip([1, 2]) {
            assert_eq!(answer["id"], id, "{answer}");
            assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
            assert_eq!(answer["result"]["_meta"][TAG], id, "{answer}");
        }
    }
}

#[tokio::test]
async fn subscriptions_have_a_limit_of_their_own_and_end_with_the_connection() {
    // The drain would hold the test up if a subscription waited for it.
    let drain = Duration::from_mins(10);
    let limits = Limits { max_streams_per_owner: 2, max_in_flight_per_owner: 1, drain, ..Limits::default() };
    let server = server(limits);
    for mut client in clients(&server).await {
        for id in [1, 2] {
            let wanted = json!({"resourceSubscriptions": ["note:1"]});
            let acknowledged = listen(&mut client, json!(id), wanted).await;
            assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged", "{acknowledged}");
        }
        let third = listen(&mut client, json!(3), json!({"toolsListChanged": true})).await;
        assert_eq!(third["error"]["code"], -31503, "{third}");
        assert!(client.ask(&modern(4, "server/discover", json!({}))).await.get("result").is_some());
        assert!(server.notifier().has_listeners("note:1"));
        assert!(client.end().await.is_empty());
        let forgotten = async {
            while server.notifier().has_listeners("note:1") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), forgotten).await.expect("nobody listens any more");
    }
}
