//! Asking the client in the middle of a request: the two ways of it behind [`CallContext::input`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jsonrpsee::types::ErrorObjectOwned;
use serde::Deserialize as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::context::CallContext;
use crate::error::{self, MISSING_CLIENT_CAPABILITY};
use crate::tool::ToolError;
use crate::wire::{
    ElicitAction, ElicitResult, Elicitation, InputKind, InputRequest, InputResponses, RequestId, Response,
    notification, request,
};

/// How long a person may take to answer, while a legacy request waits.
const PATIENCE: Duration = Duration::from_mins(10);

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InputError {
    /// The client has not said that it can be asked this.
    #[error("the client can't be asked: it has not declared {}", .0.required())]
    Unsupported(InputKind),
    /// The client answered with an error.
    #[error("the client refused to answer: {}", .0.message())]
    Refused(ErrorObjectOwned),
    /// The answer has another shape than the question wants.
    #[error("the client's answer to {key:?} can't be used: {reason}")]
    Invalid {
        /// The question's key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answered in time.
    #[error("the client has not answered within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The client is gone.
    #[error("the client is gone")]
    Gone,
}

/// What a modern request brings along to the questions of its handler.
#[derive(Clone, Debug)]
pub(crate) enum Round {
    /// The method is none of those that may ask.
    Never,
    /// No answers yet.
    First,
    /// Answers by the keys of their questions, from this round and (sealed) from earlier ones.
    Answered(Arc<InputResponses>),
}

/// The questions to legacy clients that wait for an answer, by who was asked and the question's id.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: Mutex<HashMap<(String, RequestId), oneshot::Sender<Reply>>>,
}

type Reply = Result<Box<RawValue>, ErrorObjectOwned>;

/// Asks one legacy client.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) pending: Arc<Pending>,
    /// The session's id, or what stands for a connection.
    pub(crate) client: String,
}

impl Pending {
    /// Passes an answer to whoever asked; false if nobody (any more) did.
    pub(crate) fn answer(&self, client: &str, response: Response) -> bool {
        let Some(id) = response.id else { return false };
        let waiting =
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&(client.to_owned(), id));
        waiting.is_some_and(|waiting| waiting.send(response.payload).is_ok())
    }

    /// Gives up the questions to a client that is gone.
    pub(crate) fn forget(&self, client: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(asked, _), _| asked != client);
    }
}

/// A question's place among those that wait; its drop takes it out.
struct Waiting<'a> {
    asker: &'a Asker,
    id: RequestId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let key = (self.asker.client.clone(), self.id.clone());
        self.asker.pending.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

impl CallContext {
    /// Modern: answers of this request, or the end of this run of the handler.
    pub(crate) async fn ask_with_result(
        &self,
        questions: Vec<(String, InputRequest)>,
    ) -> Result<Vec<Value>, InputError> {
        let given = match &self.round {
            Round::Answered(answers) => Some(answers),
            Round::First | Round::Never => None,
        };
        let (mut answers, mut open) = (Vec::new(), Vec::new());
        for (key, request) in questions {
            // An answer that isn't one is asked for again.
            match given.and_then(|given| given.get(&key)).filter(|answer| fits(&request, answer)) {
                Some(answer) => answers.push((key, answer.clone())),
                None => open.push((key, request)),
            }
        }
        let channel = self.channel();
        let used = &channel.used_answers;
        used.lock().unwrap_or_else(PoisonError::into_inner).extend(answers.iter().cloned());
        if open.is_empty() {
            return Ok(answers.into_iter().map(|(_, answer)| answer).collect());
        }
        channel.questions.lock().unwrap_or_else(PoisonError::into_inner).extend(open);
        channel.asked.notify_one();
        // Whoever runs the handler drops it now and sends the questions.
        std::future::pending().await
    }

    /// Legacy: requests to the client, all at once.
    pub(crate) async fn ask_with_requests(
        &self,
        questions: Vec<(String, InputRequest)>,
    ) -> Result<Vec<Value>, InputError> {
        let asker = self.channel().asker.as_ref().ok_or(InputError::Gone)?;
        let answers = questions.iter().map(|(key, request)| self.ask(asker, key, request));
        join_all(answers).await.into_iter().collect()
    }

    async fn ask(&self, asker: &Asker, key: &str, question: &InputRequest) -> Result<Value, InputError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = RequestId::String(format!("server-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        let params = match serde_json::to_value(question) {
            Ok(mut value) => value.get_mut("params").map_or_else(|| json!({}), Value::take),
            Err(_) => return Err(InputError::Gone),
        };
        let text = request(&id, question.method(), &params).map_err(|_| InputError::Gone)?;
        let (sender, answer) = oneshot::channel();
        let place = (asker.client.clone(), id.clone());
        asker.pending.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(place, sender);
        let waiting = Waiting { asker, id: id.clone() };
        self.channel().outbox.push_kept(text);
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        drop(waiting);
        match answer {
            Ok(Ok(Ok(result))) => {
                let answer = serde_json::from_str(result.get()).unwrap_or_default();
                if fits(question, &answer) {
                    return Ok(answer);
                }
                let reason = format!("it is no result of {}, or not what was asked for", question.method());
                Err(InputError::Invalid { key: key.to_owned(), reason })
            }
            Ok(Ok(Err(refused))) => Err(InputError::Refused(refused)),
            Ok(Err(_)) => Err(InputError::Gone),
            Err(_) => {
                let cancelled = json!({"requestId": id, "reason": "it took too long"});
                if let Ok(text) = notification("notifications/cancelled", &cancelled) {
                    self.channel().outbox.push_kept(text);
                }
                Err(InputError::TimedOut(PATIENCE))
            }
        }
    }
}

/// Whether this is an answer to the question: of its shape and, for a form, with the values that it asks for.
pub(crate) fn fits(request: &InputRequest, answer: &Value) -> bool {
    match request {
        InputRequest::Elicit(question) => {
            ElicitResult::deserialize(answer).is_ok_and(|result| match question {
                Elicitation::Form { requested_schema, .. } if result.action == ElicitAction::Accept => {
                    // A form that isn't a schema can't be checked.
                    let form = jsonschema::draft202012::options().build(requested_schema);
                    form.is_ok_and(|form| form.is_valid(&Value::Object(result.content)))
                }
                Elicitation::Form { .. } | Elicitation::Url { .. } => true,
            })
        }
        InputRequest::Sample(_) => {
            answer.get("content").is_some_and(|content| content.is_object() || content.is_array())
        }
        InputRequest::ListRoots(_) => answer.get("roots").is_some_and(Value::is_array),
    }
}

impl From<InputError> for ErrorObjectOwned {
    fn from(error: InputError) -> Self {
        match &error {
            InputError::Unsupported(kind) => error::error_with(
                MISSING_CLIENT_CAPABILITY,
                error.to_string(),
                json!({"requiredCapabilities": kind.required()}),
            ),
            _ => error::error(error::INVALID_PARAMS, error.to_string()),
        }
    }
}

impl From<InputError> for ToolError {
    /// What the client can't do becomes a JSON-RPC error, the rest a tool's own.
    fn from(error: InputError) -> Self {
        match &error {
            InputError::Unsupported(kind) => ToolError::missing_capability(kind.required()),
            InputError::Refused(_) => ToolError::new("input_refused", error.to_string()),
            InputError::Invalid { .. } => ToolError::new("input_invalid", error.to_string()),
            InputError::TimedOut(_) => ToolError::new("input_timed_out", error.to_string()),
            InputError::Gone => ToolError::new("input_gone", error.to_string()),
        }
    }
}
