//! The suites of the traits.

use std::sync::Mutex;

use super::Temporary;

#[tokio::test]
async fn jobs_pass_the_suite() {
    let kept = Mutex::new(Vec::new());
    job_queue::contract::run(async || {
        let temporary = Temporary::new().await;
        let jobs = temporary.storage.jobs();
        kept.lock().unwrap().push(temporary);
        jobs
    })
    .await;
}

#[tokio::test]
async fn keys_pass_the_suite() {
    let kept = Mutex::new(Vec::new());
    auth::contract::run(async || {
        let temporary = Temporary::new().await;
        let keys = temporary.storage.keys();
        kept.lock().unwrap().push(temporary);
        keys
    })
    .await;
}

#[tokio::test]
async fn sessions_pass_the_suite() {
    let temporary = Temporary::new().await;
    mcp_protocol::session::contract::run(&*temporary.storage.sessions()).await;
}
