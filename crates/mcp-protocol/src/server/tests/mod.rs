//! The methods of both eras, as clients see them.

mod changes;
mod lists;
mod prompts;
mod records;
mod resources;
mod rounds;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};

use crate::testing::FnTool;
use crate::wire::{
    PromptArgument, PromptDescription, ResourceContents, ResourceDescription, ResourceTemplate,
};
use crate::{
    Arguments, CacheHints, CallContext, Completion, CompletionContext, InputRequest, Page, Prompt,
    PromptReply, ResourceReply, Resources, Server, ServerBuilder, ServerInfo, SessionOwner, error,
};

/// A server with a tool, a prompt and a shelf.
fn builder() -> ServerBuilder {
    let info = ServerInfo { name: "test".to_owned(), version: "1.2.3".to_owned(), ..ServerInfo::default() };
    let echo = FnTool::new("echo", |_, arguments| async { Ok(Value::Object(arguments).into()) });
    Server::builder(info).dyn_tool(echo).prompt(Greeting("greeting")).resources(Shelf, CacheHints::NONE)
}

fn server() -> Server {
    builder().build().unwrap()
}

/// A form that asks for one text.
fn form(field: &str) -> InputRequest {
    let schema = json!({"type": "object", "properties": {field: {"type": "string"}}, "required": [field]});
    InputRequest::form(format!("{field}?"), schema)
}

/// Greets somebody, in a language if it is told one.
struct Greeting(&'static str);

#[async_trait]
impl Prompt for Greeting {
    fn description(&self) -> PromptDescription {
        let argument =
            |name: &str, required| PromptArgument { name: name.to_owned(), required, ..Default::default() };
        PromptDescription {
            name: self.0.to_owned(),
            description: Some("Greets somebody.".to_owned()),
            arguments: vec![argument("name", true), argument("language", false)],
            ..PromptDescription::default()
        }
    }

    async fn get(&self, _: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let name = arguments.get("name").unwrap_or_default();
        let language = arguments.get("language").unwrap_or("English");
        Ok(PromptReply::user(format!("Greet {name} in {language}.")))
    }

    /// 150 names, or the languages that a name has.
    async fn complete(
        &self,
        _: CallContext,
        argument: &str,
        typed: &str,
        context: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        let given = context.arguments.get("name").and_then(Value::as_str);
        Ok(match (argument, given) {
            ("name", _) => {
                let values = (0..150).map(|number| format!("name-{number}")).collect();
                Completion { values, ..Completion::default() }
            }
            ("language", Some("Ada")) => Completion::of(["English", "Old English", "French"], typed),
            _ => Completion::default(),
        })
    }
}

/// Two resources for everybody, one for Ann alone, and one that asks who reads it.
struct Shelf;

const SHARED: [&str; 2] = ["test://one", "test://two"];
const ANNS: &str = "test://ann";
const ASKING: &str = "test://asking";

impl Shelf {
    fn may_see(cx: &CallContext, uri: &str) -> bool {
        let is_ann = cx.extension::<SessionOwner>().is_some_and(|owner| owner.0 == "ann");
        SHARED.contains(&uri) || uri == ASKING || (uri == ANNS && is_ann)
    }
}

#[async_trait]
impl Resources for Shelf {
    /// One on each page.
    async fn list(
        &self,
        cx: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        let start = match cursor {
            Some(cursor) => {
                let place = cursor.strip_prefix("after-").and_then(|place| place.parse().ok());
                place.ok_or_else(|| error::bad_cursor(cursor))?
            }
            None => 0,
        };
        let all = [SHARED[0], SHARED[1], ANNS].into_iter().filter(|uri| Shelf::may_see(cx, uri));
        let mut rest = all.skip(start);
        let described = |uri: &str| ResourceDescription {
            uri: uri.to_owned(),
            name: "something".to_owned(),
            ..ResourceDescription::default()
        };
        let items = rest.next().map(described).into_iter().collect();
        Ok(Page { items, next: rest.next().map(|_| format!("after-{}", start + 1)) })
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        let template = |name: &&str| ResourceTemplate {
            uri_template: format!("test://{name}/{{id}}"),
            name: (*name).to_owned(),
            ..ResourceTemplate::default()
        };
        ["a", "b", "c", "d", "e"].iter().map(template).collect()
    }

    async fn read(&self, cx: &CallContext, uri: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        if !Shelf::may_see(cx, uri) {
            return Ok(None);
        }
        let contents = match uri {
            "test://two" => ResourceContents::blob(uri, "application/octet-stream", &[0, 159, 146, 150]),
            ASKING => {
                let answer: Value = cx.input("who", form("name")).await?;
                ResourceContents::text(uri, "application/json", answer["content"].to_string())
            }
            _ => ResourceContents::text(uri, "text/plain", "words"),
        };
        Ok(Some(contents.into()))
    }

    async fn may_subscribe(&self, cx: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(Shelf::may_see(cx, uri))
    }

    fn can_subscribe(&self) -> bool {
        true
    }

    async fn complete(
        &self,
        _: &CallContext,
        template: &str,
        variable: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        let known = (template, variable) == ("test://a/{id}", "id");
        Ok(if known { Completion::of(["1", "12", "2"], typed) } else { Completion::default() })
    }
}
