//! Where the workspace and its build folder are.

use std::path::PathBuf;

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

/// The workspace's folders, as cargo sees them (`CARGO_TARGET_DIR` and cargo's configuration included).
pub(crate) struct Root {
    /// The folder of the root manifest.
    pub(crate) dir: PathBuf,
    /// The build folder; everything that an xtask leaves behind is under it.
    pub(crate) target: PathBuf,
}

impl Root {
    pub(crate) fn find() -> Result<Root> {
        let metadata =
            MetadataCommand::new().no_deps().exec().context("cargo can't read the workspace's manifests")?;
        Ok(Root { dir: metadata.workspace_root.into(), target: metadata.target_directory.into() })
    }

    /// The path of a binary that `cargo build` made in the dev profile.
    pub(crate) fn debug_binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }
}
