//! Prompts and completion on the wire (2025-11-25 and 2026-07-28, server/prompts and server/utilities/completion).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Content, Icon, InputResponses, ResultFrame, Role};

/// One entry of `prompts/list`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptDescription {
    /// What `prompts/get` names.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it can be filled with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<PromptArgument>,
    /// For the client's user interface.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub icons: Vec<Icon>,
}

/// A text that a prompt is filled with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PromptArgument {
    /// What `arguments` names.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the prompt can do without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// One message of a prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptMessage {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Content,
}

/// The result of `prompts/list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListPromptsResult {
    /// One page of them.
    pub prompts: Vec<PromptDescription>,
    /// Asks for the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

/// The parameters of `prompts/get`, without `_meta`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetPromptParams {
    /// Which prompt.
    pub name: String,
    /// All values are texts.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
    /// Answers to the questions of an earlier round, by key (modern).
    #[serde(rename = "inputResponses", default, skip_serializing_if = "Option::is_none")]
    pub input_responses: Option<InputResponses>,
    /// As the server gave it with the questions (modern).
    #[serde(rename = "requestState", default, skip_serializing_if = "Option::is_none")]
    pub request_state: Option<String>,
}

/// The result of `prompts/get`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetPromptResult {
    /// What the prompt is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For the model.
    pub messages: Vec<PromptMessage>,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

/// What a completion is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum CompletionReference {
    /// An argument of a prompt.
    #[serde(rename = "ref/prompt")]
    Prompt {
        /// Which prompt.
        name: String,
    },
    /// A variable of a resource template.
    #[serde(rename = "ref/resource")]
    Resource {
        /// The template, as `resources/templates/list` gives it.
        uri: String,
    },
}

/// The parameters of `completion/complete`, without `_meta`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteParams {
    /// What the argument is of.
    #[serde(rename = "ref")]
    pub reference: CompletionReference,
    /// The argument that is being typed.
    pub argument: CompletionArgument,
    /// What is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<CompletionContext>,
}

/// An argument while it is being typed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompletionArgument {
    /// Which.
    pub name: String,
    /// What is typed so far.
    pub value: String,
}

/// The arguments that are filled already.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CompletionContext {
    /// All values are texts.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub arguments: Map<String, Value>,
}

/// Values that fit what is typed so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// The best first, at most [`Completion::MOST`].
    pub values: Vec<String>,
    /// How many fit in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// Whether more fit than `values` has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
}

/// The result of `completion/complete`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteResult {
    /// The values.
    pub completion: Completion,
    /// Modern members.
    #[serde(flatten)]
    pub frame: ResultFrame,
}

impl Completion {
    /// The most values of one answer (both eras).
    pub const MOST: usize = 100;

    /// Those of `choices` that fit what is typed: first those that begin with it, then those that contain it, without
    /// regard to case.
    pub fn of<'a>(choices: impl IntoIterator<Item = &'a str>, typed: &str) -> Completion {
        let typed = typed.to_lowercase();
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for choice in choices {
            let lower = choice.to_lowercase();
            if lower.starts_with(&typed) {
                first.push(choice.to_owned());
            } else if lower.contains(&typed) {
                rest.push(choice.to_owned());
            }
        }
        first.append(&mut rest);
        let total = first.len();
        first.truncate(Completion::MOST);
        Completion { has_more: Some(first.len() < total), values: first, total: Some(total) }
    }
}
