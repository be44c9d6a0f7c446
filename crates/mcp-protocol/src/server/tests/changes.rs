//! `subscriptions/listen`, and what changes of lists tell.

use serde_json::{Value, json};

use super::{Greeting, builder, server};
use crate::connection::testing::{Client, request};
use crate::testing::{Caller, FnTool, Listening};
use crate::{BuildError, Server};

const TAG: &str = "io.modelcontextprotocol/subscriptionId";

/// The subscription and what of the wish it has.
async fn listen(caller: &Caller, wanted: Value) -> (Listening, Value) {
    let mut listening = caller.listen(wanted).await;
    let mut first = listening.next().await;
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert!(first["params"]["_meta"][TAG].is_number(), "{first}");
    (listening, first["params"]["notifications"].take())
}

/// The methods of the next messages, each with its resource if it has one.
async fn heard(listening: &mut Listening, most: usize) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..most {
        let message = listening.next().await;
        assert!(message["params"]["_meta"][TAG].is_number(), "{message}");
        let method = message["method"].as_str().unwrap().trim_start_matches("notifications/");
        let uri = message["params"]["uri"].as_str().map(|uri| format!(" {uri}")).unwrap_or_default();
        heard.push(format!("{method}{uri}"));
    }
    heard
}

fn nothing() -> FnTool {
    FnTool::new("late", |_, _| async { Ok(Value::Null.into()) })
}

#[tokio::test]
async fn a_listener_hears_what_it_asked_for_and_no_more() {
    let server = server();
    let caller = Caller::of(&server).await;
    let wanted = json!({"toolsListChanged": true, "resourceSubscriptions": ["test://one"]});
    let (mut listening, agreed) = listen(&caller, wanted.clone()).await;
    assert_eq!(agreed, wanted);
    server.notifier().prompts_changed();
    server.notifier().resources_changed();
    server.notifier().resource_updated("test://two");
    server.notifier().resource_updated("test://one");
    assert_eq!(heard(&mut listening, 1).await, ["resources/updated test://one"]);
    server.notifier().tools_changed();
    assert_eq!(heard(&mut listening, 1).await, ["tools/list_changed"]);
}

#[tokio::test]
async fn each_subscription_is_tagged_with_its_own_request() {
    let server = server();
    let caller = Caller::of(&server).await;
    let mut one = caller.listen(json!({"toolsListChanged": true})).await;
    let mut two = caller.listen(json!({"toolsListChanged": true})).await;
    let (first, second) = (one.next().await, two.next().await);
    assert_ne!(first["params"]["_meta"][TAG], second["params"]["_meta"][TAG]);
    server.notifier().tools_changed();
    assert_eq!(one.next().await["params"]["_meta"], first["params"]["_meta"]);
    assert_eq!(two.next().await["params"]["_meta"], second["params"]["_meta"]);
}

#[tokio::test]
async fn what_cannot_be_had_is_left_out_of_the_agreement() {
    let everything = json!({
        "toolsListChanged": true,
        "promptsListChanged": true,
        "resourcesListChanged": false,
        "resourceSubscriptions": ["test://one", "test://ann", "test://none"],
        "taskIds": ["task-1"],
    });
    let server = server();
    let caller = Caller::of(&server).await;
    let (mut of_eve, agreed) = listen(&caller.user("eve"), everything.clone()).await;
    let expected = json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["test://one"],
    });
    assert_eq!(agreed, expected, "Ann's resource is not for others, and there are no tasks");
    let (mut of_ann, agreed) = listen(&caller.user("ann"), everything.clone()).await;
    assert_eq!(agreed["resourceSubscriptions"], json!(["test://one", "test://ann"]));
    server.notifier().resource_updated("test://ann");
    server.notifier().resource_updated("test://one");
    assert_eq!(heard(&mut of_eve, 1).await, ["resources/updated test://one"]);
    let both = heard(&mut of_ann, 2).await;
    assert_eq!(both, ["resources/updated test://ann", "resources/updated test://one"]);

    let bare = Server::builder(crate::ServerInfo::default()).build().unwrap();
    let (_, agreed) = listen(&Caller::of(&bare).await, everything).await;
    assert_eq!(agreed, json!({"toolsListChanged": true}));
}

#[tokio::test]
async fn a_subscription_has_its_limits() {
    let caller = Caller::of(&server()).await;
    let many: Vec<String> = (0..1001).map(|number| format!("test://{number}")).collect();
    for notifications in
        [json!({"resourceSubscriptions": many}), json!({"toolsListChanged": "yes"}), json!(12)]
    {
        let params = json!({"notifications": notifications});
        assert_eq!(caller.code("subscriptions/listen", params).await, -32602);
    }
    assert_eq!(caller.code("subscriptions/listen", json!({})).await, -32602);
}

#[tokio::test]
async fn a_closing_server_ends_its_subscriptions_with_their_result() {
    let server = server();
    let caller = Caller::of(&server).await;
    let (mut listening, _) = listen(&caller, json!({"toolsListChanged": true})).await;
    server.close_streams();
    let result = listening.next().await["result"].take();
    assert_eq!(result["resultType"], "complete");
    assert!(result["_meta"][TAG].is_number(), "{result}");
}

#[tokio::test]
async fn tools_and_prompts_come_and_go() {
    let server = builder().build().unwrap();
    let caller = Caller::of(&server).await;
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": true});
    let (mut listening, _) = listen(&caller, wanted).await;
    assert_eq!(caller.code("tools/call", json!({"name": "late"})).await, -32602);

    server.add_tool(nothing()).unwrap();
    assert_eq!(heard(&mut listening, 1).await, ["tools/list_changed"]);
    let names = |list: &Value, member: &str| -> Vec<String> {
        let entries = list[member].as_array().unwrap().iter();
        entries.map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&caller.ask("tools/list", json!({})).await, "tools"), ["echo", "late"]);
    assert_eq!(caller.call("late", json!({})).await["resultType"], "complete");
    assert_eq!(server.add_tool(nothing()), Err(BuildError::DuplicateTool("late".to_owned())));
    assert!(server.remove_tool("late") && !server.remove_tool("late"));
    assert_eq!(heard(&mut listening, 1).await, ["tools/list_changed"]);
    assert_eq!(names(&caller.ask("tools/list", json!({})).await, "tools"), ["echo"]);

    server.add_prompt(Greeting("farewell")).unwrap();
    assert_eq!(heard(&mut listening, 1).await, ["prompts/list_changed"]);
    assert_eq!(names(&caller.ask("prompts/list", json!({})).await, "prompts"), ["greeting", "farewell"]);
    let again = server.add_prompt(Greeting("farewell"));
    assert_eq!(again, Err(BuildError::DuplicatePrompt("farewell".to_owned())));
    assert!(server.remove_prompt("farewell") && !server.remove_prompt("farewell"));
    assert_eq!(heard(&mut listening, 1).await, ["prompts/list_changed"]);
    assert_eq!(caller.code("prompts/get", json!({"name": "farewell"})).await, -32602);
}

#[tokio::test]
async fn legacy_clients_hear_of_tools_too() {
    let server = server();
    let mut client = Client::stdio(server.clone());
    client.initialize(&json!({})).await;
    assert_eq!(client.ask(&request(1, "ping", json!({}))).await["result"], json!({}));
    server.add_tool(nothing()).unwrap();
    let told = client.receive().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert!(told["params"].get("_meta").is_none(), "{told}");
    let listen = request(2, "subscriptions/listen", json!({"notifications": {}}));
    assert_eq!(client.ask(&listen).await["error"]["code"], -32601);
}
