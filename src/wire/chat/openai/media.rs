//! Pictures and files as text: base64, `data:` URLs, and what kinds of documents are called.

use super::super::Source;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, prelude::BASE64_STANDARD};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Kinds of documents, by the ending of their files.
const DOCUMENTS: [(&str, &str); 10] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("json", "application/json"),
];

/// What a document with this ending is.
pub(super) fn type_of(ending: &str) -> Option<&'static str> {
    let ending = ending.to_ascii_lowercase();
    DOCUMENTS.iter().find(|(known, _)| *known == ending).map(|(_, media_type)| *media_type)
}

pub(super) fn ending_of(media_type: &str) -> Option<&'static str> {
    DOCUMENTS.iter().find(|(_, known)| *known == media_type).map(|(ending, _)| *ending)
}

/// The bytes of base64 in either alphabet, with or without padding and white space; `None` when it is none, or empty.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let spaced = text.bytes().any(|b| b.is_ascii_whitespace());
    let stripped: String;
    let text = if spaced {
        stripped = text.split_ascii_whitespace().collect();
        &stripped
    } else {
        text
    };
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok().filter(|bytes| !bytes.is_empty())
}

/// Base64 as [`Source::Data`] holds it.
pub(super) fn canonical(text: &str) -> Option<String> {
    decoded(text).map(|bytes| BASE64_STANDARD.encode(bytes))
}

/// What a `data:` URL holds: its type, lower case and perhaps empty, and its base64. `None`: it is no such URL, or
/// none with base64.
pub(super) fn data_url(url: &str) -> Option<(String, &str)> {
    let (head, data) = without_scheme(url)?.split_once(',')?;
    let mut words = head.split(';').map(str::trim);
    let media_type = words.next().unwrap_or_default().to_ascii_lowercase();
    words.any(|word| word.eq_ignore_ascii_case("base64")).then_some((media_type, data))
}

pub(super) fn is_data_url(url: &str) -> bool {
    without_scheme(url).is_some()
}

fn without_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case("data:").then_some(rest)
}

/// The type of a picture, from what was said about it; from its first bytes where that was nothing useful.
pub(super) fn picture_type(said: &str, bytes: &[u8]) -> Option<String> {
    if said == "image/jpg" {
        return Some("image/jpeg".into());
    }
    if said.starts_with("image/") {
        return Some(said.to_owned());
    }
    let known = match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => return None,
    };
    Some(known.to_owned())
}

/// A document of these bytes: plain text is kept as text.
pub(super) fn document(media_type: &str, bytes: Vec<u8>) -> Source {
    let data = match (media_type, String::from_utf8(bytes)) {
        ("text/plain", Ok(text)) => return Source::Text(text),
        (_, Ok(text)) => BASE64_STANDARD.encode(text),
        (_, Err(bytes)) => BASE64_STANDARD.encode(bytes.as_bytes()),
    };
    Source::Data { media_type: media_type.to_owned(), data }
}

/// The source as one URL; `None` for text.
pub(super) fn url_of(source: &Source) -> Option<String> {
    match source {
        Source::Data { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
        Source::Url(url) => Some(url.clone()),
        Source::Text(_) => None,
    }
}
