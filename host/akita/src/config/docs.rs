//! Renders the table of settings as `docs/config.md`.

use std::fmt::Write as _;

use super::table::{DefaultValue, Kind, SETTINGS, Spec};

const INTRO: &str = "\
# Settings

<!-- Generated from the table of settings: AKITA_BLESS=1 cargo test -p akita docs -->

A node takes each setting from the first place that gives it:

1. an option of `akita start`,
2. the environment, as `AKITA_` and the name,
3. the same variable in a file `.env` in the working folder,
4. a settings file, as the name in lower case: the file given with `--config` or `AKITA_CONFIG`, else `akita.toml` in
   the working folder, else `akita.toml` in the data folder,
5. the default.

An empty variable counts as not set. A name that is no setting is refused, as is a value out of bounds, and the error
names the place. `akita config show` prints every setting in force and where it came from; keys are never printed.
A relative path is relative to the working folder, or to the settings file that names it; `~/` is the home folder.
Lists are separated by commas, or an array in the settings file.

```toml
# akita.toml
default_node_name = \"ridge-1\"
capabilities = [\"gpu\", \"camera\"]
mesh_peer = [\"10.0.0.7:4242\"]
worker_processing_timeout_s = 120
```
";

/// The whole page.
pub fn markdown() -> String {
    let mut page = INTRO.to_owned();
    let mut section = "";
    for spec in SETTINGS {
        if spec.section != section {
            section = spec.section;
            write!(page, "\n## {section}\n\n| setting | default | what it is |\n|---|---|---|\n")
                .expect("writing to a string cannot fail");
        }
        let flag = spec.flag.map(|flag| format!("<br>`{flag}`")).unwrap_or_default();
        let (default, summary) = (default(spec), summary(spec));
        writeln!(page, "| `{}`{flag} | {default} | {summary} |", spec.name).expect("writing to a string cannot fail");
    }
    page
}

fn default(spec: &Spec) -> String {
    match spec.default {
        DefaultValue::Text(text) => format!("`{text}`"),
        DefaultValue::Derived(words) => words.to_owned(),
        DefaultValue::Unset("none") => "none".to_owned(),
        DefaultValue::Unset(words) => format!("not set: {words}"),
    }
}

fn summary(spec: &Spec) -> String {
    let bounds = match spec.kind {
        Kind::Count { min, max } => format!(" A whole number from {min} to {max}."),
        Kind::Seconds { min, max } => format!(" Seconds, from {min} to {max}."),
        Kind::Choice(words) => format!(" One of {}.", words.join(", ")),
        Kind::Switch => " `true` or `false`.".to_owned(),
        Kind::HostPort => " `HOST:PORT`.".to_owned(),
        Kind::HostPorts => " A list of `HOST:PORT`.".to_owned(),
        Kind::Tags | Kind::Keys => " A list.".to_owned(),
        Kind::Name => " 1 to 32 letters, digits, `-`, `_` or `.`.".to_owned(),
        Kind::Header | Kind::Path | Kind::Address | Kind::Secret => String::new(),
    };
    format!("{}{bounds}", spec.summary)
}
