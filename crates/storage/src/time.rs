//! Times in the database: unix milliseconds.

use jiff::Timestamp;

pub(crate) fn to_millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

pub(crate) fn from_millis(millis: i64) -> Result<Timestamp, jiff::Error> {
    Timestamp::from_millisecond(millis)
}

/// What a time will be after it was stored: what is given out now and what is read later must be the same.
pub(crate) fn as_stored(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
