//! Compares a component's imports and exports with the contract in `wit/`, by reflection: what a plugin needs comes from
//! the component itself, not from its word. It compiles and runs nothing.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{Component as ComponentType, ComponentItem};

use crate::bindings::{ACTIONS, PACKAGE, VERSION};
use crate::interface::{Grants, Interface};
use crate::load::LoadError;
use crate::outcome::cut;

/// Longest reason that is passed on from the compiler or a guest.
const MAX_REASON_BYTES: usize = 600;

/// WASI packages that are linked with nothing behind them: compiled programs import them even where they never call
/// them. No file, variable, argument or socket is reachable through them; clocks and randomness are.
const GRANTED_WASI: [&str; 6] =
    ["wasi:io", "wasi:clocks", "wasi:random", "wasi:cli", "wasi:filesystem", "wasi:sockets"];
/// The WASI version that is linked.
const WASI_VERSION: &str = "0.2.";
/// The interfaces of our own that every plugin gets.
const GRANTED: [&str; 3] = ["akita:plugin/types", "akita:plugin/log", TASK];
/// The interface of a run's own attempt.
const TASK: &str = "akita:plugin/task";

/// What a component imports.
pub(crate) struct Imports {
    /// By name, as the component has them.
    pub(crate) names: Vec<String>,
    /// Those that have to be granted.
    pub(crate) needs: Grants,
    /// Whether `task.read-input` is among them.
    pub(crate) reads_input: bool,
}

/// Compares imports and exports with the contract, by name.
pub(crate) fn check_contract(engine: &Engine, component: &Component) -> Result<Imports, LoadError> {
    let shape = component.component_type();
    check_exports(engine, &shape)?;
    let names: Vec<String> = shape.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let ours =
        |name: &str| name.starts_with(PACKAGE) && (GRANTED.contains(&package_path(name)) || interface(name).is_some());
    if let Some(other) = names.iter().find(|name| ours(name) && !speaks(name)) {
        return Err(wrong_version("imports", other));
    }
    let denied: Vec<String> =
        names.iter().filter(|name| !granted(name) && interface(name).is_none()).cloned().collect();
    if !denied.is_empty() {
        return Err(LoadError::NotGranted(denied));
    }
    let needs = names.iter().filter_map(|name| interface(name)).collect();
    let reads_input = shape.imports(engine).any(|(name, item)| {
        let ComponentItem::ComponentInstance(task) = item.ty else { return false };
        package_path(name) == TASK && task.get_export(engine, "read-input").is_some()
    });
    Ok(Imports { names, needs, reads_input })
}

fn check_exports(engine: &Engine, shape: &ComponentType) -> Result<(), LoadError> {
    let exports: Vec<_> = shape.exports(engine).collect();
    let ours = |name: &str| package_path(name) == ACTIONS && speaks(name);
    let Some((name, actions)) = exports.iter().find(|(name, _)| ours(name)) else {
        if let Some((other, _)) = exports.iter().find(|(name, _)| name.starts_with(PACKAGE)) {
            return Err(wrong_version("exports", other));
        }
        let names: Vec<_> = exports.iter().map(|(name, _)| *name).collect();
        let what =
            if names.is_empty() { "exports nothing".to_owned() } else { format!("exports {}", names.join(", ")) };
        let message = cut(what, MAX_REASON_BYTES);
        return Err(LoadError::WrongWorld(format!(
            "it {message}; a plugin exports {ACTIONS}@{VERSION}: build it for the world `plugin` of {PACKAGE}@{VERSION}"
        )));
    };
    let ComponentItem::ComponentInstance(actions) = &actions.ty else {
        return Err(LoadError::WrongWorld(format!("its export {name} is no interface: build it with wit-bindgen")));
    };
    if actions.get_export(engine, "describe").is_none() {
        return Err(LoadError::NoDescribe);
    }
    Ok(())
}

fn wrong_version(verb: &str, name: &str) -> LoadError {
    LoadError::WrongWorld(format!(
        "it {verb} {name}; this node speaks {PACKAGE}@{VERSION}: build it again with the `wit` folder of this release"
    ))
}

/// `akita:plugin/log@0.1.0` without its version.
fn package_path(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// Whether it is of our version, or one that only adds to it (0.1.x).
fn speaks(name: &str) -> bool {
    let (minor, _patch) = VERSION.rsplit_once('.').expect("the version has three parts");
    version(name).rsplit_once('.').is_some_and(|(theirs, _)| theirs == minor)
}

/// The interface that has to be granted for it.
fn interface(name: &str) -> Option<Interface> {
    let found = Interface::of_import(package_path(name))?;
    (found != Interface::Http || version(name).starts_with(WASI_VERSION)).then_some(found)
}

fn granted(name: &str) -> bool {
    let path = package_path(name);
    let package = path.split('/').next().unwrap_or(path);
    GRANTED.contains(&path) || GRANTED_WASI.contains(&package) && version(name).starts_with(WASI_VERSION)
}

/// The names are ours and the types are not.
pub(crate) fn mismatch(error: &wasmtime::Error) -> LoadError {
    LoadError::WrongWorld(format!(
        "its types differ from {PACKAGE}@{VERSION} ({}): build it again with the `wit` folder of this release",
        reason(error)
    ))
}

/// An error and its causes on one line.
pub(crate) fn reason(error: &wasmtime::Error) -> String {
    let chain: Vec<_> = error.chain().map(|cause| cause.to_string().replace('\n', " ")).collect();
    cut(chain.join(": "), MAX_REASON_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_granted() {
        for name in
            ["akita:plugin/log@0.1.0", "akita:plugin/types@0.1.7", "wasi:io/poll@0.2.6", "wasi:cli/stderr@0.2.0"]
        {
            assert!(granted(name), "{name}");
        }
        for name in ["wasi:http/types@0.2.0", "akita:plugin/kv@0.1.0", "wasi:io/poll@0.3.0", "foo", "wasi:iox/a@0.2.0"]
        {
            assert!(!granted(name), "{name}");
        }
    }

    #[test]
    fn a_patch_is_the_same_version_and_a_minor_is_not() {
        assert!(speaks("akita:plugin/actions@0.1.0"));
        assert!(speaks("akita:plugin/actions@0.1.9"));
        assert!(!speaks("akita:plugin/actions@0.2.0"));
        assert!(!speaks("akita:plugin/actions"));
    }
}
