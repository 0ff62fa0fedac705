//! The commands of a plugin's author, as they are typed and without any node: projects are written, components run and
//! tested, and what goes wrong names its cause. The builds with real compilers are the tutorial's.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    harness::{Out, PATIENCE},
    prepare::plugins,
};

/// A machine of an author: a folder, and no node anywhere.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        let desk = Desk(tempfile::tempdir().expect("a temporary folder"));
        fs::copy(plugins().join("basics.wasm"), desk.path("basics.wasm")).expect("a component to try");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_akita"));
        command.env_clear().env("HOME", self.0.path()).env("PATH", "/usr/bin:/bin").current_dir(self.0.path());
        command.arg("plugin").args(args).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Out {
        let output = self.command(args).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program speaks UTF-8");
        Out { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// A project in JavaScript whose compiler gives the component of `basics` and can be told to fail.
    fn project_with_a_compiler(&self) -> PathBuf {
        self.run(&["new", "basics", "--lang", "js"]).expect(0);
        let compiler = "#!/bin/sh\nPATH=/usr/bin:/bin\ngrep -q BROKEN src/plugin.js && { echo 'line 1: BROKEN' >&2; exit 1; }\n\
            while [ $# -gt 0 ]; do [ \"$1\" = --output ] && out=$2; shift; done\ncp ../basics.wasm \"$out\"\n";
        self.write("compiler", compiler);
        let compiler = self.path("compiler");
        fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).expect("a program");
        self.write("basics/sample.json", r#"{"action": "basics/echo", "input": {"n": 1}}"#);
        compiler
    }
}

#[test]
fn a_project_is_written_once_and_under_a_name_that_can_be_one() {
    let desk = Desk::new();
    for language in ["rust", "c", "js", "python"] {
        let name = format!("tide-{language}");
        let shown = desk.run(&["new", &name, "--lang", language]).expect(0).stdout;
        assert!(shown.contains(&format!("cd {name}\n")) && shown.contains("akita plugin build"), "{shown}");
        assert!(desk.path(&name).join("README.md").is_file());
        let again = desk.run(&["new", &name, "--lang", language]).expect(2).stderr;
        assert!(again.contains("is there already") && again.contains("hint:"), "{again}");
    }
    let error = desk.run(&["new", "Tide Table", "--lang", "c"]).expect(2).stderr;
    assert!(error.contains("hint: such as: tide-table"), "{error}");
    let error = desk.run(&["new", "tide", "--lang", "cobol"]).expect(2).stderr;
    assert!(error.contains("rust, c, js, python"), "{error}");
    assert!(!desk.path("tide").exists());
}

#[test]
fn an_action_runs_without_a_node() {
    let desk = Desk::new();
    let echo = desk.run(&["run", "basics.wasm", "echo", "--input", r#"{"n":1}"#]).expect(0);
    assert_eq!(echo.stdout, "{\"n\":1}\n");
    desk.write("in.bin", "\u{0}\u{1}ü");
    let bytes = ["run", "basics.wasm", "basics/echo", "--input-file", "in.bin", "--save", "out.bin"];
    desk.run(&bytes).expect(0);
    assert_eq!(fs::read(desk.path("in.bin")).expect("in"), fs::read(desk.path("out.bin")).expect("out"));
    let told = desk.run(&["run", "basics.wasm", "log", "--input", r#"{"message":"hi","level":"warn"}"#]).expect(0);
    assert!(told.stderr.contains("warn") && told.stderr.contains("hi"), "{}", told.stderr);
    let failed = desk.run(&["run", "basics.wasm", "log", "--input", "{}", "-o", "json"]);
    assert_ne!(failed.code, 0);
    assert_eq!(failed.json()["error"]["kind"], "invalid-input");
    let error = desk.run(&["run", "basics.wasm", "ehco"]).expect(2).stderr;
    assert!(error.contains("did you mean `echo`?"), "{error}");
    let error = desk.run(&["run", "basics.wasm", "echo", "--input", "{n:1}"]).expect(2).stderr;
    assert!(error.contains("the input is not JSON"), "{error}");
    let refused = desk.run(&["run", "in.bin", "echo"]);
    assert!(refused.code != 0 && refused.stderr.contains("is no plugin for a node"), "{}", refused.stderr);
}

#[test]
fn a_run_that_does_not_end_is_ended() {
    let desk = Desk::new();
    let faulty = plugins().join("faulty.wasm");
    let faulty = faulty.to_str().expect("a path");
    let out = desk.run(&["run", faulty, "loop", "--timeout", "0.2"]);
    assert_ne!(out.code, 0);
    assert!(out.stderr.contains("time-limit") && out.stderr.contains("--timeout"), "{}", out.stderr);
}

#[test]
fn cases_pass_or_fail_with_the_difference() {
    let desk = Desk::new();
    let good = "[[case]]\nname = 'same'\naction = 'echo'\ninput = { n = 1 }\noutput = { n = 1 }\n";
    desk.write("cases.toml", good);
    let out = desk.run(&["test", "basics.wasm"]).expect(0).stdout;
    assert!(out.contains("1 case passed, 0 failed"), "{out}");
    let bad = "[[case]]\nname = 'other'\naction = 'echo'\ninput = { n = 1 }\noutput = { n = 2 }\n\
        [[case]]\nname = 'fails'\naction = 'log'\ninput = {}\nerror = { code = 'bad-level' }\n";
    desk.write("more.toml", &format!("{good}{bad}"));
    let out = desk.run(&["test", "basics.wasm", "--cases", "more.toml", "-o", "json"]);
    assert_ne!(out.code, 0);
    let report = out.json();
    assert_eq!((&report["passed"], &report["failed"]), (&json!(1), &json!(2)));
    let problem = |index: usize| report["cases"][index]["problems"].to_string();
    assert!(problem(1).contains("/n") && problem(2).contains("bad-level"), "{report:#}");
    desk.write("wrong.toml", "[[case]]\nname = 'a'\naction = 'echo'\noutptu = 1\n");
    let error = desk.run(&["test", "basics.wasm", "--cases", "wrong.toml"]);
    assert!(error.code != 0 && error.stderr.contains("line 4") && error.stderr.contains("outptu"), "{}", error.stderr);
}

#[test]
fn a_build_that_cannot_be_says_what_is_missing() {
    let desk = Desk::new();
    desk.write("empty/readme", "");
    let error = desk.run(&["build", "empty"]);
    assert!(error.code != 0 && error.stderr.contains("akita plugin new NAME --lang"), "{}", error.stderr);
    desk.run(&["new", "tide", "--lang", "js"]).expect(0);
    let bare = desk.command(&["build", "tide"]).env("PATH", "").output().expect("it starts");
    let error = String::from_utf8_lossy(&bare.stderr);
    assert!(!bare.status.success() && error.contains("`npm` is not installed"), "{error}");
    assert!(!desk.path("tide/tide.wasm").exists());
}

#[test]
fn a_build_installs_what_a_node_would_take() {
    let desk = Desk::new();
    let compiler = desk.project_with_a_compiler();
    fs::create_dir(desk.path("plugins")).expect("a folder");
    let build = |args: &[&str]| {
        let output = desk.command(args).env("AKITA_COMPONENTIZE_QJS", &compiler).output().expect("it starts");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (built, shown) = build(&["build", "basics", "--into", "plugins", "-o", "json"]);
    let reply: Value = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
    assert!(built && reply["plugin"]["name"] == "basics", "{reply:#}");
    assert_eq!(fs::read(desk.path("plugins/basics.wasm")).ok(), fs::read(desk.path("basics.wasm")).ok());
    // What compiles and is no plugin is not installed over one that is.
    fs::write(desk.path("basics.wasm"), b"\0asm\x0d\0\x01\0").expect("an empty component");
    let (built, _) = build(&["build", "basics", "--into", "plugins"]);
    assert!(!built);
    assert!(fs::metadata(desk.path("plugins/basics.wasm")).expect("it is there").len() > 100);
}

/// What a process says, line by line.
fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    let stderr = BufReader::new(child.stderr.take().expect("it was piped"));
    thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

fn wait_for(lines: &Receiver<String>, what: &str) {
    let mut said = String::new();
    loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(what) => return,
            Ok(line) => said.push_str(&format!("{line}\n")),
            Err(_) => panic!("`{what}` was not said after:\n{said}"),
        }
    }
}

#[test]
fn a_project_is_built_and_run_again_whenever_it_changes() {
    let desk = Desk::new();
    let compiler = desk.project_with_a_compiler();
    let mut command = desk.command(&["dev", "basics"]);
    command.env("AKITA_COMPONENTIZE_QJS", &compiler).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let said = lines(&mut child);
    wait_for(&said, "waiting for a change");
    break_and_mend(&desk, &said);
    desk.write("basics/sample.json", r#"{"action": "basics/echo", "input": {"n": 2}}"#);
    wait_for(&said, "waiting for a change");
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
    wait_for(&said, "stopped");
    assert!(child.wait().expect("it ends").success());
    let mut shown = String::new();
    child.stdout.take().expect("it was piped").read_to_string(&mut shown).expect("text");
    assert!(shown.contains("\"n\": 1") && shown.contains("\"n\": 2"), "{shown}");
}

/// A mistake is told, and the round after it works again.
fn break_and_mend(desk: &Desk, said: &Receiver<String>) {
    let source = "basics/src/plugin.js";
    let whole = fs::read_to_string(desk.path(source)).expect("a source");
    desk.write(source, "BROKEN");
    wait_for(said, "line 1: BROKEN");
    wait_for(said, "waiting for a change");
    desk.write(source, &whole);
    wait_for(said, "built");
    wait_for(said, "waiting for a change");
}

/// What the project holds is checked as a plugin's author would: by its own cases.
#[test]
fn the_plugins_that_come_along_pass_their_cases() {
    let desk = Desk::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let mut tried = 0;
    for entry in fs::read_dir(plugins()).expect("plugins").flatten() {
        let cases = sources.join(entry.path().file_stem().expect("a name")).join("cases.toml");
        if cases.is_file() {
            let (component, cases) = (entry.path(), cases.display().to_string());
            desk.run(&["test", &component.display().to_string(), "--cases", &cases]).expect(0);
            tried += 1;
        }
    }
    assert!(tried > 0, "no plugin has cases");
}
