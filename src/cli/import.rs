//! `tollgate import`: another product's data into the store that the configuration names. The table goes to standard
//! output, with a line for every row that was left out.

use super::{Exit, Surroundings, failed};
use crate::app::{self, ImportWish};
use crate::config::Config;
use crate::domain::UnixMillis;
use crate::import::Product;
use clap::{Args, ValueEnum};

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Name {
    Bricksllm,
    Brconnector,
}

#[derive(Args, Clone)]
pub(super) struct ImportArguments {
    /// Whose database it is
    #[arg(value_name = "PRODUCT")]
    product: Name,
    /// Where it is: postgres://user:password@host/database. It is only read
    #[arg(value_name = "URL")]
    url: String,
    /// Read and judge everything, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Let the source win over what was changed here
    #[arg(long)]
    overwrite: bool,
    /// Bring no events from before that day (YYYY-MM-DD, UTC); what was spent in all counts them still
    #[arg(long, value_name = "DATE", value_parser = day)]
    history_since: Option<UnixMillis>,
}

impl std::fmt::Debug for ImportArguments {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportArguments").field("product", &self.product).finish_non_exhaustive()
    }
}

fn day(text: &str) -> Result<UnixMillis, String> {
    let at = UnixMillis::parse_rfc3339(&format!("{text}T00:00:00Z"));
    // A day that no month has would be one of the next month.
    at.filter(|at| at.to_string().starts_with(text)).ok_or_else(|| "a day is written as 2026-01-31".to_owned())
}

pub(super) fn run(config: &Config, arguments: &ImportArguments, surroundings: &mut Surroundings<'_>) -> Exit {
    let wish = ImportWish {
        product: match arguments.product {
            Name::Bricksllm => Product::BricksLlm,
            Name::Brconnector => Product::BrConnector,
        },
        url: arguments.url.clone(),
        dry_run: arguments.dry_run,
        overwrite: arguments.overwrite,
        history_since: arguments.history_since,
    };
    let report = match app::import(config, &wish) {
        Ok(report) => report,
        Err(error) => return failed(&error, surroundings),
    };
    surroundings.say(report.to_string().trim_end());
    if wish.dry_run {
        surroundings.say("this was a dry run: nothing was written");
    }
    match report.broken_rows() {
        0 => Exit::Good,
        rows => {
            surroundings.complain(format_args!("{rows} rows of the source cannot be taken over as they are"));
            Exit::Failed
        }
    }
}
