//! What a person sees on standard error while a job is under way.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use mcp_client::{Job, JobState, JobUpdate};

use super::report::clean;

/// Steps of the bar: tenths of a percent.
const STEPS: u64 = 1000;

/// A bar on a terminal, lines elsewhere, or nothing.
pub(super) enum Display {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl Display {
    /// What suits standard error.
    pub(super) fn for_stderr() -> Display {
        if !std::io::stderr().is_terminal() {
            return Display::Lines;
        }
        let bar = ProgressBar::new(STEPS);
        let template = "{spinner} {bar:30.cyan/blue} {percent:>3} % {elapsed} {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Display::Bar(bar)
    }

    /// Shows the news.
    pub(super) fn update(&self, update: &JobUpdate) {
        match self {
            Display::Silent => {}
            Display::Bar(bar) => match update {
                JobUpdate::State(job) => {
                    bar.set_message(state_text(job));
                    if let Some(progress) = job.progress {
                        bar.set_position(steps(progress));
                    }
                }
                JobUpdate::Progress { fraction, message } => {
                    // A retry begins anew on the server; the bar doesn't run backwards for it.
                    bar.set_position(steps(*fraction).max(bar.position()));
                    if let Some(message) = message {
                        bar.set_message(clean(message));
                    }
                }
                JobUpdate::Retrying { reason } => bar.set_message(format!("trying again: {}", clean(reason))),
                JobUpdate::Finished(_) => {}
            },
            Display::Lines => {
                let line = match update {
                    JobUpdate::State(job) => format!("job {}: {}", clean(&job.id), state_text(job)),
                    JobUpdate::Retrying { reason } => format!("trying again: {}", clean(reason)),
                    JobUpdate::Progress { .. } | JobUpdate::Finished(_) => return,
                };
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Display::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn steps(fraction: f64) -> u64 {
    (fraction.clamp(0.0, 1.0) * STEPS as f64) as u64
}

/// The state with what belongs to it, as `queued, 2 jobs ahead`.
pub(super) fn state_text(job: &Job) -> String {
    match (job.state, job.position, &job.message) {
        (JobState::Queued, Some(0), _) => "queued, next in line".to_owned(),
        (JobState::Queued, Some(1), _) => "queued, 1 job ahead".to_owned(),
        (JobState::Queued, Some(ahead), _) => format!("queued, {ahead} jobs ahead"),
        (JobState::Running, _, Some(message)) => format!("running: {}", clean(message)),
        (state, ..) => state.as_str().to_owned(),
    }
}
