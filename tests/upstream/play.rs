//! Sends a reply as its behaviour says: at once, piece by piece, on release, or wrongly.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::act::{Act, Fault};
use super::gzip;
use super::house::{Api, House};
use super::reply::{Pieces, Reply};
use super::request::{Head, Wire};

/// How an exchange ended, seen from the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    KeepAlive,
    /// Complete, and the connection closes.
    Close,
    /// The client left before the end.
    Gone,
    /// The upstream itself broke it off, as it was told to.
    Broken,
}

/// What the request line and headers mean for the answer's framing.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub number: u64,
    pub keep_alive: bool,
    pub head_only: bool,
}

impl Line {
    pub fn of(head: &Head, number: u64) -> Line {
        Line { number, keep_alive: head.keep_alive, head_only: head.method == "HEAD" }
    }
}

struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Gone {
        Gone
    }
}

pub async fn play(wire: &mut Wire, house: &House, act: &Act, mut reply: Reply, line: Line) -> Ended {
    prepare(act, &mut reply);
    match send(wire, house, act, &reply, line).await {
        Ok(ended) => ended,
        Err(Gone) => Ended::Gone,
    }
}

/// Everything about a reply that the behaviour changes before its first byte.
fn prepare(act: &Act, reply: &mut Reply) {
    if let Some(content_type) = &act.content_type {
        reply.content_type.clone_from(content_type);
    }
    for (name, value) in &act.headers {
        reply.headers.push((name.clone(), value.clone()));
    }
    if let Some(Fault::HugeHeader { bytes }) = act.fault {
        reply.headers.push(("x-huge".to_owned(), "h".repeat(bytes)));
    }
    if act.gzip {
        reply.body = gzip::encode(&reply.body);
        reply.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    }
    if let Some(size) = act.split {
        reply.body = std::mem::take(&mut reply.body).split(size);
    }
    reply.streamed |= act.chunked;
}

async fn send(wire: &mut Wire, house: &House, act: &Act, reply: &Reply, line: Line) -> Result<Ended, Gone> {
    if act.delay_ms > 0 {
        pause(wire, tokio::time::sleep(Duration::from_millis(act.delay_ms))).await?;
    }
    match act.fault {
        Some(Fault::Close { after: None }) => return Ok(Ended::Broken),
        Some(Fault::Reset { after: None }) => return Ok(reset(wire)),
        Some(Fault::Stall { after: None }) => {
            wire.gone().await;
            return Err(Gone);
        }
        _ => {}
    }
    if let Some(raw) = &act.raw {
        wire.stream.write_all(raw.as_bytes()).await?;
        return Ok(Ended::Broken);
    }
    let mut bytes = reply.head(line.number, line.keep_alive).into_bytes();
    let complete = if line.keep_alive { Ended::KeepAlive } else { Ended::Close };
    if line.head_only {
        wire.stream.write_all(&bytes).await?;
        return Ok(complete);
    }
    if act.body_delay_ms > 0 {
        wire.stream.write_all(&bytes).await?;
        bytes.clear();
        pause(wire, tokio::time::sleep(Duration::from_millis(act.body_delay_ms))).await?;
    }
    let one_write = !act.paced() && (act.burst || !reply.streamed) && act.split.is_none();
    if one_write {
        for piece in reply.body.iter() {
            frame(&mut bytes, piece, reply.streamed);
            house.add(&house.count.pieces);
        }
        end(&mut bytes, reply.streamed);
        wire.stream.write_all(&bytes).await?;
        return Ok(complete);
    }
    piecewise(wire, house, act, reply, bytes, complete).await
}

/// `pending` holds the head, which leaves with the first piece.
async fn piecewise(
    wire: &mut Wire,
    house: &House,
    act: &Act,
    reply: &Reply,
    mut pending: Vec<u8>,
    complete: Ended,
) -> Result<Ended, Gone> {
    let total = reply.body.count();
    let truncated_at = matches!(act.fault, Some(Fault::Truncate)).then_some(total / 2);
    for (sent, piece) in reply.body.iter().enumerate() {
        if sent > 0 {
            if act.hold {
                pause(wire, house.released()).await?;
            } else if act.chunk_delay_ms > 0 {
                pause(wire, tokio::time::sleep(Duration::from_millis(act.chunk_delay_ms))).await?;
            } else {
                tokio::task::yield_now().await;
            }
        }
        match strike(wire, house, act, sent, &mut pending, reply).await? {
            Strike::Go => {}
            Strike::End(ended) => return Ok(ended),
            Strike::Finish => {
                end(&mut pending, reply.streamed);
                wire.stream.write_all(&pending).await?;
                return Ok(complete);
            }
        }
        if truncated_at == Some(sent) {
            let mut framed = Vec::new();
            frame(&mut framed, piece, reply.streamed);
            pending.extend_from_slice(framed.get(..framed.len() / 2).unwrap_or_default());
            wire.stream.write_all(&pending).await?;
            return Ok(Ended::Broken);
        }
        frame(&mut pending, piece, reply.streamed);
        wire.stream.write_all(&pending).await?;
        pending.clear();
        house.add(&house.count.pieces);
    }
    match strike(wire, house, act, total, &mut pending, reply).await? {
        Strike::End(ended) => return Ok(ended),
        Strike::Go | Strike::Finish => {}
    }
    end(&mut pending, reply.streamed);
    wire.stream.write_all(&pending).await?;
    Ok(complete)
}

