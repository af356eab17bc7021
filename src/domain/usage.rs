//! What a request consumed, in disjoint buckets, so that cost = sum(bucket x rate) and nothing counts twice.

use serde::{Deserialize, Serialize};

/// Where the numbers come from, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// The provider's own final numbers.
    Upstream,
    /// The provider's last cumulative numbers of a stream that did not end.
    Partial,
    /// Counted here.
    Estimated,
    #[default]
    None,
}

/// Most requests fill three of the buckets, and every event is kept for long.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Consumption of one request. Token buckets never overlap: cached, audio and image tokens are not in `in_text`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    #[serde(skip_serializing_if = "is_zero")]
    pub in_text: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub in_audio: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub in_image: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_text: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_audio: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_read_image: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_5m: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_30m: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_12h: u64,
    /// Includes reasoning and tool arguments.
    #[serde(skip_serializing_if = "is_zero")]
    pub out_text: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub out_audio: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub out_image: u64,
    /// Part of `out_text`, for information only, never priced.
    #[serde(skip_serializing_if = "is_zero")]
    pub out_reasoning: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub web_search: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub file_search: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub code_sessions: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Milliseconds, because providers report fractions of a second.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_millis: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub characters: u64,
    /// Price selectors as the response reports them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Box<str>>,
    /// `fast` costs more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<Box<str>>,
    /// Where the model ran, when that changes the price (`us`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_geo: Option<Box<str>>,
    /// Size and quality of `images`, which select their price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_quality: Option<Box<str>>,
    /// Work of a batch.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
    /// The sum of many requests, of which none is told by itself: it is no long prompt, however many tokens it has.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub many: bool,
    pub source: UsageSource,
}

impl Usage {
    /// Both together: counts add up, selectors are those of `self` or else of `other`.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let either = |a: &Option<Box<str>>, b: &Option<Box<str>>| a.as_ref().or(b.as_ref()).cloned();
        Self {
            in_text: self.in_text.saturating_add(other.in_text),
            in_audio: self.in_audio.saturating_add(other.in_audio),
            in_image: self.in_image.saturating_add(other.in_image),
            cache_read_text: self.cache_read_text.saturating_add(other.cache_read_text),
            cache_read_audio: self.cache_read_audio.saturating_add(other.cache_read_audio),
            cache_read_image: self.cache_read_image.saturating_add(other.cache_read_image),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            cache_write_30m: self.cache_write_30m.saturating_add(other.cache_write_30m),
            cache_write_12h: self.cache_write_12h.saturating_add(other.cache_write_12h),
            out_text: self.out_text.saturating_add(other.out_text),
            out_audio: self.out_audio.saturating_add(other.out_audio),
            out_image: self.out_image.saturating_add(other.out_image),
            out_reasoning: self.out_reasoning.saturating_add(other.out_reasoning),
            web_search: self.web_search.saturating_add(other.web_search),
            file_search: self.file_search.saturating_add(other.file_search),
            code_sessions: self.code_sessions.saturating_add(other.code_sessions),
            images: self.images.saturating_add(other.images),
            audio_millis: self.audio_millis.saturating_add(other.audio_millis),
            characters: self.characters.saturating_add(other.characters),
            service_tier: either(&self.service_tier, &other.service_tier),
            speed: either(&self.speed, &other.speed),
            inference_geo: either(&self.inference_geo, &other.inference_geo),
            image_size: either(&self.image_size, &other.image_size),
            image_quality: either(&self.image_quality, &other.image_quality),
            batch: self.batch || other.batch,
            many: self.many || other.many,
            source: if self.source == UsageSource::None { other.source } else { self.source },
        }
    }

    /// All prompt tokens of every kind, as `prompt_token_count` shows them and context tiers compare them.
    pub fn prompt_tokens(&self) -> u64 {
        [
            self.in_text,
            self.in_audio,
            self.in_image,
            self.cache_read_text,
            self.cache_read_audio,
            self.cache_read_image,
            self.cache_write_5m,
            self.cache_write_1h,
            self.cache_write_30m,
            self.cache_write_12h,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
    /// All output tokens of every kind.
    pub fn completion_tokens(&self) -> u64 {
        self.out_text.saturating_add(self.out_audio).saturating_add(self.out_image)
    }
}
