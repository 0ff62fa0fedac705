//! C: bindings made from the project's world, `zig cc` or clang with wasi-libc for the core module, and the component made
//! of it here. Zig comes as a package of PyPI: installed into the project's `.venv` only where no compiler is found.

use std::fs;
use std::path::Path;

use wasi_preview1_component_adapter_provider as adapter;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::{Resolve, ResolveError};
use wit_component::ComponentEncoder;

use super::{Options, Project, Workshop, made};
use crate::exit::{ExitCode, ExitError};

/// Names zig: a path, or a command line such as `python3 -m ziglang`.
const TOOL: &str = "AKITA_ZIG";
/// What PyPI knows it by, and the version that this was tried with.
const PACKAGE: &str = "ziglang==0.17.1";
/// Its module in Python.
const MODULE: &str = "ziglang";
/// Where it is installed.
const VENV: &str = ".venv";
/// The author's files.
const SOURCES: &str = "src";
/// The project's world, with the contract in its `deps`.
const WIT: &str = "wit";
/// What is made from the world; of no worth to keep.
const BINDINGS: &str = "bindings";
/// Deepest folder of sources: links may lead in circles.
const MAX_DEPTH: usize = 8;
/// Like Akita's own plugins in Rust: zeroing a larger stack costs every run.
const STACK_BYTES: u32 = 64 << 10;
/// Where Debian's wasi-libc is, and where its package puts clang's part for this target.
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

/// A compiler for WebAssembly.
#[derive(Debug, PartialEq, Eq)]
enum Compiler {
    /// `zig cc`, which has its own C library.
    Zig(Vec<String>),
    /// Clang with wasi-libc.
    Clang(Vec<String>),
}

pub fn build(project: &Project, shop: &mut Workshop<'_>, options: Options) -> Result<Vec<u8>, ExitError> {
    super::expect_part(project, WIT)?;
    let bindings = project.root.join(BINDINGS);
    let made_files = bind(&project.root.join(WIT), &bindings)?;
    let mut sources = Vec::new();
    collect(&project.root, Path::new(SOURCES), 0, &mut sources)?;
    sources.sort();
    let made_sources = made_files.into_iter().filter(|name| !name.ends_with(".h"));
    sources.extend(made_sources.map(|name| format!("{BINDINGS}/{name}")));
    let scratch = super::scratch()?;
    let output = scratch.path().join("core.wasm");
    let (mut words, is_zig) = match compiler(project, shop)? {
        Compiler::Zig(words) => ([words, vec!["cc".to_owned()]].concat(), true),
        Compiler::Clang(words) => (words, false),
    };
    words.extend(flags(options, is_zig));
    words.extend(more(shop, "CFLAGS"));
    words.extend(sources);
    words.extend(more(shop, "LDFLAGS"));
    words.extend(["-o".to_owned(), super::utf8(&output)?]);
    let mut command = shop.command(&words);
    command.current_dir(&project.root);
    shop.run(command, "mend what the compiler names above, then build again")?;
    encode(&made(&output)?)
}

/// The compiler's words that do not depend on the project.
fn flags(options: Options, is_zig: bool) -> Vec<String> {
    let mut flags = vec!["-mexec-model=reactor", "-std=c17", "-Wall", "-Wextra", "-Isrc", "-Ibindings"];
    flags.splice(0..0, if is_zig { ["-target", "wasm32-wasi"] } else { ["--target=wasm32-wasi", "--sysroot=/usr"] });
    // The names of functions are worth their bytes only to who debugs; link-time optimisation takes out what nobody calls.
    flags.extend(if options.debug { ["-O1", "-g"] } else { ["-Os", "-flto"] });
    let mut flags: Vec<String> = flags.into_iter().map(str::to_owned).collect();
    if !options.debug {
        flags.push("-Wl,--strip-all".to_owned());
    }
    flags.push(format!("-Wl,-z,stack-size={STACK_BYTES}"));
    flags
}

