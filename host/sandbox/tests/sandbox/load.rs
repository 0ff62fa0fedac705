//! What is a plugin and what is not, and the cache of compiled code.

use std::fs;
use std::path::{Path, PathBuf};

use akita_sandbox::{CacheError, LoadError, Sandbox, SandboxError};
use tempfile::TempDir;

use crate::guests::{ECHO, Guest, echo, running};
use crate::{config, fresh, shared};

#[track_caller]
fn refused(component: &[u8]) -> LoadError {
    shared().load_bytes(component).expect_err("the component is refused")
}

#[track_caller]
fn says(error: &LoadError, expect: &str) {
    assert!(error.to_string().contains(expect), "{error}");
}

#[test]
fn a_plugin_tells_what_it_is_and_what_it_needs() {
    let component = Guest { name: "sample".into(), provides: vec!["gps".into()], ..Guest::default() }.component();
    let (sandbox, _dir) = fresh();
    let plugin = sandbox.load_bytes(&component).unwrap();
    assert_eq!(plugin.name(), "sample");
    assert_eq!(plugin.info().version, "0.1.0");
    assert_eq!(plugin.info().provides, ["gps"]);
    assert!(plugin.info().action("run").unwrap().idempotent);
    assert_eq!(plugin.size(), component.len() as u64);
    assert_eq!(plugin.hash(), blake3::hash(&component).as_bytes());
    assert!(plugin.imports().contains(&"akita:plugin/log@0.1.0".to_owned()), "{:?}", plugin.imports());
    assert!(!plugin.from_cache());
}

#[test]
fn what_is_no_component_is_refused() {
    let module = wat::parse_str("(module)").unwrap();
    assert!(matches!(refused(&module), LoadError::NotAComponent(_)));
    assert!(matches!(refused(b"just text"), LoadError::NotAComponent(_)));
    assert!(matches!(refused(b""), LoadError::NotAComponent(_)));
    let mut broken = echo();
    let middle = broken.len() / 2;
    broken[middle..middle + 40].fill(0xff);
    assert!(matches!(refused(&broken), LoadError::Invalid(_) | LoadError::Truncated { .. }), "{}", refused(&broken));
}

#[test]
fn a_component_cut_anywhere_is_refused() {
    let whole = echo();
    for length in (0..whole.len()).step_by(97) {
        refused(&whole[..length]);
    }
    assert!(matches!(refused(&whole[..whole.len() - 1]), LoadError::Truncated { .. }));
}

#[test]
fn compiled_code_is_refused() {
    let (sandbox, dir) = fresh();
    sandbox.load_bytes(&echo()).unwrap();
    let code = entry(&dir.path().join("cache"), "code");
    assert!(matches!(refused(&fs::read(code).unwrap()), LoadError::Precompiled));
}

#[test]
fn another_world_is_refused_by_its_name() {
    let error = refused(&wat::parse_str("(component)").unwrap());
    assert!(matches!(error, LoadError::WrongWorld(_)));
    says(&error, "it exports nothing; a plugin exports akita:plugin/actions@0.1.0");

    let command = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let error = refused(&wat::parse_str(command).unwrap());
    says(&error, "it exports wasi:cli/run@0.2.0: this is a program with a `main`, not a plugin");
    says(&error, "crate-type = [\"cdylib\"]");
}

#[test]
fn another_version_is_refused_with_both_versions() {
    let component =
        Guest { wit_edits: vec![("@0.1.0", "@0.2.0")], wat_edits: vec![("@0.1.0", "@0.2.0")], ..Guest::default() };
    let error = refused(&component.component());
    assert!(matches!(error, LoadError::WrongWorld(_)));
    says(&error, "it exports akita:plugin/actions@0.2.0; this node speaks akita:plugin@0.1.0");
}

#[test]
fn an_import_of_another_version_is_refused_with_the_fix() {
    let newer = r#"(component (import "akita:plugin/log@0.2.0" (instance)))"#;
    let error = refused(&wat::parse_str(newer).unwrap());
    assert!(matches!(error, LoadError::WrongWorld(_)), "{error}");
    says(&error, "it imports akita:plugin/log@0.2.0; this node speaks akita:plugin@0.1.0");
    says(&error, "build it again with the `wit` folder of this release");
}

