//! Where the server is, and how it is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mcp_protocol::client::{HttpOptions, Peer, PeerOptions, ServerLog, WsOptions};
use mcp_protocol::wire::Implementation;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::Command;
use url::Url;

use crate::artifact::ArtifactDoor;
use crate::error::GatewayError;
use crate::gateway::GatewayClient;

/// A server to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The URL of its MCP endpoint: http, https, ws or wss.
    Http(String),
    /// A program that is started and spoken with over its standard streams; it ends with the connection.
    Stdio {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

impl Target {
    /// The URL of the server's MCP endpoint, such as `http://127.0.0.1:9000/mcp` or `ws://127.0.0.1:9000/ws`.
    pub fn http(url: impl Into<String>) -> Target {
        Target::Http(url.into())
    }

    /// A command line, split at spaces; single and double quotes and backslashes work as in a shell.
    pub fn stdio(command_line: &str) -> Result<Target, GatewayError> {
        let invalid = |reason: &str| GatewayError::InvalidTarget {
            given: command_line.to_owned(),
            reason: reason.to_owned(),
        };
        let mut words =
            split_words(command_line).ok_or_else(|| invalid("a quote is not closed"))?.into_iter();
        let program = words.next().ok_or_else(|| invalid("it names no program"))?;
        Ok(Target::Stdio { program: program.into(), arguments: words.collect() })
    }
}

/// How the connection is made.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Sent as a bearer token over HTTP and with a websocket's handshake, put into the started server's environment as `MCP_API_KEY`
    /// otherwise.
    pub api_key: Option<SecretString>,
    /// Sent with every HTTP request and a websocket's handshake: names and values.
    pub headers: Vec<(String, String)>,
    /// How long one call may take, beside what the server was asked to wait.
    pub timeout: Duration,
    /// What becomes of the standard error of a started server.
    pub server_log: ServerLog,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            api_key: None,
            headers: Vec::new(),
            timeout: Duration::from_mins(1),
            server_log: ServerLog::default(),
        }
    }
}

/// Opens a server.
pub async fn connect(target: Target, options: ConnectOptions) -> Result<GatewayClient, GatewayError> {
    let peer_options = PeerOptions {
        client_info: Implementation {
            name: "mcp-client".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Implementation::default()
        },
        timeout: options.timeout,
        ..PeerOptions::default()
    };
    let (peer, door) = match target {
        Target::Http(url) => {
            if let Some(door) = beside_websocket(&url) {
                let ws = WsOptions {
                    bearer: options.api_key.clone(),
                    headers: options.headers.clone(),
                    peer: peer_options,
                    ..WsOptions::default()
                };
                (Peer::connect_ws(&url, ws).await?, Some(ArtifactDoor::new(&door, &options)?))
            } else {
                let http = HttpOptions {
                    bearer: options.api_key.clone(),
                    headers: options.headers.clone(),
                    peer: peer_options,
                    ..HttpOptions::default()
                };
                (Peer::connect_http(&url, http).await?, Some(ArtifactDoor::new(&url, &options)?))
            }
        }
        Target::Stdio { program, arguments } => {
            let mut command = Command::new(program);
            command.args(arguments);
            if let Some(key) = &options.api_key {
                command.env("MCP_API_KEY", key.expose_secret());
            }
            (Peer::spawn_stdio(command, options.server_log, peer_options).await?, None)
        }
    };
    Ok(GatewayClient::new(Arc::new(peer), door, options.timeout))
}

/// Where the server of a websocket is over HTTP; none if the URL is no websocket's.
fn beside_websocket(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    let scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        _ => return None,
    };
    url.set_scheme(scheme).ok()?;
    Some(url.into())
}

/// Words as a shell would split them, without its expansions; `None` when a quote isn't closed.
fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            quote @ ('"' | '\'') => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        end if end == quote => break,
                        '\\' if quote == '"' => word.push(characters.next()?),
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            space if space.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_beside_a_websocket() {
        assert_eq!(beside_websocket("ws://[::1]:9000/ws").as_deref(), Some("http://[::1]:9000/ws"));
        assert_eq!(beside_websocket("WSS://host/a/ws?x=1").as_deref(), Some("https://host/a/ws?x=1"));
        for url in ["http://host/mcp", "host:9000", ""] {
            assert_eq!(beside_websocket(url), None, "{url}");
        }
    }

    #[test]
    fn a_command_line_is_split_as_in_a_shell() {
        let cases: [(&str, &[&str]); 5] = [
            ("mcp-server stdio", &["mcp-server", "stdio"]),
            ("  a\t b  ", &["a", "b"]),
            (
                r#""/opt/my server/run" --name 'it "is"' """#,
                &["/opt/my server/run", "--name", r#"it "is""#, ""],
            ),
            (r"a\ b c\\d", &["a b", r"c\d"]),
            (r#"a"b"'c'"#, &["abc"]),
        ];
        for (line, expected) in cases {
            assert_eq!(split_words(line).unwrap(), expected, "{line}");
        }
        for line in ["", "   ", "\"open", "x 'open"] {
            assert!(matches!(Target::stdio(line), Err(GatewayError::InvalidTarget { .. })), "{line}");
        }
    }
}
