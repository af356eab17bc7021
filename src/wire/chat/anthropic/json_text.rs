//! JSON text without the white space between its tokens.

/// `json` must be valid. Members keep their order and numbers their spelling.
pub(super) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        if !inside && c.is_ascii_whitespace() {
            continue;
        }
        out.push(c);
        if escaped {
            escaped = false;
        } else if inside && c == '\\' {
            escaped = true;
        } else if c == '"' {
            inside = !inside;
        }
    }
    out
}
