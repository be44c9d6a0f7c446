//! Reads node classes out of the JSON of `/object_info`.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::editor::{DynamicOption, Editor, Grow, Nested, Shown, WidgetKind};
use super::{ClassInfo, InputKind, InputSpec, OutputSpec};

/// Options of dynamic combos nest this deep at most; the nodes of ComfyUI go one level down.
const MAX_NESTING: usize = 4;

/// The class `name`; what can't be understood of it is left out.
pub(super) fn class(name: String, mut class: Map<String, Value>) -> ClassInfo {
    let text = |key: &str| class.get(key).and_then(Value::as_str).map(str::to_owned);
    let display_name = text("display_name").filter(|shown| !shown.is_empty()).unwrap_or_else(|| name.clone());
    let category = text("category").unwrap_or_default();
    let output_node = class.get("output_node").and_then(Value::as_bool).unwrap_or(false);
    let outputs = outputs_from_json(&class);
    let order = class.remove("input_order");
    let inputs = match class.remove("input") {
        Some(Value::Object(sections)) => inputs_from_json(sections, order.as_ref(), 0),
        _ => IndexMap::new(),
    };
    ClassInfo { name, display_name, category, output_node, inputs, outputs }
}

/// The required inputs and then the optional ones, in `input_order` where the server gives it.
fn inputs_from_json(
    mut sections: Map<String, Value>,
    order: Option<&Value>,
    depth: usize,
) -> IndexMap<String, InputSpec> {
    let mut inputs = IndexMap::new();
    for (section, required) in [("required", true), ("optional", false)] {
        let Some(Value::Object(mut entries)) = sections.remove(section) else { continue };
        let ordered = order.and_then(|order| order.get(section)).and_then(Value::as_array);
        for name in ordered.into_iter().flatten().filter_map(Value::as_str) {
            if let Some(spec) = entries.get_mut(name).map(Value::take) {
                inputs.insert(name.to_owned(), input(spec, required, depth));
            }
        }
        for (name, spec) in entries {
            if !(spec.is_null() && inputs.contains_key(&name)) {
                let spec = input(spec, required, depth);
                inputs.insert(name, spec);
            }
        }
    }
    inputs.shrink_to_fit();
    inputs
}

fn outputs_from_json(class: &Map<String, Value>) -> Vec<OutputSpec> {
    let Some(Value::Array(kinds)) = class.get("output") else { return Vec::new() };
    let names = class.get("output_name").and_then(Value::as_array);
    let outputs = kinds.iter().enumerate().map(|(slot, kind)| {
        // A list as a type is the combo of old custom nodes.
        let kind = kind.as_str().unwrap_or("COMBO");
        let name = names.and_then(|names| names.get(slot)).and_then(Value::as_str).unwrap_or(kind);
        OutputSpec { name: name.to_owned(), kind: kind.to_owned() }
    });
    outputs.collect()
}

fn input(spec: Value, required: bool, depth: usize) -> InputSpec {
    let (kind, mut options) = match spec {
        Value::Array(parts) => {
            let mut parts = parts.into_iter();
            let kind = parts.next().unwrap_or_default();
            let options = match parts.next() {
                Some(Value::Object(options)) => options,
                _ => Map::new(),
            };
            (kind, options)
        }
        other => (other, Map::new()),
    };
    let default = options.remove("default");
    let editor = editor(&kind, &mut options, depth);
    let kind = kind_from_json(kind, options);
    InputSpec { required, kind, default, editor }
}

fn editor(kind: &Value, options: &mut Map<String, Value>, depth: usize) -> Editor {
    let named = options.get("widgetType").and_then(Value::as_str);
    let widget = match kind {
        Value::Array(_) => Some(WidgetKind::Combo),
        Value::String(kind) => widget_kind(named.unwrap_or(kind), flag(options, "multiline")),
        _ => None,
    };
    // A server's own button for files of models isn't of these.
    let uploads = ["image_upload", "animated_image_upload", "video_upload", "audio_upload"];
    Editor {
        widget,
        shown: match (flag(options, "forceInput"), flag(options, "socketless")) {
            (true, _) => Shown::Socket,
            (false, true) => Shown::Widget,
            (false, false) => Shown::Both,
        },
        control: match options.get("control_after_generate") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(control)) => Some(*control),
            Some(_) => Some(true),
        },
        dynamic_prompts: flag(options, "dynamicPrompts"),
        upload_button: widget == Some(WidgetKind::Combo) && uploads.iter().any(|key| flag(options, key)),
        nested: nested(kind, options, depth).map(Box::new),
    }
}

