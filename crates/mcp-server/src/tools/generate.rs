//! `generate_image`, `img2img` and `inpaint`.

use std::mem;
use std::sync::Arc;

use mcp_protocol::{CallContext, Tool, ToolDefinition, ToolError, ToolReply};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{Queueing, Sampling, delivery};
use super::{ask, creates, files, principal};
use crate::app::App;
use crate::error::ServerError;
use crate::inputs;
use crate::jobs::{self, Delivery};
use crate::plan::{self, Control, ImageRequest, InputPicture, Source};
use crate::views::JobReply;

/// Inside a mask, all is painted anew when the call doesn't say.
const INPAINT_STRENGTH: f64 = 1.0;

/// What the Python original called some of the arguments.
const ORIGINAL_NAMES: [(&str, &str); 2] = [("workflow_id", "workflow"), ("cfg_scale", "cfg")];

/// Makes a picture from text.
pub(super) struct GenerateImage(pub(super) Arc<App>);
/// Changes a picture by a text.
pub(super) struct Img2Img(pub(super) Arc<App>);
/// Paints a part of a picture anew.
pub(super) struct Inpaint(pub(super) Arc<App>);

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct GenerateImageArgs {
    prompt: String,
    #[schemars(range(min = 16, max = 16384))]
    width: Option<u64>,
    #[schemars(range(min = 16, max = 16384))]
    height: Option<u64>,
    #[schemars(range(min = 1, max = 64))]
    batch_size: Option<u64>,
    controlnet: Option<ControlNetArgs>,
    #[serde(flatten)]
    sampling: Sampling,
    #[serde(flatten)]
    queueing: Queueing,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ControlNetArgs {
    /// Artifact id or URI, data: URI, or base64
    image: String,
    model: Option<String>,
    #[schemars(range(min = 0, max = 10))]
    strength: Option<f64>,
    #[schemars(range(min = 0, max = 1))]
    start: Option<f64>,
    #[schemars(range(min = 0, max = 1))]
    end: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Img2ImgArgs {
    prompt: String,
    /// Artifact id or URI, data: URI, or base64
    image: String,
    /// 0 keeps the image, 1 ignores it; 0.75 if absent
    #[schemars(range(min = 0, max = 1))]
    strength: Option<f64>,
    #[schemars(range(min = 16, max = 16384))]
    width: Option<u64>,
    #[schemars(range(min = 16, max = 16384))]
    height: Option<u64>,
    #[serde(flatten)]
    sampling: Sampling,
    #[serde(flatten)]
    queueing: Queueing,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct InpaintArgs {
    prompt: String,
    /// Artifact id or URI, data: URI, or base64
    image: String,
    /// Image, white where to paint; if absent, the transparent part
    mask: Option<String>,
    /// 1 if absent
    #[schemars(range(min = 0, max = 1))]
    strength: Option<f64>,
    #[serde(flatten)]
    sampling: Sampling,
    #[serde(flatten)]
    queueing: Queueing,
}

impl Tool for GenerateImage {
    type Args = GenerateImageArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        creates(
            "generate_image",
            "Make a picture from text. If absent, model (see list_models), workflow (see list_workflows) and size are \
             chosen and the seed is random (some workflows keep theirs). A higher priority goes first. If the picture isn't done within \
             wait_seconds (20), the answer is the job's id. The same idempotency_key gives the same job. \
             With interactive, the person is asked for the model if several fit; nothing is made if they decline. \
             With strip_metadata, saved PNGs hold no workflow.",
        )
    }

    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        &ORIGINAL_NAMES
    }

    async fn call(&self, cx: CallContext, mut args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let (app, principal) = (&self.0, principal(&cx)?);
        let delivery = delivery("generate_image", mem::take(&mut args.queueing), &args).await?;
        if let Some(reply) = jobs::repeated(app, &cx, &principal, &delivery).await? {
            return Ok(reply);
        }
        ask::model(app, &cx, &mut args.sampling).await?;
        let control = match args.controlnet {
            Some(control) => Some(Control {
                image: inputs::picture(app, &principal, "controlnet.image", &control.image).await?,
                model: control.model,
                strength: control.strength.unwrap_or(1.0),
                start: control.start.unwrap_or(0.0),
                end: control.end.unwrap_or(1.0),
            }),
            None => None,
        };
        let mut request = request(app, Source::Text, &args.prompt, &args.sampling);
        request.width = args.width;
        request.height = args.height;
        request.control = control;
        if let Some(batch_size) = args.batch_size {
            request.parameters.insert("batch_size".into(), batch_size.into());
        }
        Ok(run(app, &cx, "generate_image", request, delivery).await?)
    }
}

impl Tool for Img2Img {
    type Args = Img2ImgArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        creates("img2img", "Change a picture by a text. Other arguments as in generate_image.")
    }

    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        &ORIGINAL_NAMES
    }

    async fn call(&self, cx: CallContext, mut args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let (app, principal) = (&self.0, principal(&cx)?);
        let delivery = delivery("img2img", mem::take(&mut args.queueing), &args).await?;
        if let Some(reply) = jobs::repeated(app, &cx, &principal, &delivery).await? {
            return Ok(reply);
        }
        ask::model(app, &cx, &mut args.sampling).await?;
        let image = inputs::picture(app, &principal, "image", &args.image).await?;
        let source = Source::Image { image, strength: args.strength };
        let mut request = request(app, source, &args.prompt, &args.sampling);
        request.width = args.width;
        request.height = args.height;
        Ok(run(app, &cx, "img2img", request, delivery).await?)
    }
}

