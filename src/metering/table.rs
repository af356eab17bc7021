//! The price table: which model costs what, and when. Read once from the shipped data, then from an operator's file
//! of the same form; answers from hash maps. A name is matched exactly, by alias or without its date, never by prefix.

use super::ModelLimits;
use super::price::{Bucket, Condition, Factor, ImagePrice, Price, Rates, Row, Units, Variant};
use crate::domain::{CostMap, Rate, UnixMillis};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

mod raw;

static SHIPPED: &str = include_str!("prices.json");

/// What is wrong with a price file.
#[derive(Debug, thiserror::Error)]
pub enum PricingError {
    #[error("the price file is not of the expected form: {0}")]
    Form(#[from] serde_json::Error),
    #[error("price files of version {0} are not understood, only 1 is")]
    Version(u32),
    #[error("price of {provider} {id}: {fault}")]
    Entry { provider: String, id: String, fault: Fault },
}

/// What is wrong with one entry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error("{0} is not a plain, non-negative decimal")]
    Number(Cow<'static, str>),
    #[error("{0} is not a date such as 2026-11-21 or 2026-11-21T00:00:00Z")]
    Date(&'static str),
    #[error("patterns are not supported, list the names under aliases")]
    Pattern,
    #[error("{0} is not a condition: service_tier, speed and processing=batch are")]
    Condition(String),
    #[error("a variant has a long-context price, but the entry has none")]
    Tier,
    #[error("{0} has two prices at the same time")]
    Overlap(String),
}

/// One span of a model's price history.
#[derive(Clone, Debug)]
struct Period {
    /// From this moment, up to but not including the other.
    from: Option<UnixMillis>,
    until: Option<UnixMillis>,
    /// The entry's main name, which its aliases share.
    head: Arc<str>,
    rates: Arc<Rates>,
}

impl Period {
    fn covers(&self, at: UnixMillis) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
    fn overlaps(&self, other: &Self) -> bool {
        let ends_before = |a: &Self, b: &Self| a.until.zip(b.from).is_some_and(|(until, from)| until <= from);
        !ends_before(self, other) && !ends_before(other, self)
    }
}

type Models = HashMap<Box<str>, Vec<Period>>;

/// All prices in force.
#[derive(Clone, Debug, Default)]
pub struct Pricing {
    providers: HashMap<Box<str>, Models>,
    generated_at: Box<str>,
}

/// So much for each token of the prompt and of the answer, whatever its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FixedRates {
    pub prompt: Rate,
    pub completion: Rate,
    /// Of what was read from a cache; `None` = as any other token of the prompt.
    pub cache_read: Option<Rate>,
    /// Of what was written to one.
    pub cache_write: Option<Rate>,
}

impl Pricing {
    /// The table that comes with this build.
    pub fn shipped() -> Self {
        #[expect(clippy::expect_used, reason = "compiled in; a test reads every entry of it")]
        static TABLE: LazyLock<Pricing> =
            LazyLock::new(|| Pricing::parse(SHIPPED).expect("the shipped table is sound"));
        TABLE.clone()
    }

    /// When the shipped data was collected, RFC 3339.
    pub fn generated_at(&self) -> &str {
        &self.generated_at
    }

    /// Names of a provider's models, aliases among them, in no order.
    pub fn names(&self, provider: &str) -> impl Iterator<Item = &str> {
        self.providers.get(provider).into_iter().flat_map(|models| models.keys().map(|name| &**name))
    }

    /// Puts the entries of an operator's file over this table. An entry replaces the whole history of the names it
    /// gives, and of the names that were aliases of its id; limits that it does not state stay.
    ///
    /// # Errors
    /// When any entry is unsound: none is taken then.
    pub fn with_overrides(mut self, json: &str) -> Result<Self, PricingError> {
        let overrides = Self::parse(json)?;
        for (provider, models) in overrides.providers {
            let ours = self.providers.entry(provider).or_default();
            for (name, periods) in models {
                let old = ours.get(&name).cloned().unwrap_or_default();
                let periods = inherit_limits(periods, &old);
                let is_head = periods.iter().any(|p| *p.head == *name);
                if is_head {
                    for followers in ours.values_mut().filter(|f| f.iter().any(|p| *p.head == *name)) {
                        followers.clone_from(&periods);
                    }
                }
                ours.insert(name, periods);
            }
        }
        Ok(self)
    }

    /// The price of a model for a request that started at `at`; `None` when nobody gave one.
    /// A setting's own cost map wins over the table: flat rates, no tiers, the table's limits and unit prices.
    pub fn price(&self, provider: &str, model: &str, at: UnixMillis, own: Option<&CostMap>) -> Option<Price> {
        let listed = self.find(provider, model, at);
        match own.and_then(|costs| flat_rates(costs, model)) {
            Some(row) => Some(Price::new(Arc::new(overridden(row, listed)))),
            None => listed.map(|rates| Price::new(Arc::clone(rates))),
        }
    }

    /// The price that somebody set for a model of their own, and nothing else. Limits are the table's.
    pub fn fixed(&self, provider: &str, model: &str, at: UnixMillis, rates: &FixedRates) -> Price {
        let mut priced = overridden((rates.prompt, rates.completion), self.find(provider, model, at));
        for (bucket, rate) in Bucket::ALL.iter().zip(&mut priced.base.0) {
            let own = if bucket.is_cache_read() {
                rates.cache_read
            } else if bucket.is_cache_write() {
                rates.cache_write
            } else {
                None
            };
            *rate = own.unwrap_or(*rate);
        }
        Price::new(Arc::new(Rates { units: Units::default(), ..priced }))
    }

