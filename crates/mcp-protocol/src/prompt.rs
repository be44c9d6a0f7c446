//! Prompts: messages that a person picks, filled with arguments.

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value};

use crate::context::CallContext;
use crate::wire::{Completion, CompletionContext, Content, PromptDescription, PromptMessage, Role};

/// A prompt. Arguments are texts; the required ones are there when it is called.
#[async_trait]
pub trait Prompt: Send + Sync + 'static {
    /// Everything `prompts/list` says; asked for once.
    fn description(&self) -> PromptDescription;

    /// Fills it. May ask ([`CallContext::input`]).
    async fn get(&self, cx: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned>;

    /// Values for an argument.
    async fn complete(
        &self,
        _cx: CallContext,
        _argument: &str,
        _typed: &str,
        _context: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::default())
    }
}

/// The arguments of a prompt, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arguments(pub(crate) Map<String, Value>);

/// A filled prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptReply {
    /// What it is for; `None` is the description of the prompt itself.
    pub description: Option<String>,
    /// For the model.
    pub messages: Vec<PromptMessage>,
}

impl Arguments {
    /// The argument, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

impl PromptReply {
    /// One message of the user.
    pub fn user(content: impl Into<Content>) -> PromptReply {
        PromptReply {
            description: None,
            messages: vec![PromptMessage { role: Role::User, content: content.into() }],
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Content::text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Content::text(text)
    }
}
