//! The rules applied to a graph; pure, so that a test can show what is refused.

use super::{
    rules::{ABSENT, BESIDE_THE_PRODUCT, LAYERS, RESERVED, TOPS, Uses},
    workspace::{Crate, Workspace},
};

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The arrow or the package, as found.
    pub(crate) what: String,
    /// The reason for the rule.
    pub(crate) why: &'static str,
}

/// Everything that breaks a rule, crate by crate.
pub(crate) fn check(workspace: &Workspace) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (name, member) in &workspace.crates {
        arrows(workspace, name, member, &mut broken);
        tops(name, member, &mut broken);
        absences(name, member, &mut broken);
        reserved(name, member, &mut broken);
        manifest(name, member, &mut broken);
    }
    broken
}

/// The names of `[workspace.dependencies]` that no crate takes and that are no crate of ours.
pub(crate) fn unused_shared(workspace: &Workspace) -> impl Iterator<Item = &String> {
    workspace.shared.iter().filter(|name| {
        !workspace.crates.contains_key(*name)
            && !workspace.crates.values().any(|c| c.normal.contains(*name) || c.dev.contains(*name))
    })
}

fn arrows(workspace: &Workspace, name: &str, member: &Crate, broken: &mut Vec<Violation>) {
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        broken.push(Violation {
            what: format!("`{name}` has no place in the layers"),
            why: "every crate's arrows are decided: name it in xtask/src/layers/rules.rs and docs/ARCHITECTURE.md",
        });
        return;
    };
    for used in member.normal.iter().filter(|used| workspace.crates.contains_key(*used)) {
        let allowed = match layer.uses {
            Uses::Only(these) => these.contains(&used.as_str()),
            Uses::AllBut(these) => !these.contains(&used.as_str()),
            Uses::Anything => true,
        };
        if !allowed {
            broken.push(Violation { what: format!("{name} → {used}"), why: layer.why });
        }
    }
}

fn tops(name: &str, member: &Crate, broken: &mut Vec<Violation>) {
    if BESIDE_THE_PRODUCT.contains(&name) {
        return;
    }
    for (top, why) in TOPS {
        if *top != name && member.dev.contains(*top) {
            broken.push(Violation { what: format!("{name} → {top} (in its tests)"), why });
        }
    }
}

fn absences(name: &str, member: &Crate, broken: &mut Vec<Violation>) {
    for absence in ABSENT.iter().filter(|absence| absence.name == name) {
        for way in absence.packages.iter().filter_map(|package| member.tree.get(*package)) {
            broken.push(Violation { what: way.clone(), why: absence.why });
        }
    }
}

fn reserved(name: &str, member: &Crate, broken: &mut Vec<Violation>) {
    if BESIDE_THE_PRODUCT.contains(&name) {
        return;
    }
    for rule in RESERVED {
        if member.normal.contains(rule.package) && !rule.only_in.contains(&name) {
            broken.push(Violation { what: format!("{name} → {}", rule.package), why: rule.why });
        }
    }
}

fn manifest(name: &str, member: &Crate, broken: &mut Vec<Violation>) {
    if !member.inherits_lints {
        broken.push(Violation {
            what: format!("{name} doesn't say `lints.workspace = true`"),
            why: "the same lints hold for every crate",
        });
    }
    for dependency in &member.own_versions {
        broken.push(Violation {
            what: format!("{name} gives the version of `{dependency}` itself"),
            why: "every version stands once, in [workspace.dependencies]; take it with `workspace = true`",
        });
    }
}
