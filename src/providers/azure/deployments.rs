//! The model behind a deployment's name, as far as the setting tells, and the names that prices have for it.
//!
//! `deployments` of a setting lists `deployment=model` pairs. Where it names a deployment, its model is what must be
//! allowed, and what the body calls itself counts for nothing.

use crate::domain::Setting;
use crate::providers::Call;
use std::borrow::Cow;

/// Data zones that have prices of their own.
pub(super) const ZONES: [&str; 2] = ["eu", "us"];

pub(super) fn resolved<'a>(call: &'a Call, setting: &Setting) -> Cow<'a, Call> {
    let Some(model) = model_of(&call.model, setting) else { return Cow::Borrowed(call) };
    let (deployment, model) = (call.model.clone(), Box::from(model));
    // A price for the deployment itself goes before that of its model.
    let has_own_price = setting.cost_map.as_ref().is_some_and(|costs| costs.knows(&deployment));
    let (model, alias) = if has_own_price { (deployment, model) } else { (model, deployment) };
    Cow::Owned(Call { model, alias, ..call.clone() })
}

/// The provider does not tell names by their case.
fn model_of<'a>(deployment: &str, setting: &'a Setting) -> Option<&'a str> {
    let listed = setting.parameters.get("deployments")?;
    pairs(listed).flatten().find(|(name, _)| name.eq_ignore_ascii_case(deployment)).map(|(_, model)| model)
}

/// `None` for a part that is no pair.
fn pairs(listed: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    listed.split(',').map(str::trim).filter(|part| !part.is_empty()).map(pair)
}

fn pair(part: &str) -> Option<(&str, &str)> {
    let (name, model) = part.split_once('=')?;
    Some((name.trim(), model.trim())).filter(|(name, model)| !name.is_empty() && !model.is_empty())
}

/// All parts are pairs, and no deployment has two models.
pub(super) fn are_sound(listed: &str) -> bool {
    let mut seen: Vec<String> = Vec::new();
    pairs(listed).all(|pair| {
        let Some((name, _)) = pair else { return false };
        let name = name.to_ascii_lowercase();
        let is_new = !seen.contains(&name);
        seen.push(name);
        is_new
    })
}

/// The data zone's own entry first: work that has to stay in a zone costs more. Reports of deferred work name the
/// deployment, whose model is tried when nothing has that name.
// LIMIT: a model without an entry for its zone has the price that it has anywhere.
pub(super) fn price_names(model: &str, setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
    let zone = setting.parameters.get("dataZone");
    let mut either = |model: &str| zone.is_some_and(|zone| take(&format!("{zone}/{model}"))) || take(model);
    if !either(model)
        && let Some(behind) = model_of(model, setting)
    {
        either(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CostMap;
    use crate::providers::azure::tests::setting;
    use std::collections::BTreeMap;

    fn named(model: &str, alias: &str) -> Call {
        Call { model: model.into(), alias: alias.into(), ..Call::default() }
    }

    fn names(call: &Call, setting: &Setting) -> (String, String) {
        let call = resolved(call, setting);
        (call.model.to_string(), call.alias.to_string())
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn a_listed_deployment_is_its_model() {
        let listed = setting(&[("deployments", "my-dep = gpt-4o , other=gpt-5,")]);
        assert_eq!(names(&named("my-dep", "gpt-4o-mini"), &listed), pair("gpt-4o", "my-dep"), "the body says nothing");
        assert_eq!(names(&named("OTHER", ""), &listed), pair("gpt-5", "OTHER"));
        assert_eq!(names(&named("unlisted", "gpt-4o"), &listed), pair("unlisted", "gpt-4o"));
        assert_eq!(names(&named("my-dep", "gpt-4o"), &setting(&[])), pair("my-dep", "gpt-4o"));
    }

    #[test]
    fn a_price_of_its_own_goes_first() {
        let mut listed = setting(&[("deployments", "ptu=gpt-4o")]);
        listed.cost_map = Some(CostMap {
            prompt_cost_per_model: BTreeMap::from([("ptu".to_owned(), 0.0)]),
            completion_cost_per_model: BTreeMap::from([("ptu".to_owned(), 0.0)]),
            ..CostMap::default()
        });
        assert_eq!(names(&named("ptu", ""), &listed), pair("ptu", "gpt-4o"));
    }

    #[test]
    fn lists_are_pairs_without_repetition() {
        for good in ["a=b", "a=b,c=d", " a = b , c=d ,", ""] {
            assert!(are_sound(good), "{good}");
        }
        for bad in ["a", "a=", "=b", "a=b,c", "a=b,A=c", "a:b"] {
            assert!(!are_sound(bad), "{bad}");
        }
    }

    #[test]
    fn the_zone_is_tried_first() {
        let tried = |setting: &Setting, known: &str| {
            let mut all = Vec::new();
            price_names("gpt-4o", setting, &mut |name| {
                all.push(name.to_owned());
                name == known
            });
            all
        };
        let zoned = setting(&[("dataZone", "eu")]);
        assert_eq!(tried(&zoned, "eu/gpt-4o"), ["eu/gpt-4o"]);
        assert_eq!(tried(&zoned, ""), ["eu/gpt-4o", "gpt-4o"]);
        assert_eq!(tried(&setting(&[]), ""), ["gpt-4o"]);
        let listed = setting(&[("dataZone", "us"), ("deployments", "gpt-4o=gpt-5")]);
        assert_eq!(tried(&listed, ""), ["us/gpt-4o", "gpt-4o", "us/gpt-5", "gpt-5"]);
    }
}
