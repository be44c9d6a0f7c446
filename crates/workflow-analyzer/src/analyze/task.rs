//! What a graph makes of what.

use super::sampling::Walk;
use crate::trace::Trace;

/// What a graph makes of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Task {
    /// A picture of a text.
    TextToImage,
    /// A picture of a picture, from which the sampling starts.
    ImageToImage,
    /// A picture of one or more pictures that are shown to the model beside the text.
    ImageEdit,
    /// A picture of a picture, anew where a mask is.
    Inpaint,
    /// A larger picture, without sampling.
    Upscale,
    /// A video of a text.
    TextToVideo,
    /// A video of one or more pictures.
    ImageToVideo,
    /// A video of a video.
    VideoToVideo,
    /// Sound of a text or of sound.
    TextToAudio,
    /// Anything else: text, models in space, filters.
    #[default]
    Other,
}

impl Task {
    /// All of them.
    pub const ALL: [Task; 10] = [
        Task::TextToImage,
        Task::ImageToImage,
        Task::ImageEdit,
        Task::Inpaint,
        Task::Upscale,
        Task::TextToVideo,
        Task::ImageToVideo,
        Task::VideoToVideo,
        Task::TextToAudio,
        Task::Other,
    ];

    /// The name as it is told to clients, such as `text_to_image`.
    pub fn as_str(self) -> &'static str {
        match self {
            Task::TextToImage => "text_to_image",
            Task::ImageToImage => "image_to_image",
            Task::ImageEdit => "image_edit",
            Task::Inpaint => "inpaint",
            Task::Upscale => "upscale",
            Task::TextToVideo => "text_to_video",
            Task::ImageToVideo => "image_to_video",
            Task::VideoToVideo => "video_to_video",
            Task::TextToAudio => "text_to_audio",
            Task::Other => "other",
        }
    }
}

/// What comes out.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    Picture,
    Video,
    Sound,
    Other,
}

pub(super) fn task(walk: &Walk<'_, '_>) -> Task {
    let (trace, collector) = (walk.trace, &*walk.collector);
    if walk.samplers.is_empty() && !walk.generates {
        let scales =
            |id: &str| trace.takes(id, "UPSCALE_MODEL") || trace.spec(id, "upscale_method").is_some();
        let upscales = collector.has("image") && trace.live.iter().any(|id| scales(id));
        return if upscales { Task::Upscale } else { Task::Other };
    }
    match made(walk) {
        Made::Other => Task::Other,
        Made::Sound => Task::TextToAudio,
        Made::Video if collector.has("video") => Task::VideoToVideo,
        Made::Video if collector.has("image") => Task::ImageToVideo,
        Made::Video => Task::TextToVideo,
        Made::Picture if walk.masked => Task::Inpaint,
        Made::Picture if !collector.has("image") => Task::TextToImage,
        Made::Picture if walk.shown || walk.samplers.is_empty() => Task::ImageEdit,
        Made::Picture => Task::ImageToImage,
    }
}

/// By what goes into the output nodes, or else by what the nodes give that an output might need.
fn made(walk: &Walk<'_, '_>) -> Made {
    let trace = walk.trace;
    let put_out = |kind: &str| {
        trace.outputs.iter().any(|id| trace.edges(id).iter().any(|edge| edge.kind == kind))
            || (trace.outputs.is_empty() && trace.live.iter().any(|id| trace.gives(id, kind)))
    };
    let several_frames = walk.collector.first("frames").is_some_and(|frames| {
        frames.value.as_ref().and_then(serde_json::Value::as_f64).is_some_and(|count| count > 1.0)
    });
    match () {
        () if put_out("VIDEO") => Made::Video,
        () if put_out("IMAGE") && (several_frames || plays(trace)) => Made::Video,
        () if put_out("IMAGE") => Made::Picture,
        () if put_out("AUDIO") => Made::Sound,
        () => Made::Other,
    }
}

/// Whether an output node takes pictures to be played one after the other.
fn plays(trace: &Trace<'_>) -> bool {
    let rates = ["fps", "frame_rate"];
    trace.outputs.iter().any(|id| rates.iter().any(|rate| trace.graph.input(id, rate).is_some()))
}
