//! What a person picks to have a picture made.

use anyhow::{Context as _, Result, bail, ensure};
use mcp_protocol::client::{CallOptions, ClientError, PeerOptions};
use mcp_protocol::error::INVALID_PARAMS;
use mcp_protocol::wire::{
    CompleteParams, CompletionArgument, CompletionReference, Content, GetPromptResult, ProtocolVersion,
};
use serde_json::{Value, json};
use tests::client::Client;
use tests::gateway::Setup;

use crate::auth::{ALICE, BOB, locked};

async fn filled(client: &Client, name: &str, arguments: Value) -> Result<GetPromptResult, ClientError> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    client.peer.get_prompt(name, arguments, CallOptions::default()).await
}

fn text(prompt: &GetPromptResult) -> String {
    let texts = prompt.messages.iter().filter_map(|message| match &message.content {
        Content::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

async fn offered(client: &Client, prompt: &str, argument: &str, typed: &str) -> Result<Vec<String>> {
    let params = CompleteParams {
        reference: CompletionReference::Prompt { name: prompt.to_owned() },
        argument: CompletionArgument { name: argument.to_owned(), value: typed.to_owned() },
        context: None,
    };
    Ok(client.peer.complete(&params).await?.values)
}

#[tokio::test]
async fn prompts_are_filled_with_what_a_person_chooses() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    for newest in [ProtocolVersion::LATEST, ProtocolVersion::LATEST_LEGACY] {
        let client = gateway.client_with(PeerOptions { newest, ..PeerOptions::default() }).await?;
        let made =
            client.finish("generate_image", json!({"prompt": "a fox", "width": 64, "height": 64})).await?;
        let uri = made.links().pop().context("no link")?;
        let cases = [
            (
                "text_to_image",
                json!({"description": "a \"fox\"", "model": "sandbox-sketch", "lora": "style"}),
                vec!["generate_image", "a \"fox\"", "sandbox-sketch", "style"],
            ),
            (
                "edit_image",
                json!({"image": uri, "change": "at night"}),
                vec!["img2img", "at night", uri.as_str()],
            ),
            (
                "compare_models",
                json!({"description": "a fox", "models": "one, two"}),
                vec!["generate_image", "a fox", "one, two"],
            ),
            (
                "use_workflow",
                json!({"workflow": "upscale", "request": "larger"}),
                vec!["run_workflow", "upscale", "larger", "image"],
            ),
        ];
        let listed = client.peer.list_prompts().await?;
        ensure!(listed.iter().map(|prompt| prompt.name.as_str()).eq(cases.iter().map(|(name, ..)| *name)));
        for (name, arguments, parts) in cases {
            let prompt = filled(&client, name, arguments).await?;
            for part in parts {
                ensure!(text(&prompt).contains(part), "{part:?} is not in {name}: {}", text(&prompt));
            }
        }
        let edit = filled(&client, "edit_image", json!({"image": uri, "change": "at night"})).await?;
        let shown = edit.messages.iter().any(|message| matches!(message.content, Content::Image { .. }));
        ensure!(shown, "the picture is not shown: {edit:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_filled_is_said() -> Result<()> {
    let gateway = locked().await?;
    let (alice, bob) = (gateway.client_with_key(ALICE).await?, gateway.client_with_key(BOB).await?);
    let made = alice.finish("generate_image", json!({"prompt": "a fox", "width": 64, "height": 64})).await?;
    let uri = made.links().pop().context("no link")?;
    for (client, name, arguments, part) in [
        (&alice, "text_to_image", json!({}), "description"),
        (&alice, "text_to_image", json!({"description": "x", "modell": "x"}), "modell"),
        (&alice, "edit_image", json!({"image": "a file of mine", "change": "x"}), "image"),
        (&bob, "edit_image", json!({"image": uri, "change": "x"}), "no artifact"),
        (&alice, "use_workflow", json!({"workflow": "upscal", "request": "x"}), "upscale"),
        (&alice, "text_to_imag", json!({}), "text_to_image"),
    ] {
        match filled(client, name, arguments).await {
            Err(ClientError::Rpc { code: INVALID_PARAMS, message, .. }) => {
                ensure!(message.contains(part), "{part:?} is not in {message:?}");
            }
            other => bail!("{name} is answered with {other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn arguments_are_completed_from_what_is_installed() -> Result<()> {
    let gateway = Setup::sandbox(0.0)?.start().await?;
    let client = gateway.client().await?;
    let made = client.finish("generate_image", json!({"prompt": "a fox", "width": 64, "height": 64})).await?;
    let uri = made.links().pop().context("no link")?;
    for (prompt, argument, typed, expected) in [
        ("text_to_image", "model", "sketch", "sandbox-sketch.safetensors"),
        ("text_to_image", "model", "sandbox-unet", "sandbox-unet.safetensors"),
        ("text_to_image", "lora", "Sandbox-S", "sandbox-style.safetensors"),
        ("text_to_image", "sampler", "eul", "euler"),
        ("text_to_image", "scheduler", "karr", "karras"),
        ("edit_image", "image", "comfy://", uri.as_str()),
        ("use_workflow", "workflow", "inp", "inpaint"),
        ("compare_models", "models", "sandbox-sk", "sandbox-sketch.safetensors"),
        (
            "compare_models",
            "models",
            "sandbox-sketch.safetensors, sd15",
            "sandbox-sketch.safetensors, sandbox-sd15.safetensors",
        ),
    ] {
        let values = offered(&client, prompt, argument, typed).await?;
        ensure!(values.first().is_some_and(|value| value == expected), "{argument} {typed:?}: {values:?}");
    }
    ensure!(offered(&client, "text_to_image", "description", "x").await?.is_empty());
    Ok(())
}