#[test]
fn an_import_of_wasi_0_3_is_refused_with_the_fix() {
    let error = refused(&wat::parse_str(r#"(component (import "wasi:cli/stdout@0.3.0" (instance)))"#).unwrap());
    says(&error, "wasi:cli/stdout@0.3.0");
    says(&error, "this node speaks WASI 0.2: build it for the target `wasm32-wasip2`");
}

#[test]
fn an_interface_of_ours_that_does_not_exist_is_told_from_a_grant() {
    let error = refused(&wat::parse_str(r#"(component (import "akita:plugin/camera@0.1.0" (instance)))"#).unwrap());
    assert!(matches!(error, LoadError::NotGranted(_)), "{error}");
    says(&error, "akita:plugin@0.1.0, which this node speaks, has no interface akita:plugin/camera");
}

/// A function that a later 0.1.x adds: the name of the interface fits, and the function is not there.
#[test]
fn a_function_that_this_node_lacks_is_named() {
    let later = r#"(component (import "akita:plugin/task@0.1.0" (instance (export "pause" (func)))))"#;
    let error = refused(&wat::parse_str(later).unwrap());
    assert!(matches!(error, LoadError::WrongWorld(_)), "{error}");
    says(&error, "its types differ from akita:plugin@0.1.0");
    says(&error, "pause");
    says(&error, "build it again with the `wit` folder of this release");
}

#[test]
fn actions_without_run_are_refused_with_the_fix() {
    let component = Guest {
        wit_edits: vec![("@since(version = 0.1.0)\n  run: func(request: request) -> result<content, task-error>;", "")],
        wat_edits: vec![("(export \"akita:plugin/actions@0.1.0#run\")", "")],
        ..Guest::default()
    };
    says(&refused(&component.component()), "it exports akita:plugin/actions without `run`: add `run`");
}

#[test]
fn thousands_of_imports_are_refused_in_a_short_sentence() {
    let cases = [
        (10_000, "nobody:knows", "instances count exceeds limit"),
        (900, "nobody:knows", "and 895 more, which is not granted here"),
        (900, "wasi:io", "its types differ"),
    ];
    for (count, package, words) in cases {
        let import = |n| format!(r#"(import "{package}/i{n}@0.2.0" (instance (export "f" (func)))) "#);
        let imports: String = (0..count).map(import).collect();
        let error = refused(&wat::parse_str(format!("(component {imports})")).unwrap()).to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.len() < 1_200, "{} bytes", error.len());
    }
}

#[test]
fn a_start_function_that_loops_is_ended() {
    let items = "(func $start (loop $forever (br $forever))) (start $start)";
    let component = Guest { wat_items: items.into(), ..Guest::default() }.component();
    let (_, dir) = fresh();
    let mut config = config(dir.path().join("cache"));
    config.describe_limits.timeout = std::time::Duration::from_millis(50);
    let error = Sandbox::new(config).unwrap().load_bytes(&component).unwrap_err();
    assert!(matches!(error, LoadError::DescribeFailed(_)), "{error}");
    says(&error, "time limit");
}

#[test]
fn other_types_under_the_same_name_are_refused() {
    let component =
        Guest { wit_edits: vec![("media type", "media"), ("body: list<u8>", "body: list<s8>")], ..Guest::default() };
    let error = refused(&component.component());
    assert!(matches!(error, LoadError::WrongWorld(_)), "{error}");
    says(&error, "its types differ");
}

#[test]
fn a_plugin_without_describe_is_refused() {
    let component = Guest {
        wit_edits: vec![("@since(version = 0.1.0)\n  describe: func() -> plugin-info;", "")],
        wat_edits: vec![("(export \"akita:plugin/actions@0.1.0#describe\")", "")],
        ..Guest::default()
    };
    assert!(matches!(refused(&component.component()), LoadError::NoDescribe));
}

#[test]
fn a_describe_that_loops_is_ended() {
    let component = Guest { describe: "(loop $forever (br $forever))", ..Guest::default() }.component();
    let (_, dir) = fresh();
    let mut config = config(dir.path().join("cache"));
    config.describe_limits.timeout = std::time::Duration::from_millis(50);
    let error = Sandbox::new(config).unwrap().load_bytes(&component).unwrap_err();
    assert!(matches!(error, LoadError::DescribeFailed(_)));
    says(&error, "time limit");
}

#[test]
fn a_describe_that_traps_or_eats_memory_is_refused() {
    let component = Guest { describe: "(unreachable)", ..Guest::default() }.component();
    says(&refused(&component), "unreachable");
    let bomb = "(loop $more (br_if $more (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)";
    let component = Guest { describe: bomb, ..Guest::default() }.component();
    says(&refused(&component), "memory limit");
}

#[test]
fn a_bad_description_is_refused_with_the_rule() {
    let twice = Guest { actions: vec!["run".into(), "run".into()], ..Guest::default() };
    says(&refused(&twice.component()), "`run` twice");
    let none = Guest { actions: vec![], ..Guest::default() };
    says(&refused(&none.component()), "no actions");
    let name = Guest { name: "Not A Name".into(), ..Guest::default() };
    says(&refused(&name.component()), "lower-case words");
    let schema = Guest { schema: Some("{oops".into()), ..Guest::default() };
    let error = refused(&schema.component());
    assert!(matches!(error, LoadError::BadDescription(_)));
    says(&error, "not JSON");
}

#[test]
fn imports_that_are_not_granted_are_named() {
    let component = Guest {
        packages: vec!["package wasi:keyvalue@0.2.0; interface store { open: func() -> u32; }"],
        wit_imports: "import wasi:keyvalue/store@0.2.0;",
        wat_imports: r#"(import "wasi:keyvalue/store@0.2.0" "open" (func $open (result i32)))"#,
        run: format!("(drop (call $open)) {ECHO}"),
        ..Guest::default()
    };
    let error = refused(&component.component());
    let LoadError::NotGranted(names) = &error else { panic!("{error}") };
    assert_eq!(names, &["wasi:keyvalue/store@0.2.0"]);

    let component = Guest {
        wit_imports: "import kv: interface { get: func() -> u32; }",
        wat_imports: r#"(import "kv" "get" (func $get (result i32)))"#,
        run: format!("(drop (call $get)) {ECHO}"),
        ..Guest::default()
    };
    assert!(matches!(refused(&component.component()), LoadError::NotGranted(_)));
}

#[test]
fn a_file_is_read_with_care() {
    let dir = TempDir::new().unwrap();
    let sandbox = shared();
    let missing = sandbox.load_file(&dir.path().join("missing.wasm")).unwrap_err();
    assert!(matches!(missing, LoadError::Io { .. }));
    assert!(matches!(sandbox.load_file(dir.path()).unwrap_err(), LoadError::NotAFile));
    let huge = dir.path().join("huge.wasm");
    fs::File::create(&huge).unwrap().set_len(65 << 20).unwrap();
    assert!(matches!(sandbox.load_file(&huge).unwrap_err(), LoadError::TooLarge { .. }));
    let good = dir.path().join("good.wasm");
    fs::write(&good, echo()).unwrap();
    sandbox.load_file(&good).unwrap();
}

// The cache.

fn entry(cache: &Path, kind: &str) -> PathBuf {
    let files = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.extension().is_some_and(|found| found == kind)).expect("an entry of that kind")
}

#[test]
fn the_second_start_compiles_nothing_and_describes_nothing() {
    let (first, dir) = fresh();
    let component = running("(unreachable)");
    let plugin = first.load_bytes(&component).unwrap();
    assert!(!plugin.from_cache());
    drop(first);
    let mut config = config(dir.path().join("cache"));
    config.describe_limits.memory_bytes = 0;
    let second = Sandbox::new(config).unwrap().load_bytes(&component).unwrap();
    assert!(second.from_cache());
    assert_eq!(second.info(), plugin.info());
    assert_eq!(second.imports(), plugin.imports());
}

#[test]
fn a_damaged_entry_is_made_again() {
    let (sandbox, dir) = fresh();
    let component = echo();
    sandbox.load_bytes(&component).unwrap();
    for kind in ["code", "note"] {
        let path = entry(&dir.path().join("cache"), kind);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(!sandbox.load_bytes(&component).unwrap().from_cache(), "a changed {kind} counts");
        assert!(sandbox.load_bytes(&component).unwrap().from_cache());
        fs::write(&path, b"").unwrap();
        assert!(!sandbox.load_bytes(&component).unwrap().from_cache(), "an empty {kind} counts");
        fs::remove_file(&path).unwrap();
        assert!(!sandbox.load_bytes(&component).unwrap().from_cache(), "a missing {kind} counts");
    }
}

#[test]
fn an_entry_of_another_plugin_does_not_count() {
    let (sandbox, dir) = fresh();
    let (one, other) = (echo(), running("(unreachable)"));
    sandbox.load_bytes(&one).unwrap();
    let code = entry(&dir.path().join("cache"), "code");
    let compiled = fs::read(&code).unwrap();
    fs::remove_file(&code).unwrap();
    fs::remove_file(code.with_extension("note")).unwrap();
    sandbox.load_bytes(&other).unwrap();
    fs::write(entry(&dir.path().join("cache"), "code"), compiled).unwrap();
    assert!(!sandbox.load_bytes(&other).unwrap().from_cache());
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let (sandbox, dir) = fresh();
    let component = echo();
    sandbox.load_bytes(&component).unwrap();
    let cache = dir.path().join("cache");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);

    let code = entry(&cache, "code");
    fs::set_permissions(&code, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(!sandbox.load_bytes(&component).unwrap().from_cache());

    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Sandbox::new(config(cache.clone())).err().expect("the folder is refused");
    assert!(matches!(error, SandboxError::Cache(CacheError::Unsafe { .. })), "{error}");
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&cache, &link).unwrap();
    assert!(Sandbox::new(config(link)).is_err());
}

#[test]
fn a_cache_that_cannot_be_written_does_not_stop_a_plugin() {
    let (sandbox, dir) = fresh();
    fs::remove_dir_all(dir.path().join("cache")).unwrap();
    assert!(!sandbox.load_bytes(&echo()).unwrap().from_cache());
}

#[test]
fn a_cache_folder_that_cannot_be_made_is_done_without() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"in the way").unwrap();
    let sandbox = Sandbox::new(config(file.join("cache"))).unwrap();
    assert!(!sandbox.load_bytes(&echo()).unwrap().from_cache());
}

