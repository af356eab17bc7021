//! The pieces that a message's content may consist of.

use super::super::media::{
    canonical, data_url, decoded, document, encoded, is_data_url, said_picture_type, type_of, type_of_name,
};
use super::super::{BadRequest, CacheMark, Part, Source, Text};
use super::json::{Node, Object};
use super::request::Foreign;
use crate::wire::json_walk::{elements, members, whole_number};

/// The parts of a `content`: a string, or an array. Empty texts are left out.
pub(super) fn read(content: &Node<'_>, foreign: &mut Foreign) -> Result<Vec<Part>, BadRequest> {
    if content.is_text() {
        let text = content.text()?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !content.is_array() {
        return Err(content.wrong("must be a string or an array of parts."));
    }
    let mut parts = Vec::new();
    for node in content.elements()? {
        parts.extend(part(&node, foreign)?);
    }
    Ok(parts)
}

/// As [`read`], where there can be nothing but text.
pub(super) fn texts(content: &Node<'_>, foreign: &mut Foreign) -> Result<Vec<Text>, BadRequest> {
    let text = |part| match part {
        Part::Text { text, cache, .. } => Ok(Text { text, cache }),
        _ => Err(content.wrong("may hold nothing but text.")),
    };
    read(content, foreign)?.into_iter().map(text).collect()
}

fn part(node: &Node<'_>, foreign: &mut Foreign) -> Result<Option<Part>, BadRequest> {
    if node.is_text() {
        return Ok(Some(Part::text(node.text()?)).filter(|part| part.as_text() != Some("")));
    }
    let object = node.object()?;
    let kind = object.need("type")?;
    let cache = cache_mark(&object)?;
    let part = match kind.text()?.as_str() {
        "text" | "input_text" | "output_text" => text(object.need("text")?.text()?, cache),
        "refusal" => text(object.need("refusal")?.text()?, cache),
        "image_url" => Some(image(&object.need("image_url")?, cache, foreign)?),
        "file" => Some(file(&object.need("file")?.object()?, cache)?),
        "doc" => Some(uploaded(&object.need("doc")?.object()?, cache)?),
        "input_audio" => Some(audio(&object.need("input_audio")?.object()?)?),
        _ => return Err(kind.wrong("is no kind of part that is known here.")),
    };
    Ok(part)
}

fn text(text: String, cache: Option<CacheMark>) -> Option<Part> {
    (!text.is_empty()).then_some(Part::Text { text, cache, citations: Vec::new() })
}

/// What says that everything up to this object is to be cached.
pub(super) fn cache_mark(object: &Object<'_>) -> Result<Option<CacheMark>, BadRequest> {
    let Some(mark) = object.get("cache_control").or_else(|| object.get("prompt_cache_breakpoint")) else {
        return Ok(None);
    };
    let ttl = mark.object()?.text("ttl")?.filter(|ttl| matches!(ttl.as_str(), "5m" | "1h"));
    Ok(Some(CacheMark { ttl }))
}

fn image(node: &Node<'_>, cache: Option<CacheMark>, foreign: &mut Foreign) -> Result<Part, BadRequest> {
    let url = if node.is_text() {
        node.clone()
    } else {
        let object = node.object()?;
        if object.text("detail")?.is_some_and(|detail| detail != "auto") {
            foreign.add("image_url.detail");
        }
        object.need("url")?
    };
    let text = url.text()?;
    let source = if is_data_url(&text) {
        let (said, data) = data_url(&text).ok_or_else(|| url.wrong("must hold base64."))?;
        let bytes = decoded(data).ok_or_else(|| url.wrong("must hold base64."))?;
        let media_type = said_picture_type(&said, &bytes).ok_or_else(|| url.wrong("must hold a picture."))?;
        Source::Data { media_type, data: encoded(bytes) }
    } else if text.contains("://") {
        Source::Url(text)
    } else {
        return Err(url.wrong("must be a URL."));
    };
    Ok(Part::Image { source, cache })
}

fn file(file: &Object<'_>, cache: Option<CacheMark>) -> Result<Part, BadRequest> {
    let name = file.text("filename")?.filter(|name| !name.is_empty());
    let Some(node) = file.get("file_data") else {
        return Err(match file.get("file_id") {
            Some(id) => BadRequest::unsupported(id.path, "Files that are stored with a provider cannot be used here."),
            None => file.need("file_data").err().unwrap_or_else(|| BadRequest::of("file", "The file is missing.")),
        });
    };
    let text = node.text()?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Part::Document { name, source: Source::Url(text), cache });
    }
    let ending = name.as_deref().and_then(type_of_name);
    let (said, data) = data_url(&text).unwrap_or((String::new(), text.as_str()));
    let bytes = decoded(data).ok_or_else(|| node.wrong("must hold base64."))?;
    let media_type = match said.as_str() {
        "" | "application/octet-stream" => ending.unwrap_or("application/pdf"),
        said => said,
    };
    if media_type.starts_with("image/") {
        let source = Source::Data { media_type: media_type.to_owned(), data: encoded(bytes) };
        return Ok(Part::Image { source, cache });
    }
    Ok(Part::Document { name, source: document(media_type, bytes), cache })
}

/// A file as chat clients of BRConnector upload it: `{name, format, source: {bytes}}`.
fn uploaded(doc: &Object<'_>, cache: Option<CacheMark>) -> Result<Part, BadRequest> {
    let name = doc.text("name")?.filter(|name| !name.is_empty());
    let format = doc.need("format")?;
    let media_type =
        type_of(&format.text()?).ok_or_else(|| format.wrong("is no kind of document that is known here."))?;
    let node = doc.need("source")?.object()?.need("bytes")?;
    let bytes = if node.is_text() {
        let text = node.text()?;
        decoded(data_url(&text).map_or(text.as_str(), |(_, data)| data))
    } else if node.is_array() {
        elements(node.value()).map(byte).collect()
    } else {
        keyed_bytes(node.value())
    };
    let bytes =
        bytes.filter(|bytes| !bytes.is_empty()).ok_or_else(|| node.wrong("must be base64 or an array of bytes."))?;
    Ok(Part::Document { name, source: document(media_type, bytes), cache })
}

fn byte(value: &[u8]) -> Option<u8> {
    u8::try_from(whole_number(value)?).ok()
}

/// An array of bytes as an object that has their places as keys, in any order.
fn keyed_bytes(object: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![None; members(object).count()];
    for member in members(object) {
        let at = usize::try_from(whole_number(member.key)?).ok()?;
        *bytes.get_mut(at)? = Some(byte(member.value)?);
    }
    bytes.into_iter().collect()
}

fn audio(audio: &Object<'_>) -> Result<Part, BadRequest> {
    let data = audio.need("data")?;
    let text = data.text()?;
    let base64 = canonical(data_url(&text).map_or(text.as_str(), |(_, data)| data));
    let data = base64.ok_or_else(|| data.wrong("must be base64."))?;
    Ok(Part::Audio { format: audio.need("format")?.text()?, data })
}
