//! The command line: its options, their help and their defaults.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Where the server is when nothing else is said: the gateway's own default.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:9000/mcp";

const EXAMPLES: &str = "\
Examples:
  mcp-client generate \"a dog wearing sunglasses\" -o dog.png
  mcp-client generate --prompt \"a dog\" --seed 7 --batch-size 2 -o dogs.png    (and dogs-2.png)
  mcp-client img2img \"the same dog, in winter\" --image dog.png --strength 0.6 -o winter.png
  mcp-client inpaint \"a red hat\" --image dog.png --mask hat-mask.png -o hat.png
  mcp-client list-models --kind checkpoints
  mcp-client run upscale --param image=@dog.png -o large.png
  mcp-client generate \"a city\" --no-wait        (prints the job's id)
  mcp-client wait JOB_ID -o city.png
  mcp-client --stdio \"mcp-server stdio --sandbox\" generate \"a fox\" -o fox.png";

const AFTER_LONG_HELP: &str = "\
Environment:
  MCP_SERVER_URL   as --server
  MCP_API_KEY      as --api-key (a key on the command line can be seen by others on this machine)

Exit codes:
  0    ok
  1    the job failed, or another error
  2    wrong usage or invalid arguments
  3    the server can't be reached
  4    the server refused: no key, a wrong key, or no permission (401, 403)
  5    too many requests (429)
  6    the time given by --timeout is over; the job goes on
  7    the job was cancelled
  130  interrupted by Ctrl-C; the job goes on

The spelling of earlier versions works too:
  mcp-client --action generate --prompt \"a dog wearing sunglasses\"
  mcp-client --action img2img --image input.jpg --strength 0.75
  mcp-client --action list-models
  mcp-client --workflow NAME";

/// Makes images with ComfyUI through the gateway.
#[derive(Debug, Parser, PartialEq)]
#[command(name = "mcp-client", version, after_help = EXAMPLES)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{AFTER_LONG_HELP}"))]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args, Debug, PartialEq)]
#[command(next_help_heading = "Connection and answer")]
pub(crate) struct ConnectionArgs {
    /// The server's MCP address, http(s)://HOST/mcp or ws(s)://HOST/ws [env: MCP_SERVER_URL] [default:
    /// http://127.0.0.1:9000/mcp]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Starts this server and talks to it over its standard input and output, instead of --server
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "server")]
    pub(crate) stdio: Option<String>,
    /// The API key [env: MCP_API_KEY]
    #[arg(long, global = true, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
}

#[derive(Args, Debug, PartialEq)]
#[command(next_help_heading = "Connection and answer")]
pub(crate) struct OutputArgs {
    /// Prints one JSON document on standard output and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress, no hints
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand, PartialEq)]
pub(crate) enum Command {
    /// Makes an image of a prompt
    #[command(visible_alias = "txt2img", aliases = ["generate-image"])]
    Generate(GenerateArgs),
    /// Paints over an image
    #[command(aliases = ["image-to-image"])]
    Img2img(Img2ImgArgs),
    /// Paints the masked part of an image anew
    Inpaint(InpaintArgs),
    /// Runs a workflow of the server, or a graph from a file
    #[command(aliases = ["run-workflow", "workflow"])]
    Run(RunArgs),
    /// Lists the models that can be used
    #[command(aliases = ["models"])]
    ListModels(ListModelsArgs),
    /// Lists the workflows that `run` can run
    #[command(aliases = ["workflows"])]
    ListWorkflows,
    /// Tells what the server's tools are
    #[command(aliases = ["get-tools-manifest", "tools"])]
    Manifest,
    /// Tells where a job is
    #[command(aliases = ["get-job-status"])]
    Status(JobArgs),
    /// Waits for a job and saves its images
    #[command(aliases = ["wait-for-job"])]
    Wait(WaitArgs),
    /// Cancels a job
    #[command(aliases = ["cancel-job"])]
    Cancel(JobArgs),
    /// Tells how long the queue is
    #[command(aliases = ["get-queue-status", "queue-status"])]
    Queue,
    /// Saves an image that a job made
    #[command(aliases = ["get-image"])]
    Image(ImageArgs),
}

/// The prompt, where one is needed.
#[derive(Args, Debug, PartialEq)]
pub(crate) struct PromptArgs {
    /// What to paint
    #[arg(value_name = "PROMPT", required_unless_present = "prompt_option")]
    pub(crate) prompt: Option<String>,
    /// The same, as an option
    #[arg(long = "prompt", short, value_name = "PROMPT", conflicts_with = "prompt")]
    pub(crate) prompt_option: Option<String>,
}

