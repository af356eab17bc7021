//! What goes over a connection to Redis: whole requests and replies, seen from between the two.

use std::time::Instant;

/// One request or reply, when its last byte came by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub at: Instant,
    /// Counts the connections of the proxy, from 0.
    pub connection: u64,
    pub said: Said,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// The command, in upper case, with the key of a script.
    Request(String),
    Reply,
}

/// Cuts one direction of a connection into messages.
#[derive(Default)]
pub struct Cutter {
    rest: Vec<u8>,
}

impl Cutter {
    /// The messages that are whole with these bytes: of each its command, should it be a request.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(length) = length(&self.rest) {
            let message: Vec<u8> = self.rest.drain(..length).collect();
            whole.push(command(&message));
        }
        whole
    }
}

/// Bytes of the first message; `None` = not all of it is here.
fn length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let head = end + 2;
    let count = || std::str::from_utf8(&bytes[1..end]).ok()?.parse::<i64>().ok();
    let parts = match bytes.first()? {
        // Text of a length that is told; a negative one = nothing.
        b'$' | b'!' | b'=' => {
            let Ok(length) = usize::try_from(count().unwrap_or(0)) else { return Some(head) };
            let whole = head + length + 2;
            return (bytes.len() >= whole).then_some(whole);
        }
        b'*' | b'~' | b'>' => count().unwrap_or(0),
        b'%' | b'|' => count().unwrap_or(0) * 2,
        // All else is one line.
        _ => return Some(head),
    };
    let mut whole = head;
    for _ in 0..parts.max(0) {
        whole += length(bytes.get(whole..)?)?;
    }
    Some(whole)
}

/// The first text of a list of texts; of a script that the server knows, its first key as well.
fn command(message: &[u8]) -> String {
    let mut lines = message.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let name = String::from_utf8_lossy(lines.nth(2).unwrap_or_default()).to_ascii_uppercase();
    // Every text follows its length: digest, number of keys, first key.
    match lines.nth(5) {
        Some(key) if name == "EVALSHA" => format!("{name} {}", String::from_utf8_lossy(key)),
        _ => name,
    }
}
