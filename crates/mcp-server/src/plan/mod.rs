//! From what a call asks for to the graph that will run: workflow, models, size and seed are chosen where the call
//! is silent, the parameters are set, and everything is checked against what the backend has.

mod choose;
mod draft;
mod family;
mod files;
mod installed;
mod loaders;
mod loras;
mod names;
mod overrides;
mod parameters;
mod size;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use workflow_analyzer::edit::{self, ControlNet, Lora, Mask};
use workflow_analyzer::{ObjectInfo, Options, Severity, analyze, validate_with};

use self::choose::{Chosen, Task};
use self::draft::Draft;
pub use self::files::forget_folder;
pub use self::installed::missing;
pub use self::overrides::images;
use crate::catalog::shipped::ModelFile;
use crate::catalog::{Catalog, Document, Origin, Workflow};
use crate::error::{ServerError, line};

/// A graph that a call brings may have this many nodes: some ten times the largest that people share.
pub const MAX_NODES: usize = 5_000;

/// How far a picture goes from its source when the call doesn't say.
const IMG2IMG_STRENGTH: f64 = 0.75;

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
        /// The denoising strength; without it, what suits the workflow.
        strength: Option<f64>,
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

/// Which files of ComfyUI a graph may load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// All that ComfyUI has: it has one user.
    All,
    /// Those of this call, and those that the operator's workflow names: the others may be another client's.
    Own,
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
    /// By the names of [`workflow_analyzer::Analysis::parameters`].
    pub parameters: Map<String, Value>,
    /// LoRAs to chain.
    pub loras: Vec<Lora>,
    /// A ControlNet to attach.
    pub control: Option<Control>,
    /// What the graph may load.
    pub files: Files,
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
    /// What the picture is made with, given or chosen: model, size, steps and so on.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// How much of the work each node is.
    pub weights: HashMap<String, f64>,
    /// What was changed or chosen in a way that the caller may not expect, and what ComfyUI will ignore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Of the call's arguments, where it has an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Whether the workflow is taken out of the pictures that ComfyUI saves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strip_metadata: bool,
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
    let (workflow, chosen) = base(info, catalog, request)?;
    let mut draft = Draft::new(info, &workflow, request.files, &request.parameters);
    let mut values = request.parameters.clone();
    let edits = edits(&draft, &request.source);
    if let (true, Source::Image { image, .. }) = (edits, &request.source) {
        values.insert("image".into(), image.reference.clone().into());
        draft.uploads.push(Upload::from(image));
    } else {
        start_from(&mut draft, &request.source)?;
    }
    let size =
        if edits { size::given(request) } else { size::choose(&draft, request, chosen.model(), &mut values) };
    loras::make_room(&mut draft, &request.loras);
    draft.fill_in(request.model.as_deref(), chosen)?;
    if let Some((width, height)) = size {
        edit::scale_source(&mut draft.graph, info, width, height)?;
    }
    parameters::set(&mut draft, values)?;
    loras::apply(&mut draft, &request.loras)?;
    if let Some(control) = &request.control {
        attach_control(&mut draft, control)?;
    }
    let mut plan = draft.finish(tool, "")?;
    if edits {
        size::tell_edited(&mut plan);
    } else {
        size::tell(&mut plan, &request.source, size);
    }
    Ok(plan)
}

/// Whether the workflow is told what to change in the image: it starts from the image in its own way.
fn edits(draft: &Draft<'_>, source: &Source) -> bool {
    let is_plain = matches!(source, Source::Image { strength: None, .. });
    is_plain && draft.is_shipped() && family::is_edit(&draft.workflow.name)
}

/// A graph to run as it is, but for the parameters.
#[derive(Debug)]
pub struct GraphRequest<'a> {
    /// The workflow, stored or sent.
    pub workflow: &'a Workflow,
    /// By the names that the workflow's sidecar gives, those of [`workflow_analyzer::Analysis::parameters`], `node.input`, or
    /// the title of a node with or without `.input`.
    pub parameters: Map<String, Value>,
    /// Pictures that the parameters name.
    pub uploads: Vec<Upload>,
    /// What the graph may load.
    pub files: Files,
}

/// Plans a run of a given graph.
pub fn workflow(tool: &str, info: &ObjectInfo, request: GraphRequest<'_>) -> Result<Plan, ServerError> {
    let values = overrides::resolve(info, request.workflow, request.parameters)?;
    let mut draft = Draft::new(info, request.workflow, request.files, &values);
    draft.uploads = request.uploads;
    let model = values.get("model").and_then(Value::as_str).map(str::to_owned);
    draft.fill_in(model.as_deref(), Chosen::Nothing)?;
    parameters::set(&mut draft, values)?;
    draft.finish(tool, "parameters.")
}

/// Whether a workflow could run with what is installed, once it is given its images.
pub fn is_runnable(info: &ObjectInfo, workflow: &Workflow) -> bool {
    reasons(info, workflow).is_empty()
}

/// Why a workflow can't run with what is installed, each reason in a line; none if it could, once it is given its images.
pub fn reasons(info: &ObjectInfo, workflow: &Workflow) -> Vec<String> {
    let mut draft = Draft::new(info, workflow, Files::All, &Map::new());
    if let Err(error) = draft.fill_in(None, Chosen::Nothing) {
        return vec![match error.remedy() {
            Some(remedy) => format!("{error}; {remedy}"),
            None => error.to_string(),
        }];
    }
    let options = Options { packs: Some(&workflow.packs), ..Options::default() };
    let found = validate_with(&draft.graph, info, &options);
    found.iter().filter(|found| found.severity == Severity::Error).map(line).collect()
}

