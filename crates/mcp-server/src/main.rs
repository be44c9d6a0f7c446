//! The binary `mcp-server`.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use mcp_server::app::display_url;
use mcp_server::cli::{Cli, Command, ConfigCommand, WorkflowCommand};
use mcp_server::settings::{self, Loaded};
use mcp_server::workflow_files::{convert, inspect};
use mcp_server::{keys, serve, telemetry};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes in one line, each cause once: some errors have theirs in their own text already.
fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        if text.is_empty() {
            cause
        } else if text.contains(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Some(Command::Config(ConfigCommand::Schema)) = &cli.command {
        print(&serde_json::to_string_pretty(&settings::json_schema())?);
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = settings::load(&cli.options.sources())?;
    let command = cli.command.unwrap_or(Command::Serve);
    if let Command::Config(_) = command {
        serve::read_keys(&loaded.settings)?;
        telemetry::filter(&loaded.settings)?;
        print(&report(&loaded));
        return Ok(ExitCode::SUCCESS);
    }
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("the TLS library was set up twice"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    if let Command::Keys(command) = command {
        runtime.block_on(keys::run(&loaded.settings, command, &mut std::io::stdout()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Workflow(WorkflowCommand::Convert(args)) = &command {
        let (out, problems) = (&mut std::io::stdout(), &mut std::io::stderr());
        return runtime.block_on(convert::run(&loaded.settings, args, out, problems));
    }
    if let Command::Workflow(WorkflowCommand::Inspect(args)) = &command {
        runtime.block_on(inspect::run(&loaded.settings, args, &mut std::io::stdout()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let flush = telemetry::start(&loaded.settings)?;
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration read");
    }
    for key in &loaded.retired {
        tracing::warn!("configuration key `{key}` has no effect any more");
    }
    let served = match command {
        Command::Stdio => runtime.block_on(serve::stdio(loaded.settings)),
        _ => runtime.block_on(serve::http(loaded.settings)),
    };
    // A read of standard input can't be cancelled; the process must not wait for it.
    runtime.shutdown_background();
    drop(flush);
    served.map(|()| ExitCode::SUCCESS)
}

/// Whoever reads only the first lines of an answer (`| head`) has what they wanted.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn report(loaded: &Loaded) -> String {
    let file = loaded.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    let settings = &loaded.settings;
    format!(
        "the configuration is good ({file})\nComfyUI: {}\nlisten: {}:{}\nauthentication: {}\ndata: {}\nworkflows: {}",
        if settings.sandbox {
            "the embedded sandbox".to_owned()
        } else {
            display_url(settings.comfyui_url.as_str())
        },
        settings.mcp_server_host,
        settings.mcp_server_port,
        if settings.enable_auth { "on" } else { "off" },
        settings.data_dir.display(),
        settings.workflows_dir.display(),
    )
}
