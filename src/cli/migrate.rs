//! `tollgate migrate`: the schema only, for operators who do not let the gateway change it at start.

use super::{Exit, Surroundings, failed};
use crate::app;
use crate::config::Config;

pub(super) fn run(config: &Config, surroundings: &mut Surroundings<'_>) -> Exit {
    match app::migrate(config) {
        Ok(version) => {
            surroundings.say(format_args!("the schema is at version {version}"));
            Exit::Good
        }
        Err(error) => failed(&error, surroundings),
    }
}
