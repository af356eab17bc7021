//! Reads the content of messages and of the results of calls: text, pictures, documents, sound.

use super::super::members::{Members, as_text, list, must_be};
use super::super::{BadRequest, CacheMark, Part, Source, media};
use serde_json::value::RawValue;

/// A string, or a list of parts. Empty texts are left out.
pub(super) fn read(value: &RawValue, at: &str) -> Result<Vec<Part>, BadRequest> {
    if let Some(text) = as_text(value) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Part::text(text)] });
    }
    if !value.get().starts_with('[') {
        return Err(must_be(at, "a string or a list"));
    }
    let mut parts = Vec::new();
    for (at, value) in list(value, at)? {
        parts.extend(part(&mut Members::of(value, at)?)?);
    }
    Ok(parts)
}

fn part(part: &mut Members<'_>) -> Result<Option<Part>, BadRequest> {
    let cache = cache_mark(part)?;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(match part.needed("type")?.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
            text(part.needed("text")?).map(|text| Part::Text { text, cache, citations: Vec::new() })
        }
        "refusal" => text(part.needed("refusal")?).map(Part::text),
        "input_image" => Some(Part::Image { source: image(part)?, cache }),
        "input_file" => Some(document(part, cache)?),
        "input_audio" => {
            let missing = BadRequest::of(part.path("input_audio"), "The audio is missing.");
            let mut audio = part.object("input_audio")?.ok_or(missing)?;
            let data = audio.needed("data")?;
            Some(Part::Audio { format: audio.needed("format")?, data: canonical(&data, &audio.path("data"))? })
        }
        _ => return Err(BadRequest::unsupported(part.path("type"), "Content of this type is not supported.")),
    })
}

/// What the API itself calls a breakpoint, and what callers of other models put at the same place.
fn cache_mark(part: &mut Members<'_>) -> Result<Option<CacheMark>, BadRequest> {
    if let Some(mut mark) = part.object("cache_control")? {
        return Ok(Some(CacheMark { ttl: mark.string("ttl")? }));
    }
    Ok(part.raw("prompt_cache_breakpoint").map(|_| CacheMark::default()))
}

fn image(part: &mut Members<'_>) -> Result<Source, BadRequest> {
    refuse_stored(part)?;
    let url = part.needed("image_url")?;
    let at = part.path("image_url");
    let Some((said, data)) = media::data_url(&url) else { return remote(url, &at) };
    let bytes = media::decoded(data).ok_or_else(|| must_be(&at, "valid base64"))?;
    let media_type = media::said_picture_type(&said, &bytes).ok_or_else(|| must_be(&at, "a picture"))?;
    Ok(Source::Data { media_type, data: media::encoded(bytes) })
}

fn document(part: &mut Members<'_>, cache: Option<CacheMark>) -> Result<Part, BadRequest> {
    refuse_stored(part)?;
    let name = part.string("filename")?.filter(|name| !name.is_empty());
    if let Some(url) = part.string("file_url")? {
        let source = remote(url, &part.path("file_url"))?;
        return Ok(Part::Document { name, source, cache });
    }
    let given = part.needed("file_data")?;
    let at = part.path("file_data");
    let (said, data) = media::data_url(&given).unwrap_or((String::new(), given.as_str()));
    let media_type = match said.as_str() {
        "" | "application/octet-stream" => name.as_deref().and_then(media::type_of_name).unwrap_or("application/pdf"),
        said => said,
    };
    let bytes = media::decoded(data).ok_or_else(|| must_be(&at, "valid base64"))?;
    match media::document(media_type, bytes) {
        Source::Data { media_type, .. } if media_type == "text/plain" => {
            Err(must_be(&at, "text in UTF-8, as its type says"))
        }
        source => Ok(Part::Document { name, source, cache }),
    }
}

fn refuse_stored(part: &mut Members<'_>) -> Result<(), BadRequest> {
    match part.raw("file_id") {
        Some(_) => Err(BadRequest::unsupported(
            part.path("file_id"),
            "Stored files cannot be used here: send the content itself.",
        )),
        None => Ok(()),
    }
}

fn remote(url: String, at: &str) -> Result<Source, BadRequest> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => Ok(Source::Url(url)),
        _ => Err(must_be(at, "a data URL in base64, or an address that begins with https://")),
    }
}

fn canonical(data: &str, at: &str) -> Result<String, BadRequest> {
    media::canonical(data).ok_or_else(|| must_be(at, "valid base64"))
}
