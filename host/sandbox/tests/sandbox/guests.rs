//! Small guests, written in WebAssembly text and made into components here, so that the sandbox's tests need no other
//! toolchain. The layouts follow the canonical ABI of `wit/`.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the return area lies.
const RETURN: usize = 64;
/// Where texts and the description lie.
const DATA: usize = 1024;
/// Where the guest's bump allocator starts.
const HEAP: usize = 65_536;

/// A guest to be made. Every field has a plain default: an `echo` that gives its input back.
pub struct Guest {
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: &'static str,
    /// Its actions' names.
    pub actions: Vec<String>,
    /// The capabilities that it provides.
    pub provides: Vec<String>,
    /// The input schema of every action.
    pub schema: Option<String>,
    /// Every action reads its input piece by piece.
    pub chunks: bool,
    /// WIT packages beside our own.
    pub packages: Vec<&'static str>,
    /// WIT imports beside `log` and `task`.
    pub wit_imports: &'static str,
    /// Replaced in our own WIT, old by new.
    pub wit_edits: Vec<(&'static str, &'static str)>,
    /// The same for the core module's text.
    pub wat_edits: Vec<(&'static str, &'static str)>,
    /// Imports of the core module beside `log` and `task`.
    pub wat_imports: &'static str,
    /// Functions, globals, tables of the core module.
    pub wat_items: String,
    /// Runs before `describe` returns.
    pub describe: &'static str,
    /// The body of `run`: leaves a pointer to the result. Locals 0-7 are the request's strings and lists.
    pub run: String,
    /// Pages of memory at the start.
    pub pages: usize,
}

impl Default for Guest {
    fn default() -> Guest {
        Guest {
            name: "guest".into(),
            version: "0.1.0",
            actions: vec!["run".into()],
            provides: vec![],
            schema: None,
            chunks: false,
            packages: vec![],
            wit_imports: "",
            wit_edits: vec![],
            wat_edits: vec![],
            wat_imports: "",
            wat_items: String::new(),
            describe: "",
            run: ECHO.into(),
            pages: 2,
        }
    }
}

/// Gives the input back with its media type.
pub const ECHO: &str = "(call $ok (local.get 2) (local.get 3) (local.get 4) (local.get 5))";

/// A guest whose `run` is this text.
pub fn running(run: impl Into<String>) -> Vec<u8> {
    Guest { run: run.into(), ..Guest::default() }.component()
}

/// The interface of another package.
const IMAGING: &str = "package acme:imaging@1.2.0;
    interface resize {
      record size { width: u32, height: option<u32> }
      variant problem { not-an-image, too-large(u32) }
      fit: func(image: list<u8>, into: size) -> result<list<u8>, problem>;
      twice: func(x: u32) -> u32;
      spin: func();
      crash: func() -> string;
    }";

/// What its functions do, after the canonical ABI. `fit` gives the image back; a width of 0 and one over 1000 are its errors.
const FUNCTIONS: &str = r#"
  (func (export "acme:imaging/resize@1.2.0#fit") (param i32 i32 i32 i32 i32) (result i32)
    (if (i32.eqz (local.get 2)) (then
      (i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 260) (i32.const 0))
      (return (i32.const 256))))
    (if (i32.gt_u (local.get 2) (i32.const 1000)) (then
      (i32.store8 (i32.const 256) (i32.const 1)) (i32.store8 (i32.const 260) (i32.const 1))
      (i32.store (i32.const 264) (local.get 2))
      (return (i32.const 256))))
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (local.get 0))
    (i32.store (i32.const 264) (local.get 1))
    (i32.const 256))
  (func (export "acme:imaging/resize@1.2.0#twice") (param i32) (result i32)
    (i32.mul (local.get 0) (i32.const 2)))
  (func (export "acme:imaging/resize@1.2.0#spin") (loop $forever (br $forever)))
  (func (export "acme:imaging/resize@1.2.0#crash") (result i32) (unreachable))"#;

/// A plugin with `actions` and that interface.
pub fn resizer() -> Guest {
    Guest {
        packages: vec![IMAGING],
        wit_edits: vec![("export actions; }", "export actions; export acme:imaging/resize@1.2.0; }")],
        wat_items: FUNCTIONS.into(),
        ..Guest::default()
    }
}

/// The plain echo.
pub fn echo() -> Vec<u8> {
    Guest::default().component()
}

