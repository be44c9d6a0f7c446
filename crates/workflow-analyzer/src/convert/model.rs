//! The nodes of a scope as the editor holds them once a file is loaded: classes known, inputs in order, values set.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::ConvertError;
use super::file::{End, Link, Node, Scope, Slot, Values};
use super::placement::{self, Placed};
use super::widgets::{self, Widget};
use crate::info::{ClassInfo, ObjectInfo};

/// A scope with its nodes made.
pub(super) struct Graph<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) nodes: Vec<Made<'a>>,
    /// The input that each link of the scope leads to, by node and position in [`Made::inputs`].
    pub(super) targets: Vec<Option<(usize, usize)>>,
    /// The widget that each of the scope's own inputs stands for: a node inside and its input.
    pub(super) sources: Vec<Option<(usize, usize)>>,
    /// The nodes that keep something, by the name.
    pub(super) setters: HashMap<&'a str, usize>,
}

/// A node.
pub(super) struct Made<'a> {
    pub(super) what: What<'a>,
    /// In the editor's order, which is the order of the class and not of the file.
    pub(super) inputs: Vec<Input<'a>>,
    pub(super) widgets: Vec<Widget<'a>>,
    /// The inputs whose links the editor loses.
    pub(super) lost: Vec<&'a str>,
    /// For a node that stands for a subgraph: what its own widgets hold, by the subgraph's input, where that differs
    /// from the widget inside.
    pub(super) promoted: Vec<Option<Cow<'a, Value>>>,
}

/// What a node is to a conversion.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    /// ComfyUI runs it.
    Class(&'a ClassInfo),
    /// ComfyUI would run it, if it knew the class.
    Unknown,
    /// It stands for the subgraph at this position.
    Host(usize),
    /// It passes on what it gets.
    Reroute,
    /// It writes its value into the widgets that it is linked to.
    Primitive,
    /// It keeps what it gets under a name.
    Setter,
    /// It gives what was kept under a name.
    Getter,
    /// It is for people to read.
    Note,
}

/// An input of a node.
pub(super) struct Input<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    pub(super) link: Option<usize>,
    pub(super) dangling: bool,
    /// Its widget, by position.
    pub(super) widget: Option<usize>,
}

impl<'a> Graph<'a> {
    /// Makes the nodes of a scope. `hosts` has the positions of the subgraphs by id, `slots` the names and types of their
    /// inputs by position.
    pub(super) fn new(
        scope: Scope<'a>,
        info: &'a ObjectInfo,
        hosts: &HashMap<String, usize>,
        slots: &[Vec<(Cow<'a, str>, Cow<'a, str>)>],
        budget: &mut usize,
    ) -> Result<Graph<'a>, ConvertError> {
        let mut incoming = vec![Vec::new(); scope.nodes.len()];
        for (index, link) in scope.links.iter().enumerate() {
            if let End::Node { node, slot } = link.to
                && let Some(incoming) = incoming.get_mut(node)
            {
                incoming.push((slot, index));
            }
        }
        let nodes = scope.nodes.iter().zip(&incoming);
        let nodes = nodes.map(|(node, incoming)| make(node, incoming, info, hosts, slots, budget));
        let mut nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        attach(&scope, &mut nodes);
        let mut targets = vec![None; scope.links.len()];
        for (position, node) in nodes.iter().enumerate() {
            for (slot, input) in node.inputs.iter().enumerate() {
                if let Some(target) = input.link.and_then(|link| targets.get_mut(link)) {
                    *target = Some((position, slot));
                }
            }
        }
        let sources = vec![None; scope.inputs.len()];
        let mut setters = HashMap::new();
        for (position, (made, node)) in nodes.iter().zip(&scope.nodes).enumerate() {
            if let (What::Setter, Some(name)) = (made.what, kept_name(node)) {
                setters.entry(name).or_insert(position);
            }
        }
        Ok(Graph { scope, nodes, targets, sources, setters })
    }

    /// Adds an input to the subgraph that leads to these inputs of its nodes, in place of what they were linked to.
    pub(super) fn add_slot(&mut self, name: Cow<'a, str>, targets: &[(usize, usize)]) -> Option<usize> {
        let (node, input) = *targets.first()?;
        let kind = self.nodes.get(node)?.inputs.get(input)?.kind.clone();
        let slot = self.scope.inputs.len();
        let mut links = Vec::new();
        for (node, input) in targets {
            let Some(target) = self.nodes.get_mut(*node).and_then(|node| node.inputs.get_mut(*input)) else {
                continue;
            };
            let link = self.scope.links.len();
            if let Some(old) = target.link.replace(link).and_then(|old| self.targets.get_mut(old)) {
                *old = None;
            }
            target.dangling = false;
            links.push(link);
            let to = End::Node { node: *node, slot: *input };
            self.scope.links.push(Link { from: End::Boundary(slot), to });
            self.targets.push(Some((*node, *input)));
        }
        self.scope.inputs.push(Slot { name, kind, links });
        self.sources.push(Some((node, input)));
        Some(slot)
    }
}

