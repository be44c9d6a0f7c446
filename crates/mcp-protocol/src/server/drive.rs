//! Running a call beside a channel that may be slow or gone.

use tokio::sync::mpsc;

use super::{Answer, Call};

/// What a transport sends to the caller of one request.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The text of a notification.
    Note(String),
    /// The last one.
    Answer(Answer),
}

impl Call {
    /// The next frame, while the call runs inside whoever polls this. Cancel-safe; ends with the answer.
    pub(crate) async fn next(&mut self) -> Frame {
        let Call { answer, channel, done } = self;
        loop {
            if let Some(note) = channel.outbox.take() {
                return Frame::Note(note);
            }
            if let Some(answer) = done.take() {
                return Frame::Answer(answer);
            }
            tokio::select! {
                note = channel.outbox.next() => return Frame::Note(note),
                ended = &mut *answer => *done = Some(ended),
            }
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
            let note = tokio::select! {
                () = cancelled.cancelled() => return None,
                frame = self.next() => match frame {
                    Frame::Answer(answer) => return Some(answer),
                    Frame::Note(note) => note,
                },
            };
            let permit = loop {
                tokio::select! {
                    () = cancelled.cancelled() => return None,
                    permit = sender.reserve() => break permit,
                    ended = &mut self.answer, if self.done.is_none() => self.done = Some(ended),
                }
            };
            if let Ok(permit) = permit {
                permit.send(wrap(note));
            }
        }
    }
}
