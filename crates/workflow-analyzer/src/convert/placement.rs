//! On which input of a node each link comes to lie when the editor loads a file.
//!
//! The editor makes the node from its class and lays the links of the file on it by the numbers of their slots. Inputs
//! that grow and inputs that a choice brings then come and go, each with the link that lies on it at that moment, and
//! only in the end links move to the inputs whose names the file has for them. Mostly all arrive; some stay where they
//! were, and some are lost with the input that they lay on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::ConvertError;
use super::file::Socket;
use super::widgets::{Choice, Widget};
use crate::info::{ClassInfo, DynamicOption, Grow, InputSpec, Nested, Shown};

/// Inputs that may be looked at for all nodes of a file together.
pub(super) const MAX_PLACING: usize = 20_000_000;

/// What looking at an input counts where all are looked at again and again.
const DEAR: usize = 16;

/// Where inputs grow without a limit of their own, the editor has this one.
const MAX_GROWN: usize = 100;

/// An input of a node that is loaded.
pub(super) struct Placed<'a> {
    pub(super) name: Cow<'a, str>,
    /// None for an input that the file alone has.
    pub(super) spec: Option<&'a InputSpec>,
    pub(super) link: Option<usize>,
    /// The position in the file's inputs of the last one that has this name.
    pub(super) socket: Option<usize>,
}

/// The inputs of a node of this class in the editor's order. `links` are those that lead to the node, by slot; `choices`
/// what its dynamic combos are set to, in the order in which that happens.
pub(super) fn place<'a>(
    class: &'a ClassInfo,
    sockets: &[Socket<'a>],
    links: &[(usize, usize)],
    widgets: &[Widget<'a>],
    choices: &[Choice<'a>],
    budget: &mut usize,
) -> Result<Vec<Placed<'a>>, ConvertError> {
    let mut node = Loading {
        made: Vec::new(),
        order: Vec::new(),
        links: BTreeMap::new(),
        groups: HashMap::new(),
        combos: HashMap::new(),
        budget,
    };
    let mut order = Vec::new();
    for (name, spec) in &class.inputs {
        node.make_socket(name.into(), spec, &mut order)?;
    }
    for (name, spec) in &class.inputs {
        node.make_widget(name.into(), spec, &mut order)?;
    }
    node.order = order;
    node.configure(sockets, links)?;
    for choice in choices.iter().filter(|choice| !choice.late) {
        node.choose(&choice.name, choice.key.as_deref())?;
    }
    node.align(sockets.iter())?;
    for choice in choices.iter().filter(|choice| choice.late) {
        node.choose(&choice.name, choice.key.as_deref())?;
    }
    Ok(node.finish(sockets, widgets))
}

/// A link, and a slot that it lies on or moves to.
type Move = (usize, usize);

/// An input as it was made; it keeps its link wherever it moves.
struct Made<'a> {
    name: Cow<'a, str>,
    spec: Option<&'a InputSpec>,
}

struct Loading<'a, 'b> {
    made: Vec<Made<'a>>,
    /// The inputs that the node has now, as positions in `made`.
    order: Vec<usize>,
    /// The links by the slot that they lie on; there may be no input.
    links: BTreeMap<usize, usize>,
    groups: HashMap<String, &'a Grow>,
    combos: HashMap<String, &'a [DynamicOption]>,
    budget: &'b mut usize,
}

