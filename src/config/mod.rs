//! What the process is told by its operator: defaults, then the TOML file, then `.env`, then the environment.
//!
//! Each key is declared once, in `sections`; parsing, `conf/tollgate.toml` and the output of `tollgate check` derive
//! from that. A start shows every mistake at once. Only this folder reads the environment, and it never changes it.

mod base_url;
mod counters;
mod database;
mod declare;
mod environment;
mod example;
mod file;
mod host;
mod mistake;
mod originals;
mod reader;
mod rules;
mod sections;
mod value;

pub use base_url::BaseUrl;
pub use environment::Environment;
pub use example::example;
pub use mistake::{Mistake, Mistakes};
pub use sections::{
    Admin, Counters, Debug, Events, Ledger, Limits, Management, Pricing, Provider, Proxy, Routes, Security, Single,
    Store, Telemetry, Unified,
};
pub use value::{ByteSize, Durability, Region, Unpriced, UnsupportedParams};

use crate::domain::Secret;
use reader::Reader;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Read when no file is named, and then it may be absent.
pub const DEFAULT_FILE: &str = "conf/tollgate.toml";
const DOTENV_FILE: &str = ".env";

/// Everything, checked. Each part of the product is given its own section only.
#[derive(Clone, Debug)]
pub struct Config {
    pub proxy: Proxy,
    pub admin: Admin,
    pub single: Single,
    pub unified: Unified,
    pub routes: Routes,
    pub management: Management,
    pub store: Store,
    pub counters: Counters,
    pub security: Security,
    pub limits: Limits,
    pub ledger: Ledger,
    pub events: Events,
    pub pricing: Pricing,
    pub providers: Providers,
    pub telemetry: Telemetry,
    pub debug: Debug,
    /// Variables by which the platform hands out its own credentials, as far as they are set.
    pub host: BTreeMap<&'static str, Secret>,
}

impl Config {
    /// Over which the listeners go to the next process: where the operator says, or beside the journal, in a directory
    /// that only its owner reads.
    pub fn upgrade_sock(&self) -> PathBuf {
        let said = self.proxy.upgrade_sock.clone();
        said.unwrap_or_else(|| self.ledger.journal_dir.join("upgrade.sock"))
    }
}

/// The sections `[providers.<name>]`.
#[derive(Clone, Debug, Default)]
pub struct Providers(BTreeMap<&'static str, Provider>);

impl Providers {
    /// What replaces the public base URL of this provider, if anything does.
    pub fn base_url(&self, provider: &str) -> Option<&BaseUrl> {
        self.0.get(provider)?.base_url.as_ref()
    }
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Named by the operator: must exist.
    pub file: Option<PathBuf>,
    /// Holds `.env`, and [`DEFAULT_FILE`] below it.
    pub directory: PathBuf,
    pub environment: Environment,
}

/// A configuration and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// One line each; the process can run with them.
    pub warnings: Vec<String>,
    /// Every key in the order of the example file.
    pub settings: Vec<Setting>,
}

/// One key as it is in force, fit to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    pub key: String,
    /// As TOML; a secret is masked.
    pub value: String,
    pub origin: String,
}

/// Reads all sources. Reports all mistakes of all of them, or none.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    let mut mistakes = Mistakes::default();
    let (name, text) = read_file(sources, &mut mistakes);
    let file = file::parse(&name, &text, &mut mistakes);
    let dotenv = read_dotenv(&sources.directory.join(DOTENV_FILE), &mut mistakes);

    let mut warnings = Vec::new();
    let environments = [("", &sources.environment), (" in .env", &dotenv)];
    for (place, environment) in environments {
        originals::check(environment, place, &mut warnings);
        environment::refuse_unknown(environment, place, &mut mistakes);
    }
    let mut reader = Reader::new(&file, &name, environments, mistakes);
    let config = sections::read(&mut reader).map(|mut config| {
        rules::apply(&mut config, &mut reader, &mut warnings);
        config.host = host::variables(&sources.environment, &dotenv);
        config
    });
    let (settings, mistakes) = reader.finish();
    match config {
        Some(config) if mistakes.is_empty() => Ok(Loaded { config, warnings, settings }),
        _ => Err(mistakes),
    }
}

fn read_file(sources: &Sources, mistakes: &mut Mistakes) -> (String, String) {
    let name = sources.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let shown = name.display().to_string();
    let text = match std::fs::read_to_string(sources.directory.join(&name)) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && sources.file.is_none() => String::new(),
        Err(error) => {
            mistakes.add(&shown, format!("cannot be read: {error}"), None);
            String::new()
        }
    };
    (shown, text)
}

fn read_dotenv(path: &Path, mistakes: &mut Mistakes) -> Environment {
    match std::fs::read_to_string(path) {
        Ok(text) => environment::parse_dotenv(&text, mistakes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Environment::default(),
        Err(error) => {
            mistakes.add(DOTENV_FILE, format!("cannot be read: {error}"), None);
            Environment::default()
        }
    }
}

#[cfg(test)]
mod tests;
