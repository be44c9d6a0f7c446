//! The workflows that come with the server, and where the files that they name are to be had.

#[cfg(test)]
mod tests;

use serde::Serialize;

/// A workflow that comes with the server.
pub(crate) struct Shipped {
    /// The name of its file, without `.json`.
    pub(crate) name: &'static str,
    /// The graph, in the API format.
    pub(crate) graph: &'static str,
    /// What it does.
    pub(crate) description: &'static str,
}

/// A model file that a shipped workflow names.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ModelFile {
    /// Its name, as the graph has it.
    pub file: &'static str,
    /// The folder below ComfyUI's `models`.
    pub folder: &'static str,
    /// Where it is to be had; none where any file of the kind will do.
    pub url: Option<&'static str>,
}

impl ModelFile {
    /// Its name, and where it is to be had.
    pub fn place(&self) -> String {
        match self.url {
            Some(url) => format!("{} ({url})", self.file),
            None => format!("one such as {}", self.file),
        }
    }
}

/// The model file of that name, if a shipped workflow names it.
pub fn model_file(name: &str) -> Option<&'static ModelFile> {
    MODEL_FILES.iter().find(|file| file.file == name)
}

// No function: `include_str!` takes nothing but literals.
macro_rules! shipped {
    ($name:literal, $description:literal) => {
        Shipped {
            name: $name,
            graph: include_str!(concat!("../../../../workflows/", $name, ".json")),
            description: $description,
        }
    };
}

/// All of them. The text is read when the catalog is made.
pub(crate) const SHIPPED: &[Shipped] = &[
    shipped!("txt2img", "text to image with a checkpoint"),
    shipped!(
        "txt2img_diffusion_model",
        "text to image with separate diffusion model, text encoder and VAE files"
    ),
    shipped!("img2img", "changes an image by a text"),
    shipped!("inpaint", "repaints the masked part of an image"),
    shipped!("controlnet", "text to image, guided by an image"),
    shipped!("lora", "text to image with a LoRA"),
    shipped!("upscale", "enlarges an image with an upscale model"),
    shipped!("sdxl", "text to image with SDXL"),
    shipped!("sd35", "text to image with Stable Diffusion 3.5"),
    shipped!("flux1_dev", "text to image with Flux.1 dev"),
    shipped!("flux1_schnell", "text to image with Flux.1 schnell, in 4 steps"),
    shipped!("flux1_kontext", "edits an image as the text says, with Flux.1 Kontext"),
    shipped!("flux2_dev", "text to image with Flux.2 dev"),
    shipped!("flux2_dev_edit", "edits an image as the text says, with Flux.2 dev"),
    shipped!("flux2_klein", "text to image with Flux.2 klein, in 4 steps"),
    shipped!("flux2_klein_edit", "edits an image as the text says, with Flux.2 klein, in 4 steps"),
    shipped!("flux2_klein_base", "text to image with Flux.2 klein base"),
    shipped!("qwen_image", "text to image with Qwen-Image"),
    shipped!("qwen_image_edit", "edits an image as the text says, with Qwen-Image-Edit"),
    shipped!("z_image", "text to image with Z-Image"),
    shipped!("z_image_turbo", "text to image with Z-Image turbo, in 8 steps"),
    shipped!("wan21_t2v", "text to video with Wan 2.1"),
    shipped!("wan21_i2v", "image to video with Wan 2.1"),
    shipped!("wan22_t2v", "text to video with the two models of Wan 2.2 14B"),
    shipped!("wan22_i2v", "image to video with the two models of Wan 2.2 14B"),
    shipped!("wan22_5b_t2v", "text to video with Wan 2.2 5B"),
    shipped!("wan22_5b_i2v", "image to video with Wan 2.2 5B"),
];

const fn file(file: &'static str, folder: &'static str, url: &'static str) -> ModelFile {
    ModelFile { file, folder, url: Some(url) }
}

