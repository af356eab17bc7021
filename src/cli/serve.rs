//! `tollgate serve`: the gateway itself.

use super::{Exit, Surroundings, failed};
use crate::app;
use crate::config::Loaded;

pub(super) fn run(loaded: &Loaded, upgrade: bool, surroundings: &mut Surroundings<'_>) -> Exit {
    match app::serve(&loaded.config, upgrade) {
        Ok(()) => Exit::Good,
        Err(error) => failed(&error, surroundings),
    }
}
