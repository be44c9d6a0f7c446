//! The tiny auto-encoder architecture (TAESD): the smallest VAE that ComfyUI takes, 2.4 million weights.

use super::{safetensors::Dtype, weights::Weights};

/// What differs between the families' latents.
#[derive(Clone, Copy)]
pub(crate) struct Latent {
    channels: usize,
    /// From the U-Net's scale to the auto-encoder's.
    scale: f32,
    shift: f32,
}

/// Latents of Stable Diffusion 1.5.
pub(crate) const SD15: Latent = Latent { channels: 4, scale: 0.182_15, shift: 0.0 };
/// Latents of Stable Diffusion 3.
pub(crate) const SD3: Latent = Latent { channels: 16, scale: 1.5305, shift: 0.0609 };

/// A file for VAELoader.
pub(crate) fn vae(mut w: Weights, latent: Latent) -> Weights {
    layers(&mut w, "", latent);
    w
}

/// Encoder and decoder under a prefix; the numbers are the layers' places in their sequences.
pub(crate) fn layers(w: &mut Weights, prefix: &str, latent: Latent) {
    let encoder = format!("{prefix}taesd_encoder.");
    w.conv(&format!("{encoder}0"), 64, 3, 3, 2.0);
    for n in [1, 3, 4, 5, 7, 8, 9, 11, 12, 13] {
        block(w, &format!("{encoder}{n}"));
    }
    for n in [2, 6, 10] {
        w.kernel(&format!("{encoder}{n}"), 64, 64, 3, 1.0);
    }
    w.conv(&format!("{encoder}14"), latent.channels, 64, 3, 1.0);

    let decoder = format!("{prefix}taesd_decoder.");
    w.conv(&format!("{decoder}1"), 64, latent.channels, 3, 2.0);
    for n in [3, 4, 5, 8, 9, 10, 13, 14, 15, 18] {
        block(w, &format!("{decoder}{n}"));
    }
    for n in [7, 12, 17] {
        w.kernel(&format!("{decoder}{n}"), 64, 64, 3, 1.0);
    }
    w.conv(&format!("{decoder}19"), 3, 64, 3, 0.2);
    // Around the middle of the range, so that the picture is neither black nor white.
    w.rebias(0.5);
    w.scalar(&format!("{prefix}vae_scale"), Dtype::F32, latent.scale);
    w.scalar(&format!("{prefix}vae_shift"), Dtype::F32, latent.shift);
}

fn block(w: &mut Weights, name: &str) {
    for (n, gain) in [(0, 1.0), (2, 1.0), (4, 0.5)] {
        w.conv(&format!("{name}.conv.{n}"), 64, 64, 3, gain);
    }
}