/// Sleeps through a WASI pollable.
pub fn sleeper(nanoseconds: u64) -> Vec<u8> {
    Guest {
        packages: vec![
            "package wasi:io@0.2.0; interface poll { resource pollable { block: func(); } }",
            "package wasi:clocks@0.2.0; interface monotonic-clock { use wasi:io/poll@0.2.0.{pollable}; \
             subscribe-duration: func(when: u64) -> pollable; }",
        ],
        wit_imports: "import wasi:clocks/monotonic-clock@0.2.0;",
        wat_imports: r#"
            (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
            (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))"#,
        run: format!("(call $block (call $timer (i64.const {nanoseconds}))) {ECHO}"),
        ..Guest::default()
    }
    .component()
}

/// Keeps its input under one key of `kv` and gives what it kept before; `E` and the error's number if it cannot.
pub fn swapper(name: &str) -> Guest {
    Guest {
        name: name.into(),
        wit_imports: "import kv;",
        wat_imports: r#"
            (import "akita:plugin/kv@0.1.0" "get" (func $get (param i32 i32 i32)))
            (import "akita:plugin/kv@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32 i64 i32)))"#,
        run: "(i32.store8 (i32.const 512) (i32.const 107))
            (call $get (i32.const 512) (i32.const 1) (i32.const 256))
            (call $put (i32.const 512) (i32.const 1) (local.get 4) (local.get 5) (i32.const 0) (i64.const 0)
              (i32.const 320))
            (if (i32.load8_u (i32.const 320)) (then
              (i32.store8 (i32.const 600) (i32.const 69))
              (i32.store8 (i32.const 601) (i32.add (i32.const 48) (i32.load8_u (i32.const 328))))
              (return (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 2)))))
            (if (i32.eqz (i32.load8_u (i32.const 264))) (then
              (return (call $ok (local.get 2) (local.get 3) (i32.const 600) (i32.const 0)))))
            (call $ok (local.get 2) (local.get 3) (i32.load (i32.const 272)) (i32.load (i32.const 276)))"
            .into(),
        ..Guest::default()
    }
}

/// Reads the sensor that its input names: the value as it lies in memory, eight bytes, or the error's number.
pub fn reader(name: &str) -> Guest {
    Guest {
        name: name.into(),
        wit_imports: "import sensors;",
        wat_imports: r#"(import "akita:plugin/sensors@0.1.0" "read" (func $read (param i32 i32 i32)))"#,
        run: "(call $read (local.get 4) (local.get 5) (i32.const 256))
            (if (i32.load8_u (i32.const 256)) (then
              (return (call $ok (local.get 2) (local.get 3) (i32.const 264) (i32.const 1)))))
            (call $ok (local.get 2) (local.get 3) (i32.const 272) (i32.const 8))"
            .into(),
        ..Guest::default()
    }
}

