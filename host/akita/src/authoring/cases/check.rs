//! Compares what came with what had to come. JSON is compared as JSON, and each difference is told with its place.

use akita_sandbox::{Content, Failure, Outcome};
use serde_json::Value;

use super::{Expect, Wanted};

/// Differences that are told of one case: what is behind them is seen as well from these.
const MAX_PROBLEMS: usize = 8;
/// Letters of a value that are shown.
const SHOWN: usize = 120;

/// What is wrong with an outcome, in lines; none if it is what had to come.
#[must_use]
pub fn problems(expect: &Expect, outcome: &Outcome) -> Vec<String> {
    let mut found = match (expect, outcome) {
        (Expect::Failure(wanted), Err(failure)) => of_failure(wanted, failure),
        (Expect::Failure(wanted), Ok(content)) => {
            vec![format!("expected a failure{}", named(wanted)), format!("got {}", described(content))]
        }
        (_, Err(failure)) => vec!["expected an output".to_owned(), format!("got {}", told(failure))],
        (Expect::Json(wanted, tolerance), Ok(content)) => of_json(wanted, content, *tolerance, false),
        (Expect::Contains(wanted, tolerance), Ok(content)) => of_json(wanted, content, *tolerance, true),
        (Expect::Bytes(wanted, kind), Ok(content)) => of_bytes(wanted, kind.as_deref(), content),
        (Expect::Text(wanted), Ok(content)) => {
            let has = String::from_utf8_lossy(&content.body).contains(wanted.as_str());
            if has {
                Vec::new()
            } else {
                vec![format!("expected text with `{wanted}` in it"), format!("got {}", described(content))]
            }
        }
    };
    if found.len() > MAX_PROBLEMS {
        let more = found.len() - MAX_PROBLEMS;
        found.truncate(MAX_PROBLEMS);
        found.push(format!("and {more} more"));
    }
    found
}

fn of_failure(wanted: &Wanted, failure: &Failure) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, wanted: Option<&str>, got: Option<&str>| {
        if wanted.is_some() && wanted != got {
            found.push(format!("{what}: expected `{}`, got {}", wanted.unwrap_or_default(), quoted(got)));
        }
    };
    compare("kind", wanted.kind.map(|kind| kind.as_str()), Some(failure.kind.as_str()));
    compare("code", wanted.code.as_deref(), failure.code.as_deref());
    compare("pointer", wanted.pointer.as_deref(), failure.pointer.as_deref());
    if let Some(words) = wanted.message.as_ref().filter(|words| !failure.message.contains(words.as_str())) {
        found.push(format!("message: expected `{words}` in it"));
    }
    if !found.is_empty() {
        found.push(format!("got {}", told(failure)));
    }
    found
}

fn of_json(wanted: &Value, content: &Content, tolerance: f64, only_contained: bool) -> Vec<String> {
    let Ok(got) = serde_json::from_slice::<Value>(&content.body) else {
        return vec!["expected JSON".to_owned(), format!("got {}", described(content))];
    };
    let mut comparison = Comparison { tolerance, only_contained, found: Vec::new() };
    comparison.compare(wanted, &got, &mut String::new());
    comparison.found
}

struct Comparison {
    tolerance: f64,
    only_contained: bool,
    found: Vec<String>,
}

impl Comparison {
    fn compare(&mut self, wanted: &Value, got: &Value, at: &mut String) {
        match (wanted, got) {
            (Value::Object(wanted), Value::Object(got)) => {
                for (name, value) in wanted {
                    match got.get(name) {
                        Some(other) => self.below(at, name, |this, at| this.compare(value, other, at)),
                        None => self
                            .below(at, name, |this, at| this.tell(at, &format!("missing, expected {}", short(value)))),
                    }
                }
                let more = got.iter().filter(|(name, _)| !self.only_contained && !wanted.contains_key(*name));
                for (name, value) in more.collect::<Vec<_>>() {
                    self.below(at, name, |this, at| this.tell(at, &format!("not expected, got {}", short(value))));
                }
            }
            (Value::Array(wanted), Value::Array(got)) => {
                if wanted.len() != got.len() {
                    self.tell(at, &format!("expected {} items, got {}", wanted.len(), got.len()));
                }
                for (index, (value, other)) in wanted.iter().zip(got).enumerate() {
                    self.below(at, &index.to_string(), |this, at| this.compare(value, other, at));
                }
            }
            _ if self.same(wanted, got) => {}
            _ => self.tell(at, &format!("expected {}, got {}", short(wanted), short(got))),
        }
    }

    /// 1 and 1.0 are one number in JSON.
    fn same(&self, wanted: &Value, got: &Value) -> bool {
        let near = |a: f64, b: f64| a == b || (a - b).abs() <= self.tolerance;
        match (wanted.as_f64(), got.as_f64()) {
            // Whole numbers beyond what a float holds differ by less than it shows.
            (Some(_), Some(_)) if wanted.is_i64() && got.is_i64() && self.tolerance == 0.0 => wanted == got,
            (Some(a), Some(b)) => near(a, b),
            _ => wanted == got,
        }
    }

    fn below(&mut self, at: &mut String, name: &str, work: impl FnOnce(&mut Self, &mut String)) {
        let length = at.len();
        at.push('/');
        // As in a JSON pointer.
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        work(self, at);
        at.truncate(length);
    }

    fn tell(&mut self, at: &str, what: &str) {
        self.found.push(if at.is_empty() { what.to_owned() } else { format!("{at}: {what}") });
    }
}

