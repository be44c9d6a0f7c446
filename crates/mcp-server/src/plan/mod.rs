//! From what a call asks for to the graph that will run: workflow, models, size and seed are chosen where the call
//! is silent, the parameters are set, and everything is checked against what the backend has.

mod choose;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::edit::{self, ControlNet, Lora, Mask};
use workflow_analyzer::{Analysis, Graph, ObjectInfo, Severity, analyze, validate};

use self::choose::Means;
use crate::catalog::{Catalog, Origin, Workflow};
use crate::error::{ServerError, line};

/// Source images above this many pixels are scaled down before they are sampled, unless a size is asked for.
const MAX_SOURCE_PIXELS: u64 = 2048 * 1024;

/// A picture that a client sent or named, and the name under which the graph loads it.
#[derive(Debug, Clone)]
pub struct InputPicture {
    /// The artifact that holds its bytes.
    pub artifact: String,
    /// `folder/name` in ComfyUI's input folder; made of the content's hash.
    pub reference: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// What a picture is made from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Text alone.
    Text,
    /// An image, and how far to go from it, 0 to 1.
    Image {
        /// The image.
        image: InputPicture,
        /// The denoising strength.
        strength: f64,
    },
    /// An image of which a part is painted anew.
    Inpaint {
        /// The image.
        image: InputPicture,
        /// White where to paint; without it, where the image is transparent.
        mask: Option<InputPicture>,
        /// The denoising strength.
        strength: f64,
    },
}

/// A ControlNet as it is asked for.
#[derive(Debug, Clone)]
pub struct Control {
    /// The guiding image.
    pub image: InputPicture,
    /// The file; the first that is installed when it isn't given.
    pub model: Option<String>,
    /// 0 to 10.
    pub strength: f64,
    /// Where in the sampling it starts, 0 to 1.
    pub start: f64,
    /// Where it ends, 0 to 1.
    pub end: f64,
}

/// What `generate_image`, `img2img` and `inpaint` ask for.
#[derive(Debug, Clone)]
pub struct ImageRequest {
    /// The workflow's name, when one is named.
    pub workflow: Option<String>,
    /// The model's file name.
    pub model: Option<String>,
    /// What to start from.
    pub source: Source,
    /// Pixels.
    pub width: Option<u64>,
    /// Pixels.
    pub height: Option<u64>,
    /// By the names of [`Analysis::parameters`].
    pub parameters: Map<String, Value>,
    /// LoRAs to chain.
    pub loras: Vec<Lora>,
    /// A ControlNet to attach.
    pub control: Option<Control>,
}

/// What a job runs: stored with it, so that it is the same after a restart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The tool that was called.
    pub tool: String,
    /// The workflow's name, or `inline`.
    pub workflow: String,
    /// The final graph, in the API format.
    pub graph: Value,
    /// Pictures that have to be in ComfyUI's input folder before it runs.
    pub uploads: Vec<Upload>,
    /// The seed, when the graph has one.
    pub seed: Option<u64>,
    /// How much of the work each node is.
    pub weights: HashMap<String, f64>,
    /// What ComfyUI will leave out or ignore without a word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A picture for the input folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The artifact that holds its bytes.
    pub artifact: String,
    /// The name by which the graph loads it.
    pub reference: String,
}

impl From<&InputPicture> for Upload {
    fn from(picture: &InputPicture) -> Self {
        Self { artifact: picture.artifact.clone(), reference: picture.reference.clone() }
    }
}

/// Plans a picture.
pub fn image(
    tool: &str,
    info: &ObjectInfo,
    catalog: &Catalog,
    request: &ImageRequest,
) -> Result<Plan, ServerError> {
    let workflow = base(info, catalog, request)?;
    let mut graph = workflow.graph.clone();
    let mut values = request.parameters.clone();
    let mut uploads = start_from(&mut graph, info, request)?;
    let size = size(&graph, info, request, &mut values);
    fill_in(&mut graph, info, workflow, request.model.as_deref())?;
    if let Some((width, height)) = size {
        edit::scale_source(&mut graph, info, width, height)?;
    }
    let seed = finish_parameters(&mut graph, info, &mut values)?;
    apply_loras(&mut graph, info, &request.loras)?;
    if let Some(control) = &request.control {
        attach_control(&mut graph, info, control)?;
        uploads.push(Upload::from(&control.image));
    }
    checked(tool, &workflow.name, &graph, info, uploads, seed)
}

/// A graph to run as it is, but for the parameters.
#[derive(Debug)]
pub struct GraphRequest<'a> {
    /// The workflow, stored or sent.
    pub workflow: &'a Workflow,
    /// By the names of [`Analysis::parameters`], or `node.input`.
    pub parameters: Map<String, Value>,
    /// Pictures that the parameters name.
    pub uploads: Vec<Upload>,
}