impl Guest {
    /// The component's bytes.
    pub fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        for (index, package) in self.packages.iter().enumerate() {
            resolve.push_source(&format!("extra{index}.wit"), package).expect("the extra package parses");
        }
        let package = resolve.push_source("akita.wit", &self.wit()).expect("our WIT parses");
        let world = resolve.select_world(&[package], Some("guest")).expect("the world is there");
        let mut module = wat::parse_str(self.wat()).expect("the text parses");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata fits");
        ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(|encoder| encoder.encode())
            .unwrap_or_else(|error| panic!("the guest does not encode: {error:#}"))
    }

    /// Our own WIT as one text, with a world for this guest.
    fn wit(&self) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut text = String::from("package akita:plugin@0.1.0;\n");
        for file in ["types", "log", "task", "blobs", "kv", "mesh", "sensors", "tasks", "actions"] {
            let part = std::fs::read_to_string(folder.join(format!("{file}.wit"))).expect("the WIT is there");
            text.push_str(&part.replace("package akita:plugin@0.1.0;", ""));
        }
        let imports = self.wit_imports;
        writeln!(text, "world guest {{ import log; import task; {imports} export actions; }}").expect("fits");
        self.wit_edits.iter().fold(text, |text, (old, new)| text.replace(old, new))
    }

    fn wat(&self) -> String {
        let (data, info) = self.data();
        let data: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let Guest { wat_imports, wat_items, describe, run, pages, .. } = self;
        let text = format!(
            r#"(module
  (import "akita:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32 i32 i32)))
  (import "akita:plugin/task@0.1.0" "is-cancelled" (func $cancelled (result i32)))
  (import "akita:plugin/task@0.1.0" "remaining-ms" (func $remaining (result i64)))
  (import "akita:plugin/task@0.1.0" "attempt" (func $attempt (result i32)))
  (import "akita:plugin/task@0.1.0" "progress" (func $progress (param i64 i32 i64 i32 i32)))
  (import "akita:plugin/task@0.1.0" "emit" (func $emit (param i32 i32 i32)))
  {wat_imports}
  (memory (export "memory") {pages})
  (global $top (mut i32) (i32.const {HEAP}))
  (data (i32.const {DATA}) "{data}")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32) (local $short i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.set $short (i32.sub (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $short) (i32.const 0))
      (then (if (i32.eq (i32.const -1) (memory.grow (i32.add (i32.const 1)
        (i32.div_u (local.get $short) (i32.const 65536))))) (then (unreachable)))))
    (local.get $at))
  (func $ok (param i32 i32 i32 i32) (result i32)
    (i32.store8 (i32.const {RETURN}) (i32.const 0))
    (i32.store offset=8 (i32.const {RETURN}) (local.get 0))
    (i32.store offset=12 (i32.const {RETURN}) (local.get 1))
    (i32.store offset=16 (i32.const {RETURN}) (local.get 2))
    (i32.store offset=20 (i32.const {RETURN}) (local.get 3))
    (i32.const {RETURN}))
  (func $err (param $case i32) (param i32 i32) (result i32)
    (memory.fill (i32.const {RETURN}) (i32.const 0) (i32.const 64))
    (i32.store8 (i32.const {RETURN}) (i32.const 1))
    (i32.store8 offset=8 (i32.const {RETURN}) (local.get $case))
    (i32.store offset=16 (i32.const {RETURN}) (local.get 1))
    (i32.store offset=20 (i32.const {RETURN}) (local.get 2))
    (i32.const {RETURN}))
  {wat_items}
  (func (export "akita:plugin/actions@0.1.0#describe") (result i32) {describe} (i32.const {info}))
  (func (export "akita:plugin/actions@0.1.0#run") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {run})
)"#
        );
        self.wat_edits.iter().fold(text, |text, (old, new)| text.replace(old, new))
    }

    /// The description as it lies in memory, and where it starts.
    fn data(&self) -> (Vec<u8>, usize) {
        let mut data = Data::default();
        let (name, version, summary) = (data.text(&self.name), data.text(self.version), data.text("a guest for tests"));
        let schema = self.schema.as_ref().map(|schema| data.text(schema));
        let names: Vec<_> = self.actions.iter().map(|action| data.text(action)).collect();
        let provides: Vec<_> = self.provides.iter().map(|one| data.text(one)).collect();
        let annotation = self.chunks.then(|| (data.text("input"), data.text("chunks")));
        data.align();
        let annotations = (data.at(), usize::from(annotation.is_some()));
        if let Some((key, value)) = annotation {
            data.pair(key);
            data.pair(value);
        }
        let actions_at = data.at();
        for action in &names {
            data.pair(*action);
            data.pair(summary);
            data.word(u32::from(schema.is_some()));
            data.pair(schema.unwrap_or_default());
            // No output schema; idempotent and deterministic; no hint; no requirements.
            for word in [0, 0, 0, 0x0101, 0, 0, 0, 0] {
                data.word(word);
            }
            data.pair(annotations);
        }
        let provides_at = data.at();
        for one in &provides {
            data.pair(*one);
        }
        let info = data.at();
        for pair in [name, version, summary, (actions_at, names.len()), (provides_at, provides.len()), (0, 0)] {
            data.pair(pair);
        }
        (data.0, info)
    }
}

#[derive(Default)]
struct Data(Vec<u8>);

impl Data {
    fn at(&self) -> usize {
        DATA + self.0.len()
    }

    fn text(&mut self, text: &str) -> (usize, usize) {
        let at = self.at();
        self.0.extend_from_slice(text.as_bytes());
        (at, text.len())
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn word(&mut self, word: u32) {
        self.0.extend_from_slice(&word.to_le_bytes());
    }

    fn pair(&mut self, (first, second): (usize, usize)) {
        self.word(u32::try_from(first).expect("small"));
        self.word(u32::try_from(second).expect("small"));
    }
}
