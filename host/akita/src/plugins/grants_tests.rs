//! What the file may say, and who gets what by it.

use std::time::Duration;

use akita_sandbox::Limits;
use proptest::prelude::*;

use super::parse::MAX_LISTED;
use super::*;

const SAMPLE: &str = r#"
[plugin."*"]
timeout_s = 30
memory_mb = 64

[plugin."image-*"]
concurrency = 1
timeout_s = 2.5

[plugin.image-fit]
interfaces = ["kv", "sensors", "log"]
memory_mb = 256
kv_quota_bytes = 4096
"#;

fn parsed(text: &str) -> GrantsFile {
    GrantsFile::parse(FILE_NAME, text).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(text: &str, expect: &str) {
    let error = GrantsFile::parse(FILE_NAME, text).expect_err("it is refused").to_string();
    assert!(error.contains(expect), "`{expect}` is missing in: {error}");
}

#[test]
fn each_key_comes_from_the_most_specific_entry_that_has_it() {
    let file = parsed(SAMPLE);
    let fit = file.of("image-fit");
    assert_eq!(fit.granted().to_string(), "kv, sensors");
    assert_eq!(fit.timeout, Some(Duration::from_millis(2_500)));
    assert_eq!((fit.memory_bytes, fit.concurrency, fit.kv_quota_bytes), (Some(256 << 20), Some(1), Some(4_096)));
    let other = file.of("image-crop");
    assert!(other.granted().is_empty());
    assert_eq!((other.memory_bytes, other.concurrency), (Some(64 << 20), Some(1)));
    let plain = file.of("basics");
    assert_eq!((plain.timeout, plain.concurrency), (Some(Duration::from_secs(30)), None));
    assert_eq!(GrantsFile::default().of("basics"), Terms::default());
}

#[test]
fn a_limit_is_only_ever_lowered() {
    let mut limits = Limits::default();
    let before = limits.clone();
    Terms { timeout: Some(Duration::from_secs(1)), memory_bytes: Some(u64::MAX), ..Terms::default() }.cap(&mut limits);
    assert_eq!(limits, Limits { timeout: Duration::from_secs(1), ..before });
}

#[test]
fn a_fault_is_named_with_its_line_and_what_was_meant() {
    refused("[plugin.a]\n\nintefaces = []", "akita-plugins.toml:3: unknown key `intefaces`: did you mean interfaces?");
    refused("[plugin.a]\ninterfaces = [\"sensor\"]", ":2: unknown interface `sensor`: did you mean sensors?");
    refused("[plugin.a]\ninterfaces = [\"teleport\"]", "interfaces is a list of blobs, http, kv, mesh, sensors, tasks");
    refused("[plugins.a]\nmemory_mb = 1", ":1: unknown key `plugins`: did you mean plugin?");
    refused("[plugin.a]\nmemory_mb = 0", "memory_mb is a whole number from 1 to 4096");
    refused("[plugin.a]\nmemory_mb = 1.5", "memory_mb is a whole number");
    refused("[plugin.a]\ntimeout_s = -1", "timeout_s is a number");
    refused("[plugin.a]\ntimeout_s = nan", "timeout_s is a number");
    refused("[plugin.a]\nconcurrency = \"2\"", "concurrency is a whole number");
    refused("[plugin.\"Two Words\"]\nmemory_mb = 1", ":1: `Two Words` is no plugin's name");
    refused("[plugin]\na = 1", ":2: `plugin.a` is a table");
    refused("plugin = 1", "`plugin` is a table");
    refused("[plugin.a]\nmemory_mb = 1\n[plugin.a]\nmemory_mb = 1", ":3:");
    refused("[plugin.a\n", "akita-plugins.toml:1:");
}

#[test]
fn callers_are_listed_by_plugin_and_by_action() {
    let file = parsed(
        r#"
[plugin."*"]
callers = ["node:01010101010101010101010101010101"]
[plugin.image]
max_children = 10
max_depth = 2
[plugin.image.action.fit]
callers = ["key:0202020202020202", "node:01010101010101010101010101010101"]
[plugin.image.action.wipe]
callers = []
"#,
    );
    let terms = file.of("image");
    assert_eq!((terms.max_children, terms.max_depth), (Some(10), Some(2)));
    let callers = &terms.callers;
    assert_eq!(callers.all.as_ref().map(Vec::len), Some(1));
    assert_eq!((callers.actions["fit"].len(), callers.actions["wipe"].len()), (2, 0));
    refused("[plugin.a]\ncallers = [\"ann\"]", ":2: callers is a list of keys and nodes");
    refused("[plugin.a]\ncallers = \"key:0202020202020202\"", ":2: callers is a list of keys and nodes");
    refused("[plugin.a.action.b]\ncaller = []", ":2: unknown key `caller`: did you mean callers?");
    refused("[plugin.a]\naction = 1", ":2: `action` is a table");
    refused("[plugin.a]\nmax_children = 1001", "max_children is a whole number from 0 to 1000");
    refused("[plugin.a]\nmax_depth = 9", "max_depth is a whole number from 0 to 8");
}

#[test]
fn hosts_are_read_and_one_that_is_none_is_named_with_its_line() {
    let file = parsed("[plugin.a]\nhosts = [\"api.example.org\", \"*.example.net:8080\"]\nblob_quota_bytes = 5_000");
    let terms = file.of("a");
    let hosts: Vec<String> = terms.hosts.iter().flat_map(|hosts| hosts.iter()).map(ToString::to_string).collect();
    assert_eq!((hosts.join(" ").as_str(), terms.blob_quota_bytes), ("api.example.org *.example.net:8080", Some(5_000)));
    refused("[plugin.a]\nhosts = [\n\"a.org\",\n\"https://b.org\"]", ":4: `https://b.org` is no host");
    refused("[plugin.a]\nhosts = \"a.org\"", ":2: hosts is a list of texts");
    let many = vec!["\"a.org\""; MAX_LISTED + 1].join(",");
    refused(&format!("[plugin.a]\nhosts = [{many}]"), "hosts lists at most 64");
}

#[test]
fn the_operators_sensors_and_who_sees_them_are_read() {
    let file = parsed(
        "[sensor.battery]\nfile = \"/sys/b\"\nunit = \"percent\"\n\n[sensor.mast-2]\nfile = \"mast\"\nscale = 0.001\n\
         offset = -1\nevery_s = 60\nmax_age_s = 600\n\n[plugin.\"*\"]\nsensors = [\"battery\"]\n[plugin.all]\nsensors = []",
    );
    let battery = &file.sensors()["battery"];
    assert_eq!((battery.unit.as_str(), battery.scale, battery.every), ("percent", 1.0, Duration::from_secs(10)));
    let mast = &file.sensors()["mast-2"];
    assert_eq!((mast.scale, mast.offset, mast.max_age), (0.001, -1.0, Some(Duration::from_secs(600))));
    let sees = |plugin: &str| file.of(plugin).sensors.map(|names| names.join(","));
    assert_eq!((sees("any"), sees("all")), (Some("battery".into()), Some(String::new())));
    assert_eq!(GrantsFile::default().of("any").sensors, None);

    refused("[sensor.x]\nunit = \"a\"", ":1: sensor.x says no file");
    refused("[sensor.x]\nfile = \"\"", ":2: file is a path");
    refused("[sensor.x]\nfile = \"f\"\nscale = nan", ":3: scale is a number");
    refused("[sensor.x]\nfile = \"f\"\nevery_s = 0", "every_s is a number from 1 to 86400");
    refused("[sensor.x]\nfiel = \"f\"", "unknown key `fiel`: did you mean file?");
    refused("[sensor.X]\nfile = \"f\"", ":1: `X` is no sensor's name");
    refused("[sensor]\nx = 1", "`sensor.x` is a table");
    refused("[sensors.x]\nfile = \"f\"", "unknown key `sensors`: did you mean sensor?");
    refused("[plugin.a]\nsensors = \"cpu\"", "sensors is a list of texts");
    refused("[plugin.a]\nsensors = [\"CPU\"]", "`CPU` is no sensor's name");
    let many: String = (0..=MAX_SENSORS).map(|n| format!("[sensor.s{n}]\nfile = \"f\"\n")).collect();
    refused(&many, "at most 32 sensors");
}

#[test]
fn the_lines_that_are_proposed_grant_what_is_needed() {
    let needs = Grants::NONE.with(Interface::Kv);
    assert_eq!(GrantsFile::default().lines_for("cache", needs), "[plugin.cache]\ninterfaces = [\"kv\"]");
    let http = Grants::NONE.with(Interface::Http);
    assert!(GrantsFile::default().lines_for("web", http).contains("\nhosts = ["), "nobody is reached without hosts");
    let file = parsed("[plugin.\"c*\"]\ninterfaces = [\"sensors\"]");
    assert_eq!(file.lines_for("cache", needs), "[plugin.cache]\ninterfaces = [\"kv\", \"sensors\"]");
}

#[test]
fn a_star_stands_for_any_letters() {
    let matches = |pattern: &str, name: &str| Pattern(pattern.to_owned()).matches(name);
    assert!(matches("*", "a") && matches("a*", "a") && matches("*a", "a") && matches("a*c", "abc"));
    assert!(matches("*b*", "abc") && matches("a**c", "ac") && matches("*a*a*", "aa"));
    assert!(!matches("a", "ab") && !matches("a*", "ba") && !matches("ab*ba", "aba") && !matches("*a*a*", "a"));
}

/// The same by trying everything.
fn matches_slowly(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|skip| matches_slowly(rest, &name[skip..])),
        (Some((a, rest)), Some((b, left))) => a == b && matches_slowly(rest, left),
        _ => false,
    }
}

proptest! {
    #[test]
    fn patterns_match_as_the_slow_way_says(pattern in "[ab*]{1,8}", name in "[ab]{0,8}") {
        let quick = Pattern(pattern.clone()).matches(&name);
        prop_assert_eq!(quick, matches_slowly(pattern.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn no_text_panics_and_what_is_proposed_parses(text in "\\PC{0,200}", name in "[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?") {
        let file = GrantsFile::parse(FILE_NAME, &text).unwrap_or_default();
        let all: Grants = Interface::ALL.into_iter().collect();
        let proposed = parsed(&file.lines_for(&name, all));
        prop_assert_eq!(proposed.of(&name).granted(), all);
    }

    #[test]
    fn an_exact_name_wins_over_every_pattern(stars in "[a-z]{0,3}\\*[a-z]{0,3}", name in "[a-z]{1,6}") {
        let text = format!("[plugin.\"{stars}\"]\nconcurrency = 1\n[plugin.{name}]\nconcurrency = 2\n");
        prop_assert_eq!(parsed(&text).of(&name).concurrency, Some(2));
    }
}
