//! A directory that is removed when its owner is dropped, and also when the whole process ends without a word.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Removes the directory when its standard input ends. Again, while a dying server still writes into it.
const BROOM: &str = r#"read -r _; for _ in {1..100}; do rm -rf -- "$1" && [ ! -e "$1" ] && break; sleep 0.1; done"#;

pub struct Directory {
    path: PathBuf,
    broom: Child,
    /// Held open for as long as the directory is needed; the system closes it with the process.
    leash: Option<ChildStdin>,
}

impl Directory {
    pub fn new() -> Self {
        let path = tempfile::Builder::new().prefix("tollgate-test-").tempdir().expect("a temporary directory").keep();
        let mut broom = super::process::apart("bash")
            .args(["-c", BROOM, "broom"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bash starts");
        let leash = broom.stdin.take();
        Self { path, broom, leash }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn text(&self) -> &str {
        self.path.to_str().expect("a path in UTF-8")
    }
}

#[cfg(test)]
impl Directory {
    /// As if the test's process had ended: nothing is waited for.
    pub fn let_go(mut self) {
        self.leash = None;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.leash = None;
        let _ = self.broom.wait();
    }
}