/// The prompt, where the image alone may do.
#[derive(Args, Debug, PartialEq)]
pub(crate) struct OptionalPromptArgs {
    /// What to paint
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Option<String>,
    /// The same, as an option
    #[arg(long = "prompt", short, value_name = "PROMPT", conflicts_with = "prompt")]
    pub(crate) prompt_option: Option<String>,
}

/// What all commands that make images have in common.
#[derive(Args, Debug, PartialEq)]
pub(crate) struct PaintArgs {
    /// What not to paint
    #[arg(long, short, alias = "negative_prompt")]
    pub(crate) negative_prompt: Option<String>,
    /// A model, as `list-models` names it [default: the server's choice]
    #[arg(long, short, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Same seed, same image: 0 to 18446744073709551615 [default: random]
    #[arg(long, short, allow_negative_numbers = true, value_parser = whole)]
    pub(crate) seed: Option<u64>,
    /// Sampling steps
    #[arg(long, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) steps: Option<u32>,
    /// How closely the prompt is followed
    #[arg(long, aliases = ["cfg-scale", "cfg_scale"])]
    #[arg(allow_negative_numbers = true, value_parser = number(0.0, 100.0))]
    pub(crate) cfg: Option<f64>,
    /// A sampler, such as euler
    #[arg(long, alias = "sampler_name", value_name = "NAME")]
    pub(crate) sampler: Option<String>,
    /// A scheduler, such as karras
    #[arg(long, value_name = "NAME")]
    pub(crate) scheduler: Option<String>,
    /// A LoRA, as NAME, NAME:STRENGTH or NAME:STRENGTH:CLIP_STRENGTH; may be given several times
    #[arg(long = "lora", value_name = "LORA")]
    pub(crate) loras: Vec<String>,
    /// A workflow of the server to make the image with
    #[arg(long, short, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    #[command(flatten)]
    pub(crate) job: StartArgs,
}

/// How large the image is to be.
#[derive(Args, Debug, Default, PartialEq)]
pub(crate) struct SizeArgs {
    /// Width in pixels
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=16384))]
    pub(crate) width: Option<u32>,
    /// Height in pixels
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=16384))]
    pub(crate) height: Option<u32>,
}

/// How a job is started and what happens after.
#[derive(Args, Debug, PartialEq)]
pub(crate) struct StartArgs {
    /// -100 to 100, higher first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(i64).range(-100..=100))]
    pub(crate) priority: Option<i64>,
    /// A second run with the same key gets the job of the first
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Keeps the workflow out of PNG files, into which ComfyUI writes it
    #[arg(long)]
    pub(crate) strip_metadata: bool,
    /// Prints the job's id instead of waiting for the job
    #[arg(long, conflicts_with_all = ["output", "timeout"])]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) finish: FinishArgs,
}

