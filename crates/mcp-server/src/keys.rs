//! `mcp-server keys`: makes, lists and revokes API keys, also while the server runs.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, bail};
use auth::{ApiKey, Authenticator, NewKey, Permissions, RateLimit};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::app::{Sharing, open_storage};
use crate::cli::{KeyArgs, KeysCommand};
use crate::settings::Settings;

/// Carries out the command; the output goes to `out`.
pub async fn run(settings: &Settings, command: KeysCommand, out: &mut impl Write) -> anyhow::Result<()> {
    let storage = open_storage(settings, Sharing::Shared).await?;
    let store = storage.keys();
    let authenticator = Authenticator::new(store.clone());
    let now = Timestamp::now();
    match command {
        KeysCommand::Create(args) => create(&authenticator, &args, now, out).await?,
        KeysCommand::List { json } => {
            let keys = store.list().await?;
            if json { list_json(&keys, now, out)? } else { list(&keys, now, out)? }
        }
        KeysCommand::Revoke { id } => {
            if !authenticator.revoke(&id, now).await? {
                bail!("there is no key with the id {id}; `mcp-server keys list` shows the ids");
            }
            writeln!(out, "revoked {id}")?;
        }
    }
    storage.close().await.context("the database was not closed well")
}

async fn create(
    authenticator: &Authenticator,
    args: &KeyArgs,
    now: Timestamp,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let expires_at = match args.expires_in_days {
        Some(days) => Some(
            now.checked_add(Duration::from_hours(24 * u64::from(days)))
                .context("--expires-in-days is too far")?,
        ),
        None => None,
    };
    let rate_limit = match (args.rate, args.per, args.burst) {
        (Some(rate), Some(per), Some(burst)) => Some(RateLimit::new(rate, u64::from(per), burst)?),
        _ => None,
    };
    let new = NewKey {
        client_id: args.client.clone(),
        permissions: Permissions::new(args.allow.iter().map(String::as_str))?,
        rate_limit,
        expires_at,
    };
    let (text, key) = authenticator.create(new, now).await?;
    writeln!(out, "{}", text.expose_secret())?;
    eprintln!("key {} for client {}; it is shown this once, so keep it now", key.id, key.client_id);
    Ok(())
}

fn state(key: &ApiKey, now: Timestamp) -> &'static str {
    match key {
        key if key.revoked_at.is_some() => "revoked",
        key if key.expires_at.is_some_and(|at| at <= now) => "expired",
        _ => "good",
    }
}

fn list(keys: &[ApiKey], now: Timestamp, out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(out, "{:<24} {:<20} {:<8} {:<22} PERMISSIONS", "ID", "CLIENT", "STATE", "LIMIT")?;
    for key in keys {
        let limit = key.rate_limit.map_or_else(
            || "none".to_owned(),
            |limit| format!("{} per {} s, burst {}", limit.rate, limit.per.as_secs(), limit.burst),
        );
        let permissions: Vec<_> = key.permissions.iter().collect();
        writeln!(
            out,
            "{:<24} {:<20} {:<8} {:<22} {}",
            key.id,
            key.client_id,
            state(key, now),
            limit,
            permissions.join(" ")
        )?;
    }
    Ok(())
}

fn list_json(keys: &[ApiKey], now: Timestamp, out: &mut impl Write) -> anyhow::Result<()> {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "id": key.id,
                "client": key.client_id,
                "state": state(key, now),
                "permissions": key.permissions,
                "rate_limit": key.rate_limit,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
            })
        })
        .collect();
    writeln!(out, "{}", serde_json::to_string_pretty(&keys)?)?;
    Ok(())
}
