//! A script that the server runs as one step.

use ring::digest;

/// Lua, and the digest by which the server knows it.
#[derive(Clone, Debug)]
pub struct Script {
    text: &'static str,
    digest: Box<str>,
}

impl Script {
    pub fn new(text: &'static str) -> Self {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Self { text, digest: hex::encode(digest).into() }
    }

    /// For a server that knows the script.
    pub(super) fn by_digest(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> redis::Cmd {
        call("EVALSHA", &self.digest, keys, arguments)
    }

    /// Teaches the script to the server, too.
    pub(super) fn by_text(&self, keys: &[&[u8]], arguments: &[&[u8]]) -> redis::Cmd {
        call("EVAL", self.text, keys, arguments)
    }
}

fn call(name: &str, script: &str, keys: &[&[u8]], arguments: &[&[u8]]) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for part in keys.iter().chain(arguments) {
        command.arg(*part);
    }
    command
}
