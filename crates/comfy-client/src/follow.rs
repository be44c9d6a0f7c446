//! Following one prompt: over the websocket while there is one, by looking at queue and history otherwise.
//!
//! The queue and the history decide how it ended; the websocket says what happens meanwhile, and when to look.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    ComfyClient, ComfyError, FollowConfig, LostReason, Previews, QueueItem, RunEvent, RunOutcome, Standing,
    Submitted, Transport,
    cancel::Signal,
    frame::{self, Frame},
    message::{self, Event},
    socket::{Incoming, Socket},
    tracker::Tracker,
};

/// How soon after the last word on a prompt its history is looked at, when `executing null` doesn't come.
const SETTLE: Duration = Duration::from_millis(500);
/// While polling: how soon after one look the next one may be, when ComfyUI says that its queue has changed.
const STATUS_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_OPEN_PAUSE: Duration = Duration::from_secs(10);
/// A prompt that isn't there twice is gone; so many looks may go by until its socket has said whether it is alive.
const LONGEST_DOUBT: u32 = 20;
/// The history is there when `executing null` comes; these pauses, in milliseconds, are for what isn't measured.
const COLLECT_PAUSES: [u64; 8] = [0, 5, 10, 20, 40, 80, 160, 320];

/// What a follower begins with.
pub(crate) struct Start {
    /// The client id of the submission, which is the prompt id that was asked for.
    pub(crate) client_id: String,
    /// Missing when attaching.
    pub(crate) submitted: Option<Submitted>,
    pub(crate) socket: Option<Socket>,
    pub(crate) tracker: Tracker,
}

impl Start {
    pub(crate) fn prompt_id(&self) -> &str {
        self.submitted.as_ref().map_or(&self.client_id, |submitted| &submitted.prompt_id)
    }
}

pub(crate) struct Follower {
    client: ComfyClient,
    prompt_id: String,
    client_id: String,
    /// Whether ComfyUI sends this prompt's events to `client_id`.
    is_our_submission: bool,
    submitted: Option<Submitted>,
    previews: Previews,
    events: mpsc::Sender<RunEvent>,
    cancel: Arc<Signal>,
    tracker: Tracker,
    socket: Option<Socket>,
    /// What was told last.
    transport: Option<Transport>,
    /// Whether one socket has been open since before the submission: then ComfyUI wasn't restarted.
    is_unbroken: bool,
    unknown_looks: u32,
    failing_since: Option<Instant>,
    refused_since: Option<Instant>,
    pause: Duration,
    last_look: Instant,
    last_event: Instant,
    next_look: Instant,
    open_pause: Duration,
    next_open: Instant,
}

/// Why the following ends.
enum End {
    Outcome(RunOutcome),
    /// Nobody reads the events.
    Abandoned,
}

enum Wake {
    Look,
    Incoming(Option<Incoming>),
    Abandoned,
}

impl Follower {
    pub(crate) fn new(
        client: ComfyClient,
        start: Start,
        previews: Previews,
        events: mpsc::Sender<RunEvent>,
        cancel: Arc<Signal>,
    ) -> Self {
        let now = Instant::now();
        let prompt_id = start.prompt_id().to_owned();
        let Start { client_id, submitted, socket, tracker } = start;
        let quiet = client.follow.quiet;
        let pause = client.follow.poll_min;
        Self {
            prompt_id,
            client_id,
            is_our_submission: submitted.is_some(),
            is_unbroken: socket.is_some(),
            next_look: if socket.is_some() { now + quiet } else { now },
            submitted,
            previews,
            events,
            cancel,
            tracker,
            socket,
            transport: None,
            unknown_looks: 0,
            failing_since: None,
            refused_since: None,
            last_look: now,
            last_event: now,
            open_pause: pause,
            next_open: now,
            pause,
            client,
        }
    }

    /// Ends with exactly one [`RunEvent::Finished`], unless nobody reads.
    pub(crate) async fn run(mut self) {
        if let Err(End::Outcome(outcome)) = self.follow().await {
            if let RunOutcome::Lost(reason) = &outcome {
                tracing::warn!(prompt.id = self.prompt_id, comfyui.url = self.client.url(), "lost: {reason}");
            }
            // Fails only when nobody reads.
            let _ = self.events.send(RunEvent::Finished(outcome)).await;
        }
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }

