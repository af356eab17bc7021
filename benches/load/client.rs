//! One connection of the load generator: write a request, read its answer to the last byte, note the times.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Plan {
    pub(crate) addr: SocketAddr,
    /// Head and body, sent as they are.
    pub(crate) request: Vec<u8>,
    pub(crate) stream: bool,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
    /// Counted requests of each connection.
    pub(crate) limit: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Tally {
    /// Every complete answer, those outside the measurement too: what to divide a proxy's CPU time by.
    pub(crate) complete: u64,
    /// Nanoseconds from the first byte out to the last byte in.
    pub(crate) latencies: Vec<u64>,
    /// Nanoseconds to the first byte of the answer.
    pub(crate) first_bytes: Vec<u64>,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) bytes: u64,
    /// HTTP chunks of streamed answers.
    pub(crate) chunks: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.complete += other.complete;
        self.latencies.extend(other.latencies);
        self.first_bytes.extend(other.first_bytes);
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.bytes += other.bytes;
        self.chunks += other.chunks;
    }
}

pub(crate) fn request(addr: SocketAddr, path: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {key}\r\naccept: application/json\r\n\
         content-type: application/json\r\nuser-agent: load/1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// Errors in a row after which a connection gives up: nobody is there.
const GIVE_UP: u32 = 100;

pub(crate) async fn run(plan: Arc<Plan>) -> Tally {
    let mut tally = Tally::default();
    let mut failures = 0;
    let mut wire: Option<Wire> = None;
    while Instant::now() < plan.end && failures < GIVE_UP {
        if plan.limit.is_some_and(|limit| tally.latencies.len() as u64 >= limit) {
            break;
        }
        let mut connected = match wire.take() {
            Some(wire) => wire,
            None => match Wire::connect(plan.addr).await {
                Ok(wire) => wire,
                Err(_) => {
                    *tally.errors.entry("connect").or_default() += 1;
                    failures += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    continue;
                }
            },
        };
        let began = Instant::now();
        match connected.exchange(&plan).await {
            Ok(answer) => {
                failures = 0;
                tally.complete += 1;
                let ended = Instant::now();
                if began >= plan.start && ended <= plan.end {
                    tally.latencies.push(nanos(began, ended));
                    tally.first_bytes.push(nanos(began, answer.first_byte));
                    tally.bytes += answer.bytes;
                    tally.chunks += answer.chunks;
                }
                if answer.keep_alive {
                    wire = Some(connected);
                }
            }
            Err(kind) => {
                *tally.errors.entry(kind).or_default() += 1;
                failures += 1;
            }
        }
    }
    tally
}

fn nanos(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX)
}

struct Answer {
    first_byte: Instant,
    bytes: u64,
    chunks: u64,
    keep_alive: bool,
}

struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// What the loop must know of an answer's head.
struct Head {
    length: Option<usize>,
    chunked: bool,
    keep_alive: bool,
}

impl Wire {
    async fn connect(addr: SocketAddr) -> std::io::Result<Wire> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: BytesMut::with_capacity(64 * 1024) })
    }

    /// The error is the kind under which it is counted.
    async fn exchange(&mut self, plan: &Plan) -> Result<Answer, &'static str> {
        self.stream.write_all(&plan.request).await.map_err(|_| "write")?;
        self.fill().await?;
        let first_byte = Instant::now();
        let head = loop {
            match parse(&self.buffer)? {
                Some((used, head)) => {
                    self.buffer.advance(used);
                    break head;
                }
                None => self.fill().await?,
            }
        };
        let (bytes, chunks) = match head {
            Head { chunked: true, .. } => self.chunks(plan.stream).await?,
            Head { length: Some(length), .. } if !plan.stream => (self.skip(length).await?, 0),
            Head { .. } => return Err("framing"),
        };
        Ok(Answer { first_byte, bytes, chunks, keep_alive: head.keep_alive })
    }

    async fn skip(&mut self, length: usize) -> Result<u64, &'static str> {
        let mut left = length;
        loop {
            let now = left.min(self.buffer.len());
            self.buffer.advance(now);
            left = left.saturating_sub(now);
            if left == 0 {
                return Ok(length as u64);
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self, stream: bool) -> Result<(u64, u64), &'static str> {
        let (mut bytes, mut chunks) = (0, 0);
        let mut tail = Tail::default();
        loop {
            let size = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((used, size))) => {
                        self.buffer.advance(used);
                        break usize::try_from(size).map_err(|_| "chunk")?;
                    }
                    Ok(httparse::Status::Partial) => self.fill().await?,
                    Err(_) => return Err("chunk"),
                }
            };
            while self.buffer.len() < size.saturating_add(2) {
                self.fill().await?;
            }
            if size == 0 {
                self.buffer.advance(2);
                // A stream that merely stops is not an answer.
                return if stream && !tail.is_done() { Err("unterminated stream") } else { Ok((bytes, chunks)) };
            }
            let chunk = self.buffer.split_to(size);
            tail.push(&chunk);
            self.buffer.advance(2);
            bytes += size as u64;
            chunks += 1;
        }
    }

    async fn fill(&mut self) -> Result<(), &'static str> {
        self.buffer.reserve(16 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err("closed"),
            Ok(_) => Ok(()),
            Err(_) => Err("read"),
        }
    }
}

const DONE: &[u8] = b"data: [DONE]\n\n";

/// The last bytes of a body, whatever its chunks.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    fn push(&mut self, chunk: &[u8]) {
        if chunk.len() >= DONE.len() {
            self.bytes.clear();
            self.bytes.extend_from_slice(chunk.get(chunk.len().saturating_sub(DONE.len())..).unwrap_or_default());
        } else {
            self.bytes.extend_from_slice(chunk);
            let excess = self.bytes.len().saturating_sub(DONE.len());
            self.bytes.drain(..excess);
        }
    }

    fn is_done(&self) -> bool {
        self.bytes == DONE
    }
}

fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, &'static str> {
    let mut storage = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut storage);
    let used = match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("head"),
    };
    match response.code {
        Some(200) => {}
        Some(400..=499) => return Err("status 4xx"),
        Some(500..=599) => return Err("status 5xx"),
        _ => return Err("status"),
    }
    let mut head = Head { length: None, chunked: false, keep_alive: true };
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            head.length = std::str::from_utf8(header.value).ok().and_then(|value| value.parse().ok());
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = header.value.eq_ignore_ascii_case(b"chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !header.value.eq_ignore_ascii_case(b"close");
        }
    }
    Ok(Some((used, head)))
}
