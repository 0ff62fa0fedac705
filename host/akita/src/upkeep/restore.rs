//! Puts a backup back into a data directory. Everything is unpacked and checked beside its place first; what it takes the
//! place of is kept. The database comes last, and its mark first, so that a node that is started after a crash in between
//! refuses what is there.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use akita_core::NodeId;
use akita_mesh::Identity;
use jiff::Timestamp;

use super::{
    UpkeepError,
    archive::{self, BLOBS, DATABASE, IDENTITY, LOGS, Manifest},
    key_of,
};
use crate::{
    cluster::node_of,
    config::Settings,
    driver::now,
    store::{self, DataDir, LedgerKey, Settle, Verdict},
};

/// What may lie in a data directory that is empty otherwise: its lock, a cache, and what the operator puts there.
const NO_DATA: [&str; 5] = ["lock", "compiled", "plugins", "akita.toml", ".env"];
/// The database's companions, which go with it.
const OF_DATABASE: [&str; 4] = ["akita.db", "akita.db-wal", "akita.db-shm", "akita.db.head"];
/// The mark of the database, beside it.
const MARK: &str = "akita.db.head";

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What it is of.
    pub manifest: Manifest,
    /// The same node comes back: its identity is there.
    pub same_node: bool,
    /// Tasks that had not ended and that this copy let go.
    pub let_go: u64,
    /// Where that lies whose place it took.
    pub kept_in: Option<PathBuf>,
}

/// Puts `file` back into the data directory of the settings.
///
/// # Errors
/// The backup does not verify, or the directory is in use, not empty (unless `force`), or cannot be written.
pub fn restore(settings: &Settings, file: &Path, force: bool, run_tasks: bool) -> Result<Restored, UpkeepError> {
    let dir = &settings.data_dir;
    if settings.sqlite_db_file != dir.join(DATABASE) {
        let path = settings.sqlite_db_file.clone();
        return Err(UpkeepError::Elsewhere { setting: "SQLITE_DB_FILE", path, dir: dir.clone() });
    }
    let input = File::open(file).map_err(UpkeepError::file("read", file))?;
    // A file that is none must not leave an empty directory behind.
    let lock = DataDir::open(dir)?;
    if let Some(what) = taken(dir).map_err(UpkeepError::file("read", dir))?.filter(|_| !force) {
        return Err(UpkeepError::NotEmpty { path: dir.clone(), what });
    }
    let staging = tempfile::Builder::new().prefix(".restore-").tempdir_in(dir);
    let staging = staging.map_err(UpkeepError::file("write", dir))?;
    let manifest = archive::unpack(input, staging.path()).map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::PermissionDenied => {
            UpkeepError::File { what: "write", path: staging.path().to_owned(), source: error }
        }
        _ => UpkeepError::unsound(file, error.to_string()),
    })?;
    let same = same_node(settings, staging.path(), &manifest, file)?;
    let database = staging.path().join(DATABASE);
    let report = store::check_file(&database, same.as_ref());
    if let Some(bad) = report.findings.iter().find(|finding| finding.verdict == Verdict::Bad) {
        return Err(UpkeepError::unsound(file, format!("{}: {}", bad.what, bad.detail)));
    }
    let was = manifest.node_id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(NodeId::default());
    let details = details(&manifest, run_tasks);
    let let_go = store::settle(&database, Settle { same, was, now: now(), run_tasks, details })?;
    let kept_in = place(dir, staging.path()).map_err(UpkeepError::file("put the backup into", dir))?;
    drop(lock);
    Ok(Restored { manifest, same_node: same.is_some(), let_go, kept_in })
}

/// Something in the directory that a node had put there.
fn taken(dir: &Path) -> io::Result<Option<String>> {
    let names = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    for name in names {
        let name = name?;
        if !NO_DATA.contains(&name.as_str()) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The node's key, if the node that comes back is the one that was backed up: its identity is in the backup, or there.
fn same_node(
    settings: &Settings,
    staging: &Path,
    manifest: &Manifest,
    file: &Path,
) -> Result<Option<LedgerKey>, UpkeepError> {
    let brought = staging.join(IDENTITY);
    let key = if brought.is_file() {
        if settings.identity_path != settings.data_dir.join(IDENTITY) {
            let (path, dir) = (settings.identity_path.clone(), settings.data_dir.clone());
            return Err(UpkeepError::Elsewhere { setting: "IDENTITY_PATH", path, dir });
        }
        let identity =
            Identity::load_or_create(&brought).map_err(|error| UpkeepError::unsound(file, error.to_string()))?;
        Some(LedgerKey { node: node_of(identity.id()), public_key: identity.public_key() })
    } else {
        key_of(settings).map_err(UpkeepError::Identity)?.map(|(_, key)| key)
    };
    let key = key.filter(|key| manifest.node_id.as_deref() == Some(&key.node.to_string()));
    if brought.is_file() && key.is_none() {
        return Err(UpkeepError::unsound(file, "the identity in it is that of another node"));
    }
    Ok(key)
}

/// What the ledger says about it, for ever; the old head stays to be checked against.
fn details(manifest: &Manifest, run_tasks: bool) -> Vec<(String, String)> {
    let tasks = if run_tasks { "run again" } else { "let go" };
    let mut details = vec![
        ("backup".into(), format!("put back, of {}", manifest.created)),
        ("node".into(), manifest.node_id.clone().unwrap_or_default()),
        ("rows".into(), manifest.ledger_rows.to_string()),
        ("root".into(), manifest.ledger_root.clone()),
        ("unfinished_tasks".into(), format!("{} {tasks}", manifest.unfinished_tasks)),
    ];
    details.extend(manifest.checkpoint.clone().map(|note| ("checkpoint".into(), note)));
    details
}

/// Moves what was there aside and what was unpacked into its place.
fn place(dir: &Path, staging: &Path) -> io::Result<Option<PathBuf>> {
    let mut replaced: Vec<&str> = OF_DATABASE.into_iter().filter(|name| *name != MARK).chain([BLOBS, LOGS]).collect();
    if staging.join(IDENTITY).exists() {
        replaced.push(IDENTITY);
    }
    replaced.retain(|name| dir.join(name).exists());
    let aside = dir.join(format!("before-restore-{}", Timestamp::now().strftime("%Y%m%dT%H%M%S.%3fZ")));
    if !replaced.is_empty() {
        DirBuilder::new().mode(0o700).create(&aside)?;
    }
    fs::rename(staging.join(MARK), dir.join(MARK))?;
    File::open(dir)?.sync_all()?;
    for name in &replaced {
        fs::rename(dir.join(name), aside.join(name))?;
    }
    for name in [BLOBS, LOGS, IDENTITY] {
        if staging.join(name).exists() {
            fs::rename(staging.join(name), dir.join(name))?;
        }
    }
    File::open(dir)?.sync_all()?;
    fs::rename(staging.join(DATABASE), dir.join(DATABASE))?;
    File::open(dir)?.sync_all()?;
    Ok(Some(aside).filter(|_| !replaced.is_empty()))
}
