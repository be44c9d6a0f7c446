//! Conditioning: texts, guidance and control images, kept as they are for the painter.

use super::{
    Produced,
    images::digest_of,
    inputs::{Failure, Inputs},
    latents,
    values::{Conditioning, Control, Value},
};
use crate::digest::Digest;

/// Runs a conditioning node; `None` for a class that isn't one.
pub(super) fn run(class_type: &str, inputs: &Inputs) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "CLIPTextEncode" => encode(inputs, &["text"], &[]),
        "CLIPTextEncodeFlux" => encode(inputs, &["clip_l", "t5xxl"], &["guidance"]),
        "CLIPTextEncodeSDXL" => encode(
            inputs,
            &["text_g", "text_l"],
            &["width", "height", "crop_w", "crop_h", "target_width", "target_height"],
        ),
        "ConditioningCombine" => both(inputs, "conditioning_1", "conditioning_2", None),
        "ConditioningConcat" => both(inputs, "conditioning_to", "conditioning_from", None),
        "ConditioningAverage" => {
            both(inputs, "conditioning_to", "conditioning_from", Some("conditioning_to_strength"))
        }
        "ConditioningZeroOut" => zero_out(inputs),
        "FluxGuidance" => guidance(inputs),
        "ReferenceLatent" => reference(inputs),
        "TextEncodeQwenImageEditPlus" => encode_with_images(inputs),
        "ControlNetApply" => control_one(inputs),
        "ControlNetApplyAdvanced" => control_both(inputs),
        "InpaintModelConditioning" => inpaint_model(inputs),
        _ => return None,
    })
}

fn encode(inputs: &Inputs, texts: &[&str], numbers: &[&str]) -> Result<Produced, Failure> {
    let mut trace = Digest::of("encode").with_digest(inputs.clip("clip")?);
    let mut text = String::new();
    for name in texts {
        let part = inputs.text(name)?;
        trace = trace.with(part);
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(part);
    }
    for name in numbers {
        trace = trace.with_number(inputs.number(name)?);
    }
    Ok(Produced::one(Value::Conditioning(Conditioning { text, trace, controls: Vec::new() })))
}

fn both(inputs: &Inputs, first: &str, second: &str, weight: Option<&str>) -> Result<Produced, Failure> {
    let (first, second) = (inputs.conditioning(first)?, inputs.conditioning(second)?);
    let mut trace = first.trace.with("and").with_digest(second.trace);
    if let Some(weight) = weight {
        trace = trace.with_number(inputs.number(weight)?);
    }
    let controls = first.controls.iter().chain(&second.controls).cloned().collect();
    let text = format!("{} {}", first.text, second.text);
    Ok(Produced::one(Value::Conditioning(Conditioning { text, trace, controls })))
}

fn zero_out(inputs: &Inputs) -> Result<Produced, Failure> {
    let conditioning = inputs.conditioning("conditioning")?;
    let zero = Conditioning {
        text: String::new(),
        trace: Digest::of("zero"),
        controls: conditioning.controls.clone(),
    };
    Ok(Produced::one(Value::Conditioning(zero)))
}

fn guidance(inputs: &Inputs) -> Result<Produced, Failure> {
    let mut conditioning = inputs.conditioning("conditioning")?.clone();
    conditioning.trace = conditioning.trace.with("guidance").with_number(inputs.number("guidance")?);
    Ok(Produced::one(Value::Conditioning(conditioning)))
}

/// The picture that is referred to; without one, the conditioning as it is.
fn reference(inputs: &Inputs) -> Result<Produced, Failure> {
    let mut conditioning = inputs.conditioning("conditioning")?.clone();
    if inputs.has("latent") {
        conditioning.trace = conditioning.trace.with("reference").with_digest(inputs.latent("latent")?.trace);
    }
    Ok(Produced::one(Value::Conditioning(conditioning)))
}

/// A text and up to three pictures that it speaks of.
fn encode_with_images(inputs: &Inputs) -> Result<Produced, Failure> {
    let text = inputs.text("prompt")?.to_owned();
    let mut trace = Digest::of("encode").with_digest(inputs.clip("clip")?).with(&text);
    for name in ["image1", "image2", "image3"] {
        if inputs.has(name) {
            trace = trace.with(name).with_digest(digest_of(inputs.images(name)?));
        }
    }
    Ok(Produced::one(Value::Conditioning(Conditioning { text, trace, controls: Vec::new() })))
}

fn control_one(inputs: &Inputs) -> Result<Produced, Failure> {
    let trace = inputs.control_net("control_net")?;
    let controlled = controlled(inputs.conditioning("conditioning")?, inputs, trace)?;
    Ok(Produced::one(Value::Conditioning(controlled)))
}

fn control_both(inputs: &Inputs) -> Result<Produced, Failure> {
    let trace = inputs
        .control_net("control_net")?
        .with_number(inputs.number("start_percent")?)
        .with_number(inputs.number("end_percent")?);
    let positive = controlled(inputs.conditioning("positive")?, inputs, trace)?;
    let negative = controlled(inputs.conditioning("negative")?, inputs, trace)?;
    Ok(Produced::many([Value::Conditioning(positive), Value::Conditioning(negative)]))
}

/// A control net without strength changes nothing.
fn controlled(conditioning: &Conditioning, inputs: &Inputs, trace: Digest) -> Result<Conditioning, Failure> {
    let mut conditioning = conditioning.clone();
    let strength = inputs.number("strength")?;
    if strength != 0.0 {
        let images = inputs.images("image")?.clone();
        let trace = trace.with_digest(digest_of(&images));
        conditioning.controls.push(Control { images, strength, trace });
    }
    Ok(conditioning)
}

fn inpaint_model(inputs: &Inputs) -> Result<Produced, Failure> {
    let latent = latents::encode_for_inpaint(inputs, 0)?;
    let mut outputs = Vec::new();
    for name in ["positive", "negative"] {
        let mut conditioning = inputs.conditioning(name)?.clone();
        conditioning.trace = conditioning.trace.with("inpaint model").with_digest(latent.trace);
        outputs.push(Value::Conditioning(conditioning));
    }
    let mask = if inputs.flag("noise_mask")? { latent.mask.clone() } else { None };
    outputs.push(Value::Latent(super::values::Latent { mask, ..latent }));
    Ok(Produced::many(outputs))
}
