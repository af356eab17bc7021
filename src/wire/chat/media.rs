//! Pictures and documents as text: base64, `data:` URLs, and what kinds there are.

use super::Source;
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
    let ending = if ending == "htm" { "html" } else { ending.as_str() };
    DOCUMENTS.iter().find(|(known, _)| *known == ending).map(|(_, media_type)| *media_type)
}

/// The same by the name of a file.
pub(super) fn type_of_name(name: &str) -> Option<&'static str> {
    type_of(name.rsplit_once('.')?.1)
}

pub(super) fn ending_of(media_type: &str) -> Option<&'static str> {
    let media_type = match bare(media_type) {
        "text/x-markdown" => "text/markdown",
        "application/csv" => "text/csv",
        known => known,
    };
    DOCUMENTS.iter().find(|(_, known)| *known == media_type).map(|(ending, _)| *ending)
}

/// A media type without its parameters.
fn bare(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
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
    decoded(text).map(encoded)
}

pub(super) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The text that was encoded; `None` when it is no UTF-8.
pub(super) fn text(base64: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(base64).ok()?).ok()
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
    let (scheme, rest) = url.trim_start().split_at_checked(5)?;
    scheme.eq_ignore_ascii_case("data:").then_some(rest)
}

/// The type of a picture that a client sends, from what was said about it; from its first bytes where that was nothing
/// useful.
pub(super) fn said_picture_type(said: &str, bytes: &[u8]) -> Option<String> {
    match said {
        "image/jpg" => Some("image/jpeg".to_owned()),
        _ if said.starts_with("image/") => Some(said.to_owned()),
        _ => by_first_bytes(bytes).map(str::to_owned),
    }
}

/// The type of a picture for APIs that look at it: clients call many a JPEG a PNG, and are refused for it upstream.
/// `None`: it is none of PNG, JPEG, GIF and WebP.
pub(super) fn picture_type(said: &str, base64: &str) -> Option<&'static str> {
    // 16 digits are the first 12 bytes.
    let head = base64.get(..16).and_then(|digits| BASE64_STANDARD.decode(digits).ok()).unwrap_or_default();
    by_first_bytes(&head).or_else(|| match bare(said) {
        "image/png" => Some("image/png"),
        "image/jpeg" | "image/jpg" => Some("image/jpeg"),
        "image/gif" => Some("image/gif"),
        "image/webp" => Some("image/webp"),
        _ => None,
    })
}

fn by_first_bytes(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// A document of these bytes: plain text is kept as text.
pub(super) fn document(media_type: &str, bytes: Vec<u8>) -> Source {
    let data = match (media_type, String::from_utf8(bytes)) {
        ("text/plain", Ok(text)) => return Source::Text(text),
        (_, Ok(text)) => encoded(text),
        (_, Err(bytes)) => encoded(bytes.as_bytes()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_any_client_becomes_one() {
        for (given, wanted) in
            [("aGk", "aGk="), ("aGk=", "aGk="), ("-_8", "+/8="), (" a G\nk= ", "aGk="), ("QR", "QQ==")]
        {
            assert_eq!(canonical(given).as_deref(), Some(wanted), "{given}");
        }
        for bad in ["", "=", "a", "a*b=", "+_8=", "aGk=aGk="] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }

    #[test]
    fn kinds_are_known_by_all_their_names() {
        assert_eq!(type_of_name("A.HTM"), Some("text/html"));
        assert_eq!(ending_of("text/plain; charset=utf-8"), Some("txt"));
        assert_eq!(ending_of("application/csv"), Some("csv"));
        assert_eq!(picture_type("image/png", "/9j/4AAQSkZJRgABAQ=="), Some("image/jpeg"));
        assert_eq!(picture_type("image/jpg", "aGk="), Some("image/jpeg"));
        assert_eq!(picture_type("image/tiff", "aGk="), None);
        assert_eq!(data_url("DATA:Image/PNG;x=y;Base64,aGk="), Some(("image/png".to_owned(), "aGk=")));
    }
}
