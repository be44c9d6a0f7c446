//! Who is calling, and what they may do.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest pattern that is taken as a permission, in bytes.
const MAX_PERMISSION_BYTES: usize = 128;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The client that owns jobs and artifacts; several keys may belong to one.
    pub client_id: String,
    /// The key that was presented; `None` where authentication is off.
    pub key_id: Option<String>,
    /// What the key allows.
    pub permissions: Permissions,
    /// How often the client may call; `None` = as often as it likes.
    pub rate_limit: Option<RateLimit>,
}

impl Principal {
    /// The caller of a server without authentication: client `local`, everything allowed, no limit.
    pub fn local() -> Principal {
        Principal {
            client_id: "local".to_owned(),
            key_id: None,
            permissions: Permissions::all(),
            rate_limit: None,
        }
    }

    /// Whether the permission (the name of a tool, such as `generate_image`) is granted.
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.allow(permission)
    }
}

/// A set of permissions: names of tools, or prefixes that end in `*` (`list_*`, `artifacts.*`, `*` = all).
///
/// Serialised as a list of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Permissions(BTreeSet<String>);

/// A text that can't be a permission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{pattern}` is not a permission: give a tool's name, a prefix ending in `*`, or `*` for all")]
pub struct InvalidPermission {
    /// The text as given.
    pub pattern: String,
}

impl Permissions {
    /// Everything.
    pub fn all() -> Permissions {
        Permissions(BTreeSet::from(["*".to_owned()]))
    }

    /// The given names and prefixes; an empty list grants nothing. `*` may stand only at the end.
    pub fn new(
        patterns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Permissions, InvalidPermission> {
        let mut set = BTreeSet::new();
        for pattern in patterns {
            let pattern: String = pattern.into();
            if !is_pattern(&pattern) {
                return Err(InvalidPermission { pattern });
            }
            set.insert(pattern);
        }
        Ok(Permissions(set))
    }

    /// Whether the name is granted, by itself or by a prefix.
    pub fn allow(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        })
    }

    /// The patterns, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty()
        && text.len() <= MAX_PERMISSION_BYTES
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'/'))
}

impl TryFrom<Vec<String>> for Permissions {
    type Error = InvalidPermission;

    fn try_from(patterns: Vec<String>) -> Result<Permissions, InvalidPermission> {
        Permissions::new(patterns)
    }
}

impl From<Permissions> for Vec<String> {
    fn from(permissions: Permissions) -> Vec<String> {
        permissions.0.into_iter().collect()
    }
}

/// A token bucket: `burst` tokens when full, refilled with `rate` tokens in each `per`.
///
/// Serialised as `{"rate": 10, "per": 60, "burst": 20}`, with `per` in seconds (default 60); `burst` defaults
/// to `rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RateLimitFields", into = "RateLimitFields")]
pub struct RateLimit {
    /// Tokens that come back in each `per`; at least 1.
    pub rate: u32,
    /// Whole seconds, at least one.
    pub per: Duration,
    /// Size of the bucket; at least 1.
    pub burst: u32,
}

/// A rate limit that would let nothing through.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("rate_limit.{field} must be at least 1, up to {max}")]
pub struct InvalidLimit {
    /// `rate`, `per` or `burst`.
    pub field: &'static str,
    /// The largest value taken.
    pub max: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitFields {
    rate: u32,
    #[serde(default = "one_minute")]
    per: u64,
    #[serde(default)]
    burst: Option<u32>,
}

fn one_minute() -> u64 {
    60
}

impl RateLimit {
    /// Longest period, in seconds (a year): beyond it the arithmetic of the bucket could overflow.
    pub const MAX_PERIOD_SECONDS: u64 = 365 * 24 * 60 * 60;

    /// A limit with its numbers checked; `per_seconds` up to [`RateLimit::MAX_PERIOD_SECONDS`].
    pub fn new(rate: u32, per_seconds: u64, burst: u32) -> Result<RateLimit, InvalidLimit> {
        let max = u64::from(u32::MAX);
        if rate == 0 {
            return Err(InvalidLimit { field: "rate", max });
        }
        if per_seconds == 0 || per_seconds > RateLimit::MAX_PERIOD_SECONDS {
            return Err(InvalidLimit { field: "per", max: RateLimit::MAX_PERIOD_SECONDS });
        }
        if burst == 0 {
            return Err(InvalidLimit { field: "burst", max });
        }
        Ok(RateLimit { rate, per: Duration::from_secs(per_seconds), burst })
    }
}

impl TryFrom<RateLimitFields> for RateLimit {
    type Error = InvalidLimit;

    fn try_from(fields: RateLimitFields) -> Result<RateLimit, InvalidLimit> {
        RateLimit::new(fields.rate, fields.per, fields.burst.unwrap_or(fields.rate))
    }
}

impl From<RateLimit> for RateLimitFields {
    fn from(limit: RateLimit) -> RateLimitFields {
        RateLimitFields { rate: limit.rate, per: limit.per.as_secs(), burst: Some(limit.burst) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_grant_names_and_prefixes() {
        let check = |patterns: &[&str], name: &str, expect: bool| {
            let permissions = Permissions::new(patterns.iter().copied()).unwrap();
            assert_eq!(permissions.allow(name), expect, "{patterns:?} and {name}");
        };
        check(&["*"], "generate_image", true);
        check(&["generate_image"], "generate_image", true);
        check(&["generate_image"], "generate_images", false);
        check(&["generate_image"], "Generate_image", false);
        check(&["list_*"], "list_models", true);
        check(&["list_*"], "cancel_job", false);
        check(&["artifacts.*"], "artifacts.read", true);
        check(&["artifacts.*"], "artifacts", false);
        check(&[], "generate_image", false);
    }

    #[test]
    fn broken_patterns_are_named() {
        for pattern in ["", "a*b", "**", "a b", "generate_image\n", &"x".repeat(200)] {
            let error = Permissions::new([pattern]).unwrap_err();
            assert_eq!(error.pattern, pattern);
        }
    }

    #[test]
    fn limits_are_read_as_the_original_writes_them() {
        let check = |text: &str, expect: Result<(u32, u64, u32), &str>| {
            let limit: Result<RateLimit, _> = serde_json::from_str(text);
            match (limit, expect) {
                (Ok(limit), Ok((rate, per, burst))) => {
                    assert_eq!((limit.rate, limit.per.as_secs(), limit.burst), (rate, per, burst));
                    let again: RateLimit =
                        serde_json::from_str(&serde_json::to_string(&limit).unwrap()).unwrap();
                    assert_eq!(again, limit);
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (limit, _) => unreachable!("{text} gave {limit:?}"),
            }
        };
        check(r#"{"rate":10,"per":60,"burst":20}"#, Ok((10, 60, 20)));
        check(r#"{"rate":10}"#, Ok((10, 60, 10)));
        check(r#"{"rate":0,"per":60,"burst":20}"#, Err("rate_limit.rate must be at least 1"));
        check(r#"{"rate":1,"per":0,"burst":20}"#, Err("rate_limit.per"));
        check(r#"{"rate":1,"per":60,"burst":0}"#, Err("rate_limit.burst"));
        check(r#"{"rate":1,"perr":60}"#, Err("perr"));
        check(r#"{"rate":-1}"#, Err("-1"));
    }

    #[test]
    fn the_local_caller_may_do_everything() {
        let local = Principal::local();
        assert!(local.may("generate_image") && local.may("anything.else"));
        assert_eq!(local.rate_limit, None);
    }
}
