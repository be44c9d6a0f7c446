//! The log: to standard error, and to a file when one is configured. Standard output belongs to MCP.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::settings::{LogFormat, Settings};

/// Starts the log. The guard writes out what is left when it is dropped.
pub fn start(settings: &Settings) -> anyhow::Result<Option<WorkerGuard>> {
    let filter = filter(settings)?;
    let ansi = if std::io::IsTerminal::is_terminal(&std::io::stderr()) { Ansi::On } else { Ansi::Off };
    let mut outputs = vec![format(settings.log_format, std::io::stderr, ansi)];
    let mut guard = None;
    if let Some(path) = &settings.log_file {
        let (writer, flush) = file_writer(path)?;
        outputs.push(format(settings.log_format, writer, Ansi::Off));
        guard = Some(flush);
    }
    tracing_subscriber::registry().with(outputs).with(filter).init();
    Ok(guard)
}

/// What is logged, from `log_level`.
pub fn filter(settings: &Settings) -> anyhow::Result<EnvFilter> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = settings.log_level.trim();
    // A bare word that is no level would be taken as the name of a module, and silence everything else.
    let is_word = !level.contains(['=', ',', ':', '[']);
    let wrong = || {
        format!(
            "configuration key `log_level`: `{level}` is not a level ({}) or a directive",
            LEVELS.join(", ")
        )
    };
    ensure!(!is_word || LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)), wrong());
    // What these libraries say at `info` is of use to their authors; a directive for them still wins.
    EnvFilter::try_new(format!("sea_orm_migration=warn,sqlx=warn,{level}")).with_context(wrong)
}

#[derive(Clone, Copy)]
enum Ansi {
    On,
    Off,
}

fn format<W>(format: LogFormat, writer: W, ansi: Ansi) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(matches!(ansi, Ansi::On));
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().boxed(),
    }
}

fn file_writer(path: &Path) -> anyhow::Result<(tracing_appender::non_blocking::NonBlocking, WorkerGuard)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .with_context(|| format!("configuration key `log_file`: `{}` names no file", path.display()))?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} of the log can't be made", folder.display()))?;
    let appender = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix(name.to_string_lossy())
        .max_log_files(14)
        .build(folder)
        .with_context(|| format!("the log cannot be written to {}", path.display()))?;
    Ok(tracing_appender::non_blocking(appender))
}
