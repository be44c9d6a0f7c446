//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::settings::Sources;
use crate::workflow_files::convert::ConvertArgs;
use crate::workflow_files::inspect::InspectArgs;

/// A gateway that lets AI agents make and change pictures through ComfyUI.
///
/// Agents speak the Model Context Protocol (MCP) to it, over HTTP or standard input and output; it keeps a
/// queue of jobs and runs them on ComfyUI.
#[derive(Debug, Parser)]
#[command(name = "mcp-server", version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What may stand before and after the command.
    #[command(flatten)]
    pub options: Options,
}

const EXAMPLES: &str = "\
Examples:
  mcp-server                                   serve on http://127.0.0.1:9000/mcp, with ComfyUI on port 8188
  mcp-server serve --sandbox                   the same, with the embedded stand-in for ComfyUI
  mcp-server stdio --comfyui-url http://gpu:8188
                                               for a desktop client that starts the server itself
  mcp-server keys create alice --allow generate_image --allow 'list_*' --rate 10 --per 60 --burst 20

Every key of the configuration file is also an environment variable in upper case (COMFYUI_URL, MCP_SERVER_PORT).";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP over HTTP (the default).
    Serve,
    /// Serve MCP over standard input and output, for a client that starts the server itself.
    Stdio,
    /// Make, list and revoke API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show what the configuration comes to, or the schema of its file.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at workflow files.
    #[command(subcommand)]
    Workflow(WorkflowCommand),
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key. It is printed once and kept only as a hash.
    Create(KeyArgs),
    /// List the keys, without their secrets.
    List {
        /// One JSON document on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, by the id that `keys list` shows. A running server refuses it within a minute.
    Revoke {
        /// The key's id.
        id: String,
    },
}

/// What a new key may do.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The client that the key is for; jobs and pictures belong to it.
    pub client: String,
    /// A tool that the client may call: a name, a pattern such as `list_*`, or `*`. May be repeated.
    #[arg(long = "allow", value_name = "TOOL", default_value = "*")]
    pub allow: Vec<String>,
    /// How many calls the client may make each `--per` seconds.
    #[arg(long, requires_all = ["per", "burst"], value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// The seconds that `--rate` speaks of.
    #[arg(long, requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    pub per: Option<u32>,
    /// How many calls may come at once.
    #[arg(long, requires = "rate", value_parser = clap::value_parser!(u32).range(1..))]
    pub burst: Option<u32>,
    /// For how many days the key is good; for ever when this is not given.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub expires_in_days: Option<u32>,
}

/// What can be asked of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what is wrong with it, or that it is good.
    Check,
    /// Print the JSON schema of the file.
    Schema,
}

/// What can be done with workflow files.
#[derive(Debug, Subcommand)]
pub enum WorkflowCommand {
    /// Print the graph that ComfyUI runs, out of a file that its editor saved.
    Convert(ConvertArgs),
    /// Show what is found in a workflow: its parameters, what it needs, and what is missing here.
    Inspect(InspectArgs),
}

/// The options of every command; they stand above the environment and the file.
#[derive(Debug, Args)]
pub struct Options {
    /// The configuration file (TOML or JSON) [env: CONFIG_PATH]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// ComfyUI's base URL [default: http://127.0.0.1:8188]
    #[arg(long, global = true, value_name = "URL")]
    pub comfyui_url: Option<String>,
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, global = true)]
    pub host: Option<String>,
    /// The port to listen on, 0 for a free one [default: 9000]
    #[arg(long, short, global = true)]
    pub port: Option<u16>,
    /// Where the database and the pictures are kept [default: data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// A folder of workflow files [default: workflows]
    #[arg(long, global = true, value_name = "DIR")]
    pub workflows_dir: Option<PathBuf>,
    /// How many jobs run at once [default: 2]
    #[arg(long, global = true, value_name = "N")]
    pub max_concurrent_jobs: Option<usize>,
    /// Ask for an API key at every door but health
    #[arg(long, global = true)]
    pub enable_auth: bool,
    /// The file with the clients' keys, permissions and rate limits [default: auth_config.json]
    #[arg(long, global = true, value_name = "FILE")]
    pub auth_config: Option<PathBuf>,
    /// Use the embedded sandbox in place of ComfyUI: no GPU, no Python, no models, and painted stand-in pictures
    #[arg(long, global = true)]
    pub sandbox: bool,
    /// How many seconds the sandbox takes for a sampler's run [default: 1]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub sandbox_sampling_seconds: Option<f64>,
    /// What is logged: error, warn, info, debug, trace, or directives [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// A file that gets the log too
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

impl Options {
    /// The settings' sources: the file named, this process's environment, and what the flags set.
    pub fn sources(&self) -> Sources {
        let path = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("comfyui_url", self.comfyui_url.clone()),
            ("mcp_server_host", self.host.clone()),
            ("mcp_server_port", self.port.map(|port| port.to_string())),
            ("data_dir", self.data_dir.as_ref().map(path)),
            ("workflows_dir", self.workflows_dir.as_ref().map(path)),
            ("max_concurrent_jobs", self.max_concurrent_jobs.map(|n| n.to_string())),
            ("enable_auth", self.enable_auth.then(|| "true".into())),
            ("auth_config_path", self.auth_config.as_ref().map(path)),
            ("sandbox", self.sandbox.then(|| "true".into())),
            ("sandbox_sampling_seconds", self.sandbox_sampling_seconds.map(|s| s.to_string())),
            ("log_level", self.log_level.clone()),
            ("log_file", self.log_file.as_ref().map(path)),
        ];
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            overrides: flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(),
        }
    }
}