/// Every file that a graph of [`SHIPPED`] names, and those that can stand in its place.
#[rustfmt::skip]
const MODEL_FILES: &[ModelFile] = &[
    file("v1-5-pruned-emaonly-fp16.safetensors", "checkpoints", "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors"),
    file("sd_xl_base_1.0.safetensors", "checkpoints", "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors"),
    file("sd3.5_large_fp8_scaled.safetensors", "checkpoints", "https://huggingface.co/Comfy-Org/stable-diffusion-3.5-fp8/resolve/main/sd3.5_large_fp8_scaled.safetensors"),
    file("flux1-dev-fp8.safetensors", "checkpoints", "https://huggingface.co/Comfy-Org/flux1-dev/resolve/main/flux1-dev-fp8.safetensors"),
    file("flux1-schnell-fp8.safetensors", "checkpoints", "https://huggingface.co/Comfy-Org/flux1-schnell/resolve/main/flux1-schnell-fp8.safetensors"),
    file("flux1-dev.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/flux1-dev/resolve/main/flux1-dev.safetensors"),
    file("flux1-schnell.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/flux1-schnell/resolve/main/flux1-schnell.safetensors"),
    file("flux1-dev-kontext_fp8_scaled.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/flux1-kontext-dev_ComfyUI/resolve/main/split_files/diffusion_models/flux1-dev-kontext_fp8_scaled.safetensors"),
    file("flux2_dev_fp8mixed.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/flux2-dev/resolve/main/split_files/diffusion_models/flux2_dev_fp8mixed.safetensors"),
    file("flux-2-klein-4b.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/flux2-klein/resolve/main/split_files/diffusion_models/flux-2-klein-4b.safetensors"),
    file("flux-2-klein-base-4b.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/flux2-klein/resolve/main/split_files/diffusion_models/flux-2-klein-base-4b.safetensors"),
    file("flux-2-klein-9b-fp8.safetensors", "diffusion_models", "https://huggingface.co/black-forest-labs/FLUX.2-klein-9b-fp8/resolve/main/flux-2-klein-9b-fp8.safetensors"),
    file("flux-2-klein-base-9b-fp8.safetensors", "diffusion_models", "https://huggingface.co/black-forest-labs/FLUX.2-klein-base-9b-fp8/resolve/main/flux-2-klein-base-9b-fp8.safetensors"),
    file("qwen_image_fp8_e4m3fn.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files/diffusion_models/qwen_image_fp8_e4m3fn.safetensors"),
    file("qwen_image_edit_2511_fp8mixed.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Qwen-Image-Edit_ComfyUI/resolve/main/split_files/diffusion_models/qwen_image_edit_2511_fp8mixed.safetensors"),
    file("z_image_bf16.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/z_image/resolve/main/split_files/diffusion_models/z_image_bf16.safetensors"),
    file("z_image_turbo_bf16.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/z_image_turbo/resolve/main/split_files/diffusion_models/z_image_turbo_bf16.safetensors"),
    file("wan2.1_t2v_1.3B_fp16.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors"),
    file("wan2.1_i2v_480p_14B_fp16.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/diffusion_models/wan2.1_i2v_480p_14B_fp16.safetensors"),
    file("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/diffusion_models/wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors"),
    file("wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/diffusion_models/wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors"),
    file("wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/diffusion_models/wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors"),
    file("wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/diffusion_models/wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors"),
    file("wan2.2_ti2v_5B_fp16.safetensors", "diffusion_models", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/diffusion_models/wan2.2_ti2v_5B_fp16.safetensors"),
    file("clip_l.safetensors", "text_encoders", "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main/clip_l.safetensors"),
    file("t5xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders", "https://huggingface.co/comfyanonymous/flux_text_encoders/resolve/main/t5xxl_fp8_e4m3fn_scaled.safetensors"),
    file("clip_g_hidream.safetensors", "text_encoders", "https://huggingface.co/Comfy-Org/HiDream-I1_ComfyUI/resolve/main/split_files/text_encoders/clip_g_hidream.safetensors"),
    file("mistral_3_small_flux2_fp8.safetensors", "text_encoders", "https://huggingface.co/Comfy-Org/flux2-dev/resolve/main/split_files/text_encoders/mistral_3_small_flux2_fp8.safetensors"),
    file("qwen_3_4b.safetensors", "text_encoders", "https://huggingface.co/Comfy-Org/z_image_turbo/resolve/main/split_files/text_encoders/qwen_3_4b.safetensors"),
    file("qwen_3_8b_fp8mixed.safetensors", "text_encoders", "https://huggingface.co/Comfy-Org/flux2-klein-9B/resolve/main/split_files/text_encoders/qwen_3_8b_fp8mixed.safetensors"),
    file("qwen_2.5_vl_7b_fp8_scaled.safetensors", "text_encoders", "https://huggingface.co/Comfy-Org/HunyuanVideo_1.5_repackaged/resolve/main/split_files/text_encoders/qwen_2.5_vl_7b_fp8_scaled.safetensors"),
    file("umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders", "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors"),
    file("ae.safetensors", "vae", "https://huggingface.co/Comfy-Org/Lumina_Image_2.0_Repackaged/resolve/main/split_files/vae/ae.safetensors"),
    file("flux2-vae.safetensors", "vae", "https://huggingface.co/Comfy-Org/flux2-dev/resolve/main/split_files/vae/flux2-vae.safetensors"),
    file("qwen_image_vae.safetensors", "vae", "https://huggingface.co/Comfy-Org/Qwen-Image_ComfyUI/resolve/main/split_files/vae/qwen_image_vae.safetensors"),
    file("wan_2.1_vae.safetensors", "vae", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/vae/wan_2.1_vae.safetensors"),
    file("wan2.2_vae.safetensors", "vae", "https://huggingface.co/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files/vae/wan2.2_vae.safetensors"),
    file("clip_vision_h.safetensors", "clip_vision", "https://huggingface.co/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files/clip_vision/clip_vision_h.safetensors"),
    file("control_v11p_sd15_canny_fp16.safetensors", "controlnet", "https://huggingface.co/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/control_v11p_sd15_canny_fp16.safetensors"),
    file("RealESRGAN_x4plus.safetensors", "upscale_models", "https://huggingface.co/Comfy-Org/Real-ESRGAN_repackaged/resolve/main/RealESRGAN_x4plus.safetensors"),
    // Any that goes with the model will do.
    ModelFile { file: "more_details.safetensors", folder: "loras", url: None },
];
