//! One small question to a service on this machine, over HTTP/1.0: the answer ends when the connection does, and no
//! connection is kept. Never TLS, never another machine than the caller names.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: u64 = 64 * 1024;

pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'static str, &'a str)],
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("its address is not a plain http URL")]
    Url,
    #[error("it does not answer")]
    Timeout,
    #[error("it cannot be reached")]
    Io(#[from] std::io::Error),
    #[error("its answer is not HTTP")]
    Malformed,
}

/// Status and body.
pub(super) async fn fetch(request: &Request<'_>) -> Result<(u16, Vec<u8>), HttpError> {
    tokio::time::timeout(PATIENCE, exchange(request)).await.map_err(|_| HttpError::Timeout)?
}

async fn exchange(request: &Request<'_>) -> Result<(u16, Vec<u8>), HttpError> {
    let uri: http::Uri = request.url.parse().map_err(|_| HttpError::Url)?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("http")).ok_or(HttpError::Url)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.0\r\nhost: {host}\r\naccept: */*\r\n", request.method);
    for (name, value) in request.headers {
        if value.chars().any(char::is_control) {
            return Err(HttpError::Malformed);
        }
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("content-length: 0\r\n\r\n");
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    parse(&answer).ok_or(HttpError::Malformed)
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end)?;
    let line = head.split(|b| *b == b'\r').next()?;
    let status = std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()?;
    Some((status, rest.get(4..)?.to_vec()))
}
