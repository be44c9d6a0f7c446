//! What the name of a model file tells: words in it, whatever stands between them.

/// A file's name, with its folder and without its ending, in the two forms in which words are looked for.
pub(super) struct Name {
    /// Lower case, `_` for all that is no letter or digit, and at both ends.
    words: String,
    /// Letters and digits alone, so that `sd3.5`, `SD3_5` and `sd35` are the same.
    squeezed: String,
}

/// What model files end in. Other points are part of the name: `wan2.2_t2v`.
const ENDINGS: [&str; 8] = ["safetensors", "sft", "gguf", "ckpt", "pt", "pt2", "pth", "bin"];

/// A path without the ending of a model file.
pub(super) fn stem(path: &str) -> &str {
    let is_ending = |ending: &str| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
    path.rsplit_once('.').filter(|(_, ending)| is_ending(ending)).map_or(path, |(stem, _)| stem)
}

impl Name {
    pub(super) fn of(path: &str) -> Name {
        let stem = stem(path);
        let lower = stem.to_lowercase();
        let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
        let words = format!("_{}_", lower.chars().map(plain).collect::<String>());
        let squeezed = lower.chars().filter(|c| c.is_alphanumeric()).collect();
        Name { words, squeezed }
    }

    /// Whether a word is in it. One with a `_` stands at the edge of a word there (`_ae_`), any other anywhere.
    pub(super) fn has(&self, word: &str) -> bool {
        if word.contains('_') { self.words.contains(word) } else { self.squeezed.contains(word) }
    }

    /// Whether all words of any of the groups are in it.
    pub(super) fn has_any(&self, groups: &[&[&str]]) -> bool {
        groups.iter().any(|group| group.iter().all(|word| self.has(word)))
    }
}
