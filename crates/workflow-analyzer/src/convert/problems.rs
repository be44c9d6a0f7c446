//! What a conversion couldn't do.

use super::file::Node;

/// More problems than this are only counted.
const MAX_PROBLEMS: usize = 1000;

/// Names and titles that a file gives are cut after so many characters.
const MAX_SHOWN: usize = 120;

/// Something in the file that the graph doesn't have, or has only by guessing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertProblem {
    /// What it is.
    pub kind: ConvertProblemKind,
    /// The id of the node in the graph.
    pub node: String,
    /// Its title.
    pub title: String,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The kinds of problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConvertProblemKind {
    /// The server doesn't know the class of a node. Its inputs are taken from the file as well as that goes.
    MissingClass {
        /// The class.
        class: String,
        /// The pack of custom nodes that has it, as the file says: an id of the registry, or a repository.
        pack: Option<String>,
    },
    /// A link leads to a node that isn't in the file; the input has none.
    DanglingLink {
        /// The input.
        input: String,
    },
    /// The editor loses this link when it loads the file, so that it isn't in the graph either.
    LostLink {
        /// The input.
        input: String,
    },
    /// Links go round in a circle without passing a node that runs; the input has none.
    CircularLink {
        /// The input.
        input: String,
    },
    /// Two nodes have this id, and only the later one is in the graph.
    DuplicateId,
}

/// The problems of one conversion.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) found: Vec<ConvertProblem>,
}

impl Problems {
    fn add(&mut self, kind: ConvertProblemKind, node: &str, title: &str, message: String, hint: String) {
        if self.found.len() < MAX_PROBLEMS {
            let (node, title) = (node.to_owned(), title.chars().take(MAX_SHOWN).collect());
            self.found.push(ConvertProblem { kind, node, title, message, hint });
        }
    }

    pub(super) fn missing_class(&mut self, id: &str, title: &str, node: &Node<'_>) {
        let property = |key: &str| node.properties.and_then(|properties| properties.get(key)?.as_str());
        let pack = property("cnr_id").or_else(|| property("aux_id")).map(shown);
        let class = shown(&node.class);
        let (message, hint) = if is_subgraph_id(&node.class) {
            let hint = "save the workflow again in the editor, with the subgraph in it".to_owned();
            (format!("the file doesn't have the subgraph {class}"), hint)
        } else {
            let hint = match pack.as_deref() {
                Some("comfy-core") => "update ComfyUI: the class belongs to it".to_owned(),
                Some(pack) => format!("install the pack {pack}"),
                None => "install the custom nodes that have it; the file doesn't say which".to_owned(),
            };
            (format!("ComfyUI has no node class {class}"), hint)
        };
        let kind = ConvertProblemKind::MissingClass { class, pack };
        self.add(kind, id, title, message, hint);
    }

    pub(super) fn dangling(&mut self, id: &str, title: &str, input: &str) {
        let input = &shown(input);
        let message = format!("the link to input {input} comes from nowhere");
        let hint = "link the input again in the editor, if the node needs it".to_owned();
        self.add(ConvertProblemKind::DanglingLink { input: input.to_owned() }, id, title, message, hint);
    }

    pub(super) fn lost(&mut self, id: &str, title: &str, input: &str) {
        let input = &shown(input);
        let message = format!("the editor loses the link to input {input} when it loads this file");
        let hint = "open the file in the editor, link the input again and save it".to_owned();
        self.add(ConvertProblemKind::LostLink { input: input.to_owned() }, id, title, message, hint);
    }

    pub(super) fn circle(&mut self, id: &str, title: &str, input: &str) {
        let input = &shown(input);
        let message = format!("the link to input {input} goes round in a circle");
        let hint = "link the input to the node whose output it should take".to_owned();
        self.add(ConvertProblemKind::CircularLink { input: input.to_owned() }, id, title, message, hint);
    }

    pub(super) fn twice(&mut self, id: &str, title: &str) {
        let message = format!("two nodes have the id {id}");
        let hint = "save the workflow again in the editor, which gives each node its own".to_owned();
        self.add(ConvertProblemKind::DuplicateId, id, title, message, hint);
    }
}

fn shown(name: &str) -> String {
    name.chars().take(MAX_SHOWN).collect()
}

/// Definitions of subgraphs have UUIDs.
fn is_subgraph_id(class: &str) -> bool {
    class.len() == 36 && class.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