/// The models that a call which names none could be given, the one that it is given first. None for a workflow that isn't
/// shipped: it means its own.
pub fn model_choices(
    info: &ObjectInfo,
    catalog: &Catalog,
    workflow: Option<&str>,
) -> Result<Vec<String>, ServerError> {
    let Some(name) = workflow else {
        return Ok(choose::paintable(info, catalog).into_iter().map(str::to_owned).collect());
    };
    let workflow = find(catalog, Some(info), name)?;
    let analysis = analyze(&workflow.graph, info);
    let options = draft::model_options(&workflow.graph, info, &analysis).unwrap_or_default();
    let options = if workflow.origin == Origin::Shipped { options } else { Vec::new() };
    Ok(choose::wanted(&options).into_iter().map(str::to_owned).collect())
}

/// Reads a graph that a call brings.
pub fn read_document(graph: &Value) -> Result<Document, ServerError> {
    let invalid = |problem: String| ServerError::InvalidArgument { field: "graph".into(), problem };
    // What people save from the network tab is the whole request, with the graph in `prompt`; the editor has lists.
    let size = |value: &Value| match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    check_size(size(graph).max(size(&graph["prompt"])).max(size(&graph["nodes"])))?;
    Document::read(graph).map_err(invalid)
}

/// Refuses a graph of a call that is too large; one of the editor's grows when it is converted.
pub fn check_size(nodes: usize) -> Result<(), ServerError> {
    if nodes <= MAX_NODES {
        return Ok(());
    }
    let problem = format!("it has {nodes} nodes, and at most {MAX_NODES} are taken");
    Err(ServerError::InvalidArgument { field: "graph".into(), problem })
}

/// The named workflow, or the shipped one that goes with what is installed.
fn base<'a>(
    info: &'a ObjectInfo,
    catalog: &Catalog,
    request: &ImageRequest,
) -> Result<(Workflow, Chosen<'a>), ServerError> {
    if let Some(name) = &request.workflow {
        return Ok((find(catalog, Some(info), name)?, Chosen::Nothing));
    }
    let task = match &request.source {
        Source::Text => Task::Text,
        Source::Image { strength: None, .. } => Task::Edit,
        Source::Image { .. } => Task::Image,
        Source::Inpaint { .. } => Task::Inpaint,
    };
    let (name, chosen) = choose::choose(info, catalog, request.model.as_deref(), task)?;
    Ok((find(catalog, Some(info), name)?, chosen))
}

/// The workflow of that name, or an error with the nearest names. Without `info`, one that has to be converted can't be had.
pub fn find(catalog: &Catalog, info: Option<&ObjectInfo>, name: &str) -> Result<Workflow, ServerError> {
    if let Some(entry) = catalog.get(name) {
        return entry.workflow(info).map_err(|unusable| ServerError::unusable(&entry.name, &unusable));
    }
    if let Some(broken) = catalog.broken().iter().find(|broken| broken.name == name) {
        return Err(ServerError::BrokenWorkflow { name: name.to_owned(), problem: broken.problem.clone() });
    }
    Err(choose::unknown("workflow", name, catalog.iter().map(|workflow| workflow.name.as_str())))
}

/// Makes the graph start from the source.
fn start_from(draft: &mut Draft<'_>, source: &Source) -> Result<(), ServerError> {
    match source {
        Source::Text => {}
        Source::Image { image, strength } => {
            let strength = strength.unwrap_or(IMG2IMG_STRENGTH);
            edit::to_img2img(&mut draft.graph, draft.info, &image.reference, strength)?;
            draft.uploads.push(Upload::from(image));
        }
        Source::Inpaint { image, mask, strength } => {
            let place = mask.as_ref().map_or(Mask::Alpha, |mask| Mask::Image(&mask.reference));
            edit::to_inpaint(&mut draft.graph, draft.info, &image.reference, place, *strength)?;
            draft.uploads.extend(std::iter::once(image).chain(mask).map(Upload::from));
        }
    }
    Ok(())
}

/// Attaches the ControlNet; a workflow that is made for a guiding image gets it as a parameter.
fn attach_control(draft: &mut Draft<'_>, control: &Control) -> Result<(), ServerError> {
    let info = draft.info;
    draft.uploads.push(Upload::from(&control.image));
    let options = info.options("ControlNetLoader", "control_net_name");
    let analysis = analyze(&draft.graph, info);
    let loaded =
        analysis.parameter("model").and_then(|model| model.value.as_ref()?.as_str()).unwrap_or_default();
    let model = match &control.model {
        Some(name) => choose::named(&options, name)
            .ok_or_else(|| choose::unknown("controlnet.model", name, options.iter().copied()))?,
        None => choose::controlnet(&options, loaded).ok_or_else(|| ServerError::NothingInstalled {
            kind: "controlnet".into(),
            class: "ControlNetLoader".into(),
            example: choose::example_controlnet(loaded).map(ModelFile::place),
        })?,
    };
    let control = ControlNet {
        model: model.to_owned(),
        image: control.image.reference.clone(),
        strength: control.strength,
        start: control.start,
        end: control.end,
    };
    if analysis.parameter("control_image").is_none() {
        return Ok(edit::attach_controlnet(&mut draft.graph, info, &control)?);
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
    Ok(edit::set_parameters(&mut draft.graph, &analysis, &values)?)
}
