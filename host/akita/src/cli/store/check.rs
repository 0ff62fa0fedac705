//! `akita store check`: everything that can be wrong with a data directory, without a node.

use clap::Args;
use owo_colors::OwoColorize as _;
use serde_json::json;

use crate::cli::place::Place;
use crate::cli::render::{Align, Table};
use crate::cli::session::Session;
use crate::cli::{Globals, Output};
use crate::exit::{ExitCode, ExitError};
use crate::store::{Finding, Verdict};
use crate::upkeep;

/// Look through a stopped node's database and blobs, and tell all that is wrong
#[derive(Debug, Args)]
#[command(after_help = "Nothing is changed. It reads every page of the database, every row of the ledger with \
its hashes and signatures, compares totals and tasks with what the ledger tells, and hashes every blob. Exit \
code 7 if anything is wrong.

Examples:
  akita store check
  akita store check --data-dir /var/lib/akita -o json")]
pub struct Check {
    #[command(flatten)]
    place: Place,
}

pub fn run(session: &mut Session<'_>, globals: &Globals, args: &Check) -> Result<(), ExitError> {
    let settings = args.place.settings(session, globals)?;
    let findings = upkeep::check(&settings).map_err(|error| {
        let hint = error.hint();
        ExitError::config(error.to_string()).hint(hint)
    })?;
    let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    match globals.output {
        Output::Json => {
            let found = json!({
                "ok": bad == 0,
                "data_dir": settings.data_dir,
                "database": settings.sqlite_db_file,
                "findings": findings.iter().map(json_of).collect::<Vec<_>>(),
            });
            session.show_json(&found.to_string())?;
        }
        Output::Text => session.print(&table(&findings))?,
    }
    if bad == 0 {
        return Ok(());
    }
    let things = if bad == 1 { "1 thing is".to_owned() } else { format!("{bad} things are") };
    let text = format!("{things} wrong with {}", settings.data_dir.display());
    Err(ExitError::new(ExitCode::LedgerInvalid, text).hint(
        "keep a copy of the folder as it is; then put a backup back with `akita restore`, or start \
         with an empty data directory",
    ))
}

fn word(finding: &Finding) -> &'static str {
    match finding.verdict {
        Verdict::Good => "ok",
        Verdict::Note => "note",
        Verdict::Bad => "bad",
    }
}

fn json_of(finding: &Finding) -> serde_json::Value {
    json!({"what": finding.what, "verdict": word(finding), "detail": finding.detail})
}

fn table(findings: &[Finding]) -> String {
    let mut table = Table::new(&[("", Align::Left), ("WHAT", Align::Left), ("FINDING", Align::Left)]);
    for finding in findings {
        let word = match finding.verdict {
            Verdict::Good => word(finding).green().to_string(),
            Verdict::Note => word(finding).yellow().to_string(),
            Verdict::Bad => word(finding).red().to_string(),
        };
        table.row(vec![word, finding.what.to_owned(), crate::cli::render::tame(&finding.detail)]);
    }
    table.render()
}
