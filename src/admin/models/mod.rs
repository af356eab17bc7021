//! Models of the unified API: a public name, what stands behind it, what it costs, and who may use it.

mod config;
mod first;
pub(super) mod grants;
mod management;
mod service;
mod shapes;

pub use first::first_models;
pub(super) use management::routes as management;