fn widget_kind(name: &str, multiline: bool) -> Option<WidgetKind> {
    Some(match name {
        "INT" | "FLOAT" => WidgetKind::Number,
        "STRING" if multiline => WidgetKind::TextArea,
        "STRING" => WidgetKind::Text,
        "BOOLEAN" => WidgetKind::Toggle,
        "COMBO" => WidgetKind::Combo,
        "COMFY_DYNAMICCOMBO_V3" => WidgetKind::DynamicCombo,
        "CURVE" => WidgetKind::Curve,
        "IMAGECOMPARE" => WidgetKind::Compare,
        "BOUNDING_BOX" => WidgetKind::Region,
        "MARKDOWN" | "TEXTAREA" => WidgetKind::TextArea,
        "COLOR" | "COLORS" | "RANGE" | "LOAD_3D" | "WEBCAM" | "AUDIO_RECORD" | "PAINTER" | "CHART"
        | "GALLERIA" | "TREESELECT" => WidgetKind::Other,
        _ => return None,
    })
}

fn nested(kind: &Value, options: &mut Map<String, Value>, depth: usize) -> Option<Nested> {
    if depth >= MAX_NESTING {
        return None;
    }
    match kind.as_str()? {
        "COMFY_DYNAMICCOMBO_V3" => {
            let Some(Value::Array(choices)) = options.remove("options") else { return None };
            let choices = choices.into_iter().filter_map(|choice| {
                let Value::Object(mut choice) = choice else { return None };
                let key = choice.get("key")?.as_str()?.to_owned();
                let inputs = match choice.remove("inputs") {
                    Some(Value::Object(sections)) => inputs_from_json(sections, None, depth + 1),
                    _ => IndexMap::new(),
                };
                Some(DynamicOption { key, inputs })
            });
            Some(Nested::Options(choices.collect()))
        }
        "COMFY_AUTOGROW_V3" => {
            let template = options.remove("template")?;
            let sections = template.get("input")?.as_object()?.clone();
            let (_, input) = inputs_from_json(sections, None, depth + 1).into_iter().next()?;
            let count =
                |key| template.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
            let names = template.get("names").and_then(Value::as_array);
            let names = names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            let prefix = template.get("prefix").and_then(Value::as_str).unwrap_or_default().to_owned();
            let (min, max) = (count("min").unwrap_or(0), count("max"));
            Some(Nested::Grow(Box::new(Grow { names: names.collect(), prefix, min, max, input })))
        }
        "COMFY_MATCHTYPE_V3" => {
            let types = options.get("template")?.get("allowed_types")?.as_str()?;
            Some(Nested::AnyOf(types.split(',').map(|kind| kind.trim().to_owned()).collect()))
        }
        _ => None,
    }
}

fn kind_from_json(kind: Value, mut options: Map<String, Value>) -> InputKind {
    let name = match kind {
        Value::Array(choices) => return combo(choices, &options),
        Value::String(name) => name,
        _ => return InputKind::Dynamic { name: String::new() },
    };
    match name.as_str() {
        "INT" => {
            let bound = |key: &str| options.get(key).and_then(integer);
            InputKind::Int { min: bound("min"), max: bound("max"), step: bound("step") }
        }
        "FLOAT" => {
            let bound = |key: &str| options.get(key).and_then(Value::as_f64);
            InputKind::Float { min: bound("min"), max: bound("max"), step: bound("step") }
        }
        "STRING" => InputKind::String { multiline: flag(&options, "multiline") },
        "BOOLEAN" => InputKind::Boolean,
        "COMBO" => match options.remove("options") {
            Some(Value::Array(choices)) => combo(choices, &options),
            // The choices come from elsewhere (`remote`).
            _ => InputKind::Dynamic { name },
        },
        _ if name.starts_with("COMFY_") && name.ends_with("_V3") => InputKind::Dynamic { name },
        _ => InputKind::Link { types: name.split(',').map(|kind| kind.trim().to_owned()).collect() },
    }
}

fn combo(choices: Vec<Value>, options: &Map<String, Value>) -> InputKind {
    let upload = options.iter().any(|(key, value)| key.ends_with("_upload") && value == &Value::Bool(true));
    InputKind::Combo { options: choices, upload, multiselect: flag(options, "multiselect") }
}

fn flag(options: &Map<String, Value>, key: &str) -> bool {
    options.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Bounds of custom nodes are sometimes written as floats, and Python's integers have no limit.
fn integer(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    if let Some(number) = number.as_i64() {
        return Some(number.into());
    }
    if let Some(number) = number.as_u64() {
        return Some(number.into());
    }
    number.as_f64().filter(|number| number.is_finite()).map(|number| number as i128)
}
