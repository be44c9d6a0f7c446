//! What is printed: a line for each run as it goes, and all cases at the end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::case::Case;

/// More of a note than this makes the table hard to read; a failure's is told in full before.
const LONGEST_NOTE: usize = 90;

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(String, Case)>,
}

impl Table {
    /// Takes what a run has told, and prints how it went.
    pub(crate) fn add(&mut self, run: &str, cases: Result<Vec<Case>>, took: Duration) {
        let cases = cases.unwrap_or_else(|error| vec![Case::failed("run", format!("{error:#}"))]);
        let passed = cases.iter().filter(|case| case.ok == Some(true)).count();
        let failed: Vec<&Case> = cases.iter().filter(|case| case.ok == Some(false)).collect();
        let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
        println!("{verdict}, {passed} of {} cases ({:.1} s)", cases.len(), took.as_secs_f64());
        for case in failed {
            println!("    {}: {}", case.name, case.note);
        }
        self.rows.extend(cases.into_iter().map(|case| (run.to_owned(), case)));
    }

    pub(crate) fn close(&self) -> ExitCode {
        let width =
            |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text.chars().count()).max().unwrap_or(0);
        let runs = width(&mut self.rows.iter().map(|(run, _)| run.as_str()));
        let cases = width(&mut self.rows.iter().map(|(_, case)| case.name.as_str()));
        println!("\n{:runs$}  {:cases$}  result  note", "client", "case");
        for (run, case) in &self.rows {
            println!("{run:runs$}  {:cases$}  {:6}  {}", case.name, word(case), shortened(&case.note));
        }
        let count = |ok| self.rows.iter().filter(|(_, case)| case.ok == ok).count();
        let (passed, failed, not_offered) = (count(Some(true)), count(Some(false)), count(None));
        println!("\n{passed} ok, {failed} failed, {not_offered} that a client can't do");
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn word(case: &Case) -> &'static str {
    match case.ok {
        Some(true) => "ok",
        Some(false) => "FAILED",
        None => "n/a",
    }
}

fn shortened(note: &str) -> String {
    let line = note.lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST_NOTE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
