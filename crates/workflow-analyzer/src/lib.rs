//! Reads, checks, explains and edits ComfyUI workflow graphs; pure, no I/O.
//!
//! [`Graph`] is a workflow in the API format, [`ObjectInfo`] what a server's `/object_info` says about its node
//! classes. [`analyze`] finds the parameters, outputs and needs of a graph, [`validate`] says what the server would
//! refuse and why, [`edit`] changes any graph without knowing where it came from.
//!
//! Nothing here recurses on the depth of a graph, and all of it is linear in nodes and links, so that a hostile file
//! costs no more than its size.

mod convert;
mod dynamic;
mod graph;
mod info;
mod nearest;
mod trace;

mod analyze;
mod validate;

pub mod edit;
pub mod metadata;

#[cfg(test)]
mod tests;

pub use analyze::{Analysis, Binding, ModelRef, Needs, Parameter, Task, analyze, input, inputs};
pub use convert::{Conversion, ConvertError, ConvertProblem, ConvertProblemKind, convert, is_editor_format};
pub use graph::{Graph, GraphError, Input, MAX_NODES, Node, NodeId};
pub use info::{
    ClassInfo, DynamicOption, Editor, Grow, InfoError, InputKind, InputSpec, Nested, ObjectInfo, OutputSpec,
    Shown, WidgetKind,
};
pub use nearest::nearest;
pub use validate::{Diagnostic, DiagnosticCode, InputFiles, Options, Severity, validate, validate_with};
