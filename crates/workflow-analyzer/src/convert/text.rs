//! Texts that the editor changes before it sends them: choices in prompts, and tokens in file names.

use serde_json::Value;

/// A text that is longer is no name of a file, and in one that has grown to it no more tokens are replaced, in bytes.
const MAX_NAME: usize = 4 << 10;

/// A value that is longer stays out of names of files, in bytes.
pub(super) const MAX_IN_NAME: usize = 1 << 10;

/// More tokens than this are not replaced in one text.
const MAX_TOKENS: usize = 64;

/// A value as JavaScript writes it in a text: `8.0` is `8`, a list has its values between commas.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float.abs() >= 1e21 => format!("{float:e}").replace('e', "e+"),
            Some(float) if float != 0.0 && float.abs() < 1e-6 => format!("{float:e}"),
            // There is no negative zero in a text.
            Some(float) => (float + 0.0).to_string(),
            None => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items = items.iter().map(|item| if item.is_null() { String::new() } else { written(item) });
            items.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// A prompt without comments, with the first choice of each `{a|b}`, and `\{` as `{`.
///
/// The editor draws a choice by chance; a conversion gives the same result each time.
pub(super) fn dynamic_prompt(text: &str) -> String {
    if !text.contains(['{', '\\', '/']) {
        return text.to_owned();
    }
    let text = without_comments(text);
    let mut out = String::with_capacity(text.len());
    // For each open brace: whether its first choice is over, so that what follows is left out.
    let mut open: Vec<bool> = Vec::new();
    let mut left_out = 0_usize;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next();
                if left_out == 0 {
                    if !matches!(escaped, Some('{' | '}' | '|')) {
                        out.push('\\');
                    }
                    out.extend(escaped);
                }
            }
            '{' => open.push(false),
            '|' if !open.is_empty() => {
                if let Some(over) = open.last_mut()
                    && !*over
                {
                    *over = true;
                    left_out += 1;
                }
            }
            '}' if !open.is_empty() => left_out -= usize::from(open.pop() == Some(true)),
            other if left_out == 0 => out.push(other),
            _ => {}
        }
    }
    out
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // Where no comment ends any more, none is looked for again.
    let mut ends = true;
    while let Some(at) = rest.find('/') {
        let (before, comment) = rest.split_at(at);
        out.push_str(before);
        if comment.starts_with("//") {
            rest = comment.find(['\n', '\r', '\u{2028}', '\u{2029}']).map_or("", |end| &comment[end..]);
            continue;
        }
        let inside = comment.strip_prefix("/*").filter(|_| ends);
        if let Some(end) = inside.and_then(|inside| inside.find("*/")) {
            rest = &comment[end + 4..];
        } else {
            ends &= inside.is_none();
            out.push('/');
            rest = &comment[1..];
        }
    }
    out.push_str(rest);
    out
}

/// A text in which each `%Node.widget%` is replaced by what `value` gives for it; what it doesn't know stays.
///
/// Names of files are short: values that are longer than those can be stay out of them, and so does what follows once
/// the text is long.
///
/// `%date:…%` becomes the tokens that ComfyUI itself fills in when it saves, so that no clock is asked here.
pub(super) fn replace_tokens(text: &str, value: impl Fn(&str, &str) -> Option<String>) -> String {
    if text.len() > MAX_NAME {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut tokens = 0;
    while let Some(start) = rest.find('%').filter(|_| out.len() < MAX_NAME && tokens < MAX_TOKENS) {
        tokens += 1;
        out.push_str(&rest[..start]);
        let inside = &rest[start + 1..];
        let Some(end) = inside.find('%').filter(|end| *end > 0) else {
            out.push('%');
            rest = inside;
            continue;
        };
        let token = &inside[..end];
        let replaced = match token.split_once('.') {
            Some((node, widget)) if !widget.contains('.') => {
                value(node, widget).filter(|value| value.len() < MAX_IN_NAME).map(|value| file_name(&value))
            }
            None => token.strip_prefix("date:").map(date),
            Some(_) => None,
        };
        match replaced {
            Some(replaced) => out.push_str(&replaced),
            None => out.extend(["%", token, "%"]),
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    out
}

/// What a file name can't have is replaced.
fn file_name(value: &str) -> String {
    let bad =
        |c: char| matches!(c, '/' | '?' | '<' | '>' | '\\' | ':' | '*' | '|' | '"') || c.is_ascii_control();
    value.chars().map(|c| if bad(c) { '_' } else { c }).collect()
}

/// A date format of the editor (`yyyy-MM-dd`) in ComfyUI's own tokens (`%year%-%month%-%day%`).
fn date(format: &str) -> String {
    const TOKENS: [(&str, &str); 13] = [
        ("yyyy", "%year%"),
        ("yyy", "%year%"),
        ("yy", "%year%"),
        ("MM", "%month%"),
        ("M", "%month%"),
        ("dd", "%day%"),
        ("d", "%day%"),
        ("hh", "%hour%"),
        ("h", "%hour%"),
        ("mm", "%minute%"),
        ("m", "%minute%"),
        ("ss", "%second%"),
        ("s", "%second%"),
    ];
    let mut out = String::new();
    let mut rest = format;
    while let Some(character) = rest.chars().next() {
        if let Some((token, replacement)) = TOKENS.iter().find(|(token, _)| rest.starts_with(token)) {
            out.push_str(replacement);
            rest = &rest[token.len()..];
        } else {
            out.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    out
}
