//! What a server asks while it works on a call: the person, the model, or the folders of the client.

use std::sync::Arc;

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Map, Value, json};

use crate::error::{INVALID_PARAMS, METHOD_NOT_FOUND, error};
use crate::wire::{Elicitation, InputKind, InputRequest, TASKS_EXTENSION};

/// Answers what a server asks.
#[async_trait]
pub trait InputHandler: Send + Sync {
    /// What it can answer. It is declared to the server, and nothing else is passed on to
    /// [`answer`](InputHandler::answer).
    fn kinds(&self) -> Vec<InputKind>;

    /// Answers one question with an [`ElicitResult`](crate::wire::ElicitResult), the result of
    /// `sampling/createMessage` or that of `roots/list`, as JSON. An error goes to a legacy server as it is; a modern
    /// one can't be told, and the call that it asked for fails.
    ///
    /// The future is dropped when the server takes the question back, or the connection ends.
    async fn answer(&self, question: InputRequest) -> Result<Value, ErrorObjectOwned>;
}

/// A handler that is a function.
pub fn input_fn<F, A>(kinds: impl Into<Vec<InputKind>>, answer: F) -> Arc<dyn InputHandler>
where
    F: Fn(InputRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Value, ErrorObjectOwned>> + Send + 'static,
{
    Arc::new(InputFn { kinds: kinds.into(), answer })
}

/// The values that a form proposes itself: the `default` of each property that has one. What a person leaves alone is
/// answered with these.
pub fn form_defaults(requested_schema: &Value) -> Map<String, Value> {
    let properties = requested_schema.get("properties").and_then(Value::as_object);
    let default =
        |(name, property): (&String, &Value)| Some((name.clone(), property.get("default")?.clone()));
    properties.into_iter().flatten().filter_map(default).collect()
}

struct InputFn<F> {
    kinds: Vec<InputKind>,
    answer: F,
}

#[async_trait]
impl<F, A> InputHandler for InputFn<F>
where
    F: Fn(InputRequest) -> A + Send + Sync,
    A: Future<Output = Result<Value, ErrorObjectOwned>> + Send,
{
    fn kinds(&self) -> Vec<InputKind> {
        self.kinds.clone()
    }

    async fn answer(&self, question: InputRequest) -> Result<Value, ErrorObjectOwned> {
        (self.answer)(question).await
    }
}

/// The capabilities of a client that answers these. Tasks are an extension of the modern era.
pub(super) fn capabilities(kinds: &[InputKind], extensions: &[&str]) -> Value {
    let mut capabilities = Map::new();
    let mut modes = Map::new();
    for kind in kinds {
        match kind {
            InputKind::ElicitForm => modes.insert("form".to_owned(), json!({})),
            InputKind::ElicitUrl => modes.insert("url".to_owned(), json!({})),
            InputKind::Sampling => capabilities.insert("sampling".to_owned(), json!({})),
            InputKind::Roots => capabilities.insert("roots".to_owned(), json!({})),
        };
    }
    if !modes.is_empty() {
        capabilities.insert("elicitation".to_owned(), Value::Object(modes));
    }
    if !extensions.is_empty() {
        let extensions: Map<_, _> = extensions.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        capabilities.insert("extensions".to_owned(), Value::Object(extensions));
    }
    Value::Object(capabilities)
}

/// The extensions of a client that takes tasks, or doesn't.
pub(super) fn extensions(tasks: bool) -> &'static [&'static str] {
    if tasks { &[TASKS_EXTENSION] } else { &[] }
}

/// A question of the server, if it is one that this client knows, or what to answer instead.
pub(super) fn question(method: &str, params: Option<Value>) -> Result<InputRequest, ErrorObjectOwned> {
    if !matches!(method, "elicitation/create" | "sampling/createMessage" | "roots/list") {
        return Err(error(METHOD_NOT_FOUND, "this client has no such method"));
    }
    let question = json!({"method": method, "params": params.unwrap_or_else(|| json!({}))});
    serde_json::from_value(question)
        .map_err(|cause| error(INVALID_PARAMS, format!("the params don't fit {method}: {cause}")))
}

/// The refusal of a question that was not declared (2025-11-25, client/elicitation: error handling).
pub(super) fn undeclared(question: &InputRequest) -> ErrorObjectOwned {
    match question {
        InputRequest::Elicit(Elicitation::Form { .. }) => error(INVALID_PARAMS, "this client shows no forms"),
        InputRequest::Elicit(Elicitation::Url { .. }) => error(INVALID_PARAMS, "this client opens no URLs"),
        _ => error(METHOD_NOT_FOUND, "this client has no such method"),
    }
}
