//! The URIs of resources.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::models::Kind;

const SCHEME: &str = "comfy://";

/// What a value of a template is written with (RFC 6570, simple expansion).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The templates, each with the variable that it has.
pub(crate) const JOB: (&str, &str) = ("comfy://jobs/{id}", "id");
pub(crate) const ARTIFACT: (&str, &str) = ("comfy://artifacts/{id}", "id");
pub(crate) const PREVIEW: (&str, &str) = ("comfy://artifacts/{id}/preview", "id");
pub(crate) const WORKFLOW: (&str, &str) = ("comfy://workflows/{name}", "name");
pub(crate) const MODELS: (&str, &str) = ("comfy://models/{kind}", "kind");

/// Which resource a URI names. That it is there is not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// By its id.
    Job(String),
    /// By its id.
    Artifact(String),
    /// By the artifact's id.
    Preview(String),
    /// By its name.
    Workflow(String),
    /// By its kind.
    Models(String),
    /// The session of the request.
    Session,
}

impl Address {
    /// What the URI names; `None` if nothing is ever there.
    pub(crate) fn parse(uri: &str) -> Option<Address> {
        let rest = uri.strip_prefix(SCHEME)?;
        if rest == "session" {
            return Some(Address::Session);
        }
        let (folder, value) = rest.split_once('/')?;
        if folder == "artifacts"
            && let Some(id) = value.strip_suffix("/preview")
        {
            return Some(Address::Preview(decoded(id)?));
        }
        let value = decoded(value)?;
        match folder {
            "jobs" => Some(Address::Job(value)),
            "artifacts" => Some(Address::Artifact(value)),
            "workflows" => Some(Address::Workflow(value)),
            "models" => Some(Address::Models(value)),
            _ => None,
        }
    }

    /// All installed models of a kind.
    pub(crate) fn of_kind(kind: &Kind) -> Address {
        Address::Models(kind.name.to_owned())
    }

    /// The tool that gives the same, whose permission it takes to read it; the session's record is free.
    pub(crate) fn permission(&self) -> Option<&'static str> {
        match self {
            Address::Job(_) => Some("get_job_status"),
            Address::Artifact(_) | Address::Preview(_) => Some("get_image"),
            Address::Workflow(_) => Some("list_workflows"),
            Address::Models(_) => Some("list_models"),
            Address::Session => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |value| utf8_percent_encode(value, RESERVED);
        match self {
            Address::Job(id) => write!(f, "{SCHEME}jobs/{}", encoded(id)),
            Address::Artifact(id) => write!(f, "{SCHEME}artifacts/{}", encoded(id)),
            Address::Preview(id) => write!(f, "{SCHEME}artifacts/{}/preview", encoded(id)),
            Address::Workflow(name) => write!(f, "{SCHEME}workflows/{}", encoded(name)),
            Address::Models(kind) => write!(f, "{SCHEME}models/{}", encoded(kind)),
            Address::Session => write!(f, "{SCHEME}session"),
        }
    }
}

/// One value of a template; a slash in it is written `%2F`.
fn decoded(value: &str) -> Option<String> {
    if value.is_empty() || value.contains(['/', '?', '#']) {
        return None;
    }
    percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let addresses = [
            (Address::Job("1-2".into()), "comfy://jobs/1-2"),
            (Address::Artifact("1-2".into()), "comfy://artifacts/1-2"),
            (Address::Preview("1-2".into()), "comfy://artifacts/1-2/preview"),
            (Address::Workflow("a b/c%é".into()), "comfy://workflows/a%20b%2Fc%25%C3%A9"),
            (Address::Models("vae".into()), "comfy://models/vae"),
            (Address::Session, "comfy://session"),
        ];
        for (address, uri) in addresses {
            assert_eq!(address.to_string(), uri);
            assert_eq!(Address::parse(uri), Some(address));
        }
        assert_eq!(Address::parse("comfy://workflows/a b"), Some(Address::Workflow("a b".into())));
    }

    #[test]
    fn what_names_nothing_is_no_address() {
        for uri in [
            "",
            "comfy://",
            "comfy://jobs",
            "comfy://jobs/",
            "comfy://jobs/1/2",
            "comfy://jobs/1?x",
            "comfy://jobs/1/preview",
            "comfy://artifacts//preview",
            "comfy://workflows/%FF",
            "comfy://session/1",
            "comfy://keys/1",
            "file:///etc/passwd",
            "https://example.com/jobs/1",
        ] {
            assert_eq!(Address::parse(uri), None, "{uri}");
        }
    }
}
