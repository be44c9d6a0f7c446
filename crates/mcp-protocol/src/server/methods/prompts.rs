//! Prompts, and completion of the arguments of prompts and resource templates.

use std::sync::{Arc, PoisonError};

use jsonrpsee::types::ErrorObjectOwned;
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::rounds::{Answered, Origin};
use super::{ListParams, Module, parsed, register as add};
use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS, quoted};
use crate::nearest::nearest;
use crate::prompt::Arguments;
use crate::server::{Core, RegisteredPrompt};
use crate::wire::{
    CompleteParams, CompleteResult, Completion, CompletionReference, Era, GetPromptParams, GetPromptResult,
    ListPromptsResult, PromptDescription,
};

pub(super) fn register(core: &Arc<Core>, module: &mut Module) {
    if core.has_prompts {
        add(module, "prompts/list", |core, cx, params| async move {
            core.list_prompts(cx.era(), &parsed(&params)?)
        });
        add(module, "prompts/get", |core, cx, params| async move {
            let params = parsed(&params)?;
            core.get_prompt(cx, params).await
        });
    }
    if core.has_prompts || core.resources.is_some() {
        add(module, "completion/complete", |core, cx, params| async move {
            let params = parsed(&params)?;
            core.complete(cx, params).await
        });
    }
}

impl Core {
    fn list_prompts(&self, era: Era, params: &ListParams) -> Result<ListPromptsResult, ErrorObjectOwned> {
        let prompts = self.prompts.read().unwrap_or_else(PoisonError::into_inner).clone();
        let descriptions = prompts.iter().map(|prompt| &prompt.description);
        let (page, next_cursor) = params.page("prompts", descriptions, self.page_size)?;
        let prompts = page.into_iter().cloned().collect();
        Ok(ListPromptsResult { prompts, next_cursor, frame: self.cacheable(era, self.cache) })
    }

    async fn get_prompt(
        &self,
        mut cx: CallContext,
        params: GetPromptParams,
    ) -> Result<Answered<GetPromptResult>, ErrorObjectOwned> {
        let registered = self.prompt(&params.name)?;
        let raw = to_raw_value(&params.arguments).map_err(|_| error::internal())?;
        let arguments = checked(&registered.description, params.arguments)?;
        let origin = Origin { method: "prompts/get", target: &params.name, arguments: Some(&raw) };
        cx.round = self.round(&cx, origin, params.input_responses, params.request_state.as_deref())?;
        let era = cx.era();
        let filled = registered.prompt.get(cx.clone(), arguments);
        Ok(match self.until_asked(&cx, origin, filled).await? {
            Ok(reply) => Answered::Complete(GetPromptResult {
                description: reply.description.or_else(|| registered.description.description.clone()),
                messages: reply.messages,
                frame: self.frame(era),
            }),
            Err(questions) => Answered::InputRequired(questions),
        })
    }

    fn prompt(&self, name: &str) -> Result<Arc<RegisteredPrompt>, ErrorObjectOwned> {
        let prompts = self.prompts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = prompts.iter().find(|prompt| prompt.description.name == name) {
            return Ok(Arc::clone(found));
        }
        let hint = match nearest(name, prompts.iter().map(|prompt| prompt.description.name.as_str())) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => "prompts/list names those there are".to_owned(),
        };
        Err(error::error(INVALID_PARAMS, format!("there is no prompt {}; {hint}", quoted(name))))
    }

    async fn complete(
        &self,
        cx: CallContext,
        params: CompleteParams,
    ) -> Result<CompleteResult, ErrorObjectOwned> {
        let era = cx.era();
        let context = params.context.unwrap_or_default();
        let (name, typed) = (&params.argument.name, &params.argument.value);
        let mut completion = match &params.reference {
            CompletionReference::Prompt { name: prompt } => {
                let registered = self.prompt(prompt)?;
                registered.prompt.complete(cx, name, typed, &context).await?
            }
            CompletionReference::Resource { uri } => match &self.resources {
                Some(resources) => resources.complete(&cx, uri, name, typed, &context).await?,
                None => Completion::default(),
            },
        };
        if completion.values.len() > Completion::MOST {
            completion.values.truncate(Completion::MOST);
            completion.has_more = Some(true);
        }
        Ok(CompleteResult { completion, frame: self.frame(era) })
    }
}

/// All arguments are texts, the required ones are there, and there are no others.
fn checked(
    description: &PromptDescription,
    arguments: serde_json::Map<String, Value>,
) -> Result<Arguments, ErrorObjectOwned> {
    let invalid = |message: String| error::error(INVALID_PARAMS, message);
    for (name, value) in &arguments {
        if !description.arguments.iter().any(|argument| argument.name == *name) {
            let known: Vec<_> = description.arguments.iter().map(|argument| argument.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(invalid(format!(
                "prompt {} has no argument {}; it has: {known}",
                description.name,
                quoted(name)
            )));
        }
        if !value.is_string() {
            return Err(invalid(format!("argument {} has to be a string", quoted(name))));
        }
    }
    match description.arguments.iter().find(|known| known.required && !arguments.contains_key(&known.name)) {
        Some(missing) => {
            Err(invalid(format!("prompt {} needs the argument {:?}", description.name, missing.name)))
        }
        None => Ok(Arguments(arguments)),
    }
}