    async fn follow(&mut self) -> Result<(), End> {
        if let Some(Submitted { prompt_id, number, node_errors }) = self.submitted.take() {
            self.emit(RunEvent::Submitted { prompt_id, number, node_errors }).await?;
        }
        let transport = if self.socket.is_some() { Transport::WebSocket } else { Transport::Polling };
        self.announce(transport).await?;
        loop {
            match self.wait().await {
                Wake::Abandoned => return Err(End::Abandoned),
                Wake::Look => self.look().await?,
                Wake::Incoming(None) => self.lose_socket().await?,
                Wake::Incoming(Some(Incoming::Text(text))) => self.message(&text).await?,
                Wake::Incoming(Some(Incoming::Binary(bytes))) => self.frame(bytes).await?,
                Wake::Incoming(Some(Incoming::Control)) => {}
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let incoming = async {
            match &mut self.socket {
                Some(socket) => socket.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The timer goes before the socket: a flood of messages about other things must not keep it waiting.
            biased;
            () = self.events.closed() => Wake::Abandoned,
            () = self.cancel.done() => Wake::Look,
            () = sleep_until(self.next_look) => Wake::Look,
            incoming = incoming => Wake::Incoming(incoming),
        }
    }

    async fn message(&mut self, text: &str) -> Result<(), End> {
        let message = message::parse(text);
        match (&message.event, &message.prompt_id) {
            (Event::Other, _) => return Ok(()),
            (Event::Status, _) => {
                if self.transport == Some(Transport::Polling) {
                    self.next_look = self.next_look.min(self.last_look + STATUS_PAUSE);
                }
                return Ok(());
            }
            (_, Some(prompt_id)) if *prompt_id != self.prompt_id => return Ok(()),
            // Without a prompt's id it is about whatever runs for this client id, which nobody else uses.
            (Event::Over, None) => {
                self.next_look = Instant::now();
                return Ok(());
            }
            _ => {}
        }
        self.last_event = Instant::now();
        self.announce(Transport::WebSocket).await?;
        let (is_over, is_ending) = (message.event == Event::Over, message.event == Event::Ending);
        for event in self.tracker.apply(message.event) {
            self.emit(event).await?;
        }
        if is_over {
            return self.collect().await;
        }
        self.next_look = Instant::now() + if is_ending { SETTLE } else { self.credit() };
        Ok(())
    }

    async fn frame(&mut self, bytes: Bytes) -> Result<(), End> {
        match frame::parse(bytes) {
            Ok(Frame::Preview { prompt_id, media_type, image }) => {
                // Those without an id come from prompts of other clients too, if those have no client id.
                let is_ours = prompt_id.map_or(self.tracker.has_started(), |id| id == self.prompt_id);
                if is_ours && self.previews != Previews::Off {
                    self.emit(RunEvent::Preview { media_type, bytes: image }).await?;
                }
            }
            Ok(Frame::Text { node, text }) if self.tracker.has_started() => {
                self.emit(RunEvent::NodeText { node, text }).await?;
            }
            Ok(Frame::Text { .. } | Frame::Other(_)) => {}
            Err(error) => tracing::debug!(%error, "a binary frame of comfyui is left out"),
        }
        Ok(())
    }

    /// After `executing null`: the history has it.
    async fn collect(&mut self) -> Result<(), End> {
        for pause in COLLECT_PAUSES {
            sleep(Duration::from_millis(pause)).await;
            match self.client.history(&self.prompt_id).await {
                Ok(Some(entry)) => return Err(End::Outcome(entry.outcome())),
                Ok(None) => {}
                Err(_) => break,
            }
        }
        self.next_look = Instant::now();
        Ok(())
    }

    async fn look(&mut self) -> Result<(), End> {
        self.last_look = Instant::now();
        match self.client.standing(&self.prompt_id).await {
            Ok(Standing::Finished(entry)) => return Err(End::Outcome(entry.outcome())),
            Ok(Standing::Running(item)) => {
                self.seen(&item);
                if let Some(started) = self.tracker.start() {
                    self.emit(started).await?;
                }
            }
            Ok(Standing::Pending { item, .. }) => self.seen(&item),
            Ok(Standing::Unknown) => {
                self.unknown().await?;
                self.next_look = Instant::now() + self.client.follow.poll_min;
                return Ok(());
            }
            Err(error) => self.failed(&error)?,
        }
        self.keep_socket().await?;
        let wait = match self.transport {
            Some(Transport::WebSocket) => self.credit(),
            _ => self.pause,
        };
        self.pause = (self.pause * 3 / 2).min(self.client.follow.poll_max);
        self.next_look = Instant::now() + wait;
        Ok(())
    }

    fn seen(&mut self, item: &QueueItem) {
        self.unknown_looks = 0;
        self.failing_since = None;
        self.refused_since = None;
        self.is_our_submission |= item.client_id() == Some(&self.client_id);
    }

    async fn unknown(&mut self) -> Result<(), End> {
        self.failing_since = None;
        self.refused_since = None;
        self.unknown_looks += 1;
        if self.cancel.is_requested() {
            return Err(End::Outcome(RunOutcome::Interrupted));
        }
        if self.unknown_looks == 1 {
            if let Some(socket) = &mut self.socket {
                socket.ping().await;
            }
            return Ok(());
        }
        let reason = match &self.socket {
            Some(socket) if self.is_unbroken && socket.is_answering() => LostReason::Removed,
            // The machine may have been restarted without a word to this connection.
            Some(_) if self.is_unbroken && self.unknown_looks < LONGEST_DOUBT => return Ok(()),
            _ => LostReason::Forgotten,
        };
        Err(End::Outcome(RunOutcome::Lost(reason)))
    }

    fn failed(&mut self, error: &ComfyError) -> Result<(), End> {
        let now = Instant::now();
        if self.failing_since.is_none() {
            tracing::info!(%error, prompt.id = self.prompt_id, "comfyui doesn't answer, trying on");
        }
        let failing = now - *self.failing_since.get_or_insert(now);
        let refused = if error.is_stall() {
            self.refused_since = None;
            Duration::ZERO
        } else {
            now - *self.refused_since.get_or_insert(now)
        };
        if refused >= self.client.follow.outage_grace || failing >= self.client.follow.stall_grace {
            return Err(End::Outcome(RunOutcome::Lost(LostReason::Unreachable)));
        }
        Ok(())
    }

    /// Asks the socket for a sign of life, or opens another one.
    async fn keep_socket(&mut self) -> Result<(), End> {
        let is_silent = self.last_event.elapsed() >= self.client.follow.quiet;
        if let Some(socket) =
            self.socket.take_if(|_| is_silent && self.is_our_submission && !self.is_unbroken)
        {
            // ComfyUI may have noticed the end of the former socket only after this one was opened, and then it sends
            // nothing more to their client id.
            socket.close().await;
            self.last_event = Instant::now();
        } else if let Some(socket) = &mut self.socket {
            let is_due = is_silent && self.transport == Some(Transport::WebSocket);
            if is_due && !socket.ping().await {
                self.lose_socket().await?;
            }
            return Ok(());
        }
        if Instant::now() < self.next_open || self.failing_since.is_some() {
            return Ok(());
        }
        // The old socket is closed, so that its client id can be used again, and brings the events back. Somebody
        // else's can't: his socket would go deaf. Still, any socket hears that the queue has changed.
        let other_id = format!("{}-follower", self.client_id);
        let client_id = if self.is_our_submission { &self.client_id } else { &other_id };
        match Socket::open(&self.client.http, client_id).await {
            Ok(socket) => self.socket = Some(socket),
            Err(error) => tracing::debug!(%error, "comfyui's websocket can't be opened again"),
        }
        self.open_pause = (self.open_pause * 2).min(LONGEST_OPEN_PAUSE);
        self.next_open = Instant::now() + self.open_pause;
        Ok(())
    }

    /// How long a socket may be silent before queue and history are looked at. A reopened one has less credit.
    fn credit(&self) -> Duration {
        let FollowConfig { quiet, poll_max, .. } = *self.client.follow;
        if self.is_unbroken { quiet } else { quiet.min(poll_max) }
    }

    async fn lose_socket(&mut self) -> Result<(), End> {
        self.socket = None;
        self.is_unbroken = false;
        let now = Instant::now();
        if self.transport == Some(Transport::WebSocket) {
            self.pause = self.client.follow.poll_min;
            self.open_pause = self.client.follow.poll_min;
            self.next_open = now;
            self.next_look = now;
        }
        self.announce(Transport::Polling).await
    }

    async fn announce(&mut self, transport: Transport) -> Result<(), End> {
        if self.transport.replace(transport) == Some(transport) {
            return Ok(());
        }
        self.emit(RunEvent::Transport(transport)).await
    }

    async fn emit(&mut self, event: RunEvent) -> Result<(), End> {
        if matches!(event, RunEvent::NodeProgress { .. } | RunEvent::Preview { .. }) {
            return match self.events.try_send(event) {
                Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
                Err(TrySendError::Closed(_)) => Err(End::Abandoned),
            };
        }
        self.events.send(event).await.map_err(|_| End::Abandoned)
    }
}
