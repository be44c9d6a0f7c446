//! Ten thousand sessions that nobody was asked for.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::{HttpConfig, initialize, router, serve};
use crate::testing::{Probe, server};

const CLIENTS: u8 = 20;
const REQUESTS: usize = 500;

/// In a process of its own, where nothing else takes memory.
#[test]
#[cfg(target_os = "linux")]
fn sessions_that_nobody_asked_for_take_little() {
    const ALONE: &str = "MCP_PROTOCOL_FLOOD";
    if std::env::var_os(ALONE).is_none() {
        let this = std::env::current_exe().expect("the tests");
        let name = "http::tests::flood::sessions_that_nobody_asked_for_take_little";
        let run = Command::new(this).args(["--exact", name]).env(ALONE, "1").output().expect("a process");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(flood());
}

async fn flood() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let routes = router(server(&Probe::new()), HttpConfig::default());
    tokio::spawn(serve(listener, routes, std::future::pending()));
    // Those that are not refused are large.
    let requests = [vec![large(); 100], vec![post(&initialize("2025-11-25")); REQUESTS - 100]].concat();

    assert_eq!(answers(address, 100, &requests[..1]).await.opened, 1, "what is made once is there now");
    let before = resident_kb();
    let all = join_all((1..=CLIENTS).map(|client| answers(address, client, &requests))).await;
    let grown = resident_kb().saturating_sub(before);

    assert!(all.iter().all(|seen| seen.opened + seen.of_yours + seen.refused == REQUESTS), "{all:?}");
    assert!(all.iter().all(|seen| seen.opened <= 100), "no client has more than its part: {all:?}");
    assert_eq!(
        all.iter().map(|seen| seen.opened).sum::<usize>(),
        999,
        "nor all together more than there are"
    );
    assert!(all.iter().any(|seen| seen.of_yours > 0), "and each is told which it was: {all:?}");
    assert!(grown < 20_000, "{grown} kB more");
}

/// As large as it may be: many values and long texts.
fn large() -> String {
    let mut request = initialize("2025-11-25");
    let many = (0..45).map(|number| (format!("c{number}"), json!({}))).collect();
    request["params"]["capabilities"] = json!({"experimental": Value::Object(many)});
    request["params"]["clientInfo"]["title"] = json!("x".repeat(2200));
    post(&request)
}

fn post(body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[derive(Debug)]
struct Seen {
    opened: usize,
    of_yours: usize,
    refused: usize,
}

/// Sends the requests on one connection from an address of its own, without waiting for answers.
async fn answers(server: SocketAddr, client: u8, requests: &[String]) -> Seen {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((IpAddr::V4(Ipv4Addr::new(127, 0, 1, client)), 0).into()).expect("all of 127 is loopback");
    let mut stream = socket.connect(server).await.expect("a connection");
    let (mut reader, mut writer) = stream.split();
    let write = async {
        for request in requests {
            writer.write_all(request.as_bytes()).await.expect("written");
        }
    };
    let read = async {
        let mut seen = Seen { opened: 0, of_yours: 0, refused: 0 };
        let (mut text, mut chunk) = (String::new(), [0; 8192]);
        while seen.opened + seen.of_yours + seen.refused < requests.len() {
            let read = reader.read(&mut chunk).await.expect("read");
            assert!(read > 0, "the server has closed the connection: {seen:?}");
            text.push_str(std::str::from_utf8(&chunk[..read]).expect("ASCII"));
            while let Some((head, body)) = take(&mut text) {
                let of_yours = body.contains("of yours are open already");
                match head.split(' ').nth(1) {
                    Some("200") if head.contains("mcp-session-id") => seen.opened += 1,
                    Some("503") if of_yours => seen.of_yours += 1,
                    Some("503") if body.contains("are open already") => seen.refused += 1,
                    _ => panic!("{head}{body}"),
                }
            }
        }
        seen
    };
    tokio::join!(write, read).1
}

/// The first answer, once it is there as a whole.
fn take(text: &mut String) -> Option<(String, String)> {
    let head = text.find("\r\n\r\n")? + 4;
    let length = text[..head].lines().find_map(|line| line.strip_prefix("content-length: "));
    let end = head + length.expect("a length").parse::<usize>().expect("a number");
    let rest = text.get(end..)?.to_owned();
    let answer = (text[..head].to_owned(), text[head..end].to_owned());
    *text = rest;
    Some(answer)
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
