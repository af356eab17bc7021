//! Names of models as prices have them: the provider takes any case, and a version behind a colon.

use crate::metering::Pricing;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Names of the shipped table by their small letters.
static LISTED: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let table = Pricing::shipped();
    table.names("deepinfra").map(|name| (name.to_ascii_lowercase(), name.to_owned())).collect()
});

/// As it is written first, because two models may differ in case only; then as it is listed; then without a version.
pub(super) fn of(model: &str, take: &mut dyn FnMut(&str) -> bool) {
    let mut either =
        |name: &str| take(name) || LISTED.get(&name.to_ascii_lowercase()).is_some_and(|listed| take(listed));
    if either(model) {
        return;
    }
    if let Some((name, _version)) = model.split_once(':') {
        either(name);
    }
}
