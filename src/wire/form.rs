//! Short text fields of a multipart form, found without copying the form. Never looks into files.

use memchr::memmem;

/// A field longer than this is no name of anything.
const FIELD_LIMIT: usize = 1024;

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

/// The last field with this name, as upstreams mostly read it. `None` when absent, a file, or not plain text.
pub fn field<'a>(body: &'a [u8], boundary: &str, name: &str) -> Option<&'a str> {
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let finder = memmem::Finder::new(&delimiter);
    let mut found = None;
    let mut rest = body.get(finder.find(body)? + delimiter.len()..)?;
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = finder.find(part)?;
        if let Some(value) = part.get(..end).and_then(|p| text_of(p, name)) {
            found = Some(value);
        }
        rest = part.get(end + delimiter.len()..)?;
    }
    found
}

fn text_of<'a>(part: &'a [u8], name: &str) -> Option<&'a str> {
    let split = memmem::find(part, b"\r\n\r\n")?;
    let (head, value) = (part.get(..split)?, part.get(split + 4..)?.strip_suffix(b"\r\n")?);
    if value.len() > FIELD_LIMIT {
        return None;
    }
    let head = std::str::from_utf8(head).ok()?;
    let disposition = head.lines().find_map(|line| {
        let (header, value) = line.split_once(':')?;
        header.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let named = disposition.split(';').any(|p| {
        p.split_once('=').is_some_and(|(key, value)| {
            key.trim().eq_ignore_ascii_case("name") && value.trim().trim_matches('"') == name
        })
    });
    named.then(|| std::str::from_utf8(value).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = b"preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF\r\n--xY\0\xff\r\n--xYz\r\ncontent-disposition: form-data; name=model\r\n\r\n\
        whisper-1\r\n--xYz\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nann\r\n--xYz--\r\n";

    #[test]
    fn fields_are_found_beside_files() {
        for (name, value) in [("model", Some("whisper-1")), ("user", Some("ann")), ("file", None), ("prompt", None)] {
            assert_eq!(field(BODY, "xYz", name), value, "{name}");
        }
        assert_eq!(field(BODY, "other", "model"), None);
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
        fn any_body_is_survived(cut in 0..BODY.len(), noise in prop::collection::vec(any::<u8>(), 0..40)) {
            let body = [&BODY[..cut], &noise, &BODY[cut..]].concat();
            let found = field(&body, "xYz", "model");
            prop_assert!(found.is_none_or(|f| f.len() <= FIELD_LIMIT));
        }
    }
}