impl<'a> Made<'a> {
    /// Sets the widget of an input.
    pub(super) fn set(&mut self, input: usize, value: Cow<'a, Value>) {
        let widget = self.inputs.get(input).and_then(|input| input.widget);
        if let Some(widget) = widget.and_then(|widget| self.widgets.get_mut(widget)) {
            widget.value = Some(value);
        }
    }

    /// Sets what the node that stands for a subgraph holds for one of its inputs.
    pub(super) fn promote(&mut self, slot: usize, value: Cow<'a, Value>) {
        if self.promoted.len() <= slot {
            self.promoted.resize(slot + 1, None);
        }
        self.promoted[slot] = Some(value);
    }
}

/// Gives the links of the table that no input names to the inputs at the places that the table says, where those have
/// none: the editor trusts the table. Nodes of known classes have them already.
fn attach(scope: &Scope<'_>, nodes: &mut [Made<'_>]) {
    let mut named = vec![false; scope.links.len()];
    for link in scope.nodes.iter().flat_map(|node| &node.sockets).filter_map(|socket| socket.link) {
        named[link] = true;
    }
    for (index, link) in scope.links.iter().enumerate().filter(|(index, _)| !named[*index]) {
        if let End::Node { node, slot } = link.to
            && let Some(made) = nodes.get_mut(node).filter(|made| !matches!(made.what, What::Class(_)))
            && let Some(input) = made.inputs.get_mut(slot)
            && input.link.is_none()
        {
            input.link = Some(index);
            input.dangling = false;
        }
    }
}

fn make<'a>(
    node: &Node<'a>,
    incoming: &[(usize, usize)],
    info: &'a ObjectInfo,
    hosts: &HashMap<String, usize>,
    slots: &[Vec<(Cow<'a, str>, Cow<'a, str>)>],
    budget: &mut usize,
) -> Result<Made<'a>, ConvertError> {
    let made =
        |what, inputs, widgets| Ok(Made { what, inputs, widgets, lost: Vec::new(), promoted: Vec::new() });
    if let Some(host) = hosts.get(node.class.as_ref()) {
        return made(What::Host(*host), host_inputs(node, &slots[*host]), Vec::new());
    }
    match node.class.as_ref() {
        "Reroute" => return made(What::Reroute, file_inputs(node), Vec::new()),
        "PrimitiveNode" => return made(What::Primitive, Vec::new(), Vec::new()),
        "Note" | "MarkdownNote" => return made(What::Note, Vec::new(), Vec::new()),
        _ => {}
    }
    if let Some(class) = info.class(&node.class) {
        return make_of_class(node, incoming, class, budget);
    }
    // Of a pack that very many files use; its own part of the editor resolves them.
    match node.class.as_ref() {
        "SetNode" => return made(What::Setter, file_inputs(node), Vec::new()),
        "GetNode" => return made(What::Getter, Vec::new(), Vec::new()),
        _ => {}
    }
    let widgets = widgets::guessed(node);
    let mut inputs = file_inputs(node);
    let by_name: HashMap<&str, usize> =
        widgets.iter().enumerate().rev().map(|(at, widget)| (widget.name.as_ref(), at)).collect();
    for input in &mut inputs {
        input.widget = by_name.get(input.name.as_ref()).copied();
    }
    drop(by_name);
    made(What::Unknown, inputs, widgets)
}

