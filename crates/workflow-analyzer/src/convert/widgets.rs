//! The widgets of a node: which there are, and which value of the file belongs to which.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::file::{Node, Values};
use super::{legacy, text};
use crate::graph::Input;
use crate::info::{ClassInfo, InputKind, InputSpec, Nested, Shown, WidgetKind};

/// A widget that has a name in the graph; those that the editor keeps to itself aren't among them.
pub(super) struct Widget<'a> {
    pub(super) name: Cow<'a, str>,
    /// None when neither the file nor the class has one: nothing is sent.
    pub(super) value: Option<Cow<'a, Value>>,
    pub(super) kind: WidgetKind,
    /// Its input, where it has one: the spec, for the type.
    pub(super) spec: Option<&'a InputSpec>,
    pub(super) dynamic_prompts: bool,
}

/// That a dynamic combo is set.
pub(super) struct Choice<'a> {
    pub(super) name: Cow<'a, str>,
    /// What it is set to, if that is a text.
    pub(super) key: Option<Cow<'a, str>>,
    /// After the whole file is loaded.
    pub(super) late: bool,
}

/// The widgets of a node of this class in the editor's order, with the file's values or the defaults, and what dynamic
/// combos among them are set to.
pub(super) fn widgets<'a>(class: &'a ClassInfo, node: &Node<'a>) -> (Vec<Widget<'a>>, Vec<Choice<'a>>) {
    let mut made = Made { values: values(class, node), widgets: Vec::new(), choices: Vec::new() };
    for (name, spec) in &class.inputs {
        made.input(None, name, spec);
        if class.name == "Load3D" && name == "model_file" {
            made.extra("upload 3d model", json!("upload3dmodel"));
            made.extra("upload extra resources", json!("uploadExtraResources"));
            made.extra("clear", json!("clear"));
        }
    }
    made.of_extensions(&class.name);
    for widget in &mut made.widgets {
        if let Some(Value::String(text)) = widget.value.as_deref()
            && let Some(renamed) = legacy::current_sampler(&class.name, &widget.name, text)
        {
            widget.value = Some(Cow::Owned(renamed.into()));
        }
    }
    (made.widgets, made.choices)
}

/// What the widgets of a node whose class nobody knows may have been: the inputs that the file says belong to widgets.
pub(super) fn guessed<'a>(node: &Node<'a>) -> Vec<Widget<'a>> {
    let widget = |name: &'a str, value: &'a Value| Widget {
        name: name.into(),
        value: Some(Cow::Borrowed(value)),
        kind: WidgetKind::Other,
        spec: None,
        dynamic_prompts: false,
    };
    let by_name = match node.values {
        Values::Named(values) => Some(values),
        Values::List(_) => node.named,
    };
    if let Some(values) = by_name {
        return values.iter().map(|(name, value)| widget(name, value)).collect();
    }
    let Values::List(mut values) = node.values else { return Vec::new() };
    let mut widgets = Vec::new();
    let controls = ["fixed", "increment", "decrement", "randomize"];
    for socket in node.sockets.iter().filter(|socket| socket.widget.is_some()) {
        let Some((value, rest)) = values.split_first() else { break };
        widgets.push(widget(socket.name, value));
        values = match rest.split_first() {
            Some((Value::String(control), rest))
                if value.is_number() && controls.contains(&control.as_str()) =>
            {
                rest
            }
            _ => rest,
        };
    }
    widgets
}

/// `widgets_values` as far as it stands for the widgets of today.
fn values<'a>(class: &'a ClassInfo, node: &Node<'a>) -> Source<'a> {
    match node.values {
        // The only pack whose own part of the editor reads names.
        Values::Named(values) if class.name.starts_with("VHS_") => Source::Named(values),
        Values::Named(values) => {
            let widgets = class.inputs.values().filter(|spec| spec.has_widget());
            let places =
                widgets.map(|spec| 1 + usize::from(spec.editor.control == Some(true))).sum::<usize>();
            let values = values.values().filter(|_| places == values.len());
            Source::List(values.collect::<Vec<_>>().into_iter())
        }
        Values::List(values) => {
            // Until inputs of widget types could be forced to be links alone, files had a value for them.
            let mut forced = Vec::new();
            for (name, spec) in class
                .inputs
                .iter()
                .filter(|(_, spec)| spec.has_widget() || spec.editor.shown == Shown::Socket)
            {
                forced.push(spec.editor.shown == Shown::Socket);
                if spec.has_control(name) {
                    forced.push(false);
                }
            }
            if forced.contains(&true) && forced.len() == values.len() {
                let kept = values.iter().zip(forced).filter(|(_, forced)| !forced).map(|(value, _)| value);
                return Source::List(kept.collect::<Vec<_>>().into_iter());
            }
            Source::List(values.iter().collect::<Vec<_>>().into_iter())
        }
    }
}

