//! From the command line to what is asked of the server.

use serde::Serialize;
use serde_json::{Map, Value};

use mcp_client::{
    ControlNet, GenerateImage, ImageInput, ImageInputError, Img2Img, Inpaint, Lora, RunWorkflow,
    WorkflowSource,
};

use super::args::{
    Command, FinishArgs, GenerateArgs, ImageArgs, JobArgs, PaintArgs, RunArgs, SizeArgs, StartArgs,
};

/// The largest graph file that is read.
const MAX_GRAPH_BYTES: u64 = 8 * 1024 * 1024;

/// One thing to do.
#[derive(Debug)]
pub(super) enum Request<'a> {
    /// Starts a job with a tool and, mostly, waits for it.
    Start { tool: &'static str, arguments: Map<String, Value>, after: &'a StartArgs },
    /// Asks a tool and prints what it says.
    Ask { tool: &'static str, arguments: Map<String, Value> },
    /// Waits for a job.
    Wait { job_id: &'a str, finish: &'a FinishArgs },
    /// Saves an artifact.
    Image { artifact: &'a ImageArgs },
}

/// Why a command line can't be turned into a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// An option's value has the wrong form.
    #[error("{0}")]
    Form(String),
    /// An image can't be sent.
    #[error(transparent)]
    Image(#[from] ImageInputError),
    /// A file can't be read.
    #[error("can't read {path}")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

/// Reads the files that the command names and puts the arguments together.
pub(super) async fn build(command: &Command) -> Result<Request<'_>, RequestError> {
    Ok(match command {
        Command::Generate(args) => {
            let prompt = args.prompt.prompt.as_ref().or(args.prompt.prompt_option.as_ref());
            let request = GenerateImage {
                batch_size: args.batch_size,
                controlnet: guide(args).await?,
                ..paint(prompt, &args.size, &args.paint)
            };
            start("generate_image", &request, &args.paint.job)?
        }
        Command::Img2img(args) => {
            let prompt = args.prompt.prompt.as_ref().or(args.prompt.prompt_option.as_ref());
            let request = Img2Img {
                image: image(&args.image).await?,
                strength: args.strength,
                generate: paint(prompt, &args.size, &args.paint),
            };
            start("img2img", &request, &args.paint.job)?
        }
        Command::Inpaint(args) => {
            let prompt = args.prompt.prompt.as_ref().or(args.prompt.prompt_option.as_ref());
            let mask = match &args.mask {
                Some(mask) => Some(image(mask).await?),
                None => None,
            };
            let request = Inpaint {
                image: image(&args.image).await?,
                mask,
                strength: args.strength,
                generate: paint(prompt, &SizeArgs::default(), &args.paint),
            };
            start("inpaint", &request, &args.paint.job)?
        }
        Command::Run(args) => start("run_workflow", &run(args).await?, &args.job)?,
        Command::ListModels(args) => {
            let fields = [("kind", &args.kind), ("search", &args.search)];
            let given = fields.into_iter().filter_map(|(name, value)| {
                value.as_ref().map(|value| (name.to_owned(), Value::String(value.clone())))
            });
            Request::Ask { tool: "list_models", arguments: given.collect() }
        }
        Command::ListWorkflows => ask("list_workflows"),
        Command::Manifest => ask("get_tools_manifest"),
        Command::Queue => ask("get_queue_status"),
        Command::Status(args) => of_job("get_job_status", args),
        Command::Cancel(args) => of_job("cancel_job", args),
        Command::Wait(args) => Request::Wait { job_id: args.job.id(), finish: &args.finish },
        Command::Image(args) => Request::Image { artifact: args },
    })
}

fn ask(tool: &'static str) -> Request<'static> {
    Request::Ask { tool, arguments: Map::new() }
}

fn of_job(tool: &'static str, args: &JobArgs) -> Request<'static> {
    let arguments = Map::from_iter([("job_id".to_owned(), Value::String(args.id().to_owned()))]);
    Request::Ask { tool, arguments }
}

fn start<'a>(
    tool: &'static str,
    request: &impl Serialize,
    after: &'a StartArgs,
) -> Result<Request<'a>, RequestError> {
    match serde_json::to_value(request) {
        Ok(Value::Object(arguments)) => Ok(Request::Start { tool, arguments, after }),
        _ => Err(RequestError::Form(format!("the arguments of {tool} have no JSON form"))),
    }
}

impl JobArgs {
    /// The id, in whichever way it was given; the parser has seen to it that there is one.
    fn id(&self) -> &str {
        self.job_id.as_deref().or(self.job_id_option.as_deref()).unwrap_or_default()
    }
}

async fn guide(args: &GenerateArgs) -> Result<Option<ControlNet>, RequestError> {
    let Some(guide) = &args.controlnet_image else { return Ok(None) };
    Ok(Some(ControlNet {
        image: image(guide).await?,
        model: args.controlnet_model.clone(),
        strength: args.controlnet_strength,
        start: args.controlnet_start,
        end: args.controlnet_end,
    }))
}

fn paint(prompt: Option<&String>, size: &SizeArgs, args: &PaintArgs) -> GenerateImage {
    GenerateImage {
        prompt: prompt.cloned().unwrap_or_default(),
        negative_prompt: args.negative_prompt.clone(),
        model: args.model.clone(),
        width: size.width,
        height: size.height,
        batch_size: None,
        seed: args.seed,
        steps: args.steps,
        cfg: args.cfg,
        sampler: args.sampler.clone(),
        scheduler: args.scheduler.clone(),
        loras: args.loras.iter().map(|text| lora(text)).collect(),
        controlnet: None,
        workflow: args.workflow.clone(),
        priority: args.job.priority,
        // The id comes at once; the waiting is done with calls of its own, so that nothing hangs on a long
        // one.
        wait_seconds: Some(0),
        idempotency_key: args.job.idempotency_key.clone(),
        strip_metadata: args.job.strip_metadata.then_some(true),
    }
}

/// `NAME`, `NAME:STRENGTH` or `NAME:STRENGTH:CLIP_STRENGTH`, read from the end: a name may have colons.
fn lora(text: &str) -> Lora {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let cut = |text: &str| {
        let (name, last) = text.rsplit_once(':')?;
        Some((name.to_owned(), number(last)?))
    };
    let Some((head, last)) = cut(text) else {
        return Lora { name: text.to_owned(), ..Lora::default() };
    };
    match cut(&head) {
        Some((name, strength)) => Lora { name, strength: Some(strength), strength_clip: Some(last) },
        None => Lora { name: head, strength: Some(last), strength_clip: None },
    }
}

/// A file is read and sent; an id or URI of the server goes as it is.
async fn image(text: &str) -> Result<ImageInput, RequestError> {
    if text.starts_with("comfy://") || text.starts_with("data:") {
        return Ok(ImageInput::artifact(text));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Err(RequestError::Form(format!("{text} is a URL: download it and give the file's name")));
    }
    let path = std::path::Path::new(text);
    if !path.exists() && is_uuid(text) {
        return Ok(ImageInput::artifact(text));
    }
    Ok(ImageInput::from_file(path).await?)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

async fn run(args: &RunArgs) -> Result<RunWorkflow, RequestError> {
    let name = args.workflow.as_ref().or(args.workflow_option.as_ref());
    let source = match (name, &args.graph) {
        (Some(name), _) => WorkflowSource::Stored(name.clone()),
        (None, Some(path)) => WorkflowSource::Graph(graph(path).await?),
        (None, None) => return Err(RequestError::Form("no workflow is named".to_owned())),
    };
    let mut parameters = match &args.params_json {
        None => Map::new(),
        Some(text) => match serde_json::from_str(text) {
            Ok(Value::Object(parameters)) => parameters,
            _ => return Err(RequestError::Form("--params-json takes a JSON object".to_owned())),
        },
    };
    for text in &args.params {
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(RequestError::Form(format!("--param takes NAME=VALUE, not {text:?}")));
        };
        parameters.insert(name.to_owned(), parameter(value).await?);
    }
    Ok(RunWorkflow {
        parameters,
        priority: args.job.priority,
        wait_seconds: Some(0),
        idempotency_key: args.job.idempotency_key.clone(),
        strip_metadata: args.job.strip_metadata.then_some(true),
        ..RunWorkflow::new(source)
    })
}

async fn parameter(text: &str) -> Result<Value, RequestError> {
    if let Some(path) = text.strip_prefix('@') {
        return Ok(Value::String(image(path).await?.as_str().to_owned()));
    }
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

async fn graph(path: &std::path::Path) -> Result<Value, RequestError> {
    let cannot_read = |source| RequestError::Read { path: path.display().to_string(), source };
    let about = tokio::fs::metadata(path).await.map_err(cannot_read)?;
    if about.len() > MAX_GRAPH_BYTES {
        let limit = MAX_GRAPH_BYTES / (1024 * 1024);
        return Err(RequestError::Form(format!("{} has more than {limit} MB", path.display())));
    }
    let bytes = tokio::fs::read(path).await.map_err(cannot_read)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| RequestError::Form(format!("{} is not JSON: {error}", path.display())))
}
