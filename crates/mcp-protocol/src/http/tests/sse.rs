//! Reads a stream of events one by one.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

/// One event as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) retry: Option<u64>,
    pub(super) data: String,
    pub(super) comment: bool,
}

impl Event {
    pub(super) fn id(&self) -> &str {
        self.id.as_deref().expect("an id")
    }

    pub(super) fn message(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(super) struct Sse {
    response: Response,
    text: String,
}

impl Sse {
    pub(super) fn of(response: Response) -> Sse {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Sse { response, text: String::new() }
    }

    /// The next event or comment; `None` at the end of the connection.
    pub(super) async fn any(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = parse(event);
                self.text = rest.to_owned();
                return Some(event);
            }
            let chunk = timeout(Duration::from_secs(5), self.response.chunk()).await.expect("too slow");
            let chunk = chunk.expect("a chunk")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next event that isn't a comment.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.any().await?;
            if !event.comment {
                return Some(event);
            }
        }
    }

    /// The next event, which has to be there.
    pub(super) async fn event(&mut self) -> Event {
        self.next().await.expect("an event")
    }

    pub(super) async fn message(&mut self) -> Value {
        self.event().await.message()
    }

    /// All events to the end of the connection.
    pub(super) async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parse(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
            Some(("", _)) => event.comment = true,
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("retry", time)) => event.retry = Some(time.parse().expect("milliseconds")),
            Some(("data", data)) => event.data.push_str(data),
            Some(("event", kind)) => assert_eq!(kind, "message"),
            _ => panic!("not a line of an event: {line:?}"),
        }
    }
    event
}
