//! Event streams with replay, and the progress of a graph.
