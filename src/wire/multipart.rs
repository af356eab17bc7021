//! Multipart forms, read while they pass: pieces go in, parts come out as slices. Nothing of a file is kept, so that an
//! upload of any size needs the memory of one piece and one part's headers.

use memchr::{memchr, memmem};

/// Headers of one part; a part with more is passed over.
const HEAD_LIMIT: usize = 8 * 1024;

/// The boundary in a `content-type` of `multipart/form-data`.
pub fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim())
    })?;
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    (!value.is_empty() && value.len() <= 70).then_some(value)
}

/// What a form consists of.
#[derive(PartialEq, Eq, Debug)]
pub enum Item<'a> {
    Part(PartHead),
    /// Content of the part that was named last, in order.
    Data(&'a [u8]),
    /// That part is over.
    End,
}

/// What a part says of itself. Without a name it is nobody's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PartHead {
    pub name: String,
    pub is_file: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Just past a delimiter.
    Delimited,
    /// At the line end before a part's headers.
    Head,
    /// In a part's content.
    Data,
    /// Past the closing delimiter.
    Over,
}

/// Cuts a form into [`Item`]s.
#[derive(Debug)]
pub struct Scanner {
    /// Line end, two hyphens, boundary.
    delimiter: memmem::Finder<'static>,
    state: State,
    /// What was not understood yet: part of a delimiter, or a part's headers.
    held: Vec<u8>,
}

impl Scanner {
    pub fn new(boundary: &str) -> Self {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        Self {
            delimiter: memmem::Finder::new(&delimiter).into_owned(),
            state: State::Preamble,
            // The first delimiter has no line before it that it could end.
            held: b"\r\n".to_vec(),
        }
    }

    /// One that takes nothing.
    pub fn idle() -> Self {
        Self { delimiter: memmem::Finder::new(b""), state: State::Over, held: Vec::new() }
    }

    pub fn push(&mut self, piece: &[u8], take: &mut dyn FnMut(Item<'_>)) {
        if self.state == State::Over {
            return;
        }
        if self.held.is_empty() {
            let used = self.scan(piece, take);
            self.held.extend_from_slice(piece.get(used..).unwrap_or_default());
            return;
        }
        let mut text = std::mem::take(&mut self.held);
        text.extend_from_slice(piece);
        let used = self.scan(&text, take);
        text.drain(..used.min(text.len()));
        self.held = text;
    }

    /// Takes what can be understood of `text`: how many bytes that was.
    fn scan(&mut self, text: &[u8], take: &mut dyn FnMut(Item<'_>)) -> usize {
        let mut at = 0;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let (next, used) = match self.state {
                State::Over => return text.len(),
                State::Preamble | State::Data => match self.content(rest, take) {
                    Ok(used) => (State::Delimited, used),
                    Err(used) => return at + used,
                },
                State::Delimited => match after_delimiter(rest) {
                    Some(After::Part(used)) => (State::Head, used),
                    Some(After::Over) => (State::Over, 0),
                    // An ordinary line that begins like a delimiter: what follows belongs to no part.
                    Some(After::Word) => (State::Preamble, 0),
                    None => return at,
                },
                State::Head => match memmem::find(rest, b"\r\n\r\n") {
                    Some(end) => {
                        take(Item::Part(part_head(rest.get(..end).unwrap_or_default())));
                        (State::Data, end + 4)
                    }
                    None if rest.len() > HEAD_LIMIT => {
                        take(Item::Part(PartHead::default()));
                        (State::Data, 0)
                    }
                    None => return at,
                },
            };
            self.state = next;
            at += used;
        }
    }

    /// Content up to the next delimiter: `Ok` past it, `Err` when it is not there yet. Both: bytes dealt with.
    fn content(&self, text: &[u8], take: &mut dyn FnMut(Item<'_>)) -> Result<usize, usize> {
        let is_part = self.state == State::Data;
        let mut data = |end: usize| {
            if is_part && end > 0 {
                take(Item::Data(text.get(..end).unwrap_or_default()));
            }
        };
        let needle = self.delimiter.needle().len();
        if let Some(end) = self.delimiter.find(text) {
            data(end);
            if is_part {
                take(Item::End);
            }
            return Ok(end + needle);
        }
        // Only a line end in the last bytes can become a delimiter.
        let tail = text.len().saturating_sub(needle - 1);
        let last = text.get(tail..).unwrap_or_default();
        let end = memchr(b'\r', last).map_or(text.len(), |begin| tail + begin);
        data(end);
        Err(end)
    }
}

enum After {
    /// A part's headers begin after so many bytes.
    Part(usize),
    Over,
    Word,
}

/// What follows a delimiter; `None` when that cannot be told yet. The line end stays: headers may be none.
fn after_delimiter(text: &[u8]) -> Option<After> {
    if text.starts_with(b"--") {
        return Some(After::Over);
    }
    let padding = text.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    if padding > HEAD_LIMIT {
        return Some(After::Word);
    }
    match text.get(padding..) {
        Some(rest) if rest.starts_with(b"\r\n") => Some(After::Part(padding)),
        Some(b"" | b"\r") => None,
        Some(b"-") if padding == 0 => None,
        _ => Some(After::Word),
    }
}

fn part_head(text: &[u8]) -> PartHead {
    let text = String::from_utf8_lossy(text);
    let disposition = text.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let mut head = PartHead::default();
    for (key, value) in disposition.into_iter().flat_map(parameters) {
        if key.eq_ignore_ascii_case("name") {
            head.name = value;
        } else if key.eq_ignore_ascii_case("filename") || key.eq_ignore_ascii_case("filename*") {
            head.is_file = true;
        }
    }
    head
}

/// `key=value` pairs after the first word. A semicolon between quotes separates nothing.
fn parameters(disposition: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = disposition;
    while let Some((_, tail)) = rest.split_once(';') {
        let Some((key, value)) = tail.split_once('=') else { break };
        let value = value.trim_start();
        let (text, after) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let end = value.find(';').unwrap_or(value.len());
                let (text, after) = value.split_at_checked(end).unwrap_or((value, ""));
                (text.trim().to_owned(), after)
            }
        };
        found.push((key.trim(), text));
        rest = after;
    }
    found
}

