//! The price of one model and what a usage costs by it: an exact integer sum, rounded once.
//! Every fallback between rates is settled when a price is built, so that a cost is one row of products.

use super::ModelLimits;
use crate::domain::money::RATE_PER_MONEY;
use crate::domain::{Money, Rate, Usage};
use std::sync::Arc;

/// Number of token buckets of a usage that have a price each.
pub(super) const BUCKETS: usize = 13;

/// Token buckets in the order of a [`Row`]; input side first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bucket {
    Input,
    InputAudio,
    InputImage,
    CacheRead,
    CacheReadAudio,
    CacheReadImage,
    CacheWrite5m,
    CacheWrite1h,
    CacheWrite30m,
    CacheWrite12h,
    Output,
    OutputAudio,
    OutputImage,
}

/// Buckets from here on are output.
const FIRST_OUTPUT: usize = Bucket::Output as usize;

impl Bucket {
    pub(super) const ALL: [Self; BUCKETS] = [
        Self::Input,
        Self::InputAudio,
        Self::InputImage,
        Self::CacheRead,
        Self::CacheReadAudio,
        Self::CacheReadImage,
        Self::CacheWrite5m,
        Self::CacheWrite1h,
        Self::CacheWrite30m,
        Self::CacheWrite12h,
        Self::Output,
        Self::OutputAudio,
        Self::OutputImage,
    ];
    /// The bucket whose rate counts when this one has none.
    pub(super) const fn fallback(self) -> Option<Self> {
        match self {
            Self::Input | Self::Output => None,
            Self::OutputAudio | Self::OutputImage => Some(Self::Output),
            // Without a price of their own, cached sound and pictures cost what they cost uncached.
            Self::CacheReadAudio => Some(Self::InputAudio),
            Self::CacheReadImage => Some(Self::InputImage),
            _ => Some(Self::Input),
        }
    }
    pub(super) const fn is_cache_read(self) -> bool {
        matches!(self, Self::CacheRead | Self::CacheReadAudio | Self::CacheReadImage)
    }
    pub(super) const fn is_cache_write(self) -> bool {
        matches!(self, Self::CacheWrite5m | Self::CacheWrite1h | Self::CacheWrite30m | Self::CacheWrite12h)
    }
    const fn tokens(self, usage: &Usage) -> u64 {
        match self {
            Self::Input => usage.in_text,
            Self::InputAudio => usage.in_audio,
            Self::InputImage => usage.in_image,
            Self::CacheRead => usage.cache_read_text,
            Self::CacheReadAudio => usage.cache_read_audio,
            Self::CacheReadImage => usage.cache_read_image,
            Self::CacheWrite5m => usage.cache_write_5m,
            Self::CacheWrite1h => usage.cache_write_1h,
            Self::CacheWrite30m => usage.cache_write_30m,
            Self::CacheWrite12h => usage.cache_write_12h,
            Self::Output => usage.out_text,
            Self::OutputAudio => usage.out_audio,
            Self::OutputImage => usage.out_image,
        }
    }
}

/// A rate for every bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Row(pub(super) [Rate; BUCKETS]);

impl Row {
    /// 1e-16 USD.
    fn sum(&self, usage: &Usage) -> i128 {
        Bucket::ALL.iter().zip(self.0).fold(0, |sum, (bucket, rate)| match bucket.tokens(usage) {
            0 => sum,
            tokens => sum.saturating_add(rate.times(tokens)),
        })
    }
    /// 1e-16 USD when every token is of the dearest kind of its side.
    fn ceiling(&self, usage: &Usage) -> i128 {
        let (input, output) = self.0.split_at(FIRST_OUTPUT.min(BUCKETS));
        let dearest = |rates: &[Rate]| rates.iter().copied().max().unwrap_or_default();
        dearest(input).times(usage.prompt_tokens()).saturating_add(dearest(output).times(usage.completion_tokens()))
    }
}

/// What a variant looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    ServiceTier(Box<str>),
    Speed(Box<str>),
    Batch,
}

impl Condition {
    fn holds(&self, usage: &Usage) -> bool {
        match self {
            Self::ServiceTier(tier) => usage.service_tier.as_ref() == Some(tier),
            Self::Speed(speed) => usage.speed.as_ref() == Some(speed),
            Self::Batch => usage.batch,
        }
    }
}

