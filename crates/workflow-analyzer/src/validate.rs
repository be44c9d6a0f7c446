//! What ComfyUI would refuse in a graph, found before it is asked, with the remedy.

mod links;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use crate::analyze::model_folder;
use crate::graph::type_name;
use crate::nearest::nearest;
use crate::{ClassInfo, Graph, Input, InputKind, InputSpec, Node, NodeId, ObjectInfo, dynamic};

use links::{Needed, has_dynamic_inputs};
pub(crate) use values::is_choice;
use values::{check_value, choices_hint};

/// More diagnostics than this help nobody.
const MAX_DIAGNOSTICS: usize = 100;

/// More names than this are not compared to find spelling mistakes in the names of inputs.
const MAX_COMPARISONS: usize = 20_000;

/// Names to offer instead of a wrong one.
const NEAREST: usize = 3;

/// Types of ComfyUI's own that a value can't stand for; custom types may have a widget of their own.
const LINK_ONLY: [&str; 11] = [
    "MODEL",
    "CLIP",
    "VAE",
    "CONDITIONING",
    "LATENT",
    "IMAGE",
    "MASK",
    "CONTROL_NET",
    "GUIDER",
    "SIGMAS",
    "UPSCALE_MODEL",
];

/// One thing that is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind.
    pub code: DiagnosticCode,
    /// Whether ComfyUI refuses the graph for it.
    pub severity: Severity,
    /// The id of the node at fault; `None` when it is the graph as a whole.
    pub node: Option<NodeId>,
    /// The title of that node, or else its class.
    pub title: Option<String>,
    /// The input at fault.
    pub input: Option<String>,
    /// What is wrong: lowercase, one line, without the node's name.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// ComfyUI runs the graph and says nothing, but it won't do all that it seems to: an output is dropped because of
    /// this, or an input is ignored.
    Warning,
    /// ComfyUI refuses the graph, nothing runs.
    Error,
}

/// The kinds of diagnostics. Those that ComfyUI has too are called as in its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiagnosticCode {
    /// The server doesn't have the node class (ComfyUI: `invalid_prompt`).
    MissingNodeClass,
    /// No node is an output node.
    PromptNoOutputs,
    /// A required input is neither set nor linked.
    RequiredInputMissing,
    /// A combo is set to something that isn't among its options.
    ValueNotInList,
    /// A model file that the server doesn't have (ComfyUI: `value_not_in_list`).
    MissingModel,
    /// A number is below the least that the class takes.
    ValueSmallerThanMin,
    /// A number is above the greatest that the class takes.
    ValueBiggerThanMax,
    /// A value can't be turned into the type of the input.
    InvalidInputType,
    /// A link comes from an output of another type.
    ReturnTypeMismatch,
    /// A list that isn't a link, or a link to a node or an output that isn't there (ComfyUI: `bad_linked_input`, or an
    /// exception named after the next node).
    BadLinkedInput,
    /// A file that the node loads isn't there (ComfyUI: `custom_validation_failed`).
    FileNotFound,
    /// Nodes feed each other in a circle (ComfyUI refuses without saying why).
    Cycle,
    /// The class has no such input; ComfyUI ignores it.
    UnknownInput,
    /// More was found than is listed.
    MoreProblems,
}

/// What else is known when a graph is checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// What is known of the files that `LoadImage` and its like name.
    pub files: InputFiles<'a>,
    /// The packs of custom nodes that have a class, by the class, as the editor's file says.
    pub packs: Option<&'a BTreeMap<String, String>>,
}

/// What is known of the files of the input folder.
#[derive(Clone, Copy, Debug, Default)]
pub enum InputFiles<'a> {
    /// They are uploaded before the graph runs: file names aren't checked.
    #[default]
    Unchecked,
    /// Those in the server's own list are there, and these beside them.
    Known(&'a BTreeSet<String>),
}

/// Everything that ComfyUI would refuse, and what it would silently drop; file names aren't checked.
///
/// As in ComfyUI, only what an output node needs is looked at, but for unknown classes, which it refuses anywhere.
/// A graph with no [`Severity::Error`] is accepted by a server with this `info`, but for what a class checks by code of
/// its own. The 100 first are listed.
pub fn validate(graph: &Graph, info: &ObjectInfo) -> Vec<Diagnostic> {
    validate_with(graph, info, &Options::default())
}

