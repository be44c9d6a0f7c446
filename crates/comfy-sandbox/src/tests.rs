//! The sandbox as its clients see it: over real sockets.

mod client;
mod faults;
mod files;
mod pictures;
mod queue;
mod runs;
