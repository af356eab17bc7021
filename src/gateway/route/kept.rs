//! Whether a request has to be asked of an upstream at all: a kept answer may serve it, or one that is on its way to
//! another client. The answer that it gets is kept in turn.

use super::super::Gateway;
use super::super::arrival::Arrival;
use super::super::flight::{Landed, LeaderGuard, Role};
use super::super::unified::Surface;
use super::legs::Request;
use crate::domain::Usage;
use crate::routing::{AnswerForm, CacheKey, CachedAnswer, KeyParts, cache_key};
use crate::telemetry::CacheResult;
use crate::wire::chat::{self, Format, Tokens, replay};
use crate::wire::json_walk;
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};
use pingora::proxy::Session;
use std::sync::Arc;
use tokio::time::Instant;

/// Headers that an answer may hang on.
const TELLING: [&str; 4] = ["anthropic-beta", "anthropic-version", "openai-beta", "think-budget"];

/// What is to be done.
pub(super) enum Turn {
    Hit(Arc<CachedAnswer>),
    /// Ask, and keep what comes. Others may wait for it.
    Lead {
        key: CacheKey,
        leader: Option<LeaderGuard>,
    },
    /// Ask.
    Alone,
    ClientGone,
    TimedOut,
}

/// What came of a request that was asked.
pub(super) struct Answered<'a> {
    pub(super) body: Bytes,
    pub(super) provider: &'a str,
    pub(super) model: &'a str,
    pub(super) step: u16,
    pub(super) usage: &'a Usage,
}

impl Turn {
    /// The answer is to be taken down.
    pub(super) const fn keeps(&self) -> bool {
        matches!(self, Self::Lead { .. })
    }

    /// Nothing came that could be kept: whoever waits asks by itself.
    pub(super) fn fail(self) {
        if let Self::Lead { leader: Some(leader), .. } = self {
            leader.fail();
        }
    }

    pub(super) async fn finish(self, g: &Gateway, asked: &Request, answered: Answered<'_>) {
        let Self::Lead { key, leader } = self else { return };
        let Answered { body, provider, model, step, usage } = answered;
        // An upstream may answer with a whole body although a stream was asked for.
        let form = if body.trim_ascii_start().starts_with(b"{") { AnswerForm::Whole } else { AnswerForm::Stream };
        let now = g.ports.clock.now();
        let answer = Arc::new(CachedAnswer {
            form,
            content_type: content_type(form, &asked.surface).into(),
            body,
            provider: provider.into(),
            model: model.into(),
            step,
            usage: usage.clone(),
            stored_at: now,
            expires_at: now.plus(asked.route.cache.ttl),
        });
        g.ports.cache.put(&key, Arc::clone(&answer)).await;
        if let Some(leader) = leader {
            leader.finish(&answer);
        }
    }
}

/// What the caller wants of the cache (RFC 9111, 5.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wanted {
    look_up: bool,
    keep: bool,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        let said = |name: &str| {
            let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(name))
        };
        let keep = !said("no-store");
        Self { look_up: keep && !said("no-cache") && !said("max-age=0"), keep }
    }
}

pub(super) async fn turn(
    g: &Gateway,
    session: &mut Session,
    arrival: &Arrival,
    asked: &Request,
    deadline: Instant,
) -> Turn {
    let cache = asked.route.cache;
    if !cache.enabled {
        return Turn::Alone;
    }
    let path = &*asked.route.path;
    let headers = &session.req_header().headers;
    let wanted = Wanted::of(headers);
    let Some(key) = wanted.keep.then(|| key_of(asked, headers)).flatten() else {
        g.ports.metrics.route(path).cached(CacheResult::Bypass);
        return Turn::Alone;
    };
    if !wanted.look_up {
        g.ports.metrics.route(path).cached(CacheResult::Bypass);
        return Turn::Lead { key, leader: None };
    }
    let form = form_of(asked);
    if let Some(answer) = find(g, asked, &key, form, arrival).await {
        g.ports.metrics.route(path).cached(CacheResult::Hit);
        return Turn::Hit(answer);
    }
    let follower = match g.flights.join(key) {
        Role::Leader(leader) => {
            g.ports.metrics.route(path).cached(CacheResult::Miss);
            return Turn::Lead { key, leader: Some(leader) };
        }
        Role::Alone => {
            g.ports.metrics.route(path).cached(CacheResult::Miss);
            return Turn::Lead { key, leader: None };
        }
        Role::Follower(follower) => follower,
    };
    let landed = tokio::select! {
        biased;
        landed = follower.wait() => landed,
        _ = session.downstream_session.read_body_or_idle(true) => return Turn::ClientGone,
        () = tokio::time::sleep_until(deadline) => return Turn::TimedOut,
    };
    match landed {
        Landed::Answer(answer) => match in_form(&answer, form, asked) {
            Some(answer) => {
                g.ports.metrics.route(path).cached(CacheResult::Joined);
                Turn::Hit(answer)
            }
            None => {
                g.ports.metrics.route(path).cached(CacheResult::Miss);
                Turn::Lead { key, leader: None }
            }
        },
        Landed::Alone => {
            g.ports.metrics.route(path).cached(CacheResult::Miss);
            Turn::Lead { key, leader: None }
        }
        Landed::LeadNow(leader) => {
            g.ports.metrics.route(path).cached(CacheResult::Miss);
            Turn::Lead { key, leader: Some(leader) }
        }
    }
}