/// As [`validate`], with more known.
pub fn validate_with(graph: &Graph, info: &ObjectInfo, options: &Options<'_>) -> Vec<Diagnostic> {
    let mut check =
        Check { graph, info, options: *options, found: Vec::new(), errors: 0, left_out: 0, compared: 0 };
    check.classes();
    let needed = Needed::new(graph, info);
    if needed.outputs.is_empty() {
        if check.errors == 0 {
            check.no_outputs();
        }
        return check.into_diagnostics();
    }
    let refused = check.errors > 0;
    check.circle(&needed);
    let mut faulty = HashSet::new();
    for &id in &needed.nodes {
        let before = check.errors;
        check.node(id);
        if check.errors > before {
            faulty.insert(id);
        }
    }
    if !refused && needed.has_good_output(&faulty) {
        check.soften();
    }
    check.into_diagnostics()
}

impl DiagnosticCode {
    /// The name as it is told to clients, such as `value_not_in_list`.
    pub fn as_str(self) -> &'static str {
        match self {
            DiagnosticCode::MissingNodeClass => "missing_node_class",
            DiagnosticCode::PromptNoOutputs => "prompt_no_outputs",
            DiagnosticCode::RequiredInputMissing => "required_input_missing",
            DiagnosticCode::ValueNotInList => "value_not_in_list",
            DiagnosticCode::MissingModel => "missing_model",
            DiagnosticCode::ValueSmallerThanMin => "value_smaller_than_min",
            DiagnosticCode::ValueBiggerThanMax => "value_bigger_than_max",
            DiagnosticCode::InvalidInputType => "invalid_input_type",
            DiagnosticCode::ReturnTypeMismatch => "return_type_mismatch",
            DiagnosticCode::BadLinkedInput => "bad_linked_input",
            DiagnosticCode::FileNotFound => "file_not_found",
            DiagnosticCode::Cycle => "cycle",
            DiagnosticCode::UnknownInput => "unknown_input",
            DiagnosticCode::MoreProblems => "more_problems",
        }
    }
}

/// What was found so far.
struct Check<'a> {
    graph: &'a Graph,
    info: &'a ObjectInfo,
    options: Options<'a>,
    found: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
    /// How many names were compared to find spelling mistakes.
    compared: usize,
}

/// What a diagnostic is about.
#[derive(Clone, Copy)]
struct At<'a> {
    id: &'a str,
    node: &'a Node,
    input: Option<&'a str>,
}

impl<'a> Check<'a> {
    /// Unknown classes: ComfyUI refuses them wherever they are.
    fn classes(&mut self) {
        let (graph, info, packs) = (self.graph, self.info, self.options.packs);
        for (id, node) in graph.nodes.iter().filter(|(_, node)| info.class(&node.class_type).is_none()) {
            let message = format!("the server has no node class {}", shortened(&node.class_type));
            let hint = || {
                let known = nearest(&node.class_type, info.classes.keys().map(String::as_str), NEAREST);
                let or_use =
                    if known.is_empty() { String::new() } else { format!(", or use {}", known.join(" or ")) };
                let pack = packs.and_then(|packs| packs.get(&node.class_type));
                let pack = pack.map_or_else(
                    || "the custom nodes that have it".to_owned(),
                    |pack| format!("{}, which has it", shortened(pack)),
                );
                Some(format!("install {pack}{or_use}"))
            };
            self.error(DiagnosticCode::MissingNodeClass, At { id, node, input: None }, message, hint);
        }
    }

    fn no_outputs(&mut self) {
        self.found.push(Diagnostic {
            code: DiagnosticCode::PromptNoOutputs,
            severity: Severity::Error,
            node: None,
            title: None,
            input: None,
            message: "no node puts anything out".to_owned(),
            hint: Some("add one that does, such as SaveImage".to_owned()),
        });
    }

    fn circle(&mut self, needed: &Needed<'a>) {
        const MOST: usize = 10;
        let Some(at) = needed.circle.first().and_then(|id| self.at(id)) else { return };
        let mut names: Vec<String> = needed.circle.iter().take(MOST).map(|id| shortened(id)).collect();
        names.push(if needed.circle.len() > MOST { "…".to_owned() } else { shortened(at.id) });
        let message = format!("nodes feed each other in a circle: {}", names.join(" → "));
        self.error(DiagnosticCode::Cycle, at, message, || Some("unlink one of them".to_owned()));
    }

