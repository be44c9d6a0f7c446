//! ComfyUI itself, held to what the sandbox is held to in the suite.

use anyhow::{Result, anyhow};
use url::Url;

use super::{Case, Target};
use crate::contract;

pub(super) const CONTRACT: Case = Case::quick("comfyui/contract", |target| Box::pin(contract(target)));

async fn contract(target: &Target) -> Result<String> {
    let url: Url = target.url.parse()?;
    let cases = contract::cases();
    for case in &cases {
        case.check(&url).await.map_err(|problem| anyhow!("{}: {problem}", case.name))?;
    }
    Ok(format!("{} cases of the sandbox's contract", cases.len()))
}
