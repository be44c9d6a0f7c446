//! Nodes that make something of a text without a sampler, as those of web services do.

use super::collect::Grouping;
use super::sampling::{Walk, texts};
use crate::trace::Trace;

/// Types that say that a node is a part of the way to a sampler.
const PARTS: [&str; 6] = ["CONDITIONING", "MODEL", "CLIP", "LATENT", "GUIDER", "SIGMAS"];

/// What only such nodes are told.
const SETTINGS: [(&str, &str); 3] = [("model", "model"), ("model_name", "model"), ("duration", "seconds")];

impl<'a> Walk<'_, 'a> {
    pub(super) fn generator(&mut self, id: &'a str) {
        let trace = self.trace;
        if trace.is_sampler(id) || !may_generate(trace, id) {
            return;
        }
        let is_prompt = |name: &&str| {
            let part = name.rsplit_once('.').map_or(*name, |(_, part)| part);
            part.contains("prompt") || part == "text"
        };
        let prompts: Vec<&str> = texts(trace, id, "prompt").into_iter().filter(is_prompt).collect();
        if prompts.is_empty() {
            return;
        }
        self.generates |= !trace.gives(id, "STRING") || trace.class(id).is_some_and(|c| c.outputs.len() > 1);
        for prompt in prompts {
            self.collector.add(trace, "prompt", id, prompt, Grouping::SameValue);
        }
        for text in texts(trace, id, "negative_prompt").into_iter().filter(|name| name.contains("negative")) {
            self.collector.add(trace, "negative_prompt", id, text, Grouping::SameValue);
        }
        self.set_at(id);
        self.sizes(id);
        for (input, role) in SETTINGS {
            self.collector.add(trace, role, id, input, Grouping::SameValue);
        }
    }
}

/// Whether a node makes more than parts of something: text alone only with chance, as language models do.
fn may_generate(trace: &Trace<'_>, id: &str) -> bool {
    let Some(class) = trace.class(id) else { return false };
    let makes = class.outputs.iter().any(|output| !matches!(output.kind.as_str(), "STRING" | "*"));
    let is_part = class.outputs.iter().any(|output| PARTS.contains(&output.kind.as_str()));
    let says = class.gives("STRING") && class.inputs.contains_key("prompt");
    !is_part && (makes || says)
}
