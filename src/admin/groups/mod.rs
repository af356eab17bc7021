//! Groups: named sets of models for many keys at once.

mod management;
mod service;

pub(super) use management::routes as management;
