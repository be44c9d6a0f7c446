//! Tools on the wire: their descriptions, the content of results, and the parameters of calls.

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Icon, InputResponses, ResultFrame, key};
use crate::tool::ToolError;

/// Hints for the client; absent ones have the defaults of the specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolAnnotations {
    /// Changes nothing.
    #[serde(rename = "readOnlyHint", default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// May destroy something (the default of the specification).
    #[serde(rename = "destructiveHint", default, skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// A second call with the same arguments changes nothing more.
    #[serde(rename = "idempotentHint", default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Reaches into the world outside (the default of the specification).
    #[serde(rename = "openWorldHint", default, skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// One entry of `tools/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolDescription {
    /// What `tools/call` names.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// For the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema 2020-12 of the arguments; its root is an object.
    pub input_schema: Value,
    /// JSON Schema 2020-12 of the structured content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Value>,
    /// Hints for the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<ToolAnnotations>,
    /// For the client's user interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

/// The result of `tools/list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListToolsResult {
    /// One page of them.
    pub tools: Vec<ToolDescription>,
    /// Asks for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

/// The parameters of `tools/call`, without `_meta`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallToolParams {
    /// Which tool.
    pub name: String,
    /// An object; absent is an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Box<RawValue>>,
    /// Answers to the questions of an earlier round, by key (modern).
    #[serde(rename = "inputResponses", default, skip_serializing_if = "Option::is_none")]
    pub input_responses: Option<InputResponses>,
    /// As the server gave it with the questions (modern).
    #[serde(rename = "requestState", default, skip_serializing_if = "Option::is_none")]
    pub request_state: Option<String>,
}

/// The result of `tools/call`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallToolResult {
    /// For the model.
    #[serde(default)]
    pub content: Vec<Content>,
    /// Follows the tool's `outputSchema`. For the error of a tool see [`CallToolResult::tool_error`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structured_content: Option<Value>,
    /// The tool failed; the content says why.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

/// One block of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text {
        /// UTF-8.
        text: String,
    },
    /// A picture inside the message.
    Image {
        /// The file's bytes; base64 on the wire.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        data: Bytes,
        /// For example `image/png`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// A sound inside the message.
    Audio {
        /// The file's bytes; base64 on the wire.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        data: Bytes,
        /// For example `audio/wav`.
        #[serde(rename = "mimeType")]
        mime_type: String,
    },
    /// Points to something that can be fetched.
    ResourceLink {
        /// Where it is.
        uri: String,
        /// A short identifier, for example the file's name.
        name: String,
        /// For people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        /// For the model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// For example `image/png`.
        #[serde(rename = "mimeType", default, skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// In bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// A resource inside the message: `uri`, `mimeType`, and `text` or `blob`.
    Resource {
        /// As the specification's `TextResourceContents` or `BlobResourceContents`.
        resource: Map<String, Value>,
    },
    /// A kind that this crate doesn't know; never sent.
    #[serde(other)]
    Unknown,
}

impl CallToolResult {
    /// Why the tool failed, where this crate's server says so: `{"code", "message", "remedy"?, "data"?}` under
    /// [`key::TOOL_ERROR`] in `_meta`, or in the structured content.
    pub fn tool_error(&self) -> Option<ToolError> {
        let meta = self.frame.meta.as_ref().and_then(|meta| meta.get(key::TOOL_ERROR));
        let structured = || self.structured_content.as_ref()?.get(key::TOOL_ERROR);
        let error = meta.or_else(structured).filter(|_| self.is_error)?;
        ToolError::deserialize(error).ok()
    }
}

impl Content {
    /// A block of text.
    pub fn text(text: impl Into<String>) -> Content {
        Content::Text { text: text.into() }
    }

    /// A picture from the bytes of its file.
    pub fn image(data: impl Into<Bytes>, mime_type: impl Into<String>) -> Content {
        Content::Image { data: data.into(), mime_type: mime_type.into() }
    }

    /// A link with no more than its address and name.
    pub fn link(uri: impl Into<String>, name: impl Into<String>) -> Content {
        Content::ResourceLink {
            uri: uri.into(),
            name: name.into(),
            title: None,
            description: None,
            mime_type: None,
            size: None,
        }
    }
}

fn to_base64<S: Serializer>(data: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(data, &STANDARD))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map(Bytes::from).map_err(|_| de::Error::custom("the data is not base64"))
}
