//! One connection: request after request, each checked, recorded, answered.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::act::{Act, Commands, Early};
use super::answer;
use super::check::{self, Auth};
use super::house::{Api, House, Seen};
use super::play::{self, Ended};
use super::reply::Reply;
use super::request::{Body, Framing, Head, RequestError, Wire};
use super::scenario;
use super::sigv4;

pub async fn serve(stream: TcpStream, house: Arc<House>) {
    let connection = house.add(&house.count.connections);
    let _open = Open::new(&house);
    // Only the latency of small writes depends on it.
    let _nodelay = stream.set_nodelay(true);
    let mut wire = Wire::new(stream);
    loop {
        let head = match wire.head().await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => return refuse(&mut wire, &house, &error).await,
        };
        let number = house.add(&house.count.requests);
        let _running = Running::new(&house);
        match exchange(&mut wire, &house, head, Place { connection, number }).await {
            Ok(Ended::KeepAlive) => {
                house.add(&house.count.answered);
            }
            Ok(Ended::Close) => {
                house.add(&house.count.answered);
                return;
            }
            Ok(Ended::Gone) => {
                house.add(&house.count.aborted);
                return;
            }
            Ok(Ended::Broken) => return,
            Err(error) => return refuse(&mut wire, &house, &error).await,
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    connection: u64,
    number: u64,
}

async fn exchange(wire: &mut Wire, house: &House, head: Head, place: Place) -> Result<Ended, RequestError> {
    if head.path().starts_with("/_") {
        let body = wire.body(&head, false).await?;
        let reply = answer::control(house, &head, &body);
        return Ok(play::play(wire, house, &Act::default(), reply, play::Line::of(&head, place.number)).await);
    }
    let queued = house.take(&head.target);
    let line = play::Line::of(&head, place.number);
    if let Some(act) = &queued
        && let Some(early) = act.early
    {
        return answer_early(wire, house, &head, act, early, line).await;
    }
    let hash = house.options.record > 0 || !answer::is_json_endpoint(house.options.api, &head);
    let body = wire.body(&head, hash).await?;
    let (reply, act) = judge(house, &head, &body, queued, place);
    Ok(play::play(wire, house, &act, reply, line).await)
}

async fn answer_early(
    wire: &mut Wire,
    house: &House,
    head: &Head,
    act: &Act,
    early: Early,
    mut line: play::Line,
) -> Result<Ended, RequestError> {
    let reply = answer::answer(house.options.api, head, &Body::default(), &Commands::default(), act, line.number);
    line.keep_alive &= early == Early::Drain;
    let ended = play::play(wire, house, act, reply, line).await;
    if early == Early::Drain && matches!(ended, Ended::KeepAlive) {
        wire.body(head, false).await?;
    }
    Ok(ended)
}

/// Checks a request, remembers it, and says what it gets.
fn judge(house: &House, head: &Head, body: &Body, queued: Option<Act>, place: Place) -> (Reply, Act) {
    let api = house.options.api;
    let mut violations = check::head(head, &house.options);
    violations.extend(check::body(head, body, &house.options));
    let json = answer::is_json_endpoint(api, head) && head.method == "POST";
    let parsed = if json { serde_json::from_slice::<Commands<'_>>(&body.kept) } else { Ok(Commands::default()) };
    // Only what makes the body no JSON at all is the gateway's fault; a client may send odd members.
    let not_json = match &parsed {
        Err(error) => !error.is_data() || serde_json::from_slice::<Value>(&body.kept).is_err(),
        Ok(_) => false,
    };
    if not_json {
        violations.push("body is not JSON".to_owned());
    }
    if house.options.record > 0 {
        let kept = body.kept.get(..house.options.body_kept.min(body.kept.len())).unwrap_or_default();
        house.record(Seen {
            number: place.number,
            connection: place.connection,
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            body_length: body.length,
            body_sha256: body.sha256.clone(),
            chunked: head.framing == Framing::Chunked,
            body: kept.to_vec(),
            violations: violations.clone(),
        });
    }
    let taught = match &parsed {
        Ok(commands) => model(head, commands).and_then(|model| house.ask(&model)),
        Err(_) => None,
    };
    if !violations.is_empty() {
        house.add(&house.count.violations);
        let message = format!("the upstream refuses: {}", violations.join(", "));
        return (answer::refusal(api, 400, "upstream_check", &message), Act::default());
    }
    if answer::is_bedrock(head)
        && let Some(fault) = sigv4::fault(head, body, &house.options)
    {
        return (answer::aws_error(403, "InvalidSignatureException", fault), Act::default());
    }
    if check::auth(head, &house.options) != Auth::Good {
        return (answer::refusal(api, 401, "invalid_api_key", "Unknown API key."), Act::default());
    }
    let commands = match parsed {
        Ok(commands) => commands,
        Err(_) => {
            let reply = answer::refusal(api, 400, "invalid_type", "A member has a wrong type.");
            return (reply, queued.unwrap_or_default());
        }
    };
    let act = match queued.or(taught) {
        Some(act) => act,
        None => match Act::of_request(&commands).and_then(|act| match act {
            None if answer::is_bedrock(head) => Act::of_words(&body.kept),
            act => Ok(act),
        }) {
            Ok(Some(act)) => act,
            Ok(None) => match scenario::act(api, head, body) {
                None => Act::default(),
                Some(Ok(act)) => act,
                Some(Err(text)) => {
                    house.add(&house.count.violations);
                    return (unsound(api, head, &text), Act::default());
                }
            },
            Err(text) => {
                return (answer::refusal(api, 400, "upstream_act", &text), Act::default());
            }
        },
    };
    let reply = answer::answer(api, head, body, &commands, &act, place.number);
    (reply, act)
}

/// What is asked for: by the path where that says it, as a deployment's does, else by the body.
fn model(head: &Head, commands: &Commands<'_>) -> Option<String> {
    let by_path = || {
        let mut segments = head.path().split('/');
        segments.find(|segment| matches!(*segment, "model" | "deployments"))?;
        Some(segments.next()?.replace("%3A", ":"))
    };
    by_path().or_else(|| commands.model.as_deref().map(str::to_owned))
}

/// A conversation that the API would not take.
fn unsound(api: Api, head: &Head, text: &str) -> Reply {
    let text = format!("the upstream refuses: {text}");
    if answer::is_bedrock(head) {
        return answer::aws_error(400, "ValidationException", &text);
    }
    answer::refusal(api, 400, "upstream_check", &text)
}

async fn refuse(wire: &mut Wire, house: &House, error: &RequestError) {
    match error {
        RequestError::Gone | RequestError::Io(_) => {
            house.add(&house.count.aborted);
        }
        RequestError::Malformed(what) => {
            house.add(&house.count.violations);
            let reply = answer::refusal(house.options.api, 400, "upstream_check", what);
            let mut bytes = reply.head(0, false).into_bytes();
            bytes.extend_from_slice(reply.body.bytes());
            // The connection is lost either way.
            let _sent = wire.stream.write_all(&bytes).await;
        }
    }
}

/// Counts down also when the task is dropped.
struct Open<'a>(&'a House);

impl<'a> Open<'a> {
    fn new(house: &'a House) -> Open<'a> {
        house.count.open.fetch_add(1, Relaxed);
        Open(house)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.subtract(&self.0.count.open);
    }
}

struct Running<'a>(&'a House);

impl<'a> Running<'a> {
    fn new(house: &'a House) -> Running<'a> {
        house.count.running.fetch_add(1, Relaxed);
        Running(house)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.subtract(&self.0.count.running);
    }
}
