//! What a server asks its client: the same in both eras, only the way differs (2025-11-25, client/elicitation,
//! client/sampling, client/roots; 2026-07-28, basic/patterns/mrtr).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ResultFrame;

/// A question of the server while it works on a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params")]
pub enum InputRequest {
    /// Asks the person.
    #[serde(rename = "elicitation/create")]
    Elicit(Elicitation),
    /// Asks the client's model; the params of `sampling/createMessage`.
    #[serde(rename = "sampling/createMessage")]
    Sample(Map<String, Value>),
    /// Asks for the folders that the client works in.
    #[serde(rename = "roots/list")]
    ListRoots(Map<String, Value>),
}

/// A question to the person. `Url` isn't in 2025-06-18.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Elicitation {
    /// Something to do in a browser; nothing of it comes back but consent.
    #[serde(rename_all = "camelCase")]
    Url {
        /// Always `url`.
        mode: UrlMode,
        /// Why.
        message: String,
        /// Where.
        url: String,
        /// In the legacy era: names it in `notifications/elicitation/complete`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        elicitation_id: Option<String>,
    },
    /// A form.
    #[serde(rename_all = "camelCase")]
    Form {
        /// What is asked, and why.
        message: String,
        /// A flat object schema: properties of primitive types and enums.
        requested_schema: Value,
    },
}

/// The `mode` of [`Elicitation::Url`]. A form has none, which every revision takes for a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UrlMode {
    /// The only one.
    #[default]
    #[serde(rename = "url")]
    Url,
}

/// What the person did with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElicitAction {
    /// Answered.
    Accept,
    /// Said no.
    Decline,
    /// Closed it without a choice.
    Cancel,
}

/// The answer to [`InputRequest::Elicit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ElicitResult {
    /// What the person did.
    pub action: ElicitAction,
    /// The form's values, with `accept`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub content: Map<String, Value>,
}

/// The capability of a client that a question needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// `elicitation`, with forms.
    ElicitForm,
    /// `elicitation`, with URLs.
    ElicitUrl,
    /// `sampling`.
    Sampling,
    /// `roots`.
    Roots,
}

/// The answers to questions, by their keys, as a client gives them.
pub type InputResponses = Map<String, Value>;

/// A modern result that asks before it is complete.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputRequiredResult {
    /// By keys of the server's choosing.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub input_requests: Map<String, Value>,
    /// Comes back as it is with the next round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_state: Option<String>,
    /// Modern members; `resultType` is `input_required`.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

impl InputRequest {
    /// A form with a message and a flat object schema.
    pub fn form(message: impl Into<String>, requested_schema: Value) -> InputRequest {
        InputRequest::Elicit(Elicitation::Form { message: message.into(), requested_schema })
    }

    /// A question to the client's model, as a text of the user.
    pub fn sample(prompt: &str, max_tokens: u32) -> InputRequest {
        InputRequest::Sample(Map::from_iter([
            ("messages".to_owned(), json!([{"role": "user", "content": {"type": "text", "text": prompt}}])),
            ("maxTokens".to_owned(), json!(max_tokens)),
        ]))
    }

    /// The folders that the client works in.
    pub fn roots() -> InputRequest {
        InputRequest::ListRoots(Map::new())
    }

    /// Its method, for example `elicitation/create`.
    pub fn method(&self) -> &'static str {
        match self {
            InputRequest::Elicit(_) => "elicitation/create",
            InputRequest::Sample(_) => "sampling/createMessage",
            InputRequest::ListRoots(_) => "roots/list",
        }
    }

    /// What the client has to be able to.
    pub fn kind(&self) -> InputKind {
        match self {
            InputRequest::Elicit(Elicitation::Form { .. }) => InputKind::ElicitForm,
            InputRequest::Elicit(Elicitation::Url { .. }) => InputKind::ElicitUrl,
            InputRequest::Sample(_) => InputKind::Sampling,
            InputRequest::ListRoots(_) => InputKind::Roots,
        }
    }
}

impl InputKind {
    /// Whether a client with these capabilities can be asked. An `elicitation` without modes means forms.
    pub fn is_in(self, capabilities: &Value) -> bool {
        let elicitation = capabilities.get("elicitation").and_then(Value::as_object);
        match self {
            InputKind::ElicitForm => {
                elicitation.is_some_and(|modes| modes.contains_key("form") || !modes.contains_key("url"))
            }
            InputKind::ElicitUrl => elicitation.is_some_and(|modes| modes.contains_key("url")),
            InputKind::Sampling => capabilities.get("sampling").is_some_and(Value::is_object),
            InputKind::Roots => capabilities.get("roots").is_some_and(Value::is_object),
        }
    }

    /// As `requiredCapabilities` of an error says it.
    pub fn required(self) -> Value {
        match self {
            InputKind::ElicitForm => json!({"elicitation": {"form": {}}}),
            InputKind::ElicitUrl => json!({"elicitation": {"url": {}}}),
            InputKind::Sampling => json!({"sampling": {}}),
            InputKind::Roots => json!({"roots": {}}),
        }
    }
}