/// Rates in force under conditions; `long` is set whenever the model has a long-context price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Variant {
    pub(super) when: Box<[Condition]>,
    pub(super) base: Row,
    pub(super) long: Option<Row>,
}

/// Prices per piece.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Units {
    pub(super) web_search: Rate,
    pub(super) file_search: Rate,
    pub(super) code_session: Rate,
    pub(super) second: Rate,
    pub(super) character: Rate,
    pub(super) images: Box<[ImagePrice]>,
}

/// Price of one image; a missing size or quality fits all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ImagePrice {
    pub(super) size: Option<Box<str>>,
    pub(super) quality: Option<Box<str>>,
    pub(super) rate: Rate,
}

/// A factor in ten-thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Factor(pub(super) u32);

impl Factor {
    pub(super) const ONE: Self = Self(10_000);
}

/// Everything known of one model for one span of time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rates {
    pub(super) base: Row,
    /// Above this many prompt tokens (not at it) the whole request costs the second row.
    pub(super) long: Option<(u64, Row)>,
    pub(super) variants: Box<[Variant]>,
    pub(super) units: Units,
    pub(super) regional: Factor,
    pub(super) geo_us: Factor,
    pub(super) limits: ModelLimits,
    pub(super) reasoning: bool,
}

/// The price of a model. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Price {
    rates: Arc<Rates>,
    regional: bool,
}

impl Price {
    pub(super) const fn new(rates: Arc<Rates>) -> Self {
        Self { rates, regional: false }
    }

    /// The price for work that has to stay in a region, where the provider asks more for that.
    #[must_use]
    pub fn in_region(self) -> Self {
        Self { regional: true, ..self }
    }

    pub fn limits(&self) -> ModelLimits {
        self.rates.limits
    }

    /// The model thinks in tokens nobody sees.
    pub fn reasons(&self) -> bool {
        self.rates.reasoning
    }

    /// Whether the model writes, as far as its price tells: vectors cost what was read and nothing else. `None` = it may
    /// do either, or what is neither, such as pictures.
    pub fn writes(&self) -> Option<bool> {
        let Rates { base: Row(rates), units, .. } = &*self.rates;
        let costs = |bucket: Bucket| rates.get(bucket as usize).is_some_and(|rate| *rate > Rate::ZERO);
        let all_output = [Bucket::Output, Bucket::OutputAudio, Bucket::OutputImage];
        let reads_only = costs(Bucket::Input) && !all_output.into_iter().any(costs) && *units == Units::default();
        if costs(Bucket::Output) { Some(true) } else { reads_only.then_some(false) }
    }

    /// What this consumption costs.
    pub fn cost(&self, usage: &Usage) -> Money {
        self.total(usage, self.row(usage).sum(usage))
    }

    /// The most that so many prompt and output tokens can cost, whatever their kind: a prompt may turn out to be
    /// written to a cache, which is dearer than reading it. Never below [`Price::cost`].
    pub fn ceiling(&self, usage: &Usage) -> Money {
        let variant = self.variant(usage);
        let base = variant.map_or(&self.rates.base, |v| &v.base).ceiling(usage);
        let long = self.row(usage).ceiling(usage);
        self.total(usage, base.max(long))
    }

    fn variant(&self, usage: &Usage) -> Option<&Variant> {
        self.rates.variants.iter().find(|v| v.when.iter().all(|c| c.holds(usage)))
    }

    fn row(&self, usage: &Usage) -> &Row {
        let variant = self.variant(usage);
        match &self.rates.long {
            Some((threshold, row)) if !usage.many && usage.prompt_tokens() > *threshold => {
                variant.and_then(|v| v.long.as_ref()).unwrap_or(row)
            }
            _ => variant.map_or(&self.rates.base, |v| &v.base),
        }
    }

