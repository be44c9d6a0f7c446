//! Loaders: a model is the digest of its file's name and of what is stacked on it.

use super::{
    Produced,
    inputs::{Failure, Inputs},
    values::Value,
};
use crate::digest::Digest;

/// Runs a loader; `None` for a class that isn't one.
pub(super) fn run(class_type: &str, inputs: &Inputs) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "CheckpointLoaderSimple" => checkpoint(inputs),
        "UNETLoader" => unet(inputs),
        "CLIPLoader" => clip(inputs, &["clip_name", "type"]),
        "DualCLIPLoader" => clip(inputs, &["clip_name1", "clip_name2", "type"]),
        "TripleCLIPLoader" => clip(inputs, &["clip_name1", "clip_name2", "clip_name3"]),
        "VAELoader" => file(inputs, "vae_name").map(|vae| Produced::one(Value::Vae(vae))),
        "ControlNetLoader" => {
            file(inputs, "control_net_name").map(|control_net| Produced::one(Value::ControlNet(control_net)))
        }
        "UpscaleModelLoader" => Ok(Produced::one(Value::UpscaleModel)),
        "LoraLoader" => lora(inputs),
        "LoraLoaderModelOnly" => lora_model_only(inputs),
        "CLIPSetLastLayer" => last_layer(inputs),
        "ModelSamplingFlux" => model_sampling(inputs, &["max_shift", "base_shift", "width", "height"]),
        "ModelSamplingSD3" | "ModelSamplingAuraFlow" => model_sampling(inputs, &["shift"]),
        "CFGNorm" => model_sampling(inputs, &["strength"]),
        _ => return None,
    })
}

fn file(inputs: &Inputs, input: &str) -> Result<Digest, Failure> {
    Ok(Digest::of(input).with(inputs.text(input)?))
}

fn checkpoint(inputs: &Inputs) -> Result<Produced, Failure> {
    let digest = file(inputs, "ckpt_name")?;
    let part = |name: &str| digest.with(name);
    Ok(Produced::many([Value::Model(part("model")), Value::Clip(part("clip")), Value::Vae(part("vae"))]))
}

fn unet(inputs: &Inputs) -> Result<Produced, Failure> {
    let model = file(inputs, "unet_name")?.with(inputs.text("weight_dtype")?);
    Ok(Produced::one(Value::Model(model)))
}

fn clip(inputs: &Inputs, names: &[&str]) -> Result<Produced, Failure> {
    let mut digest = Digest::of("clip");
    for name in names {
        digest = digest.with(inputs.text(name)?);
    }
    Ok(Produced::one(Value::Clip(digest)))
}

fn lora(inputs: &Inputs) -> Result<Produced, Failure> {
    let name = inputs.text("lora_name")?;
    let model = stacked(inputs.model("model")?, name, inputs.number("strength_model")?);
    let clip = stacked(inputs.clip("clip")?, name, inputs.number("strength_clip")?);
    Ok(Produced::many([Value::Model(model), Value::Clip(clip)]))
}

fn lora_model_only(inputs: &Inputs) -> Result<Produced, Failure> {
    let name = inputs.text("lora_name")?;
    let model = stacked(inputs.model("model")?, name, inputs.number("strength_model")?);
    Ok(Produced::one(Value::Model(model)))
}

/// A LoRA without strength changes nothing.
fn stacked(base: Digest, lora: &str, strength: f64) -> Digest {
    if strength == 0.0 { base } else { base.with("lora").with(lora).with_number(strength) }
}

fn last_layer(inputs: &Inputs) -> Result<Produced, Failure> {
    let layer = inputs.integer("stop_at_clip_layer")?;
    let clip = inputs.clip("clip")?.with("last layer").with_integer(layer.into());
    Ok(Produced::one(Value::Clip(clip)))
}

fn model_sampling(inputs: &Inputs, numbers: &[&str]) -> Result<Produced, Failure> {
    let mut model = inputs.model("model")?.with("model sampling");
    for name in numbers {
        model = model.with(name).with_number(inputs.number(name)?);
    }
    Ok(Produced::one(Value::Model(model)))
}
