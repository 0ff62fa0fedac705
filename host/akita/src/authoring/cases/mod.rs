//! The file of test cases: what it may say, and what it means. It is read strictly, since a case that is not what its author
//! thinks tests nothing. How an outcome is compared is in `check`.

mod check;
mod form;

use std::path::Path;

use akita_sandbox::{Content, FailureKind, Grants, Limits};
use serde_json::Value;

pub use check::problems;
pub use form::media_type;

/// Largest file: a case is for people to read, and a large input belongs into a file of its own.
const MAX_BYTES: u64 = 4 << 20;
/// Most cases of one file: they run one after the other.
const MAX_CASES: usize = 1_000;

/// One run, and what has to come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The action, with or without the plugin's name.
    pub action: String,
    /// What it gets.
    pub input: Content,
    /// What has to come.
    pub expect: Expect,
    /// What the run may use.
    pub limits: Limits,
    /// What the plugin is granted.
    pub grants: Grants,
    /// Values of `kv` that are there before.
    pub kv: Vec<(String, Vec<u8>)>,
}

/// What has to come of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// This JSON, and nothing beside it. Numbers may be off by so much.
    Json(Value, f64),
    /// JSON in which this is contained. Numbers may be off by so much.
    Contains(Value, f64),
    /// These bytes; of this media type, where one is given.
    Bytes(Vec<u8>, Option<String>),
    /// An output that has this text in it.
    Text(String),
    /// A failure.
    Failure(Wanted),
}

/// What a failure has to be. What is not given may be anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What kind it is.
    pub kind: Option<FailureKind>,
    /// The plugin's word.
    pub code: Option<String>,
    /// Where in the input the fault lies.
    pub pointer: Option<String>,
    /// What the message has in it.
    pub message: Option<String>,
}

/// Reads a file of cases. Files that it names lie in its own folder or below.
///
/// # Errors
/// What is wrong, with the line where that is known.
pub fn read(path: &Path) -> Result<Vec<Case>, String> {
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it has {size} bytes; {MAX_BYTES} is the most: keep large inputs in files of their own"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text, path.parent().unwrap_or(Path::new(".")))
}

/// The cases of a file's text; `folder` is where the files lie that it names.
fn parse(text: &str, folder: &Path) -> Result<Vec<Case>, String> {
    let cases = form::parse(text, folder)?;
    if cases.is_empty() {
        return Err("it has no cases: begin one with [[case]]".to_owned());
    }
    if cases.len() > MAX_CASES {
        return Err(format!("it has {} cases; {MAX_CASES} is the most", cases.len()));
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn one(text: &str) -> Case {
        let mut cases = parse(text, Path::new("/nowhere")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(cases.len(), 1);
        cases.remove(0)
    }

    fn refused(text: &str) -> String {
        parse(text, Path::new("/nowhere")).expect_err(text)
    }

    #[test]
    fn a_case_says_what_goes_in_and_what_comes_out() {
        let case = one(
            "[[case]]\nname = 'a'\naction = 'x/greet'\ninput = { name = 'Ada', n = [1, 2.5] }\noutput = { ok = true }",
        );
        assert_eq!(case.input.content_type, "application/json");
        let input: Value = serde_json::from_slice(&case.input.body).expect("JSON");
        assert_eq!(input, json!({"name": "Ada", "n": [1, 2.5]}));
        assert_eq!(case.expect, Expect::Json(json!({"ok": true}), 0.0));
        assert_eq!((case.limits.timeout, case.grants), (Duration::from_secs(60), Grants::NONE));
    }

    #[test]
    fn inputs_have_many_forms() {
        let input = |line: &str| one(&format!("[[case]]\nname='a'\naction='b'\n{line}\ncontains = {{}}")).input;
        assert_eq!(input("").body, b"{}");
        assert_eq!(input("input_json = '{\"a\": null}'").body, b"{\"a\": null}");
        let text = input("input_text = 'hello'");
        assert_eq!((text.content_type.as_str(), text.body.as_slice()), ("text/plain; charset=utf-8", &b"hello"[..]));
        let bytes = input("input_base64 = '/w=='\ncontent_type = 'image/png'");
        assert_eq!((bytes.content_type.as_str(), bytes.body.as_slice()), ("image/png", &[0xff][..]));
    }

    #[test]
    fn limits_grants_and_values_are_the_cases_own() {
        let case = one(
            "[[case]]\nname='a'\naction='b'\ntimeout_s = 0.5\nmemory_mb = 8\noutput_bytes = 10\ngrants = ['kv']\nkv = { k = 'v' }\nerror = { kind = 'time-limit' }",
        );
        assert_eq!((case.limits.timeout, case.limits.memory_bytes), (Duration::from_millis(500), 8 << 20));
        assert_eq!((case.limits.output_bytes, case.grants.to_string().as_str()), (10, "kv"));
        assert_eq!(case.kv, [("k".to_owned(), b"v".to_vec())]);
        let wanted = Wanted { kind: Some(FailureKind::TimeLimit), ..Wanted::default() };
        assert_eq!(case.expect, Expect::Failure(wanted));
    }

    #[test]
    fn a_file_is_read_from_beside_the_cases() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("in.json"), "[1]").expect("a file");
        let text = "[[case]]\nname='a'\naction='b'\ninput_file='in.json'\noutput_text='x'";
        let case = parse(text, dir.path()).expect("a case").remove(0);
        assert_eq!((case.input.content_type.as_str(), case.input.body.as_slice()), ("application/json", &b"[1]"[..]));
        let away = text.replace("in.json", "../in.json");
        assert!(parse(&away, dir.path()).expect_err("outside").contains("beside the cases or below"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = refused("[[case]]\nname = 'a'\nactoin = 'b'\n");
        assert!(error.contains("line 3") && error.contains("actoin"), "{error}");
        let error = refused("[[case]]\nname = 'a'\naction = 'b'\noutput = 1\n\n[[case]]\nname = 'c'\naction = 'b'\n");
        assert!(error.contains("line 6") && error.contains("`c`") && error.contains("expects nothing"), "{error}");
        let error = refused("[[case]]\nname='a'\naction='b'\noutput=1\nerror={}");
        assert!(error.contains("`output` and `error`"), "{error}");
        let error = refused("[[case]]\nname='a'\naction='b'\ninput=1\ninput_text='x'\noutput=1");
        assert!(error.contains("`input` and `input_text`"), "{error}");
        for (line, expect) in [
            ("error = { kind = 'bad' }", "`bad` is no kind"),
            ("error = {}", "any failure would do"),
            ("error = { knd = 'trap' }", "knd"),
            ("output = 1\ngrants = ['disk']", "`disk` is no interface"),
            ("output = 1\ntimeout_s = -1", "timeout_s"),
            ("output = 1\nmemory_mb = 0", "memory_mb"),
            ("output_base64 = '*'", "output_base64"),
            ("output_json = '{'", "output_json"),
            ("output = 1\ninput = nan", "not a number of JSON"),
            ("output_text = 'a'\ntolerance = 0.1", "tolerance"),
        ] {
            let error = refused(&format!("[[case]]\nname='a'\naction='b'\n{line}"));
            assert!(error.contains(expect), "{line}: {error}");
        }
        assert!(refused("").contains("no cases"));
        assert!(
            refused("[[case]]\nname='a'\naction='b'\noutput=1\n[[case]]\nname='a'\naction='b'\noutput=1")
                .contains("twice")
        );
    }
}
