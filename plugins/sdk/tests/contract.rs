//! The contract that this crate carries is the one that nodes are built with.

use std::fs;
use std::path::Path;

#[test]
fn the_copy_of_the_contract_is_identical() {
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let hint = "bring it up to date: rm plugins/sdk/wit/*; cp wit/* plugins/sdk/wit/";
    assert_eq!(names(&copy), names(&original), "{hint}");
    for name in names(&original) {
        let same = fs::read(copy.join(&name)).unwrap() == fs::read(original.join(&name)).unwrap();
        assert!(same, "{} differs; {hint}", name.display());
    }
}