/// Where the values come from.
enum Source<'a> {
    List(std::vec::IntoIter<&'a Value>),
    Named(&'a serde_json::Map<String, Value>),
}

impl<'a> Source<'a> {
    fn take(&mut self, name: &str) -> Option<&'a Value> {
        match self {
            Source::List(values) => values.next(),
            Source::Named(values) => values.get(name),
        }
    }

    /// A place in a list that no graph has.
    fn skip(&mut self) {
        if let Source::List(values) = self {
            values.next();
        }
    }
}

struct Made<'a> {
    values: Source<'a>,
    widgets: Vec<Widget<'a>>,
    choices: Vec<Choice<'a>>,
}

impl<'a> Made<'a> {
    /// The widgets of one input: its own, what a choice brings, and the one that changes it after a run.
    ///
    /// The recursion goes as deep as the class nests its choices, which is bounded where classes are read.
    fn input(&mut self, above: Option<&str>, name: &'a str, spec: &'a InputSpec) {
        let Some(kind) = spec.editor.widget.filter(|_| spec.has_widget()) else { return };
        let name: Cow<'a, str> = match above {
            Some(above) => format!("{above}.{name}").into(),
            None => name.into(),
        };
        let found = match kind {
            WidgetKind::Compare => None,
            _ => self.values.take(&name),
        };
        let mut value = match found {
            Some(value) => Some(as_held(value, kind)),
            None => default(spec, kind),
        };
        let options = match spec.editor.nested.as_deref() {
            Some(Nested::Options(options)) => options.as_slice(),
            _ => &[],
        };
        let key = found.and_then(Value::as_str).map(Cow::Borrowed);
        if found.is_some() && !options.is_empty() {
            self.choices.push(Choice { name: name.clone(), key, late: false });
        }
        // Once all is loaded, a list that holds nothing takes its first choice.
        let late = found.is_some_and(Value::is_null);
        if late && let Some(first) = first_choice(spec, kind) {
            value = Some(first);
        }
        let choice = value.as_deref().and_then(Value::as_str);
        let option = options.iter().find(|option| Some(option.key.as_str()) == choice);
        let dynamic_prompts = spec.editor.dynamic_prompts;
        self.widgets.push(Widget { name: name.clone(), value, kind, spec: Some(spec), dynamic_prompts });
        if kind == WidgetKind::Region {
            (0..4).for_each(|_| self.values.skip());
        }
        if let Some(option) = option.filter(|_| late) {
            let values = std::mem::replace(&mut self.values, Source::List(Vec::new().into_iter()));
            self.below(&name, &option.inputs);
            self.values = values;
            let key = Some(option.key.as_str().into());
            self.choices.push(Choice { name: name.clone(), key, late: true });
        } else if let Some(option) = option {
            self.below(&name, &option.inputs);
        }
        if spec.has_control(&name) {
            self.values.skip();
            if kind == WidgetKind::Combo {
                self.values.skip();
            }
        }
    }

    fn below(&mut self, name: &str, inputs: &'a IndexMap<String, InputSpec>) {
        for (sub, spec) in inputs {
            self.input(Some(name), sub, spec);
        }
    }

    /// A widget that isn't in the class: an extension of the editor adds it.
    fn extra(&mut self, name: &str, default: Value) {
        let value = self.values.take(name).map_or(Cow::Owned(default), Cow::Borrowed);
        self.widgets.push(Widget {
            name: Cow::Owned(name.to_owned()),
            value: Some(value),
            kind: WidgetKind::Other,
            spec: None,
            dynamic_prompts: false,
        });
    }

    /// What the editor's own extensions add after a class's widgets, and send.
    fn of_extensions(&mut self, class: &str) {
        match class {
            "Preview3D" | "SaveGLB" => self.extra("image", json!("")),
            "WebcamCapture" => self.extra("waiting for camera...", json!("capture")),
            "LoadImageOutput" => {
                self.values.skip();
                self.extra("refresh", json!("refresh"));
            }
            "CustomCombo" => self.custom_combo(),
            _ => {}
        }
    }

    /// The choices that a person wrote: there is always an empty one to write the next into, and none after it. Which
    /// one is chosen is counted anew, whatever the file says.
    fn custom_combo(&mut self) {
        let Some(choice) = self.widgets.first_mut() else { return };
        let has_values = choice.value.is_some();
        let choice = choice.value.get_or_insert(Cow::Owned(json!(""))).clone();
        self.extra("index", json!(-1));
        let first = self.widgets.len();
        loop {
            self.extra(&format!("option{}", self.widgets.len() - first + 1), json!(""));
            let written = self.widgets.last().and_then(|option| option.value.as_deref());
            if written.is_none_or(|written| written.as_str() == Some("") || written.is_null()) {
                break;
            }
        }
        let chosen = self.widgets[first..].iter().position(|option| option.value.as_ref() == Some(&choice));
        if let Some(index) = self.widgets.get_mut(first - 1).filter(|_| has_values) {
            index.value = Some(Cow::Owned(chosen.map_or(json!(-1), |chosen| json!(chosen))));
        }
    }
}

