//! Lists: their pages, how long they may be kept, and what their entries carry.

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use super::{Greeting, builder, server};
use crate::connection::testing::{Client, request};
use crate::testing::{Caller, FnTool};
use crate::wire::{
    CacheScope, Icon, PromptDescription, ResourceAnnotations, ResourceDescription, ResourceTemplate, Role,
    ToolAnnotations, ToolDescription,
};
use crate::{
    Arguments, CacheHints, CallContext, DynTool, Limits, Page, Prompt, PromptReply, ResourceReply, Resources,
    Server, ServerInfo, ToolError, ToolReply,
};

/// The names on each page of a list.
async fn pages(caller: &Caller, method: &str, member: &str) -> Vec<Vec<String>> {
    let (mut pages, mut params) = (Vec::new(), json!({}));
    loop {
        let page = caller.ask(method, params).await;
        let names = page[member].as_array().expect("a list").iter();
        pages.push(names.map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect());
        assert_eq!(page["ttlMs"].as_u64().map(|ttl| ttl > 0), Some(true), "{page}");
        assert_eq!(page["cacheScope"], "public", "{page}");
        match page["nextCursor"].as_str() {
            Some(cursor) => params = json!({"cursor": cursor}),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let mut builder = builder().limits(Limits { page_size: 2, ..Limits::default() });
    for name in ["b", "c", "d"] {
        builder = builder.dyn_tool(FnTool::new(name, |_, _| async { Ok(Value::Null.into()) }));
    }
    for name in ["second", "third"] {
        builder = builder.prompt(Greeting(name));
    }
    let caller = Caller::of(&builder.build().unwrap()).await;
    assert_eq!(pages(&caller, "tools/list", "tools").await, [["echo", "b"], ["c", "d"]]);
    let prompts = pages(&caller, "prompts/list", "prompts").await;
    assert_eq!(prompts, [vec!["greeting", "second"], vec!["third"]]);
    let templates = pages(&caller, "resources/templates/list", "resourceTemplates").await;
    assert_eq!(templates, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);

    let cursor = caller.ask("tools/list", json!({})).await["nextCursor"].take();
    assert_eq!(caller.code("prompts/list", json!({"cursor": cursor})).await, -32602, "of another list");
    for junk in [json!(""), json!("2"), json!("dG9vbHM6OTk"), json!("dG9vbHM6LTE"), json!(2), json!({})] {
        for method in ["tools/list", "prompts/list", "resources/templates/list"] {
            assert_eq!(caller.code(method, json!({"cursor": junk})).await, -32602, "{method} {junk}");
        }
    }
}

#[tokio::test]
async fn resources_have_pages_of_their_own() {
    let caller = Caller::of(&server()).await;
    let first = caller.ask("resources/list", json!({})).await;
    assert_eq!(first["resources"], json!([{"uri": "test://one", "name": "something"}]));
    assert_eq!((&first["ttlMs"], &first["cacheScope"]), (&json!(0), &json!("private")));
    let last = caller.ask("resources/list", json!({"cursor": first["nextCursor"]})).await;
    assert_eq!(last["resources"][0]["uri"], "test://two");
    assert!(last.get("nextCursor").is_none(), "the third is Ann's: {last}");
    let of_ann = caller.user("ann").ask("resources/list", json!({"cursor": "after-1"})).await;
    assert_eq!(of_ann["nextCursor"], "after-2");
    assert_eq!(caller.code("resources/list", json!({"cursor": "after-all"})).await, -32602);
}

#[tokio::test]
async fn legacy_lists_carry_nothing_modern() {
    let mut client = Client::stdio(server());
    client.initialize(&json!({})).await;
    for (id, method, member) in [
        (1, "tools/list", "tools"),
        (2, "prompts/list", "prompts"),
        (3, "resources/list", "resources"),
        (4, "resources/templates/list", "resourceTemplates"),
    ] {
        let mut answer = client.ask(&request(id, method, json!({}))).await;
        answer["result"].as_object_mut().expect("a result").remove("nextCursor");
        let members: Vec<_> = answer["result"].as_object().expect("a result").keys().collect();
        assert_eq!(members, [member]);
        let bad = client.ask(&request(id, method, json!({"cursor": "?"}))).await;
        assert_eq!(bad["error"]["code"], -32602, "{method}");
    }
}

/// A tool, a prompt and resources with everything that helps to show them.
struct Shown;

fn icon() -> Icon {
    Icon {
        src: "https://example.com/icon.svg".to_owned(),
        mime_type: Some("image/svg+xml".to_owned()),
        sizes: vec!["any".to_owned()],
        theme: Some("dark".to_owned()),
    }
}

fn annotations() -> ResourceAnnotations {
    ResourceAnnotations {
        audience: vec![Role::User, Role::Assistant],
        priority: Some(0.5),
        last_modified: Some("2026-01-01T00:00:00Z".to_owned()),
    }
}

#[async_trait]
impl DynTool for Shown {
    fn description(&self) -> ToolDescription {
        ToolDescription {
            name: "shown".to_owned(),
            title: Some("Shown".to_owned()),
            input_schema: json!({"type": "object"}),
            output_schema: Some(json!({"type": "object"})),
            annotations: Some(ToolAnnotations {
                read_only: Some(true),
                destructive: Some(false),
                idempotent: Some(true),
                open_world: None,
            }),
            icons: vec![icon()],
            ..ToolDescription::default()
        }
    }

    async fn call(&self, _: CallContext, _: Map<String, Value>) -> Result<ToolReply<Value>, ToolError> {
        Ok(json!({}).into())
    }
}

#[async_trait]
impl Prompt for Shown {
    fn description(&self) -> PromptDescription {
        let title = Some("Shown".to_owned());
        PromptDescription { name: "shown".to_owned(), title, icons: vec![icon()], ..Default::default() }
    }

    async fn get(&self, _: CallContext, _: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        Ok(PromptReply::user("words"))
    }
}

#[async_trait]
impl Resources for Shown {
    async fn list(
        &self,
        _: &CallContext,
        _: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        Ok(Page::whole(vec![ResourceDescription {
            uri: "test://shown".to_owned(),
            name: "shown".to_owned(),
            size: Some(12),
            annotations: Some(annotations()),
            icons: vec![icon()],
            ..ResourceDescription::default()
        }]))
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        vec![ResourceTemplate {
            uri_template: "test://{id}".to_owned(),
            name: "shown".to_owned(),
            annotations: Some(annotations()),
            icons: vec![icon()],
            ..ResourceTemplate::default()
        }]
    }

    async fn read(&self, _: &CallContext, _: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        Ok(None)
    }
}

#[tokio::test]
async fn entries_carry_what_helps_to_show_them() {
    let info = ServerInfo {
        icons: vec![icon()],
        website_url: Some("https://example.com".to_owned()),
        ..Default::default()
    };
    let hour = CacheHints { ttl: std::time::Duration::from_hours(1), scope: CacheScope::Private };
    let server =
        Server::builder(info).dyn_tool(Shown).prompt(Shown).resources(Shown, hour).cache_hints(hour).build();
    let caller = Caller::of(&server.unwrap()).await;
    let icons = json!([{
        "src": "https://example.com/icon.svg", "mimeType": "image/svg+xml", "sizes": ["any"], "theme": "dark",
    }]);
    let notes = json!({
        "audience": ["user", "assistant"], "priority": 0.5, "lastModified": "2026-01-01T00:00:00Z",
    });
    let tools = caller.ask("tools/list", json!({})).await;
    assert_eq!((&tools["ttlMs"], &tools["cacheScope"]), (&json!(3_600_000), &json!("private")));
    let tool = json!({
        "name": "shown",
        "title": "Shown",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": true, "destructiveHint": false, "idempotentHint": true},
        "icons": icons,
    });
    assert_eq!(tools["tools"], json!([tool]));
    let prompts = caller.ask("prompts/list", json!({})).await;
    assert_eq!(prompts["prompts"], json!([{"name": "shown", "title": "Shown", "icons": icons}]));
    let resources = caller.ask("resources/list", json!({})).await;
    let resource =
        json!({"uri": "test://shown", "name": "shown", "size": 12, "annotations": notes, "icons": icons});
    assert_eq!(resources["resources"], json!([resource]));
    assert_eq!(resources["ttlMs"], 3_600_000);
    let templates = caller.ask("resources/templates/list", json!({})).await;
    let template =
        json!({"uriTemplate": "test://{id}", "name": "shown", "annotations": notes, "icons": icons});
    assert_eq!(templates["resourceTemplates"], json!([template]));

    let discovered = caller.ask("server/discover", json!({})).await;
    let identity = &discovered["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!((&identity["icons"], &identity["websiteUrl"]), (&icons, &json!("https://example.com")));
    let resources = &discovered["capabilities"]["resources"];
    assert_eq!(*resources, json!({"listChanged": true}), "nobody may subscribe here");
}
