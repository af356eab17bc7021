//! What a request, an answer, a stream and an error of this form become, and what becomes of them.

mod failures;
mod read;
mod streams;
mod unary;
mod write;
