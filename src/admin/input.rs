//! What callers send: JSON bodies, query parameters, ids in paths. Every mistake is a clear 400 or 413 that repeats
//! no value of the body, because values may be secrets.

use super::http::{BODY_BROKEN, BODY_LARGE, BODY_SLOW, Fault, JSON, MISSING_ID, NOT_FOUND};
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use futures_util::StreamExt;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// Largest body, bytes.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;
/// Longest wait for a whole body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Most wrong members that one answer names.
const NAMED: usize = 20;

/// A JSON object. Every member of `T` must be optional, unknown ones are ignored, of repeated ones the last counts.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &S) -> Result<Self, Fault> {
        let bytes = whole(request.into_body()).await.map_err(|unread| match unread {
            Unread::Large => Fault::of(&BODY_LARGE, format!("the body is larger than {BODY_LIMIT} bytes")),
            Unread::Slow => Fault::of(&BODY_SLOW, "the body took too long to arrive"),
            Unread::Broken => Fault::of(&BODY_BROKEN, "the body ended early"),
        })?;
        parse(&bytes).map(Self)
    }
}

/// Why a body could not be read.
pub(super) enum Unread {
    Large,
    Slow,
    Broken,
}

/// All bytes of a body, at most [`BODY_LIMIT`].
pub(super) async fn whole(body: Body) -> Result<Vec<u8>, Unread> {
    tokio::time::timeout(BODY_TIMEOUT, read(body)).await.unwrap_or(Err(Unread::Slow))
}

async fn read(body: Body) -> Result<Vec<u8>, Unread> {
    let mut pieces = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| Unread::Broken)?;
        if bytes.len() + piece.len() > BODY_LIMIT {
            return Err(Unread::Large);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Fault::of(&JSON, format!("the body is not JSON that can be read: line {line}, column {column}"))
    })?;
    let Value::Object(members) = &value else {
        return Err(Fault::of(&JSON, "the body is not a JSON object"));
    };
    T::deserialize(&value).map_err(|_| wrong_members::<T>(members))
}

/// Reads each member alone to find all that are wrong.
fn wrong_members<T: DeserializeOwned>(members: &Map<String, Value>) -> Fault {
    let mut wrong = Vec::new();
    for (name, value) in members {
        let alone = Value::Object(Map::from_iter([(name.clone(), value.clone())]));
        if let Err(error) = T::deserialize(&alone) {
            wrong.push(format!("{name} {}", expectation(&error)));
        }
    }
    wrong.truncate(NAMED);
    Fault::of(&JSON, wrong.join("; "))
}

/// Only what was expected: the rest of the message repeats the value.
fn expectation(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let expected = match text.rsplit_once(", expected ") {
        Some((_, "i64")) => "an integer of 64 bits",
        Some((_, "f64")) => "a number",
        Some((_, "a sequence")) => "an array",
        Some((_, "a map")) => "an object",
        Some((_, other)) => other,
        None => "something else",
    };
    format!("has a value of the wrong type, expected {expected}")
}

/// An object inside a body. Derived types alone would take arrays as well.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(OnlyMaps(PhantomData))
    }
}

/// The query. Empty values count as not given.
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }
    /// Repeated values, taken literally.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.values(name).map(String::from).collect()
    }
    /// Repeated values, each of which may also be a comma-separated list: ids contain no commas.
    pub(super) fn ids(&self, name: &str) -> Vec<String> {
        let each = self.values(name).flat_map(|value| value.split(',')).map(str::trim);
        each.filter(|id| !id.is_empty()).map(String::from).collect()
    }
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        pairs.map(|Query(pairs)| Self(pairs)).map_err(|_| Fault::of(&super::http::VALIDATION, "the query is malformed"))
    }
}

/// The id at the end of a path, not yet known to be one.
pub(super) struct PathId(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        match id {
            Ok(Path(id)) if id.trim().is_empty() => Err(Fault::of(&MISSING_ID, "the id in the path is empty")),
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Fault::of(&NOT_FOUND, "the id in the path is not readable text")),
        }
    }
}
