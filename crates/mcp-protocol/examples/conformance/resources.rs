//! Resources: a text, a picture, one to watch, and a template.

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{ResourceContents, ResourceDescription, ResourceTemplate};
use mcp_protocol::{CallContext, Completion, CompletionContext, Page, ResourceReply, Resources, error};
use serde_json::json;

use crate::content::PNG;

const WATCHED: &str = "test://watched-resource";

pub(crate) struct Fixtures;

#[async_trait]
impl Resources for Fixtures {
    async fn list(
        &self,
        _: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned> {
        if let Some(cursor) = cursor {
            return Err(error::bad_cursor(cursor));
        }
        let all = [
            ("test://static-text", "static-text", "text/plain"),
            ("test://static-binary", "static-binary", "image/png"),
            (WATCHED, "watched-resource", "text/plain"),
        ];
        let described = all.map(|(uri, name, mime_type)| ResourceDescription {
            uri: uri.to_owned(),
            name: name.to_owned(),
            description: Some("A fixture of the conformance suite.".to_owned()),
            mime_type: Some(mime_type.to_owned()),
            ..ResourceDescription::default()
        });
        Ok(Page::whole(described.into()))
    }

    fn templates(&self) -> Vec<ResourceTemplate> {
        vec![ResourceTemplate {
            uri_template: "test://template/{id}/data".to_owned(),
            name: "template".to_owned(),
            description: Some("A fixture of the conformance suite.".to_owned()),
            mime_type: Some("application/json".to_owned()),
            ..ResourceTemplate::default()
        }]
    }

    async fn read(&self, _: &CallContext, uri: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned> {
        let contents = match uri {
            "test://static-text" => {
                let text = "This is the content of the static text resource.";
                ResourceContents::text(uri, "text/plain", text)
            }
            "test://static-binary" => ResourceContents::blob(uri, "image/png", PNG),
            WATCHED => ResourceContents::text(uri, "text/plain", "Watch me."),
            _ => match uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data")) {
                Some(id) => {
                    let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                    ResourceContents::text(uri, "application/json", data.to_string())
                }
                None => return Ok(None),
            },
        };
        Ok(Some(contents.into()))
    }

    async fn may_subscribe(&self, _: &CallContext, uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(uri == WATCHED)
    }

    fn can_subscribe(&self) -> bool {
        true
    }

    async fn complete(
        &self,
        _: &CallContext,
        _: &str,
        _: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::of(["123", "456"], typed))
    }
}
