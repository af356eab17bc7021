//! Which price an answer has: by the model that the response names, else by the one that was asked for, each under
//! all the names that its provider may list it by. A setting's own cost map that knows either wins over the table.

use super::Provider;
use super::backend::CachedRates;
use crate::domain::{Model, Setting, UnixMillis};
use crate::metering::{FixedRates, Price, Pricing};

/// `at`: when the request started. `None` when nobody gave a price.
pub fn price(
    pricing: &Pricing,
    provider: &dyn Provider,
    setting: &Setting,
    answered: Option<&str>,
    asked: &str,
    at: UnixMillis,
) -> Option<Price> {
    let own = setting.cost_map.as_ref();
    let names = || answered.into_iter().chain([asked]);
    if let Some(name) = own.and_then(|costs| names().find(|name| costs.knows(name))) {
        return pricing.price(provider.name(), name, at, own);
    }
    names().find_map(|model| {
        let mut found = None;
        provider.price_names(model, setting, &mut |name| {
            found = pricing.price(provider.name(), name, at, own);
            found.is_some()
        });
        found
    })
}

/// The price that a model row sets. `cached`: what its config says of cached tokens.
pub fn row_price(
    pricing: &Pricing,
    provider: &dyn Provider,
    (row, cached): (&Model, CachedRates),
    model: &str,
    at: UnixMillis,
) -> Price {
    let rates = FixedRates {
        prompt: row.price_in.into(),
        completion: row.price_out.into(),
        cache_read: cached.read,
        cache_write: cached.write,
    };
    // Only limits hang on the name.
    pricing.fixed(provider.name(), model, at, &rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CostMap, Money, SettingId, Usage};
    use crate::providers::by_name;
    use std::collections::BTreeMap;

    /// 2026-11-21T00:00:00Z
    const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

    fn setting(cost_map: Option<CostMap>) -> Setting {
        Setting {
            id: SettingId::parse("6f1fca9b-9b0a-4b3c-8f6e-0d9a3a3a3a3a").unwrap(),
            revision: 1,
            provider: "openai".into(),
            name: "s".into(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            allowed_models: Box::default(),
            parameters: BTreeMap::new(),
            secrets: BTreeMap::new(),
            cost_map,
        }
    }

    #[test]
    fn an_answer_costs_what_answered() {
        let table = Pricing::shipped();
        let provider = by_name("openai").unwrap();
        let cost = |answered, asked, own: Option<&CostMap>| {
            let usage = Usage { in_text: 1_000_000, ..Usage::default() };
            price(&table, &**provider, &setting(own.cloned()), answered, asked, NOW).map(|p| p.cost(&usage))
        };
        let usd = Money::parse_usd;
        assert_eq!(cost(Some("gpt-4o-mini-2024-07-18"), "gpt-4o", None), usd("0.15"));
        assert_eq!(cost(Some("unheard-of"), "gpt-4o", None), usd("2.5"));
        assert_eq!(cost(None, "gpt-4o", None), usd("2.5"));
        assert_eq!(cost(Some("unheard-of"), "nor-this", None), None);
        let own = CostMap {
            prompt_cost_per_model: BTreeMap::from([("gpt-4o".to_owned(), 0.001)]),
            completion_cost_per_model: BTreeMap::from([("gpt-4o".to_owned(), 0.001)]),
            ..CostMap::default()
        };
        assert_eq!(cost(Some("gpt-4o-2024-08-06"), "gpt-4o", Some(&own)), usd("1"));
    }
}
