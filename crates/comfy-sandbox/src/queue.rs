//! The queue of prompts, the one that runs, and the history.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use indexmap::IndexMap;
use serde_json::{Number, Value, json};
use tokio::sync::watch;

/// How many prompts the history holds, as in ComfyUI; the oldest go first.
const MAX_HISTORY: usize = 10_000;
/// How many prompts may wait. ComfyUI has no bound.
const MAX_PENDING: usize = 10_000;

/// A prompt that was accepted.
#[derive(Debug)]
pub(crate) struct Prompt {
    /// Lower runs first; as it is shown.
    pub(crate) number: Number,
    pub(crate) id: String,
    /// The graph, its values converted to the types of the inputs.
    pub(crate) graph: Value,
    /// `extra_data` of the request with `client_id` and `create_time`.
    pub(crate) extra_data: Value,
    /// The output nodes that are to run.
    pub(crate) outputs: Vec<String>,
}

/// What the running prompt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Run,
    /// `POST /interrupt`.
    Interrupt,
    /// It is forgotten: it ends without an event and without an entry in the history.
    Abandon,
}

/// Why a prompt was not put into the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PutError {
    /// Another one with this number and id waits: Python can't tell which of the two is smaller.
    Duplicate,
    /// Too many wait.
    Full,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pending: BinaryHeap<Pending>,
    running: Option<(Arc<Prompt>, watch::Sender<Signal>)>,
    history: IndexMap<String, Arc<Value>>,
    next_number: i64,
}

#[derive(Debug)]
struct Pending(Arc<Prompt>);

impl Prompt {
    /// As `/queue` and `/history` show it.
    pub(crate) fn to_json(&self) -> Value {
        json!([self.number, self.id, self.graph, self.extra_data, self.outputs])
    }

    /// The client whose websocket follows it.
    pub(crate) fn client_id(&self) -> Option<&str> {
        self.extra_data["client_id"].as_str()
    }

    /// When it was accepted, in milliseconds since 1970.
    pub(crate) fn create_time(&self) -> &Value {
        &self.extra_data["create_time"]
    }

    fn rank(&self) -> (f64, &str) {
        (self.number.as_f64().unwrap_or_default(), &self.id)
    }
}

impl Queue {
    /// The number of a prompt that brings none: a counter, and its negative for one that is to go first.
    pub(crate) fn take_number(&mut self, place: Place) -> Number {
        let number = self.next_number;
        self.next_number += 1;
        Number::from(match place {
            Place::Back => number,
            Place::Front => -number,
        })
    }

    pub(crate) fn put(&mut self, prompt: Prompt) -> Result<(), PutError> {
        if self.pending.len() >= MAX_PENDING {
            return Err(PutError::Full);
        }
        let prompt = Pending(Arc::new(prompt));
        if self.pending.iter().any(|other| other.cmp(&prompt) == Ordering::Equal) {
            return Err(PutError::Duplicate);
        }
        self.pending.push(prompt);
        Ok(())
    }

    /// Takes the next prompt to run it.
    pub(crate) fn start_next(&mut self) -> Option<(Arc<Prompt>, watch::Receiver<Signal>)> {
        let prompt = self.pending.pop()?.0;
        let (sender, receiver) = watch::channel(Signal::Run);
        self.running = Some((prompt.clone(), sender));
        Some((prompt, receiver))
    }

    /// Ends the running prompt with this entry for the history; false if it was forgotten meanwhile.
    pub(crate) fn finish(&mut self, prompt: &Arc<Prompt>, entry: Value) -> bool {
        if !self.running.as_ref().is_some_and(|(running, _)| Arc::ptr_eq(running, prompt)) {
            return false;
        }
        self.running = None;
        if self.history.len() >= MAX_HISTORY {
            self.history.shift_remove_index(0);
        }
        self.history.insert(prompt.id.clone(), Arc::new(entry));
        true
    }

    /// Interrupts the running prompt, if it is this one, or whichever it is.
    pub(crate) fn interrupt(&self, prompt_id: Option<&str>) {
        if let Some((running, signal)) = &self.running
            && prompt_id.is_none_or(|id| id == running.id)
        {
            signal.send_replace(Signal::Interrupt);
        }
    }