/// Plans a run of a given graph.
pub fn workflow(tool: &str, info: &ObjectInfo, request: GraphRequest<'_>) -> Result<Plan, ServerError> {
    let mut graph = request.workflow.graph.clone();
    let mut values = request.parameters;
    let model = values.get("model").and_then(Value::as_str).map(str::to_owned);
    fill_in(&mut graph, info, request.workflow, model.as_deref())?;
    let seed = finish_parameters(&mut graph, info, &mut values)?;
    checked(tool, &request.workflow.name, &graph, info, request.uploads, seed)
}

/// The named workflow, or the shipped one that goes with what is installed.
fn base<'a>(
    info: &ObjectInfo,
    catalog: &'a Catalog,
    request: &ImageRequest,
) -> Result<&'a Workflow, ServerError> {
    if let Some(name) = &request.workflow {
        return find(catalog, name);
    }
    let name = match (choose::means(info, request.model.as_deref())?, &request.source) {
        (Means::DiffusionModel, _) => "txt2img_diffusion_model",
        (Means::Checkpoint, Source::Text) => "txt2img",
        (Means::Checkpoint, Source::Image { .. }) => "img2img",
        (Means::Checkpoint, Source::Inpaint { .. }) => "inpaint",
    };
    find(catalog, name)
}

/// The workflow of that name, or an error with the nearest names.
pub fn find<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Workflow, ServerError> {
    if let Some(workflow) = catalog.get(name) {
        return Ok(workflow);
    }
    if let Some(broken) = catalog.broken().iter().find(|broken| broken.name == name) {
        return Err(ServerError::BrokenWorkflow { name: name.to_owned(), problem: broken.problem.clone() });
    }
    Err(choose::unknown("workflow", name, catalog.iter().map(|workflow| workflow.name.as_str())))
}

/// Makes the graph start from the source.
fn start_from(
    graph: &mut Graph,
    info: &ObjectInfo,
    request: &ImageRequest,
) -> Result<Vec<Upload>, ServerError> {
    match &request.source {
        Source::Text => Ok(Vec::new()),
        Source::Image { image, strength } => {
            edit::to_img2img(graph, info, &image.reference, *strength)?;
            Ok(vec![Upload::from(image)])
        }
        Source::Inpaint { image, mask, strength } => {
            let place = mask.as_ref().map_or(Mask::Alpha, |mask| Mask::Image(&mask.reference));
            edit::to_inpaint(graph, info, &image.reference, place, *strength)?;
            Ok(std::iter::once(image).chain(mask).map(Upload::from).collect())
        }
    }
}

type SourceSize = (Option<u32>, Option<u32>);

/// The size to sample in. From text it is a pair of parameters; from an image the image's own, scaled when it is
/// asked for or when the image is too large to be sampled.
fn size(
    graph: &Graph,
    info: &ObjectInfo,
    request: &ImageRequest,
    values: &mut Map<String, Value>,
) -> Option<SourceSize> {
    let image = match &request.source {
        Source::Text => {
            for (name, asked) in [("width", request.width), ("height", request.height)] {
                if let Some(asked) = asked {
                    values.insert(name.into(), asked.into());
                }
            }
            if request.width.is_none() && request.height.is_none() && request.workflow.is_none() {
                suit_size(graph, info, request, values);
            }
            return None;
        }
        Source::Image { image, .. } | Source::Inpaint { image, .. } => image,
    };
    if request.width.is_some() || request.height.is_some() {
        let side = |asked: Option<u64>| asked.and_then(|side| u32::try_from(side).ok());
        return Some((side(request.width), side(request.height)));
    }
    let pixels = u64::from(image.width) * u64::from(image.height);
    if pixels <= MAX_SOURCE_PIXELS {
        return None;
    }
    let scale = (MAX_SOURCE_PIXELS as f64 / pixels as f64).sqrt();
    let side = |pixels: u32| Some(((f64::from(pixels) * scale) as u32 / 8 * 8).max(8));
    Some((side(image.width), side(image.height)))
}

fn suit_size(graph: &Graph, info: &ObjectInfo, request: &ImageRequest, values: &mut Map<String, Value>) {
    let analysis = analyze(graph, info);
    let model = request.model.clone().or_else(|| {
        let parameter = analysis.parameter("model")?;
        let binding = parameter.bindings.first()?;
        let class = &graph.nodes.get(&binding.node)?.class_type;
        choose::default_model(&info.options(class, &binding.input)).map(str::to_owned)
    });
    if let Some(model) = model {
        let (width, height) = choose::default_size(&model);
        values.insert("width".into(), width.into());
        values.insert("height".into(), height.into());
    }
}

