//! The commented example file, `conf/tollgate.toml`, made from the declarations. A test keeps the file equal to it.

use super::declare::{full_name, variable};
use super::sections;
use std::fmt::Write;

const HEAD: &str = "\
# Tollgate configuration. Every key is here with its default; take the # off to set it.
#
# Later goes before earlier: default, this file, .env in the working directory, environment.
# The variable of a key stands below its explanation, with those of other products that mean the same.
# An empty variable counts as not set. `tollgate check` prints what is in force and where it comes from.
";

/// The text of `conf/tollgate.toml`.
pub fn example() -> String {
    let mut text = String::from(HEAD);
    for section in sections::all() {
        let about = comment(section.about);
        line(&mut text, format_args!("\n{about}\n[{}]", section.path));
        for key in section.keys {
            let mut names = variable(section.path, key.name);
            let name = full_name(section.path, key.name);
            for alias in key.aliases.iter().copied().chain(sections::shared_aliases(&name)) {
                names = format!("{names}, {alias}");
            }
            line(&mut text, format_args!("\n{}\n# {names}", comment(key.doc)));
            line(&mut text, format_args!("#{} = {}", key.name, key.form.literal(key.default)));
        }
    }
    text
}

/// Doc lines begin with the space that follows `///`.
fn comment(doc: &[&str]) -> String {
    doc.iter().map(|line| format!("#{line}")).collect::<Vec<_>>().join("\n")
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "{what}");
}
