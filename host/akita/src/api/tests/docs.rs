//! `docs/api.md` names what the code has, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use super::fake::Fake;
use crate::api::routes::all;
use crate::api::{Kind, MAX_BATCH};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

#[test]
fn the_reference_has_a_section_with_an_example_for_each_route() {
    let page = page();
    let routes: BTreeSet<String> =
        all::<Fake>().iter().map(|(route, _)| format!("{} {}", route.method, route.path)).collect();
    let sections: Vec<&str> = page.split("\n### ").skip(1).collect();
    let named: BTreeSet<String> =
        sections.iter().map(|section| section.lines().next().unwrap_or_default().replace('`', "")).collect();
    assert_eq!(named, routes);
    for section in sections {
        let title = section.lines().next().unwrap_or_default();
        assert!(section.contains("\n    curl "), "no example: {title}");
    }
}

#[test]
fn the_reference_has_each_kind_of_problem_with_its_status() {
    let page = page();
    for kind in Kind::ALL {
        let row = format!("| {} | `{}` |", kind.status().as_u16(), kind.urn());
        assert!(page.contains(&row), "no row: {row}");
    }
    assert_eq!(page.matches("| `urn:akita:problem:").count(), Kind::ALL.len());
}

#[test]
fn the_reference_has_the_bounds() {
    let page = page();
    assert_eq!(MAX_BATCH, 10_000);
    for bound in ["1 to 10,000 tasks", "512 connections", "64 from one address", "16 MiB", "128 keys"] {
        assert!(page.contains(bound), "not named: {bound}");
    }
}
