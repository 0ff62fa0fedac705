//! Which versions of its plugins a worker has, and how that travels: a task may name one version exactly. It compares
//! no versions; which of them is the newest is for the worker that has them.

use std::collections::{BTreeMap, BTreeSet};

/// Longest version, as a plugin's description allows.
const MAX_VERSION_LEN: usize = 64;
/// Versions of one plugin that are taken from another node: more side by side are somebody's mistake.
const MAX_SIDE_BY_SIDE: usize = 32;

/// The parts of `plugin@version/action`; `None` for a name without a version.
pub fn exact(action: &str) -> Option<(&str, &str, &str)> {
    let (plugin, bare) = action.split_once('/')?;
    let (plugin, version) = plugin.split_once('@')?;
    Some((plugin, version, bare))
}

/// The plugin of `plugin/action` or `plugin@version/action`.
pub fn plugin_of(action: &str) -> &str {
    let plugin = action.split('/').next().unwrap_or(action);
    plugin.split('@').next().unwrap_or(plugin)
}

/// The versions of each plugin; for each, the actions that only other versions offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Versions {
    /// Of plugins with their version and the actions that they offer.
    pub fn of<'a>(plugins: impl IntoIterator<Item = (&'a str, &'a str, BTreeSet<&'a str>)>) -> Versions {
        let mut offered: BTreeMap<&str, Vec<(&str, BTreeSet<&str>)>> = BTreeMap::new();
        for (plugin, version, actions) in plugins {
            if !actions.is_empty() {
                offered.entry(plugin).or_default().push((version, actions));
            }
        }
        let lacking = |own: &BTreeSet<&str>, all: &BTreeSet<&str>| {
            all.difference(own).map(|action| (*action).to_owned()).collect::<BTreeSet<String>>()
        };
        let versions = offered.into_iter().map(|(plugin, versions)| {
            let all = versions.iter().flat_map(|(_, actions)| actions.iter().copied()).collect();
            let each = versions.iter().map(|(version, own)| ((*version).to_owned(), lacking(own, &all)));
            (plugin.to_owned(), each.collect())
        });
        Versions(versions.collect())
    }

    /// Whether that version is there and offers an action that some version of the plugin offers.
    pub fn has(&self, plugin: &str, version: &str, bare: &str) -> bool {
        let lacks = self.0.get(plugin).and_then(|versions| versions.get(version));
        lacks.is_some_and(|lacks| !lacks.contains(bare))
    }

    /// The versions of a plugin that have an action, as `plugin@version/action`.
    pub fn naming(&self, plugin: &str, bare: &str) -> Vec<String> {
        let versions = self.0.get(plugin).into_iter().flatten();
        let having = versions.filter(|(_, lacks)| !lacks.contains(bare));
        having.map(|(version, _)| format!("{plugin}@{version}/{bare}")).collect()
    }

    /// For the wire: a text for each plugin in the order of `actions`, which are sorted and name it already. It holds
    /// the versions, each with a `/` before every action that it lacks: `1.0.0/resize 2.0.0`.
    pub fn pack(&self, actions: &BTreeSet<String>) -> Vec<String> {
        let text = |plugin: &str| {
            let versions = self.0.get(plugin).into_iter().flatten();
            let word = |(version, lacks): (&String, &BTreeSet<String>)| {
                std::iter::once(version.as_str()).chain(lacks.iter().map(String::as_str)).collect::<Vec<_>>().join("/")
            };
            versions.map(word).collect::<Vec<_>>().join(" ")
        };
        plugins_of(actions).into_iter().map(text).collect()
    }

    /// From the wire. What is no version is left out.
    pub fn unpack(packed: &[String], actions: &BTreeSet<String>) -> Versions {
        let each = plugins_of(actions).into_iter().zip(packed).map(|(plugin, text)| {
            let versions = text.split(' ').take(MAX_SIDE_BY_SIDE).filter_map(|word| {
                let mut parts = word.split('/');
                let version = parts.next().filter(|version| is_version(version))?;
                // An action that the plugin does not have is lacked by all.
                let lacks = parts.filter(|bare| actions.contains(&format!("{plugin}/{bare}")));
                Some((version.to_owned(), lacks.map(str::to_owned).collect()))
            });
            (plugin.to_owned(), versions.collect())
        });
        Versions(each.collect())
    }

    /// A word for each version, from which a digest is made.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(plugin, versions)| format!("{plugin} in {versions:?}"))
    }
}

/// Each plugin once: in a sorted list those of one plugin stand together.
fn plugins_of(actions: &BTreeSet<String>) -> Vec<&str> {
    let mut plugins: Vec<&str> = actions.iter().map(|action| plugin_of(action)).collect();
    plugins.dedup();
    plugins
}

fn is_version(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-+".contains(&byte);
    !text.is_empty() && text.len() <= MAX_VERSION_LEN && text.bytes().all(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn two() -> (Versions, BTreeSet<String>) {
        let offered = [
            ("image", "1.0.0", BTreeSet::from(["fit", "old"])),
            ("image", "2.0.0", BTreeSet::from(["fit", "new"])),
            ("image-extra", "0.1.0", BTreeSet::from(["x"])),
            ("idle", "0.1.0", BTreeSet::new()),
        ];
        (Versions::of(offered), actions(&["image-extra/x", "image/fit", "image/new", "image/old"]))
    }

    #[test]
    fn names_come_apart() {
        assert_eq!(exact("image@1.0.0/fit"), Some(("image", "1.0.0", "fit")));
        assert_eq!((exact("image/fit"), exact("fit"), exact("fit@1")), (None, None, None));
        assert_eq!((plugin_of("image@1.0.0/fit"), plugin_of("image/fit"), plugin_of("fit")), ("image", "image", "fit"));
    }

    #[test]
    fn a_version_has_what_it_offers_and_survives_the_wire() {
        let (versions, all) = two();
        let packed = versions.pack(&all);
        assert_eq!(packed, ["0.1.0", "1.0.0/new 2.0.0/old"]);
        for known in [versions, Versions::unpack(&packed, &all)] {
            assert!(known.has("image", "1.0.0", "fit") && known.has("image", "1.0.0", "old"));
            assert!(!known.has("image", "1.0.0", "new") && !known.has("image", "3.0.0", "fit"));
            assert_eq!(known.naming("image", "fit"), ["image@1.0.0/fit", "image@2.0.0/fit"]);
            assert_eq!(known.naming("image", "new"), ["image@2.0.0/new"]);
        }
    }

    #[test]
    fn nonsense_from_another_node_is_left_out_and_bounded() {
        let (_, all) = two();
        let many = (0..1_000).map(|n| format!("{n}.0.0")).collect::<Vec<_>>().join(" ");
        let known = Versions::unpack(&["a b\u{1b} /x  1.0.0/none".to_owned(), many, "9.9.9".to_owned()], &all);
        assert!(known.has("image-extra", "1.0.0", "x") && known.has("image-extra", "a", "x"));
        assert_eq!(known.naming("image", "fit").len(), MAX_SIDE_BY_SIDE);
        assert_eq!(Versions::unpack(&[], &all), Versions::default(), "an older node says nothing");
    }
}
