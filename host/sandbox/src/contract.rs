//! Compares a component's imports and exports with the contract in `wit/`, by reflection: what a plugin needs comes from
//! the component itself, not from its word. It compiles and runs nothing.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::{Component as ComponentType, ComponentItem};

use crate::bindings::{ACTIONS, PACKAGE, VERSION};
use crate::interface::{Grants, Interface};
use crate::load::LoadError;
use crate::outcome::cut;
use crate::typed::{Typed, TypedExport};

/// Longest reason that is passed on from the compiler or a guest.
const MAX_REASON_BYTES: usize = 600;
/// Longest name that is shown: those of WASI have about forty letters.
const MAX_IMPORT_BYTES: usize = 120;

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

/// Names in one sentence: more would hide the first.
const MAX_NAMES: usize = 5;

/// What a component and the contract have in common.
pub(crate) struct Contract {
    /// Its imports by name, as the component has them.
    pub(crate) imports: Vec<String>,
    /// Those that have to be granted.
    pub(crate) needs: Grants,
    /// Whether `task.read-input` is among them.
    pub(crate) reads_input: bool,
    /// Whether it exports `actions`.
    pub(crate) describes: bool,
}

/// Compares imports and exports with the contract, by name.
pub(crate) fn check_contract(engine: &Engine, component: &Component) -> Result<Contract, LoadError> {
    let shape = component.component_type();
    let describes = check_exports(engine, &shape)?;
    let imports: Vec<String> = shape.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let ours =
        |name: &str| name.starts_with(PACKAGE) && (GRANTED.contains(&package_path(name)) || interface(name).is_some());
    if let Some(other) = imports.iter().find(|name| ours(name) && !speaks(name)) {
        return Err(wrong_version("imports", other));
    }
    let refused = |name: &&String| !granted(name) && interface(name).is_none();
    let refused: Vec<String> = imports.iter().filter(refused).cloned().collect();
    if !refused.is_empty() {
        return Err(LoadError::NotGranted(refused));
    }
    let needs = imports.iter().filter_map(|name| interface(name)).collect();
    let reads_input = shape.imports(engine).any(|(name, item)| {
        let ComponentItem::ComponentInstance(task) = item.ty else { return false };
        package_path(name) == TASK && task.get_export(engine, "read-input").is_some()
    });
    Ok(Contract { imports, needs, reads_input, describes })
}

/// Whether it exports `actions`, as a whole.
fn check_exports(engine: &Engine, shape: &ComponentType) -> Result<bool, LoadError> {
    let exports: Vec<_> = shape.exports(engine).collect();
    let ours = |name: &str| package_path(name) == ACTIONS && speaks(name);
    let Some((name, actions)) = exports.iter().find(|(name, _)| ours(name)) else {
        return match exports.iter().find(|(name, _)| name.starts_with(PACKAGE)) {
            Some((other, _)) => Err(wrong_version("exports", other)),
            None => Ok(false),
        };
    };
    let ComponentItem::ComponentInstance(actions) = &actions.ty else {
        return Err(LoadError::WrongWorld(format!("its export {name} is no interface: build it with wit-bindgen")));
    };
    if actions.get_export(engine, "describe").is_none() {
        return Err(LoadError::NoDescribe);
    }
    if actions.get_export(engine, "run").is_none() {
        return Err(LoadError::WrongWorld(format!(
            "it exports {ACTIONS} without `run`: add `run`, which does what `describe` lists"
        )));
    }
    Ok(true)
}

/// It has neither `actions` nor a function that could be one.
pub(crate) fn nothing_callable(engine: &Engine, component: &Component, typed: &Typed) -> LoadError {
    let shape = component.component_type();
    let names: Vec<String> = shape.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let plugin = format!(
        "a plugin exports {ACTIONS}@{VERSION}, or functions in an interface of its own: build it for the world `plugin` of \
         {PACKAGE}@{VERSION}"
    );
    let told = match typed.exports.first() {
        _ if names.is_empty() => format!("it exports nothing; {plugin}"),
        _ if names.iter().any(|name| package_path(name) == "wasi:cli/run") => format!(
            "it exports {}: this is a program with a `main`, not a plugin; {plugin}, as a library (in Rust: `crate-type = \
             [\"cdylib\"]`, no `main`)",
            listed(&names)
        ),
        None => format!("it exports {}, and no function in it; {plugin}", listed(&names)),
        Some(TypedExport { function, left_out, .. }) => {
            let why = left_out.as_deref().unwrap_or_default();
            format!(
                "it exports {}, and no function in it can be an action (`{function}`: {why}); {plugin}",
                listed(&names)
            )
        }
    };
    LoadError::WrongWorld(told)
}

/// Which imports are refused, and the next step.
pub(crate) fn denied(names: &[String]) -> String {
    let shown = listed(names);
    let (one, other) = if names.len() == 1 { ("it", "needs it") } else { ("them", "needs them") };
    if let Some(name) = names.iter().find(|name| name.starts_with("wasi:") && is_newer_wasi(version(name))) {
        return format!(
            "{shown}: {name} is of WASI {}, and this node speaks WASI 0.2: build it for the target `wasm32-wasip2`",
            version(name)
        );
    }
    if let Some(name) = names.iter().find(|name| package_path(name).starts_with(&format!("{PACKAGE}/"))) {
        return format!(
            "{shown}: {PACKAGE}@{VERSION}, which this node speaks, has no interface {}: remove what {other}, or run it on a \
             newer node",
            package_path(name)
        );
    }
    format!("{shown}, which is not granted here: remove what {other}, or install a host that grants {one}")
}

fn is_newer_wasi(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) > (0, 2)
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_NAMES).map(|name| cut(name.clone(), MAX_IMPORT_BYTES)).collect();
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn wrong_version(verb: &str, name: &str) -> LoadError {
    LoadError::WrongWorld(format!(
        "it {verb} {name}; this node speaks {PACKAGE}@{VERSION}: build it again with the `wit` folder of this release, or \
         run it on a node of the release that it was built for"
    ))
}

/// `akita:plugin/log@0.1.0` without its version.
pub(crate) fn package_path(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

pub(crate) fn version(name: &str) -> &str {
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

/// A component that the compiler refuses.
pub(crate) fn invalid(error: &wasmtime::Error, bytes: &[u8]) -> LoadError {
    let reason = reason(error);
    // What is new in WASI 0.3 is no valid component here, and the compiler's words for it tell nobody why.
    let newer = [&b"@0.3."[..], b"[async-lift]", b"[async-lower]"];
    if newer.iter().any(|mark| bytes.windows(mark.len()).any(|part| part == *mark)) {
        return LoadError::WrongWorld(format!(
            "it was made for WASI 0.3, and this node speaks WASI 0.2: build it for the target `wasm32-wasip2` ({reason})"
        ));
    }
    LoadError::Invalid(reason)
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