/// The text up to the closing quote, and what follows it. Clients escape a quote with a backslash or as `%22`.
fn unquoted(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                Some((_, other)) => text.extend(['\\', other]),
                None => {}
            },
            other => text.push(other),
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a; name=b.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF\r\n--xY\0\xff\r\r\n\r\n--xYz \t\r\ncontent-disposition: form-data; name=model\r\n\r\n\
        whisper-1\r\n--xYz\r\nContent-Disposition: form-data; filename=\"\"; name=\"us\\\"er\"\r\n\r\n\r\n--xYz--\r\n\
        --xYz\r\ncontent-disposition: form-data; name=model\r\n\r\nlate\r\n--xYz--\r\n";

    /// Name, whether it is a file, content.
    fn parts(body: &[u8], cuts: &[usize]) -> Vec<(String, bool, Vec<u8>, bool)> {
        let mut scanner = Scanner::new("xYz");
        let mut parts: Vec<(String, bool, Vec<u8>, bool)> = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([body.len()]) {
            let to = to.clamp(from, body.len());
            scanner.push(&body[from..to], &mut |item| match item {
                Item::Part(head) => parts.push((head.name, head.is_file, Vec::new(), false)),
                Item::Data(data) => parts.last_mut().expect("data of a part").2.extend_from_slice(data),
                Item::End => parts.last_mut().expect("end of a part").3 = true,
            });
            assert!(scanner.held.len() <= HEAD_LIMIT + 80, "{}", scanner.held.len());
            from = to;
        }
        parts
    }

    #[test]
    fn parts_come_out_whole() {
        let expected =
            [("file", true, &b"RIFF\r\n--xY\0\xff\r\r\n"[..]), ("model", false, b"whisper-1"), ("us\"er", true, b"")];
        let expected = expected.map(|(name, file, data)| (name.to_owned(), file, data.to_vec(), true));
        assert_eq!(parts(BODY, &[]), expected);
        assert_eq!(
            parts(b"--xYz\r\n\r\nheadless\r\n--xYz--", &[]),
            [(String::new(), false, b"headless".to_vec(), true)]
        );
        assert_eq!(parts(b"no form at all", &[]), []);
    }

    #[test]
    fn a_form_that_breaks_off_has_what_was_there() {
        let body = b"--xYz\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\nabc";
        assert_eq!(parts(body, &[]), [("file".to_owned(), false, b"abc".to_vec(), false)]);
    }

    #[test]
    fn endless_headers_are_nobodys() {
        let body = [b"--xYz\r\nX: ".as_slice(), &b"y".repeat(30_000), b"\r\n\r\nabc\r\n--xYz--"].concat();
        let found = parts(&body, &(0..body.len()).step_by(100).collect::<Vec<_>>());
        assert_eq!((found.len(), found[0].0.as_str()), (1, ""));
    }

    #[test]
    fn boundary_is_read_from_the_type() {
        for (text, found) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/mixed; boundary=abc", None),
            ("multipart/form-data; boundary=", None),
            ("application/json", None),
        ] {
            assert_eq!(boundary(text), found, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_parts(mut cuts in prop::collection::vec(0..BODY.len(), 0..30)) {
            cuts.sort_unstable();
            prop_assert_eq!(parts(BODY, &cuts), parts(BODY, &[]));
        }

        #[test]
        fn any_body_is_survived(
            cut in 0..BODY.len(),
            noise in prop::collection::vec(any::<u8>(), 0..40),
            mut cuts in prop::collection::vec(0..BODY.len(), 0..10),
        ) {
            cuts.sort_unstable();
            let body = [&BODY[..cut], &noise, &BODY[cut..]].concat();
            prop_assert_eq!(parts(&body, &cuts), parts(&body, &[]));
        }
    }
}
