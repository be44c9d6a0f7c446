//! The program: what it prints, what it saves, and its exit codes.

use std::path::Path;
use std::process::Output;

use axum::http::StatusCode;
use serde_json::Value;
use tokio::process::Command;

use crate::gateway::{Fate, Gateway, PNG, Play};

fn program(folder: &Path, url: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-client"));
    command.current_dir(folder).args(words).env("MCP_SERVER_URL", url).env_remove("MCP_API_KEY");
    command.kill_on_drop(true);
    command
}

async fn run(gateway: &Gateway, folder: &Path, words: &[&str]) -> (Output, String, String) {
    let output = program(folder, &gateway.url, words).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[tokio::test]
async fn images_are_saved_where_they_were_wanted() {
    let gateway = Gateway::start(Play::new(Fate::Succeeds)).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("fox.png"), "old").unwrap();
    let (output, stdout, stderr) =
        run(&gateway, folder.path(), &["generate", "a fox", "-o", "fox.png"]).await;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, "fox.png\nfox-2.png\n");
    assert!(stderr.contains("job job-1: queued, 2 jobs ahead"), "{stderr}");
    assert!(stderr.contains("warning: the width 500 becomes 496\n"), "{stderr}");
    assert!(stderr.contains("job job-1 succeeded in 1.5 s, seed 18446744073709551615"), "{stderr}");
    for name in ["fox.png", "fox-2.png"] {
        assert_eq!(std::fs::read(folder.path().join(name)).unwrap(), PNG);
    }
}

#[tokio::test]
async fn json_is_one_document_and_nothing_else() {
    let gateway = Gateway::start(Play::new(Fate::Succeeds)).await;
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str, &str); 6] = [
        (&["--json", "generate", "a fox", "-o", "out/"], 2, "/error/code", "usage"),
        (&["--json", "generate", "a fox", "-o", "x.png"], 0, "/files/0", "x.png"),
        (&["--action", "generate", "--prompt", "a fox", "--json", "--no-wait"], 0, "/job/id", "job-1"),
        (&["list-models", "--json"], 0, "/models/checkpoints/0", "m.safetensors"),
        (&["image", "a1", "--json", "-q"], 0, "/file", "./a1.png"),
        (&["generate", "forbidden", "--json"], 2, "/error/remedy", "call list_models"),
    ];
    for (words, code, pointer, expected) in cases {
        let (output, stdout, stderr) = run(&gateway, folder.path(), words).await;
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        let document: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {stdout}"));
        assert_eq!(
            document.pointer(pointer).and_then(Value::as_str),
            Some(expected),
            "{words:?}: {document}"
        );
    }
}

#[tokio::test]
async fn a_picture_is_not_lost_to_a_rate_limit() {
    let play =
        Play { limited_downloads: (2, "0").into(), limited_waits: 2.into(), ..Play::new(Fate::Succeeds) };
    let gateway = Gateway::start(play).await;
    let folder = tempfile::tempdir().unwrap();
    let (output, stdout, stderr) = run(&gateway, folder.path(), &["generate", "x", "-o", "fox.png"]).await;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stdout, "fox.png\nfox-2.png\n");
    assert!(stderr.contains("can't be fetched just now; trying again in"), "{stderr}");

    // Not in the time that was given: it is told how to get the picture later.
    *gateway.state.limited_downloads.lock().unwrap() = (1, "50");
    let words = ["wait", "job-1", "--timeout", "20", "-o", "late.png", "--json"];
    let (output, stdout, stderr) = run(&gateway, folder.path(), &words).await;
    assert_eq!(output.status.code(), Some(5), "{stderr}");
    assert!(
        stderr.contains("error: job job-1: ") && stderr.contains("mcp-client wait job-1 -o FILE"),
        "{stderr}"
    );
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&document["job"]["id"], &document["error"]["code"]),
        (&"job-1".into(), &"rate_limited".into())
    );
    assert!(document["error"]["remedy"].as_str().unwrap().contains("mcp-client wait job-1 -o FILE"));
}

