//! The command line in both spellings, and what it asks of the server.

use serde_json::{Value, json};

use super::args::Cli;
use super::exit::Exit;
use super::requests::{Request, build};

async fn tool_call(words: &[&str]) -> Result<(String, Value), String> {
    let cli = Cli::from_arguments(std::iter::once("mcp-client").chain(words.iter().copied()))
        .map_err(|error| error.to_string())?;
    match build(&cli.command).await.map_err(|error| error.to_string())? {
        Request::Start { tool, arguments, .. } | Request::Ask { tool, arguments } => {
            Ok((tool.to_owned(), Value::Object(arguments)))
        }
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn both_spellings_ask_for_the_same() {
    let cases: [(&[&str], &[&str], &str, Value); 11] = [
        (
            &["generate", "a dog"],
            &["--action", "generate", "--prompt", "a dog"],
            "generate_image",
            json!({"prompt": "a dog"}),
        ),
        (
            &["generate", "a dog", "--seed", "18446744073709551615"],
            &["--prompt=a dog", "--action=generate_image", "--seed", "18446744073709551615"],
            "generate_image",
            json!({"prompt": "a dog", "seed": u64::MAX}),
        ),
        (
            &["generate", "x", "--workflow", "flux", "-n", "y", "-b", "2"],
            &["--workflow", "flux", "--prompt", "x", "--negative_prompt", "y", "--batch_size", "2"],
            "generate_image",
            json!({"prompt": "x", "negative_prompt": "y", "batch_size": 2, "workflow": "flux"}),
        ),
        (
            &["img2img", "--image", "comfy://artifacts/a1", "--strength", "0.75"],
            &["--action", "img2img", "--image", "comfy://artifacts/a1", "--strength", "0.75"],
            "img2img",
            json!({"image": "comfy://artifacts/a1", "strength": 0.75, "prompt": ""}),
        ),
        (
            &["inpaint", "hat", "--image", "comfy://artifacts/a1", "--mask", "comfy://artifacts/a2"],
            &["--image", "comfy://artifacts/a1", "--mask", "comfy://artifacts/a2", "--prompt", "hat"],
            "inpaint",
            json!({"image": "comfy://artifacts/a1", "mask": "comfy://artifacts/a2", "prompt": "hat"}),
        ),
        (&["list-models"], &["--action", "list-models"], "list_models", json!({})),
        (
            &["list-models", "--kind", "loras"],
            &["--server", "http://x/mcp", "--action", "list_models", "--kind", "loras"],
            "list_models",
            json!({"kind": "loras"}),
        ),
        (&["manifest"], &["--json", "--action", "manifest"], "get_tools_manifest", json!({})),
        (&["run", "flux"], &["--workflow", "flux"], "run_workflow", json!({"workflow": "flux"})),
        (
            &["run", "flux", "--param", "steps=4", "-P", "prompt=a=b", "-P", "name=\"7\""],
            &[
                "--action",
                "run_workflow",
                "--workflow",
                "flux",
                "--params-json",
                r#"{"steps":4,"prompt":"a=b","name":"7"}"#,
            ],
            "run_workflow",
            json!({"workflow": "flux", "parameters": {"steps": 4, "prompt": "a=b", "name": "7"}}),
        ),
        (
            &["status", "j1"],
            &["--action", "get_job_status", "--job_id", "j1"],
            "get_job_status",
            json!({"job_id": "j1"}),
        ),
    ];
    for (new, old, tool, arguments) in cases {
        for words in [new, old] {
            let (got_tool, mut got) =
                tool_call(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
            // Every start of a job asks for an answer at once: the id is known before anything is waited for.
            if let Some(wait) = got.as_object_mut().unwrap().shift_remove("wait_seconds") {
                assert_eq!(wait, 0);
            }
            assert_eq!((got_tool.as_str(), &got), (tool, &arguments), "{words:?}");
        }
    }
}

#[tokio::test]
async fn options_become_arguments() {
    let (_, got) = tool_call(&[
        "generate",
        "x",
        "--width",
        "640",
        "--height",
        "480",
        "--steps",
        "4",
        "--cfg",
        "6.5",
        "--sampler",
        "euler",
        "--scheduler",
        "karras",
        "--model",
        "m.safetensors",
        "--lora",
        "a.safetensors",
        "--lora",
        "b:c.safetensors:0.5",
        "--lora",
        "d.safetensors:0.5:-0.25",
        "--controlnet-image",
        "comfy://artifacts/a1",
        "--controlnet-strength",
        "0.8",
        "--priority",
        "-5",
        "--idempotency-key",
        "k",
    ])
    .await
    .unwrap();
    let expected = json!({
        "prompt": "x", "width": 640, "height": 480, "steps": 4, "cfg": 6.5, "sampler": "euler",
        "scheduler": "karras", "model": "m.safetensors",
        "loras": [{"name": "a.safetensors"}, {"name": "b:c.safetensors", "strength": 0.5},
                  {"name": "d.safetensors", "strength": 0.5, "strength_clip": -0.25}],
        "controlnet": {"image": "comfy://artifacts/a1", "strength": 0.8},
        "priority": -5, "wait_seconds": 0, "idempotency_key": "k",
    });
    assert_eq!(got.as_object().unwrap().len(), expected.as_object().unwrap().len());
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&got[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_file_is_sent_as_a_data_uri() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.png");
    std::fs::write(&path, b"\x89PNG\r\n\x1a\n").unwrap();
    let (_, got) = tool_call(&["img2img", "x", "--image", path.to_str().unwrap()]).await.unwrap();
    assert_eq!(got["image"], "data:image/png;base64,iVBORw0KGgo=");
    let param = format!("image=@{}", path.display());
    let (_, got) = tool_call(&["run", "upscale", "--param", &param]).await.unwrap();
    assert_eq!(got["parameters"]["image"], "data:image/png;base64,iVBORw0KGgo=");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_before_it_is_sent() {
    let cases: [(&[&str], &str); 20] = [
        (&["generate"], "required arguments were not provided"),
        (&["generate", "x", "--seed", "18446744073709551616"], "'18446744073709551616' for '--seed"),
        (&["generate", "x", "--priority", "101"], "101 is not in -100..=100"),
        (&["generate", "x", "--seed", "-1"], "\"-1\" is not a whole number from 0 to 18446744073709551615"),
        (&["generate", "x", "--timeout", "-1"], "\"-1\" is not a whole number"),
        (&["generate", "x", "--width", "-5"], "-5 is not in 16..=16384"),
        (&["generate", "x", "--steps", "-3"], "-3 is not in 1..=1000"),
        (&["generate", "x", "-b", "0"], "0 is not in 1..=64"),
        (&["generate", "x", "--cfg", "NaN"], "\"NaN\" is not a number from 0 to 100"),
        (&["generate", "x", "--cfg", "inf"], "\"inf\" is not a number from 0 to 100"),
        (&["img2img", "x", "-i", "comfy://artifacts/a1", "--strength", "-0.5"], "-0.5 is not in 0..=1"),
        (&["inpaint", "x", "-i", "comfy://artifacts/a1", "--strength=-inf"], "is not a number from 0 to 1"),
        (&["generate", "x", "--controlnet-strength", "11"], "11 is not in 0..=10"),
        (&["--action", "paint", "--prompt", "x"], "unrecognized subcommand 'paint'"),
        (&["img2img", "x", "--image", "/nowhere/in.png"], "/nowhere/in.png"),
        (&["img2img", "x", "--image", "https://example.com/in.png"], "download it"),
        (&["run", "flux", "--param", "steps"], "NAME=VALUE"),
        (&["run", "flux", "--params-json", "[1]"], "JSON object"),
        (&["generate", "x", "--server", "http://x/mcp", "--stdio", "server"], "cannot be used with"),
        (&["generate", "x", "--controlnet-strength", "1"], "required arguments were not provided"),
    ];
    for (words, expected) in cases {
        let error = tool_call(words).await.unwrap_err();
        assert!(error.to_lowercase().contains(&expected.to_lowercase()), "{words:?}: {error}");
    }
}

#[test]
fn the_help_tells_every_exit_code() {
    let help = <Cli as clap::CommandFactory>::command().render_long_help().to_string();
    for exit in Exit::ALL {
        let line = format!("\n  {} ", exit.code());
        assert!(help.contains(&line), "{line:?} in {help}");
    }
    <Cli as clap::CommandFactory>::command().debug_assert();
}
