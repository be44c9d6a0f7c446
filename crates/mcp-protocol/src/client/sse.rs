//! Server-Sent Events, read from chunks of any size.
//!
//! The rules are those of the HTML standard's "Interpreting an event stream": UTF-8, lines ended by LF, CR or
//! CRLF, an empty line ends an event, a line that starts with a colon is a comment. Memory is bounded: an
//! event that is larger than the limit ends the stream with [`EventTooLarge`].

use std::time::Duration;

/// One event; fields that a JSON-RPC message doesn't need (`event:`) are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// The `data` lines, joined by line feeds. Empty for an event that only sets `id` or `retry`.
    pub(super) data: String,
}

/// An event went over the parser's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventTooLarge;

/// Collects chunks and gives out whole events.
#[derive(Debug)]
pub(super) struct SseParser {
    limit: usize,
    /// The line that is being read; never longer than `limit`.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    pending_id: Option<String>,
    last_event_id: Option<String>,
    retry: Option<Duration>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    at_start: bool,
}

/// What a server may ask a client to wait before it reconnects is cut to this.
const MAX_RETRY: Duration = Duration::from_secs(30);

impl SseParser {
    /// `limit` is the most bytes that one event's data, or one line, may have.
    pub(super) fn new(limit: usize) -> SseParser {
        SseParser {
            limit,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            pending_id: None,
            last_event_id: None,
            retry: None,
            after_cr: false,
            at_start: true,
        }
    }

    /// The `id` of the last whole event that had one: where a stream can be resumed from.
    pub(super) fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// How long the server asked to wait before a reconnection.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// A new connection goes on with the same stream: half an event of the old one is forgotten, ids are
    /// kept.
    pub(super) fn reconnected(&mut self) {
        self.line.clear();
        self.data.clear();
        self.has_data = false;
        self.pending_id = None;
        self.after_cr = false;
        self.at_start = true;
    }

    /// Takes a chunk and appends the events that it completes to `events`.
    pub(super) fn push(&mut self, chunk: &[u8], events: &mut Vec<SseEvent>) -> Result<(), EventTooLarge> {
        let mut rest = chunk;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend_line(rest);
            };
            self.extend_line(&rest[..end])?;
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            self.end_line(events)?;
        }
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        // "data: " and the like come on top of the data itself.
        const FIELD_NAME_BYTES: usize = 16;
        if self.line.len() + bytes.len() > self.limit + FIELD_NAME_BYTES {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<SseEvent>) -> Result<(), EventTooLarge> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_start) && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(.."\u{feff}".len());
        }
        if line.is_empty() {
            self.end_event(events);
        } else {
            self.field(&line)?;
        }
        // The buffer is used again for the next line.
        line.clear();
        self.line = line;
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), EventTooLarge> {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.data.len() + value.len() + 1 > self.limit + 1 {
                    return Err(EventTooLarge);
                }
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            // A NUL makes an id invalid; one that can't be a header value is of no use either.
            b"id" if value.len() <= 1024 && value.iter().all(|byte| (0x20..0x7f).contains(byte)) => {
                self.pending_id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" => {
                let milliseconds = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                if let Some(milliseconds) = milliseconds {
                    self.retry = Some(Duration::from_millis(milliseconds).min(MAX_RETRY));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self, events: &mut Vec<SseEvent>) {
        if let Some(id) = self.pending_id.take() {
            self.last_event_id = Some(id).filter(|id| !id.is_empty());
        }
        if std::mem::take(&mut self.has_data) {
            let data = String::from_utf8_lossy(&self.data).into_owned();
            self.data.clear();
            if !data.is_empty() {
                events.push(SseEvent { data });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(chunks: &[&[u8]]) -> (Vec<String>, SseParser) {
        let mut parser = SseParser::new(1_000);
        let mut events = Vec::new();
        for chunk in chunks {
            parser.push(chunk, &mut events).unwrap();
        }
        (events.into_iter().map(|event| event.data).collect(), parser)
    }

    #[test]
    fn events_are_the_same_whatever_the_chunks_are() {
        let stream =
            "\u{feff}: hello\r\nid: 1\rdata: {\"a\":\r\ndata: \"ü\"}\n\nevent: message\ndata:x\r\n\r\n\
                      id: 2\ndata\n\ndata: last\n\n"
                .as_bytes();
        let expected = vec!["{\"a\":\n\"ü\"}".to_owned(), "x".to_owned(), "last".to_owned()];
        assert_eq!(parse(&[stream]).0, expected, "in one chunk");
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(parse(&bytes).0, expected, "byte by byte");
        for at in 0..stream.len() {
            let (events, parser) = parse(&[&stream[..at], &stream[at..]]);
            assert_eq!(events, expected, "cut at {at}");
            assert_eq!(parser.last_event_id(), Some("2"));
        }
    }

    #[test]
    fn an_event_without_its_empty_line_is_not_given_out() {
        assert!(parse(&[b"data: half\n"]).0.is_empty());
    }

    #[test]
    fn an_event_over_the_limit_is_refused() {
        let mut parser = SseParser::new(10);
        let mut events = Vec::new();
        assert_eq!(parser.push(b"data: 0123456789\n\n", &mut events), Ok(()));
        assert_eq!(parser.push(b"data: 01234\ndata: 567890\n\n", &mut events), Err(EventTooLarge));
        let mut parser = SseParser::new(10);
        assert_eq!(parser.push(&[b'x'; 200], &mut events), Err(EventTooLarge));
    }

    #[test]
    fn retry_is_read_and_bounded() {
        assert_eq!(parse(&[b"retry: 500\n\n"]).1.retry(), Some(Duration::from_millis(500)));
        assert_eq!(parse(&[b"retry: 99999999999\n\n"]).1.retry(), Some(MAX_RETRY));
        assert_eq!(parse(&[b"retry: soon\n\n"]).1.retry(), None);
    }
}
