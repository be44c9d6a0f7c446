//! The peer against servers that misbehave, over real sockets and pipes.

mod fake;
mod over_http;
mod over_stream;
