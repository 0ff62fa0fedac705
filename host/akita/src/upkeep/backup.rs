//! Makes a backup of a data directory, whether a node runs on it or not: the database as of one moment, the blobs that
//! belong to it, and the identity only if that is asked for.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{
    UpkeepError,
    archive::{BLOBS, DATABASE, FORMAT, IDENTITY, LOGS, Manifest, Packer},
    key_of,
};
use crate::{
    blobs::{BlobId, Files},
    config::Settings,
    store::{self, CopySummary, DataDir, DataDirError, Verdict},
};

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Bytes of the archive.
    pub bytes: u64,
    /// Files in it.
    pub files: usize,
    /// What the database holds.
    pub summary: CopySummary,
    /// Blobs that are not in it: gone meanwhile, or not what their names say.
    pub left_out: Vec<String>,
    /// Whether a node ran on it.
    pub running: bool,
    /// Whether the identity is in it.
    pub identity: bool,
}

/// Writes a backup into `file`, which appears when it is whole.
///
/// # Errors
/// The data directory, the database or the file cannot be used, or the database is damaged.
pub fn backup(settings: &Settings, file: &Path, with_identity: bool, force: bool) -> Result<BackedUp, UpkeepError> {
    if !force && file.exists() {
        return Err(UpkeepError::Taken(file.to_owned()));
    }
    // Held until the end, so that no node starts on it in between; where one runs, it shares the database with us.
    let alone = match DataDir::look(&settings.data_dir) {
        Ok(dir) => Some(dir),
        Err(DataDirError::InUse { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = || UpkeepError::file("write", file);
    let scratch = tempfile::Builder::new().prefix(".akita-backup-").tempdir_in(folder).map_err(failed())?;
    let copy = scratch.path().join(DATABASE);
    let summary = store::copy_file(&settings.sqlite_db_file, &copy, alone.is_some())?;
    let key = key_of(settings).map_err(UpkeepError::Identity)?;
    let blobs = sound(settings, &copy, key.as_ref().map(|(_, key)| key))?;

    let whole = scratch.path().join("whole");
    let out = File::create_new(&whole).map_err(failed())?;
    let mut packer = Packer::new(out).map_err(failed())?;
    add(&mut packer, DATABASE, &copy)?;
    if with_identity {
        add(&mut packer, IDENTITY, &settings.identity_path)?;
    }
    for (name, path) in logs(&settings.data_dir) {
        add(&mut packer, &name, &path)?;
    }
    let left_out = add_blobs(&mut packer, &settings.data_dir.join(BLOBS), &blobs)?;
    let files = packer.len();
    let manifest = Manifest {
        format: FORMAT.into(),
        akita: env!("CARGO_PKG_VERSION").into(),
        created: format!("{:.0}", Timestamp::now()),
        node_id: key.map(|(_, key)| key.node.to_string()),
        node_name: settings.node_name.clone(),
        ledger_rows: summary.rows,
        ledger_root: blake3::Hash::from_bytes(summary.root).to_hex().to_string(),
        checkpoint: summary.checkpoint.clone(),
        unfinished_tasks: summary.unfinished,
        files: Vec::new(),
    };
    let out = packer.finish(manifest).map_err(failed())?;
    let bytes = finish(&out, &whole, file, folder).map_err(failed())?;
    Ok(BackedUp { bytes, files, summary, left_out, running: alone.is_none(), identity: with_identity })
}

/// The blobs of a copy that is as it should be.
fn sound(
    settings: &Settings,
    copy: &Path,
    key: Option<&store::LedgerKey>,
) -> Result<Vec<(store::BlobKey, u64)>, UpkeepError> {
    let report = store::check_file(copy, key);
    if let Some(bad) = report.findings.iter().find(|finding| finding.verdict == Verdict::Bad) {
        let why = format!("{}: {}; `akita store check` tells all of it", bad.what, bad.detail);
        return Err(UpkeepError::unsound(&settings.sqlite_db_file, why));
    }
    Ok(report.blobs.unwrap_or_default())
}

fn add(packer: &mut Packer<File>, name: &str, path: &Path) -> Result<(), UpkeepError> {
    let mut file = File::open(path).map_err(UpkeepError::file("read", path))?;
    packer.file(name, &mut file).map_err(UpkeepError::file("back up", path))
}

/// Earlier logs of this node, which never change.
fn logs(data_dir: &Path) -> Vec<(String, PathBuf)> {
    let listed = fs::read_dir(data_dir.join(LOGS)).into_iter().flatten().flatten();
    let named = listed.filter_map(|entry| {
        let name =
            entry.file_name().into_string().ok().filter(|name| name.ends_with(".db") && !name.starts_with('.'))?;
        Some((format!("{LOGS}/{name}"), entry.path()))
    });
    let mut logs: Vec<_> = named.collect();
    logs.sort();
    logs
}

fn add_blobs(
    packer: &mut Packer<File>,
    dir: &Path,
    blobs: &[(store::BlobKey, u64)],
) -> Result<Vec<String>, UpkeepError> {
    let (files, mut left_out) = (Files::at(dir.to_owned()), Vec::new());
    for (key, _) in blobs {
        let id = BlobId(*key);
        let added = files.open_whole(id).and_then(|file| {
            let Some(mut file) = file else { return Ok(false) };
            let hex = id.to_string();
            packer.file(&format!("{BLOBS}/{}/{}", &hex[..2], &hex[2..]), &mut file).map(|()| true)
        });
        match added {
            Ok(true) => {}
            Ok(false) => left_out.push(id.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => left_out.push(id.to_string()),
            Err(source) => return Err(UpkeepError::File { what: "back up", path: dir.join(id.to_string()), source }),
        }
    }
    Ok(left_out)
}

fn finish(out: &File, whole: &Path, file: &Path, folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::PermissionsExt;
    out.set_permissions(fs::Permissions::from_mode(0o600))?;
    out.sync_all()?;
    let bytes = out.metadata()?.len();
    fs::rename(whole, file)?;
    File::open(folder)?.sync_all()?;
    Ok(bytes)
}
