//! The families of models that the shipped workflows are for, and how files are known to belong to one.

use super::names::Name;

/// A file beside the diffusion model, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    ClipL,
    ClipG,
    T5,
    Umt5,
    Qwen25Vl,
    Qwen3Of4B,
    Qwen3Of8B,
    Mistral3,
    Sd3Vae,
    FluxVae,
    Flux2Vae,
    QwenVae,
    Wan21Vae,
    Wan22Vae,
    /// Of a family that has no workflow here.
    OtherVae,
}

/// How the text encoders of a family are loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoders {
    /// All that there are.
    pub(super) parts: &'static [Part],
    /// So many of them do.
    pub(super) least: usize,
    /// The `type` of `CLIPLoader` and `DualCLIPLoader`.
    pub(super) kind: &'static str,
}

/// Models that run in the same graph, with the same files beside them.
#[derive(Debug)]
pub(super) struct Family {
    /// What people call it.
    pub(super) name: &'static str,
    /// A model is of the first family of [`FAMILIES`] of which its name has all words of one of these groups.
    words: &'static [&'static [&'static str]],
    /// The workflow that makes a picture from a text.
    pub(super) from_text: Option<&'static str>,
    /// The workflow that changes a picture as a text says.
    pub(super) edit: Option<&'static str>,
    /// Whether its models were made to edit, so that others are preferred for pictures from text.
    pub(super) is_editor: bool,
    /// Workflows that make something else.
    others: &'static [&'static str],
    /// `None` for a family whose checkpoints are complete.
    pub(super) encoders: Option<Encoders>,
    pub(super) vae: Option<Part>,
    /// A file that has everything in it.
    pub(super) checkpoint: Option<&'static str>,
    /// The diffusion model alone; two for a family that needs both.
    pub(super) models: &'static [&'static str],
}

const NONE: Family = Family {
    name: "",
    words: &[],
    from_text: None,
    edit: None,
    is_editor: false,
    others: &[],
    encoders: None,
    vae: None,
    checkpoint: None,
    models: &[],
};

const FLUX1_ENCODERS: Encoders = Encoders { parts: &[Part::ClipL, Part::T5], least: 2, kind: "flux" };
const FLUX1: Family = Family { encoders: Some(FLUX1_ENCODERS), vae: Some(Part::FluxVae), ..NONE };
const FLUX2: Family = Family { vae: Some(Part::Flux2Vae), ..NONE };
const KLEIN_OF_4B: Encoders = one(Part::Qwen3Of4B, "flux2");
const KLEIN_OF_9B: Encoders = one(Part::Qwen3Of8B, "flux2");
const QWEN: Family =
    Family { encoders: Some(one(Part::Qwen25Vl, "qwen_image")), vae: Some(Part::QwenVae), ..NONE };
const Z_IMAGE: Family =
    Family { encoders: Some(one(Part::Qwen3Of4B, "lumina2")), vae: Some(Part::FluxVae), ..NONE };
const WAN: Family = Family { encoders: Some(one(Part::Umt5, "wan")), vae: Some(Part::Wan21Vae), ..NONE };

const fn one(part: Part, kind: &'static str) -> Encoders {
    let parts: &'static [Part] = match part {
        Part::Qwen25Vl => &[Part::Qwen25Vl],
        Part::Qwen3Of4B => &[Part::Qwen3Of4B],
        Part::Qwen3Of8B => &[Part::Qwen3Of8B],
        Part::Mistral3 => &[Part::Mistral3],
        _ => &[Part::Umt5],
    };
    Encoders { parts, least: 1, kind }
}

