//! The workflows that come with the server.

/// Name, file and what it does.
pub(super) const SHIPPED: [(&str, &str, &str); 7] = [
    ("txt2img", include_str!("../../../../workflows/txt2img.json"), "text to image with a checkpoint"),
    (
        "txt2img_diffusion_model",
        include_str!("../../../../workflows/txt2img_diffusion_model.json"),
        "text to image with separate diffusion model, text encoder and VAE files",
    ),
    ("img2img", include_str!("../../../../workflows/img2img.json"), "changes an image by a text"),
    ("inpaint", include_str!("../../../../workflows/inpaint.json"), "repaints the masked part of an image"),
    (
        "controlnet",
        include_str!("../../../../workflows/controlnet.json"),
        "text to image, guided by an image",
    ),
    ("lora", include_str!("../../../../workflows/lora.json"), "text to image with a LoRA"),
    (
        "upscale",
        include_str!("../../../../workflows/upscale.json"),
        "enlarges an image with an upscale model",
    ),
];
