//! What a ComfyUI server says about its node classes: the answer of `/object_info`.

mod editor;
mod read;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::Value;
use thiserror::Error;

use crate::Node;

pub use editor::{DynamicOption, Editor, Grow, Nested, Shown, WidgetKind};

/// The node classes of a server by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectInfo {
    /// Every class under the name that a graph's `class_type` gives.
    pub classes: HashMap<String, ClassInfo>,
}

/// One node class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassInfo {
    /// The name, as in `class_type`.
    pub name: String,
    /// The name that the editor shows.
    pub display_name: String,
    /// The menu path, such as `sampling/custom_sampling`.
    pub category: String,
    /// Whether ComfyUI starts from nodes of this class: what no such node needs is neither validated nor run.
    pub output_node: bool,
    /// Required and optional inputs, in the server's order; hidden ones are left out, a client can't set them.
    pub inputs: IndexMap<String, InputSpec>,
    /// The outputs by slot.
    pub outputs: Vec<OutputSpec>,
}

/// One output of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// The name that the editor shows.
    pub name: String,
    /// The type, such as `CONDITIONING`; `*` fits everything.
    pub kind: String,
}

/// One input of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Whether ComfyUI refuses a graph without it. It never fills in the default by itself.
    pub required: bool,
    /// What it takes.
    pub kind: InputKind,
    /// What the editor starts with.
    pub default: Option<Value>,
    /// What the editor makes of it: with this, a file that the editor saved can be read.
    pub editor: Editor,
}

/// What an input takes.
#[derive(Clone, Debug, PartialEq)]
pub enum InputKind {
    /// An integer. Seeds go up to 2^64-1, so that bounds are wider than both 64-bit types.
    Int {
        /// The least value that ComfyUI takes.
        min: Option<i128>,
        /// The greatest value that ComfyUI takes.
        max: Option<i128>,
        /// The step of the editor's widget; ComfyUI doesn't check it.
        step: Option<i128>,
    },
    /// A floating-point number.
    Float {
        /// The least value that ComfyUI takes.
        min: Option<f64>,
        /// The greatest value that ComfyUI takes.
        max: Option<f64>,
        /// The step of the editor's widget; ComfyUI doesn't check it.
        step: Option<f64>,
    },
    /// A text.
    String {
        /// Whether the editor shows a text area; prompts are, file name prefixes aren't.
        multiline: bool,
    },
    /// True or false.
    Boolean,
    /// One of a list: both `[["a", "b"], {}]` and `["COMBO", {"options": ["a", "b"]}]`.
    Combo {
        /// What may be chosen; mostly strings.
        options: Vec<Value>,
        /// Whether these are files of the input folder, to which a client may upload more.
        upload: bool,
        /// Whether a list of options is taken instead of one.
        multiselect: bool,
    },
    /// Only an output of another node of one of these types; `*` takes everything.
    Link {
        /// The types, in the server's order.
        types: Vec<String>,
    },
    /// A type that changes with the graph (`COMFY_AUTOGROW_V3`, `COMFY_DYNAMICCOMBO_V3`, `COMFY_MATCHTYPE_V3`), whose
    /// values and further inputs (`name.part`) are taken unchecked.
    Dynamic {
        /// The name of the type.
        name: String,
    },
}

/// Why a document isn't an answer of `/object_info`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InfoError {
    /// The document isn't an object.
    #[error("object_info is a JSON object of node classes by name, this is {found}")]
    NotAnObject {
        /// The JSON type that came.
        found: &'static str,
    },
}

impl ObjectInfo {
    /// Reads the answer of `/object_info` or `/object_info/{class}`.
    ///
    /// Custom nodes put anything there: what can't be understood is left out (a class) or taken unchecked (an input).
    pub fn from_json(document: Value) -> Result<ObjectInfo, InfoError> {
        let Value::Object(classes) = document else {
            return Err(InfoError::NotAnObject { found: crate::graph::type_name(&document) });
        };
        let classes = classes.into_iter().filter_map(|(name, class)| match class {
            Value::Object(class) => Some((name.clone(), read::class(name, class))),
            _ => None,
        });
        Ok(ObjectInfo { classes: classes.collect() })
    }

    /// The classes of ComfyUI 0.8 that people's graphs use most and the edits put in, for when no server can be asked.
    /// Their lists of models and files are empty.
    pub fn well_known() -> ObjectInfo {
        let document = serde_json::from_str(include_str!("info/well_known.json")).unwrap_or_default();
        ObjectInfo::from_json(document).unwrap_or_default()
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<&ClassInfo> {
        self.classes.get(name)
    }

    /// The input `input` of the class `class`.
    pub fn input(&self, class: &str, input: &str) -> Option<&InputSpec> {
        self.classes.get(class)?.inputs.get(input)
    }

    /// The input `input` of a node, also one that its class has only with what the node chooses, or that grows
    /// (`group.name`).
    pub fn input_of(&self, node: &Node, input: &str) -> Option<&InputSpec> {
        crate::dynamic::spec(self.classes.get(&node.class_type)?, node, input)
    }

    /// The options of a combo input that are texts: the models that a loader offers, the samplers of `KSampler`.
    /// Empty when there is no such class, input or list.
    pub fn options(&self, class: &str, input: &str) -> Vec<&str> {
        match self.input(class, input).map(|spec| &spec.kind) {
            Some(InputKind::Combo { options, .. }) => options.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl ClassInfo {
    /// Whether an output of this type is among the outputs.
    pub fn gives(&self, kind: &str) -> bool {
        self.outputs.iter().any(|output| output.kind == kind)
    }

    /// Whether an input takes this type by name (`*` doesn't count).
    pub fn takes(&self, kind: &str) -> bool {
        self.inputs.values().any(|input| input.kind.takes(kind))
    }
}

impl InputKind {
    /// Whether this is a link input that names the type; `*` doesn't count.
    pub fn takes(&self, kind: &str) -> bool {
        matches!(self, InputKind::Link { types } if types.iter().any(|t| t == kind))
    }
}
