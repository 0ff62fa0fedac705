//! What a plugin says of itself, in plain types, and the rules that it must keep. It never runs a guest.

use serde::{Deserialize, Serialize};

/// Longest name of a plugin or an action: `plugin/action` stays within 128 bytes, which travel in every assignment.
pub(crate) const MAX_NAME_BYTES: usize = 63;
/// Longest version.
const MAX_VERSION_BYTES: usize = 64;
/// Longest summary: one line.
pub(crate) const MAX_SUMMARY_BYTES: usize = 300;
/// Most actions of one plugin: they are announced to every node.
const MAX_ACTIONS: usize = 64;
/// Most capabilities that a plugin provides or an action requires.
const MAX_CAPABILITIES: usize = 16;
/// Longest capability.
const MAX_CAPABILITY_BYTES: usize = 64;
/// Longest schema, in bytes of JSON.
pub(crate) const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// Most annotations in one place.
const MAX_ANNOTATIONS: usize = 32;
/// Longest key or value of an annotation.
const MAX_ANNOTATION_BYTES: usize = 1_024;

/// What a plugin says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Lower-case words joined by `-`; the first part of `plugin/action`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// What it can do; at least one.
    pub actions: Vec<ActionInfo>,
    /// Capabilities that a node gains by having it.
    pub provides: Vec<String>,
    /// For what a later host may understand.
    pub annotations: Vec<(String, String)>,
}

/// One thing that a plugin can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionInfo {
    /// Lower-case words joined by `-`, unique within the plugin.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// JSON Schema (2020-12) of the input, if it is JSON.
    pub input_schema: Option<String>,
    /// JSON Schema (2020-12) of the output, if it is JSON.
    pub output_schema: Option<String>,
    /// Running it twice does no more than running it once.
    pub idempotent: bool,
    /// The same input gives the same output, bit for bit, in deterministic mode.
    pub deterministic: bool,
    /// How long one run usually takes, in milliseconds.
    pub typical_ms: Option<u32>,
    /// Capabilities that a node must have to run it.
    pub requires: Vec<String>,
    /// For what a later host may understand.
    pub annotations: Vec<(String, String)>,
}

impl PluginInfo {
    /// The action of that name.
    #[must_use]
    pub fn action(&self, name: &str) -> Option<&ActionInfo> {
        self.actions.iter().find(|action| action.name == name)
    }

    /// Checks what the plugin said. What schemas mean is looked at where they are
    /// compiled (see `check`).
    ///
    /// # Errors
    /// The first rule that is broken, in words for the plugin's author.
    pub fn check(&self) -> Result<(), String> {
        check_name("the plugin's name", &self.name)?;
        check_version(&self.version)?;
        check_line("the plugin's summary", &self.summary)?;
        check_capabilities("provides", &self.provides)?;
        check_annotations("the plugin", &self.annotations)?;
        if self.actions.is_empty() {
            return Err("it has no actions: list at least one".to_owned());
        }
        if self.actions.len() > MAX_ACTIONS {
            return Err(format!("it has {} actions; {MAX_ACTIONS} is the most", self.actions.len()));
        }
        for (index, action) in self.actions.iter().enumerate() {
            action.check().map_err(|reason| format!("action `{}`: {reason}", shown(&action.name)))?;
            if self.actions[..index].iter().any(|other| other.name == action.name) {
                return Err(format!("it lists the action `{}` twice", action.name));
            }
        }
        Ok(())
    }
}

impl ActionInfo {
    /// Whether it reads its input piece by piece, with `task.read-input`: the annotation `input` = `chunks`.
    #[must_use]
    pub fn reads_in_chunks(&self) -> bool {
        self.annotations.iter().any(|(key, value)| key == "input" && value == "chunks")
    }

    fn check(&self) -> Result<(), String> {
        check_name("its name", &self.name)?;
        check_line("its summary", &self.summary)?;
        check_schema("input schema", self.input_schema.as_deref())?;
        check_schema("output schema", self.output_schema.as_deref())?;
        check_capabilities("requires", &self.requires)?;
        check_annotations("it", &self.annotations)
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_NAME_BYTES).flat_map(char::escape_debug).collect()
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let starts_well = name.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
    if name.len() <= MAX_NAME_BYTES && starts_well && name.split('-').all(word) {
        return Ok(());
    }
    let rule = format!("use lower-case words joined by `-`, up to {MAX_NAME_BYTES} letters, such as `fit-image`");
    Err(format!("{what} is `{}`: {rule}", shown(name)))
}