fn first_choice(spec: &InputSpec, kind: WidgetKind) -> Option<Cow<'_, Value>> {
    match (kind, &spec.kind, spec.editor.nested.as_deref()) {
        (WidgetKind::Combo, InputKind::Combo { options, .. }, _) => options.first().map(Cow::Borrowed),
        (WidgetKind::DynamicCombo, _, Some(Nested::Options(options))) => {
            Some(Cow::Owned(json!(options.first()?.key)))
        }
        _ => None,
    }
}

/// A custom combo whose choice is a widget of its host counts that one among its options.
pub(super) fn count_choice(inputs: &mut IndexMap<String, Input>) {
    let Some(Input::Value(choice)) = inputs.get("choice") else { return };
    let options = (1..).map_while(|number| inputs.get(&format!("option{number}")));
    let mut options = options.map(|option| matches!(option, Input::Value(option) if option == choice));
    let chosen = options.position(|same| same);
    if let Some(Input::Value(index)) = inputs.get_mut("index") {
        *index = chosen.map_or(json!(-1), |chosen| json!(chosen));
    }
}

/// A text area holds text, whatever the file says; any other widget holds what it is given.
fn as_held(value: &Value, kind: WidgetKind) -> Cow<'_, Value> {
    match value {
        Value::Null if kind == WidgetKind::TextArea => Cow::Owned(json!("")),
        Value::String(_) => Cow::Borrowed(value),
        _ if kind == WidgetKind::TextArea => Cow::Owned(text::written(value).into()),
        _ => Cow::Borrowed(value),
    }
}

/// What a widget starts with when the file has no value for it.
fn default(spec: &InputSpec, kind: WidgetKind) -> Option<Cow<'_, Value>> {
    if let Some(default) = &spec.default {
        return Some(Cow::Borrowed(default));
    }
    let value = match kind {
        WidgetKind::Combo if !matches!(spec.kind, InputKind::Combo { .. }) => json!("Loading..."),
        WidgetKind::Combo | WidgetKind::DynamicCombo => return first_choice(spec, kind),
        WidgetKind::Number => json!(0),
        WidgetKind::Toggle => json!(false),
        WidgetKind::Compare => json!(["", ""]),
        WidgetKind::Region => json!({ "x": 0, "y": 0, "width": 512, "height": 512 }),
        WidgetKind::Curve => json!({ "points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic" }),
        WidgetKind::Text | WidgetKind::TextArea | WidgetKind::Other => json!(""),
    };
    Some(Cow::Owned(value))
}
