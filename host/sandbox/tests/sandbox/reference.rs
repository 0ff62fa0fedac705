//! `docs/wit.md`: the contract as a page, made from the files in `wit/`. Every item has to say what it is and since when
//! it is there; what the files do not say, the page cannot.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use wit_parser::{Docs, Function, Handle, Interface, Resolve, Stability, Type, TypeDef, TypeDefKind, WorldItem};

const INTRO: &str = "\
# The contract with plugins

<!-- Generated from wit/: AKITA_BLESS=1 cargo test --workspace --test sandbox reference -->

The package `akita:plugin`, as the files in [wit/](../wit) have it. It is frozen for 0.x: types keep their fields and cases;
functions and interfaces may be added. How to use it: [plugins.md](plugins.md).
";

/// An item that the files leave without a word.
struct Silent(String);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> Result<String, Silent> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root().join("wit")).expect("wit/ parses");
    let package = &resolve.packages[package];
    let mut page = INTRO.to_owned();
    writeln!(page, "\nVersion: `{}`.\n\n## Worlds", package.name).expect("it fits");
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        writeln!(page, "\n### {name}\n\n{}{}", text(name, &world.docs)?, since(name, &world.stability)?)
            .expect("it fits");
        let named = |item: &WorldItem| match item {
            WorldItem::Interface { id, .. } => resolve.interfaces[*id].name.clone(),
            _ => None,
        };
        for (what, items) in [("imports", &world.imports), ("exports", &world.exports)] {
            let mut names: Vec<_> = items.values().filter_map(named).map(|name| format!("[{name}](#{name})")).collect();
            names.sort();
            writeln!(page, "\n{what}: {}", names.join(", ")).expect("it fits");
        }
    }
    let mut names: Vec<_> = package.interfaces.iter().collect();
    names.sort();
    for (name, id) in names {
        interface(&resolve, name, &resolve.interfaces[*id], &mut page)?;
    }
    Ok(page)
}

fn interface(resolve: &Resolve, name: &str, interface: &Interface, page: &mut String) -> Result<(), Silent> {
    let (docs, first) = (text(name, &interface.docs)?, since(name, &interface.stability)?);
    writeln!(page, "\n## {name}\n\n{docs}{first}").expect("it fits");
    for (type_name, id) in &interface.types {
        let def = &resolve.types[*id];
        // One that only stands for another interface's is told there.
        if !matches!(def.kind, TypeDefKind::Type(Type::Id(_))) {
            define(resolve, &format!("{name}.{type_name}"), type_name, def, page)?;
        }
    }
    for (function_name, function) in &interface.functions {
        let place = format!("{name}.{function_name}");
        let docs = text(&place, &function.docs)?;
        let since = since(&place, &function.stability)?;
        writeln!(page, "\n### {function_name}\n\n```wit\n{}\n```\n\n{docs}{since}", signature(resolve, function))
            .expect("it fits");
    }
    Ok(())
}

/// A type with its fields or cases.
fn define(resolve: &Resolve, place: &str, name: &str, def: &TypeDef, page: &mut String) -> Result<(), Silent> {
    let (docs, since) = (text(place, &def.docs)?, since(place, &def.stability)?);
    let shown = |ty: &Option<Type>| ty.map(|ty| format!("`{}`", type_name(resolve, &ty))).unwrap_or_default();
    let (kind, rows): (_, Vec<(&str, String, &Docs)>) = match &def.kind {
        TypeDefKind::Record(record) => {
            let rows = record.fields.iter().map(|field| (field.name.as_str(), shown(&Some(field.ty)), &field.docs));
            ("record", rows.collect())
        }
        TypeDefKind::Variant(variant) => {
            ("variant", variant.cases.iter().map(|case| (case.name.as_str(), shown(&case.ty), &case.docs)).collect())
        }
        TypeDefKind::Enum(cases) => {
            ("enum", cases.cases.iter().map(|case| (case.name.as_str(), String::new(), &case.docs)).collect())
        }
        TypeDefKind::Type(ty) => ("type", vec![("is", shown(&Some(*ty)), &def.docs)]),
        TypeDefKind::Tuple(tuple) => {
            let parts: Vec<_> = tuple.types.iter().map(|ty| type_name(resolve, ty)).collect();
            ("type", vec![("is", format!("`tuple<{}>`", parts.join(", ")), &def.docs)])
        }
        other => panic!("{place}: the page has no form for a {}", other.as_str()),
    };
    writeln!(page, "\n### {kind} {name}\n\n{docs}{since}").expect("it fits");
    if kind != "type" {
        writeln!(page, "\n| {} | type | what it is |\n|---|---|---|", if kind == "record" { "field" } else { "case" })
            .expect("it fits");
    } else if let [(_, shown, _)] = &rows[..] {
        writeln!(page, "\nIs {shown}.").expect("it fits");
        return Ok(());
    }
    for (row, ty, docs) in rows {
        let docs = text(&format!("{place}.{row}"), docs)?.trim().replace('\n', " ");
        writeln!(page, "| `{row}` | {ty} | {docs} |").expect("it fits");
    }
    Ok(())
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let params = function.params.iter().map(|param| format!("{}: {}", param.name, type_name(resolve, &param.ty)));
    let result = function.result.map(|ty| format!(" -> {}", type_name(resolve, &ty))).unwrap_or_default();
    format!("{}: func({}){result};", function.name, params.collect::<Vec<_>>().join(", "))
}

fn type_name(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else {
        return format!("{ty:?}").to_lowercase();
    };
    let def = &resolve.types[*id];
    if let Some(name) = &def.name {
        return name.clone();
    }
    let name = |ty: &Type| type_name(resolve, ty);
    match &def.kind {
        TypeDefKind::List(of) => format!("list<{}>", name(of)),
        TypeDefKind::Option(of) => format!("option<{}>", name(of)),
        TypeDefKind::Tuple(tuple) => format!("tuple<{}>", tuple.types.iter().map(name).collect::<Vec<_>>().join(", ")),
        TypeDefKind::Result(result) => match (&result.ok, &result.err) {
            (Some(ok), Some(err)) => format!("result<{}, {}>", name(ok), name(err)),
            (Some(ok), None) => format!("result<{}>", name(ok)),
            (None, Some(err)) => format!("result<_, {}>", name(err)),
            (None, None) => "result".to_owned(),
        },
        TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => name(&Type::Id(*id)),
        other => panic!("the page has no form for a {}", other.as_str()),
    }
}

/// What an item says of itself; a sentence at least.
fn text(place: &str, docs: &Docs) -> Result<String, Silent> {
    let silent = || Silent(format!("{place} has no documentation"));
    let text = docs.contents.as_deref().map(str::trim).filter(|text| !text.is_empty()).ok_or_else(silent)?;
    Ok(format!("{text}\n"))
}

fn since(place: &str, stability: &Stability) -> Result<String, Silent> {
    match stability {
        Stability::Stable { since, .. } => Ok(format!("\nSince {since}.")),
        _ => Err(Silent(format!("{place} does not say since when it is there"))),
    }
}

#[test]
fn the_page_of_the_contract_is_up_to_date_and_every_item_is_documented() {
    let page = page().unwrap_or_else(|Silent(what)| panic!("wit/: {what}"));
    let path = root().join("docs/wit.md");
    if std::env::var_os("AKITA_BLESS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(held == page, "docs/wit.md is out of date: AKITA_BLESS=1 cargo test --workspace --test sandbox reference");
}
