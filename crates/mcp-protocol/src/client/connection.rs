//! What a peer and its background tasks share: the transport, the session, and what was learnt of the server.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ::http::{HeaderName, HeaderValue};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::error::ClientError;
use super::get_stream::GetStream;
use super::headers::{self, ParamHeader};
use super::incoming::Incoming;
use super::input;
use super::opening::{self, ServerAbout};
use super::options::{CallOptions, OnProgress, PeerOptions};
use super::transport::{self, Call, Caller, Transport};
use crate::error::HEADER_MISMATCH;
use crate::wire::{Era, ListToolsResult, SetLevelParams, ToolDescription};

/// The most pages that a list is followed through.
const MAX_PAGES: usize = 100;

/// An open server.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) about: ServerAbout,
    pub(super) options: PeerOptions,
    pub(super) caller: Caller,
    pub(super) incoming: Arc<Incoming>,
    /// Where a legacy server tells over HTTP what belongs to no call, as long as somebody listens.
    events: Mutex<Weak<GetStream>>,
    /// How many listen to each resource of a legacy server.
    watched: Mutex<HashMap<String, usize>>,
    /// Subscribing and its opposite go out in the order in which they are counted.
    watching: Semaphore,
    /// A lost session is renewed once, however many calls have noticed.
    renewing: Semaphore,
    /// By tool, once its description was seen.
    param_headers: Mutex<HashMap<String, Arc<[ParamHeader]>>>,
}

impl Connection {
    /// Opens the server.
    pub(super) async fn open(
        transport: Transport,
        incoming: Arc<Incoming>,
        options: PeerOptions,
    ) -> Result<Connection, ClientError> {
        let capabilities = input::capabilities(&incoming.kinds, input::extensions(options.tasks));
        let caller = Caller::new(options.client_info.clone(), capabilities);
        let about = opening::open(&transport, &options, &caller).await?;
        tracing::debug!(
            mcp.version = %about.version,
            server.name = %about.info.name,
            server.version = %about.info.version,
            "the server is open"
        );
        Ok(Connection {
            transport,
            about,
            options,
            caller,
            incoming,
            events: Mutex::default(),
            watched: Mutex::default(),
            watching: Semaphore::new(1),
            renewing: Semaphore::new(1),
            param_headers: Mutex::default(),
        })
    }

    pub(super) fn era(&self) -> Era {
        self.about.version.era()
    }

    /// Calls a method once. `params` are without `_meta`.
    pub(super) async fn request(
        &self,
        method: &str,
        params: Map<String, Value>,
        mut options: CallOptions,
    ) -> Result<Box<RawValue>, ClientError> {
        let mut on_progress = options.on_progress.take();
        let mut call = self.call(method, params, &options);
        self.ask(&mut call, &mut on_progress).await
    }