fn make_of_class<'a>(
    node: &Node<'a>,
    incoming: &[(usize, usize)],
    class: &'a ClassInfo,
    budget: &mut usize,
) -> Result<Made<'a>, ConvertError> {
    let (widgets, choices) = widgets::widgets(class, node);
    let placed = placement::place(class, &node.sockets, incoming, &widgets, &choices, budget)?;
    let linked: HashSet<&str> =
        placed.iter().filter(|input| input.link.is_some()).map(|input| input.name.as_ref()).collect();
    let there: HashSet<&str> = placed.iter().map(|input| input.name.as_ref()).collect();
    let lost = node.sockets.iter().filter(|socket| socket.link.is_some() && !linked.contains(socket.name));
    // Where a widget is gone from the class nobody misses the link.
    let lost = lost.filter(|socket| socket.widget.is_none() || there.contains(socket.name));
    let lost = lost.map(|socket| socket.name).collect();
    let by_name: HashMap<String, usize> = widgets
        .iter()
        .enumerate()
        .filter(|(_, widget)| widget.spec.is_some())
        .map(|(position, widget)| (widget.name.to_string(), position))
        .collect();
    let input = |placed: Placed<'a>| {
        let socket = placed.socket.and_then(|socket| node.sockets.get(socket));
        let kind = match (placed.spec, socket) {
            (None, Some(socket)) => socket.kind.clone(),
            // What inputs that grow take may be decided by what is linked to them.
            (Some(_), Some(socket)) if placed.name.contains('.') => socket.kind.clone(),
            (Some(spec), _) => spec.type_names().into(),
            (None, None) => "*".into(),
        };
        let dangling = placed.link.is_none() && socket.is_some_and(|socket| socket.dangling);
        let own = placed.spec.filter(|spec| spec.has_widget()).map(|_| placed.name.as_ref());
        let widget = own.or_else(|| socket?.widget).and_then(|widget| by_name.get(widget));
        Input { kind, link: placed.link, dangling, widget: widget.copied(), name: placed.name }
    };
    let inputs = placed.into_iter().map(input).collect();
    Ok(Made { what: What::Class(class), inputs, widgets, lost, promoted: Vec::new() })
}

/// The name under which a setter keeps, or a getter finds.
pub(super) fn kept_name<'a>(node: &Node<'a>) -> Option<&'a str> {
    match node.values {
        Values::List(values) => values.first()?.as_str(),
        Values::Named(_) => None,
    }
}

/// The inputs of a node that the file alone knows.
fn file_inputs<'a>(node: &Node<'a>) -> Vec<Input<'a>> {
    let inputs = node.sockets.iter().map(|socket| Input {
        name: socket.name.into(),
        kind: socket.kind.clone(),
        link: socket.link,
        dangling: socket.dangling,
        widget: None,
    });
    inputs.collect()
}

/// The inputs of a node that stands for a subgraph: one for each input of the subgraph, by name and type or by name.
fn host_inputs<'a>(node: &Node<'a>, slots: &[(Cow<'a, str>, Cow<'a, str>)]) -> Vec<Input<'a>> {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, socket) in node.sockets.iter().enumerate().rev() {
        by_name.entry(socket.name).or_default().push(index);
    }
    let inputs = slots.iter().map(|(name, kind)| {
        let socket = by_name.get_mut(name.as_ref()).and_then(|candidates| {
            let same = candidates.iter().rposition(|index| node.sockets[*index].kind == *kind);
            match same {
                Some(same) => Some(candidates.remove(same)),
                None => candidates.pop(),
            }
        });
        let socket = socket.map(|index| &node.sockets[index]);
        Input {
            name: name.clone(),
            kind: kind.clone(),
            link: socket.and_then(|socket| socket.link),
            dangling: socket.is_some_and(|socket| socket.dangling),
            widget: None,
        }
    });
    inputs.collect()
}
