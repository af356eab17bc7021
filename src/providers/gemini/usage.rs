//! Reads counts. Cached tokens are part of the prompt, thoughts are no part of the candidates, and what tools found for
//! the prompt is neither.

use super::request::tier;
use crate::domain::Usage;
use crate::wire::json_walk::{elements, member, members, string, whole_number};

/// Tokens by what they stand for, of those that may have a price of their own.
#[derive(Clone, Copy, Default, Debug)]
struct Kinds {
    audio: u64,
    image: u64,
}

impl Kinds {
    fn of(details: &[u8]) -> Self {
        let mut kinds = Self::default();
        for detail in elements(details) {
            let tokens = member(detail, "tokenCount").and_then(|m| whole_number(m.value)).unwrap_or(0);
            match member(detail, "modality").and_then(|m| string(m.value)) {
                Some(b"AUDIO") => kinds.audio = kinds.audio.saturating_add(tokens),
                Some(b"IMAGE") => kinds.image = kinds.image.saturating_add(tokens),
                _ => {}
            }
        }
        kinds
    }
    const fn sum(self) -> u64 {
        self.audio.saturating_add(self.image)
    }
}

/// The consumption that `usageMetadata` tells; `None` when it tells nothing.
pub(super) fn of(metadata: &[u8]) -> Option<Usage> {
    let (mut prompt, mut cached, mut candidates, mut thoughts, mut found) = (0, 0, 0, 0, 0);
    let (mut in_kinds, mut found_kinds) = (Kinds::default(), Kinds::default());
    let (mut cache_kinds, mut out_kinds) = (Kinds::default(), Kinds::default());
    let mut service_tier = None;
    let mut is_told = false;
    for m in members(metadata) {
        let mut count = |place: &mut u64| {
            if let Some(tokens) = whole_number(m.value) {
                *place = tokens;
                is_told = true;
            }
        };
        match m.key {
            b"promptTokenCount" => count(&mut prompt),
            b"cachedContentTokenCount" => count(&mut cached),
            b"candidatesTokenCount" => count(&mut candidates),
            b"thoughtsTokenCount" => count(&mut thoughts),
            b"toolUsePromptTokenCount" => count(&mut found),
            b"promptTokensDetails" => in_kinds = Kinds::of(m.value),
            b"toolUsePromptTokensDetails" => found_kinds = Kinds::of(m.value),
            b"cacheTokensDetails" => cache_kinds = Kinds::of(m.value),
            b"candidatesTokensDetails" => out_kinds = Kinds::of(m.value),
            b"serviceTier" => service_tier = tier(m.value),
            _ => {}
        }
    }
    let fresh = |all: u64, other: u64, cached: u64| all.saturating_add(other).saturating_sub(cached);
    let in_audio = fresh(in_kinds.audio, found_kinds.audio, cache_kinds.audio);
    let in_image = fresh(in_kinds.image, found_kinds.image, cache_kinds.image);
    is_told.then(|| Usage {
        in_text: fresh(prompt, found, cached).saturating_sub(in_audio.saturating_add(in_image)),
        in_audio,
        in_image,
        cache_read_text: cached.saturating_sub(cache_kinds.sum()),
        cache_read_audio: cache_kinds.audio,
        cache_read_image: cache_kinds.image,
        out_text: candidates.saturating_sub(out_kinds.sum()).saturating_add(thoughts),
        out_audio: out_kinds.audio,
        out_image: out_kinds.image,
        out_reasoning: thoughts,
        service_tier,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_do_not_overlap() {
        let told = br#"{"promptTokenCount":1000,"cachedContentTokenCount":400,"candidatesTokenCount":50,
            "thoughtsTokenCount":30,"toolUsePromptTokenCount":20,"totalTokenCount":1100,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":600},{"modality":"AUDIO","tokenCount":300},{"modality":"IMAGE","tokenCount":100}],
            "cacheTokensDetails":[{"modality":"TEXT","tokenCount":250},{"modality":"AUDIO","tokenCount":100},{"modality":"IMAGE","tokenCount":50}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":40}],"serviceTier":"SERVICE_TIER_FLEX"}"#;
        let usage = of(told).expect("told");
        assert_eq!((usage.in_text, usage.in_audio, usage.in_image), (370, 200, 50));
        assert_eq!((usage.cache_read_text, usage.cache_read_audio, usage.cache_read_image), (250, 100, 50));
        assert_eq!((usage.out_text, usage.out_image, usage.out_reasoning), (40, 40, 30));
        assert_eq!((usage.prompt_tokens(), usage.completion_tokens()), (1020, 80), "as the total says");
        assert_eq!(usage.service_tier.as_deref(), Some("flex"));
    }

    #[test]
    fn less_is_told_by_less() {
        assert_eq!(of(b"{}"), None);
        assert_eq!(of(br#"{"promptTokenCount":null}"#), None);
        let usage = of(br#"{"promptTokenCount":7}"#).expect("told");
        assert_eq!((usage.in_text, usage.out_text), (7, 0));
    }
}
