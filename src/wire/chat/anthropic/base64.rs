//! Base64 as clients write it, and what is inside.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Standard alphabet, padded, without white space; `None` when it is no base64. Clients break lines and leave the
/// padding out.
pub(super) fn canonical(text: String) -> Option<String> {
    let mut text = text;
    if text.bytes().any(|b| b.is_ascii_whitespace()) {
        text.retain(|c| !c.is_ascii_whitespace());
    }
    let bare = text.trim_end_matches('=').len();
    let padding = text.len() - bare;
    text.truncate(bare);
    let digit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    if bare == 0 || padding > 2 || bare % 4 == 1 || !text.bytes().all(digit) {
        return None;
    }
    for _ in 0..(4 - bare % 4) % 4 {
        text.push('=');
    }
    Some(text)
}

/// The text that was encoded; `None` when it is no UTF-8.
pub(super) fn text(data: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}

/// What a picture is by its first bytes: clients call many a JPEG a PNG, and are refused for it upstream.
pub(super) fn picture_type(data: &str) -> Option<&'static str> {
    let head = STANDARD.decode(data.get(..16)?).ok()?;
    match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("image/webp"),
        _ => None,
    }
}
