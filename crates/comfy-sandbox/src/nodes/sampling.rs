//! Samplers, and what is plugged into a custom one.

use super::{
    Produced, check_size,
    inputs::{Failure, Inputs},
    values::{Guider, Latent, Noise, Sigmas, Value},
};
use crate::{
    digest::Digest,
    painter::{self, Sampling},
};

/// Runs a sampler or one of its parts; `None` for a class that is neither.
pub(super) fn run(class_type: &str, inputs: &Inputs) -> Option<Result<Produced, Failure>> {
    Some(match class_type {
        "KSampler" => ksampler(inputs),
        "KSamplerAdvanced" => ksampler_advanced(inputs),
        "SamplerCustom" => custom(inputs),
        "SamplerCustomAdvanced" => custom_advanced(inputs),
        "RandomNoise" => {
            inputs.seed("noise_seed").map(|seed| Produced::one(Value::Noise(Noise::Seeded(seed))))
        }
        "DisableNoise" => Ok(Produced::one(Value::Noise(Noise::None))),
        "BasicGuider" => basic_guider(inputs),
        "CFGGuider" => cfg_guider(inputs),
        "KSamplerSelect" => {
            inputs.text("sampler_name").map(|name| Produced::one(Value::Sampler(name.to_owned())))
        }
        "BasicScheduler" => scheduler(inputs),
        "Flux2Scheduler" => flux2_scheduler(inputs),
        "SplitSigmasDenoise" => split(inputs),
        _ => return None,
    })
}

/// How many steps a sampler's run takes.
pub(super) fn steps(class_type: &str, inputs: &Inputs) -> Option<u64> {
    let count = |name: &str| inputs.integer(name).unwrap_or(0).max(0).cast_unsigned();
    match class_type {
        "KSampler" => Some(count("steps")),
        "KSamplerAdvanced" => {
            Some(count("end_at_step").min(count("steps")).saturating_sub(count("start_at_step")))
        }
        "SamplerCustom" | "SamplerCustomAdvanced" => {
            Some(inputs.sigmas("sigmas").map_or(0, |sigmas| sigmas.steps))
        }
        _ => None,
    }
}

fn ksampler(inputs: &Inputs) -> Result<Produced, Failure> {
    let manner = Digest::of("sampler").with(inputs.text("sampler_name")?).with(inputs.text("scheduler")?);
    let sampling = Sampling {
        model: inputs.model("model")?,
        positive: inputs.conditioning("positive")?.clone(),
        negative: Some(inputs.conditioning("negative")?.clone()),
        cfg: inputs.number("cfg")?,
        seed: inputs.seed("seed")?,
        steps: steps("KSampler", inputs).unwrap_or(0),
        manner,
        denoise: inputs.number("denoise")?,
        latent: latent(inputs)?,
    };
    Ok(Produced::one(Value::Latent(painter::sample(&sampling))))
}

fn ksampler_advanced(inputs: &Inputs) -> Result<Produced, Failure> {
    let mut manner = Digest::of("sampler").with(inputs.text("sampler_name")?).with(inputs.text("scheduler")?);
    for name in ["add_noise", "return_with_leftover_noise"] {
        manner = manner.with(inputs.text(name)?);
    }
    for name in ["start_at_step", "end_at_step", "steps"] {
        manner = manner.with_integer(inputs.integer(name)?.into());
    }
    let total = inputs.integer("steps")?.max(1) as f64;
    let done = steps("KSamplerAdvanced", inputs).unwrap_or(0);
    let sampling = Sampling {
        model: inputs.model("model")?,
        positive: inputs.conditioning("positive")?.clone(),
        negative: Some(inputs.conditioning("negative")?.clone()),
        cfg: inputs.number("cfg")?,
        seed: inputs.seed("noise_seed")?,
        steps: done,
        manner,
        denoise: (done as f64 / total).clamp(0.0, 1.0),
        latent: latent(inputs)?,
    };
    Ok(Produced::one(Value::Latent(painter::sample(&sampling))))
}