/// Puts the model that was asked for into the graph, and installed files in the place of placeholders.
fn fill_in(
    graph: &mut Graph,
    info: &ObjectInfo,
    workflow: &Workflow,
    model: Option<&str>,
) -> Result<(), ServerError> {
    let analysis = analyze(graph, info);
    if let Some(model) = model {
        let file = installed_model(graph, info, &analysis, model)?;
        edit::set_parameters(graph, &analysis, &Map::from_iter([("model".to_owned(), file.into())]))?;
    }
    if workflow.origin == Origin::Shipped {
        let analysis = analyze(graph, info);
        choose::fill_models(graph, &analysis, info)?;
    }
    Ok(())
}

/// The file of that name among those that the graph's own loader offers.
fn installed_model(
    graph: &Graph,
    info: &ObjectInfo,
    analysis: &Analysis,
    model: &str,
) -> Result<String, ServerError> {
    let options = analysis
        .parameter("model")
        .and_then(|parameter| parameter.bindings.first())
        .and_then(|binding| Some(info.options(&graph.nodes.get(&binding.node)?.class_type, &binding.input)))
        .ok_or_else(|| ServerError::InvalidArgument {
            field: "model".into(),
            problem: "this workflow loads no model that could be chosen".into(),
        })?;
    choose::named(&options, model)
        .map(str::to_owned)
        .ok_or_else(|| choose::unknown("model", model, options.iter().copied()))
}

/// Sets the parameters; a seed that isn't given is drawn, so that the same call makes another picture.
fn finish_parameters(
    graph: &mut Graph,
    info: &ObjectInfo,
    values: &mut Map<String, Value>,
) -> Result<Option<u64>, ServerError> {
    let analysis = analyze(graph, info);
    if analysis.parameter("seed").is_some() && !values.contains_key("seed") {
        values.insert("seed".into(), fresh_seed().into());
    }
    // The model was set before, under its installed name.
    values.remove("model");
    edit::set_parameters(graph, &analysis, values)?;
    Ok(values.get("seed").and_then(Value::as_u64))
}

/// A seed below 2^53, so that a client that reads numbers as doubles gives back the same one.
fn fresh_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0 >> 11
}

fn apply_loras(graph: &mut Graph, info: &ObjectInfo, loras: &[Lora]) -> Result<(), ServerError> {
    if loras.is_empty() {
        return Ok(());
    }
    let options = info.options("LoraLoader", "lora_name");
    let resolve = |lora: &Lora| match choose::named(&options, &lora.name) {
        Some(file) => Ok(Lora { name: file.to_owned(), ..lora.clone() }),
        None => Err(choose::unknown("loras.name", &lora.name, options.iter().copied())),
    };
    let loras = loras.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    Ok(edit::apply_loras(graph, info, &loras)?)
}

/// Attaches the ControlNet; a workflow that is made for a guiding image gets it as a parameter.
fn attach_control(graph: &mut Graph, info: &ObjectInfo, control: &Control) -> Result<(), ServerError> {
    let options = info.options("ControlNetLoader", "control_net_name");
    let model = match &control.model {
        Some(name) => choose::named(&options, name)
            .ok_or_else(|| choose::unknown("controlnet.model", name, options.iter().copied()))?,
        None => options.first().copied().ok_or_else(|| ServerError::NothingInstalled {
            kind: "controlnet".into(),
            class: "ControlNetLoader".into(),
        })?,
    };
    let control = ControlNet {
        model: model.to_owned(),
        image: control.image.reference.clone(),
        strength: control.strength,
        start: control.start,
        end: control.end,
    };
    let analysis = analyze(graph, info);
    if analysis.parameter("control_image").is_none() {
        return Ok(edit::attach_controlnet(graph, info, &control)?);
    }
    let values = [
        ("controlnet", Value::from(control.model)),
        ("control_image", control.image.into()),
        ("control_strength", control.strength.into()),
        ("control_start", control.start.into()),
        ("control_end", control.end.into()),
    ];
    let present = values.into_iter().filter(|(name, _)| analysis.parameter(name).is_some());
    let values = present.map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(edit::set_parameters(graph, &analysis, &values)?)
}

fn checked(
    tool: &str,
    workflow: &str,
    graph: &Graph,
    info: &ObjectInfo,
    uploads: Vec<Upload>,
    seed: Option<u64>,
) -> Result<Plan, ServerError> {
    let (errors, warnings): (Vec<_>, Vec<_>) =
        validate(graph, info).into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
    if !errors.is_empty() {
        return Err(ServerError::InvalidWorkflow(errors));
    }
    Ok(Plan {
        tool: tool.to_owned(),
        workflow: workflow.to_owned(),
        graph: graph.to_json(),
        uploads,
        seed,
        weights: analyze(graph, info).weights,
        warnings: warnings.iter().map(line).collect(),
    })
}
