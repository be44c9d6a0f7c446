//! Enlarges images before they are put out.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::EditError;
use super::rewire::{Output, add, check, check_places, class, set};
use crate::trace::Trace;
use crate::{Graph, Input, NodeId, ObjectInfo};

/// Enlarges every image with an upscaling model before it is put out; the factor is the model's own.
pub fn add_upscaler(graph: &mut Graph, info: &ObjectInfo, model: &str) -> Result<(), EditError> {
    let images = put_out(graph, info, "add an upscaler")?;
    let loader = class(info, "UpscaleModelLoader")?;
    let upscale = class(info, "ImageUpscaleWithModel")?;
    check(loader, "model_name", "upscale_model", &json!(model))?;
    let model = add(graph, loader, "Load upscale model", vec![("model_name", json!(model).into())]);
    insert(graph, images, |graph, image| {
        let inputs = vec![("upscale_model", Input::link(&model, 0)), ("image", image.link())];
        add(graph, upscale, "Upscale image", inputs)
    });
    Ok(())
}

/// Scales every image by a factor before it is put out, without a model.
pub fn add_image_scale(graph: &mut Graph, info: &ObjectInfo, factor: f64) -> Result<(), EditError> {
    let images = put_out(graph, info, "scale the image")?;
    let scale = class(info, "ImageScaleBy")?;
    check(scale, "scale_by", "upscale_factor", &json!(factor))?;
    let method = super::source::scale_method(scale);
    insert(graph, images, |graph, image| {
        let mut inputs = vec![("image", image.link()), ("scale_by", json!(factor).into())];
        inputs.extend(method.clone().map(|method| ("upscale_method", method)));
        add(graph, scale, "Scale image", inputs)
    });
    Ok(())
}

/// The inputs that take an image to be put out, alone or in a video, each with what they are linked to.
fn put_out(
    graph: &Graph,
    info: &ObjectInfo,
    edit: &'static str,
) -> Result<Vec<(NodeId, String, Output)>, EditError> {
    let trace = Trace::new(graph, info);
    let mut seen = HashSet::new();
    let mut images = Vec::new();
    for &id in &trace.outputs {
        images.extend(images_into(&trace, id));
        for edge in trace.edges_of(id, "VIDEO") {
            for port in trace.upstream(edge.from, "VIDEO", &mut seen) {
                images.extend(images_into(&trace, port.node));
            }
        }
    }
    if images.is_empty() {
        return Err(EditError::NotPossible {
            edit,
            reason: "no output node of this workflow takes an image",
        });
    }
    check_places(images.len(), edit)?;
    Ok(images)
}

fn images_into(trace: &Trace<'_>, id: &str) -> Vec<(NodeId, String, Output)> {
    let edges = trace.edges_of(id, "IMAGE").into_iter();
    edges.map(|edge| (id.to_owned(), edge.input.to_owned(), Output::from(edge.from))).collect()
}

/// Puts one new node behind each image, however many outputs take it.
fn insert(
    graph: &mut Graph,
    images: Vec<(NodeId, String, Output)>,
    mut new_node: impl FnMut(&mut Graph, &Output) -> NodeId,
) {
    let mut made: HashMap<Output, NodeId> = HashMap::new();
    for (id, input, image) in images {
        let new = made.entry(image.clone()).or_insert_with(|| new_node(graph, &image)).clone();
        set(graph, &id, &input, Input::link(&new, 0));
    }
}
