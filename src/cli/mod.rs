//! The command line: which command, with which configuration, and what its end means to a shell.
//! One file per command. Configuration mistakes go to standard error, one line each.

mod check;
mod import;
mod migrate;
mod serve;

use crate::app;
use crate::config::{self, Environment, Loaded, Sources};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    Good,
    Failed,
    /// Bad usage or configuration: trying again without a change is of no use.
    Misused,
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Misused => 2,
        }
    }
}

/// A reverse proxy between software and LLM providers: keys, limits, exact cost.
#[derive(Parser, Debug)]
#[command(name = "tollgate", version)]
struct Arguments {
    /// TOML file; conf/tollgate.toml is read when it exists and none is named
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the gateway (the default)
    Serve {
        /// Take over from the process that runs, once that gets SIGQUIT; without one, start as ever
        #[arg(long)]
        upgrade: bool,
    },
    /// Print the configuration in force, secrets masked, and try what the gateway depends on
    Check {
        /// Print the commented example of a configuration file instead
        #[arg(long)]
        example: bool,
    },
    /// Bring the store's schema up to date
    Migrate,
    /// Take over the data of another product
    Import(import::ImportArguments),
}

/// What a command has to do with the world.
pub struct Surroundings<'a> {
    pub directory: PathBuf,
    pub environment: Environment,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    /// An output that is closed is no reason to fail: nobody is left to tell.
    fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.out, "{line}");
    }
    fn complain(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.err, "tollgate: {line}");
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let directory = match std::env::current_dir() {
        Ok(directory) => directory,
        // Relative paths still mean what the system makes of them.
        Err(_) => PathBuf::new(),
    };
    let mut surroundings = Surroundings {
        directory,
        environment: Environment::of_process(),
        out: &mut std::io::stdout(),
        err: &mut std::io::stderr(),
    };
    ExitCode::from(run(std::env::args_os(), &mut surroundings).code())
}

/// `arguments` begins with the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>, surroundings: &mut Surroundings<'_>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let _ = write!(surroundings.err, "{error}");
            return Exit::Misused;
        }
        // Help and version.
        Err(answer) => {
            let _ = write!(surroundings.out, "{answer}");
            return Exit::Good;
        }
    };
    let command = arguments.command.unwrap_or(Command::Serve { upgrade: false });
    if let Command::Check { example: true } = command {
        return check::print_example(surroundings);
    }
    let Some(loaded) = load(arguments.config, surroundings) else { return Exit::Misused };
    match command {
        Command::Serve { upgrade } => serve::run(&loaded, upgrade, surroundings),
        Command::Migrate => migrate::run(&loaded.config, surroundings),
        Command::Import(arguments) => import::run(&loaded.config, &arguments, surroundings),
        Command::Check { .. } => check::run(&loaded, surroundings),
    }
}

fn load(file: Option<PathBuf>, surroundings: &mut Surroundings<'_>) -> Option<Loaded> {
    let sources = Sources {
        file,
        directory: surroundings.directory.clone(),
        environment: std::mem::take(&mut surroundings.environment),
    };
    match config::load(&sources) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                surroundings.complain(format_args!("warning: {warning}"));
            }
            Some(loaded)
        }
        Err(mistakes) => {
            for mistake in mistakes.iter() {
                surroundings.complain(mistake);
            }
            None
        }
    }
}

fn failed(error: &anyhow::Error, surroundings: &mut Surroundings<'_>) -> Exit {
    surroundings.complain(app::in_one_line(error));
    Exit::Failed
}

#[cfg(test)]
mod tests;