impl Tool for Inpaint {
    type Args = InpaintArgs;
    type Output = JobReply;

    fn definition(&self) -> ToolDefinition {
        creates("inpaint", "Paint the masked part of a picture anew. Other arguments as in generate_image.")
    }

    fn aliases(&self) -> &'static [(&'static str, &'static str)] {
        &ORIGINAL_NAMES
    }

    async fn call(&self, cx: CallContext, mut args: Self::Args) -> Result<ToolReply<JobReply>, ToolError> {
        let (app, principal) = (&self.0, principal(&cx)?);
        let delivery = delivery("inpaint", mem::take(&mut args.queueing), &args).await?;
        if let Some(reply) = jobs::repeated(app, &cx, &principal, &delivery).await? {
            return Ok(reply);
        }
        ask::model(app, &cx, &mut args.sampling).await?;
        let image = inputs::picture(app, &principal, "image", &args.image).await?;
        let mask = if let Some(mask) = &args.mask {
            Some(inputs::picture(app, &principal, "mask", mask).await?)
        } else {
            check_transparency(app, &image).await?;
            None
        };
        let strength = args.strength.unwrap_or(INPAINT_STRENGTH);
        let request = request(app, Source::Inpaint { image, mask, strength }, &args.prompt, &args.sampling);
        Ok(run(app, &cx, "inpaint", request, delivery).await?)
    }
}

/// Without a mask and without a transparent part, nothing would be painted.
async fn check_transparency(app: &App, image: &InputPicture) -> Result<(), ServerError> {
    if inputs::has_transparency(app, "image", image).await? {
        return Ok(());
    }
    Err(ServerError::InvalidArgument {
        field: "mask".into(),
        problem: "the image has no transparent part; give a mask".into(),
    })
}

fn request(app: &App, source: Source, prompt: &str, sampling: &Sampling) -> ImageRequest {
    ImageRequest {
        workflow: sampling.workflow.clone(),
        model: sampling.model.clone(),
        source,
        width: None,
        height: None,
        parameters: sampling.parameters(prompt),
        loras: sampling.loras(),
        control: None,
        files: files(app),
    }
}

async fn run(
    app: &App,
    cx: &CallContext,
    tool: &'static str,
    request: ImageRequest,
    delivery: Delivery,
) -> Result<ToolReply<JobReply>, ServerError> {
    let catalog = app.catalog.current();
    let plan = app.planned(move |info| plan::image(tool, info, &catalog, &request)).await?;
    jobs::run(app, cx, &*principal(cx)?, plan, delivery).await
}