    fn at(&self, id: &str) -> Option<At<'a>> {
        let (id, node) = self.graph.nodes.get_key_value(id)?;
        Some(At { id, node, input: None })
    }

    fn node(&mut self, id: &str) {
        let Some(at) = self.at(id) else { return };
        let Some(class) = self.info.class(&at.node.class_type) else { return };
        for dynamic::Given { name, spec, required } in dynamic::inputs(class, at.node) {
            let at = At { input: Some(&name), ..at };
            match at.node.inputs.get(&name) {
                Some(Input::Link { node, slot }) => self.link(at, &name, &spec.kind, (node, *slot)),
                Some(held @ Input::Value(value)) => {
                    self.value(at, &name, &spec.kind, value);
                    self.choice(at, &name, spec, held);
                }
                None if required && !matches!(spec.kind, InputKind::Dynamic { .. }) => {
                    let message = format!("{name} is required and missing");
                    self.error(DiagnosticCode::RequiredInputMissing, at, message, || {
                        Some(how_to_set(&spec.kind))
                    });
                }
                None => {}
            }
        }
        self.misspelt(at, class);
    }

    fn link(&mut self, at: At<'_>, name: &str, kind: &InputKind, (id, slot): (&str, usize)) {
        let Some(source) = self.graph.nodes.get(id) else {
            let message = format!("{name} is linked to node {}, which isn't there", shortened(id));
            return self.error(DiagnosticCode::BadLinkedInput, at, message, || Some(how_to_set(kind)));
        };
        let Some(class) = self.info.class(&source.class_type) else { return };
        let from = format!("node {} ({})", shortened(id), shortened(&class.name));
        let fitting = || {
            links::matching_output(class, kind)
                .map(|slot| format!("output {slot} of node {} fits", shortened(id)))
        };
        let Some(output) = class.outputs.get(slot) else {
            let message =
                format!("{name} is linked to output {slot} of {from}, which has {}", class.outputs.len());
            return self.error(DiagnosticCode::BadLinkedInput, at, message, fitting);
        };
        if !links::fits(&output.kind, kind) {
            let message =
                format!("{name} takes {}, {from} gives {} there", links::type_of(kind), output.kind);
            self.error(DiagnosticCode::ReturnTypeMismatch, at, message, fitting);
        }
    }

    fn value(&mut self, at: At<'_>, name: &str, kind: &InputKind, value: &Value) {
        if value.is_array() {
            let message = format!("{name} holds a list that is no link");
            let hint =
                r#"a link is ["node id", output number]; a list as a value goes into {"__value__": […]}"#;
            return self.error(DiagnosticCode::BadLinkedInput, at, message, || Some(hint.to_owned()));
        }
        if let InputKind::Link { types } = kind {
            if types.iter().any(|kind| LINK_ONLY.contains(&kind.as_str())) {
                let message = format!("{name} holds {} where only a link helps", type_name(value));
                let code = DiagnosticCode::InvalidInputType;
                self.add(code, Severity::Warning, at, message, || Some(how_to_set(kind)));
            }
            return;
        }
        if let (InputKind::Combo { options, upload: false, .. }, Value::String(file)) = (kind, value)
            && !is_choice(value, options)
            && let Some(folder) =
                self.info.class(&at.node.class_type).and_then(|class| model_folder(Some(class), name, file))
        {
            return self.missing_model(at, name, kind, value, folder);
        }
        if let Err(fault) = check_value(name, kind, value, self.options.files) {
            let hint = || choices_hint(kind, value).filter(|_| fault.code == DiagnosticCode::ValueNotInList);
            self.error(fault.code, at, fault.message, hint);
        }
    }

    /// ComfyUI takes any choice of a combo that brings inputs; with one that isn't there, the node gets none of them.
    fn choice(&mut self, at: At<'_>, name: &str, spec: &InputSpec, held: &Input) {
        let Some(choices) = dynamic::unknown_choice(spec, held) else { return };
        let Input::Value(value) = held else { return };
        let message = format!("{name} is {}, which isn't among its choices", shortened(&value.to_string()));
        let hint = || {
            let alike = nearest(value.as_str().unwrap_or_default(), choices.iter().copied(), NEAREST);
            let told = if alike.is_empty() { choices.into_iter().take(5).collect() } else { alike };
            Some(format!("choose one of {}", told.join(", ")))
        };
        self.add(DiagnosticCode::ValueNotInList, Severity::Warning, at, message, hint);
    }

    fn missing_model(&mut self, at: At<'_>, name: &str, kind: &InputKind, file: &Value, folder: &str) {
        let place = if folder.is_empty() { String::new() } else { format!(" in its folder {folder}") };
        let file_name = shortened(file.as_str().unwrap_or_default());
        let message = format!("{name} names the model {file_name}, which the server doesn't have{place}");
        self.error(DiagnosticCode::MissingModel, at, message, || choices_hint(kind, file));
    }

    /// Inputs that the class doesn't have are ignored by ComfyUI, and editors leave such behind; only one that looks
    /// like an input which isn't set is worth telling.
    fn misspelt(&mut self, at: At<'a>, class: &ClassInfo) {
        if has_dynamic_inputs(class) {
            return self.dynamic_links(at, class);
        }
        let names = class.inputs.keys().map(String::as_str);
        let unset: Vec<&str> = names.filter(|name| !at.node.inputs.contains_key(*name)).collect();
        // Some are only for the editor's own display, and empty.
        let says = |input: &Input| input.as_value().is_none_or(|value| value != "");
        let unknown = |(name, input): &(&String, &Input)| !class.inputs.contains_key(*name) && says(input);
        for (name, _) in at.node.inputs.iter().filter(unknown) {
            self.compared += unset.len();
            if self.is_full() || self.compared > MAX_COMPARISONS {
                return;
            }
            if let [meant] = nearest(name, unset.iter().copied(), 1).as_slice() {
                let message = format!("{} is no input of {}, it is ignored", shortened(name), class.name);
                let at = At { input: Some(name), ..at };
                let hint = || Some(format!("did you mean {meant}"));
                self.add(DiagnosticCode::UnknownInput, Severity::Warning, at, message, hint);
            }
        }
    }

    /// The links of inputs that come and go with the graph (`images.image0`): their types aren't known beforehand.
    fn dynamic_links(&mut self, at: At<'a>, class: &ClassInfo) {
        let unlisted =
            at.node.inputs.iter().filter(|(name, _)| dynamic::spec(class, at.node, name).is_none());
        for (name, input) in unlisted {
            if let Input::Link { node, slot } = input {
                let kind = InputKind::Dynamic { name: String::new() };
                self.link(At { input: Some(name), ..at }, name, &kind, (node, *slot));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= MAX_DIAGNOSTICS
    }

    fn error(
        &mut self,
        code: DiagnosticCode,
        at: At<'_>,
        message: String,
        hint: impl FnOnce() -> Option<String>,
    ) {
        self.errors += 1;
        self.add(code, Severity::Error, at, message, hint);
    }

    /// The hint is only made when it is shown: looking for similar names in long lists takes time.
    fn add(
        &mut self,
        code: DiagnosticCode,
        severity: Severity,
        at: At<'_>,
        message: String,
        hint: impl FnOnce() -> Option<String>,
    ) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let node = Some(at.id.to_owned());
        let title = Some(at.node.label().to_owned());
        let input = at.input.map(str::to_owned);
        self.found.push(Diagnostic { code, severity, node, title, input, message, hint: hint() });
    }

    /// ComfyUI runs the outputs that are left, and drops the others without a word.
    fn soften(&mut self) {
        for diagnostic in &mut self.found {
            diagnostic.severity = Severity::Warning;
        }
    }

    fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        if self.left_out > 0 {
            self.found.push(Diagnostic {
                code: DiagnosticCode::MoreProblems,
                severity: Severity::Warning,
                node: None,
                title: None,
                input: None,
                message: format!("{} more problems are not listed", self.left_out),
                hint: None,
            });
        }
        self.found
    }
}

fn how_to_set(kind: &InputKind) -> String {
    match kind {
        InputKind::Link { types } => format!("link it to an output of type {}", types.join(" or ")),
        _ => "set it".to_owned(),
    }
}

/// A text from outside, short enough for a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    if text.chars().nth(MOST).is_none() {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['…']).collect()
}
