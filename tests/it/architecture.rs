//! The floors of the house, checked: imports point down, every file says what it is, no file is too long.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folder or file of `src/` to its floor. Within a floor, only the pairs of [`SIDEWAYS`] are allowed.
const FLOORS: &[(&str, u8)] = &[
    ("main", 6),
    ("lib", 6),
    ("cli", 5),
    ("app", 5),
    ("server", 5),
    ("config", 5),
    ("import", 5),
    ("gateway", 4),
    ("admin", 4),
    ("store", 3),
    ("counters", 3),
    ("cache", 3),
    ("redis", 3),
    ("journal", 3),
    ("telemetry", 3),
    ("clock", 3),
    ("credentials", 3),
    ("snapshot", 2),
    ("routing", 2),
    ("auth", 2),
    ("limits", 2),
    ("ledger", 2),
    ("providers", 2),
    ("metering", 2),
    ("wire", 1),
    ("domain", 0),
];

/// Who may use whom on the same floor.
const SIDEWAYS: &[(&str, &str)] = &[
    ("cli", "app"),
    ("cli", "config"),
    ("cli", "import"),
    ("app", "import"),
    ("app", "server"),
    ("app", "config"),
    ("snapshot", "providers"),
    ("providers", "metering"),
    ("journal", "store"),
    ("store", "telemetry"),
    ("journal", "telemetry"),
    ("counters", "telemetry"),
    ("counters", "redis"),
    ("cache", "redis"),
    ("redis", "telemetry"),
];

/// Files that may be longer than 600 lines, with the reason.
const LONG: &[(&str, &str)] = &[];

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "the sources are where this test looks for them");
    found
}

/// Path below `src/`.
fn name(path: &Path) -> String {
    path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().display().to_string()
}

fn room(path: &Path) -> String {
    let name = name(path);
    name.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

fn is_test(path: &Path) -> bool {
    let name = name(path);
    name.ends_with("tests.rs")
        || name.ends_with("vectors.rs")
        || name.contains("/tests/")
        || name.ends_with("suite.rs")
        || name.contains("/suite/")
}

/// The code without comments, strings kept: what stands before a trailing `#[cfg(test)]` module.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn imports_point_down() {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in sources().iter().filter(|p| !is_test(p)) {
        let from = room(path);
        let floor = *floors.get(from.as_str()).unwrap_or_else(|| panic!("{from} has no floor"));
        for part in code(path).split("crate::").skip(1) {
            let to: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let Some(&below) = floors.get(to.as_str()) else { continue };
            let same_house = to == from;
            let sideways = below == floor && SIDEWAYS.contains(&(from.as_str(), to.as_str()));
            if !(same_house || below < floor || sideways) {
                wrong.push(format!("{} uses {to}", name(path)));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut wrong = Vec::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).expect("a source file");
        if !text.starts_with("//!") && !is_test(&path) {
            wrong.push(format!("{}: no //! line on top", name(&path)));
        }
        let lines = text.lines().count();
        let excused = LONG.iter().any(|(file, _)| *file == name(&path));
        if lines > 600 && !is_test(&path) && !excused {
            wrong.push(format!("{}: {lines} lines", name(&path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_lower_floors_are_pure() {
    let banned =
        ["SystemTime::now", "Instant::now", "std::fs", "std::env", "std::net", "tokio::", "getrandom", "new_v4"];
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for path in sources().iter().filter(|p| !is_test(p) && floors[room(p).as_str()] <= 2) {
        let code = code(path);
        for word in banned.iter().filter(|w| code.contains(**w)) {
            wrong.push(format!("{} contains {word}", name(path)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_providers_folder_names_providers() {
    // Base URL names are data of `config`; the OpenAI *dialect* of errors is a wire format, not a provider.
    let mut wrong = Vec::new();
    for path in sources().iter().filter(|p| !is_test(p) && room(p) != "providers" && room(p) != "config") {
        for line in code(path)
            .lines()
            .filter(|l| l.contains("\"openai\"") || l.contains("\"anthropic\"") || l.contains("\"bedrock\""))
        {
            wrong.push(format!("{}: {}", name(path), line.trim()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_config_reads_the_environment() {
    let wrong: Vec<String> = sources()
        .iter()
        .filter(|p| !is_test(p) && !matches!(room(p).as_str(), "config" | "main"))
        .filter(|p| code(p).contains("std::env::var") || code(p).contains("env::vars"))
        .map(|p| name(p))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
