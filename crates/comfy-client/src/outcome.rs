//! How a run ended, read from ComfyUI's history.

use std::fmt;

use serde_json::{Map, Value};
use workflow_analyzer::NodeId;

use crate::{FileRef, HistoryEntry};

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunOutcome {
    /// It ran to the end. Nodes that only send over the websocket leave no outputs.
    Succeeded {
        /// Files in ComfyUI's folders, in the order of its history.
        outputs: Vec<OutputFile>,
        /// Texts that nodes showed.
        texts: Vec<OutputText>,
    },
    /// A node failed.
    Failed {
        /// Which and why.
        error: NodeError,
    },
    /// It was interrupted or taken out of the queue on request.
    Interrupted,
    /// It will not be known how it ended.
    Lost(LostReason),
}

impl RunOutcome {
    /// Whether to run the same again makes sense without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Failed { error } => error.is_out_of_memory(),
            Self::Lost(reason) => *reason != LostReason::Removed,
            Self::Succeeded { .. } | Self::Interrupted => false,
        }
    }
}

/// Why a run is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// ComfyUI answers and doesn't know the prompt: it was restarted.
    Forgotten,
    /// ComfyUI kept running and doesn't know the prompt: somebody else took it out of the queue.
    Removed,
    /// ComfyUI didn't answer for longer than the grace.
    Unreachable,
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forgotten => "comfyui was restarted and has forgotten the prompt",
            Self::Removed => "the prompt was removed from comfyui's queue by someone else",
            Self::Unreachable => "comfyui is unreachable",
        })
    }
}

/// What a failing node said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeError {
    /// The node, if ComfyUI named one.
    pub node: Option<NodeId>,
    /// Its class.
    pub class_type: Option<String>,
    /// The Python class, such as `torch.OutOfMemoryError`; may be empty.
    pub exception_type: String,
    /// At most 4 KiB.
    pub message: String,
}

impl NodeError {
    /// Whether memory ran out: the same graph can succeed when less else is loaded.
    pub fn is_out_of_memory(&self) -> bool {
        self.exception_type.ends_with("OutOfMemoryError") || self.message.contains("out of memory")
    }

    pub(crate) fn from_event(data: &Value) -> Self {
        let text = |key| data.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let message = text("exception_message").unwrap_or("comfyui gave no reason").trim();
        Self {
            node: text("node_id").map(str::to_owned),
            class_type: text("node_type").map(str::to_owned),
            exception_type: text("exception_type").unwrap_or_default().to_owned(),
            message: message[..message.floor_char_boundary(4096)].to_owned(),
        }
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.node, &self.class_type) {
            (Some(node), Some(class)) => write!(f, "node {node} ({class}) failed: {}", self.message),
            (Some(node), None) => write!(f, "node {node} failed: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

/// A file that the run made (or, for a cached node, had made before).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// The output node.
    pub node: NodeId,
    /// What it is, by its name's extension, else by ComfyUI's list.
    pub kind: OutputKind,
    /// Where to fetch it.
    pub file: FileRef,
    /// ComfyUI's mark on videos and animated images.
    pub animated: bool,
}

/// What an output file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// Also an animated one.
    Image,
    /// ComfyUI lists videos under `images`.
    Video,
    /// Sound.
    Audio,
    /// The name of the list that ComfyUI has it in, such as `3d`.
    Other(String),
}

/// A text that an output node showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputText {
    /// The output node.
    pub node: NodeId,
    /// The text as it is.
    pub text: String,
}

impl HistoryEntry {
    /// How the prompt ended.
    pub fn outcome(&self) -> RunOutcome {
        let Some(status) = self.status.as_ref().filter(|status| status.status_str == "error") else {
            return RunOutcome::Succeeded { outputs: self.files(), texts: self.texts() };
        };
        if status.message("execution_interrupted").is_some() {
            return RunOutcome::Interrupted;
        }
        let none = Value::Null;
        let error = NodeError::from_event(status.message("execution_error").unwrap_or(&none));
        RunOutcome::Failed { error }
    }

    /// Every file of every output node.
    pub fn files(&self) -> Vec<OutputFile> {
        self.outputs.iter().flat_map(|(node, lists)| files_of(node, lists)).collect()
    }

    /// Every text of every output node.
    pub fn texts(&self) -> Vec<OutputText> {
        let strings = |value: &Value| match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        };
        let texts = |(node, lists): (&NodeId, &Map<String, Value>)| {
            let texts = lists.get("text").map(strings).unwrap_or_default();
            let node = node.clone();
            texts.into_iter().map(move |text| OutputText { node: node.clone(), text })
        };
        self.outputs.iter().flat_map(texts).collect()
    }
}

fn files_of(node: &NodeId, lists: &Map<String, Value>) -> Vec<OutputFile> {
    let animated = lists.get("animated").and_then(Value::as_array);
    let is_animated = |at: usize| {
        animated
            .and_then(|marks| marks.get(at).or(marks.first()))
            .and_then(Value::as_bool)
            .unwrap_or_default()
    };
    let mut files = Vec::new();
    for (list, items) in lists {
        let Some(items) = items.as_array() else { continue };
        for (at, item) in items.iter().enumerate() {
            let Some(file) = FileRef::from_output(item) else { continue };
            let kind = kind_of(list, &file.filename);
            files.push(OutputFile { node: node.clone(), kind, file, animated: is_animated(at) });
        }
    }
    files
}

fn kind_of(list: &str, filename: &str) -> OutputKind {
    let extension = filename.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("png" | "jpg" | "jpeg" | "webp" | "gif" | "bmp" | "tif" | "tiff" | "avif" | "exr") => {
            OutputKind::Image
        }
        Some("mp4" | "webm" | "mkv" | "mov" | "avi" | "m4v") => OutputKind::Video,
        Some("flac" | "mp3" | "wav" | "ogg" | "opus" | "m4a" | "aac") => OutputKind::Audio,
        _ => match list {
            "images" => OutputKind::Image,
            "audio" => OutputKind::Audio,
            "video" | "videos" => OutputKind::Video,
            other => OutputKind::Other(other.to_owned()),
        },
    }
}
