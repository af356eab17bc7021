//! The form of a price file, as JSON has it, and its translation into rates. Unknown members are mistakes:
//! a misspelt price would silently be none.

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<'a> {
    pub(super) schema_version: u32,
    #[serde(borrow, default)]
    pub(super) generated_at: Option<Cow<'a, str>>,
    #[serde(default, rename = "sources")]
    _sources: IgnoredAny,
    #[serde(borrow)]
    pub(super) entries: Vec<Entry<'a>>,
}

type Decimal<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) provider: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) region: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) aliases: Vec<Cow<'a, str>>,
    #[serde(default)]
    regex: Vec<String>,
    #[serde(borrow, default)]
    pub(super) valid_from: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) valid_to: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    rates: RawRates<'a>,
    #[serde(borrow, default)]
    long: Option<Long<'a>>,
    #[serde(borrow, default)]
    units: RawUnits<'a>,
    #[serde(borrow, default)]
    variants: Vec<RawVariant<'a>>,
    #[serde(borrow, default)]
    multipliers: Multipliers<'a>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    flags: Flags,
    #[serde(default, rename = "provenance")]
    _provenance: IgnoredAny,
}

/// USD per million tokens.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawRates<'a> {
    #[serde(borrow)]
    input: Decimal<'a>,
    #[serde(borrow)]
    output: Decimal<'a>,
    #[serde(borrow)]
    cache_read: Decimal<'a>,
    #[serde(borrow)]
    cache_write_5m: Decimal<'a>,
    #[serde(borrow)]
    cache_write_1h: Decimal<'a>,
    #[serde(borrow)]
    cache_write_30m: Decimal<'a>,
    #[serde(borrow)]
    cache_write_12h: Decimal<'a>,
    #[serde(borrow)]
    input_audio: Decimal<'a>,
    #[serde(borrow)]
    output_audio: Decimal<'a>,
    #[serde(borrow)]
    input_image: Decimal<'a>,
    #[serde(borrow)]
    output_image: Decimal<'a>,
    #[serde(borrow)]
    cache_read_audio: Decimal<'a>,
    #[serde(borrow)]
    cache_read_image: Decimal<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long<'a> {
    threshold: u64,
    #[serde(borrow)]
    rates: RawRates<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantLong<'a> {
    #[serde(borrow)]
    rates: RawRates<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawVariant<'a> {
    #[serde(borrow)]
    when: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    rates: RawRates<'a>,
    #[serde(borrow, default)]
    long: Option<VariantLong<'a>>,
}

/// USD for one piece.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawUnits<'a> {
    #[serde(borrow)]
    web_search: Decimal<'a>,
    #[serde(borrow)]
    file_search: Decimal<'a>,
    #[serde(borrow)]
    code_session: Decimal<'a>,
    #[serde(borrow)]
    second_in: Decimal<'a>,
    #[serde(borrow)]
    second_session: Decimal<'a>,
    #[serde(borrow, rename = "char")]
    character: Decimal<'a>,
    // Read and checked, for services that are not served yet.
    #[serde(borrow)]
    query: Decimal<'a>,
    #[serde(borrow)]
    request: Decimal<'a>,
    #[serde(borrow)]
    image: Vec<RawImage<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawImage<'a> {
    #[serde(borrow, default)]
    size: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    quality: Option<Cow<'a, str>>,
    #[serde(borrow)]
    usd: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Multipliers<'a> {
    #[serde(borrow)]
    regional: Decimal<'a>,
    #[serde(borrow)]
    geo_us: Decimal<'a>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    input: Option<u64>,
    output: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Flags {
    reasoning: bool,
    #[serde(rename = "sampling_params")]
    _sampling_params: Option<bool>,
}

impl RawRates<'_> {
    fn get(&self, bucket: Bucket) -> Result<Option<Rate>, Fault> {
        let (name, text) = match bucket {
            Bucket::Input => ("input", &self.input),
            Bucket::InputAudio => ("input_audio", &self.input_audio),
            Bucket::InputImage => ("input_image", &self.input_image),
            Bucket::CacheRead => ("cache_read", &self.cache_read),
            Bucket::CacheReadAudio => ("cache_read_audio", &self.cache_read_audio),
            Bucket::CacheReadImage => ("cache_read_image", &self.cache_read_image),
            Bucket::CacheWrite5m => ("cache_write_5m", &self.cache_write_5m),
            Bucket::CacheWrite1h => ("cache_write_1h", &self.cache_write_1h),
            Bucket::CacheWrite30m => ("cache_write_30m", &self.cache_write_30m),
            Bucket::CacheWrite12h => ("cache_write_12h", &self.cache_write_12h),
            Bucket::Output => ("output", &self.output),
            Bucket::OutputAudio => ("output_audio", &self.output_audio),
            Bucket::OutputImage => ("output_image", &self.output_image),
        };
        text.as_deref().map(|t| Rate::parse_usd_per_million(t).ok_or(Fault::Number(name.into()))).transpose()
    }
}

/// One row out of several sheets: of each bucket the first sheet that has a rate, then the bucket's fallback.
fn row(sheets: &[&RawRates<'_>]) -> Result<Row, Fault> {
    let mut rates = [Rate::ZERO; super::super::price::BUCKETS];
    for (slot, bucket) in rates.iter_mut().zip(Bucket::ALL) {
        let mut wanted = Some(bucket);
        'found: while let Some(name) = wanted {
            for sheet in sheets {
                if let Some(rate) = sheet.get(name)? {
                    *slot = rate;
                    break 'found;
                }
            }
            wanted = name.fallback();
        }
    }
    Ok(Row(rates))
}