/// `major.minor.patch`, perhaps with `-pre` and `+build`.
fn check_version(version: &str) -> Result<(), String> {
    if version.len() <= MAX_VERSION_BYTES && semver::Version::parse(version).is_ok() {
        return Ok(());
    }
    Err(format!("its version is `{}`: use a semantic version, such as `1.0.0`", shown(version)))
}

fn check_line(what: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_SUMMARY_BYTES {
        return Err(format!("{what} has {} bytes; {MAX_SUMMARY_BYTES} is the most", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{what} has a line break or another control character: use one line"));
    }
    Ok(())
}

fn check_capabilities(what: &str, list: &[String]) -> Result<(), String> {
    if list.len() > MAX_CAPABILITIES {
        return Err(format!("`{what}` lists {} capabilities; {MAX_CAPABILITIES} is the most", list.len()));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    let good = |one: &String| !one.is_empty() && one.len() <= MAX_CAPABILITY_BYTES && one.bytes().all(allowed);
    match list.iter().find(|one| !good(one)) {
        None => Ok(()),
        Some(bad) => Err(format!(
            "`{what}` lists `{}`: use up to {MAX_CAPABILITY_BYTES} letters, digits, `-`, `_`, `.`, `:` and `/`",
            shown(bad)
        )),
    }
}

fn check_schema(what: &str, schema: Option<&str>) -> Result<(), String> {
    let Some(schema) = schema else { return Ok(()) };
    if schema.len() > MAX_SCHEMA_BYTES {
        return Err(format!("its {what} has {} bytes; {MAX_SCHEMA_BYTES} is the most", schema.len()));
    }
    match serde_json::from_str::<serde_json::Value>(schema) {
        Ok(serde_json::Value::Object(_) | serde_json::Value::Bool(_)) => Ok(()),
        Ok(_) => Err(format!("its {what} is JSON but no JSON Schema: use an object, or leave it out")),
        Err(error) => Err(format!("its {what} is not JSON ({error})")),
    }
}

fn check_annotations(what: &str, list: &[(String, String)]) -> Result<(), String> {
    let too_long = |(key, value): &(String, String)| key.len().max(value.len()) > MAX_ANNOTATION_BYTES;
    if list.len() > MAX_ANNOTATIONS || list.iter().any(too_long) {
        return Err(format!(
            "{what} has too many or too long annotations; {MAX_ANNOTATIONS} of {MAX_ANNOTATION_BYTES} bytes is the most"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> PluginInfo {
        let action = ActionInfo {
            name: "echo".into(),
            summary: "gives its input back".into(),
            input_schema: Some("{}".into()),
            output_schema: None,
            idempotent: true,
            deterministic: true,
            typical_ms: Some(1),
            requires: vec!["gpu".into()],
            annotations: vec![],
        };
        PluginInfo {
            name: "basics".into(),
            version: "0.1.0".into(),
            summary: "echo and log".into(),
            actions: vec![action],
            provides: vec!["radio:868".into()],
            annotations: vec![],
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut PluginInfo), expect: &str) {
        let mut info = info();
        change(&mut info);
        let error = info.check().unwrap_err();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn a_good_description_passes() {
        info().check().unwrap();
        let mut pre = info();
        pre.version = "1.2.3-beta.1+build".into();
        pre.check().unwrap();
    }

    #[test]
    fn broken_rules_are_named() {
        refused(|info| info.name = "Bad Name".into(), "lower-case words");
        refused(|info| info.name = "a/b".into(), "lower-case words");
        refused(|info| info.name = String::new(), "lower-case words");
        refused(|info| info.name = "a".repeat(64), "lower-case words");
        refused(|info| info.version = "one".into(), "semantic version");
        refused(|info| info.version = "1.2".into(), "semantic version");
        refused(|info| info.summary = "x".repeat(400), "400 bytes");
        refused(|info| info.summary = "a\nb".into(), "one line");
        refused(|info| info.actions.clear(), "no actions");
        refused(|info| info.actions.push(info.actions[0].clone()), "`echo` twice");
        refused(|info| info.actions[0].name = "-".into(), "lower-case words");
        refused(|info| info.actions[0].input_schema = Some("{".into()), "not JSON");
        refused(|info| info.actions[0].output_schema = Some("3".into()), "no JSON Schema");
        refused(|info| info.actions[0].requires = vec!["two words".into()], "`requires`");
        refused(|info| info.provides = vec!["x".into(); 17], "17 capabilities");
        refused(|info| info.annotations = vec![("k".into(), "v".repeat(2000))], "annotations");
    }
}
