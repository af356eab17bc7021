//! `tollgate check`: every key with its value and origin, then one line per dependency. Changes nothing.

use super::{Exit, Surroundings};
use crate::app;
use crate::config::{self, Loaded};

pub(super) fn run(loaded: &Loaded, surroundings: &mut Surroundings<'_>) -> Exit {
    let mut section = "";
    for setting in &loaded.settings {
        let (path, key) = setting.key.rsplit_once('.').unwrap_or(("", &setting.key));
        if path != section {
            surroundings.say(format_args!("{}[{path}]", if section.is_empty() { "" } else { "\n" }));
            section = path;
        }
        surroundings.say(format_args!("{key} = {}  # {}", setting.value, setting.origin));
    }
    let dependencies = app::check(&loaded.config);
    if !dependencies.is_empty() {
        surroundings.say("");
    }
    let mut exit = Exit::Good;
    for (name, state) in dependencies {
        match state {
            Ok(found) => {
                surroundings.say(format_args!("# {name}: {}", found.answer));
                if let Some(advice) = found.advice {
                    surroundings.complain(format_args!("warning: {name}: {advice}"));
                }
            }
            Err(fault) => {
                surroundings.complain(format_args!("{name}: {fault}"));
                exit = Exit::Failed;
            }
        }
    }
    exit
}

pub(super) fn print_example(surroundings: &mut Surroundings<'_>) -> Exit {
    let _ = write!(surroundings.out, "{}", config::example());
    Exit::Good
}
