//! Reading, and the subscriptions of the legacy era.

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::json;

use super::server;
use crate::connection::testing::{Client, request};
use crate::testing::Caller;
use crate::wire::ResourceDescription;
use crate::{CacheHints, CallContext, Page, ResourceReply, Resources, Server, ServerInfo};

#[tokio::test]
async fn text_and_bytes_can_be_read() {
    let caller = Caller::of(&server()).await;
    let text = caller.ask("resources/read", json!({"uri": "test://one"})).await;
    assert_eq!(text["contents"], json!([{"uri": "test://one", "mimeType": "text/plain", "text": "words"}]));
    assert_eq!((&text["ttlMs"], &text["cacheScope"]), (&json!(0), &json!("private")));
    let bytes = caller.ask("resources/read", json!({"uri": "test://two"})).await;
    let expected = json!([{"uri": "test://two", "mimeType": "application/octet-stream", "blob": "AJ+Slg=="}]);
    assert_eq!(bytes["contents"], expected);
}

#[tokio::test]
async fn what_there_is_not_has_the_code_of_its_era() {
    let server = server();
    let caller = Caller::of(&server).await;
    let refused = caller.refused("resources/read", json!({"uri": "test://none"})).await;
    assert_eq!((&refused["code"], &refused["data"]), (&json!(-32602), &json!({"uri": "test://none"})));
    let hidden = caller.user("eve").refused("resources/read", json!({"uri": "test://ann"})).await;
    assert_eq!(hidden["code"], -32602, "another's resource doesn't exist");
    assert_eq!(hidden["message"], r#"there is no resource "test://ann""#);
    assert!(
        caller.user("ann").ask("resources/read", json!({"uri": "test://ann"})).await["contents"].is_array()
    );
    for params in [json!({}), json!({"uri": 12})] {
        assert_eq!(caller.code("resources/read", params).await, -32602);
    }

    let mut client = Client::stdio(server);
    client.initialize(&json!({})).await;
    for (id, method) in [(1, "resources/read"), (2, "resources/subscribe")] {
        let answer = client.ask(&request(id, method, json!({"uri": "test://ann"}))).await;
        assert_eq!(answer["error"]["code"], -32002, "{method}");
        assert_eq!(answer["error"]["data"], json!({"uri": "test://ann"}));
    }
}

#[tokio::test]
async fn a_session_subscribes_to_so_many_and_no_more() {
    let server = Server::builder(ServerInfo::default()).resources(Endless, CacheHints::NONE).build().unwrap();
    let mut client = Client::stdio(server);
    client.initialize(&json!({})).await;
    for number in 0..1000 {
        let subscribe = request(number, "resources/subscribe", json!({"uri": format!("test://{number}")}));
        assert_eq!(client.ask(&subscribe).await["result"], json!({}));
    }
    let again = client.ask(&request(1, "resources/subscribe", json!({"uri": "test://0"}))).await;
    assert_eq!(again["result"], json!({}), "that one is there already");
    let one_more = request(1, "resources/subscribe", json!({"uri": "test://1000"}));
    assert_eq!(client.ask(&one_more).await["error"]["code"], -32600);
    let unsubscribe = request(1, "resources/unsubscribe", json!({"uri": "test://0"}));
    assert_eq!(client.ask(&unsubscribe).await["result"], json!({}));
    assert_eq!(client.ask(&one_more).await["result"], json!({}));
}

/// Whatever is asked for.
struct Endless;

#[async_trait]
impl Resources for Endless {
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

    async fn may_subscribe(&self, _: &CallContext, _: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(true)
    }

    fn can_subscribe(&self) -> bool {
        true
    }
}
