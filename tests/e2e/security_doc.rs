//! docs/security.md names a test for each attack: all of them exist, in the file that is named, and are run.

use std::{collections::BTreeSet, fs, path::Path};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Where the table begins.
const HEADING: &str = "## Attacks tried";
/// Attacks in it, at least.
const ATTACKS: usize = 20;

/// The rows of the table: attack, outcome, names of tests.
fn attacks(text: &str) -> Vec<[&str; 3]> {
    let (_, rest) = text.split_once(HEADING).expect("the section is there");
    let table = rest.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("a row has three cells: {row}"))
    })
    .collect()
}

/// Whether that file has a test of that name which is not left out.
fn is_tested(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    (attributes.contains("#[test]") || attributes.contains("#[tokio::test]")) && !attributes.contains("#[ignore")
}

#[test]
fn each_attack_in_the_document_has_a_test_that_exists() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/security.md")).expect("the document");
    let attacks = attacks(&text);
    assert!(attacks.len() >= ATTACKS, "{} attacks", attacks.len());
    let distinct: BTreeSet<&str> = attacks.iter().map(|row| row[0]).collect();
    assert_eq!(distinct.len(), attacks.len(), "an attack is there twice");
    for [attack, outcome, tests] in attacks {
        assert!(!outcome.is_empty(), "{attack}: no outcome");
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{attack}: no test");
        for name in names {
            let (suite, rest) = name.split_once("::").expect("suite::file::test");
            let (file, test) = rest.split_once("::").expect("suite::file::test");
            let folder = match suite {
                "sandbox" => "host/sandbox/tests/sandbox",
                "e2e" => "tests/e2e",
                other => panic!("{attack}: there is no suite {other}"),
            };
            let path = Path::new(ROOT).join(folder).join(format!("{file}.rs"));
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(is_tested(&source, test), "{attack}: {name} is no test");
        }
    }
}

#[test]
fn what_is_left_out_or_absent_is_no_test() {
    assert!(is_tested("#[test]\nfn there() {}", "there"));
    assert!(!is_tested("#[test]\nfn there() {}", "her"));
    assert!(!is_tested("#[test]\n#[ignore]\nfn there() {}", "there"));
    assert!(!is_tested("#[test]\nfn other() {}\n\nfn there() {}", "there"));
}
