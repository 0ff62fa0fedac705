//! Where things are in this checkout. It never creates any of them.

use std::env;
use std::path::{Path, PathBuf};

/// The folders that the commands work in.
pub struct Paths {
    /// The top of the checkout.
    pub root: PathBuf,
    /// The host workspace's target folder.
    pub target: PathBuf,
    /// The guest workspace, and where its finished components go.
    pub plugins: PathBuf,
    /// What the commands keep for themselves; safe to delete.
    pub scratch: PathBuf,
}

impl Paths {
    /// The paths of the checkout that this program was built from.
    pub fn of_this_checkout() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .expect("this crate sits two folders below the top")
            .to_path_buf();
        // Cargo resolves a relative folder against its own working directory, which is ours too.
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => env::current_dir().map_or_else(|_| root.join(&folder), |here| here.join(&folder)),
            None => root.join("target"),
        };
        Self { plugins: root.join("plugins"), scratch: target.join("xtask"), root, target }
    }
}