fn custom(inputs: &Inputs) -> Result<Produced, Failure> {
    let guider = Guider {
        model: inputs.model("model")?,
        positive: inputs.conditioning("positive")?.clone(),
        negative: Some(inputs.conditioning("negative")?.clone()),
        cfg: inputs.number("cfg")?,
    };
    let noise =
        if inputs.flag("add_noise")? { Noise::Seeded(inputs.seed("noise_seed")?) } else { Noise::None };
    guided(inputs, &guider, noise)
}

fn custom_advanced(inputs: &Inputs) -> Result<Produced, Failure> {
    guided(inputs, inputs.guider("guider")?, inputs.noise("noise")?)
}

fn guided(inputs: &Inputs, guider: &Guider, noise: Noise) -> Result<Produced, Failure> {
    let sigmas = inputs.sigmas("sigmas")?;
    let (seed, with_noise) = match noise {
        Noise::Seeded(seed) => (seed, "noise"),
        Noise::None => (0, "no noise"),
    };
    let manner =
        Digest::of("custom").with(inputs.sampler("sampler")?).with_digest(sigmas.trace).with(with_noise);
    let sampling = Sampling {
        model: guider.model,
        positive: guider.positive.clone(),
        negative: guider.negative.clone(),
        cfg: guider.cfg,
        seed,
        steps: sigmas.steps,
        manner,
        denoise: sigmas.denoise,
        latent: latent(inputs)?,
    };
    let sampled = painter::sample(&sampling);
    Ok(Produced::many([Value::Latent(sampled.clone()), Value::Latent(sampled)]))
}

fn latent(inputs: &Inputs) -> Result<Latent, Failure> {
    let latent = inputs.latent("latent_image")?;
    check_size(latent.width, latent.height, latent.frames.len())?;
    Ok(latent.clone())
}

fn basic_guider(inputs: &Inputs) -> Result<Produced, Failure> {
    let guider = Guider {
        model: inputs.model("model")?,
        positive: inputs.conditioning("conditioning")?.clone(),
        negative: None,
        cfg: 1.0,
    };
    Ok(Produced::one(Value::Guider(guider)))
}

fn cfg_guider(inputs: &Inputs) -> Result<Produced, Failure> {
    let guider = Guider {
        model: inputs.model("model")?,
        positive: inputs.conditioning("positive")?.clone(),
        negative: Some(inputs.conditioning("negative")?.clone()),
        cfg: inputs.number("cfg")?,
    };
    Ok(Produced::one(Value::Guider(guider)))
}

fn scheduler(inputs: &Inputs) -> Result<Produced, Failure> {
    let denoise = inputs.number("denoise")?;
    let name = inputs.text("scheduler")?;
    let steps = if denoise > 0.0 { inputs.integer("steps")?.max(0).cast_unsigned() } else { 0 };
    let trace = Digest::of("sigmas").with(name).with_digest(inputs.model("model")?).with_number(denoise);
    Ok(Produced::one(Value::Sigmas(Sigmas { steps, denoise, trace })))
}

fn flux2_scheduler(inputs: &Inputs) -> Result<Produced, Failure> {
    let mut trace = Digest::of("flux2 sigmas");
    for name in ["width", "height"] {
        trace = trace.with_integer(inputs.integer(name)?.into());
    }
    let steps = inputs.integer("steps")?.max(0).cast_unsigned();
    Ok(Produced::one(Value::Sigmas(Sigmas { steps, denoise: 1.0, trace })))
}

/// The steps before, and those that are left of the whole for this strength.
fn split(inputs: &Inputs) -> Result<Produced, Failure> {
    let sigmas = inputs.sigmas("sigmas")?;
    let denoise = inputs.number("denoise")?;
    let left = ((sigmas.steps as f64 * denoise).round() as u64).min(sigmas.steps);
    let trace = sigmas.trace.with("split").with_number(denoise);
    let part = |name: &str, steps, denoise| Value::Sigmas(Sigmas { steps, denoise, trace: trace.with(name) });
    let high = part("high", sigmas.steps - left, sigmas.denoise);
    Ok(Produced::many([high, part("low", left, sigmas.denoise * denoise)]))
}
