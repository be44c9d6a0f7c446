//! What is sent, and what has to come back.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::raw::{LEGACY, MODERN, Raw};

use crate::server::Server;

const TEXT: &str = "The quick brown fox jumps over the lazy dog.";

/// A way to call. Both sides get the same message and, but for what is said below, the same headers.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) answers: Answers,
    pub(crate) era: Era,
    /// Whether limits hold for it.
    pub(crate) held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Json,
    /// The call has a progress token, so the tool tells of its progress first, on both sides.
    Progress,
    /// A stream of nothing but the answer. It is the configuration that rmcp decides by; we do by `Accept`.
    Stream,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    Modern,
    /// We want a session; rmcp is without in this mode.
    Legacy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Ours,
    Rmcp,
}

impl Case {
    pub(crate) const ALL: [Case; 4] = [
        Case { name: "JSON", answers: Answers::Json, era: Era::Modern, held: true },
        Case { name: "SSE, progress and answer", answers: Answers::Progress, era: Era::Modern, held: true },
        Case { name: "SSE, answer alone", answers: Answers::Stream, era: Era::Modern, held: true },
        Case { name: "JSON, 2025-11-25", answers: Answers::Json, era: Era::Legacy, held: false },
    ];

    /// Opens the session that the legacy era wants.
    pub(crate) async fn session(&self, ours: &Server) -> Result<Option<String>> {
        match self.era {
            Era::Modern => Ok(None),
            Era::Legacy => Ok(Some(Raw::new(&format!("http://{}/mcp", ours.address))?.initialize().await?.1)),
        }
    }

    pub(crate) fn request(&self, whose: Whose, session: Option<&str>) -> Request {
        let body = self.body();
        let length = body.len();
        let mut lines = vec![
            "POST /mcp HTTP/1.1".to_owned(),
            "Host: 127.0.0.1".to_owned(),
            "Content-Type: application/json".to_owned(),
            format!("Content-Length: {length}"),
        ];
        lines.push(match (self.answers, whose) {
            (Answers::Stream, Whose::Ours) => "Accept: text/event-stream".to_owned(),
            _ => "Accept: application/json, text/event-stream".to_owned(),
        });
        match self.era {
            Era::Modern => lines.extend([
                format!("MCP-Protocol-Version: {MODERN}"),
                "Mcp-Method: tools/call".to_owned(),
                "Mcp-Name: echo".to_owned(),
            ]),
            Era::Legacy => lines.push(format!("MCP-Protocol-Version: {LEGACY}")),
        }
        lines.extend(session.map(|session| format!("Mcp-Session-Id: {session}")));
        let events = match self.answers {
            Answers::Json => 0,
            Answers::Stream => 1,
            Answers::Progress => 2,
        };
        Request { bytes: format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes(), events }
    }

    fn body(&self) -> String {
        let mut params = json!({"name": "echo", "arguments": {"text": TEXT}});
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        if self.answers == Answers::Progress {
            params["_meta"]["progressToken"] = 1.into();
        }
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
    }
}

/// The bytes of a request, and how many events make the answer to it; none is plain JSON.
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    events: usize,
}

impl Request {
    /// Whether this is the whole answer that is expected.
    pub(crate) fn check(&self, answer: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(answer);
        let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        ensure!(events.len() == self.events, "{} events, not {}: {text}", events.len(), self.events);
        let plain = text.lines().last().filter(|_| self.events == 0);
        let message = events.last().copied().or(plain).context("there is no message")?;
        let message: Value = serde_json::from_str(message).with_context(|| format!("not JSON: {text}"))?;
        ensure!(message["result"]["structuredContent"]["text"] == TEXT, "not the answer: {text}");
        Ok(())
    }
}