    /// `tokens` in 1e-16 USD. Factors apply to tokens only.
    fn total(&self, usage: &Usage, tokens: i128) -> Money {
        let units = &self.rates.units;
        let pieces = [
            units.web_search.times(usage.web_search),
            units.file_search.times(usage.file_search),
            units.code_session.times(usage.code_sessions),
            units.character.times(usage.characters),
            if usage.images == 0 { 0 } else { self.image(usage).times(usage.images) },
        ]
        .into_iter()
        .fold(0, i128::saturating_add);
        // From here on in 1e-20 USD: a factor of ten-thousandths is exact, and so are milliseconds of a price per second.
        let mut scale = i128::from(Factor::ONE.0);
        let mut tokens = tokens.saturating_mul(scale);
        if self.regional {
            tokens = tokens.saturating_mul(i128::from(self.rates.regional.0)) / i128::from(Factor::ONE.0);
        }
        if usage.inference_geo.as_deref() == Some("us") {
            tokens = tokens.saturating_mul(i128::from(self.rates.geo_us.0)) / i128::from(Factor::ONE.0);
        }
        let seconds = units.second.times(usage.audio_millis).saturating_mul(10);
        let sum = tokens.saturating_add(pieces.saturating_mul(scale)).saturating_add(seconds);
        scale = scale.saturating_mul(RATE_PER_MONEY);
        let rounded = sum.saturating_add(scale / 2) / scale;
        Money::from_units(i64::try_from(rounded).unwrap_or(i64::MAX))
    }

    /// The price of the size and quality in hand; when none fits, the dearest: better too much than for free.
    fn image(&self, usage: &Usage) -> Rate {
        let fits = |wanted: &Option<Box<str>>, have: &Option<Box<str>>| wanted.is_none() || wanted == have;
        let prices = &self.rates.units.images;
        prices
            .iter()
            .find(|p| fits(&p.size, &usage.image_size) && fits(&p.quality, &usage.image_quality))
            .or_else(|| prices.iter().max_by_key(|p| p.rate))
            .map_or(Rate::ZERO, |p| p.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;
    use crate::metering::Pricing;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

    fn shipped(model: &str) -> Price {
        Pricing::shipped().price("openai", model, NOW, None).expect(model)
    }

    #[test]
    fn absurd_counts_saturate() {
        let usage = Usage { in_text: u64::MAX, out_text: u64::MAX, audio_millis: u64::MAX, ..Usage::default() };
        assert_eq!(shipped("gpt-4o").cost(&usage), Money::MAX);
        assert_eq!(shipped("gpt-4o").ceiling(&usage), Money::MAX);
    }

    #[test]
    fn ceiling_covers_cache_writes() {
        let prompt = Usage { in_text: 10_000, ..Usage::default() };
        let written = Usage { cache_write_12h: 10_000, ..Usage::default() };
        let price = shipped("gpt-6.1-sol");
        assert!(price.ceiling(&prompt) > price.cost(&prompt));
        assert_eq!(price.ceiling(&prompt), price.cost(&written));
    }

    #[test]
    fn region_costs_a_tenth_more() {
        let usage = Usage { in_text: 1_000_000, web_search: 1, ..Usage::default() };
        assert_eq!(shipped("gpt-5.4").cost(&usage), Money::parse_usd("5.01").expect("money"));
        assert_eq!(shipped("gpt-5.4").in_region().cost(&usage), Money::parse_usd("5.51").expect("money"));
    }

    #[test]
    fn unknown_tier_costs_the_base_price() {
        let plain = Usage { in_text: 7, out_text: 9, ..Usage::default() };
        let odd = Usage { service_tier: Some("platinum".into()), ..plain.clone() };
        assert_eq!(shipped("gpt-5").cost(&odd), shipped("gpt-5").cost(&plain));
    }

    proptest! {
        #[test]
        fn cost_never_exceeds_ceiling(
            in_text in 0..400_000u64, read in 0..400_000u64, write in 0..400_000u64, audio in 0..1000u64,
            out in 0..200_000u64, tier in prop::option::of("flex|priority|default|ultrafast"),
            model in prop::sample::select(vec!["gpt-4o", "gpt-5.4", "gpt-6.1-sol", "gpt-realtime", "gpt-audio", "o3"]),
        ) {
            let usage = Usage {
                in_text, cache_read_text: read, cache_write_30m: write, in_audio: audio, out_text: out,
                service_tier: tier.map(Into::into), ..Usage::default()
            };
            let price = shipped(model);
            prop_assert!(price.cost(&usage) <= price.ceiling(&usage));
        }

        #[test]
        fn cost_grows_with_each_token(tokens in 0..250_000u64, out in 0..1000u64) {
            let price = shipped("gpt-4o");
            let one = Usage { in_text: tokens, out_text: out, ..Usage::default() };
            let more = Usage { in_text: tokens + 1, ..one.clone() };
            // 2.5 USD per million tokens are 25000 units of 1e-10 USD each.
            prop_assert_eq!(price.cost(&more).units() - price.cost(&one).units(), 25_000);
        }
    }
}
