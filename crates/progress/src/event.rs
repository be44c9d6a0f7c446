//! What is told about a job while it runs.

use bytes::Bytes;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The state changed; never left out.
    State(StateChange),
    /// How far the job is; only the latest counts.
    Progress(Progress),
    /// A picture of the unfinished result; only the latest counts.
    Preview(Preview),
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Name of the new state.
    pub state: String,
    /// What a person may want to know about it.
    pub message: Option<String>,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Of the whole job, 0 to 1. The hub never lets it fall within a stream: what is lower, such as the beginning of
    /// another attempt, is told with the last fraction.
    pub fraction: f64,
    /// What is being done.
    pub message: Option<String>,
    /// The node of the graph that runs.
    pub node: Option<String>,
    /// Step and number of steps of that node.
    pub step: Option<(u64, u64)>,
}

/// A picture of the unfinished result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Such as `image/jpeg`.
    pub media_type: String,
    /// The encoded picture.
    pub bytes: Bytes,
}

/// An event with its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Rises within a stream, with gaps; at least 1.
    pub seq: u64,
    /// The event.
    pub event: Event,
}