#[test]
fn old_entries_are_removed_over_the_limit() {
    let (sandbox, dir) = fresh();
    let cache = dir.path().join("cache");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100_000);
    let left = |name: String| {
        let file = fs::File::create(cache.join(name)).unwrap();
        file.set_modified(old).unwrap();
    };
    for number in 0..1_000 {
        left(format!("{number}.note"));
        left(format!("{number}.code"));
    }
    left("half.code.1.new".into());
    left("orphan.code".into());
    let component = echo();
    sandbox.load_bytes(&component).unwrap();
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2 * 768);
    assert!(sandbox.load_bytes(&component).unwrap().from_cache());
}

#[test]
fn the_oldest_code_is_removed_over_its_size_and_what_is_used_stays_young() {
    let (sandbox, dir) = fresh();
    let cache = dir.path().join("cache");
    let component = echo();
    sandbox.load_bytes(&component).unwrap();
    let age = |path: &Path, days: u64| {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 24 * 3600);
        fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    };
    let kept = entry(&cache, "note");
    age(&kept, 30);
    assert!(sandbox.load_bytes(&component).unwrap().from_cache());
    // Holes, which take no room.
    for (name, days) in [("older", 20), ("old", 10)] {
        fs::File::create(cache.join(format!("{name}.code"))).unwrap().set_len(700 << 20).unwrap();
        fs::write(cache.join(format!("{name}.note")), b"").unwrap();
        age(&cache.join(format!("{name}.note")), days);
    }
    sandbox.load_bytes(&running("(unreachable)")).unwrap();
    let there = |name: &str| cache.join(name).exists();
    assert!(there("old.note") && there("old.code") && !there("older.note") && !there("older.code"));
    assert!(kept.exists() && sandbox.load_bytes(&component).unwrap().from_cache());
}