const GENERATE: &[&str] = &["generate", "x"];

/// A name, the gateway, the words, the exit code, and what is said on standard error.
type Case = (&'static str, Play, &'static [&'static str], i32, &'static [&'static str]);

#[tokio::test]
async fn the_exit_code_tells_how_it_ended() {
    let succeeds = || Play::new(Fate::Succeeds);
    let trouble = |status: StatusCode| {
        let play = succeeds();
        *play.trouble.lock().unwrap() = Some((status, 9));
        play
    };
    let cases: [Case; 11] = [
        (
            "failed",
            Play::new(Fate::Fails),
            GENERATE,
            1,
            &["job job-1 failed: out of memory", "try: use a smaller size"],
        ),
        ("usage", succeeds(), &["generate"], 2, &["Usage:"]),
        (
            "no file",
            succeeds(),
            &["img2img", "x", "--image", "none.png"],
            2,
            &["can't read the image none.png"],
        ),
        (
            "arguments",
            succeeds(),
            &["generate", "forbidden"],
            2,
            &["there is no `a` here", "try: call list_models"],
        ),
        (
            "text",
            succeeds(),
            &["run", "own", "-P", "name=42"],
            2,
            &["name takes a string, not a number", "-P 'name=\"42\"'"],
        ),
        (
            "command",
            succeeds(),
            &["--stdio", "/nowhere/server", "manifest"],
            3,
            &["/nowhere/server", "try: check the command"],
        ),
        (
            "key",
            Play { key: Some("ck_1"), ..succeeds() },
            GENERATE,
            4,
            &["who are you?", "try: give a valid API key"],
        ),
        ("permission", trouble(StatusCode::FORBIDDEN), GENERATE, 4, &["trouble"]),
        ("rate", trouble(StatusCode::TOO_MANY_REQUESTS), GENERATE, 5, &["try: wait 3 s"]),
        (
            "time",
            Play::new(Fate::Endless),
            &["generate", "x", "--timeout", "1"],
            6,
            &["job-1 is not over after 1 s", "mcp-client wait job-1"],
        ),
        ("cancelled", Play::new(Fate::IsCancelled), GENERATE, 7, &["job job-1 was cancelled"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, play, words, code, texts) in cases {
        let gateway = Gateway::start(play).await;
        let (output, stdout, stderr) = run(&gateway, folder.path(), words).await;
        assert_eq!(output.status.code(), Some(code), "{name}: {stderr}");
        assert_eq!(stdout, "", "{name}");
        for text in texts {
            assert!(stderr.contains(text), "{name}: {text:?} in {stderr}");
        }
    }
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path(), &url, &["manifest"]).output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.starts_with(&format!("error: can't reach the server at {url}: Connection refused")),
        "{stderr}"
    );
    assert!(stderr.contains("\n  try: start the server"), "{stderr}");
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_tells_how_to_go_on() {
    let gateway = Gateway::start(Play::new(Fate::Endless)).await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(folder.path(), &gateway.url, &["generate", "x"]);
    command.stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    gateway.state.called("wait_for_job", 2).await;
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    for text in
        ["interrupted; job job-1 goes on", "try: mcp-client wait job-1", "try: mcp-client cancel job-1"]
    {
        assert!(stderr.contains(text), "{stderr}");
    }
    assert!(gateway.state.calls_of("cancel_job").is_empty());
}

#[tokio::test]
async fn help_and_version_are_no_errors() {
    let gateway = Gateway::start(Play::new(Fate::Succeeds)).await;
    let folder = tempfile::tempdir().unwrap();
    for words in [&["--help"][..], &["-h"], &["--version"], &["generate", "--help"], &["help", "run"]] {
        let (output, stdout, _) = run(&gateway, folder.path(), words).await;
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(!stdout.is_empty());
    }
}
