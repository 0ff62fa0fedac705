//! The plugins of one folder: which were loaded, which were not and why, and which of them an action's name means. It
//! runs nothing and does not watch the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;
use strsim::normalized_damerau_levenshtein;

use crate::interface::Grants;
use crate::load::LoadError;
use crate::plugin::Plugin;
use crate::{Sandbox, load};

/// Most plugins in one folder: what they offer is announced to every node.
pub const MAX_PLUGINS: usize = 256;
/// Most names that are suggested for one that is unknown.
const MAX_NEAR: usize = 3;
/// How alike two names must be to suggest one for the other: two letters swapped in a name of three are just enough.
const NEAR_ENOUGH: f64 = 0.6;

/// Why a folder cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No folder, or no access.
    #[error("cannot read the plugin folder {}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a name means no action here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing is called so.
    #[error("no action `{action}` here{}", suggestion(near))]
    Unknown {
        /// The name.
        action: String,
        /// Names that are like it, most alike first.
        near: Vec<String>,
    },
    /// Several plugins have one of that name.
    #[error("`{action}` may mean {}: write one of them in full", candidates.join(" or "))]
    Ambiguous {
        /// The name.
        action: String,
        /// Their full names, sorted.
        candidates: Vec<String>,
    },
}

fn suggestion(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!(": did you mean {}?", near.join(" or ")) }
}

/// What happens while a folder is loaded, for a progress display.
#[derive(Debug)]
pub enum LoadStep<'a> {
    /// That many files are to be loaded.
    Found(usize),
    /// This one is next; compiling it may take seconds.
    Loading(&'a Path),
    /// It is a plugin.
    Loaded(&'a Path, &'a Plugin),
    /// It is not.
    Rejected(&'a Path, &'a LoadError),
}

/// What a folder of plugins holds.
#[derive(Debug, Default)]
pub struct Catalog {
    plugins: Vec<Arc<Plugin>>,
    paths: Vec<PathBuf>,
    rejected: Vec<(PathBuf, LoadError)>,
}

impl Catalog {
    /// Loads every `*.wasm` that lies directly in `dir`, in the order of their names. A file that is no plugin is noted
    /// with its reason and stops nothing. Blocks.
    ///
    /// # Errors
    /// When the folder itself cannot be read.
    pub fn load_dir(
        sandbox: &Sandbox,
        dir: &Path,
        mut on_step: impl FnMut(LoadStep<'_>),
    ) -> Result<Catalog, CatalogError> {
        let failed = |source| CatalogError::Io { path: dir.to_owned(), source };
        let root = dir.canonicalize().map_err(failed)?;
        let files = list(dir).map_err(failed)?;
        on_step(LoadStep::Found(files.len()));
        let mut catalog = Catalog::default();
        for path in files {
            on_step(LoadStep::Loading(&path));
            match catalog.load_one(sandbox, &root, &path) {
                Ok(plugin) => {
                    on_step(LoadStep::Loaded(&path, &plugin));
                    catalog.plugins.push(plugin);
                    catalog.paths.push(path);
                }
                Err(error) => {
                    on_step(LoadStep::Rejected(&path, &error));
                    catalog.rejected.push((path, error));
                }
            }
        }
        Ok(catalog)
    }

    /// These plugins with the files that they came from; no two of one name and version.
    #[must_use]
    pub fn of(plugins: impl IntoIterator<Item = (PathBuf, Arc<Plugin>)>) -> Catalog {
        let (paths, plugins) = plugins.into_iter().unzip();
        Catalog { plugins, paths, rejected: Vec::new() }
    }

    fn load_one(&self, sandbox: &Sandbox, root: &Path, path: &Path) -> Result<Arc<Plugin>, LoadError> {
        if self.plugins.len() >= MAX_PLUGINS {
            return Err(LoadError::TooMany { max: MAX_PLUGINS });
        }
        let candidate = sandbox.examine_in(root, path)?;
        let plugin = load::link(&sandbox.0, &candidate, Grants::NONE)?;
        match self.plugins.iter().position(|other| other.full_name() == plugin.full_name()) {
            None => Ok(plugin),
            Some(first) => Err(LoadError::DuplicateName { name: plugin.full_name(), first: self.paths[first].clone() }),
        }
    }

    /// The plugins, in the order of their files' names.
    #[must_use]
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// Each plugin with the file that it came from.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (&Path, &Arc<Plugin>)> {
        self.paths.iter().map(PathBuf::as_path).zip(&self.plugins)
    }

