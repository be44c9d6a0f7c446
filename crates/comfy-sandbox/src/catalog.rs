//! The node classes and model files that the sandbox has: `/object_info` and `/models`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value};

use crate::data::DataDir;

/// Every class as `/object_info` gives it; an option `@folder` stands for the files of a model folder, and `@input`
/// for the images of the input folder.
static CLASSES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("object_info.json")).unwrap_or_default());

/// The classes, and the model files from the configuration.
#[derive(Debug)]
pub(crate) struct Catalog {
    models: BTreeMap<String, Vec<String>>,
}

/// One input of a class.
#[derive(Clone, Debug)]
pub(crate) struct InputSpec {
    pub(crate) name: String,
    pub(crate) required: bool,
    /// `[type, options]`, with the names of files filled in.
    pub(crate) config: Value,
}

impl Catalog {
    pub(crate) fn new(models: BTreeMap<String, Vec<String>>) -> Self {
        Self { models }
    }

    pub(crate) fn has_class(class_type: &str) -> bool {
        CLASSES.contains_key(class_type)
    }

    pub(crate) fn is_output(class_type: &str) -> bool {
        CLASSES.get(class_type).is_some_and(|class| class["output_node"] == true)
    }

    /// The types of a class's outputs, by slot.
    pub(crate) fn outputs(class_type: &str) -> &'static [Value] {
        CLASSES.get(class_type).and_then(|class| class["output"].as_array()).map_or(&[], Vec::as_slice)
    }

    /// The inputs of a class, required ones first.
    pub(crate) fn inputs(&self, class_type: &str, data: &DataDir) -> Vec<InputSpec> {
        let mut specs = Vec::new();
        let Some(class) = CLASSES.get(class_type) else { return specs };
        for (section, required) in [("required", true), ("optional", false)] {
            for (name, config) in class["input"][section].as_object().into_iter().flatten() {
                let config = self.filled(config, data);
                specs.push(InputSpec { name: name.clone(), required, config });
            }
        }
        specs
    }

    /// What `/object_info/{class}` gives of one class.
    pub(crate) fn class(&self, class_type: &str, data: &DataDir) -> Option<Value> {
        CLASSES.get(class_type).map(|class| self.filled(class, data))
    }

    /// What `/object_info` gives.
    pub(crate) fn all(&self, data: &DataDir) -> Value {
        let classes = CLASSES.iter().map(|(name, class)| (name.clone(), self.filled(class, data)));
        Value::Object(classes.collect())
    }

    /// The names of the model folders.
    pub(crate) fn folders(&self) -> Vec<&str> {
        self.models.keys().map(String::as_str).collect()
    }

    /// The model files of a folder; `None` for a folder that isn't one.
    pub(crate) fn models(&self, folder: &str) -> Option<&[String]> {
        self.models.get(folder).map(Vec::as_slice)
    }

    fn filled(&self, value: &Value, data: &DataDir) -> Value {
        match value {
            Value::Array(items) => {
                Value::Array(items.iter().flat_map(|item| self.options(item, data)).collect())
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| (name.clone(), self.filled(field, data)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    fn options(&self, item: &Value, data: &DataDir) -> Vec<Value> {
        match item.as_str().and_then(|text| text.strip_prefix('@')) {
            Some("input") => data.input_images().into_iter().map(Value::String).collect(),
            Some(folder) => {
                self.models(folder).unwrap_or_default().iter().cloned().map(Value::String).collect()
            }
            None => vec![self.filled(item, data)],
        }
    }
}

impl InputSpec {
    /// The type: a name, or the list of options of a combo.
    pub(crate) fn kind(&self) -> &Value {
        &self.config[0]
    }

    /// One of the settings beside the type, such as `min`.
    pub(crate) fn setting(&self, name: &str) -> Option<&Value> {
        self.config.get(1).and_then(|settings| settings.get(name))
    }

    /// The options of a combo, in either of its two shapes.
    pub(crate) fn options(&self) -> Option<&[Value]> {
        match self.kind() {
            Value::Array(options) => Some(options),
            Value::String(kind) if kind == "COMBO" => {
                Some(self.setting("options").and_then(Value::as_array).map_or(&[], Vec::as_slice))
            }
            _ => None,
        }
    }
}
