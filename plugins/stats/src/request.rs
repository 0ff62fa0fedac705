//! The input as JSON, whatever it was sent as. It does not know what the actions want of it.

use akita_plugin::TaskError;
use serde_json::{Value, json};

use crate::fault;

/// Reads JSON, or wraps CSV that was sent as it is into `{"csv": ...}`.
pub fn parse(content_type: &str, body: Vec<u8>) -> Result<Value, TaskError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" => {
            let value: Value = serde_json::from_slice(&body)
                .map_err(|error| fault::input("not-json", "", format!("the input is not JSON: {error}")))?;
            if value.is_object() {
                return Ok(value);
            }
            Err(fault::input("not-an-object", "", "the input must be a JSON object with `csv`"))
        }
        "text/csv" | "text/plain" => {
            let text = String::from_utf8(body).map_err(|_| fault::input("not-utf8", "", "the CSV must be UTF-8"))?;
            Ok(json!({ "csv": text }))
        }
        other => {
            let message = format!("`{other}` is no input for this action: send JSON with `csv`, or text/csv itself");
            Err(fault::input("bad-content-type", "", message))
        }
    }
}

/// The text under `key`, which has to be there.
pub fn text<'a>(input: &'a Value, key: &str) -> Result<&'a str, TaskError> {
    let found = input.get(key).and_then(Value::as_str);
    found.ok_or_else(|| fault::input("missing", &format!("/{key}"), format!("`{key}` must be there and be text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_taken_bare_or_in_json() {
        let bare = parse("text/csv; charset=utf-8", b"a\n1\n".to_vec()).unwrap();
        assert_eq!(bare, parse("application/json", br#"{"csv":"a\n1\n"}"#.to_vec()).unwrap());
        assert_eq!(text(&bare, "csv").unwrap(), "a\n1\n");
    }

    #[test]
    fn faults_have_codes() {
        assert_eq!(fault::told(&parse("application/json", b"x".to_vec()).unwrap_err()).0, Some("not-json"));
        assert_eq!(fault::told(&parse("application/json", b"1".to_vec()).unwrap_err()).0, Some("not-an-object"));
        assert_eq!(fault::told(&parse("text/csv", vec![0xff]).unwrap_err()).0, Some("not-utf8"));
        assert_eq!(fault::told(&parse("image/png", Vec::new()).unwrap_err()).0, Some("bad-content-type"));
        assert_eq!(fault::told(&text(&json!({}), "csv").unwrap_err()).1, Some("/csv"));
    }
}
