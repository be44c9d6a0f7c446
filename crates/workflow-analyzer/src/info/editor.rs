//! What the editor makes of an input: a socket, a widget, or both.

use indexmap::IndexMap;

use super::{InputKind, InputSpec};

/// How the editor shows an input, as far as the files that it saves depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Editor {
    /// The widget that is made for it; none for an input that only takes a link.
    pub widget: Option<WidgetKind>,
    /// What of the two it is shown with.
    pub shown: Shown,
    /// `control_after_generate`: whether a second widget changes the value after each run. Unless said, only integers
    /// called `seed` and `noise_seed` have one.
    pub control: Option<bool>,
    /// `dynamicPrompts`: `{a|b}` in the text is a choice.
    pub dynamic_prompts: bool,
    /// `image_upload`, `video_upload`, `audio_upload`: a button comes with it.
    pub upload_button: bool,
    /// What stands below an input whose own inputs change with the graph.
    pub nested: Option<Box<Nested>>,
}

/// What an input is shown with whose type has a widget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// A widget, and a socket to link instead.
    #[default]
    Both,
    /// `forceInput`: a socket alone.
    Socket,
    /// `socketless`: a widget alone, which takes no link.
    Widget,
}

/// The widgets that the editor knows, as far as what they hold or send differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WidgetKind {
    /// `INT` and `FLOAT`.
    Number,
    /// `STRING` in one line, and what else holds a text.
    Text,
    /// `STRING` with `multiline`: holds nothing but text.
    TextArea,
    /// `BOOLEAN`.
    Toggle,
    /// A list to choose from.
    Combo,
    /// A list whose choice brings inputs of its own, named `input.sub`.
    DynamicCombo,
    /// `CURVE`: sent with its type.
    Curve,
    /// `IMAGECOMPARE`: shows two pictures; sent, but files have no value for it.
    Compare,
    /// `BOUNDING_BOX`: one object, after which files have its four numbers again.
    Region,
    /// Any other: a colour, a camera, a canvas.
    Other,
}

/// The inputs below an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Nested {
    /// `COMFY_DYNAMICCOMBO_V3`: what each choice brings, in the server's order.
    Options(Vec<DynamicOption>),
    /// `COMFY_AUTOGROW_V3`: as many inputs as are linked.
    Grow(Box<Grow>),
    /// `COMFY_MATCHTYPE_V3`: one of these types, the same one wherever the class names the same template.
    AnyOf(Vec<String>),
}

/// One choice of a dynamic combo.
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicOption {
    /// The choice, which is the input's value.
    pub key: String,
    /// The inputs that it brings; each is called `input.name` in a graph.
    pub inputs: IndexMap<String, InputSpec>,
}

/// The template of inputs that grow.
#[derive(Clone, Debug, PartialEq)]
pub struct Grow {
    /// The names that an input of the group can have; when there are none, `prefix` and a number from 0.
    pub names: Vec<String>,
    /// What the names start with when they are counted.
    pub prefix: String,
    /// How many there must be.
    pub min: usize,
    /// How many there may be.
    pub max: Option<usize>,
    /// What each takes.
    pub input: InputSpec,
}

impl InputSpec {
    /// Whether the editor shows a widget for it.
    pub(crate) fn has_widget(&self) -> bool {
        self.editor.widget.is_some() && self.editor.shown != Shown::Socket
    }

    /// Whether the editor shows a second widget that changes the value after each run.
    pub(crate) fn has_control(&self, name: &str) -> bool {
        let counted = matches!(self.kind, InputKind::Int { .. }) && (name == "seed" || name == "noise_seed");
        self.editor.control.unwrap_or(counted)
    }

    /// The types that can be linked to it, as the editor writes them: `MODEL`, or `IMAGE,MASK`.
    pub(crate) fn type_names(&self) -> String {
        if let Some(Nested::AnyOf(types)) = self.editor.nested.as_deref() {
            return types.join(",");
        }
        match &self.kind {
            InputKind::Int { .. } => "INT".to_owned(),
            InputKind::Float { .. } => "FLOAT".to_owned(),
            InputKind::String { .. } => "STRING".to_owned(),
            InputKind::Boolean => "BOOLEAN".to_owned(),
            InputKind::Combo { .. } => "COMBO".to_owned(),
            InputKind::Link { types } => types.join(","),
            InputKind::Dynamic { name } => name.clone(),
        }
    }
}
