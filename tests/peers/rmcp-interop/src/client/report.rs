//! A line of JSON for each case: `{"case": …, "ok": true or false, "note": …}`.

use std::time::Duration;

use serde_json::json;

/// Nothing takes longer than this; a client that would wait for ever is told as such.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs one case and prints how it went: its note, or its failure.
pub(crate) async fn case(name: &str, work: impl Future<Output = Outcome<String>>) {
    let outcome = match tokio::time::timeout(LIMIT, work).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(format!("not done within {LIMIT:.0?}")),
    };
    let (ok, note) = match outcome {
        Ok(note) => (true, note),
        Err(note) => (false, note),
    };
    println!("{}", json!({"case": name, "ok": ok, "note": note}));
}

pub(crate) fn check(condition: bool, what: impl Into<String>) -> Outcome<()> {
    if condition { Ok(()) } else { Err(what.into().into()) }
}
