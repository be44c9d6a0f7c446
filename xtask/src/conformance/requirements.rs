//! What a revision requires of a server: the suite's own frozen lists, and what we ask beyond them.

use anyhow::{Result, ensure};

/// Scenarios that the suite runs without counting them, and that we pass nevertheless. Those that begin with `tasks-` belong
/// to them too.
const OURS: [&str; 5] = [
    "http-custom-header-server-validation",
    "http-header-validation",
    "json-schema-2020-12",
    "server-session-lifecycle",
    "server-sse-polling",
];

/// The scenarios of one revision.
#[derive(Debug)]
pub(crate) struct Requirements {
    pub(crate) revision: &'static str,
    pub(crate) scenarios: Vec<Scenario>,
}

/// A scenario and what its result means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The revision's conformance depends on it.
    Scored,
    /// It doesn't, but we hold ourselves to it.
    Held,
    /// It is told and nothing follows.
    Told,
}

impl Requirements {
    /// Reads a requirement file of the suite. Only its shape is known here, not YAML: a list of names under `server`, and
    /// under `not_scored` entries of a `scenario` and its `leg`.
    pub(crate) fn parse(revision: &'static str, text: &str) -> Result<Requirements> {
        let mut scenarios = Vec::new();
        let (mut section, mut unscored) = ("", "");
        for line in text.lines().map(str::trim_end) {
            if line.starts_with(|first: char| first.is_ascii_lowercase()) {
                section = line.trim_end_matches(':');
            }
            let entry = line.trim_start();
            if section == "server" {
                let name = entry.strip_prefix("- ");
                scenarios.extend(name.map(|name| Scenario::new(name, Standing::Scored)));
            } else if section == "not_scored" {
                unscored = entry.strip_prefix("- scenario: ").unwrap_or(unscored);
                if entry == "leg: server" {
                    scenarios.push(Scenario::new(unscored, unscored_standing(unscored)));
                }
            }
        }
        let found = scenarios.iter().any(|scenario| scenario.standing == Standing::Scored);
        ensure!(found, "the suite's requirements for {revision} have no scenarios of a server");
        Ok(Requirements { revision, scenarios })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().any(|other| other == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.scenarios.iter().map(|scenario| scenario.name.as_str())
    }
}

impl Scenario {
    fn new(name: &str, standing: Standing) -> Scenario {
        Scenario { name: name.to_owned(), standing }
    }
}

fn unscored_standing(name: &str) -> Standing {
    if name.starts_with("tasks-") || OURS.contains(&name) { Standing::Held } else { Standing::Told }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_of_servers_are_found_with_their_standing() {
        let text = "# A comment: with a colon\nserver:\n  - ping\n  - tools-list\n\nclient:\n  - initialize\n\nnot_scored:\n  \
                    - scenario: auth/dpop\n    leg: client\n    reason: extension\n  - scenario: tasks-lifecycle\n    \
                    leg: server\n    reason: extension\n    note: >-\n      words; more words\n  - scenario: brand-new\n    \
                    leg: server\n    reason: pending\n";
        let requirements = Requirements::parse("2026-07-28", text).unwrap();
        let expect = [
            Scenario::new("ping", Standing::Scored),
            Scenario::new("tools-list", Standing::Scored),
            Scenario::new("tasks-lifecycle", Standing::Held),
            Scenario::new("brand-new", Standing::Told),
        ];
        assert_eq!(requirements.scenarios, expect);
    }

    #[test]
    fn a_file_without_scenarios_is_an_error() {
        assert!(Requirements::parse("2026-07-28", "client:\n  - initialize\n").is_err());
    }
}
