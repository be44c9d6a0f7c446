//! A checkpoint in the shape of Stable Diffusion 1.5, and the LoRA and ControlNet that fit it.
//!
//! The U-Net has one level, one residual block and one transformer instead of four, two and sixteen; widths are the
//! real ones, by which ComfyUI knows the family.

use serde_json::json;

use super::{safetensors::Dtype, taesd, text_encoder, weights::Weights};

const CHANNELS: usize = 320;
const TIME: usize = 1280;
/// The width of the text encoder's output.
const CONTEXT: usize = text_encoder::WIDTH;

/// U-Net, auto-encoder and text encoder in one file.
pub(crate) fn checkpoint(mut w: Weights) -> Weights {
    w.metadata.push(("format", "pt".to_owned()));
    w.metadata.push(("modelspec.architecture", "stable-diffusion-v1".to_owned()));
    w.metadata.push(("modelspec.title", "tiny random SD1.5".to_owned()));
    unet(&mut w, "model.diffusion_model.");
    taesd::layers(&mut w, "first_stage_model.", taesd::SD15);
    text_encoder::layers(&mut w, "cond_stage_model.transformer.text_model.");
    w
}

/// Low-rank changes of the U-Net's attention and of the text encoder's queries.
pub(crate) fn lora(mut w: Weights) -> Weights {
    const RANK: usize = 4;
    fn pair(w: &mut Weights, name: &str, outputs: usize, inputs: usize) {
        w.noise(&format!("{name}.lora_up.weight"), &[outputs, RANK], 0.3);
        w.noise(&format!("{name}.lora_down.weight"), &[RANK, inputs], 1.0 / (inputs as f32).sqrt());
        w.scalar(&format!("{name}.alpha"), Dtype::F16, RANK as f32);
    }
    w.metadata.push(("ss_base_model_version", "sd_v1".to_owned()));
    w.metadata.push(("ss_network_dim", RANK.to_string()));
    w.metadata.push(("ss_network_alpha", RANK.to_string()));
    w.metadata.push(("ss_tag_frequency", json!({"10_tiny": {"tinytrigger": 10, "noise": 4}}).to_string()));
    for place in [
        "down_blocks_0_attentions_0",
        "mid_block_attentions_0",
        "up_blocks_0_attentions_0",
        "up_blocks_0_attentions_1",
    ] {
        for (attention, context) in [("attn1", CHANNELS), ("attn2", CONTEXT)] {
            let base = format!("lora_unet_{place}_transformer_blocks_0_{attention}_");
            for (part, inputs) in
                [("to_q", CHANNELS), ("to_k", context), ("to_v", context), ("to_out_0", CHANNELS)]
            {
                pair(&mut w, &format!("{base}{part}"), CHANNELS, inputs);
            }
        }
    }
    for layer in 0..text_encoder::LAYERS {
        let name = format!("lora_te_text_model_encoder_layers_{layer}_self_attn_q_proj");
        pair(&mut w, &name, text_encoder::WIDTH, text_encoder::WIDTH);
    }
    w
}

/// A ControlNet: the U-Net's first half, the hint's encoder, and the links back into the U-Net.
pub(crate) fn controlnet(mut w: Weights) -> Weights {
    encoder_half(&mut w, "");
    for n in 0..2 {
        w.conv(&format!("zero_convs.{n}.0"), CHANNELS, CHANNELS, 1, 0.5);
    }
    w.conv("middle_block_out.0", CHANNELS, CHANNELS, 1, 0.5);
    let channels = [3, 16, 16, 32, 32, 96, 96, 256, CHANNELS];
    for (n, pair) in channels.windows(2).enumerate() {
        w.conv(&format!("input_hint_block.{}", 2 * n), pair[1], pair[0], 3, 1.0);
    }
    w
}

fn unet(w: &mut Weights, prefix: &str) {
    encoder_half(w, prefix);
    for n in 0..2 {
        residual(w, &format!("{prefix}output_blocks.{n}.0."), 2 * CHANNELS, CHANNELS);
        transformer(w, &format!("{prefix}output_blocks.{n}.1."));
    }
    w.norm(&format!("{prefix}out.0"), CHANNELS);
    w.conv(&format!("{prefix}out.2"), 4, CHANNELS, 3, 1.0);
}

/// The part that U-Net and ControlNet share.
fn encoder_half(w: &mut Weights, prefix: &str) {
    w.linear(&format!("{prefix}time_embed.0"), TIME, CHANNELS);
    w.linear(&format!("{prefix}time_embed.2"), TIME, TIME);
    w.conv(&format!("{prefix}input_blocks.0.0"), CHANNELS, 4, 3, 1.0);
    residual(w, &format!("{prefix}input_blocks.1.0."), CHANNELS, CHANNELS);
    transformer(w, &format!("{prefix}input_blocks.1.1."));
    residual(w, &format!("{prefix}middle_block.0."), CHANNELS, CHANNELS);
    transformer(w, &format!("{prefix}middle_block.1."));
    residual(w, &format!("{prefix}middle_block.2."), CHANNELS, CHANNELS);
}

fn residual(w: &mut Weights, prefix: &str, inputs: usize, outputs: usize) {
    w.norm(&format!("{prefix}in_layers.0"), inputs);
    w.conv(&format!("{prefix}in_layers.2"), outputs, inputs, 3, 1.0);
    w.linear(&format!("{prefix}emb_layers.1"), outputs, TIME);
    w.norm(&format!("{prefix}out_layers.0"), outputs);
    w.conv(&format!("{prefix}out_layers.3"), outputs, outputs, 3, 0.5);
    if inputs != outputs {
        w.conv(&format!("{prefix}skip_connection"), outputs, inputs, 1, 1.0);
    }
}

fn transformer(w: &mut Weights, prefix: &str) {
    let c = CHANNELS;
    let block = format!("{prefix}transformer_blocks.0.");
    w.norm(&format!("{prefix}norm"), c);
    w.conv(&format!("{prefix}proj_in"), c, c, 1, 1.0);
    for (attention, context) in [("attn1", c), ("attn2", CONTEXT)] {
        w.matrix(&format!("{block}{attention}.to_q"), c, c);
        w.matrix(&format!("{block}{attention}.to_k"), c, context);
        w.matrix(&format!("{block}{attention}.to_v"), c, context);
        w.linear(&format!("{block}{attention}.to_out.0"), c, c);
    }
    w.linear(&format!("{block}ff.net.0.proj"), 8 * c, c);
    w.linear(&format!("{block}ff.net.2"), c, 4 * c);
    for n in 1..=3 {
        w.norm(&format!("{block}norm{n}"), c);
    }
    w.conv(&format!("{prefix}proj_out"), c, c, 1, 0.5);
}
