//! A diffusion model on its own (for UNETLoader), in the shape of Stable Diffusion 3.
//!
//! Of the families that come as separate files, it is the one whose depth ComfyUI reads from the file: the width is 64
//! times the depth. Without a stored position embedding it makes pictures of any size.

use super::weights::Weights;

const DEPTH: usize = 2;
const WIDTH: usize = 64 * DEPTH;
const LATENT: usize = 16;
const PATCH: usize = 2;
/// The width that the text encoders' outputs are filled up to.
const CONTEXT: usize = 4096;
/// The pooled outputs of CLIP-L and CLIP-G side by side.
const POOLED: usize = 768 + 1280;

/// A multimodal diffusion transformer of two joint blocks.
pub(crate) fn diffusion_model(mut w: Weights) -> Weights {
    w.conv("x_embedder.proj", WIDTH, LATENT, PATCH, 1.0);
    w.linear("t_embedder.mlp.0", WIDTH, 256);
    w.linear("t_embedder.mlp.2", WIDTH, WIDTH);
    w.linear("y_embedder.mlp.0", WIDTH, POOLED);
    w.linear("y_embedder.mlp.2", WIDTH, WIDTH);
    w.linear("context_embedder", WIDTH, CONTEXT);
    for block in 0..DEPTH {
        let last = block + 1 == DEPTH;
        let context = format!("joint_blocks.{block}.context_block.");
        if last {
            // Nothing reads the text's stream after the last block: only its keys and values are used.
            w.linear(&format!("{context}attn.qkv"), 3 * WIDTH, WIDTH);
            w.linear(&format!("{context}adaLN_modulation.1"), 2 * WIDTH, WIDTH);
        } else {
            stream(&mut w, &context);
        }
        stream(&mut w, &format!("joint_blocks.{block}.x_block."));
    }
    w.linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH);
    w.linear("final_layer.linear", PATCH * PATCH * LATENT, WIDTH);
    w
}

fn stream(w: &mut Weights, prefix: &str) {
    w.linear(&format!("{prefix}attn.qkv"), 3 * WIDTH, WIDTH);
    w.linear(&format!("{prefix}attn.proj"), WIDTH, WIDTH);
    w.linear(&format!("{prefix}mlp.fc1"), 4 * WIDTH, WIDTH);
    w.linear(&format!("{prefix}mlp.fc2"), WIDTH, 4 * WIDTH);
    w.linear(&format!("{prefix}adaLN_modulation.1"), 6 * WIDTH, WIDTH);
}
