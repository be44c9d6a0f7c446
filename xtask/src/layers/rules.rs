//! The rules themselves: which crate may use which, and what may not be there at all.

/// What a crate may use of the other crates of this workspace.
pub(crate) enum Uses {
    /// These and no others.
    Only(&'static [&'static str]),
    /// Every crate of the product but these.
    AllBut(&'static [&'static str]),
    /// Whatever it needs: nothing of the product stands on it.
    Anything,
}

/// A crate's place in the architecture.
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    pub(crate) uses: Uses,
    /// Why it may use no more than that.
    pub(crate) why: &'static str,
}

const LEAF: &str =
    "it is a leaf: it can be read, tested and reused alone, and mcp-server brings the leaves together";
const WORKFLOW_TYPES: &str =
    "of our crates it knows the graph types of workflow-analyzer, and nothing of jobs, clients or storage";

/// Every crate of the workspace; one that is missing here is refused.
pub(crate) const LAYERS: &[Layer] = &[
    Layer { name: "mcp-protocol", uses: Uses::Only(&[]), why: LEAF },
    Layer { name: "workflow-analyzer", uses: Uses::Only(&[]), why: LEAF },
    Layer { name: "job-queue", uses: Uses::Only(&[]), why: LEAF },
    Layer { name: "auth", uses: Uses::Only(&[]), why: LEAF },
    Layer { name: "progress", uses: Uses::Only(&[]), why: LEAF },
    Layer { name: "comfy-client", uses: Uses::Only(&["workflow-analyzer"]), why: WORKFLOW_TYPES },
    Layer { name: "comfy-sandbox", uses: Uses::Only(&["workflow-analyzer"]), why: WORKFLOW_TYPES },
    Layer {
        name: "storage",
        uses: Uses::Only(&["job-queue", "auth", "progress", "mcp-protocol"]),
        why: "it implements the traits of the crates that need a store, and knows nothing of ComfyUI",
    },
    Layer {
        name: "mcp-client",
        uses: Uses::Only(&["mcp-protocol"]),
        why: "a client sees the server through MCP alone, as everybody else's client does",
    },
    Layer {
        name: "mcp-server",
        uses: Uses::AllBut(&["mcp-client", "tests", "xtask"]),
        why: "it composes the product; the client is another program, and tests and xtask stand beside the product",
    },
    Layer { name: "tests", uses: Uses::Anything, why: "" },
    Layer { name: "xtask", uses: Uses::Anything, why: "" },
];

/// Crates that no other crate may use, not even in its tests.
pub(crate) const TOPS: &[(&str, &str)] = &[
    ("mcp-server", "only mcp-server composes; a test over several crates belongs to the `tests` member"),
    ("tests", "nothing stands on the tests"),
    ("xtask", "nothing stands on the automation"),
];

/// Crates whose dependencies are free: they are not part of the product.
pub(crate) const BESIDE_THE_PRODUCT: &[&str] = &["tests", "xtask"];

/// Packages that must not be anywhere below a crate, however deep.
pub(crate) struct Absence {
    pub(crate) name: &'static str,
    pub(crate) packages: &'static [&'static str],
    pub(crate) why: &'static str,
}

/// What the architecture states as absent.
pub(crate) const ABSENT: &[Absence] = &[
    Absence {
        name: "workflow-analyzer",
        packages: &[
            "tokio",
            "async-std",
            "smol",
            "mio",
            "socket2",
            "hyper",
            "reqwest",
            "axum",
            "tungstenite",
            "tokio-tungstenite",
            "rustls",
            "sea-orm",
            "sqlx",
            "object_store",
            "tempfile",
        ],
        why: "the analyzer is pure: it does no I/O and has no runtime, so that it can run anywhere and be tested by values alone",
    },
    Absence {
        name: "mcp-protocol",
        packages: &["comfy-client", "comfy-sandbox", "workflow-analyzer"],
        why: "the protocol knows nothing of ComfyUI: it could serve any other product",
    },
];

/// A package that only some crates may name among their dependencies.
pub(crate) struct Reserved {
    pub(crate) package: &'static str,
    pub(crate) only_in: &'static [&'static str],
    pub(crate) why: &'static str,
}

const SQL: &str = "SQL is in storage alone; the other crates have a trait for what they keep";

/// Packages with one home.
pub(crate) const RESERVED: &[Reserved] = &[
    Reserved { package: "sea-orm", only_in: &["storage"], why: SQL },
    Reserved { package: "sea-orm-migration", only_in: &["storage"], why: SQL },
    Reserved { package: "sqlx", only_in: &["storage"], why: SQL },
    Reserved {
        package: "anyhow",
        only_in: &["mcp-server", "mcp-client", "comfy-sandbox"],
        why: "a library's errors are typed; anyhow is for the mains of binaries, xtask and tests",
    },
];

/// A word that must not stand in a crate's sources.
pub(crate) struct ForbiddenWord {
    pub(crate) folder: &'static str,
    /// In lower case; found in any case.
    pub(crate) word: &'static str,
    pub(crate) why: &'static str,
}

/// What a dependency graph can't show.
pub(crate) const FORBIDDEN_WORDS: &[ForbiddenWord] = &[ForbiddenWord {
    folder: "crates/mcp-protocol/src",
    word: "comfy",
    why: "the protocol knows nothing of ComfyUI: it could serve any other product",
}];
