//! WebSocket frames (RFC 6455) as they pass: finds text messages worth reading without holding the others.
//! Nothing is changed, answered or validated; what is no frame any more is no longer looked at.

/// A message's first bytes decide whether it is kept.
const PROBE: usize = 200;
/// A message that is worth reading and longer than this is not read.
const LONGEST: u64 = 4 * 1024 * 1024;

/// Follows one direction of a connection.
#[derive(Debug, Default)]
pub struct Messages {
    head: Vec<u8>,
    /// Of the frame's payload, still to come.
    left: u64,
    mask: Option<[u8; 4]>,
    /// Payload bytes of this frame that were seen.
    at: usize,
    message: Vec<u8>,
    /// The message is text and may be worth reading.
    open: bool,
    decided: bool,
    last: bool,
    control: bool,
    lost: bool,
}

impl Messages {
    /// `wanted` sees the first bytes of each text message, `take` the whole of those that it wanted.
    pub fn push(&mut self, mut piece: &[u8], wanted: impl Fn(&[u8]) -> bool, mut take: impl FnMut(&[u8])) {
        while !piece.is_empty() && !self.lost {
            if self.left == 0 && !self.begin(&mut piece) {
                continue;
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
            let (payload, rest) = piece.split_at(here);
            piece = rest;
            self.left -= here as u64;
            self.keep(payload, &wanted);
            if self.left == 0 && self.last && !self.control {
                if self.open && (self.decided || wanted(&self.message)) {
                    take(&self.message);
                }
                self.message.clear();
                self.open = false;
            }
        }
    }

    /// Reads a frame's head; whether it is whole and a payload follows (or an empty frame ended a message).
    fn begin(&mut self, piece: &mut &[u8]) -> bool {
        while let Some((byte, rest)) = piece.split_first() {
            self.head.push(*byte);
            *piece = rest;
            let Some(head) = Head::of(&self.head) else { continue };
            self.head.clear();
            self.start(&head);
            return self.left > 0 || (self.last && !self.control && !self.lost);
        }
        false
    }

    fn start(&mut self, head: &Head) {
        self.left = head.length;
        self.mask = head.mask;
        self.at = 0;
        self.last = head.last;
        self.control = head.opcode >= 8;
        match head.opcode {
            0 => {}
            1 => {
                self.message.clear();
                self.open = true;
                self.decided = false;
            }
            2 => self.open = false,
            8..=10 => {}
            // Extensions are not agreed on: from here on nothing is what it seems.
            _ => self.lost = true,
        }
    }

    fn keep(&mut self, payload: &[u8], wanted: &impl Fn(&[u8]) -> bool) {
        if self.control || !self.open {
            return;
        }
        if self.message.len() as u64 + payload.len() as u64 > LONGEST {
            self.open = false;
            self.message = Vec::new();
            return;
        }
        let from = self.message.len();
        self.message.extend_from_slice(payload);
        if let Some(mask) = self.mask {
            let fresh = self.message.get_mut(from..).unwrap_or_default();
            for (byte, key) in fresh.iter_mut().zip(mask.iter().cycle().skip(self.at % 4)) {
                *byte ^= key;
            }
        }
        self.at += payload.len();
        if !self.decided && self.message.len() >= PROBE {
            self.decided = wanted(self.message.get(..PROBE).unwrap_or_default());
            self.open = self.decided;
        }
        if !self.open {
            self.message.clear();
        }
    }
}

struct Head {
    last: bool,
    opcode: u8,
    mask: Option<[u8; 4]>,
    length: u64,
}

impl Head {
    /// `None` until it is whole.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & 0x7f {
            126 => rest.split_first_chunk().map(|(n, rest)| (u64::from(u16::from_be_bytes(*n)), rest))?,
            127 => rest.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), rest))?,
            n => (u64::from(n), rest),
        };
        let mask = if second & 0x80 == 0 { None } else { Some(*rest.first_chunk()?) };
        // Reserved bits mean an extension, such as compression.
        let opcode = if first & 0x70 == 0 { first & 0x0f } else { 0x0f };
        Some(Self { last: first & 0x80 != 0, opcode, mask, length })
    }
}

/// A close frame from a server, with a code and a reason of at most 120 bytes.
pub fn close_frame(code: u16, reason: &str) -> Vec<u8> {
    let end = reason.floor_char_boundary(120);
    let reason = reason.get(..end).unwrap_or_default();
    let length = u8::try_from(2 + reason.len()).unwrap_or(2);
    [&[0x88, length][..], &code.to_be_bytes(), reason.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn frame(opcode: u8, last: bool, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let masked = if mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![opcode | if last { 0x80 } else { 0 }];
        match payload.len() {
            n @ 0..=125 => out.push(masked | u8::try_from(n).unwrap()),
            n @ 126..=65_535 => {
                out.push(masked | 126);
                out.extend(u16::try_from(n).unwrap().to_be_bytes());
            }
            n => {
                out.push(masked | 127);
                out.extend((n as u64).to_be_bytes());
            }
        }
        out.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
        let key = mask.unwrap_or_default();
        out.extend(payload.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k));
        out
    }

    fn seen(bytes: &[u8], size: usize) -> Vec<String> {
        let mut messages = Messages::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            let wanted = |start: &[u8]| memchr::memmem::find(start, b"done").is_some();
            messages.push(piece, wanted, |text| found.push(String::from_utf8_lossy(text).into_owned()));
        }
        found
    }

    #[test]
    fn wanted_messages_are_found_among_all_others() {
        let long = format!("done{}", "x".repeat(70_000));
        let bytes = [
            frame(1, true, None, b"{\"type\":\"delta\"}"),
            frame(2, true, None, &[7; 300]),
            frame(1, false, None, b"{\"type\":"),
            frame(9, true, None, b"ping"),
            frame(0, true, Some([1, 2, 3, 4]), b"\"done\"}"),
            frame(1, true, None, b""),
            frame(1, true, None, long.as_bytes()),
            frame(1, true, None, "y".repeat(100_000).as_bytes()),
            frame(1, true, Some([9, 8, 7, 6]), b"done"),
        ]
        .concat();
        for size in [1, 2, 7, 1024, bytes.len()] {
            assert_eq!(seen(&bytes, size), ["{\"type\":\"done\"}", &*long, "done"], "pieces of {size}");
        }
    }

    #[test]
    fn compressed_or_endless_messages_are_not_held() {
        let mut bytes = frame(1, true, None, b"done");
        bytes[0] |= 0x40;
        bytes.extend(frame(1, true, None, b"done"));
        assert!(seen(&bytes, 3).is_empty(), "an extension was agreed on behind our back");
        let mut messages = Messages::default();
        messages.push(&[0x01, 127, 0, 0, 0, 255, 0, 0, 0, 0], |_| true, |_| ());
        for _ in 0..2000 {
            messages.push(&[b'a'; 4096], |_| true, |_| ());
        }
        assert!(messages.message.capacity() < 2 * usize::try_from(LONGEST).unwrap());
    }

    #[test]
    fn a_close_frame_is_one() {
        assert_eq!(close_frame(1008, "spent"), [&[0x88, 7, 0x03, 0xf0][..], b"spent"].concat());
        assert!(close_frame(1008, &"é".repeat(200)).len() <= 127);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..500), size in 1..50_usize) {
            prop_assert_eq!(seen(&bytes, size), seen(&bytes, 1));
        }
    }
}
