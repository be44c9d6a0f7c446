//! Requests in rounds: what a modern request was asked before, and what it is asked now (2026-07-28,
//! basic/patterns/mrtr).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jsonrpsee::types::ErrorObjectOwned;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS};
use crate::input::Round;
use crate::server::Core;
use crate::server::state::{State, fingerprint};
use crate::session::SessionOwner;
use crate::wire::{CreateTaskResult, Era, InputRequiredResult, InputResponses};

/// The answer to a request that may ask, or go on as a task.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Answered<R> {
    Complete(R),
    Task(Box<CreateTaskResult>),
    InputRequired(Box<InputRequiredResult>),
}

/// What makes two rounds the same request.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) arguments: Option<&'a RawValue>,
}

impl Origin<'_> {
    fn fingerprint(&self) -> String {
        let arguments = self.arguments.and_then(|raw| serde_json::from_str(raw.get()).ok());
        fingerprint(self.method, self.target, &arguments.unwrap_or_else(|| Value::Object(Map::new())))
    }
}

impl Core {
    /// The answers that the request brings along. A state that this server hasn't made for this very request and caller
    /// is refused.
    pub(super) fn round(
        &self,
        cx: &CallContext,
        origin: Origin<'_>,
        responses: Option<InputResponses>,
        state: Option<&str>,
    ) -> Result<Round, ErrorObjectOwned> {
        if cx.era() == Era::Legacy || (responses.is_none() && state.is_none()) {
            return Ok(Round::First);
        }
        let sealed = match state {
            Some(sealed) => {
                self.seal
                    .open(sealed)
                    .filter(|state| state.owner == owner(cx) && state.request == origin.fingerprint())
                    .ok_or_else(foreign_state)?
                    .answers
            }
            None => Map::new(),
        };
        let mut answers = responses.unwrap_or_default();
        // What the handler has gone by already stays as it was.
        answers.extend(sealed);
        Ok(Round::Answered(Arc::new(answers)))
    }

    /// Runs a handler to its end (`Ok`), or until it asks something (`Err`), which ends this run of it.
    pub(super) async fn until_asked<R>(
        &self,
        cx: &CallContext,
        origin: Origin<'_>,
        handler: impl Future<Output = Result<R, ErrorObjectOwned>>,
    ) -> Result<Result<R, Box<InputRequiredResult>>, ErrorObjectOwned> {
        tokio::select! {
            biased;
            ended = handler => ended.map(Ok),
            () = cx.channel().asked.notified() => self.input_required(cx, origin).map(Err),
        }
    }

    fn input_required(
        &self,
        cx: &CallContext,
        origin: Origin<'_>,
    ) -> Result<Box<InputRequiredResult>, ErrorObjectOwned> {
        let questions = std::mem::take(&mut *locked(&cx.channel().questions));
        let input_requests = questions
            .into_iter()
            .map(|(key, request)| serde_json::to_value(request).map(|request| (key, request)))
            .collect::<Result<Map<_, _>, _>>()
            .map_err(|_| error::internal())?;
        let used = std::mem::take(&mut *locked(&cx.channel().used_answers));
        let state = State::new(owner(cx), origin.fingerprint(), used);
        let mut frame = self.frame(Era::Modern);
        frame.result_type = Some("input_required".to_owned());
        Ok(Box::new(InputRequiredResult {
            input_requests,
            request_state: Some(self.seal.seal(&state)),
            frame,
        }))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn owner(cx: &CallContext) -> Option<String> {
    cx.extension::<SessionOwner>().map(|owner| owner.0.clone())
}

fn foreign_state() -> ErrorObjectOwned {
    let message = "requestState is not one of this server for this request and caller, or it is too old; \
                   send the request again without requestState and inputResponses";
    error::error(INVALID_PARAMS, message)
}
