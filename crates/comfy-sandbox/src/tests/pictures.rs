//! Pictures at the end of whole graphs: what a client's parameters do to them.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, sample_png, txt2img};

/// The graph with one input changed.
fn with(node: &str, input: &str, value: Value) -> Value {
    let mut graph = txt2img();
    graph[node]["inputs"][input] = value;
    graph
}

fn with_lora(strength: f64) -> Value {
    let mut graph = txt2img();
    graph["10"] = json!({"class_type": "LoraLoader", "inputs": {
        "model": ["4", 0], "clip": ["4", 1], "lora_name": "sandbox-style.safetensors",
        "strength_model": strength, "strength_clip": strength}});
    graph["3"]["inputs"]["model"] = json!(["10", 0]);
    graph["6"]["inputs"]["clip"] = json!(["10", 1]);
    graph["7"]["inputs"]["clip"] = json!(["10", 1]);
    graph
}

fn with_control(strength: f64) -> Value {
    let mut graph = txt2img();
    graph["10"] = json!({"class_type": "ControlNetLoader", "inputs": {"control_net_name": "sandbox-canny.safetensors"}});
    graph["11"] = json!({"class_type": "LoadImage", "inputs": {"image": "in.png"}});
    graph["12"] = json!({"class_type": "ControlNetApplyAdvanced", "inputs": {
        "positive": ["6", 0], "negative": ["7", 0], "control_net": ["10", 0], "image": ["11", 0],
        "strength": strength, "start_percent": 0.0, "end_percent": 1.0}});
    graph["3"]["inputs"]["positive"] = json!(["12", 0]);
    graph["3"]["inputs"]["negative"] = json!(["12", 1]);
    graph
}

#[tokio::test]
async fn every_parameter_of_a_graph_changes_the_picture() {
    let client = Client::start(Duration::ZERO).await;
    client.upload("in.png", sample_png()).await;
    let mut other_vae = with("8", "vae", json!(["20", 0]));
    other_vae["20"] = json!({"class_type": "VAELoader", "inputs": {"vae_name": "sandbox-vae.safetensors"}});
    let graphs = [
        txt2img(),
        with("4", "ckpt_name", json!("sandbox-sketch.safetensors")),
        with("5", "width", json!(104)),
        with("6", "text", json!("a windmill")),
        with("7", "text", json!("ugly")),
        with("3", "seed", json!(u64::MAX)),
        with("3", "steps", json!(5)),
        with("3", "cfg", json!(7.5)),
        with("3", "sampler_name", json!("ddim")),
        with("3", "scheduler", json!("karras")),
        with_lora(1.0),
        with_lora(0.5),
        with_control(1.0),
        with_control(0.5),
        other_vae,
    ];
    let mut pictures = Vec::new();
    for graph in &graphs {
        let picture = client.picture(graph).await;
        assert!(!pictures.contains(&picture), "nothing changed with {graph}");
        pictures.push(picture);
    }
    // On another sandbox the same graph gives the same picture.
    let other = Client::start(Duration::ZERO).await;
    assert_eq!(other.picture(&txt2img()).await, pictures[0]);
}

#[tokio::test]
async fn only_the_masked_half_of_a_picture_is_painted() {
    let client = Client::start(Duration::ZERO).await;
    client.upload("in.png", sample_png()).await;
    let mut graph = txt2img();
    graph["10"] = json!({"class_type": "LoadImage", "inputs": {"image": "in.png"}});
    graph["11"] = json!({"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}});
    graph["12"] =
        json!({"class_type": "SetLatentNoiseMask", "inputs": {"samples": ["11", 0], "mask": ["10", 1]}});
    graph["3"]["inputs"]["latent_image"] = json!(["12", 0]);
    let source = image::load_from_memory(&sample_png()).unwrap().into_rgb8();
    let painted = client.picture(&graph).await;
    let changed = |from: u32, to: u32| {
        (from..to)
            .flat_map(|x| (0..64).map(move |y| (x, y)))
            .filter(|&(x, y)| painted.get_pixel(x, y) != source.get_pixel(x, y))
            .count()
    };
    // The right half is transparent, which is what a mask is made of.
    assert_eq!(changed(0, 32), 0);
    assert!(changed(32, 64) > 1900, "{}", changed(32, 64));
}

#[tokio::test]
async fn a_diffusion_model_with_its_own_guider_paints_too() {
    let client = Client::start(Duration::ZERO).await;
    let graph = json!({
        "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "sandbox-unet.safetensors", "weight_dtype": "default"}},
        "2": {"class_type": "DualCLIPLoader", "inputs": {
            "clip_name1": "sandbox-clip-l.safetensors", "clip_name2": "sandbox-t5xxl.safetensors", "type": "flux"}},
        "3": {"class_type": "VAELoader", "inputs": {"vae_name": "sandbox-vae.safetensors"}},
        "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a green hill", "clip": ["2", 0]}},
        "5": {"class_type": "FluxGuidance", "inputs": {"conditioning": ["4", 0], "guidance": 3.5}},
        "6": {"class_type": "BasicGuider", "inputs": {"model": ["1", 0], "conditioning": ["5", 0]}},
        "7": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
        "8": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
        "9": {"class_type": "BasicScheduler", "inputs": {"model": ["1", 0], "scheduler": "simple", "steps": 3, "denoise": 1.0}},
        "10": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "11": {"class_type": "SamplerCustomAdvanced", "inputs": {
            "noise": ["7", 0], "guider": ["6", 0], "sampler": ["8", 0], "sigmas": ["9", 0], "latent_image": ["10", 0]}},
        "12": {"class_type": "VAEDecode", "inputs": {"samples": ["11", 0], "vae": ["3", 0]}},
        "13": {"class_type": "SaveImage", "inputs": {"filename_prefix": "f", "images": ["12", 0]}},
    });
    let one = client.picture(&graph).await;
    let mut other = graph.clone();
    other["5"]["inputs"]["guidance"] = json!(4.0);
    assert_ne!(client.picture(&other).await, one);
}