/// The narrower ones first: every Kontext is a Flux by its name.
pub(super) static FAMILIES: &[Family] = &[
    Family {
        name: "Flux.2 klein base",
        words: &[&["klein", "base", "9b"]],
        from_text: Some("flux2_klein_base"),
        encoders: Some(KLEIN_OF_9B),
        models: &["flux-2-klein-base-9b-fp8.safetensors"],
        ..FLUX2
    },
    Family {
        name: "Flux.2 klein base",
        words: &[&["klein", "base"]],
        from_text: Some("flux2_klein_base"),
        encoders: Some(KLEIN_OF_4B),
        models: &["flux-2-klein-base-4b.safetensors"],
        ..FLUX2
    },
    Family {
        name: "Flux.2 klein",
        words: &[&["klein", "9b"]],
        from_text: Some("flux2_klein"),
        edit: Some("flux2_klein_edit"),
        encoders: Some(KLEIN_OF_9B),
        models: &["flux-2-klein-9b-fp8.safetensors"],
        ..FLUX2
    },
    Family {
        name: "Flux.2 klein",
        words: &[&["klein"]],
        from_text: Some("flux2_klein"),
        edit: Some("flux2_klein_edit"),
        encoders: Some(KLEIN_OF_4B),
        models: &["flux-2-klein-4b.safetensors"],
        ..FLUX2
    },
    Family {
        name: "Flux.2 dev",
        words: &[&["flux2"]],
        from_text: Some("flux2_dev"),
        edit: Some("flux2_dev_edit"),
        encoders: Some(one(Part::Mistral3, "flux2")),
        models: &["flux2_dev_fp8mixed.safetensors"],
        ..FLUX2
    },
    Family {
        name: "Flux.1 Kontext",
        words: &[&["kontext"]],
        from_text: Some("flux1_dev"),
        edit: Some("flux1_kontext"),
        is_editor: true,
        models: &["flux1-dev-kontext_fp8_scaled.safetensors"],
        ..FLUX1
    },
    Family {
        name: "Flux.1 schnell",
        words: &[&["schnell"]],
        from_text: Some("flux1_schnell"),
        checkpoint: Some("flux1-schnell-fp8.safetensors"),
        models: &["flux1-schnell.safetensors"],
        ..FLUX1
    },
    Family {
        name: "Flux.1 dev",
        words: &[&["flux"]],
        from_text: Some("flux1_dev"),
        checkpoint: Some("flux1-dev-fp8.safetensors"),
        models: &["flux1-dev.safetensors"],
        ..FLUX1
    },
    Family {
        name: "Qwen-Image-Edit",
        words: &[&["qwen", "image", "edit"]],
        from_text: Some("qwen_image"),
        edit: Some("qwen_image_edit"),
        is_editor: true,
        models: &["qwen_image_edit_2511_fp8mixed.safetensors"],
        ..QWEN
    },
    Family {
        name: "Qwen-Image",
        words: &[&["qwenimage"]],
        from_text: Some("qwen_image"),
        models: &["qwen_image_fp8_e4m3fn.safetensors"],
        ..QWEN
    },
    Family {
        name: "Z-Image turbo",
        words: &[&["zimage", "turbo"]],
        from_text: Some("z_image_turbo"),
        models: &["z_image_turbo_bf16.safetensors"],
        ..Z_IMAGE
    },
    Family {
        name: "Z-Image",
        words: &[&["zimage"]],
        from_text: Some("z_image"),
        models: &["z_image_bf16.safetensors"],
        ..Z_IMAGE
    },
    Family {
        name: "Wan 2.2 5B",
        words: &[&["wan22", "5b"]],
        others: &["wan22_5b_t2v", "wan22_5b_i2v"],
        vae: Some(Part::Wan22Vae),
        models: &["wan2.2_ti2v_5B_fp16.safetensors"],
        ..WAN
    },
    Family {
        name: "Wan 2.2 image to video",
        words: &[&["wan22", "i2v"]],
        others: &["wan22_i2v"],
        models: &[
            "wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors",
            "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors",
        ],
        ..WAN
    },
    Family {
        name: "Wan 2.2 text to video",
        words: &[&["wan22", "t2v"]],
        others: &["wan22_t2v"],
        models: &[
            "wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
            "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors",
        ],
        ..WAN
    },
    Family {
        name: "Wan 2.1 image to video",
        words: &[&["wan", "i2v"]],
        others: &["wan21_i2v"],
        models: &["wan2.1_i2v_480p_14B_fp16.safetensors"],
        ..WAN
    },
    Family {
        name: "Wan 2.1 text to video",
        words: &[&["wan", "t2v"]],
        others: &["wan21_t2v"],
        models: &["wan2.1_t2v_1.3B_fp16.safetensors"],
        ..WAN
    },
    Family {
        name: "Stable Diffusion 3.5",
        words: &[&["sd3"], &["stablediffusion3"]],
        from_text: Some("sd35"),
        encoders: Some(Encoders { parts: &[Part::ClipL, Part::ClipG, Part::T5], least: 2, kind: "sd3" }),
        vae: Some(Part::Sd3Vae),
        checkpoint: Some("sd3.5_large_fp8_scaled.safetensors"),
        ..NONE
    },
    Family {
        name: "SDXL",
        words: &[&["sdxl"], &["xl_"], &["pony"], &["illustrious"], &["noob"], &["animagine"]],
        from_text: Some("sdxl"),
        checkpoint: Some("sd_xl_base_1.0.safetensors"),
        ..NONE
    },
    Family {
        name: "Stable Diffusion 1.5",
        words: &[
            &["sd1"],
            &["_sd_1"],
            &["v1_5_"],
            &["sd2"],
            &["v2_1_"],
            &["dreamshaper"],
            &["realistic"],
            &["stablediffusionv1"],
        ],
        from_text: Some("txt2img"),
        checkpoint: Some("v1-5-pruned-emaonly-fp16.safetensors"),
        ..NONE
    },
];

