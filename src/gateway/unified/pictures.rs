//! Pictures that a client has not sent but named by URL. For an upstream that takes only bytes they are fetched, where
//! the operator wants that; an upstream that fetches by itself stands inside the operator's network, so it is not sent
//! to what only that network has.

use super::super::Gateway;
use super::super::fetch::{self, LARGEST};
use super::super::read::BodyMemory;
use super::error::UnifiedError;
use crate::domain::address;
use crate::wire::chat::{Format, Part, Request, Source};
use crate::wire::json_walk::{elements, members, string, unescape};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// For all pictures of a request together.
const TIME: Duration = Duration::from_secs(10);
const ALL_TOGETHER: usize = 20_000_000;
const MOST: usize = 20;
const AT_A_TIME: usize = 4;

/// Memory that fetched pictures take, until it is dropped.
pub(in crate::gateway) type Held = Vec<OwnedSemaphorePermit>;

/// Sees to the pictures that a request names, as its upstream needs them.
pub(super) async fn provide(g: &Gateway, upstream: Format, request: &mut Request) -> Result<Held, UnifiedError> {
    let by_url = |part: &Part| match part {
        Part::Image { source: Source::Url(url), .. } => Some((url.clone(), true)),
        Part::Document { source: Source::Url(url), .. } => Some((url.clone(), false)),
        _ => None,
    };
    let named: Vec<(String, bool)> = request.parts().filter_map(by_url).collect();
    match upstream {
        Format::Converse | Format::Ollama | Format::Gemini if g.settings.fetch.images => {
            let mut urls: Vec<String> = named.into_iter().filter(|(_, image)| *image).map(|(url, _)| url).collect();
            urls.sort_unstable();
            urls.dedup();
            let (found, held) = fetch_all(g, urls).await?;
            place(request, &found);
            Ok(held)
        }
        // Refused where it is written.
        Format::Converse | Format::Ollama | Format::Gemini => Ok(Held::new()),
        _ if named.iter().any(|(url, _)| leads_inside(url)) => Err(inside()),
        _ => Ok(Held::new()),
    }
}

