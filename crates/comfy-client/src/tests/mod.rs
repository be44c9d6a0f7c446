//! Runs against a scripted ComfyUI, over real sockets.

use std::time::Duration;

use tokio::time::timeout;
use workflow_analyzer::Graph;

use crate::{Execution, RunEvent, RunOutcome, RunRequest};

mod cancels;
mod endpoints;
mod fake;
mod faults;
mod link;
mod runs;
mod transfers;

fn request(graph: &Graph) -> RunRequest {
    RunRequest::new(uuid::Uuid::new_v4().to_string(), graph.clone())
}

/// The next event; none within a time that nothing here needs is a failure.
async fn next(execution: &mut Execution) -> Option<RunEvent> {
    timeout(Duration::from_secs(20), execution.next()).await.expect("the next event comes")
}

/// Everything until `wanted`.
async fn until(execution: &mut Execution, wanted: impl Fn(&RunEvent) -> bool) -> Vec<RunEvent> {
    let mut events = Vec::new();
    while let Some(event) = next(execution).await {
        let is_wanted = wanted(&event);
        events.push(event);
        if is_wanted {
            return events;
        }
    }
    panic!("the run ended first: {events:?}");
}

/// Everything, after checking that the end comes once, and last.
async fn all(execution: &mut Execution) -> Vec<RunEvent> {
    let events = until(execution, |event| matches!(event, RunEvent::Finished(_))).await;
    assert_eq!(next(execution).await, None);
    events
}

async fn outcome(execution: &mut Execution) -> RunOutcome {
    match all(execution).await.pop() {
        Some(RunEvent::Finished(outcome)) => outcome,
        other => panic!("{other:?}"),
    }
}

/// The events in short, without pictures.
fn brief(events: &[RunEvent]) -> Vec<String> {
    let line = |event: &RunEvent| match event {
        RunEvent::Submitted { number, .. } => format!("submitted {number}"),
        RunEvent::Transport(transport) => format!("{transport:?}"),
        RunEvent::Started => "started".to_owned(),
        RunEvent::Cached { nodes } => format!("cached {}", nodes.join(" ")),
        RunEvent::NodeStarted { node } => format!("{node} begins"),
        RunEvent::NodeProgress { node, value, max } => format!("{node} {value}/{max}"),
        RunEvent::NodeFinished { node } => format!("{node} ends"),
        RunEvent::NodeText { node, text } => format!("{node} says {text}"),
        RunEvent::Preview { .. } => "preview".to_owned(),
        RunEvent::Finished(RunOutcome::Succeeded { outputs, texts }) => {
            let files = outputs.iter().map(|output| output.file.filename.clone());
            let texts = texts.iter().map(|text| format!("{:?}", text.text));
            files.chain(texts).collect::<Vec<_>>().join(" ")
        }
        RunEvent::Finished(outcome) => format!("{outcome:?}"),
    };
    events.iter().map(line).collect()
}
