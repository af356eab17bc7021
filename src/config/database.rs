//! The shared database: which keys name it, what they exclude, and what the store is told of it.

use super::Config;
use super::reader::Reader;
use super::sections::Store;
use crate::store::postgres::{BadSettings, PostgresSettings};
use std::time::Duration;

/// What a URL says too.
const PARTS: [&str; 7] = [
    "store.hosts",
    "store.port",
    "store.database",
    "store.user",
    "store.password",
    "store.ssl_mode",
    "store.ssl_root_cert",
];
const NO_MASTER_KEY: &str = "gateways that share a database need the same key, which none of them makes: set \
    TOLLGATE_MASTER_KEY to what `openssl rand -base64 32` prints, at every gateway, and keep a copy";

impl Store {
    /// Of the shared database; `None` = the SQLite file.
    ///
    /// # Errors
    /// What is wrong with the URL or the hosts. Nothing is, once the configuration is loaded.
    pub fn postgres(&self) -> Result<Option<PostgresSettings>, BadSettings> {
        let mut settings = if !self.url.is_empty() {
            PostgresSettings::from_url(self.url.expose())?
        } else if !self.hosts.is_empty() {
            let mut settings =
                PostgresSettings::new(&self.hosts, self.port, &self.database, &self.user, &self.password)?;
            settings.tls = self.ssl_mode;
            settings.root_certificates = self.ssl_root_cert.clone();
            settings.connect_timeout = self.connect_timeout;
            settings
        } else {
            return Ok(None);
        };
        settings.read_timeout = self.read_timeout;
        settings.write_timeout = self.write_timeout;
        settings.max_connections = self.max_connections;
        Ok(Some(settings))
    }
}

pub(super) fn apply(config: &Config, reader: &mut Reader<'_>, warnings: &mut Vec<String>) {
    let store = &config.store;
    if store.url.is_empty() && store.hosts.is_empty() {
        // What somebody says who wants a database.
        let said = [
            ("store.database", store.database.is_empty()),
            ("store.user", store.user.is_empty()),
            ("store.password", store.password.is_empty()),
        ];
        if let Some((key, _)) = said.iter().find(|(_, empty)| !empty) {
            reader.refuse(&[key, "store.hosts", "store.url"], "store.hosts is missing: which server has the database?");
        }
        return;
    }
    if !store.url.is_empty()
        && let Some(part) = PARTS.iter().find(|part| !reader.is_default(part))
    {
        reader.refuse(&[part, "store.url"], "store.url says where the database is: unset one of them");
    }
    let subject = if store.url.is_empty() { "store.hosts" } else { "store.url" };
    if let Err(fault) = store.postgres() {
        reader.refuse(&[subject], fault.to_string());
    }
    if let Some(file) = &store.ssl_root_cert {
        super::rules::must_be_file("store.ssl_root_cert", file, reader);
    }
    if store.max_connections < PostgresSettings::LEAST_CONNECTIONS {
        reader.refuse(
            &["store.max_connections"],
            format!("must be at least {}: one for each kind of work", PostgresSettings::LEAST_CONNECTIONS),
        );
    }
    for (key, span) in [
        ("store.connect_timeout", store.connect_timeout),
        ("store.read_timeout", store.read_timeout),
        ("store.write_timeout", store.write_timeout),
    ] {
        if span < Duration::from_millis(1) {
            reader.refuse(&[key], "must be at least 1ms");
        }
    }
    if !reader.is_default("store.path") {
        warnings.push(format!("store.path has no effect: {subject} names a database"));
    }
    // A file that the operator gave to every gateway is as good; one that would be made here is not.
    let security = &config.security;
    let given = !reader.is_default("security.master_key_file") && security.master_key_file.exists();
    if security.master_key.is_empty() && !given {
        reader.refuse(&["security.master_key"], NO_MASTER_KEY);
    }
}
