//! What the suite found, as it stands in its result files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    requirements::{Requirements, Scenario, Standing},
    suite::Ran,
};

/// A result is in `server-NAME-TIME`, and this is how long `-TIME` is.
const TIME: usize = "-2026-07-28T00-00-00-000Z".len();
/// More of a message than this helps nobody.
const LONGEST_MESSAGE: usize = 600;

/// How a revision came out.
pub(crate) struct Total {
    revision: &'static str,
    scored: Count,
    held: Count,
    checks: Count,
}

#[derive(Default)]
struct Count {
    passed: usize,
    all: usize,
}

impl Count {
    fn add(&mut self, passed: bool) {
        self.passed += usize::from(passed);
        self.all += 1;
    }

    fn complete(&self) -> bool {
        self.passed == self.all
    }
}

/// Prints a line for each scenario, with what it found wrong under it.
pub(crate) fn print(set: &Requirements, ran: &Ran) -> Result<Total> {
    let zero = Count::default;
    let mut total = Total { revision: set.revision, scored: zero(), held: zero(), checks: zero() };
    let scenarios = set.scenarios.iter().filter(|scenario| ran.scenarios.contains(&scenario.name));
    let width = scenarios.clone().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    for scenario in scenarios {
        let outcome = Outcome::read(scenario, ran)?;
        let (passed, failed) = (outcome.count("SUCCESS"), outcome.count("FAILURE"));
        total.checks.passed += passed;
        total.checks.all += passed + failed;
        match scenario.standing {
            Standing::Scored => total.scored.add(outcome.passed()),
            Standing::Held => total.held.add(outcome.passed()),
            Standing::Told => {}
        }
        println!("{}", outcome.line(scenario, width));
        outcome.print_findings();
    }
    Ok(total)
}

