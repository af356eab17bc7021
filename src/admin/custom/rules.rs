//! What a custom provider may look like: names, paths, targets, locations; and how new routes go over old ones.

use crate::admin::fields::Invalid;
use crate::admin::target;
use crate::domain::CustomRoute;
use crate::providers::custom::{Location, Target, is_reserved};

/// Routes of one provider; a bound, not a tuning knob.
const MOST_ROUTES: usize = 1000;
/// Longest name, path, URL and end word, bytes.
const LONGEST: usize = 2048;

/// A route as somebody wants it: absent and empty fields are those of the stored route with the same path.
#[derive(Clone, Default)]
pub(super) struct RouteDraft {
    pub(super) path: Option<String>,
    pub(super) target_url: Option<String>,
    pub(super) model_location: Option<String>,
    pub(super) request_prompt_location: Option<String>,
    pub(super) response_completion_location: Option<String>,
    pub(super) stream_location: Option<String>,
    pub(super) stream_end_word: Option<String>,
    pub(super) stream_response_completion_location: Option<String>,
    pub(super) stream_max_empty_messages: Option<i64>,
}

/// The name as it is stored. It becomes a segment of a path and a header's value.
pub(super) fn name(given: &str, invalid: &mut Invalid) -> String {
    let name = given.to_lowercase();
    let fits = |b: u8| b.is_ascii_graphic() && !b"/?#%\\\"".contains(&b);
    if name.is_empty() {
        invalid.add("provider", "must not be empty");
    } else if name.chars().any(char::is_whitespace) {
        invalid.add("provider", "must not contain white space");
    } else if name.len() > LONGEST || matches!(name.as_str(), "." | "..") || !name.bytes().all(fits) {
        invalid.add("provider", "must be a name that can stand in a URL: letters, digits, hyphens and the like");
    } else if is_reserved(&name) {
        invalid.add("provider", "is the name of a built-in provider");
    }
    name
}

/// The entry's name as it is stored; empty = none.
pub(super) fn authentication_param(given: &str, invalid: &mut Invalid) -> String {
    if given.chars().any(|c| c.is_whitespace() || c.is_control()) {
        invalid.add("authentication_param", "must not contain white space");
    }
    given.to_lowercase()
}

/// Puts `drafts` over `stored` by path: known paths keep their place, new ones follow in the order given.
pub(super) fn merged(mut stored: Vec<CustomRoute>, drafts: &[RouteDraft], invalid: &mut Invalid) -> Vec<CustomRoute> {
    let mut touched: Vec<&str> = Vec::new();
    for (n, draft) in drafts.iter().enumerate() {
        let at = format!("route_configs[{n}]");
        let path = draft.path.as_deref().unwrap_or_default();
        check_path(&format!("{at}.path"), path, invalid);
        if touched.contains(&path) {
            invalid.add(&format!("{at}.path"), "is given twice");
            continue;
        }
        touched.push(path);
        let place = stored.iter().position(|route| route.path == path).unwrap_or_else(|| {
            stored.push(CustomRoute { path: path.to_owned(), ..CustomRoute::default() });
            stored.len() - 1
        });
        if let Some(route) = stored.get_mut(place) {
            put(draft, &at, route, invalid);
            check(&at, route, invalid);
        }
    }
    if stored.len() > MOST_ROUTES {
        invalid.add("route_configs", format!("must be at most {MOST_ROUTES}"));
    }
    stored
}

fn put(draft: &RouteDraft, at: &str, route: &mut CustomRoute, invalid: &mut Invalid) {
    let over = |field: &mut String, given: &Option<String>| {
        if let Some(given) = given.as_ref().filter(|given| !given.is_empty()) {
            field.clone_from(given);
        }
    };
    over(&mut route.target_url, &draft.target_url);
    over(&mut route.model_location, &draft.model_location);
    over(&mut route.request_prompt_location, &draft.request_prompt_location);
    over(&mut route.response_completion_location, &draft.response_completion_location);
    over(&mut route.stream_location, &draft.stream_location);
    over(&mut route.stream_end_word, &draft.stream_end_word);
    over(&mut route.stream_response_completion_location, &draft.stream_response_completion_location);
    if let Some(count) = draft.stream_max_empty_messages {
        route.stream_max_empty_messages = invalid.count(&format!("{at}.stream_max_empty_messages"), count);
    }
}

fn check_path(field: &str, path: &str, invalid: &mut Invalid) {
    let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'?' | b'#');
    if path.is_empty() {
        invalid.add(field, "must not be empty");
    } else if !path.starts_with('/') {
        invalid.add(field, "must begin with /");
    } else if path.chars().any(char::is_whitespace) {
        invalid.add(field, "must not contain white space");
    } else if path.len() > LONGEST || !path.bytes().all(fits) || path.split('/').any(|s| matches!(s, "." | "..")) {
        invalid.add(field, "must be a path of a URL, as clients send it");
    }
}

fn check(at: &str, route: &CustomRoute, invalid: &mut Invalid) {
    check_target(&format!("{at}.target_url"), &route.target_url, invalid);
    for (name, location) in [
        ("model_location", &route.model_location),
        ("request_prompt_location", &route.request_prompt_location),
        ("response_completion_location", &route.response_completion_location),
    ] {
        check_location(&format!("{at}.{name}"), location, invalid);
    }
    let streams = !route.stream_location.is_empty();
    for (name, location) in [
        ("stream_location", &route.stream_location),
        ("stream_response_completion_location", &route.stream_response_completion_location),
    ] {
        if streams || !location.is_empty() {
            check_location(&format!("{at}.{name}"), location, invalid);
        }
    }
    let end_word = format!("{at}.stream_end_word");
    if streams && route.stream_end_word.trim().is_empty() {
        invalid.add(&end_word, "must not be empty, because stream_location is given");
    } else if route.stream_end_word.len() > LONGEST || route.stream_end_word.chars().any(char::is_control) {
        invalid.add(&end_word, "must be one short line");
    }
}

fn check_location(field: &str, location: &str, invalid: &mut Invalid) {
    if let Err(why) = Location::parse(location) {
        invalid.add(field, why.to_string());
    }
}

fn check_target(field: &str, url: &str, invalid: &mut Invalid) {
    let without_query = url.split_once('?').map_or(url, |(head, _)| head);
    if url.is_empty() {
        invalid.add(field, "must not be empty");
    } else if url.contains('#') {
        invalid.add(field, "must not have a fragment");
    } else if let Some(why) = target::objection(without_query) {
        invalid.add(field, why);
    } else if url.len() > LONGEST || Target::parse(url).is_none() {
        invalid.add(field, "must be an absolute http or https URL");
    }
}
