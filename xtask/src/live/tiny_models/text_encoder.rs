//! CLIP-L at its full size: ComfyUI takes this encoder's shape from its own configuration, not from the file.

use super::weights::Weights;

/// The width of its output.
pub(crate) const WIDTH: usize = 768;
/// How many transformer layers it has.
pub(crate) const LAYERS: usize = 12;

const TOKENS: usize = 49408;
const POSITIONS: usize = 77;

/// A file for CLIPLoader and DualCLIPLoader, 246 MB.
pub(crate) fn clip_l(mut w: Weights) -> Weights {
    layers(&mut w, "text_model.");
    w.matrix("text_projection", WIDTH, WIDTH);
    w
}

/// The second file for DualCLIPLoader. The other encoders that it loads beside CLIP-L have fixed sizes of over a
/// gigabyte; ComfyUI takes these two layers for a CLIP-L and puts them over those of the first file, so that the
/// picture shows whether the second file was loaded.
pub(crate) fn clip_l_part(mut w: Weights) -> Weights {
    for n in 0..2 {
        w.linear(&format!("text_model.encoder.layers.{n}.mlp.fc1"), 4 * WIDTH, WIDTH);
    }
    w
}

/// A textual inversion of two tokens.
pub(crate) fn embedding(mut w: Weights) -> Weights {
    w.noise("emb_params", &[2, WIDTH], 0.02);
    w
}

/// The encoder's layers under a prefix.
pub(crate) fn layers(w: &mut Weights, prefix: &str) {
    w.noise(&format!("{prefix}embeddings.token_embedding.weight"), &[TOKENS, WIDTH], 0.02);
    w.noise(&format!("{prefix}embeddings.position_embedding.weight"), &[POSITIONS, WIDTH], 0.01);
    for n in 0..LAYERS {
        let layer = format!("{prefix}encoder.layers.{n}.");
        for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            w.linear(&format!("{layer}self_attn.{part}"), WIDTH, WIDTH);
        }
        w.linear(&format!("{layer}mlp.fc1"), 4 * WIDTH, WIDTH);
        w.linear(&format!("{layer}mlp.fc2"), WIDTH, 4 * WIDTH);
        w.norm(&format!("{layer}layer_norm1"), WIDTH);
        w.norm(&format!("{layer}layer_norm2"), WIDTH);
    }
    w.norm(&format!("{prefix}final_layer_norm"), WIDTH);
}
