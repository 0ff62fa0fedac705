//! Looks through a data directory and tells all that is wrong with it.

use crate::{
    blobs::{BlobId, Files},
    config::Settings,
    store::{self, DataDir, DataDirError, Finding, Verdict},
};

use super::key_of;

/// Faults of blobs that are told at most.
const MOST_TOLD: usize = 20;

/// Looks through the database and the blobs of a node that does not run.
///
/// # Errors
/// The directory is not there, or a process uses it.
pub fn check(settings: &Settings) -> Result<Vec<Finding>, DataDirError> {
    let dir = DataDir::look(&settings.data_dir)?;
    let mut findings = Vec::new();
    let key = key_of(settings).unwrap_or_else(|error| {
        findings.push(Finding::new("identity", Verdict::Bad, error));
        None
    });
    let report = store::check_file(&settings.sqlite_db_file, key.map(|(_, key)| key).as_ref());
    findings.extend(report.findings);
    match report.blobs {
        Some(rows) => look_at_blobs(&mut findings, &Files::at(dir.file("blobs")), &rows),
        None => {
            findings.push(Finding::new("blobs", Verdict::Note, "were not looked at: the database does not tell them"))
        }
    }
    Ok(findings)
}

fn look_at_blobs(findings: &mut Vec<Finding>, files: &Files, rows: &[(store::BlobKey, u64)]) {
    let mut faults = Vec::new();
    for (key, size) in rows {
        let id = BlobId(*key);
        match files.len_if_whole(id) {
            Ok(Some(len)) if len == *size => {}
            Ok(Some(len)) => faults.push(format!("blob {id} has {len} bytes and not {size}")),
            Ok(None) => faults.push(format!("blob {id} is missing, or its file was changed")),
            Err(error) => faults.push(format!("blob {id} cannot be read: {error}")),
        }
    }
    if faults.is_empty() {
        let text = format!("{} are what their names say", rows.len());
        findings.push(Finding::new("blobs", Verdict::Good, text));
    }
    let more = faults.len().saturating_sub(MOST_TOLD);
    let told = faults.into_iter().take(MOST_TOLD).map(|fault| Finding::new("blobs", Verdict::Bad, fault));
    findings.extend(told);
    if more > 0 {
        findings.push(Finding::new("blobs", Verdict::Bad, format!("and {more} more")));
    }
}
