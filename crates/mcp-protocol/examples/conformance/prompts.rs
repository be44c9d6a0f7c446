//! Prompts: with and without arguments, with a resource, a picture, and a question.

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use mcp_protocol::wire::{ElicitResult, PromptArgument, PromptDescription, PromptMessage, Role};
use mcp_protocol::{
    Arguments, CallContext, Completion, CompletionContext, Content, InputRequest, Prompt, PromptReply,
};
use serde_json::json;

use crate::content::{PNG, embedded};
use crate::fixture::{argument, object};

pub(crate) fn all() -> Vec<Simple> {
    vec![
        Simple::new("test_simple_prompt", "This is a simple prompt for testing."),
        Simple { arguments: &["arg1", "arg2"], ..Simple::new("test_prompt_with_arguments", "") },
        Simple {
            arguments: &["resourceUri"],
            ..Simple::new("test_prompt_with_embedded_resource", "Please process the embedded resource above.")
        },
        Simple::new("test_prompt_with_image", "Please analyze the image above."),
        Simple::new("test_input_required_result_prompt", ""),
    ]
}

pub(crate) struct Simple {
    name: &'static str,
    arguments: &'static [&'static str],
    text: &'static str,
}

impl Simple {
    pub(crate) fn new(name: &'static str, text: &'static str) -> Simple {
        Simple { name, arguments: &[], text }
    }
}

#[async_trait]
impl Prompt for Simple {
    fn description(&self) -> PromptDescription {
        let argument = |name: &&str| PromptArgument {
            name: (*name).to_owned(),
            description: Some("A text.".to_owned()),
            required: true,
            ..PromptArgument::default()
        };
        PromptDescription {
            name: self.name.to_owned(),
            description: Some("A fixture of the conformance suite.".to_owned()),
            arguments: self.arguments.iter().map(argument).collect(),
            ..PromptDescription::default()
        }
    }

    async fn get(&self, cx: CallContext, arguments: Arguments) -> Result<PromptReply, ErrorObjectOwned> {
        let given = |name| arguments.get(name).unwrap_or_default();
        Ok(match self.name {
            "test_prompt_with_arguments" => {
                let (arg1, arg2) = (given("arg1"), given("arg2"));
                PromptReply::user(format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))
            }
            "test_prompt_with_embedded_resource" => {
                let words = "Embedded resource content for testing.";
                self.after(embedded(given("resourceUri"), "text/plain", words))
            }
            "test_prompt_with_image" => self.after(Content::image(PNG, "image/png")),
            "test_input_required_result_prompt" => {
                let fields = json!({"context": {"type": "string"}});
                let form = InputRequest::form("What context should the prompt use?", object(&fields));
                let answer: ElicitResult = cx.input("user_context", form).await?;
                PromptReply::user(format!("Context: {}", argument(&answer.content, "context")))
            }
            _ => PromptReply::user(self.text),
        })
    }

    async fn complete(
        &self,
        _: CallContext,
        _: &str,
        typed: &str,
        _: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::of(["paris", "park", "party"], typed))
    }
}

impl Simple {
    /// The prompt's text after something to look at.
    fn after(&self, content: Content) -> PromptReply {
        let mut reply = PromptReply::user(content);
        reply.messages.push(PromptMessage { role: Role::User, content: self.text.into() });
        reply
    }
}
