//! The names a model may have in the price table. An id may carry a geography (`us.`, `global.`), stand at the end of
//! an ARN, and have a version behind it; the region that is called may have a price of its own.

use crate::domain::Setting;

/// Prefixes of profiles that run a model somewhere in a geography; they select the price.
const GEOGRAPHIES: [&str; 8] = ["global.", "us-gov.", "apac.", "us.", "eu.", "jp.", "au.", "in."];

/// Best first, until one is taken.
pub(super) fn names(model: &str, setting: &Setting, take: &mut dyn FnMut(&str) -> bool) {
    let (id, arn_region) = match model.strip_prefix("arn:") {
        None => (model, None),
        Some(arn) => match of_arn(arn) {
            Some((id, region)) => (id, region),
            // Says nothing about the model: only an operator's own price list can know it.
            None => {
                take(model);
                return;
            }
        },
    };
    let region = arn_region.or_else(|| setting.parameters.get("awsRegion").map(|r| &**r)).unwrap_or_default();
    for id in [Some(id), without_version(id)].into_iter().flatten() {
        let geography = GEOGRAPHIES.iter().find(|geography| id.starts_with(**geography));
        let plain = geography.and_then(|geography| id.strip_prefix(geography)).unwrap_or(id);
        // A global profile costs the same wherever it is called.
        let regional =
            if geography == Some(&"global.") || region.is_empty() { None } else { Some(format!("{region}/{plain}")) };
        if regional.is_some_and(|name| take(&name)) || take(id) || (geography.is_some() && take(plain)) {
            return;
        }
    }
}

/// Model and region of an ARN (without its head) that names a model.
fn of_arn(arn: &str) -> Option<(&str, Option<&str>)> {
    let mut parts = arn.splitn(5, ':');
    let (_partition, _service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let _account = parts.next()?;
    let (kind, id) = parts.next()?.split_once('/')?;
    matches!(kind, "foundation-model" | "inference-profile").then_some((id, Some(region).filter(|r| !r.is_empty())))
}

/// `anthropic.claude-x-v1:0:200k` without what follows the model's own version, or `...-v1:0` without that too.
fn without_version(id: &str) -> Option<&str> {
    let (head, tail) = id.rsplit_once(':')?;
    if head.contains(':') {
        return Some(head);
    }
    let (name, version) = head.rsplit_once("-v")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(version) && digits(tail)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Money, UnixMillis, Usage};
    use crate::metering::Pricing;
    use crate::providers::bedrock::tests::setting;
    use crate::providers::{by_name, price};

    fn tried(model: &str, region: &str) -> Vec<String> {
        let mut tried = Vec::new();
        names(model, &setting(&[("awsRegion", region)]), &mut |name| {
            tried.push(name.to_owned());
            false
        });
        tried
    }

    #[test]
    fn the_most_particular_name_comes_first() {
        for (model, region, names) in [
            (
                "meta.llama3-8b-instruct-v1:0",
                "ca-central-1",
                &["ca-central-1/meta.llama3-8b-instruct-v1:0", "meta.llama3-8b-instruct-v1:0"][..],
            ),
            (
                "us.amazon.nova-lite",
                "us-east-1",
                &["us-east-1/amazon.nova-lite", "us.amazon.nova-lite", "amazon.nova-lite"],
            ),
            ("global.anthropic.claude-x", "us-east-1", &["global.anthropic.claude-x", "anthropic.claude-x"]),
            (
                "arn:aws:bedrock:eu-west-1::foundation-model/mistral.x",
                "us-east-1",
                &["eu-west-1/mistral.x", "mistral.x"],
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.x",
                "us-west-2",
                &["us-east-1/amazon.x", "us.amazon.x", "amazon.x"],
            ),
        ] {
            let tried = tried(model, region);
            assert_eq!(&tried[..names.len()], names, "{model}");
        }
        let profile = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
        assert_eq!(tried(profile, "us-east-1"), [profile], "an opaque name is not taken for a model");
        assert!(tried("anthropic.claude-v2:1:18k", "us-east-1").contains(&"anthropic.claude-v2:1".to_owned()));
    }

    #[test]
    fn a_geography_has_its_price() {
        let cost = |model: &str, region: &str| {
            let provider = by_name("bedrock").expect("bedrock");
            let at = UnixMillis::from_seconds(1_795_219_200);
            let usage = Usage { in_text: 1_000_000, ..Usage::default() };
            let setting = setting(&[("awsRegion", region)]);
            price(&Pricing::shipped(), &**provider, &setting, None, model, at).map(|p| p.cost(&usage))
        };
        for (model, region, usd) in [
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "us-east-1", "1.1"),
            ("anthropic.claude-haiku-4-5-20251001-v1:0", "us-east-1", "1.1"),
            ("global.anthropic.claude-haiku-4-5-20251001-v1:0", "us-east-1", "1"),
            ("anthropic.claude-haiku-4-5-20251001-v1:0", "us-gov-west-1", "1.2"),
            ("anthropic.claude-opus-5-5-v1:0", "us-east-1", "4.4"),
            ("meta.llama3-8b-instruct-v1:0", "us-east-1", "0.3"),
        ] {
            assert_eq!(cost(model, region), Money::parse_usd(usd), "{model} in {region}");
        }
        assert_eq!(cost("acme.unheard-of-v1:0", "us-east-1"), None);
    }
}