impl<'a> Loading<'a, '_> {
    fn spend(&mut self, steps: usize) -> Result<(), ConvertError> {
        *self.budget = self.budget.checked_sub(steps).ok_or(ConvertError::TooTangled)?;
        Ok(())
    }

    fn make(&mut self, name: Cow<'a, str>, spec: Option<&'a InputSpec>) -> Result<usize, ConvertError> {
        self.spend(1)?;
        self.made.push(Made { name, spec });
        Ok(self.made.len() - 1)
    }

    /// An input that has no widget, or the first of those that grow.
    fn make_socket(
        &mut self,
        name: Cow<'a, str>,
        spec: &'a InputSpec,
        order: &mut Vec<usize>,
    ) -> Result<(), ConvertError> {
        if spec.has_widget() {
            return Ok(());
        }
        let Some(Nested::Grow(grow)) = spec.editor.nested.as_deref() else {
            order.push(self.make(name, Some(spec))?);
            return Ok(());
        };
        self.groups.insert(name.to_string(), grow);
        for member in 0..grow.min.saturating_add(1).min(most(grow)) {
            let name = format!("{name}.{}", own_name(grow, member));
            order.push(self.make(name.into(), Some(&grow.input))?);
        }
        Ok(())
    }

    /// The input of a widget; what a choice brings stands before it as long as nothing has been chosen.
    ///
    /// The recursion goes as deep as the class nests its choices, which is bounded where classes are read.
    fn make_widget(
        &mut self,
        name: Cow<'a, str>,
        spec: &'a InputSpec,
        order: &mut Vec<usize>,
    ) -> Result<(), ConvertError> {
        if !spec.has_widget() {
            return Ok(());
        }
        if let Some(Nested::Options(options)) = spec.editor.nested.as_deref() {
            self.combos.insert(name.to_string(), options);
            let default = spec.default.as_ref().and_then(|default| default.as_str());
            let option = match default.filter(|default| !default.is_empty()) {
                Some(default) => options.iter().find(|option| option.key == default),
                None => options.first(),
            };
            if let Some(option) = option {
                self.make_option(&name, option, order)?;
            }
        }
        if spec.editor.shown != Shown::Widget {
            order.push(self.make(name, Some(spec))?);
        }
        Ok(())
    }

    fn make_option(
        &mut self,
        combo: &str,
        option: &'a DynamicOption,
        order: &mut Vec<usize>,
    ) -> Result<(), ConvertError> {
        for (sub, spec) in &option.inputs {
            let name = format!("{combo}.{sub}");
            if spec.has_widget() {
                self.make_widget(name.into(), spec, order)?;
            } else {
                self.make_socket(name.into(), spec, order)?;
            }
        }
        Ok(())
    }

    /// Adds what the file alone has, lays the links down and lets groups grow for them.
    fn configure(&mut self, sockets: &[Socket<'a>], links: &[(usize, usize)]) -> Result<(), ConvertError> {
        let by_name: HashMap<&str, &Socket<'a>> =
            sockets.iter().map(|socket| (socket.name, socket)).collect();
        let linked = |name: &str| by_name.get(name).is_some_and(|socket| socket.link.is_some());
        let known: HashSet<String> =
            self.order.iter().map(|input| self.made[*input].name.to_string()).collect();
        let mut grows: Vec<bool> = self.order.iter().map(|input| linked(&self.made[*input].name)).collect();
        for socket in sockets.iter().filter(|socket| !known.contains(socket.name)) {
            let input = self.make(socket.name.into(), None)?;
            self.order.push(input);
            grows.push(socket.link.is_some());
        }
        self.links = links.iter().copied().collect();
        if self.groups.is_empty() && self.combos.is_empty() {
            return Ok(());
        }
        // By position: what grows moves on those that come after it.
        for (position, grows) in grows.into_iter().enumerate() {
            if grows {
                self.grow(position)?;
            }
        }
        let parent = |socket: &Socket<'a>| socket.name.rsplit_once('.').map(|(parent, _)| parent);
        let fixed: Vec<&Socket<'a>> = sockets
            .iter()
            .filter(|socket| parent(socket).is_none_or(|parent| !self.groups.contains_key(parent)))
            .collect();
        if fixed.iter().any(|socket| parent(socket).is_some_and(|parent| self.combos.contains_key(parent))) {
            self.align(fixed.into_iter())?;
        }
        Ok(())
    }

    /// What lies on an input now, by the input.
    fn lying(&self) -> HashMap<usize, usize> {
        self.links.iter().filter_map(|(slot, link)| Some((*self.order.get(*slot)?, *link))).collect()
    }

    /// Gives the node these inputs, with the links that go along; gives back where inputs that are new got one. Nothing
    /// happens if a link would come to lie on another one.
    fn rewrite(&mut self, order: Vec<usize>, lying: &HashMap<usize, usize>) -> Vec<usize> {
        let before: HashSet<usize> = self.lying().into_values().collect();
        let taken = order.iter().enumerate().filter_map(|(slot, input)| Some((slot, *lying.get(input)?)));
        let taken: Vec<(usize, usize)> = taken.collect();
        if taken.iter().any(|(slot, _)| self.links.get(slot).is_some_and(|link| !before.contains(link))) {
            return Vec::new();
        }
        self.links.retain(|_, link| !before.contains(link));
        self.links.extend(taken.iter().copied());
        let old: HashSet<usize> = std::mem::replace(&mut self.order, order).into_iter().collect();
        taken.into_iter().map(|(slot, _)| slot).filter(|slot| !old.contains(&self.order[*slot])).collect()
    }

    /// After a link came to lie on the input at `slot`: if it is one of those that grow, the next one comes after it.
    fn grow(&mut self, slot: usize) -> Result<(), ConvertError> {
        let Some(input) = self.order.get(slot) else { return Ok(()) };
        let name = self.made[*input].name.clone();
        let Some((group, own)) = name.rsplit_once('.') else { return Ok(()) };
        let Some(grow) = self.groups.get(group).copied() else { return Ok(()) };
        let Some(member) = ordinal(grow, own).and_then(|member| member.checked_add(1)) else { return Ok(()) };
        if member >= most(grow) {
            return Ok(());
        }
        self.spend(self.order.len().saturating_mul(DEAR))?;
        let next = format!("{group}.{}", own_name(grow, member));
        let before = format!("{group}.{}", own_name(grow, member - 1));
        let (same, mut order): (Vec<usize>, Vec<usize>) =
            self.order.iter().partition(|input| self.made[**input].name == next);
        let mut lying = self.lying();
        let link = same.iter().find_map(|input| lying.remove(input));
        let input = self.make(next.into(), Some(&grow.input))?;
        if let Some(link) = link {
            lying.insert(input, link);
        }
        let last = order.iter().rposition(|input| self.made[*input].name.starts_with(&before));
        order.insert(last.map_or(order.len(), |last| last + 1), input);
        self.rewrite(order, &lying);
        Ok(())
    }

    /// Sets a dynamic combo: the inputs below it go, and those of the choice come, if there is such a choice.
    fn choose(&mut self, combo: &str, key: Option<&str>) -> Result<(), ConvertError> {
        let Some(options) = self.combos.get(combo).copied() else { return Ok(()) };
        self.spend(self.order.len().saturating_mul(DEAR))?;
        let below = format!("{combo}.");
        let (gone, mut order): (Vec<usize>, Vec<usize>) =
            self.order.iter().partition(|input| self.made[**input].name.starts_with(&below));
        let mut lying = self.lying();
        if let Some(option) = options.iter().find(|option| Some(option.key.as_str()) == key) {
            let mut added = Vec::new();
            self.make_option(combo, option, &mut added)?;
            if let Some(own) = order.iter().position(|input| self.made[*input].name == combo) {
                order.splice(own + 1..=own, added);
                let first: HashMap<&str, usize> =
                    order.iter().rev().map(|input| (self.made[*input].name.as_ref(), *input)).collect();
                for input in gone {
                    if let (Some(new), Some(link)) =
                        (first.get(self.made[input].name.as_ref()), lying.get(&input))
                    {
                        lying.insert(*new, *link);
                    }
                }
            } else {
                order.extend(added);
            }
        }
        for input in self.rewrite(order, &lying).into_iter().map(|slot| self.order[slot]).collect::<Vec<_>>()
        {
            if let Some(slot) = self.order.iter().position(|now| *now == input) {
                self.grow(slot)?;
            }
        }
        Ok(())
    }

    /// Moves links to the inputs whose names the file has for them, as far as those are there.
    fn align<'s>(&mut self, sockets: impl Iterator<Item = &'s Socket<'a>>) -> Result<(), ConvertError>
    where
        'a: 's,
    {
        let there: HashSet<usize> = self.links.values().copied().collect();
        let mut names: Vec<(usize, Vec<&'a str>)> = Vec::new();
        let mut index: HashMap<usize, usize> = HashMap::new();
        for socket in sockets {
            let Some(link) = socket.link.filter(|link| there.contains(link)) else { continue };
            let entry = *index.entry(link).or_insert(names.len());
            if entry == names.len() {
                names.push((link, Vec::new()));
            }
            names[entry].1.push(socket.name);
        }
        let mut skipped = HashSet::new();
        let (mut rounds, mut cost) = (0, 1);
        while rounds < names.len() {
            self.spend((self.order.len() + names.len()).saturating_mul(cost))?;
            cost = DEAR;
            let (moved, nameless) = self.moves(&names, &skipped);
            if moved.is_empty() {
                break;
            }
            let to: HashSet<usize> = moved.iter().map(|(_, slot)| *slot).collect();
            let mut part: HashSet<usize> = moved.iter().map(|(link, _)| *link).collect();
            part.extend(nameless.iter().filter(|(_, slot)| to.contains(slot)).map(|(link, _)| *link));
            let free = |slot: &usize| self.links.get(slot).is_none_or(|link| part.contains(link));
            let blocked: Vec<usize> =
                moved.iter().filter(|(_, slot)| !free(slot)).map(|(link, _)| *link).collect();
            if !blocked.is_empty() || to.len() < moved.len() {
                let blocked =
                    if blocked.is_empty() { moved.iter().map(|(link, _)| *link).collect() } else { blocked };
                skipped.extend(blocked);
                continue;
            }
            rounds += 1;
            self.links.retain(|_, link| !part.contains(link));
            self.links.extend(moved.iter().map(|(link, slot)| (*slot, *link)));
            for (_, slot) in moved {
                self.grow(slot)?;
            }
        }
        Ok(())
    }

    /// The links that lie elsewhere than on an input of one of their names, with the slot to move to; and those whose
    /// names no input has, with the slot that they lie on.
    fn moves(&self, names: &[(usize, Vec<&'a str>)], skipped: &HashSet<usize>) -> (Vec<Move>, Vec<Move>) {
        let mut slots: HashMap<&str, Vec<usize>> = HashMap::new();
        for (slot, input) in self.order.iter().enumerate() {
            slots.entry(self.made[*input].name.as_ref()).or_default().push(slot);
        }
        let lies: HashMap<usize, usize> = self.links.iter().map(|(slot, link)| (*link, *slot)).collect();
        let (mut moved, mut nameless) = (Vec::new(), Vec::new());
        for (link, names) in names {
            let Some(lies) = lies.get(link).copied() else { continue };
            let mut fitting = names.iter().filter_map(|name| slots.get(name)).flatten().copied();
            let Some(first) = fitting.next() else {
                nameless.push((*link, lies));
                continue;
            };
            let (first, stays) = fitting.fold((first, first == lies), |(first, stays), slot| {
                (first.min(slot), stays || slot == lies)
            });
            if !stays && !skipped.contains(link) {
                moved.push((*link, first));
            }
        }
        (moved, nameless)
    }

    /// The inputs as they are now; one of a widget that the node doesn't have goes with its link.
    fn finish(self, sockets: &[Socket<'a>], widgets: &[Widget<'a>]) -> Vec<Placed<'a>> {
        let widgets: HashSet<&str> = widgets.iter().map(|widget| widget.name.as_ref()).collect();
        let by_name: HashMap<&str, usize> =
            sockets.iter().enumerate().map(|(position, socket)| (socket.name, position)).collect();
        let mut placed = Vec::new();
        for (slot, input) in self.order.iter().enumerate() {
            let made = &self.made[*input];
            let socket = by_name.get(made.name.as_ref()).copied();
            let widget = socket.and_then(|socket| sockets[socket].widget);
            if widget.is_some_and(|widget| !widgets.contains(widget)) {
                continue;
            }
            let link = self.links.get(&slot).copied();
            placed.push(Placed { name: made.name.clone(), spec: made.spec, link, socket });
        }
        placed
    }
}

/// How many inputs a group can have.
fn most(grow: &Grow) -> usize {
    if grow.names.is_empty() { grow.max.unwrap_or(MAX_GROWN) } else { grow.names.len() }
}

/// What the input of this number is called within its group.
fn own_name(grow: &Grow, member: usize) -> Cow<'_, str> {
    match grow.names.get(member) {
        Some(name) => name.into(),
        None => format!("{}{member}", grow.prefix).into(),
    }
}

/// Which number the input has that is called this within its group.
fn ordinal(grow: &Grow, name: &str) -> Option<usize> {
    if !grow.names.is_empty() {
        return grow.names.iter().position(|known| known == name);
    }
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    name[name.len() - digits..].parse().ok()
}
