//! Event streams with replay, and the progress of a graph.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use progress::{Event, Hub, HubConfig, Progress, StateChange};
//!
//! let hub = Hub::new(HubConfig::default());
//! let state = |name: &str| Event::State(StateChange { state: name.into(), message: None });
//! let percent = |fraction| Event::Progress(Progress { fraction, ..Progress::default() });
//!
//! hub.publish("job-1", state("running"));
//! hub.publish("job-1", percent(0.25));
//! hub.publish("job-1", percent(0.5));
//! hub.publish("job-1", state("succeeded"));
//! hub.close("job-1");
//!
//! // A late subscriber gets every change of state, and the latest progress alone.
//! let mut late = hub.subscribe("job-1", None);
//! let mut seen = Vec::new();
//! while let Some(envelope) = late.next().await {
//!     seen.push(envelope.event);
//! }
//! assert_eq!(seen, [state("running"), percent(0.5), state("succeeded")]);
//! # }
//! ```

mod event;
mod graph;
mod hub;
mod stream;

pub use event::{Envelope, Event, Preview, Progress, StateChange};
pub use graph::GraphProgress;
pub use hub::{Hub, HubConfig};
pub use stream::Subscription;
