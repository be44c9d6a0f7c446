//! The end-to-end suite: what a user does, from an MCP client to ComfyUI and back.
//!
//! Every case starts gateways of its own in front of one ComfyUI, which may be the sandbox or a real one; it is told
//! nothing of the models there but what the gateway lists. Pictures are small and steps few, so that a real ComfyUI
//! without a GPU is quick enough.

mod cli;
mod comfyui;
mod control;
mod input;
mod pictures;
mod queue;
mod recorded;
mod restart;
mod saved;
mod target;
mod tools;
mod workflows;

use futures::future::BoxFuture;

pub use target::{Engine, Target};

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its group and its name, with a slash between.
    pub name: &'static str,
    /// What it needs of the time that a job takes.
    pub pace: Pace,
    run: Run,
}

type Run = for<'a> fn(&'a Target) -> BoxFuture<'a, anyhow::Result<String>>;

/// How long the sandbox's sampler should take for a case; a real ComfyUI is given more steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The faster the better.
    Quick,
    /// A job must be under way for a while, so that something can happen to it.
    Slow,
    /// A job must outlast a restart of the gateway.
    Long,
}

impl Case {
    const fn quick(name: &'static str, run: Run) -> Case {
        Case { name, pace: Pace::Quick, run }
    }

    const fn slow(name: &'static str, run: Run) -> Case {
        Case { name, pace: Pace::Slow, run }
    }

    const fn long(name: &'static str, run: Run) -> Case {
        Case { name, pace: Pace::Long, run }
    }

    /// Runs it; the text is what it has to say for the table.
    pub async fn run(&self, target: &Target) -> anyhow::Result<String> {
        (self.run)(target).await
    }

    /// The part of the name before the slash.
    pub fn group(&self) -> &'static str {
        self.name.split('/').next().unwrap_or(self.name)
    }
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What is only asked of a real ComfyUI: the sandbox can't do it, or is asked by the tests of the suite.
pub fn real_only() -> [Case; 2] {
    [comfyui::CONTRACT, saved::MEDIA]
}

/// All cases, in the order in which a person would look at them.
pub fn cases() -> Vec<Case> {
    let groups = [
        workflows::CASES,
        tools::CASES,
        pictures::CASES,
        recorded::CASES,
        saved::CASES,
        control::CASES,
        queue::CASES,
        restart::CASES,
        input::CASES,
        cli::CASES,
    ];
    groups.concat()
}
