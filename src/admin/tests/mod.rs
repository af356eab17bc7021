//! The configuration API from outside: requests into the router, answers out, over a store in memory.
//! Tests whose names begin with `c` and a number are lines of the conformance checklist.

mod access;
mod custom;
mod events;
mod fake;
mod keys;
mod management;
mod openapi;
mod reporting;
mod robustness;
mod routes;
mod settings;
mod support;
