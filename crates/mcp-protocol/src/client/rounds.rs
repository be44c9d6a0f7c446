//! Modern calls that are answered with questions: they are made again, with the answers (2026-07-28,
//! basic/patterns/mrtr).

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::connection::Connection;
use super::error::{ClientError, shortened};
use super::input;
use super::options::OnProgress;
use super::transport::{self, Call};
use crate::wire::{Era, InputRequiredResult, InputResponses};

/// How often a call is made before its server asks too much.
const MAX_ROUNDS: usize = 16;
/// The most questions of one round.
const MAX_QUESTIONS: usize = 32;

/// How a call has ended.
pub(super) enum Answered {
    Complete(Box<RawValue>),
    /// With a task that goes on.
    Task(Box<RawValue>),
}

impl Connection {
    /// Makes the call until the server asks nothing more.
    pub(super) async fn in_rounds(
        &self,
        mut call: Call<'_>,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Answered, ClientError> {
        for _ in 0..MAX_ROUNDS {
            let result = self.ask(&mut call, on_progress).await?;
            if self.era() == Era::Legacy {
                return Ok(Answered::Complete(result));
            }
            match result_type(call.method, &result)?.as_deref() {
                None | Some("complete") => return Ok(Answered::Complete(result)),
                Some("task") if call.method == "tools/call" && self.options.tasks => {
                    return Ok(Answered::Task(result));
                }
                Some("input_required") => self.next_round(&mut call, &result).await?,
                Some(other) => {
                    let reason = format!("its resultType is {:?}", shortened(other));
                    return Err(ClientError::protocol(call.method, reason));
                }
            }
        }
        Err(ClientError::protocol(call.method, "the server asks for the same call again and again"))
    }

    async fn next_round(&self, call: &mut Call<'_>, result: &RawValue) -> Result<(), ClientError> {
        let asked: InputRequiredResult = transport::typed(call.method, result)?;
        if asked.input_requests.is_empty() && asked.request_state.is_none() {
            return Err(ClientError::protocol(call.method, "it asks for input, and not for which"));
        }
        let answers = self.answers(call.method, &asked.input_requests).await?;
        // The state of this round alone, as it came; none where the server gave none.
        call.params.remove("requestState");
        call.params.remove("inputResponses");
        if let Some(state) = asked.request_state {
            call.params.insert("requestState".to_owned(), Value::String(state));
        }
        if !answers.is_empty() {
            call.params.insert("inputResponses".to_owned(), Value::Object(answers));
        }
        Ok(())
    }

    /// The handler's answers, by the questions' keys; one after the other, as a person gives them.
    pub(super) async fn answers(
        &self,
        method: &str,
        questions: &Map<String, Value>,
    ) -> Result<InputResponses, ClientError> {
        if questions.len() > MAX_QUESTIONS {
            let reason = format!("it asks {} questions at once", questions.len());
            return Err(ClientError::protocol(method, reason));
        }
        let mut answers = InputResponses::new();
        for (key, question) in questions {
            let asked = question.get("method").and_then(Value::as_str).unwrap_or_default();
            let question = input::question(asked, question.get("params").cloned()).map_err(|error| {
                let reason = format!("it asks {:?}: {}", shortened(asked), error.message());
                ClientError::protocol(method, reason)
            })?;
            if !self.incoming.kinds.contains(&question.kind()) {
                return Err(ClientError::InputNeeded { method: method.to_owned(), asked: asked.to_owned() });
            }
            let answer = self.incoming.answer(question).await.map_err(|error| ClientError::InputRefused {
                method: method.to_owned(),
                message: shortened(error.message()),
            })?;
            answers.insert(key.clone(), answer);
        }
        Ok(answers)
    }
}

fn result_type(method: &str, result: &RawValue) -> Result<Option<String>, ClientError> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "resultType")]
        result_type: Option<String>,
    }
    let typed: Typed = transport::typed(method, result)?;
    Ok(typed.result_type)
}
