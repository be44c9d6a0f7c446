//! The spelling of earlier versions, `--action NAME --option ...`, put into today's words.
//!
//! It is done on the words before they are parsed, so that both spellings end in the same code with the same
//! checks and messages.

use std::ffi::OsString;

/// Options that may stand before the command, and that take a value.
const GLOBAL_WITH_VALUE: [&str; 3] = ["--server", "--stdio", "--api-key"];
/// Options that may stand before the command, and that take none.
const GLOBAL_FLAGS: [&str; 7] = ["--json", "--quiet", "-q", "--help", "-h", "--version", "-V"];

/// Turns `--action NAME` (or no command at all, with `--prompt` or `--workflow`) into a command; leaves
/// everything else alone. The first word is the program's name.
pub(super) fn translate(mut words: Vec<OsString>) -> Vec<OsString> {
    if let Some(action) = take_action(&mut words) {
        words.insert(1, action.to_lowercase().replace('_', "-").into());
    } else if let Some(command) = implied_command(&words) {
        words.insert(1, command.into());
    }
    words
}

fn take_action(words: &mut Vec<OsString>) -> Option<String> {
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for at in 1..end {
        let Some(word) = words[at].to_str() else { continue };
        if let Some(action) = word.strip_prefix("--action=") {
            let action = action.to_owned();
            words.remove(at);
            return Some(action);
        }
        if word == "--action" && at + 1 < end {
            let action = words[at + 1].to_str()?.to_owned();
            words.drain(at..=at + 1);
            return Some(action);
        }
    }
    None
}

/// What is meant when a command's options come without a command.
fn implied_command(words: &[OsString]) -> Option<&'static str> {
    let mut rest = words.iter().skip(1);
    let first = loop {
        let word = rest.next()?.to_str()?;
        let name = word.split_once('=').map_or(word, |(name, _)| name);
        if GLOBAL_WITH_VALUE.contains(&word) {
            rest.next();
        } else if !GLOBAL_WITH_VALUE.contains(&name) && !GLOBAL_FLAGS.contains(&word) {
            break word;
        }
    };
    if !first.starts_with('-') || first == "--" {
        return None;
    }
    let has = |name: &str| {
        words.iter().filter_map(|word| word.to_str()).any(|word| {
            word == name
                || word.strip_prefix(name).is_some_and(|rest| name.starts_with("--") && rest.starts_with('='))
        })
    };
    if has("--mask") {
        Some("inpaint")
    } else if has("--image") || has("-i") {
        Some("img2img")
    } else if has("--prompt") || has("-p") {
        Some("generate")
    } else if has("--workflow") || has("-w") || has("--graph") {
        Some("run")
    } else {
        None
    }
}