    /// The files that are no plugins, and why.
    #[must_use]
    pub fn rejected(&self) -> &[(PathBuf, LoadError)] {
        &self.rejected
    }

    /// What `plugin/action`, `plugin@version/action` or a bare `action` means here: the plugin and the action's name
    /// within it. Where no version is named, the newest one that has the action counts.
    ///
    /// # Errors
    /// [`ResolveError::Unknown`] with names that are like it, or [`ResolveError::Ambiguous`].
    pub fn resolve(&self, action: &str) -> Result<(Arc<Plugin>, String), ResolveError> {
        let (plugin, bare) = match action.split_once('/') {
            Some((plugin, bare)) => (Some(plugin), bare),
            None => (None, action),
        };
        let (name, version) = match plugin.and_then(|plugin| plugin.split_once('@')) {
            Some((name, version)) => (Some(name), Some(version)),
            None => (plugin, None),
        };
        // Sorted by name; of each the newest.
        let mut found: BTreeMap<&str, &Arc<Plugin>> = BTreeMap::new();
        let named = self.plugins.iter().filter(|plugin| name.is_none_or(|name| name == plugin.name()));
        let meant = named.filter(|plugin| version.is_none_or(|version| version == plugin.info().version));
        for plugin in meant.filter(|plugin| plugin.info().action(bare).is_some()) {
            let newest = found.entry(plugin.name()).or_insert(plugin);
            if semantic(plugin) > semantic(newest) {
                *newest = plugin;
            }
        }
        if found.len() > 1 {
            let candidates = found.keys().map(|plugin| format!("{plugin}/{bare}")).collect();
            return Err(ResolveError::Ambiguous { action: action.to_owned(), candidates });
        }
        match found.pop_first() {
            Some((_, plugin)) => Ok((plugin.clone(), bare.to_owned())),
            None => {
                let others = name.map(|name| self.versions(name, bare)).filter(|_| version.is_some());
                let near = others.filter(|others| !others.is_empty()).unwrap_or_else(|| self.near(action));
                Err(ResolveError::Unknown { action: action.to_owned(), near })
            }
        }
    }

    /// The versions of a plugin that have an action, the newest first.
    fn versions(&self, name: &str, bare: &str) -> Vec<String> {
        let named = self.plugins.iter().filter(|plugin| plugin.name() == name && plugin.info().action(bare).is_some());
        let mut having: Vec<_> = named.collect();
        having.sort_by_key(|plugin| std::cmp::Reverse(semantic(plugin)));
        having.into_iter().take(MAX_NEAR).map(|plugin| format!("{}/{bare}", plugin.full_name())).collect()
    }

    fn near(&self, action: &str) -> Vec<String> {
        let alike = |name: &str| {
            let bare = name.split_once('/').map_or(name, |(_, bare)| bare);
            let asked = action.split_once('/').map_or(action, |(_, bare)| bare);
            normalized_damerau_levenshtein(name, action).max(normalized_damerau_levenshtein(bare, asked))
        };
        let mut scored: Vec<_> = self.actions().into_iter().map(|name| (alike(&name), name)).collect();
        scored.retain(|(score, _)| *score >= NEAR_ENOUGH);
        scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
        scored.into_iter().take(MAX_NEAR).map(|(_, name)| name).collect()
    }

    /// Every action as `plugin/action`, sorted, each once.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .plugins
            .iter()
            .flat_map(|plugin| plugin.info().actions.iter().map(|action| format!("{}/{}", plugin.name(), action.name)))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The capabilities that a node gains by these plugins, sorted, each once.
    #[must_use]
    pub fn provides(&self) -> Vec<String> {
        let mut all: Vec<_> = self.plugins.iter().flat_map(|plugin| plugin.info().provides.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Stands for all that is advertised: the plugins' content and names. The same for the same plugins, whatever their
    /// files are called.
    #[must_use]
    pub fn digest(&self) -> [u8; 8] {
        let sorted: BTreeSet<_> = self.plugins.iter().map(|plugin| (plugin.name(), plugin.hash())).collect();
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in sorted {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(hash);
        }
        *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
    }
}

/// For comparing; a version that is none has been refused before.
fn semantic(plugin: &Plugin) -> Option<Version> {
    Version::parse(&plugin.info().version).ok()
}

/// The files in `dir` that claim to be plugins, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let claims = path.extension().is_some_and(|kind| kind == "wasm" || kind == "cwasm");
        // A folder that is called so (a build's, perhaps) is none of ours.
        if claims && !fs::symlink_metadata(&path)?.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