fn condition(key: &str, value: &str) -> Result<Condition, Fault> {
    match (key, value) {
        ("service_tier", tier) => Ok(Condition::ServiceTier(tier.into())),
        ("speed", speed) => Ok(Condition::Speed(speed.into())),
        ("processing", "batch") => Ok(Condition::Batch),
        _ => Err(Fault::Condition(format!("{key}={value}"))),
    }
}

fn unit(text: &Decimal<'_>, name: &'static str) -> Result<Option<Rate>, Fault> {
    text.as_deref().map(|t| Rate::parse_usd(t).ok_or(Fault::Number(name.into()))).transpose()
}

fn factor(text: &Decimal<'_>, name: &'static str) -> Result<Factor, Fault> {
    let Some(text) = text else { return Ok(Factor::ONE) };
    // Four fractional digits: a price in USD per million tokens with the point moved.
    let fault = || Fault::Number(name.into());
    let units = Rate::parse_usd_per_million(text).ok_or_else(fault)?.units();
    let exact = units % 1_000_000 == 0;
    u32::try_from(units / 1_000_000).ok().filter(|f| exact && *f > 0).map(Factor).ok_or_else(fault)
}

impl RawUnits<'_> {
    fn units(&self) -> Result<Units, Fault> {
        unit(&self.query, "query")?;
        unit(&self.request, "request")?;
        let second = match unit(&self.second_in, "second_in")? {
            Some(rate) => Some(rate),
            None => unit(&self.second_session, "second_session")?,
        };
        let image = |i: &RawImage<'_>| {
            Ok(ImagePrice {
                size: i.size.as_deref().map(Into::into),
                quality: i.quality.as_deref().map(Into::into),
                rate: Rate::parse_usd(&i.usd).ok_or(Fault::Number("image".into()))?,
            })
        };
        Ok(Units {
            web_search: unit(&self.web_search, "web_search")?.unwrap_or_default(),
            file_search: unit(&self.file_search, "file_search")?.unwrap_or_default(),
            code_session: unit(&self.code_session, "code_session")?.unwrap_or_default(),
            second: second.unwrap_or_default(),
            character: unit(&self.character, "char")?.unwrap_or_default(),
            images: self.image.iter().map(image).collect::<Result<_, Fault>>()?,
        })
    }
}

impl Entry<'_> {
    pub(super) fn rates(&self) -> Result<Rates, Fault> {
        if !self.regex.is_empty() {
            return Err(Fault::Pattern);
        }
        let long = self.long.as_ref();
        let variant = |v: &RawVariant<'_>| {
            if v.long.is_some() && long.is_none() {
                return Err(Fault::Tier);
            }
            // A rate that the variant gives without a long price is flat; one that it does not give is the entry's.
            let empty = RawRates::default();
            let own_long = v.long.as_ref().map_or(&empty, |l| &l.rates);
            let long_row = |l: &Long<'_>| row(&[own_long, &v.rates, &l.rates, &self.rates]);
            Ok(Variant {
                when: v.when.iter().map(|(k, value)| condition(k, value)).collect::<Result<_, Fault>>()?,
                base: row(&[&v.rates, &self.rates])?,
                long: long.map(long_row).transpose()?,
            })
        };
        Ok(Rates {
            base: row(&[&self.rates])?,
            long: long.map(|l| Ok((l.threshold, row(&[&l.rates, &self.rates])?))).transpose()?,
            variants: self.variants.iter().map(variant).collect::<Result<_, Fault>>()?,
            units: self.units.units()?,
            regional: factor(&self.multipliers.regional, "multipliers.regional")?,
            geo_us: factor(&self.multipliers.geo_us, "multipliers.geo_us")?,
            limits: ModelLimits { input: self.limits.input, output: self.limits.output },
            reasoning: self.flags.reasoning,
        })
    }
}

/// `YYYY-MM-DD`, or the same with `THH:MM:SSZ`, as milliseconds since the epoch.
pub(super) fn moment(text: &str, field: &'static str) -> Result<UnixMillis, Fault> {
    let fault = || Fault::Date(field);
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let three = |text: &str, separator: char, widths: [usize; 3]| -> Option<[i64; 3]> {
        let mut parts = text.split(separator);
        let mut out = [0; 3];
        for (slot, width) in out.iter_mut().zip(widths) {
            let part = parts.next().filter(|p| p.len() == width && p.bytes().all(|b| b.is_ascii_digit()))?;
            *slot = part.parse().ok()?;
        }
        parts.next().is_none().then_some(out)
    };
    let [year, month, day] = three(date, '-', [4, 2, 2]).ok_or_else(fault)?;
    let [hour, minute, second] = time.strip_suffix('Z').and_then(|t| three(t, ':', [2, 2, 2])).ok_or_else(fault)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(fault()),
    };
    if !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return Err(fault());
    }
    // Days since 1970-01-01 with years that begin in March, so that the leap day comes last.
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted.div_euclid(4) - shifted.div_euclid(100) + shifted.div_euclid(400) + day_of_year
        - 719_468;
    Ok(UnixMillis::from_seconds(days * 86_400 + hour * 3600 + minute * 60 + second))
}
