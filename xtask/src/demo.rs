//! `cargo xtask demo`: from an MCP client to an image and back, on the sandbox.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    child::{self, Background},
    http,
    root::Root,
};

/// Settings of the user's own that would make it another server than the one shown here.
const SETTINGS: [&str; 6] =
    ["CONFIG_PATH", "MCP_SERVER_HOST", "ENABLE_AUTH", "AUTH_CONFIG_PATH", "DB_PATH", "WORKFLOWS_DIR"];

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Builds, starts the server with its sandbox, makes two images over MCP and stops everything.
pub(crate) fn run() -> Result<ExitCode> {
    let root = Root::find()?;
    let dir = root.target.join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("could not remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("could not create {}", dir.display()))?;

    child::section("building mcp-server and mcp-client (dev profile)");
    child::run(
        child::cargo().args(["build", "-p", "mcp-server", "-p", "mcp-client"]).current_dir(&root.dir),
    )?;

    let port = http::free_port()?;
    let server = start(&root, &dir, port)?;
    let pictures = generate(&root, &dir, port).inspect_err(|_| eprintln!("\n{}", server.log_tail()))?;
    child::section("stopping the server");
    let took = server.stop(STOP_WITHIN)?;
    println!("stopped in {took:.1?}");

    child::section("the pictures, painted by the sandbox (no model, no GPU)");
    for picture in pictures {
        println!("{}", picture.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn start(root: &Root, dir: &Path, port: u16) -> Result<Background> {
    let mut command = Command::new(root.debug_binary("mcp-server"));
    command.args(["serve", "--sandbox", "--port", &port.to_string(), "--data-dir"]).arg(dir.join("data"));
    // The workflows that are shipped are found from the workspace's folder.
    command.current_dir(&root.dir);
    for name in SETTINGS {
        command.env_remove(name);
    }
    let log = dir.join("server.log");
    child::section(&format!("{}   (log: {})", child::display(&command), log.display()));
    let mut server = Background::start("mcp-server", &mut command, &log)?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let took = server.wait_until(START_WITHIN, || http::answers(address, "/health"))?;
    println!("ready after {took:.1?}");
    Ok(server)
}

/// Makes an image from a text, and another one from that image; answers with the files.
fn generate(root: &Root, dir: &Path, port: u16) -> Result<[PathBuf; 2]> {
    let server = format!("http://127.0.0.1:{port}/mcp");
    let (first, second) = (dir.join("fox.png"), dir.join("fox-2.png"));

    let mut text_to_image = Command::new(root.debug_binary("mcp-client"));
    text_to_image.args(["--server", &server, "generate", "--prompt", "a red fox in the snow", "--seed", "7"]);
    client(&mut text_to_image, &first)?;

    let mut image_to_image = Command::new(root.debug_binary("mcp-client"));
    image_to_image.args([
        "--server",
        &server,
        "img2img",
        "--prompt",
        "a red fox at night",
        "--strength",
        "0.6",
    ]);
    image_to_image.arg("--image").arg(&first);
    client(&mut image_to_image, &second)?;
    Ok([first, second])
}

/// Runs the client on our terminal, so that its progress bar is seen, and checks what it wrote.
fn client(command: &mut Command, picture: &Path) -> Result<()> {
    command.arg("-o").arg(picture);
    child::section(&child::display(command));
    child::run(command)?;
    let bytes = fs::read(picture).with_context(|| format!("mcp-client wrote no {}", picture.display()))?;
    ensure!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{} is not a PNG", picture.display());
    Ok(())
}
