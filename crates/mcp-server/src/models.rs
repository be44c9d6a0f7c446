//! The kinds of model files, samplers and schedulers, and what is installed of each.

use workflow_analyzer::ObjectInfo;

/// A kind, and the node input that offers its names.
#[derive(Debug)]
pub(crate) struct Kind {
    /// As `list_models` and `comfy://models/{kind}` name it; for files also ComfyUI's folder.
    pub(crate) name: &'static str,
    class: &'static str,
    input: &'static str,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 9] = [
    kind("checkpoints", "CheckpointLoaderSimple", "ckpt_name"),
    kind("diffusion_models", "UNETLoader", "unet_name"),
    kind("text_encoders", "CLIPLoader", "clip_name"),
    kind("vae", "VAELoader", "vae_name"),
    kind("loras", "LoraLoader", "lora_name"),
    kind("controlnet", "ControlNetLoader", "control_net_name"),
    kind("upscale_models", "UpscaleModelLoader", "model_name"),
    kind("samplers", "KSampler", "sampler_name"),
    kind("schedulers", "KSampler", "scheduler"),
];

const fn kind(name: &'static str, class: &'static str, input: &'static str) -> Kind {
    Kind { name, class, input }
}

impl Kind {
    /// The kind of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// What is installed of it.
    pub(crate) fn names<'a>(&self, info: &'a ObjectInfo) -> Vec<&'a str> {
        info.options(self.class, self.input)
    }
}
