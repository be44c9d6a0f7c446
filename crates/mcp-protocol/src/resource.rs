//! Resources: what a server has to read, and what it tells of changes.

use async_trait::async_trait;
use jsonrpsee::types::ErrorObjectOwned;

use crate::context::CallContext;
use crate::server::CacheHints;
use crate::wire::{Completion, CompletionContext, ResourceContents, ResourceDescription, ResourceTemplate};

/// Everything that a server has to read, behind one door.
///
/// Who may see what is decided here, by the extensions of the context: a resource that the caller may not see doesn't
/// exist for it.
#[async_trait]
pub trait Resources: Send + Sync + 'static {
    /// One page of `resources/list`. `cursor` is what an earlier page of this method gave; one that isn't is answered
    /// with [`crate::error::bad_cursor`].
    async fn list(
        &self,
        cx: &CallContext,
        cursor: Option<&str>,
    ) -> Result<Page<ResourceDescription>, ErrorObjectOwned>;

    /// All of `resources/templates/list`.
    fn templates(&self) -> Vec<ResourceTemplate> {
        Vec::new()
    }

    /// Reads one; `None` if there is no such resource (for this caller). May ask ([`CallContext::input`]).
    async fn read(&self, cx: &CallContext, uri: &str) -> Result<Option<ResourceReply>, ErrorObjectOwned>;

    /// Whether the caller may listen to updates of this one. By default nobody may, and the server doesn't offer it.
    async fn may_subscribe(&self, _cx: &CallContext, _uri: &str) -> Result<bool, ErrorObjectOwned> {
        Ok(false)
    }

    /// Whether [`Resources::may_subscribe`] can say yes.
    fn can_subscribe(&self) -> bool {
        false
    }

    /// Values for a variable of a template.
    async fn complete(
        &self,
        _cx: &CallContext,
        _template: &str,
        _variable: &str,
        _typed: &str,
        _context: &CompletionContext,
    ) -> Result<Completion, ErrorObjectOwned> {
        Ok(Completion::default())
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Asks for the next page; of the provider's choosing, opaque to the client.
    pub next: Option<String>,
}

/// What a resource holds.
#[derive(Clone, Debug)]
pub struct ResourceReply {
    /// Usually one.
    pub contents: Vec<ResourceContents>,
    /// How long, and by whom, it may be kept. By default not at all.
    pub cache: CacheHints,
}

impl From<ResourceContents> for ResourceReply {
    fn from(contents: ResourceContents) -> Self {
        ResourceReply { contents: vec![contents], cache: CacheHints::NONE }
    }
}

impl<T> Page<T> {
    /// Everything on one page.
    pub fn whole(items: Vec<T>) -> Page<T> {
        Page { items, next: None }
    }
}
