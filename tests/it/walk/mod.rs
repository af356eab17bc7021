//! The walk of a request, against the running program. Tests are named after the checklist of the BricksLLM contract.

mod access;
mod billing;
mod bodies;
mod custom;
mod events;
mod forwarding;
mod limits;
mod listeners;
mod objects;
mod process;
mod realtime;
mod streaming;
