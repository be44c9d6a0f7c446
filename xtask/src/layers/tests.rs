//! Shows that what the rules forbid is refused, and that what the design draws is not.

use std::collections::BTreeSet;

use super::{
    check::{check, unused_shared},
    rules::FORBIDDEN_WORDS,
    sources::{holds_tests, lines_with},
    workspace::{Crate, Workspace, own_versions},
};

fn member(normal: &[&str], dev: &[&str], below: &[&str]) -> Crate {
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let tree = normal.iter().chain(below).map(|name| ((*name).to_owned(), format!("… → {name}"))).collect();
    Crate { normal: set(normal), dev: set(dev), tree, inherits_lints: true, own_versions: BTreeSet::new() }
}

/// The design's own arrows, with one crate replaced.
fn design_with(changed: Option<(&str, Crate)>) -> Workspace {
    let leaves = ["mcp-protocol", "workflow-analyzer", "job-queue", "auth", "progress"];
    let mut workspace = Workspace::default();
    for leaf in leaves {
        workspace.crates.insert(leaf.to_owned(), member(&["serde"], &["proptest"], &[]));
    }
    for (name, normal) in [
        ("comfy-client", &["workflow-analyzer", "reqwest"][..]),
        ("comfy-sandbox", &["workflow-analyzer", "axum"]),
        ("storage", &["job-queue", "auth", "progress", "mcp-protocol", "sea-orm"]),
        ("mcp-client", &["mcp-protocol", "anyhow"]),
        ("mcp-server", &["storage", "comfy-client", "comfy-sandbox", "mcp-protocol", "auth", "anyhow"]),
        ("tests", &["mcp-server", "mcp-client", "storage", "anyhow", "sea-orm"]),
        ("xtask", &["anyhow"]),
    ] {
        workspace.crates.insert(name.to_owned(), member(normal, &[], &[]));
    }
    if let Some((name, member)) = changed {
        workspace.crates.insert(name.to_owned(), member);
    }
    workspace
}

fn broken(name: &str, member: Crate) -> Vec<String> {
    check(&design_with(Some((name, member)))).into_iter().map(|violation| violation.what).collect()
}

#[test]
fn the_design_itself_is_accepted() {
    assert_eq!(check(&design_with(None)), []);
}

#[test]
fn a_wrong_arrow_is_refused_and_named() {
    for (from, to) in [
        ("auth", "progress"),
        ("job-queue", "storage"),
        ("mcp-protocol", "auth"),
        ("comfy-client", "job-queue"),
        ("comfy-sandbox", "comfy-client"),
        ("storage", "comfy-client"),
        ("storage", "mcp-server"),
        ("mcp-client", "mcp-server"),
        ("mcp-server", "mcp-client"),
        ("mcp-server", "tests"),
    ] {
        assert_eq!(broken(from, member(&[to], &[], &[])), [format!("{from} → {to}")]);
    }
}

#[test]
fn a_violation_says_why() {
    let workspace = design_with(Some(("mcp-client", member(&["storage"], &[], &[]))));
    assert!(check(&workspace)[0].why.contains("through MCP alone"));
}

#[test]
fn an_arrow_of_tests_is_free_but_not_to_the_server() {
    assert_eq!(broken("comfy-client", member(&[], &["comfy-sandbox"], &[])), [""; 0]);
    assert_eq!(
        broken("comfy-client", member(&[], &["mcp-server"], &[])),
        ["comfy-client → mcp-server (in its tests)"]
    );
}

#[test]
fn an_absence_is_held_at_any_depth() {
    assert_eq!(broken("workflow-analyzer", member(&["indexmap"], &[], &["tokio"])), ["… → tokio"]);
    assert_eq!(broken("workflow-analyzer", member(&["reqwest"], &[], &[])), ["… → reqwest"]);
    // Its tests may use what they like.
    assert_eq!(broken("workflow-analyzer", member(&[], &["tokio"], &[])), [""; 0]);
}

#[test]
fn sql_is_in_storage_alone_and_anyhow_in_mains() {
    assert_eq!(broken("job-queue", member(&["sea-orm"], &[], &[])), ["job-queue → sea-orm"]);
    assert_eq!(broken("mcp-server", member(&["sqlx"], &[], &[])), ["mcp-server → sqlx"]);
    assert_eq!(broken("progress", member(&["anyhow"], &[], &[])), ["progress → anyhow"]);
}

#[test]
fn a_crate_without_a_place_is_refused() {
    assert_eq!(broken("utils", member(&[], &[], &[])), ["`utils` has no place in the layers"]);
}

#[test]
fn a_manifest_takes_lints_and_versions_from_the_workspace() {
    let mut auth = member(&[], &[], &[]);
    auth.inherits_lints = false;
    auth.own_versions = BTreeSet::from(["rand".to_owned()]);
    assert_eq!(
        broken("auth", auth),
        ["auth doesn't say `lints.workspace = true`", "auth gives the version of `rand` itself"]
    );
}

#[test]
fn own_versions_are_found_in_every_table() {
    let manifest = r#"
        [dependencies]
        serde.workspace = true
        bytes = { workspace = true, features = ["serde"] }
        one = "1"
        [dev-dependencies]
        two = { version = "2" }
        [build-dependencies]
        three = { path = "../three" }
        [target.'cfg(unix)'.dependencies]
        four = "4"
        libc.workspace = true
    "#;
    let manifest = manifest.parse().unwrap();
    assert!(own_versions(&manifest).iter().eq(&["four", "one", "three", "two"]));
}

#[test]
fn a_shared_version_that_nobody_takes_is_found() {
    let mut workspace = design_with(None);
    workspace.shared = ["serde", "proptest", "auth", "forgotten"].map(str::to_owned).into();
    assert_eq!(unused_shared(&workspace).collect::<Vec<_>>(), ["forgotten"]);
}

#[test]
fn a_word_is_found_in_any_case() {
    let found = lines_with(&FORBIDDEN_WORDS[0], "fine\nlet ComfyUrl = 1;\n// COMFYUI\n");
    assert_eq!(found.collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn only_files_of_tests_may_be_long() {
    for (path, expect) in [
        ("crates/auth/src/tests.rs", true),
        ("crates/auth/src/keys/tests/expiry.rs", true),
        ("crates/auth/src/keys.rs", false),
        ("crates/auth/src/contests/a.rs", false),
    ] {
        assert_eq!(holds_tests(path), expect, "{path}");
    }
}

#[test]
fn this_workspace_can_be_read() {
    let root = crate::root::Root::find().unwrap();
    let workspace = super::workspace::read(&root.dir).unwrap();
    let xtask = &workspace.crates["xtask"];
    assert!(xtask.normal.contains("anyhow") && xtask.tree.contains_key("cargo_metadata"));
    assert!(workspace.shared.contains("tokio"));
}
