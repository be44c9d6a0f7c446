//! The names most like a given one, for errors that say what was perhaps meant.

#[cfg(test)]
mod tests;

/// Names are compared up to this many characters, so that a hostile one costs no more than an honest one.
const MAX_COMPARED: usize = 128;

/// Below this the two names have nothing to do with each other.
const LEAST_SIMILARITY: f64 = 0.6;

/// At most `n` of `candidates` that look like `name`, most alike first, ties in the order given.
///
/// Case, punctuation, folders and file extensions matter little: `sdxl base` finds `SDXL/sd_xl_base_1.0.safetensors`.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>, n: usize) -> Vec<&'a str> {
    let wanted = normalise(name);
    let mut scored: Vec<(f64, &str)> = candidates
        .map(|candidate| (similarity(&wanted, &normalise(candidate)), candidate))
        .filter(|(score, _)| *score >= LEAST_SIMILARITY)
        .collect();
    scored.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    scored.into_iter().map(|(_, candidate)| candidate).take(n).collect()
}

fn normalise(name: &str) -> String {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let stem = match file.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && MODEL_EXTENSIONS.contains(&extension) => stem,
        _ => file,
    };
    stem.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(MAX_COMPARED).collect()
}

/// The endings of model files that ComfyUI and well-known custom nodes load.
pub(crate) const MODEL_EXTENSIONS: [&str; 9] =
    ["safetensors", "ckpt", "pt", "pt2", "pth", "bin", "sft", "gguf", "onnx"];

fn similarity(wanted: &str, candidate: &str) -> f64 {
    let alike = strsim::jaro_winkler(wanted, candidate)
        .max(strsim::normalized_damerau_levenshtein(wanted, candidate));
    let (short, long) =
        if wanted.len() < candidate.len() { (wanted, candidate) } else { (candidate, wanted) };
    if short.len() >= 3 && long.contains(short) {
        // A part of a name beats letters in common, and more of the name beats less.
        let share = short.len() as f64 / long.len() as f64;
        return alike.max(0.8 + 0.2 * share);
    }
    alike
}