/// Prints the totals and decides.
pub(crate) fn close(totals: &[Total]) -> ExitCode {
    println!();
    for total in totals {
        println!("{}", total.line());
    }
    let complete = totals.iter().all(|total| total.scored.complete() && total.held.complete());
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Total {
    fn line(&self) -> String {
        let Total { revision, scored, held, checks } = self;
        format!(
            "{revision}: {}/{} scored, {}/{} of the others that have to pass; checks: {} passed, {} failed",
            scored.passed,
            scored.all,
            held.passed,
            held.all,
            checks.passed,
            checks.all - checks.passed
        )
    }
}

/// What became of one scenario.
struct Outcome {
    /// Empty when the scenario broke down before it could write its result.
    checks: Vec<Check>,
    log: PathBuf,
}

struct Check {
    id: String,
    status: String,
    message: String,
}

impl Outcome {
    fn read(scenario: &Scenario, ran: &Ran) -> Result<Outcome> {
        let checks = match result_file(&ran.dir, &scenario.name)? {
            Some(file) => read_checks(&file)?,
            None => Vec::new(),
        };
        Ok(Outcome { checks, log: ran.log.clone() })
    }

    /// A scenario that found nothing to check has not passed, unless the suite itself skips it.
    fn passed(&self) -> bool {
        self.count("FAILURE") == 0 && self.count("SUCCESS") + self.count("SKIPPED") > 0
    }

    fn count(&self, status: &str) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    fn line(&self, scenario: &Scenario, width: usize) -> String {
        let verdict = if self.passed() { "ok" } else { "FAILED" };
        let standing = match scenario.standing {
            Standing::Scored => "scored",
            Standing::Held => "not scored, has to pass",
            Standing::Told => "not scored",
        };
        let (passed, failed) = (self.count("SUCCESS"), self.count("FAILURE"));
        let rest = [("WARNING", "warned"), ("SKIPPED", "skipped")]
            .map(|(status, word)| (self.count(status), word))
            .map(|(count, word)| if count > 0 { format!(", {count} {word}") } else { String::new() })
            .concat();
        let name = &scenario.name;
        format!("{verdict:<6}  {name:<width$}  {passed:>2} passed  {failed:>2} failed  {standing}{rest}")
    }

    fn print_findings(&self) {
        if self.checks.is_empty() {
            println!("          it left no result; {} says why", self.log.display());
        }
        let nothing_checked = ("INFO", "not checked");
        let findings = [("FAILURE", "failed"), ("WARNING", "warned")];
        for (status, word) in findings.into_iter().chain((!self.passed()).then_some(nothing_checked)) {
            for check in self.checks.iter().filter(|check| check.status == status) {
                println!("          {word}: {}: {}", check.id, check.message);
            }
        }
    }
}

/// The file with the checks of a scenario, if it got that far.
fn result_file(dir: &Path, scenario: &str) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("could not read {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let time = name
            .to_str()
            .and_then(|name| name.strip_prefix("server-"))
            .and_then(|name| name.strip_prefix(scenario));
        let file = entry.path().join("checks.json");
        if time.is_some_and(|time| time.len() == TIME) && file.is_file() {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

fn read_checks(file: &Path) -> Result<Vec<Check>> {
    let text = fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    let checks: Vec<Value> =
        serde_json::from_str(&text).with_context(|| format!("{} is no list of checks", file.display()))?;
    Ok(checks.iter().map(Check::of).collect())
}

impl Check {
    fn of(check: &Value) -> Check {
        let text = |field: &str| check[field].as_str().unwrap_or_default();
        let message =
            if text("errorMessage").is_empty() { text("description") } else { text("errorMessage") };
        let mut message: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((cut, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(cut);
            message.push('…');
        }
        Check { id: text("id").to_owned(), status: text("status").to_owned(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUIREMENTS: &str =
        "server:\n  - ping\n  - tools\nnot_scored:\n  - scenario: tasks-wire\n    leg: server\n";

    /// The totals of a run that has left these results.
    fn total(results: &[(&str, &str)]) -> Total {
        let dir = tempfile::tempdir().unwrap();
        for (scenario, checks) in results {
            let folder = dir.path().join(format!("server-{scenario}-2026-11-22T12-24-05-573Z"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("checks.json"), checks).unwrap();
        }
        let set = Requirements::parse("2026-07-28", REQUIREMENTS).unwrap();
        let scenarios = set.names().map(str::to_owned).collect();
        print(&set, &Ran { scenarios, dir: dir.path().to_owned(), log: dir.path().join("log") }).unwrap()
    }

    const PASSED: &str = r#"[{"id": "a", "status": "SUCCESS"}, {"id": "b", "status": "WARNING"}]"#;
    const FAILED: &str = r#"[{"id": "a", "status": "SUCCESS"}, {"id": "b", "status": "FAILURE"}]"#;

    #[test]
    fn everything_that_has_to_pass_decides() {
        let all = total(&[("ping", PASSED), ("tools", PASSED), ("tasks-wire", PASSED)]);
        assert_eq!(
            all.line(),
            "2026-07-28: 2/2 scored, 1/1 of the others that have to pass; checks: 3 passed, 0 failed"
        );
        assert_eq!(close(&[all]), ExitCode::SUCCESS);
        for broken in 0..3 {
            let mut results = [("ping", PASSED), ("tools", PASSED), ("tasks-wire", PASSED)];
            results[broken].1 = FAILED;
            assert_eq!(close(&[total(&results)]), ExitCode::FAILURE, "{results:?}");
        }
    }

    #[test]
    fn a_scenario_without_a_result_has_failed() {
        let total = total(&[("ping", PASSED), ("tasks-wire", PASSED)]);
        assert_eq!((total.scored.passed, total.scored.all), (1, 2));
    }

    #[test]
    fn a_scenario_that_checked_nothing_has_failed_unless_it_was_skipped() {
        let only = |status: &str| format!(r#"[{{"id": "a", "status": "{status}"}}]"#);
        for (status, passed) in [("INFO", 0), ("WARNING", 0), ("SKIPPED", 1), ("SUCCESS", 1)] {
            assert_eq!(total(&[("tasks-wire", &only(status))]).held.passed, passed, "{status}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let check = Check::of(&serde_json::json!({"errorMessage": "é\n ".repeat(5000)}));
        assert_eq!(check.message.chars().count(), LONGEST_MESSAGE + 1);
    }
}