    /// Takes these out of the queue; true if any of them waited.
    pub(crate) fn delete(&mut self, ids: &[String]) -> bool {
        let before = self.pending.len();
        for id in ids {
            // Like ComfyUI, one for each time that the id is named.
            let mut found = false;
            self.pending.retain(|pending| {
                let hit = !found && pending.0.id == *id;
                found |= hit;
                !hit
            });
        }
        self.pending.len() != before
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Loses everything, as a restart does.
    pub(crate) fn forget(&mut self) {
        if let Some((_, signal)) = self.running.take() {
            signal.send_replace(Signal::Abandon);
        }
        *self = Self::default();
    }

    /// How many wait or run.
    pub(crate) fn remaining(&self) -> usize {
        self.pending.len() + usize::from(self.running.is_some())
    }

    pub(crate) fn running(&self) -> Option<&Arc<Prompt>> {
        self.running.as_ref().map(|(prompt, _)| prompt)
    }

    /// Those that wait, in the order of the heap, as ComfyUI shows them: only the first place means anything.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Arc<Prompt>> {
        self.pending.iter().map(|pending| &pending.0)
    }

    pub(crate) fn history(&self) -> &IndexMap<String, Arc<Value>> {
        &self.history
    }

    pub(crate) fn delete_history(&mut self, ids: &[String]) {
        for id in ids {
            self.history.shift_remove(id);
        }
    }

    pub(crate) fn clear_history(&mut self) {
        self.history.clear();
    }
}

/// Where a prompt goes that brings no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Front,
    Back,
}

/// The lowest number is the greatest here: the heap gives the greatest first.
impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((number, id), (other_number, other_id)) = (self.0.rank(), other.0.rank());
        other_number.total_cmp(&number).then_with(|| other_id.cmp(id))
    }
}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pending {}

/// What a prompt left in the history.
pub(crate) fn history_entry(
    prompt: &Prompt,
    outputs: &IndexMap<String, Value>,
    status_str: &str,
    messages: &[Value],
) -> Value {
    let meta: BTreeMap<&str, Value> = outputs
        .keys()
        .map(|node| {
            (
                node.as_str(),
                json!({"node_id": node, "display_node": node, "parent_node": null, "real_node_id": node}),
            )
        })
        .collect();
    json!({
        "prompt": prompt.to_json(),
        "outputs": outputs,
        "status": {"status_str": status_str, "completed": status_str == "success", "messages": messages},
        "meta": meta,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(number: f64, id: &str) -> Prompt {
        Prompt {
            number: Number::from_f64(number).unwrap(),
            id: id.to_owned(),
            graph: json!({}),
            extra_data: json!({}),
            outputs: Vec::new(),
        }
    }

    #[test]
    fn the_lowest_number_runs_first() {
        let mut queue = Queue::default();
        for (number, id) in [(3.0, "c"), (-1000.5, "a"), (2.0, "b"), (-50.0, "z")] {
            queue.put(prompt(number, id)).unwrap();
        }
        let order: Vec<String> =
            std::iter::from_fn(|| queue.start_next()).map(|(prompt, _)| prompt.id.clone()).collect();
        assert_eq!(order, ["a", "z", "b", "c"]);
    }

    #[test]
    fn a_second_one_with_the_same_number_and_id_is_refused() {
        let mut queue = Queue::default();
        queue.put(prompt(5.0, "dup")).unwrap();
        assert_eq!(queue.put(prompt(5.0, "dup")), Err(PutError::Duplicate));
        queue.put(prompt(6.0, "dup")).unwrap();
        assert_eq!(queue.remaining(), 2);
    }

    #[test]
    fn only_the_running_prompt_is_interrupted_and_only_waiting_ones_are_deleted() {
        let mut queue = Queue::default();
        queue.put(prompt(0.0, "runs")).unwrap();
        queue.put(prompt(1.0, "waits")).unwrap();
        let (_, signal) = queue.start_next().unwrap();
        queue.interrupt(Some("waits"));
        assert!(!queue.delete(&["runs".to_owned(), "nobody".to_owned()]));
        assert_eq!(*signal.borrow(), Signal::Run);
        queue.interrupt(Some("runs"));
        assert_eq!(*signal.borrow(), Signal::Interrupt);
        assert!(queue.delete(&["waits".to_owned()]));
        assert_eq!(queue.remaining(), 1);
    }
}