    fn find(&self, provider: &str, model: &str, at: UnixMillis) -> Option<&Arc<Rates>> {
        let models = self.providers.get(provider)?;
        let exact = |name: &str| models.get(name)?.iter().find(|p| p.covers(at)).map(|p| &p.rates);
        let dated = |name: &str| exact(name).or_else(|| exact(without_date(name)?));
        // A fine-tuned model `ft:<base>:<org>:<name>:<id>` has the price of `ft:<base>`, never that of the base.
        match model.strip_prefix("ft:").and_then(|rest| rest.find(':')) {
            Some(colon) => {
                let family = model.get(.."ft:".len() + colon)?;
                exact(model).or_else(|| dated(family)).or_else(|| exact(without_month_day(family)?))
            }
            None => dated(model),
        }
    }

    fn parse(json: &str) -> Result<Self, PricingError> {
        let file: raw::File<'_> = serde_json::from_str(json)?;
        if file.schema_version != 1 {
            return Err(PricingError::Version(file.schema_version));
        }
        let mut table =
            Self { generated_at: file.generated_at.as_deref().unwrap_or_default().into(), ..Self::default() };
        for entry in &file.entries {
            table.insert(entry).map_err(|fault| PricingError::Entry {
                provider: entry.provider.to_string(),
                id: entry.id.to_string(),
                fault,
            })?;
        }
        Ok(table)
    }

    fn insert(&mut self, entry: &raw::Entry<'_>) -> Result<(), Fault> {
        let in_region = |name: &str| match &entry.region {
            Some(region) => format!("{region}/{name}").into_boxed_str(),
            None => Box::from(name),
        };
        let period = Period {
            from: entry.valid_from.as_deref().map(|d| raw::moment(d, "valid_from")).transpose()?,
            until: entry.valid_to.as_deref().map(|d| raw::moment(d, "valid_to")).transpose()?,
            head: Arc::from(&*in_region(&entry.id)),
            rates: Arc::new(entry.rates()?),
        };
        let models = self.providers.entry(Box::from(&*entry.provider)).or_default();
        for name in std::iter::once(&entry.id).chain(&entry.aliases) {
            let periods = models.entry(in_region(name)).or_default();
            if periods.iter().any(|p| p.overlaps(&period)) {
                return Err(Fault::Overlap(name.to_string()));
            }
            periods.push(period.clone());
            // Newest first: nearly every question is about now.
            periods.sort_by_key(|p| std::cmp::Reverse(p.from));
        }
        Ok(())
    }
}

fn flat_rates(costs: &CostMap, model: &str) -> Option<(Rate, Rate)> {
    costs.chat(model).or_else(|| Some((costs.embeddings(model)?, Rate::ZERO)))
}

fn overridden((prompt, completion): (Rate, Rate), listed: Option<&Arc<Rates>>) -> Rates {
    let row = Row(Bucket::ALL.map(|b| if (b as usize) < Bucket::Output as usize { prompt } else { completion }));
    Rates {
        base: row,
        long: None,
        variants: Box::default(),
        units: listed.map(|r| r.units.clone()).unwrap_or_default(),
        regional: Factor::ONE,
        geo_us: Factor::ONE,
        limits: listed.map(|r| r.limits).unwrap_or_default(),
        reasoning: listed.is_some_and(|r| r.reasoning),
    }
}

fn inherit_limits(periods: Vec<Period>, old: &[Period]) -> Vec<Period> {
    let Some(known) = old.first().map(|p| p.rates.limits) else { return periods };
    let merge = |limits: ModelLimits| ModelLimits {
        input: limits.input.or(known.input),
        output: limits.output.or(known.output),
    };
    let with_limits =
        |p: Period| Period { rates: Arc::new(Rates { limits: merge(p.rates.limits), ..Rates::clone(&p.rates) }), ..p };
    periods.into_iter().map(with_limits).collect()
}

/// The name before `-YYYY-MM-DD`, `-YYYYMMDD` or `@YYYYMMDD`.
fn without_date(name: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (head, tail) = name.split_at_checked(name.len().checked_sub(9)?)?;
    if tail.strip_prefix(['-', '@']).is_some_and(digits) {
        return Some(head);
    }
    let (head, tail) = name.split_at_checked(name.len().checked_sub(11)?)?;
    let mut parts = tail.strip_prefix('-')?.split('-');
    let sized = |part: Option<&str>, len| part.is_some_and(|p| p.len() == len && digits(p));
    (sized(parts.next(), 4) && sized(parts.next(), 2) && sized(parts.next(), 2) && parts.next().is_none())
        .then_some(head)
}

/// The name before `-MMDD`, as early fine-tuned families have it.
fn without_month_day(name: &str) -> Option<&str> {
    let (head, tail) = name.split_at_checked(name.len().checked_sub(5)?)?;
    tail.strip_prefix('-')?.bytes().all(|b| b.is_ascii_digit()).then_some(head)
}

#[cfg(test)]
mod tests;