fn of_bytes(wanted: &[u8], kind: Option<&str>, content: &Content) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(kind) = kind.filter(|kind| *kind != content.content_type) {
        found.push(format!("media type: expected `{kind}`, got `{}`", content.content_type));
    }
    if wanted != content.body {
        let first = wanted.iter().zip(&content.body).take_while(|(a, b)| a == b).count();
        match (std::str::from_utf8(wanted), std::str::from_utf8(&content.body)) {
            (Ok(wanted), Ok(got)) => {
                found.push(format!("expected `{}`", cut(wanted)));
                found.push(format!("got      `{}`", cut(got)));
            }
            _ => found.push(format!("expected {} bytes, got {}", wanted.len(), described(content))),
        }
        found.push(format!("they differ from byte {first} on"));
    }
    found
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"))
}

fn named(wanted: &Wanted) -> String {
    let words = [wanted.kind.map(|kind| kind.as_str()), wanted.code.as_deref(), wanted.message.as_deref()];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(", ")) }
}

/// A failure on one line.
fn told(failure: &Failure) -> String {
    let code = failure.code.as_ref().map(|code| format!(", code `{code}`")).unwrap_or_default();
    let pointer = failure.pointer.as_ref().map(|pointer| format!(", at `{pointer}`")).unwrap_or_default();
    format!("the failure {}: {}{code}{pointer}", failure.kind, failure.message)
}

/// An output on one line.
fn described(content: &Content) -> String {
    let kind = &content.content_type;
    match std::str::from_utf8(&content.body) {
        Ok(text) => format!("{} ({kind})", cut(text)),
        Err(_) => format!("{} bytes ({kind})", content.body.len()),
    }
}

fn short(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN { text.to_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use akita_sandbox::FailureKind;
    use serde_json::json;

    fn json_of(value: Value) -> Outcome {
        Ok(Content { content_type: "application/json".into(), body: value.to_string().into_bytes() })
    }

    fn failure() -> Failure {
        let failure = Failure::new(FailureKind::InvalidInput, "`name` is missing");
        Failure { code: Some("bad-input".into()), pointer: Some(String::new()), ..failure }
    }

    #[test]
    fn json_is_compared_as_json_and_differences_have_a_place() {
        let wanted = Expect::Json(json!({"a": 1, "b": {"c/d": [1, 2]}}), 0.0);
        assert!(problems(&wanted, &json_of(json!({"b": {"c/d": [1, 2.0]}, "a": 1.0}))).is_empty());
        let got = problems(&wanted, &json_of(json!({"b": {"c/d": [1, 3, 4]}, "x": null})));
        assert_eq!(
            got,
            [
                "/a: missing, expected 1",
                "/b/c~1d: expected 2 items, got 3",
                "/b/c~1d/1: expected 2, got 3",
                "/x: not expected, got null",
            ]
        );
        assert_eq!(problems(&wanted, &json_of(json!([])))[0], "expected {\"a\":1,\"b\":{\"c/d\":[1,2]}}, got []");
        let large = Expect::Json(json!(9_007_199_254_740_993_i64), 0.0);
        assert_eq!(problems(&large, &json_of(json!(9_007_199_254_740_992_i64))).len(), 1);
    }

    #[test]
    fn a_part_is_enough_where_a_part_is_asked_for() {
        let wanted = Expect::Contains(json!({"a": {"b": 1.0}}), 0.01);
        assert!(problems(&wanted, &json_of(json!({"a": {"b": 1.005, "c": 2}, "d": 3}))).is_empty());
        assert_eq!(problems(&wanted, &json_of(json!({"a": {"b": 1.02}}))), ["/a/b: expected 1.0, got 1.02"]);
    }

    #[test]
    fn bytes_are_compared_with_their_type() {
        let content = Content { content_type: "text/plain".into(), body: b"hello".to_vec() };
        assert!(problems(&Expect::Bytes(b"hello".to_vec(), None), &Ok(content.clone())).is_empty());
        let got = problems(&Expect::Bytes(b"help".to_vec(), Some("text/csv".into())), &Ok(content.clone()));
        assert_eq!(got[0], "media type: expected `text/csv`, got `text/plain`");
        assert_eq!(got[3], "they differ from byte 3 on");
        assert!(problems(&Expect::Text("ell".into()), &Ok(content.clone())).is_empty());
        assert_eq!(problems(&Expect::Text("x".into()), &Ok(content)).len(), 2);
    }

    #[test]
    fn failures_are_compared_in_what_is_given() {
        let wanted = |wanted: Wanted| problems(&Expect::Failure(wanted), &Err(failure()));
        let missing = Some("is missing".to_owned());
        assert!(wanted(Wanted { message: missing, pointer: Some(String::new()), ..Wanted::default() }).is_empty());
        let got = wanted(Wanted { kind: Some(FailureKind::Trap), code: Some("x".into()), ..Wanted::default() });
        assert_eq!(got[0], "kind: expected `trap`, got `invalid-input`");
        assert_eq!(got[1], "code: expected `x`, got `bad-input`");
        assert_eq!(got[2], "got the failure invalid-input: `name` is missing, code `bad-input`, at ``");
        let output = problems(&Expect::Json(json!(1), 0.0), &Err(failure()));
        assert_eq!(output[0], "expected an output");
        let none = Expect::Failure(Wanted { code: Some("x".into()), ..Wanted::default() });
        assert_eq!(problems(&none, &json_of(json!(1))), ["expected a failure: x", "got 1 (application/json)"]);
    }

    #[test]
    fn many_differences_are_counted() {
        let wanted = Expect::Json(json!((0..20).collect::<Vec<_>>()), 0.0);
        let got = problems(&wanted, &json_of(json!((1..21).collect::<Vec<_>>())));
        assert_eq!((got.len(), got[8].as_str()), (9, "and 12 more"));
    }
}
