//! Under which key an answer is kept: what two requests must have in common to have the same answer.
//!
//! A body counts by what it means. Each object and array becomes a digest of what is in it, so that every byte is
//! hashed once however deep it stands, and nothing of one value can be taken for a part of another.

use super::CacheKey;
use crate::domain::{KeyId, RouteId};
use memchr::{memchr, memchr2};
use ring::digest::{Context, Digest, SHA256};
use std::borrow::Cow;

/// Begins every key: another way to make them needs another name, where answers outlive a build.
const VERSION: &[u8] = b"tollgate answer 1";
/// Objects and arrays in each other.
const DEEPEST: usize = 128;
/// Members of an object and of those around it: what must be held to be put in order.
const MOST_MEMBERS: usize = 65_536;
/// Members of the body that change nothing of an answer but its framing and whom it is billed to.
const LEFT_OUT: [&str; 2] = ["stream", "user"];

/// Everything that an answer depends on.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    pub route: RouteId,
    /// Of the route: one that was changed starts anew.
    pub revision: i64,
    /// Whose answers these are. `None` = of everybody who may call the route.
    pub key: Option<KeyId>,
    /// The form in which the client asks, and is answered.
    pub form: &'a str,
    /// Those that change an answer, always in the same order.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// A JSON object. Its top `stream` and `user` do not count, nor do white space, the order of members, and how a
    /// string is escaped. Numbers count as they are written.
    pub body: &'a [u8],
}

/// The key of a request, SHA-256. `None` when the body is no valid JSON object, or one that is too deep or too wide to be
/// put in order: such a request has no kept answer.
pub fn cache_key(parts: &KeyParts<'_>) -> Option<CacheKey> {
    let body = Reader { text: parts.body, at: 0, members: Vec::new() }.body()?;
    let mut all = Context::new(&SHA256);
    put(&mut all, b'v', VERSION);
    put(&mut all, b'r', parts.route.as_bytes());
    put(&mut all, b'i', &parts.revision.to_be_bytes());
    match &parts.key {
        Some(key) => put(&mut all, b'c', key.as_bytes()),
        None => put(&mut all, b'e', b""),
    }
    put(&mut all, b'f', parts.form.as_bytes());
    for (name, value) in parts.headers {
        put(&mut all, b'h', name.as_bytes());
        put(&mut all, b'=', value);
    }
    put(&mut all, b'b', body.as_ref());
    all.finish().as_ref().try_into().ok().map(CacheKey::new)
}

/// With its kind and length, so that parts cannot run into each other.
fn put(into: &mut Context, kind: u8, part: &[u8]) {
    into.update(&[kind]);
    into.update(&(part.len() as u64).to_be_bytes());
    into.update(part);
}

enum Value<'a> {
    /// `true`, `false`, `null` or a number, as written.
    Word(&'a [u8]),
    Text(Cow<'a, str>),
    Nested(Digest),
}

impl Value<'_> {
    fn put(&self, into: &mut Context) {
        match self {
            Self::Word(word) => put(into, b'w', word),
            Self::Text(text) => put(into, b't', text.as_bytes()),
            Self::Nested(digest) => put(into, b'n', digest.as_ref()),
        }
    }
}

/// Reads JSON strictly. What a lenient reader would take in two ways must not be kept as one.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// Of the object that is being read, after those of the objects around it.
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Reader<'a> {
    fn body(mut self) -> Option<Digest> {
        self.expect(b'{')?;
        let body = self.object(0)?;
        (self.peek().is_none()).then_some(body)
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            bracket @ (b'{' | b'[') => {
                self.at += 1;
                let depth = Some(depth + 1).filter(|depth| *depth < DEEPEST)?;
                let nested = if bracket == b'{' { self.object(depth) } else { self.array(depth) };
                nested.map(Value::Nested)
            }
            _ => self.word().map(Value::Word),
        }
    }

    /// What follows an opening bracket.
    fn array(&mut self, depth: usize) -> Option<Digest> {
        let mut elements = Context::new(&SHA256);
        elements.update(b"[");
        let mut more = self.opens(b']')?;
        while more {
            self.value(depth)?.put(&mut elements);
            more = self.goes_on(b']')?;
        }
        Some(elements.finish())
    }

    /// What follows an opening bracket.
    fn object(&mut self, depth: usize) -> Option<Digest> {
        let first = self.members.len();
        let mut more = self.opens(b'}')?;
        while more {
            if self.peek() != Some(b'"') || self.members.len() >= MOST_MEMBERS {
                return None;
            }
            let name = self.string()?;
            self.expect(b':')?;
            let value = self.value(depth)?;
            if depth > 0 || !LEFT_OUT.contains(&&*name) {
                self.members.push((name, value));
            }
            more = self.goes_on(b'}')?;
        }
        // Stable: of two members with one name it matters which comes last, and that there are two.
        self.members.get_mut(first..)?.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut members = Context::new(&SHA256);
        members.update(b"{");
        for (name, value) in self.members.drain(first..) {
            put(&mut members, b'k', name.as_bytes());
            value.put(&mut members);
        }
        Some(members.finish())
    }

    /// Whether there is anything before the closing bracket, which is passed otherwise.
    fn opens(&mut self, close: u8) -> Option<bool> {
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Some(!empty)
    }

    /// Whether another value follows; the comma or bracket is passed.
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        let next = self.peek()?;
        self.at += 1;
        (next == b',' || next == close).then_some(next == b',')
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let found = self.peek()? == byte;
        self.at += 1;
        found.then_some(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    /// The string that begins here, by its meaning. Half a surrogate pair has none.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let mut end = self.at + 1;
        loop {
            end += memchr2(b'"', b'\\', self.text.get(end..)?)?;
            if self.text.get(end) == Some(&b'"') {
                break;
            }
            end += 2;
        }
        let quoted = self.text.get(self.at..=end)?;
        self.at = end + 1;
        if memchr(b'\\', quoted).is_some() {
            serde_json::from_slice(quoted).ok().map(Cow::Owned)
        } else {
            serde_json::from_slice(quoted).ok().map(Cow::Borrowed)
        }
    }

    fn word(&mut self) -> Option<&'a [u8]> {
        let rest = self.text.get(self.at..)?;
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
        let word = rest.get(..rest.iter().position(ends)?)?;
        self.at += word.len();
        (matches!(word, b"true" | b"false" | b"null") || is_number(word)).then_some(word)
    }
}

fn is_number(word: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let unsigned = word.strip_prefix(b"-").unwrap_or(word);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with(b"0")) {
        return false;
    }
    let mut rest = unsigned.get(whole..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or_default();
    }
    let [b'e' | b'E', exponent @ ..] = rest else { return rest.is_empty() };
    let exponent = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
