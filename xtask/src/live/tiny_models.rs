//! Small model files with random weights that a real ComfyUI loads and runs.
//!
//! The shapes are the smallest that its model detection takes for the real thing; the pictures are noise. The
//! weights follow from the seeds below alone, so that every machine has the same files.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use safetensors::Dtype;
use weights::Weights;

mod safetensors;
mod sd15;
mod sd3;
mod taesd;
mod text_encoder;
mod upscaler;
mod weights;

/// Raised with every change of what is written, so that an older folder is written again.
pub(crate) const VERSION: u32 = 1;

/// Writes all files below ComfyUI's models folder, about 590 MB.
pub(crate) fn write_all(models: &Path) -> Result<()> {
    for (path, weights) in [
        ("checkpoints/tiny-sd15.safetensors", sd15::checkpoint(Weights::new(1234, Dtype::F16))),
        ("vae/tiny-vae.safetensors", taesd::vae(Weights::new(1235, Dtype::F16), taesd::SD15)),
        ("loras/tiny-lora.safetensors", sd15::lora(Weights::new(1236, Dtype::F16))),
        ("controlnet/tiny-controlnet.safetensors", sd15::controlnet(Weights::new(1237, Dtype::F16))),
        ("upscale_models/tiny-esrgan-2x.safetensors", upscaler::esrgan(Weights::new(1238, Dtype::F32))),
        ("embeddings/tiny-embedding.safetensors", text_encoder::embedding(Weights::new(1239, Dtype::F32))),
        ("diffusion_models/tiny-sd3.safetensors", sd3::diffusion_model(Weights::new(1240, Dtype::F16))),
        ("text_encoders/tiny-clip-l.safetensors", text_encoder::clip_l(Weights::new(1241, Dtype::F16))),
        (
            "text_encoders/tiny-clip-l-top.safetensors",
            text_encoder::clip_l_part(Weights::new(1242, Dtype::F16)),
        ),
        ("vae/tiny-sd3-vae.safetensors", taesd::vae(Weights::new(1243, Dtype::F16), taesd::SD3)),
    ] {
        let path = models.join(path);
        fs::create_dir_all(path.parent().unwrap_or(models))?;
        safetensors::write(&path, &weights)
            .with_context(|| format!("could not write {}; is the disk full?", path.display()))?;
    }
    // Listed and accepted by validation; the node fails when it loads it.
    let corrupt = models.join("checkpoints/corrupt.safetensors");
    fs::write(&corrupt, "this is not a safetensors file\n")
        .with_context(|| format!("could not write {}", corrupt.display()))
}
