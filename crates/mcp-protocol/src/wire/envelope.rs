//! JSON-RPC 2.0 envelopes as MCP narrows them: ids are integers or strings, and there are no batches.

use std::borrow::Cow;
use std::fmt;

use jsonrpsee::types::ErrorObjectOwned;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The id of a request: an integer or a string, never null or a fraction (MCP, basic: requests).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestId {
    /// An integer of 64 bits; negative ones are ids like any other.
    Number(i64),
    /// A string of the sender's choosing.
    String(String),
}

/// One message of either side.
#[derive(Clone, Debug)]
pub enum Message {
    /// Expects an answer.
    Request(Request),
    /// Has no id and is never answered: method and parameters.
    Notification {
        /// For example `notifications/cancelled`.
        method: String,
        /// The parameters as they came.
        params: Option<Box<RawValue>>,
    },
    /// Answers an earlier request.
    Response(Response),
}

/// A request with its parameters still unparsed.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the answer has to carry.
    pub id: RequestId,
    /// For example `tools/call`.
    pub method: String,
    /// The parameters as they came.
    pub params: Option<Box<RawValue>>,
}

/// A result or an error; only an error about an unreadable message has no id.
#[derive(Clone, Debug)]
pub struct Response {
    /// The id of the request.
    pub id: Option<RequestId>,
    /// The result as it came, or the error object.
    pub payload: Result<Box<RawValue>, ErrorObjectOwned>,
}

/// Why a text isn't a message.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// JSON-RPC -32700.
    #[error("the message is not valid JSON")]
    Syntax(#[source] serde_json::Error),
    /// JSON-RPC -32600: valid JSON that isn't a message.
    #[error("{reason}")]
    Invalid {
        /// The id, where it could be read.
        id: Option<RequestId>,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Message {
    /// Parses one message. Parameters and results stay raw text, so that nothing is parsed twice.
    pub fn parse(text: &[u8]) -> Result<Message, ParseError> {
        if text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            return Err(invalid(None, "batches are not part of MCP; send one message at a time"));
        }
        let raw: RawEnvelope<'_> = serde_json::from_slice(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => invalid(None, "the message is not a JSON-RPC object"),
            _ => ParseError::Syntax(error),
        })?;
        raw.into_message()
    }
}

/// Every member is read as raw text first, so that the id survives when another member is wrong.
#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Keeps a `null` that is there apart from a member that isn't.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl RawEnvelope<'_> {
    fn into_message(self) -> Result<Message, ParseError> {
        let id = self.id.map(|raw| serde_json::from_str::<RequestId>(raw.get()).ok());
        let known = id.clone().flatten();
        if self.jsonrpc.is_none_or(|version| version.get() != r#""2.0""#) {
            return Err(invalid(known, r#"member "jsonrpc" has to be "2.0""#));
        }
        let Some(method) = self.method else { return self.into_response(known) };
        let Ok(method) = serde_json::from_str::<Cow<'_, str>>(method.get()) else {
            return Err(invalid(known, r#"member "method" has to be a string"#));
        };
        let method = method.into_owned();
        if self.params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(invalid(known, r#"member "params" has to be an object"#));
        }
        let params = self.params.map(ToOwned::to_owned);
        match id {
            None => Ok(Message::Notification { method, params }),
            Some(Some(id)) => Ok(Message::Request(Request { id, method, params })),
            Some(None) => Err(invalid(None, r#"member "id" has to be a string or an integer of 64 bits"#)),
        }
    }

    fn into_response(self, id: Option<RequestId>) -> Result<Message, ParseError> {
        let payload = match (self.result, self.error) {
            (Some(result), None) if id.is_some() => Ok(result.to_owned()),
            (None, Some(error)) => Err(serde_json::from_str::<ErrorObjectOwned>(error.get())
                .map_err(|_| invalid(id.clone(), r#"member "error" is not a JSON-RPC error object"#))?),
            _ => {
                return Err(invalid(
                    id,
                    "the message is neither a request, nor a notification, nor a response",
                ));
            }
        };
        Ok(Message::Response(Response { id, payload }))
    }
}

fn invalid(id: Option<RequestId>, reason: &'static str) -> ParseError {
    ParseError::Invalid { id, reason }
}

/// The text of a request.
pub fn request<P: Serialize>(id: &RequestId, method: &str, params: &P) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Outgoing {
        id: Some(id),
        method: Some(method),
        params: Some(params),
        ..Outgoing::<P, ()>::empty()
    })
}

/// The text of a notification.
pub fn notification<P: Serialize>(method: &str, params: &P) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Outgoing {
        method: Some(method),
        params: Some(params),
        ..Outgoing::<P, ()>::empty()
    })
}

/// The text of an answer. An error without an id is written without the member, as MCP wants it.
pub fn response(id: Option<&RequestId>, payload: &Result<Box<RawValue>, ErrorObjectOwned>) -> String {
    // Room for all of a result, which may be long, and for what is around it.
    let mut text = Vec::with_capacity(payload.as_ref().map_or(0, |result| result.get().len()) + 128);
    let written = match payload {
        Ok(result) => serde_json::to_writer(
            &mut text,
            &Outgoing { id, result: Some(result), ..Outgoing::<(), _>::empty() },
        ),
        Err(error) => serde_json::to_writer(
            &mut text,
            &Outgoing { id, error: Some(error), ..Outgoing::<(), ()>::empty() },
        ),
    };
    written.ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_else(|| INTERNAL.to_owned())
}

/// The last resort where an answer can't be serialised; its parts are JSON already, so this isn't reached.
const INTERNAL: &str = r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"internal error"}}"#;

#[derive(Serialize)]
struct Outgoing<'a, P, R> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a P>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorObjectOwned>,
}

impl<P, R> Outgoing<'_, P, R> {
    fn empty() -> Self {
        Outgoing { jsonrpc: "2.0", id: None, method: None, params: None, result: None, error: None }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Number(number) => write!(f, "{number}"),
            RequestId::String(text) => f.write_str(text),
        }
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RequestId::Number(number) => serializer.serialize_i64(*number),
            RequestId::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequestIdVisitor)
    }
}

struct RequestIdVisitor;

impl Visitor<'_> for RequestIdVisitor {
    type Value = RequestId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an integer of 64 bits")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RequestId, E> {
        Ok(RequestId::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<RequestId, E> {
        i64::try_from(number)
            .map(RequestId::Number)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RequestId, E> {
        Ok(RequestId::String(text.to_owned()))
    }
}