fn key_of(asked: &Request, headers: &HeaderMap) -> Option<CacheKey> {
    // Answers name the model as the row does.
    let row = asked.row.as_ref().map_or("", |row| &*row.row.name);
    let form = format!("{:?} {row}", asked.surface);
    let telling: Vec<(&str, &[u8])> = TELLING
        .iter()
        .flat_map(|name| headers.get_all(HeaderName::from_static(name)).iter().map(|value| (*name, value.as_bytes())))
        .collect();
    cache_key(&KeyParts {
        route: asked.route.id,
        revision: asked.route.revision,
        key: (!asked.route.cache.shared).then_some(asked.key.id),
        form: &form,
        headers: &telling,
        body: &asked.body,
    })
}

/// What the client wants to get.
fn form_of(asked: &Request) -> AnswerForm {
    let stream = json_walk::member(&asked.body, "stream").is_some_and(|member| member.value == b"true");
    if stream && asked.surface.form().is_some() { AnswerForm::Stream } else { AnswerForm::Whole }
}

async fn find(
    g: &Gateway,
    asked: &Request,
    key: &CacheKey,
    form: AnswerForm,
    arrival: &Arrival,
) -> Option<Arc<CachedAnswer>> {
    let answer = g.ports.cache.get(key, form, arrival.now).await?;
    in_form(&answer, form, asked)
}

/// The answer in the form that the client wants; `None` when something of it would be lost.
fn in_form(answer: &Arc<CachedAnswer>, form: AnswerForm, asked: &Request) -> Option<Arc<CachedAnswer>> {
    if answer.form == form {
        return Some(Arc::clone(answer));
    }
    let format = asked.surface.form()?;
    let body = match form {
        AnswerForm::Stream => replay::as_stream(format, &answer.body, wants_usage(&asked.body)),
        AnswerForm::Whole => replay::as_whole(format, &answer.body, Some(&tokens(&answer.usage))),
    }?;
    let content_type = content_type(form, &asked.surface).into();
    Some(Arc::new(CachedAnswer { form, content_type, body: body.into(), ..CachedAnswer::clone(answer) }))
}

/// As conversations tell it.
fn tokens(usage: &Usage) -> Tokens {
    let cache_write_1h = usage.cache_write_1h;
    Tokens {
        input: usage.in_text.saturating_add(usage.in_audio).saturating_add(usage.in_image),
        cache_read: usage.cache_read_text.saturating_add(usage.cache_read_audio).saturating_add(usage.cache_read_image),
        cache_write: usage
            .cache_write_5m
            .saturating_add(cache_write_1h)
            .saturating_add(usage.cache_write_30m)
            .saturating_add(usage.cache_write_12h),
        cache_write_1h,
        output: usage.out_text.saturating_add(usage.out_audio).saturating_add(usage.out_image),
        reasoning: usage.out_reasoning,
    }
}

fn wants_usage(body: &[u8]) -> bool {
    let options = json_walk::member(body, "stream_options");
    options.and_then(|options| json_walk::member(options.value, "include_usage")).is_some_and(|m| m.value == b"true")
}

fn content_type(form: AnswerForm, surface: &Surface) -> &'static str {
    match form {
        AnswerForm::Whole => "application/json",
        AnswerForm::Stream => chat::stream_type(surface.form().unwrap_or(Format::OpenAiChat)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_caller_says_whether_an_answer_may_be_old_and_may_be_kept() {
        for (said, look_up, keep) in [
            ("", true, true),
            ("no-cache", false, true),
            ("Private, No-Cache", false, true),
            ("max-age=0", false, true),
            ("max-age=60", true, true),
            ("no-store", false, false),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(said))]);
            assert_eq!(Wanted::of(&headers), Wanted { look_up, keep }, "{said}");
        }
    }
}
