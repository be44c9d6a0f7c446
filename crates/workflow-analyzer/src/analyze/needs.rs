//! The node classes and model files that a graph needs.

use std::path::Path;

use serde_json::Value;

use super::{ModelRef, Needs};
use crate::nearest::MODEL_EXTENSIONS;
use crate::{ClassInfo, Graph, Input, InputKind, ObjectInfo};

/// Inputs that name a model file, and the folder that ComfyUI looks it up in (from its loader nodes).
const FOLDERS: [(&str, &str); 17] = [
    ("ckpt_name", "checkpoints"),
    ("unet_name", "diffusion_models"),
    ("vae_name", "vae"),
    ("lora_name", "loras"),
    ("control_net_name", "controlnet"),
    ("clip_name", "text_encoders"),
    ("clip_name1", "text_encoders"),
    ("clip_name2", "text_encoders"),
    ("clip_name3", "text_encoders"),
    ("clip_name4", "text_encoders"),
    ("style_model_name", "style_models"),
    ("gligen_name", "gligen"),
    ("hypernetwork_name", "hypernetworks"),
    ("audio_encoder_name", "audio_encoders"),
    ("text_encoder", "text_encoders"),
    ("bg_removal_name", "background_removal"),
    ("photomaker_model_name", "photomaker"),
];

/// The folder of a loader whose input has a name that says nothing, by what the loader gives.
const FOLDERS_BY_OUTPUT: [(&str, &str); 11] = [
    ("CLIP_VISION", "clip_vision"),
    ("UPSCALE_MODEL", "upscale_models"),
    ("PHOTOMAKER", "photomaker"),
    ("MODEL_PATCH", "model_patches"),
    ("LATENT_UPSCALE_MODEL", "latent_upscale_models"),
    ("CONTROL_NET", "controlnet"),
    ("INTERP_MODEL", "frame_interpolation"),
    ("OPTICAL_FLOW", "optical_flow"),
    ("MOGE_MODEL", "geometry_estimation"),
    ("DA3_MODEL", "geometry_estimation"),
    ("FACE_DETECTION_MODEL", "detection"),
];

pub(super) fn needs(graph: &Graph, info: &ObjectInfo) -> Needs {
    let mut needs = Needs::default();
    for (id, node) in &graph.nodes {
        needs.classes.insert(node.class_type.clone());
        let class = info.class(&node.class_type);
        for (input, value) in &node.inputs {
            let Input::Value(Value::String(name)) = value else { continue };
            if let Some(folder) = model_folder(class, input, name) {
                let (node, input) = (id.clone(), input.clone());
                needs.models.push(ModelRef { folder: folder.to_owned(), name: name.clone(), node, input });
            }
        }
    }
    needs
}

/// The folder of the model file that an input names: empty when only the file's ending shows that it is one, `None`
/// when it isn't.
pub(crate) fn model_folder(class: Option<&ClassInfo>, input: &str, value: &str) -> Option<&'static str> {
    if let Some(class) = class {
        let spec = class.inputs.get(input)?;
        if !matches!(spec.kind, InputKind::Combo { upload: false, .. } | InputKind::Dynamic { .. }) {
            return None;
        }
    }
    let listed = |(_, folder): &(&str, &'static str)| *folder;
    let by_output = FOLDERS_BY_OUTPUT.iter().find(|(kind, _)| class.is_some_and(|class| class.gives(kind)));
    let by_name = FOLDERS.iter().find(|(name, _)| *name == input).map(listed);
    if input == "clip_name" || by_name.is_none() {
        // `clip_name` of a CLIPVisionLoader, `model_name` of an UpscaleModelLoader.
        let is_name = input == "clip_name" || input == "name" || input.ends_with("_name");
        if let Some(folder) = by_output.filter(|_| is_name || has_model_extension(value)).map(listed) {
            return Some(folder);
        }
    }
    by_name.or_else(|| has_model_extension(value).then_some(""))
}

fn has_model_extension(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension
        .is_some_and(|extension| MODEL_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}