/// Media type and base64, by URL.
type Found = HashMap<String, (&'static str, String)>;

async fn fetch_all(g: &Gateway, urls: Vec<String>) -> Result<(Found, Held), UnifiedError> {
    if urls.len() > MOST {
        return Err(not_fetched());
    }
    let (mut found, mut held, mut total) = (Found::new(), Held::new(), 0_usize);
    let fetching = async {
        let one = |url: String| async move { (fetch::fetch(g, &url).await, url) };
        let mut pictures = std::pin::pin!(stream::iter(urls).map(one).buffer_unordered(AT_A_TIME));
        while let Some((body, url)) = pictures.next().await {
            let (body, media_type) = body.and_then(|body| fetch::media_type(&body).map(|kind| (body, kind)))?;
            total = total.saturating_add(body.len());
            if total > ALL_TOGETHER {
                return None;
            }
            held.push(room(&g.memory, &body)?);
            found.insert(url, (media_type, STANDARD.encode(&body)));
        }
        Some(())
    };
    match tokio::time::timeout(TIME, fetching).await {
        Ok(Some(())) => Ok((found, held)),
        Ok(None) | Err(_) => Err(not_fetched()),
    }
}

/// For the picture as base64 and once more in the body that goes upstream.
fn room(memory: &BodyMemory, body: &Bytes) -> Option<OwnedSemaphorePermit> {
    debug_assert!(body.len() <= LARGEST);
    memory.take(body.len().saturating_mul(3))
}

fn place(request: &mut Request, found: &Found) {
    for part in request.messages.iter_mut().flat_map(|message| &mut message.parts) {
        place_in(part, found);
        if let Part::ToolResult { parts, .. } = part {
            parts.iter_mut().for_each(|part| place_in(part, found));
        }
    }
}

fn place_in(part: &mut Part, found: &Found) {
    if let Part::Image { source, .. } = part
        && let Source::Url(url) = source
        && let Some((media_type, data)) = found.get(url)
    {
        *source = Source::Data { media_type: (*media_type).to_owned(), data: data.clone() };
    }
}

/// Whether a body in OpenAI's form, which nobody else reads, names something inside: any `..._url` of any part of any
/// message, however often a name is repeated.
pub(super) fn names_inside(body: &[u8]) -> bool {
    let url_of = |value: &[u8]| -> bool {
        let is_inside = |raw: &[u8]| leads_inside(&unescape(raw));
        match string(value) {
            Some(raw) => is_inside(raw),
            None => members(value).filter(|m| m.is("url")).filter_map(|m| string(m.value)).any(is_inside),
        }
    };
    let part = |part: &[u8]| members(part).filter(|m| unescape(m.key).ends_with("_url")).any(|m| url_of(m.value));
    let message = |message: &[u8]| members(message).filter(|m| m.is("content")).any(|m| elements(m.value).any(part));
    members(body).filter(|m| m.is("messages") || m.is("input")).any(|m| elements(m.value).any(message))
}

/// Whether a URL leads, or may be read to lead, to a place that is not public.
fn leads_inside(url: &str) -> bool {
    let url = url.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    let Some((scheme, rest)) = url.split_once(':') else { return false };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {}
        "file" => return true,
        _ => return false,
    }
    let rest = rest.trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // What readers of URLs do not agree about.
    if authority.contains(['@', '\\', '%']) || !authority.is_ascii() || authority.contains(char::is_control) {
        return true;
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    address::is_inside(host)
}

pub(super) fn inside() -> UnifiedError {
    bad("A URL in this request leads to an address that is not public.", "unsupported_image_url")
}

fn not_fetched() -> UnifiedError {
    bad("Could not fetch an image of this request.", "image_not_fetched")
}

fn bad(message: &str, code: &'static str) -> UnifiedError {
    UnifiedError::BadRequest { message: message.to_owned(), param: Some("messages".to_owned()), code: Some(code) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_leads_inside_is_seen_in_every_spelling() {
        for bad in [
            "http://127.0.0.1/a.png",
            "HTTPS://127.0.0.1",
            " http://10.1.2.3:8080/x",
            "http://localhost/x",
            "http://a.localhost./x",
            "http://[::1]/x",
            "http://[::ffff:10.0.0.1]/x",
            "http://169.254.169.254/latest/meta-data",
            "http://metadata.google.internal/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://127.1/",
            "http:/\\127.0.0.1/",
            "http:\\\\127.0.0.1/",
            "http://user@10.0.0.1/",
            "http://8.8.8.8\\@10.0.0.1/",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.0.0.1/",
            "file:///etc/passwd",
            "http://",
        ] {
            assert!(leads_inside(bad), "{bad}");
        }
        for good in
            ["https://example.com/a.png", "http://8.8.8.8/ä b.png", "data:image/png;base64,AA", "https://a.b:8443"]
        {
            assert!(!leads_inside(good), "{good}");
        }
    }

    #[test]
    fn a_body_is_searched_where_urls_are_fetched_from() {
        let inside = "http://10.0.0.1/x";
        let ask = |part| json!({"messages": [{"role": "user", "content": [{"type": "text", "text": inside}, part]}]});
        for part in [
            json!({"type": "image_url", "image_url": {"url": inside}}),
            json!({"type": "image_url", "image_url": inside}),
            json!({"type": "video_url", "video_url": {"detail": "low", "url": inside}}),
        ] {
            assert!(names_inside(ask(part.clone()).to_string().as_bytes()), "{part}");
        }
        let twice = r#"{"messages":[{"content":[{"image\u005furl":{"url":"https://a","url":"http:\/\/10.0.0.1"}}]}]}"#;
        assert!(names_inside(twice.as_bytes()));
        let response = json!({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": inside}]}]});
        assert!(names_inside(response.to_string().as_bytes()));
        let good = ask(json!({"type": "image_url", "image_url": {"url": "https://example.com/x"}})).to_string();
        assert!(!names_inside(good.as_bytes()));
        assert!(!names_inside(br#"{"messages":[{"role":"user","content":"http://10.0.0.1"}]}"#));
    }

    #[test]
    fn pictures_of_tool_results_are_placed_too() {
        let picture = || Part::Image { source: Source::Url("https://a".into()), cache: None };
        let result = Part::ToolResult { id: "t".into(), parts: vec![picture()], is_error: false, cache: None };
        let message =
            crate::wire::chat::Message { role: crate::wire::chat::Role::User, parts: vec![picture(), result] };
        let mut request = Request { messages: vec![message], ..Request::default() };
        place(&mut request, &Found::from([("https://a".into(), ("image/png", "AA==".into()))]));
        let data = Source::Data { media_type: "image/png".into(), data: "AA==".into() };
        let placed = request.parts().filter(|p| matches!(p, Part::Image { source, .. } if *source == data)).count();
        assert_eq!(placed, 2);
    }
}
