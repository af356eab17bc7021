//! Reading HTTP/1.1 requests off a socket: heads, bodies with a length, chunked bodies, pipelined ones.

use std::io;

use bytes::{Buf, BytesMut};
use ring::digest::{Context, SHA256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const MAX_HEAD: usize = 256 * 1024;
const MAX_HEADERS: usize = 128;
/// Bodies are hashed in full but never kept beyond this.
const MAX_KEPT: usize = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the client left")]
    Gone,
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

#[derive(Debug)]
pub struct Head {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
    pub framing: Framing,
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// `content-length` and `transfer-encoding` in one head: a smuggling hazard that a gateway must not forward.
    pub ambiguous: bool,
}

#[derive(Debug, Default)]
pub struct Body {
    pub kept: BytesMut,
    pub length: u64,
    /// Hex; empty when the caller did not want it.
    pub sha256: String,
}

/// A connection and what was read from it but not yet used.
#[derive(Debug)]
pub struct Wire {
    pub stream: TcpStream,
    buffer: BytesMut,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Wire {
        Wire { stream, buffer: BytesMut::with_capacity(16 * 1024) }
    }

    /// The next request's head; `None` when the client closed between requests.
    pub async fn head(&mut self) -> Result<Option<Head>, RequestError> {
        loop {
            if !self.buffer.is_empty()
                && let Some((used, head)) = parse_head(&self.buffer)?
            {
                self.buffer.advance(used);
                return Ok(Some(head));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(RequestError::Malformed("head too long"));
            }
            match self.fill().await {
                Ok(()) => {}
                Err(RequestError::Gone) if self.buffer.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    pub async fn body(&mut self, head: &Head, hash: bool) -> Result<Body, RequestError> {
        if head.expects_continue {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut sink = Sink { body: Body::default(), context: hash.then(|| Context::new(&SHA256)) };
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => self.take(length, &mut sink).await?,
            Framing::Chunked => self.chunks(&mut sink).await?,
        }
        Ok(sink.finish())
    }

    async fn take(&mut self, length: u64, sink: &mut Sink) -> Result<(), RequestError> {
        let mut left = usize::try_from(length).map_err(|_| RequestError::Malformed("length"))?;
        while left > 0 {
            if self.buffer.is_empty() {
                self.buffer.reserve(left.min(256 * 1024));
                self.fill().await?;
            }
            let piece = self.buffer.split_to(left.min(self.buffer.len()));
            left = left.saturating_sub(piece.len());
            sink.push(piece);
        }
        Ok(())
    }

    async fn chunks(&mut self, sink: &mut Sink) -> Result<(), RequestError> {
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((used, size))) => {
                        self.buffer.advance(used);
                        break size;
                    }
                    Ok(httparse::Status::Partial) => self.fill().await?,
                    Err(_) => return Err(RequestError::Malformed("chunk size")),
                }
            };
            if size == 0 {
                return self.trailers().await;
            }
            self.take(size, sink).await?;
            while self.buffer.len() < 2 {
                self.fill().await?;
            }
            if self.buffer.split_to(2) != b"\r\n"[..] {
                return Err(RequestError::Malformed("chunk end"));
            }
        }
    }

    async fn trailers(&mut self) -> Result<(), RequestError> {
        loop {
            match memchr::memmem::find(&self.buffer, b"\r\n") {
                Some(0) => {
                    self.buffer.advance(2);
                    return Ok(());
                }
                Some(end) => self.buffer.advance(end.saturating_add(2)),
                None if self.buffer.len() > MAX_HEAD => return Err(RequestError::Malformed("trailers")),
                None => self.fill().await?,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), RequestError> {
        self.buffer.reserve(8 * 1024);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(RequestError::Gone),
            _ => Ok(()),
        }
    }

    /// Resolves when the client has left. Safe to drop at any time; what it reads is kept for the next request.
    pub async fn gone(&mut self) {
        loop {
            if self.buffer.len() > MAX_HEAD {
                // Somebody pipelines a lot: reading on would buffer without a bound.
                std::future::pending::<()>().await;
            }
            if self.stream.readable().await.is_err() {
                return;
            }
            self.buffer.reserve(8 * 1024);
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

struct Sink {
    body: Body,
    context: Option<Context>,
}

impl Sink {
    fn push(&mut self, piece: BytesMut) {
        self.body.length = self.body.length.saturating_add(piece.len() as u64);
        if let Some(context) = &mut self.context {
            context.update(&piece);
        }
        if self.body.kept.is_empty() {
            // The usual case: the whole body came with the head, and is not copied.
            self.body.kept = piece;
        } else if self.body.kept.len().saturating_add(piece.len()) <= MAX_KEPT {
            self.body.kept.extend_from_slice(&piece);
        }
    }

    fn finish(mut self) -> Body {
        if let Some(context) = self.context {
            self.body.sha256 = hex::encode(context.finish());
        }
        self.body
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(usize, Head)>, RequestError> {
    let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut storage);
    let used = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(RequestError::Malformed("head")),
    };
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(RequestError::Malformed("request line"));
    };
    let mut head = Head {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::with_capacity(parsed.headers.len()),
        framing: Framing::None,
        keep_alive: version == 1,
        expects_continue: false,
        ambiguous: false,
    };
    let (mut length, mut chunked) = (None, false);
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        let value = String::from_utf8_lossy(header.value).into_owned();
        match name.as_str() {
            "content-length" => {
                let number = value.parse::<u64>().map_err(|_| RequestError::Malformed("content-length"))?;
                head.ambiguous |= length.is_some();
                length = Some(number);
            }
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" if value.eq_ignore_ascii_case("close") => head.keep_alive = false,
            "expect" if value.eq_ignore_ascii_case("100-continue") => head.expects_continue = true,
            _ => {}
        }
        head.headers.push((name, value));
    }
    head.ambiguous |= chunked && length.is_some();
    head.framing = match (chunked, length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) if length > 0 => Framing::Length(length),
        _ => Framing::None,
    };
    Ok(Some((used, head)))
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(have, _)| *have == name).map(|(_, value)| value))
    }

    /// The path below `/v1/`, whatever fixed prefix a base URL has put before it.
    pub fn tail(&self) -> Option<&str> {
        self.path().split_once("/v1/").map(|(_, tail)| tail.trim_end_matches('/'))
    }
}
