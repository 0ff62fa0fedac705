//! Which exported functions become actions, under which names, and which do not and why. It reads the component's types
//! and calls nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

use super::schema;
use super::shape::{MAX_TYPES, Shape};
use crate::bindings::PACKAGE;
use crate::contract::{package_path, version};
use crate::info::{ActionInfo, MAX_NAME_BYTES, MAX_SCHEMA_BYTES, MAX_SUMMARY_BYTES, PluginInfo};
use crate::outcome::cut;

/// Exported functions that are looked at: far more than actions that a plugin may have, and a listing that people read.
const MAX_FUNCTIONS: usize = 1_000;

/// A function of an exported interface, and the action that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedExport {
    /// The interface, such as `acme:imaging/resize@1.0.0`; empty for a function that the world itself exports.
    pub interface: String,
    /// The function's name in WIT.
    pub function: String,
    /// The action's name within the plugin, if it became one.
    pub action: Option<String>,
    /// Why it did not.
    pub left_out: Option<String>,
}

/// A function that can be called.
pub(crate) struct Function {
    pub(crate) action: String,
    pub(super) index: ComponentExportIndex,
    pub(crate) params: Vec<(String, Shape)>,
    pub(super) result: Option<Shape>,
}

/// The typed exports of one component.
#[derive(Default)]
pub(crate) struct Typed {
    pub(crate) functions: Vec<Arc<Function>>,
    pub(crate) exports: Vec<TypedExport>,
}

impl Typed {
    /// The function behind an action.
    pub(crate) fn function(&self, action: &str) -> Option<&Arc<Function>> {
        self.functions.iter().find(|function| function.action == action)
    }
}

/// One export as it was found.
struct Found {
    interface: String,
    name: String,
    callable: Result<Callable, String>,
}

struct Callable {
    index: ComponentExportIndex,
    params: Vec<(String, Shape)>,
    result: Option<Shape>,
    input_schema: String,
    output_schema: String,
}

/// The typed exports, and the actions that they add to those that the plugin described.
pub(crate) fn reflect(
    engine: &Engine,
    component: &Component,
    described: Option<&PluginInfo>,
) -> (Typed, Vec<ActionInfo>) {
    let found = find(engine, component);
    let taken = |name: &str| described.is_some_and(|info| info.action(name).is_some());
    let mut short: BTreeMap<String, usize> = BTreeMap::new();
    for one in found.iter().filter(|one| one.callable.is_ok()) {
        *short.entry(one.name.to_lowercase()).or_default() += 1;
    }
    let (mut typed, mut actions) = (Typed::default(), Vec::<ActionInfo>::new());
    for Found { interface, name, callable } in found {
        let bare = name.to_lowercase();
        let alone = short.get(&bare) == Some(&1) && !taken(&bare);
        let action = if alone { bare } else { format!("{}-{bare}", last_part(&interface)) };
        let callable = callable.and_then(|callable| {
            if action.len() > MAX_NAME_BYTES {
                return Err(format!("the action's name would have more than {MAX_NAME_BYTES} letters"));
            }
            if taken(&action) || actions.iter().any(|other| other.name == action) {
                return Err(format!("another action is called `{action}`"));
            }
            Ok(callable)
        });
        let export =
            |action, left_out| TypedExport { interface: interface.clone(), function: name.clone(), action, left_out };
        match callable {
            Ok(callable) => {
                typed.exports.push(export(Some(action.clone()), None));
                actions.push(describe(&action, &interface, &name, &callable));
                let Callable { index, params, result, .. } = callable;
                typed.functions.push(Arc::new(Function { action, index, params, result }));
            }
            Err(reason) => typed.exports.push(export(None, Some(reason))),
        }
    }
    (typed, actions)
}

