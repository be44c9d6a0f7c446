//! The methods of both eras, registered in jsonrpsee's table, and the one place where results get their era's shape.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use jsonrpsee::{Methods, RpcModule};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Core;
use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS, quoted};
use crate::wire::{
    CallToolParams, CallToolResult, DiscoverResult, Era, InitializeParams, InitializeResult, ListToolsResult,
    ProtocolVersion, ResultFrame, key,
};

/// A table for each era.
#[derive(Clone, Debug)]
pub(crate) struct MethodTables {
    legacy: Methods,
    modern: Methods,
}

impl MethodTables {
    pub(crate) fn of(&self, era: Era) -> &Methods {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

pub(crate) fn tables(core: &Arc<Core>) -> MethodTables {
    let mut legacy = RpcModule::from_arc(Arc::clone(core));
    register(
        &mut legacy,
        "initialize",
        |core, _, params| async move { Ok(core.initialize(&parsed(&params)?)) },
    );
    register(&mut legacy, "ping", |_, _, _| async move { Ok(Map::new()) });
    register_shared(&mut legacy);

    let mut modern = RpcModule::from_arc(Arc::clone(core));
    register(&mut modern, "server/discover", |core, _, _| async move { Ok(core.discover()) });
    register_shared(&mut modern);

    MethodTables { legacy: legacy.into(), modern: modern.into() }
}

fn register_shared(module: &mut RpcModule<Core>) {
    register(
        module,
        "tools/list",
        |core, cx, params| async move { core.list_tools(cx.era(), &parsed(&params)?) },
    );
    register(module, "tools/call", |core, cx, params| async move {
        let params = parsed(&params)?;
        core.call_tool(cx, params).await
    });
}

fn register<R, F, Fut>(module: &mut RpcModule<Core>, name: &'static str, method: F)
where
    R: Serialize + Clone + Send + 'static,
    F: Fn(Arc<Core>, CallContext, Params<'static>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<R, ErrorObjectOwned>> + Send,
{
    let registered = module.register_async_method(name, move |params, core, extensions| async move {
        method(core, CallContext::from_extensions(extensions)?, params).await
    });
    debug_assert!(registered.is_ok(), "{name} is registered twice");
}

/// Parameters that aren't there are an empty object.
fn parsed<T: for<'a> Deserialize<'a>>(params: &Params<'static>) -> Result<T, ErrorObjectOwned> {
    let text = params.as_str().unwrap_or("{}");
    serde_json::from_str(text)
        .map_err(|cause| error::error(INVALID_PARAMS, format!("invalid params: {cause}")))
}

#[derive(Deserialize)]
struct ListParams {
    #[serde(default)]
    cursor: Option<String>,
}

impl Core {
    fn initialize(&self, params: &InitializeParams) -> InitializeResult {
        let version = negotiated(&params.protocol_version);
        InitializeResult {
            protocol_version: version.to_string(),
            capabilities: self.capabilities.clone(),
            server_info: self.implementation.clone(),
            instructions: self.instructions.clone(),
        }
    }

    fn discover(&self) -> DiscoverResult {
        let modern = ProtocolVersion::SUPPORTED.into_iter().filter(|version| version.era() == Era::Modern);
        DiscoverResult {
            supported_versions: modern.map(|version| version.to_string()).collect(),
            capabilities: self.capabilities.clone(),
            instructions: self.instructions.clone(),
            frame: self.frame(Era::Modern, Cacheable::Yes),
        }
    }

    fn list_tools(&self, era: Era, params: &ListParams) -> Result<ListToolsResult, ErrorObjectOwned> {
        let start = match &params.cursor {
            Some(cursor) => offset(cursor).ok_or_else(|| bad_cursor(cursor))?,
            None => 0,
        };
        let page = self.tools.page(start, self.page_size);
        let (tools, next) = page.ok_or_else(|| bad_cursor(params.cursor.as_deref().unwrap_or_default()))?;
        Ok(ListToolsResult { tools, next_cursor: next.map(cursor), frame: self.frame(era, Cacheable::Yes) })
    }

    async fn call_tool(
        &self,
        cx: CallContext,
        params: CallToolParams,
    ) -> Result<CallToolResult, ErrorObjectOwned> {
        let Some(tool) = self.tools.get(&params.name) else { return Err(self.unknown_tool(&params.name)) };
        let arguments = match &params.arguments {
            Some(raw) => serde_json::from_str::<Map<String, Value>>(raw.get()).map_err(|cause| {
                error::error(INVALID_PARAMS, format!("arguments have to be an object: {cause}"))
            })?,
            None => Map::new(),
        };
        let era = cx.era();
        let mut result = tool.call(cx, arguments).await;
        let own = result.frame.meta.take();
        result.frame = self.frame(era, Cacheable::No);
        if let Some(own) = own {
            result.frame.meta.get_or_insert_default().extend(own);
        }
        Ok(result)
    }

    fn unknown_tool(&self, name: &str) -> ErrorObjectOwned {
        let nearest = self.tools.nearest(name);
        let hint = match nearest {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None => "tools/list names those there are".to_owned(),
        };
        let message = format!("there is no tool {}; {hint}", quoted(name));
        error::error_with(INVALID_PARAMS, message, json!({ "nearest": nearest }))
    }

    /// What every result of the modern era carries, and none of the legacy era.
    fn frame(&self, era: Era, cacheable: Cacheable) -> ResultFrame {
        if era == Era::Legacy {
            return ResultFrame::default();
        }
        let mut meta = Map::new();
        if let Ok(info) = serde_json::to_value(&self.implementation) {
            meta.insert(key::SERVER_INFO.to_owned(), info);
        }
        let cache = (cacheable == Cacheable::Yes).then_some(&self.cache);
        ResultFrame {
            result_type: Some("complete".to_owned()),
            ttl_ms: cache.map(|cache| u64::try_from(cache.ttl.as_millis()).unwrap_or(u64::MAX)),
            cache_scope: cache.map(|cache| cache.scope),
            meta: Some(meta),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cacheable {
    Yes,
    No,
}

/// The revision of a session: the one asked for, or else the newest of its era (2025-11-25, lifecycle).
pub(crate) fn negotiated(requested: &str) -> ProtocolVersion {
    requested
        .parse::<ProtocolVersion>()
        .ok()
        .filter(|version| version.era() == Era::Legacy)
        .unwrap_or(ProtocolVersion::LATEST_LEGACY)
}

fn cursor(offset: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("tools:{offset}"))
}

fn offset(cursor: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix("tools:")?.parse().ok()
}

fn bad_cursor(cursor: &str) -> ErrorObjectOwned {
    error::error(INVALID_PARAMS, format!("cursor {} is not valid; list again without one", quoted(cursor)))
}
