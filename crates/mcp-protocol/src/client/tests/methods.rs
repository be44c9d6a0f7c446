//! The methods of MCP, over pipes: what goes out, and what is made of the answer.

use serde_json::{Map, Value, json};

use super::fake::soon;
use super::over_stream::{Far, legacy, modern, open_with};
use crate::client::{CallOptions, ClientError, PeerOptions};
use crate::wire::{
    CompleteParams, CompletionArgument, CompletionReference, Content, LogLevel, PromptMessage, Role,
};

/// Answers the next requests with these results and gives their methods and params back.
async fn serve(far: &mut Far, results: Vec<Value>) -> Vec<(String, Value)> {
    let mut seen = Vec::new();
    for result in results {
        let request = soon(far.next()).await;
        far.answer(&request, &result).await;
        let mut params = request["params"].clone();
        params.as_object_mut().unwrap().remove("_meta");
        seen.push((request["method"].as_str().unwrap().to_owned(), params));
    }
    seen
}

#[tokio::test]
async fn lists_are_followed_page_by_page() {
    let (peer, mut far) = open_with(PeerOptions::default(), modern).await;
    let peer = peer.unwrap();
    let pages = [
        json!({"resources": [{"uri": "x://1", "name": "one", "size": 3}], "nextCursor": "2"}),
        json!({"resources": [{"uri": "x://2", "name": "two"}], "nextCursor": ""}),
        json!({"resources": [], "resultType": "complete"}),
    ];
    let (resources, seen) = tokio::join!(peer.list_resources(), serve(&mut far, pages.into()));
    let uris: Vec<String> = resources.unwrap().into_iter().map(|resource| resource.uri).collect();
    assert_eq!(uris, ["x://1", "x://2"]);
    let list = "resources/list".to_owned();
    assert_eq!(
        seen,
        [(list.clone(), json!({})), (list.clone(), json!({"cursor": "2"})), (list, json!({"cursor": ""}))]
    );

    let templates = json!({"resourceTemplates": [{"uriTemplate": "x://{id}", "name": "t"}]});
    let (templates, seen) = tokio::join!(peer.list_resource_templates(), serve(&mut far, vec![templates]));
    assert_eq!(templates.unwrap()[0].uri_template, "x://{id}");
    assert_eq!(seen[0].0, "resources/templates/list");

    let prompts = json!({"prompts": [{"name": "p", "arguments": [{"name": "a", "required": true}]}]});
    let (prompts, seen) = tokio::join!(peer.list_prompts(), serve(&mut far, vec![prompts]));
    assert!(prompts.unwrap()[0].arguments[0].required);
    assert_eq!(seen[0].0, "prompts/list");
}

#[tokio::test]
async fn a_list_without_end_is_given_up_and_one_too_large_refused() {
    let options = PeerOptions { max_message_bytes: 20_000, ..PeerOptions::default() };
    let (peer, mut far) = open_with(options, modern).await;
    let peer = peer.unwrap();
    let server = async {
        for page in 0..100 {
            serve(&mut far, vec![json!({"prompts": [], "nextCursor": page.to_string()})]).await;
        }
    };
    let (prompts, ()) = tokio::join!(peer.list_prompts(), server);
    assert_eq!(prompts.unwrap(), []);
    let page = |n: u32| json!({"prompts": [{"name": "x".repeat(9_000)}], "nextCursor": n.to_string()});
    let (prompts, _) = tokio::join!(peer.list_prompts(), serve(&mut far, vec![page(1), page(2), page(3)]));
    assert!(matches!(prompts, Err(ClientError::TooLarge { limit: 20_000 })));
}

#[tokio::test]
async fn each_method_has_its_params_and_its_result() {
    let (peer, mut far) = open_with(PeerOptions::default(), legacy).await;
    let peer = peer.unwrap();

    let contents = json!({"contents": [{"uri": "x://1", "blob": "aGk="}]});
    let (read, seen) =
        tokio::join!(peer.read_resource("x://1", CallOptions::default()), serve(&mut far, vec![contents]));
    assert_eq!(read.unwrap().contents[0].bytes().unwrap(), "hi");
    assert_eq!(seen, [("resources/read".to_owned(), json!({"uri": "x://1"}))]);

    let messages = json!({"messages": [{"role": "assistant", "content": {"type": "text", "text": "yes"}}]});
    let arguments = Map::from_iter([("a".to_owned(), json!("b"))]);
    let (prompt, seen) = tokio::join!(
        peer.get_prompt("p", arguments, CallOptions::default()),
        serve(&mut far, vec![messages])
    );
    assert_eq!(
        prompt.unwrap().messages,
        [PromptMessage { role: Role::Assistant, content: Content::text("yes") }]
    );
    assert_eq!(seen, [("prompts/get".to_owned(), json!({"name": "p", "arguments": {"a": "b"}}))]);

    let params = CompleteParams {
        reference: CompletionReference::Resource { uri: "x://{id}".to_owned() },
        argument: CompletionArgument { name: "id".to_owned(), value: "1".to_owned() },
        context: None,
    };
    let values = json!({"completion": {"values": ["10", "11"], "hasMore": true}});
    let (completion, seen) = tokio::join!(peer.complete(&params), serve(&mut far, vec![values]));
    assert_eq!(completion.unwrap().values, ["10", "11"]);
    assert_eq!(seen[0].1["ref"], json!({"type": "ref/resource", "uri": "x://{id}"}));
    assert_eq!(seen[0].1["argument"], json!({"name": "id", "value": "1"}));

    let (level, seen) = tokio::join!(peer.set_log_level(LogLevel::Notice), serve(&mut far, vec![json!({})]));
    level.unwrap();
    assert_eq!(seen, [("logging/setLevel".to_owned(), json!({"level": "notice"}))]);

    let (pong, seen) = tokio::join!(peer.ping(), serve_bare(&mut far));
    pong.unwrap();
    assert_eq!(seen, "ping");
}

async fn serve_bare(far: &mut Far) -> String {
    let request = soon(far.next()).await;
    assert_eq!(request["params"].get("_meta"), None);
    far.answer(&request, &json!({})).await;
    request["method"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_modern_server_learns_the_log_level_with_each_call() {
    const LEVEL: &str = "io.modelcontextprotocol/logLevel";
    let (peer, mut far) = open_with(PeerOptions::default(), modern).await;
    let peer = peer.unwrap();
    peer.set_log_level(LogLevel::Warning).await.unwrap();
    for (options, expected) in [
        (CallOptions::default(), "warning"),
        (CallOptions::default().log_level(LogLevel::Debug), "debug"),
        (CallOptions::default(), "warning"),
    ] {
        let server = async {
            let request = soon(far.next()).await;
            far.answer(&request, &json!({"content": []})).await;
            request["params"]["_meta"][LEVEL].clone()
        };
        let (result, level) = tokio::join!(peer.call_tool("x", json!({}), options), server);
        result.unwrap();
        assert_eq!(level, expected);
    }
}
