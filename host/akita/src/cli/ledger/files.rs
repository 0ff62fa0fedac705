//! Files of proofs: read whole or in a stream, written whole or not at all. `-` is standard input and output.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::cli::session::Session;
use crate::exit::{ExitCode, ExitError};

/// A proof or a checkpoint is a few KiB; a longer file is something else.
const MOST_BYTES: u64 = 1 << 20;

/// Standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Opens a file for reading.
pub fn open<'s>(session: &'s mut Session<'_>, path: &Path) -> Result<Box<dyn BufRead + 's>, ExitError> {
    if is_standard(path) {
        return Ok(Box::new(BufReader::new(&mut session.input)));
    }
    let file = File::open(session.cwd.join(path));
    let file = file.map_err(|error| {
        ExitError::config(format!("cannot read {}: {error}", path.display())).hint("check the path and its rights")
    })?;
    Ok(Box::new(BufReader::new(file)))
}

/// A small file's text.
pub fn text(session: &mut Session<'_>, path: &Path) -> Result<String, ExitError> {
    let mut bytes = Vec::new();
    let read = open(session, path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| ExitError::config(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(invalid(format!("{} is too large for a proof", path.display())));
    }
    String::from_utf8(bytes).map_err(|_| invalid(format!("{} is no text", path.display())))
}

/// A small file's JSON.
pub fn json<T: DeserializeOwned>(session: &mut Session<'_>, path: &Path, what: &str) -> Result<T, ExitError> {
    let text = text(session, path)?;
    serde_json::from_str(&text).map_err(|error| invalid(format!("{} is no {what}: {error}", path.display())))
}

/// Writes what `write` writes: to standard output, or to a file that appears when it is whole.
pub fn put(
    session: &mut Session<'_>,
    path: Option<&Path>,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExitError>,
) -> Result<(), ExitError> {
    let Some(path) = path.filter(|path| !is_standard(path)) else {
        let mut out = BufWriter::new(&mut session.out);
        write(&mut out)?;
        return Ok(out.flush()?);
    };
    let target = session.cwd.join(path);
    let failed = |error: std::io::Error| {
        ExitError::config(format!("cannot write {}: {error}", path.display())).hint("choose another file with --out")
    };
    let folder = target.parent().unwrap_or(Path::new("."));
    // Readable by its owner only: details of rows may tell of tasks.
    let mut file = tempfile::Builder::new().prefix(".akita-").tempfile_in(folder).map_err(failed)?;
    let mut out = BufWriter::new(&mut file);
    write(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// What is there does not verify.
pub fn invalid(message: impl Into<String>) -> ExitError {
    ExitError::new(ExitCode::LedgerInvalid, message)
}
