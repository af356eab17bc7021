//! Framing on bytes: server-sent events, lines of JSON, AWS event streams, JSON text, multipart forms, recordings, refusals;
//! in `chat` the forms of conversations, in `embeddings` those of vectors. Knows no provider and no meaning, keeps every
//! byte that it is not told to change, and never fails: what it cannot follow it leaves alone.

pub mod chat;
pub mod embeddings;
pub mod event_stream;
pub mod json_edit;
pub mod json_thin;
pub mod json_walk;
pub mod multipart;
pub mod ndjson;
pub mod recording;
pub mod refusal;
pub mod sse;
pub mod websocket;
