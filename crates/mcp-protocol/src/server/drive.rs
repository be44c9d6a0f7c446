//! Running a call beside a channel that may be slow or gone.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Answer, Call};
use crate::error;
use crate::outbox::Parcel;

/// What a transport sends to the caller of one request.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The text of a notification that the next one may stand for.
    Note(String),
    /// The text of a notification or of a request to the client that has to arrive.
    Kept(String),
    /// Let the client come back for the rest after this time.
    Close(Duration),
    /// The last one.
    Answer(Answer),
}

impl From<Parcel> for Frame {
    fn from(parcel: Parcel) -> Self {
        match parcel {
            Parcel::Note(text) => Frame::Note(text),
            Parcel::Kept(text) => Frame::Kept(text),
            Parcel::Close(retry) => Frame::Close(retry),
        }
    }
}

/// Cancels a call that takes longer than this.
pub(super) async fn within(time: Duration, answer: BoxFuture<'static, Answer>) -> Answer {
    tokio::time::timeout(time, answer).await.unwrap_or_else(|_| Err(error::timed_out(time)))
}

impl Call {
    /// The next frame, while the call runs inside whoever polls this. Cancel-safe; ends with the answer.
    pub(crate) async fn next(&mut self) -> Frame {
        let Call { answer, channel, done } = self;
        loop {
            if let Some(parcel) = channel.outbox.take() {
                return parcel.into();
            }
            if let Some(answer) = done.take() {
                return Frame::Answer(answer);
            }
            // A call that ends at once never waits for its outbox, which is emptied first all the same.
            tokio::select! {
                biased;
                ended = &mut *answer => *done = Some(ended),
                parcel = channel.outbox.next() => return parcel.into(),
            }
        }
    }

    /// Waits while the call runs on, and no longer than it does.
    pub(crate) async fn unless_ended(&mut self, wait: impl Future<Output = ()>) {
        if self.done.is_some() {
            return;
        }
        tokio::select! {
            () = wait => {}
            ended = &mut self.answer => self.done = Some(ended),
        }
    }

    /// Runs the call to its end, or until it is cancelled (then `None`). The call never waits for `sender`: while
    /// that is full, notifications pile up in the call's outbox; once it is closed, they are dropped.
    pub(crate) async fn drive<T>(
        mut self,
        sender: &mpsc::Sender<T>,
        wrap: impl Fn(String) -> T,
    ) -> Option<Answer> {
        let cancelled = self.channel.cancelled.clone();
        loop {
            let text = tokio::select! {
                () = cancelled.cancelled() => return None,
                frame = self.next() => match frame {
                    Frame::Answer(answer) => return Some(answer),
                    Frame::Note(text) | Frame::Kept(text) => text,
                    // Only a stream that can be resumed can be closed in the middle.
                    Frame::Close(_) => continue,
                },
            };
            let permit = loop {
                tokio::select! {
                    // A call that has ended has an answer, whoever cancelled it.
                    () = cancelled.cancelled(), if self.done.is_none() => return None,
                    permit = sender.reserve() => break permit,
                    ended = &mut self.answer, if self.done.is_none() => self.done = Some(ended),
                }
            };
            if let Ok(permit) = permit {
                permit.send(wrap(text));
            }
        }
    }
}