/// What the author adds through a variable of the environment.
fn more(shop: &Workshop<'_>, variable: &str) -> Vec<String> {
    shop.variable(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Makes the bindings and answers their files. What is as it was is not written: the compiler's cache then knows it.
fn bind(wit: &Path, folder: &Path) -> Result<Vec<String>, ExitError> {
    let wrong = |error: anyhow::Error| {
        ExitError::new(
            ExitCode::TaskFailed,
            format!("the world in {} does not hold together: {error:#}", wit.display()),
        )
        .hint("mend wit/world.wit; the contract is in wit/deps/akita-plugin")
    };
    let mut resolve = Resolve::default();
    let pushed = resolve.push_dir(wit);
    let (package, _) = pushed.map_err(|error| match error.downcast_ref::<ResolveError>() {
        Some(place) => wrong(anyhow::Error::msg(place.render(&resolve.source_map))),
        None => wrong(error),
    })?;
    let world = resolve.select_world(&[package], None).map_err(wrong)?;
    let mut files = Files::default();
    let options = wit_bindgen_c::Opts { rename_world: Some("component".to_owned()), ..Default::default() };
    options.build().generate(&mut resolve, world, &mut files).map_err(wrong)?;
    let failed = |error| ExitError::config(format!("cannot write {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut names = Vec::new();
    for (name, bytes) in files.iter() {
        let path = folder.join(name);
        if fs::read(&path).map_or(true, |old| old != bytes) {
            fs::write(&path, bytes).map_err(failed)?;
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// All C files below a folder, by their paths within the project.
fn collect(root: &Path, folder: &Path, depth: usize, found: &mut Vec<String>) -> Result<(), ExitError> {
    let failed = |error| ExitError::config(format!("cannot read {}: {error}", root.join(folder).display()));
    for entry in fs::read_dir(root.join(folder)).map_err(failed)? {
        let path = folder.join(entry.map_err(failed)?.file_name());
        if root.join(&path).is_dir() && depth < MAX_DEPTH {
            collect(root, &path, depth + 1, found)?;
        } else if path.extension().is_some_and(|kind| kind == "c") {
            found.push(super::utf8(&path)?);
        }
    }
    Ok(())
}

/// The component of a core module. What the module does not import, the component does not either.
fn encode(module: &[u8]) -> Result<Vec<u8>, ExitError> {
    let (name, bytes) = (adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true);
    let encoded = encoder.module(module).and_then(|encoder| encoder.adapter(name, bytes));
    let encoded = encoded.and_then(|encoder| encoder.encode());
    encoded.map_err(|error| {
        ExitError::new(ExitCode::TaskFailed, format!("what was compiled does not make a component: {error:#}"))
            .hint("the functions that the world exports have to be there; bindings/component.h declares them")
    })
}

/// The compiler to use: the one that is named, that is installed, that the project has, or that the project is given.
fn compiler(project: &Project, shop: &mut Workshop<'_>) -> Result<Compiler, ExitError> {
    if let Some(words) = shop.named(TOOL) {
        return Ok(Compiler::Zig(words));
    }
    if shop.find("zig").is_some() {
        return Ok(Compiler::Zig(vec!["zig".to_owned()]));
    }
    let python = project.root.join(VENV).join("bin/python");
    let own = super::utf8(&python)?;
    for python in [own.as_str(), "python3"] {
        let probe = format!("import {MODULE}");
        if shop.ask(&[python, "-c", &probe], &project.root).is_some() {
            return Ok(zig_of(python));
        }
    }
    if let Some(words) = clang(shop) {
        return Ok(Compiler::Clang(words));
    }
    install(project, shop)?;
    Ok(zig_of(&own))
}

fn zig_of(python: &str) -> Compiler {
    Compiler::Zig([python, "-m", MODULE].map(str::to_owned).to_vec())
}

/// Clang, where the parts for WebAssembly are there too: its linker, and the C library.
fn clang(shop: &Workshop<'_>) -> Option<Vec<String>> {
    let ready = shop.find("clang").is_some() && shop.find("wasm-ld").is_some() && Path::new(WASI_LIBC).is_dir();
    ready.then(|| vec!["clang".to_owned()])
}

/// Puts zig into the project's own environment. One that is not whole is not left.
fn install(project: &Project, shop: &mut Workshop<'_>) -> Result<(), ExitError> {
    if shop.find("python3").is_none() {
        return Err(ExitError::config("there is no C compiler for WebAssembly, and no `python3` to install one with")
            .hint(format!(
                "install zig (https://ziglang.org), or clang with lld and wasi-libc, or set {TOOL} to where zig is"
            )));
    }
    let venv = project.root.join(VENV);
    let fresh = !venv.exists();
    shop.say(&format!("pip installs the C compiler {PACKAGE} into {VENV}: about 100 MB, once"));
    let made = if fresh { make_venv(project, shop) } else { Ok(()) };
    let installed = made.and_then(|()| {
        let python = super::utf8(&venv.join("bin/python"))?;
        let words = [&python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
        let mut pip = shop.command(&words.map(str::to_owned));
        pip.current_dir(&project.root);
        shop.run(pip, &format!("see that PyPI can be reached, or install zig, or set {TOOL} to where it is"))
    });
    if installed.is_err() && fresh {
        let _ = fs::remove_dir_all(venv);
    }
    installed
}

fn make_venv(project: &Project, shop: &mut Workshop<'_>) -> Result<(), ExitError> {
    let mut make = shop.command(&["python3", "-m", "venv", VENV].map(str::to_owned));
    make.current_dir(&project.root);
    shop.run(make, "install Python's venv module (Debian: apt-get install python3-venv), or zig, then build again")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{machine, program, project};
    use super::*;
    use crate::authoring::Language;

    const FILES: &[(&str, &str)] = &[
        ("src/plugin.c", ""),
        ("src/more/b.c", ""),
        ("src/a.h", ""),
        ("wit/world.wit", "package local:p;\nworld any { export hello: func() -> u32; }"),
    ];

    #[test]
    fn the_compiler_that_is_named_comes_first_and_the_projects_own_before_pythons() {
        let (dir, project) = project(Language::C, FILES);
        let (_bin, mut shop) = machine(&[(TOOL, "my zig")], &["zig"], "exit 0");
        let found = compiler(&project, &mut shop).expect("it is named");
        assert_eq!(found, Compiler::Zig(vec!["my".into(), "zig".into()]));
        let (_bin, mut shop) = machine(&[], &["zig", "python3"], "exit 0");
        assert_eq!(compiler(&project, &mut shop).expect("it is there"), Compiler::Zig(vec!["zig".into()]));
        let (_bin, mut shop) = machine(&[], &["python3"], "exit 0");
        assert_eq!(compiler(&project, &mut shop).expect("a module"), zig_of("python3"));
        program(&dir.path().join(".venv/bin/python"), "exit 0");
        let own = project.root.join(".venv/bin/python");
        let found = compiler(&project, &mut shop).expect("its own");
        assert_eq!(found, zig_of(own.to_str().expect("a path")));
    }

    #[test]
    fn zig_is_installed_where_no_compiler_is() {
        let (dir, project) = project(Language::C, FILES);
        let (_bin, mut shop) = machine(&[], &[], "");
        let error = compiler(&project, &mut shop).expect_err("nothing is there");
        assert!(error.to_string().contains("no C compiler for WebAssembly"), "{error}");
        // This python has no module, and makes environments in which pip works.
        let script = "[ \"$2\" = venv ] || exit 1; mkdir -p .venv/bin; printf '#!/bin/sh\\nexit 0\\n' > .venv/bin/python; chmod 755 .venv/bin/python";
        let (_bin, mut shop) = machine(&[], &["python3"], script);
        compiler(&project, &mut shop).expect("it is installed");
        assert!(dir.path().join(".venv/bin/python").is_file());
    }

    #[test]
    fn an_environment_that_is_not_whole_is_not_left() {
        let (dir, project) = project(Language::C, FILES);
        let script = "[ \"$2\" = venv ] && mkdir -p .venv; exit 1";
        let (_bin, mut shop) = machine(&[], &["python3"], script);
        assert!(compiler(&project, &mut shop).is_err());
        assert!(!dir.path().join(".venv").exists());
    }

    #[test]
    fn every_source_is_compiled_with_the_bindings_of_the_world() {
        let (dir, project) = project(Language::C, FILES);
        let (bin, mut shop) = machine(&[(TOOL, "{bin}/zig")], &["zig"], r#"echo "$@" > "$0.words"; exit 1"#);
        assert!(build(&project, &mut shop, Options::default()).is_err());
        let words = fs::read_to_string(bin.path().join("zig.words")).expect("it was called");
        for word in ["cc ", "src/more/b.c src/plugin.c", "bindings/component.c", "component_component_type.o", "-flto"]
        {
            assert!(words.contains(word), "no {word} in {words}");
        }
        assert!(!words.contains(".h "), "{words}");
        assert!(dir.path().join("bindings/component.h").is_file());
    }

    #[test]
    fn a_world_that_does_not_hold_together_is_told_with_its_place() {
        let (dir, project) = project(Language::C, FILES);
        fs::write(dir.path().join("wit/world.wit"), "package local:p;\nworld any { import no:such/thing; }")
            .expect("it");
        let (_bin, mut shop) = machine(&[(TOOL, "zig")], &[], "");
        let error = build(&project, &mut shop, Options::default()).expect_err("no such package");
        assert!(error.to_string().contains("world.wit") && error.to_string().contains("no:such"), "{error}");
    }

    #[test]
    fn what_is_no_module_is_no_component() {
        assert!(encode(b"nothing").expect_err("no module").to_string().contains("does not make a component"));
    }
}