/// How long is waited for a job, and where its images go.
#[derive(Args, Debug, PartialEq)]
pub(crate) struct FinishArgs {
    /// Gives up waiting after so many seconds; the job goes on [default: waits till the job is over]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = whole)]
    pub(crate) timeout: Option<u64>,
    /// Saves the image to FILE (replaced if it exists), further ones as FILE-2 and so on; a folder takes all
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) prompt: PromptArgs,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    /// How many images
    #[arg(long, short, alias = "batch_size", value_name = "COUNT", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) batch_size: Option<u32>,
    /// An image that guides the composition: a file or an artifact's id
    #[arg(long, alias = "controlnet", value_name = "IMAGE")]
    pub(crate) controlnet_image: Option<String>,
    /// The ControlNet model
    #[arg(long, value_name = "NAME", requires = "controlnet_image")]
    pub(crate) controlnet_model: Option<String>,
    /// How strongly it guides
    #[arg(long, value_name = "STRENGTH", requires = "controlnet_image")]
    #[arg(allow_negative_numbers = true, value_parser = number(0.0, 10.0))]
    pub(crate) controlnet_strength: Option<f64>,
    /// Where in the sampling it sets in, 0 to 1
    #[arg(long, value_name = "FRACTION", requires = "controlnet_image")]
    #[arg(allow_negative_numbers = true, value_parser = number(0.0, 1.0))]
    pub(crate) controlnet_start: Option<f64>,
    /// Where in the sampling it ends, 0 to 1
    #[arg(long, value_name = "FRACTION", requires = "controlnet_image")]
    #[arg(allow_negative_numbers = true, value_parser = number(0.0, 1.0))]
    pub(crate) controlnet_end: Option<f64>,
    #[command(flatten)]
    pub(crate) paint: PaintArgs,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct Img2ImgArgs {
    /// The image to start from: a file or an artifact's id
    #[arg(long, short, value_name = "IMAGE")]
    pub(crate) image: String,
    /// 0 keeps the image, 1 forgets it
    #[arg(long, alias = "denoise", allow_negative_numbers = true, value_parser = number(0.0, 1.0))]
    pub(crate) strength: Option<f64>,
    #[command(flatten)]
    pub(crate) prompt: OptionalPromptArgs,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    #[command(flatten)]
    pub(crate) paint: PaintArgs,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct InpaintArgs {
    /// The image to start from: a file or an artifact's id
    #[arg(long, short, value_name = "IMAGE")]
    pub(crate) image: String,
    /// White is painted anew, black is kept: a file or an artifact's id [default: what is transparent in the
    /// image]
    #[arg(long, value_name = "IMAGE")]
    pub(crate) mask: Option<String>,
    /// 0 keeps what is under the mask, 1 forgets it
    #[arg(long, alias = "denoise", allow_negative_numbers = true, value_parser = number(0.0, 1.0))]
    pub(crate) strength: Option<f64>,
    #[command(flatten)]
    pub(crate) prompt: OptionalPromptArgs,
    #[command(flatten)]
    pub(crate) paint: PaintArgs,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct RunArgs {
    /// The workflow, as `list-workflows` names it
    #[arg(value_name = "NAME", required_unless_present_any = ["workflow_option", "graph"])]
    pub(crate) workflow: Option<String>,
    /// The same, as an option
    #[arg(long = "workflow", short, value_name = "NAME", conflicts_with_all = ["workflow", "graph"])]
    pub(crate) workflow_option: Option<String>,
    /// A graph in ComfyUI's API format, from a JSON file, instead of NAME
    #[arg(long, value_name = "FILE", conflicts_with = "workflow")]
    pub(crate) graph: Option<PathBuf>,
    /// A parameter as NAME=VALUE; VALUE is JSON or text, and @FILE sends an image; may be given several times
    #[arg(long = "param", short = 'P', visible_alias = "set", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Parameters as a JSON object
    #[arg(long, visible_alias = "parameters", value_name = "JSON")]
    pub(crate) params_json: Option<String>,
    #[command(flatten)]
    pub(crate) job: StartArgs,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct ListModelsArgs {
    /// Only this kind, such as checkpoints, loras or controlnet
    #[arg(long, short)]
    pub(crate) kind: Option<String>,
    /// Only names with this text
    #[arg(long, short)]
    pub(crate) search: Option<String>,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct JobArgs {
    /// The job's id
    #[arg(value_name = "JOB_ID", required_unless_present = "job_id_option")]
    pub(crate) job_id: Option<String>,
    #[arg(long = "job-id", alias = "job_id", hide = true, conflicts_with = "job_id")]
    pub(crate) job_id_option: Option<String>,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    #[command(flatten)]
    pub(crate) finish: FinishArgs,
}

#[derive(Args, Debug, PartialEq)]
pub(crate) struct ImageArgs {
    /// The artifact's id, or comfy://artifacts/ID
    #[arg(value_name = "ARTIFACT")]
    pub(crate) artifact: String,
    /// Saves it to FILE (replaced if it exists); a folder takes it under its own name
    #[arg(long, short, value_name = "FILE", default_value = ".", hide_default_value = true)]
    pub(crate) output: PathBuf,
    /// Takes the small version of it
    #[arg(long)]
    pub(crate) preview: bool,
}

/// Reads a finite number within bounds that the server's tools have, too.
fn number(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(number) if number.is_finite() => Err(format!("{text} is not in {least}..={most}")),
        _ => Err(format!("{text:?} is not a number from {least} to {most}")),
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 0 to {}", u64::MAX))
}

impl Cli {
    /// Reads a command line in either spelling. An error knows how to print itself and its exit code.
    pub(crate) fn from_arguments<I, T>(arguments: I) -> Result<Cli, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString>,
    {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        Cli::try_parse_from(super::old_spelling::translate(arguments))
    }
}
