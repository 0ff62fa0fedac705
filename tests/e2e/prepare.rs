//! What many nodes of a test run share: the folder of plugins, plugins that are compiled already, free ports.

use std::{
    env, fs, io,
    net::TcpListener,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
};

use tempfile::TempDir;

use crate::harness::Spec;

/// The components of the plugins in Rust. Those with an interpreter in them are twenty times as large, and would slow each
/// start of a node: they have tests of their own.
///
/// # Panics
/// When they have not been built.
pub fn plugins() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| small_plugins(&all_plugins())).clone()
}

/// A folder of those that are named, and what is granted in it.
pub fn some_plugins(names: &[&str], granted: &str) -> TempDir {
    let dir = tempfile::Builder::new().prefix("akita-plugins-").tempdir().expect("a folder");
    for name in names {
        let file = format!("{name}.wasm");
        let from = plugins().join(&file);
        fs::copy(&from, dir.path().join(&file)).unwrap_or_else(|error| {
            panic!("{} is missing ({error}): run `cargo xtask plugins` first", from.display());
        });
    }
    fs::write(dir.path().join("akita-plugins.toml"), granted).expect("written");
    dir
}

/// The components of all plugins that have been built.
///
/// # Panics
/// When they have not been built.
pub fn all_plugins() -> PathBuf {
    let built = env::var_os("AKITA_PLUGINS_DIR").map(PathBuf::from);
    let dir = built.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins"));
    for name in ["basics", "faulty"] {
        let file = dir.join(format!("{name}.wasm"));
        assert!(file.is_file(), "{} is missing: run `cargo xtask plugins` first", file.display());
    }
    dir
}

/// A folder with those of them that cargo built, as they are now. Kept between test runs, and changed only where they have
/// changed: another run may be at it.
fn small_plugins(all: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-plugins");
    fs::create_dir_all(&folder).expect("a folder for plugins");
    let wanted = |path: &Path| {
        let of_cargo = path.file_stem().is_some_and(|stem| sources.join(stem).join("Cargo.toml").is_file());
        of_cargo && path.extension().is_some_and(|kind| kind == "wasm")
    };
    for entry in fs::read_dir(all).expect("the folder of plugins").flatten().filter(|entry| wanted(&entry.path())) {
        let (bytes, target) = (fs::read(entry.path()).expect("a component"), folder.join(entry.file_name()));
        if fs::read(&target).is_ok_and(|there| there == bytes) {
            continue;
        }
        let part = folder.join(format!(".{}-{}", entry.file_name().to_string_lossy(), std::process::id()));
        fs::write(&part, bytes).and_then(|()| fs::rename(&part, &target)).expect("a component can be copied");
    }
    for entry in fs::read_dir(&folder).expect("a folder").flatten() {
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && !all.join(entry.file_name()).is_file() {
            fs::remove_file(entry.path()).ok();
        }
    }
    folder
}

/// Puts compiled plugins into a node's data folder: compiling takes seconds, and what is tested elsewhere need not
/// happen at each start.
pub fn seed_compiled(data_dir: &Path) {
    static COMPILED: OnceLock<PathBuf> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        // Kept between test runs: entries are found by content, so that old ones are never wrong.
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e-compiled");
        let mut node = Spec::alone("compiler").unseeded().seed_from(&kept).start();
        node.stop();
        copy_entries(&node.data_dir().join("compiled"), &kept).expect("compiled plugins can be kept");
        kept
    });
    copy_entries(compiled, &data_dir.join("compiled")).expect("compiled plugins can be copied");
}

/// Copies the files of a folder that are not there yet, each at once or not at all.
pub fn copy_entries(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let target = to.join(&name);
        if !target.exists() && !name.to_string_lossy().ends_with(".new") {
            let part = to.join(format!(".{}-{}", name.to_string_lossy(), std::process::id()));
            fs::copy(entry.path(), &part)?;
            fs::rename(&part, &target)?;
        }
    }
    Ok(())
}

/// Copies a folder with all that is in it.
pub fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// A loopback address that nobody listens on, and that this process gives to nobody else. Below the ports that the
/// system hands out by itself, so that no outgoing connection takes it.
pub fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 4_800;
    for _ in 0..COUNT {
        let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        // Test runs at the same time begin at different places.
        let address = format!("127.0.0.1:{}", FIRST + (std::process::id() * 61 + turn) % COUNT);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
    panic!("no free port from {FIRST} on");
}