    /// The same with the method's own result.
    pub(super) async fn typed<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Map<String, Value>,
        options: CallOptions,
    ) -> Result<T, ClientError> {
        transport::typed(method, &self.request(method, params, options).await?)
    }

    /// A call with what the options say, or the peer's.
    pub(super) fn call<'a>(
        &self,
        method: &'a str,
        params: Map<String, Value>,
        options: &CallOptions,
    ) -> Call<'a> {
        let mut call = Call::new(method, params);
        call.timeout = options.timeout.unwrap_or(self.options.timeout);
        call.log_level = options.log_level;
        call
    }

    /// Sends a call, with the headers that its tool wants.
    pub(super) async fn ask(
        &self,
        call: &mut Call<'_>,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        if call.method != "tools/call" || !self.mirrors_params() {
            return self.send(call, on_progress).await;
        }
        call.headers = self.headers_for(&call.params);
        match self.send(call, on_progress).await {
            // The tool's description may have changed since it was seen, or was never seen.
            Err(ClientError::Rpc { code: HEADER_MISMATCH, .. }) => {
                self.list_tools().await?;
                call.headers = self.headers_for(&call.params);
                self.send(call, on_progress).await
            }
            answer => answer,
        }
    }

    /// All entries of a list, page by page. `open` takes a page apart into its entries and the next cursor.
    pub(super) async fn list<P: DeserializeOwned, T>(
        &self,
        method: &str,
        open: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, ClientError> {
        let limit = self.options.max_message_bytes;
        let mut all = Vec::new();
        let mut bytes = 0;
        let mut params = Map::new();
        let mut seen = HashSet::new();
        for _ in 0..MAX_PAGES {
            let call = self.call(method, params.clone(), &CallOptions::default());
            let result = self.send(&call, &mut None).await?;
            bytes += result.get().len();
            if bytes > limit {
                return Err(ClientError::TooLarge { limit });
            }
            let (entries, cursor) = open(transport::typed(method, &result)?);
            all.extend(entries);
            match cursor {
                Some(cursor) if seen.insert(cursor.clone()) => {
                    params.insert("cursor".to_owned(), json!(cursor));
                }
                _ => return Ok(all),
            }
        }
        tracing::warn!(rpc.method = method, pages = MAX_PAGES, "the server's list is longer than it is read");
        Ok(all)
    }

    pub(super) async fn list_tools(&self) -> Result<Vec<ToolDescription>, ClientError> {
        let mut tools =
            self.list("tools/list", |page: ListToolsResult| (page.tools, page.next_cursor)).await?;
        if self.mirrors_params() {
            tools.retain(|tool| self.learn(tool));
        }
        Ok(tools)
    }

    /// Sends a call; when the session is lost, once more in a new one.
    async fn send(
        &self,
        call: &Call<'_>,
        on_progress: &mut Option<OnProgress>,
    ) -> Result<Box<RawValue>, ClientError> {
        let session = self.transport.session();
        // In a box, for the future of an HTTP request is large.
        let sent = Box::pin(self.transport.call(call, self.about.version, &self.caller, on_progress)).await;
        match sent {
            Err(ClientError::SessionExpired) => {
                Box::pin(self.renew(session.as_ref())).await?;
                Box::pin(self.transport.call(call, self.about.version, &self.caller, on_progress)).await
            }
            answer => answer,
        }
    }

    /// Opens a new session in place of the one that is lost, and says again what the old one knew.
    pub(super) async fn renew(&self, lost: Option<&HeaderValue>) -> Result<(), ClientError> {
        let _turn = self.renewing.acquire().await;
        if self.transport.session().as_ref() != lost {
            // Another has opened one meanwhile.
            return Ok(());
        }
        let version = self.about.version;
        let about = opening::initialize(&self.transport, &self.options, &self.caller, version).await?;
        if about.version != version {
            let reason = format!("it speaks {} now instead of {version}; connect again", about.version);
            return Err(ClientError::protocol("initialize", reason));
        }
        self.incoming.hub.gap();
        if let Some(level) = self.caller.log_level() {
            let params = transport::object(&SetLevelParams { level });
            self.say_again("logging/setLevel", params).await;
        }
        let watched: Vec<String> = self.watched().keys().cloned().collect();
        for uri in watched {
            self.say_again("resources/subscribe", Map::from_iter([("uri".to_owned(), json!(uri))])).await;
        }
        Ok(())
    }

    async fn say_again(&self, method: &str, params: Map<String, Value>) {
        let mut call = Call::new(method, params);
        call.timeout = self.options.timeout;
        let said = self.transport.call(&call, self.about.version, &self.caller, &mut None).await;
        if let Err(error) = said {
            tracing::warn!(rpc.method = method, %error, "the new session lacks what the old one had");
        }
    }

    /// Subscribes to a resource of a legacy server.
    pub(super) async fn watch(&self, uri: &str) -> Result<(), ClientError> {
        let _turn = self.watching.acquire().await;
        let params = Map::from_iter([("uri".to_owned(), json!(uri))]);
        self.request("resources/subscribe", params, CallOptions::default()).await?;
        *self.watched().entry(uri.to_owned()).or_insert(0) += 1;
        Ok(())
    }

    /// Takes back one [`watch`](Connection::watch); the last one ends the subscription.
    pub(super) async fn unwatch(&self, uri: &str) {
        let _turn = self.watching.acquire().await;
        {
            let mut watched = self.watched();
            match watched.get_mut(uri) {
                Some(count) if *count > 1 => {
                    *count -= 1;
                    return;
                }
                Some(_) => watched.remove(uri),
                None => return,
            };
        }
        let params = Map::from_iter([("uri".to_owned(), json!(uri))]);
        if let Err(error) = self.request("resources/unsubscribe", params, CallOptions::default()).await {
            tracing::debug!(%error, "the server was not told that nobody listens any more");
        }
    }

    /// The stream on which a legacy server tells over HTTP what belongs to no call. It is open as long as somebody
    /// holds it.
    pub(super) fn events(self: &Arc<Connection>) -> Option<Arc<GetStream>> {
        let Transport::Http(http) = &self.transport else { return None };
        if self.era() == Era::Modern {
            return None;
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = events.upgrade() {
            return Some(stream);
        }
        let stream = Arc::new(GetStream::start(http.clone(), Arc::downgrade(self), self.about.version));
        *events = Arc::downgrade(&stream);
        Some(stream)
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mirrors_params(&self) -> bool {
        matches!(self.transport, Transport::Http(_)) && self.era() == Era::Modern
    }

    /// Keeps which parameters go into headers; false when the tool's description breaks the rules for that.
    fn learn(&self, tool: &ToolDescription) -> bool {
        match headers::param_headers(&tool.input_schema) {
            Ok(found) => {
                let mut known = self.param_headers.lock().unwrap_or_else(PoisonError::into_inner);
                if found.is_empty() {
                    known.remove(&tool.name);
                } else {
                    known.insert(tool.name.clone(), found.into());
                }
                true
            }
            Err(reason) => {
                tracing::warn!(tool.name = %tool.name, %reason, "a tool of the server is left out");
                false
            }
        }
    }

    fn headers_for(&self, params: &Map<String, Value>) -> Vec<(HeaderName, HeaderValue)> {
        let Some(tool) = params.get("name").and_then(Value::as_str) else { return Vec::new() };
        let known = self.param_headers.lock().unwrap_or_else(PoisonError::into_inner).get(tool).cloned();
        let arguments = params.get("arguments").unwrap_or(&Value::Null);
        known.iter().flat_map(|headers| headers.iter()).filter_map(|header| header.of(arguments)).collect()
    }
}
