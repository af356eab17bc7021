//! Pictures and documents: formats, names, and base64 as clients write it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashSet;

/// Format and media type.
const DOCUMENTS: [(&str, &str); 9] = [
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
];

/// The longest name of a document, in characters.
const NAME: usize = 200;

/// `png`, `jpeg`, `gif` or `webp`: what the first bytes say, else what the client said.
pub(super) fn image_format(media_type: &str, data: &str) -> Option<&'static str> {
    sniffed(data).or_else(|| match subtype(media_type) {
        "image/png" => Some("png"),
        "image/jpeg" | "image/jpg" => Some("jpeg"),
        "image/gif" => Some("gif"),
        "image/webp" => Some("webp"),
        _ => None,
    })
}

fn sniffed(data: &str) -> Option<&'static str> {
    // 16 digits are the first 12 bytes.
    let head = STANDARD.decode(data.get(..16)?).ok()?;
    match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [0xff, 0xd8, 0xff, ..] => Some("jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("gif"),
        [b'R', b'I', b'F', b'F', .., b'W', b'E', b'B', b'P'] => Some("webp"),
        _ => None,
    }
}

/// The media type without its parameters.
fn subtype(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// By media type, else by how the name ends.
pub(super) fn document_format(media_type: &str, name: Option<&str>) -> Option<&'static str> {
    let wanted = subtype(media_type);
    let of = |found: &str| DOCUMENTS.iter().find(|(format, _)| *format == found).map(|(format, _)| *format);
    let alias = match wanted {
        "text/x-markdown" => of("md"),
        "application/csv" => of("csv"),
        _ => DOCUMENTS.iter().find(|(_, media)| *media == wanted).map(|(format, _)| *format),
    };
    alias.or_else(|| {
        let (_, ending) = name?.rsplit_once('.')?;
        of(ending.to_ascii_lowercase().as_str())
    })
}

/// The media type of a format; of one that is not known, that of any bytes.
pub(super) fn document_type(format: &str) -> &'static str {
    DOCUMENTS.iter().find(|(known, _)| *known == format).map_or("application/octet-stream", |(_, media)| media)
}

/// Names of documents as a request may carry them: letters, digits, single spaces, `-()[]`, each once.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn take(&mut self, name: Option<&str>) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
        let spaced: String =
            name.unwrap_or_default().chars().map(|c| if allowed(c) { c } else { ' ' }).take(NAME).collect();
        let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
        let base = if words.is_empty() { "document".to_owned() } else { words.join(" ") };
        let mut free = base.clone();
        let mut number = 2_usize;
        while !self.0.insert(free.clone()) {
            let ending = format!(" ({number})");
            let kept: String = base.chars().take(NAME.saturating_sub(ending.len())).collect();
            free = format!("{}{ending}", kept.trim_end());
            number = number.saturating_add(1);
        }
        free
    }
}

/// Standard alphabet, padded, without white space; `None` if it is not base64.
pub(super) fn canonical(base64: &str) -> Option<String> {
    let mut kept = String::with_capacity(base64.len().saturating_add(3));
    kept.extend(base64.chars().filter(|c| !c.is_ascii_whitespace()));
    kept.truncate(kept.trim_end_matches('=').len());
    if !kept.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/')) {
        return None;
    }
    match kept.len() % 4 {
        0 => {}
        2 => kept.push_str("=="),
        3 => kept.push('='),
        _ => return None,
    }
    Some(kept)
}

pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
