//! The tables, as sea-orm sees them. Times are unix milliseconds; what is JSON is kept as text, so that no
//! number loses bits.

pub(crate) mod artifact;
pub(crate) mod audit;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod session;
pub(crate) mod session_call;
