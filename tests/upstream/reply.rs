//! An answer before it is sent: status, headers, and the body as the pieces in which it leaves.

use std::fmt::Write as _;

use super::house::Api;

/// One buffer and the ends of its pieces: a stream of hundreds of events costs two allocations.
#[derive(Debug, Default, Clone)]
pub struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    pub fn whole(bytes: Vec<u8>) -> Pieces {
        let ends = if bytes.is_empty() { Vec::new() } else { vec![bytes.len()] };
        Pieces { bytes, ends }
    }

    pub fn push(&mut self, piece: &[u8]) {
        if !piece.is_empty() {
            self.bytes.extend_from_slice(piece);
            self.ends.push(self.bytes.len());
        }
    }

    /// An event without a name.
    pub fn data(&mut self, json: &str) {
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(json.as_bytes());
        self.bytes.extend_from_slice(b"\n\n");
        self.ends.push(self.bytes.len());
    }

    pub fn event(&mut self, name: &str, json: &str) {
        self.bytes.extend_from_slice(b"event: ");
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(b'\n');
        self.data(json);
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn count(&self) -> usize {
        self.ends.len()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let piece = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            piece
        })
    }

    /// The same bytes, cut every `size` of them.
    pub fn split(self, size: usize) -> Pieces {
        let mut cut = Pieces::default();
        self.bytes.chunks(size.max(1)).for_each(|piece| cut.push(piece));
        cut
    }
}

#[derive(Debug)]
pub struct Reply {
    /// Whose headers it carries.
    pub api: Api,
    pub status: u16,
    pub content_type: String,
    pub headers: Vec<(String, String)>,
    pub body: Pieces,
    /// Sent chunked rather than with a length.
    pub streamed: bool,
    /// What an error in the middle of the stream looks like, where it is not a server-sent event.
    pub error_frame: Option<Vec<u8>>,
}

impl Reply {
    pub fn json(status: u16, json: String) -> Reply {
        Reply {
            api: Api::default(),
            status,
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            body: Pieces::whole(json.into_bytes()),
            streamed: false,
            error_frame: None,
        }
    }

    pub fn bytes(content_type: &str, bytes: Vec<u8>) -> Reply {
        let mut reply = Reply::json(200, String::new());
        reply.content_type = content_type.to_owned();
        reply.body = Pieces::whole(bytes);
        reply
    }

    pub fn events(body: Pieces) -> Reply {
        let mut reply = Reply::bytes("text/event-stream; charset=utf-8", Vec::new());
        reply.headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
        reply.body = body;
        reply.streamed = true;
        reply
    }

    /// OpenAI's error shape.
    pub fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Reply {
        let error = serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
        Reply::json(status, error.to_string())
    }

    /// Status line and headers, with those that the API's answers carry.
    pub fn head(&self, number: u64, keep_alive: bool) -> String {
        let mut head = String::with_capacity(640);
        let written = self.write_head(&mut head, number, keep_alive);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        head
    }

    fn write_head(&self, head: &mut String, number: u64, keep_alive: bool) -> std::fmt::Result {
        write!(head, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status))?;
        write!(head, "content-type: {}\r\n", self.content_type)?;
        match self.streamed {
            true => head.push_str("transfer-encoding: chunked\r\n"),
            // RFC 9110, 8.6: these two carry no length.
            false if self.status == 204 || self.status == 304 => {}
            false => write!(head, "content-length: {}\r\n", self.body.len())?,
        }
        head.push_str("date: Fri, 21 Nov 2025 06:40:00 GMT\r\nserver: upstream\r\n");
        match self.api {
            Api::OpenAi => {
                write!(head, "x-request-id: req_{number:032x}\r\n")?;
                head.push_str(
                    "openai-organization: org-local\r\n\
                     openai-processing-ms: 7\r\nopenai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n\
                     x-ratelimit-limit-tokens: 2000000\r\nx-ratelimit-remaining-requests: 9999\r\n\
                     x-ratelimit-remaining-tokens: 1999980\r\nx-ratelimit-reset-requests: 6ms\r\n\
                     x-ratelimit-reset-tokens: 0s\r\n",
                );
            }
            Api::Anthropic => {
                write!(head, "request-id: req_{number:032x}\r\n")?;
                head.push_str(
                    "anthropic-organization-id: org-local\r\nanthropic-ratelimit-requests-limit: 4000\r\n\
                     anthropic-ratelimit-requests-remaining: 3999\r\n\
                     anthropic-ratelimit-requests-reset: 2025-11-21T06:40:01Z\r\n",
                );
            }
            Api::Azure => {
                write!(head, "x-request-id: req_{number:032x}\r\napim-request-id: apim-{number}\r\n")?;
                head.push_str(
                    "x-ms-region: Sweden Central\r\nx-ratelimit-limit-requests: 100\r\n\
                     x-ratelimit-remaining-requests: 99\r\nx-ratelimit-remaining-tokens: 99000\r\n",
                );
            }
            Api::Vllm | Api::Ollama => {}
            Api::Gemini => head.push_str("server-timing: gfet4t7; dur=7\r\nx-content-type-options: nosniff\r\n"),
            Api::DeepInfra => write!(head, "x-request-id: req_{number:032x}\r\n")?,
        }
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        if !keep_alive {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        Ok(())
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Status")
}
