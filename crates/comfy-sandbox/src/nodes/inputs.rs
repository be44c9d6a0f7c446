//! The inputs of a node that runs, by name and type.

use std::sync::Arc;

use image::{GrayImage, RgbImage};
use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::values::{Conditioning, Guider, Latent, Noise, Sigmas, Value};
use crate::digest::Digest;

/// Why a node failed, in ComfyUI's words: `exception_type` and `exception_message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: &str, message: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), message: message.into() }
    }

    pub(crate) fn runtime(message: impl Into<String>) -> Self {
        Self::new("RuntimeError", message)
    }
}

/// The values of a node's inputs, links already followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inputs {
    values: IndexMap<String, Value>,
}

impl Inputs {
    pub(crate) fn insert(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// What `current_inputs` of an `execution_error` shows.
    pub(crate) fn describe(&self) -> Json {
        let described = self.values.iter().map(|(name, value)| {
            let value = match value {
                Value::Plain(value) => value.clone(),
                other => Json::String(format!("<{}>", other.kind())),
            };
            (name.clone(), json!([value]))
        });
        Json::Object(described.collect())
    }

    pub(crate) fn value(&self, name: &str) -> Result<&Value, Failure> {
        self.values.get(name).ok_or_else(|| {
            Failure::new("TypeError", format!("missing 1 required positional argument: '{name}'"))
        })
    }

    /// Whether an optional input is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(crate) fn integer(&self, name: &str) -> Result<i64, Failure> {
        self.plain(name)?.as_i64().ok_or_else(|| wrong_type(name, "INT"))
    }

    /// A size or a count that can't be negative.
    pub(crate) fn size(&self, name: &str) -> Result<u32, Failure> {
        u32::try_from(self.integer(name)?).map_err(|_| wrong_type(name, "INT"))
    }

    pub(crate) fn seed(&self, name: &str) -> Result<u64, Failure> {
        let value = self.plain(name)?;
        let seed = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned));
        seed.ok_or_else(|| wrong_type(name, "INT"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<f64, Failure> {
        self.plain(name)?.as_f64().ok_or_else(|| wrong_type(name, "FLOAT"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.plain(name)?.as_str().ok_or_else(|| wrong_type(name, "STRING"))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        Ok(crate::python::truthy(self.plain(name)?))
    }

    pub(crate) fn images(&self, name: &str) -> Result<&Arc<Vec<RgbImage>>, Failure> {
        match self.value(name)? {
            Value::Images(images) => Ok(images),
            _ => Err(wrong_type(name, "IMAGE")),
        }
    }

    pub(crate) fn masks(&self, name: &str) -> Result<&Arc<Vec<GrayImage>>, Failure> {
        match self.value(name)? {
            Value::Masks(masks) => Ok(masks),
            _ => Err(wrong_type(name, "MASK")),
        }
    }

    pub(crate) fn latent(&self, name: &str) -> Result<&Latent, Failure> {
        match self.value(name)? {
            Value::Latent(latent) => Ok(latent),
            _ => Err(wrong_type(name, "LATENT")),
        }
    }

    pub(crate) fn conditioning(&self, name: &str) -> Result<&Conditioning, Failure> {
        match self.value(name)? {
            Value::Conditioning(conditioning) => Ok(conditioning),
            _ => Err(wrong_type(name, "CONDITIONING")),
        }
    }

    pub(crate) fn model(&self, name: &str) -> Result<Digest, Failure> {
        match self.value(name)? {
            Value::Model(model) => Ok(*model),
            _ => Err(wrong_type(name, "MODEL")),
        }
    }

    pub(crate) fn clip(&self, name: &str) -> Result<Digest, Failure> {
        match self.value(name)? {
            Value::Clip(clip) => Ok(*clip),
            _ => Err(wrong_type(name, "CLIP")),
        }
    }

    pub(crate) fn vae(&self, name: &str) -> Result<Digest, Failure> {
        match self.value(name)? {
            Value::Vae(vae) => Ok(*vae),
            _ => Err(wrong_type(name, "VAE")),
        }
    }

    pub(crate) fn control_net(&self, name: &str) -> Result<Digest, Failure> {
        match self.value(name)? {
            Value::ControlNet(control_net) => Ok(*control_net),
            _ => Err(wrong_type(name, "CONTROL_NET")),
        }
    }

    pub(crate) fn noise(&self, name: &str) -> Result<Noise, Failure> {
        match self.value(name)? {
            Value::Noise(noise) => Ok(*noise),
            _ => Err(wrong_type(name, "NOISE")),
        }
    }

    pub(crate) fn guider(&self, name: &str) -> Result<&Guider, Failure> {
        match self.value(name)? {
            Value::Guider(guider) => Ok(guider),
            _ => Err(wrong_type(name, "GUIDER")),
        }
    }

    pub(crate) fn sampler(&self, name: &str) -> Result<&str, Failure> {
        match self.value(name)? {
            Value::Sampler(sampler) => Ok(sampler),
            _ => Err(wrong_type(name, "SAMPLER")),
        }
    }

    pub(crate) fn sigmas(&self, name: &str) -> Result<&Sigmas, Failure> {
        match self.value(name)? {
            Value::Sigmas(sigmas) => Ok(sigmas),
            _ => Err(wrong_type(name, "SIGMAS")),
        }
    }

    fn plain(&self, name: &str) -> Result<&Json, Failure> {
        match self.value(name)? {
            Value::Plain(value) => Ok(value),
            other => Err(Failure::new("TypeError", format!("{name} is a {}", other.kind()))),
        }
    }
}

fn wrong_type(name: &str, expected: &str) -> Failure {
    Failure::new("TypeError", format!("{name} is not a {expected}"))
}
