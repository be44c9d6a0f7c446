//! Protocol revisions and the two eras they fall into (2026-07-28, basic/versioning).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a revision carries version, identity and capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// An `initialize` handshake opens a session (2025-11-25 and earlier).
    Legacy,
    /// Every request carries them in `_meta` (2026-07-28 and later).
    Modern,
}

/// A revision that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ProtocolVersion {
    /// Legacy. Not served: a client takes it from an old server, without the batches that it has.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// Legacy; structured content, no batches.
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// Legacy, the last revision with a handshake.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    /// Modern: stateless.
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

/// A revision that isn't served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protocol version {0:?} is not supported")]
pub struct UnknownVersion(pub String);

impl ProtocolVersion {
    /// All that are served, newest first.
    pub const SUPPORTED: [ProtocolVersion; 3] = [Self::V2026_07_28, Self::V2025_11_25, Self::V2025_06_18];
    /// What a modern request is opened with.
    pub const LATEST: ProtocolVersion = Self::V2026_07_28;
    /// What `initialize` offers to a client that asks for a revision that isn't served.
    pub const LATEST_LEGACY: ProtocolVersion = Self::V2025_11_25;

    /// As it stands on the wire: a date.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The era of the revision.
    pub fn era(self) -> Era {
        match self {
            Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => Era::Legacy,
            Self::V2026_07_28 => Era::Modern,
        }
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ProtocolVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::SUPPORTED
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}