enum Strike {
    Go,
    /// The stream ends here, cleanly.
    Finish,
    End(Ended),
}

/// The fault that is due after `sent` pieces.
async fn strike(
    wire: &mut Wire,
    house: &House,
    act: &Act,
    sent: usize,
    pending: &mut Vec<u8>,
    reply: &Reply,
) -> Result<Strike, Gone> {
    let streamed = reply.streamed;
    match act.fault {
        Some(Fault::Close { after: Some(after) }) if sent == after => {
            wire.stream.write_all(pending).await?;
            Ok(Strike::End(Ended::Broken))
        }
        Some(Fault::Reset { after: Some(after) }) if sent == after => {
            wire.stream.write_all(pending).await?;
            Ok(Strike::End(reset(wire)))
        }
        Some(Fault::Stall { after: Some(after) }) if sent == after => {
            wire.stream.write_all(pending).await?;
            wire.gone().await;
            Err(Gone)
        }
        Some(Fault::Garbage { after }) if sent == after => {
            frame(pending, b"data: {\"choices\":[{\"del\xff\xfe\n\n\x00\x01garbage\r\ndata:\n\n", streamed);
            Ok(Strike::Go)
        }
        Some(Fault::ErrorFrame { after }) if sent == after => {
            let mut pieces = Pieces::default();
            match &reply.error_frame {
                Some(bytes) => pieces.push(bytes),
                None => error_frame(house.options.api, &mut pieces),
            }
            frame(pending, pieces.bytes(), streamed);
            Ok(Strike::Finish)
        }
        Some(Fault::GiantLine { after, bytes }) if sent == after => {
            giant(wire, pending, bytes, streamed).await?;
            Ok(Strike::Go)
        }
        _ => Ok(Strike::Go),
    }
}

fn error_frame(api: Api, pieces: &mut Pieces) {
    match api {
        Api::OpenAi | Api::Azure | Api::Vllm | Api::DeepInfra => pieces
            .data(r#"{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}"#),
        // Their own answers say what it looks like.
        Api::Ollama | Api::Gemini => {}
        Api::Anthropic => {
            pieces.event("error", r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
        }
    }
}

/// One event of `bytes` bytes, made and sent in parts so that it needs no memory here.
async fn giant(wire: &mut Wire, pending: &mut Vec<u8>, bytes: usize, streamed: bool) -> Result<(), Gone> {
    let (open, close) = (&br#"data: {"choices":[{"index":0,"delta":{"content":""#[..], &b"\"}}]}\n\n"[..]);
    frame(pending, open, streamed);
    let part = vec![b'x'; 64 * 1024];
    let mut left = bytes.saturating_sub(open.len().saturating_add(close.len()));
    while left > 0 {
        let size = left.min(part.len());
        frame(pending, part.get(..size).unwrap_or_default(), streamed);
        wire.stream.write_all(pending).await?;
        pending.clear();
        left = left.saturating_sub(size);
    }
    frame(pending, close, streamed);
    Ok(())
}

/// Waits, unless the client leaves first.
async fn pause(wire: &mut Wire, wait: impl Future<Output = ()>) -> Result<(), Gone> {
    tokio::select! {
        () = wait => Ok(()),
        () = wire.gone() => Err(Gone),
    }
}

fn frame(out: &mut Vec<u8>, piece: &[u8], streamed: bool) {
    if !streamed {
        out.extend_from_slice(piece);
        return;
    }
    if piece.is_empty() {
        // An empty chunk would end the body.
        return;
    }
    let mut size = String::with_capacity(10);
    let written = write!(size, "{:x}\r\n", piece.len());
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    out.extend_from_slice(size.as_bytes());
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
}

fn end(out: &mut Vec<u8>, streamed: bool) {
    if streamed {
        out.extend_from_slice(b"0\r\n\r\n");
    }
}

fn reset(wire: &Wire) -> Ended {
    // With a zero linger, close sends a reset. If the option cannot be set, a plain close is the next best.
    let _set = wire.stream.set_zero_linger();
    Ended::Broken
}
