//! The size of a picture: chosen where it isn't given, and told.

use serde_json::{Map, Value};
use workflow_analyzer::Analysis;

use super::draft::Draft;
use super::{ImageRequest, InputPicture, Plan, Source, choose};

/// Source images above this many pixels are scaled down before they are sampled, unless a size is asked for.
pub(super) const MAX_SOURCE_PIXELS: u64 = 2048 * 1024;
/// A side of most latents is this many pixels.
const LATENT_PIXELS: u64 = 8;

/// The workflows that run models of more than one size.
const GENERIC: [&str; 2] = ["txt2img", "txt2img_diffusion_model"];

/// What a source image is scaled to; a side that isn't given follows the image's proportions.
pub(super) type SourceSize = (Option<u32>, Option<u32>);

/// The size to sample in. From text it is a pair of parameters; from an image the image's own, scaled when it is
/// asked for or when the image is too large to be sampled.
pub(super) fn choose(
    draft: &Draft<'_>,
    request: &ImageRequest,
    model: Option<&str>,
    values: &mut Map<String, Value>,
) -> Option<SourceSize> {
    let Some(image) = image_of(&request.source) else {
        for (name, asked) in [("width", request.width), ("height", request.height)] {
            if let Some(asked) = asked {
                values.insert(name.into(), asked.into());
            }
        }
        // The other shipped workflows have the size of their family.
        if request.width.is_none()
            && request.height.is_none()
            && GENERIC.contains(&draft.workflow.name.as_str())
            && let Some(model) = model
        {
            let (width, height) = choose::default_size(model);
            values.insert("width".into(), width.into());
            values.insert("height".into(), height.into());
        }
        return None;
    };
    if let Some(size) = given(request) {
        return Some(size);
    }
    let pixels = u64::from(image.width) * u64::from(image.height);
    if pixels <= MAX_SOURCE_PIXELS {
        return None;
    }
    let scale = (MAX_SOURCE_PIXELS as f64 / pixels as f64).sqrt();
    let side = |pixels: u32| Some(((f64::from(pixels) * scale) as u32 / 8 * 8).max(8));
    Some((side(image.width), side(image.height)))
}

/// The size that the call gives.
pub(super) fn given(request: &ImageRequest) -> Option<SourceSize> {
    let side = |asked: Option<u64>| asked.and_then(|side| u32::try_from(side).ok());
    let is_given = request.width.is_some() || request.height.is_some();
    is_given.then(|| (side(request.width), side(request.height)))
}

fn image_of(source: &Source) -> Option<&InputPicture> {
    match source {
        Source::Text => None,
        Source::Image { image, .. } | Source::Inpaint { image, .. } => Some(image),
    }
}

/// A picture that is edited gets a size near its own, which ComfyUI chooses; the strength is the workflow's.
pub(super) fn tell_edited(plan: &mut Plan) {
    for name in ["denoise", "width", "height"] {
        plan.parameters.shift_remove(name);
    }
}

/// Tells the size of a picture that starts from an image, and its strength, by the names of the call's arguments.
pub(super) fn tell(plan: &mut Plan, source: &Source, scaled: Option<SourceSize>) {
    let denoise = plan.parameters.shift_remove("denoise");
    let Some(image) = image_of(source) else { return };
    if let Some(denoise) = denoise {
        plan.parameters.insert("strength".into(), denoise);
    }
    let (width, height) = scaled_size(image, scaled.unwrap_or_default());
    if (width, height) != (u64::from(image.width), u64::from(image.height)) {
        plan.warnings.push(format!(
            "the source image was scaled from {}x{} to {width}x{height}",
            image.width, image.height
        ));
    }
    plan.parameters.insert("width".into(), width.into());
    plan.parameters.insert("height".into(), height.into());
    plan.warnings.extend(rounding(width, height, LATENT_PIXELS));
}

/// As ComfyUI's ImageScale computes it.
fn scaled_size(image: &InputPicture, (width, height): SourceSize) -> (u64, u64) {
    let own = (f64::from(image.width), f64::from(image.height));
    let follow = |given: u32, own: f64, other: f64| (other * f64::from(given) / own).round().max(1.0) as u64;
    match (width, height) {
        (None, None) => (image.width.into(), image.height.into()),
        (Some(width), None) => (width.into(), follow(width, own.0, own.1)),
        (None, Some(height)) => (follow(height, own.1, own.0), height.into()),
        (Some(width), Some(height)) => (width.into(), height.into()),
    }
}

/// Says what becomes of a size of a latent that isn't whole.
pub(super) fn tell_rounding(draft: &mut Draft<'_>, analysis: &Analysis) {
    let side = |name: &str| {
        let parameter = analysis.parameter(name)?;
        // A scheduler may be told the size too.
        let latent = parameter.bindings.iter().find_map(|at| {
            let class = &draft.graph.nodes.get(&at.node)?.class_type;
            draft.info.class(class).filter(|known| known.gives("LATENT")).map(|_| class)
        })?;
        Some((parameter.value.as_ref()?.as_u64()?, pixels(latent)))
    };
    let (width, height) = (side("width"), side("height"));
    let warning = width.zip(height).and_then(|((width, cell), (height, _))| rounding(width, height, cell));
    draft.warnings.extend(warning);
}

/// How many pixels a side of a latent is.
fn pixels(class: &str) -> u64 {
    if ["EmptyFlux2LatentImage", "Wan22ImageToVideoLatent"].contains(&class) { 16 } else { LATENT_PIXELS }
}

fn rounding(width: u64, height: u64, cell: u64) -> Option<String> {
    let round = |side: u64| side / cell * cell;
    let rounded = (round(width), round(height));
    (rounded != (width, height)).then(|| {
        format!(
            "ComfyUI rounds the size to multiples of {cell}: {width}x{height} becomes {}x{}",
            rounded.0, rounded.1
        )
    })
}
