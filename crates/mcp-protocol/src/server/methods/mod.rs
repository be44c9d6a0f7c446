//! The methods of both eras, registered in jsonrpsee's table, and the one place where results get their era's shape.

mod lifecycle;
mod listen;
mod prompts;
mod resources;
mod rounds;
mod tasks;
mod tools;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt as _;
use jsonrpsee::core::server::MethodCallback;
use jsonrpsee::types::{ErrorObjectOwned, Id, Params};
use jsonrpsee::{MethodResponse, Methods};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

pub(crate) use lifecycle::negotiated;

use super::{CacheHints, Core};
use crate::context::CallContext;
use crate::error::{self, INVALID_PARAMS};
use crate::wire::{Era, ResultFrame};

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
    let mut legacy = Module::new(core);
    lifecycle::register_legacy(&mut legacy);
    resources::register_legacy(core, &mut legacy);
    register_shared(core, &mut legacy);

    let mut modern = Module::new(core);
    lifecycle::register_modern(&mut modern);
    listen::register(&mut modern);
    tasks::register(core, &mut modern);
    register_shared(core, &mut modern);

    MethodTables { legacy: legacy.methods, modern: modern.methods }
}

/// The methods of an era, while they are registered.
struct Module {
    core: Arc<Core>,
    methods: Methods,
}

impl Module {
    fn new(core: &Arc<Core>) -> Module {
        Module { core: Arc::clone(core), methods: Methods::new() }
    }
}

fn register_shared(core: &Arc<Core>, module: &mut Module) {
    tools::register(module);
    resources::register(core, module);
    prompts::register(core, module);
}

/// The result goes to the transport by the call's channel, and jsonrpsee's response only says that there is one: jsonrpsee
/// would write it into a text of its own and check what it has written, only for it to be taken out again.
fn register<R, F, Fut>(module: &mut Module, name: &'static str, method: F)
where
    R: Serialize + Send + 'static,
    F: Fn(Arc<Core>, CallContext, Params<'static>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<R, ErrorObjectOwned>> + Send,
{
    let core = Arc::clone(&module.core);
    let callback = move |id: Id<'static>, params, _, _, extensions| {
        let core = Arc::clone(&core);
        let call = async move {
            let cx = CallContext::from_extensions(extensions)?;
            let channel = Arc::clone(cx.channel());
            channel.put_result(written(&method(core, cx, params).await?)?);
            Ok(())
        };
        call.map(|ended: Result<(), ErrorObjectOwned>| match ended {
            Ok(()) => MethodResponse::notification(),
            Err(error) => MethodResponse::error(id, error),
        })
        .boxed()
    };
    let registered = module.methods.verify_and_insert(name, MethodCallback::Async(Arc::new(callback)));
    debug_assert!(registered.is_ok(), "{name} is registered twice");
}

fn written<R: Serialize>(result: &R) -> Result<Box<RawValue>, ErrorObjectOwned> {
    to_raw_value(result).map_err(|cause| {
        tracing::error!(error = &cause as &dyn std::error::Error, "a result can't be written as JSON");
        error::internal()
    })
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

impl ListParams {
    /// One page of a list that is there as a whole, and the cursor of the next.
    fn page<T: Clone>(
        &self,
        list: &'static str,
        items: impl ExactSizeIterator<Item = T>,
        size: usize,
    ) -> Result<(Vec<T>, Option<String>), ErrorObjectOwned> {
        let start = match &self.cursor {
            Some(cursor) => offset(list, cursor)
                .filter(|start| *start <= items.len())
                .ok_or_else(|| error::bad_cursor(cursor))?,
            None => 0,
        };
        let end = start.saturating_add(size);
        let next = (end < items.len()).then(|| cursor(list, end));
        Ok((items.skip(start).take(size).collect(), next))
    }
}

fn cursor(list: &str, offset: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{offset}"))
}

fn offset(list: &str, cursor: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    text.strip_prefix(list)?.strip_prefix(':')?.parse().ok()
}

impl Core {
    /// What every result of the modern era carries, and none of the legacy era.
    fn frame(&self, era: Era) -> ResultFrame {
        if era == Era::Legacy {
            return ResultFrame::default();
        }
        ResultFrame {
            result_type: Some("complete".to_owned()),
            server: self.identity.clone(),
            ..ResultFrame::default()
        }
    }

    /// The frame of a result that may be kept.
    fn cacheable(&self, era: Era, cache: CacheHints) -> ResultFrame {
        let mut frame = self.frame(era);
        if era == Era::Modern {
            frame.ttl_ms = Some(u64::try_from(cache.ttl.as_millis()).unwrap_or(u64::MAX));
            frame.cache_scope = Some(cache.scope);
        }
        frame
    }
}

/// `{}` under a name, as capabilities are declared.
fn declared(name: &str, members: &[(&str, bool)]) -> (String, Value) {
    let set = members.iter().filter(|(_, set)| *set);
    (
        name.to_owned(),
        Value::Object(set.map(|(member, _)| ((*member).to_owned(), Value::Bool(true))).collect()),
    )
}