/// What a component that has no `describe` is: its package says so.
///
/// # Errors
/// No exported interface has a package.
pub(crate) fn named_by_package(typed: &Typed, actions: Vec<ActionInfo>) -> Result<PluginInfo, String> {
    let mut interfaces: Vec<&str> = typed.exports.iter().map(|export| export.interface.as_str()).collect();
    interfaces.dedup();
    let first = interfaces.iter().find(|interface| interface.contains(':')).ok_or_else(|| {
        format!(
            "it exports functions, and no package that would give the plugin its name: export them in an interface of \
             a package, such as `acme:imaging/resize`, or export {PACKAGE}/actions as well"
        )
    })?;
    let package = package_path(first).split('/').next().unwrap_or_default();
    let name = package.rsplit(':').next().unwrap_or_default().to_lowercase();
    let version = if version(first).is_empty() { "0.0.0" } else { version(first) };
    let paths: Vec<_> = interfaces.iter().filter(|one| !one.is_empty()).map(|one| package_path(one)).collect();
    let summary = cut(format!("The functions of {}.", paths.join(", ")), MAX_SUMMARY_BYTES);
    Ok(PluginInfo { name, version: version.to_owned(), summary, actions, provides: vec![], annotations: vec![] })
}

fn find(engine: &Engine, component: &Component) -> Vec<Found> {
    let shape = component.component_type();
    let mut found = Vec::new();
    for (name, export) in shape.exports(engine) {
        // Ours is the contract's business, and WASI's exports are for programs that are started.
        if name.starts_with(PACKAGE) || name.starts_with("wasi:") {
            continue;
        }
        let Some(outer) = component.get_export_index(None, name) else { continue };
        match export.ty {
            ComponentItem::ComponentFunc(_) => {
                found.push(Found { interface: String::new(), name: name.to_owned(), callable: Err(homeless()) });
            }
            ComponentItem::ComponentInstance(instance) => {
                for (inner, export) in instance.exports(engine) {
                    let ComponentItem::ComponentFunc(function) = export.ty else { continue };
                    let Some(index) = component.get_export_index(Some(&outer), inner) else { continue };
                    let callable = if name.contains(':') { look(&function, inner, index) } else { Err(homeless()) };
                    found.push(Found { interface: name.to_owned(), name: inner.to_owned(), callable });
                    if found.len() >= MAX_FUNCTIONS {
                        return found;
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Compilers of interpreted languages leave such functions behind, for their own use.
fn homeless() -> String {
    "it belongs to no interface of a package".to_owned()
}

fn look(function: &ComponentFunc, name: &str, index: ComponentExportIndex) -> Result<Callable, String> {
    if name.starts_with('[') {
        return Err("it belongs to a resource, which lives no longer than one task".to_owned());
    }
    if function.async_() {
        return Err("it is an async function of WASI 0.3, which this node does not know".to_owned());
    }
    let mut left = MAX_TYPES;
    let params = function.params().map(|(name, ty)| Ok((name.to_owned(), Shape::of(&ty, &mut left)?)));
    let params = params.collect::<Result<Vec<_>, String>>()?;
    let result = function.results().next().map(|ty| Shape::of(&ty, &mut left)).transpose()?;
    let given = match &result {
        Some(Shape::Result(ok, _)) => ok.as_deref(),
        other => other.as_ref(),
    };
    let input_schema = schema::of_parameters(&params).to_string();
    let output_schema = schema::of_result(given).to_string();
    let size = input_schema.len().max(output_schema.len());
    if size > MAX_SCHEMA_BYTES {
        return Err(format!("its JSON schema has {size} bytes; {MAX_SCHEMA_BYTES} is the most"));
    }
    Ok(Callable { index, params, result, input_schema, output_schema })
}

fn describe(action: &str, interface: &str, name: &str, callable: &Callable) -> ActionInfo {
    ActionInfo {
        name: action.to_owned(),
        summary: cut(format!("Calls `{name}` of {interface}."), MAX_SUMMARY_BYTES),
        input_schema: Some(callable.input_schema.clone()),
        output_schema: Some(callable.output_schema.clone()),
        // Nobody promised either.
        idempotent: false,
        deterministic: false,
        typical_ms: None,
        requires: vec![],
        annotations: vec![],
    }
}

/// `resize` of `acme:imaging/resize@1.0.0`.
fn last_part(interface: &str) -> String {
    package_path(interface).rsplit('/').next().unwrap_or_default().to_lowercase()
}