/// Words in the names of models that are for something else than a picture from a text alone.
const OTHER_TRADES: [&str; 29] = [
    "refiner",
    "inpaint",
    "svd",
    "stablevideo",
    "zero123",
    "cascade",
    "audio",
    "upscale",
    "hunyuan",
    "cosmos",
    "ltx",
    "wan2",
    "_wan_",
    "mochi",
    "_fill_",
    "_canny_",
    "_depth_",
    "redux",
    "layered",
    "vace",
    "_fun_",
    "s2v",
    "animate",
    "controlnet",
    "qwenimage21",
    "krea2",
    "framepack",
    "skyreels",
    "acestep",
];

/// What a name of a text encoder tells; the narrower ones first.
const ENCODERS: [(Part, &[&[&str]]); 8] = [
    (Part::Umt5, &[&["umt5"]]),
    (Part::T5, &[&["t5", "xxl"]]),
    (Part::ClipL, &[&["_clip_l_"], &["vitl14"]]),
    (Part::ClipG, &[&["_clip_g_"]]),
    (Part::Qwen25Vl, &[&["qwen25vl", "7b"]]),
    (Part::Qwen3Of4B, &[&["qwen34b"]]),
    (Part::Qwen3Of8B, &[&["qwen38b"]]),
    (Part::Mistral3, &[&["mistral"]]),
];

/// What a name of a VAE tells; the narrower ones first.
const VAES: [(Part, &[&[&str]]); 8] = [
    (Part::OtherVae, &[&["layered"], &["qwenimage21"], &["hunyuan"], &["ltx"], &["taesd"], &["cogvideo"]]),
    (Part::Flux2Vae, &[&["flux2"], &["fullencodersmalldecoder"]]),
    (Part::QwenVae, &[&["qwen"]]),
    (Part::Wan22Vae, &[&["wan22"]]),
    (Part::Wan21Vae, &[&["wan"]]),
    (Part::Sd3Vae, &[&["sd3"]]),
    (Part::OtherVae, &[&["sdxl"], &["xl_"], &["sd15"], &["mse84"], &["ema56"]]),
    (Part::FluxVae, &[&["_ae_"], &["flux"]]),
];

/// The family of a model, by its name.
pub(super) fn family_of(model: &str) -> Option<&'static Family> {
    let name = Name::of(model);
    if name.has("qwenimage21") || name.has("krea2") || name.has("layered") {
        return None;
    }
    FAMILIES.iter().find(|family| name.has_any(family.words))
}

/// Whether the workflow changes a picture as a text says.
pub(super) fn is_edit(workflow: &str) -> bool {
    FAMILIES.iter().any(|family| family.edit == Some(workflow))
}

/// Whether a model is for something else than a picture from a text alone.
pub(super) fn is_other_trade(model: &str) -> bool {
    let name = Name::of(model);
    OTHER_TRADES.iter().any(|word| name.has(word))
}

/// What a text encoder is, by its name.
pub(super) fn encoder_of(file: &str) -> Option<Part> {
    part(&ENCODERS, file)
}

/// What a VAE is for, by its name.
pub(super) fn vae_of(file: &str) -> Option<Part> {
    part(&VAES, file)
}

fn part(known: &[(Part, &[&[&str]])], file: &str) -> Option<Part> {
    let name = Name::of(file);
    known.iter().find(|(_, groups)| name.has_any(groups)).map(|(part, _)| *part)
}

impl Part {
    /// The file of it that people take.
    pub(super) fn file(self) -> Option<&'static str> {
        Some(match self {
            Self::ClipL => "clip_l.safetensors",
            Self::ClipG => "clip_g_hidream.safetensors",
            Self::T5 => "t5xxl_fp8_e4m3fn_scaled.safetensors",
            Self::Umt5 => "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
            Self::Qwen25Vl => "qwen_2.5_vl_7b_fp8_scaled.safetensors",
            Self::Qwen3Of4B => "qwen_3_4b.safetensors",
            Self::Qwen3Of8B => "qwen_3_8b_fp8mixed.safetensors",
            Self::Mistral3 => "mistral_3_small_flux2_fp8.safetensors",
            Self::FluxVae => "ae.safetensors",
            Self::Flux2Vae => "flux2-vae.safetensors",
            Self::QwenVae => "qwen_image_vae.safetensors",
            Self::Wan21Vae => "wan_2.1_vae.safetensors",
            Self::Wan22Vae => "wan2.2_vae.safetensors",
            Self::Sd3Vae | Self::OtherVae => return None,
        })
    }
}

impl Family {
    /// Whether the workflow is one of this family's.
    pub(super) fn has_workflow(&self, name: &str) -> bool {
        self.from_text == Some(name) || self.edit == Some(name) || self.others.contains(&name)
    }

    /// Whether models of both run in the same graph.
    pub(super) fn is_like(&self, other: &Family) -> bool {
        self.encoders == other.encoders && self.vae == other.vae && self.others == other.others
    }
}
