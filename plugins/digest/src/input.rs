//! Which bytes are meant: text, encoded bytes inside JSON, or the body itself. It computes no fingerprint.

use akita_plugin::prelude::*;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::Value;

/// What every action takes, if the input is JSON. Any other content type is taken as it is.
pub const SCHEMA: &str = r#"{
"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,
"minProperties":1,"maxProperties":1,
"properties":{
"text":{"type":"string","description":"Its UTF-8 bytes"},
"base64":{"type":"string","contentEncoding":"base64","description":"With padding"},
"hex":{"type":"string","pattern":"^([0-9a-fA-F]{2})*$"}}}"#;

/// The bytes that the submitter means.
pub fn bytes(content_type: &str, body: Vec<u8>) -> Result<Vec<u8>, TaskError> {
    // Parameters such as a charset change nothing here.
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Ok(body);
    }
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| TaskError::invalid(format!("the input is not JSON: {error}")).code("not-json"))?;
    let only = value.as_object().filter(|object| object.len() == 1).and_then(|object| object.iter().next());
    let Some((key, Value::String(text))) = only else {
        return Err(unclear());
    };
    match key.as_str() {
        "text" => Ok(text.clone().into_bytes()),
        "base64" => {
            let decoded = BASE64.decode(text.as_bytes());
            decoded.map_err(|error| {
                TaskError::invalid(format!("`base64` does not decode: {error}")).code("bad-base64").pointer("/base64")
            })
        }
        "hex" => {
            let decoded = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
            decoded.map_err(|error| {
                TaskError::invalid(format!("`hex` does not decode: {error}")).code("bad-hex").pointer("/hex")
            })
        }
        _ => Err(unclear()),
    }
}

fn unclear() -> TaskError {
    let message = "give exactly one of `text`, `base64` and `hex`, as text; or send the bytes with another content type than JSON";
    TaskError::invalid(message).code("unclear-input")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Result<Vec<u8>, TaskError> {
        bytes("application/json; charset=utf-8", text.as_bytes().to_vec())
    }

    #[test]
    fn the_same_bytes_in_every_form() {
        for input in [r#"{"text":"abc"}"#, r#"{"base64":"YWJj"}"#, r#"{"hex":"616263"}"#, r#"{"hex":"61626 3"}"#] {
            let expected = if input.contains(' ') { None } else { Some(b"abc".to_vec()) };
            assert_eq!(json(input).ok(), expected, "{input}");
        }
        assert_eq!(bytes("text/plain", b"{}".to_vec()).unwrap(), b"{}");
    }

    #[test]
    fn faults_say_where() {
        for (input, code, pointer) in [
            ("nonsense", "not-json", None),
            ("{}", "unclear-input", None),
            ("[1]", "unclear-input", None),
            (r#"{"text":"a","hex":"61"}"#, "unclear-input", None),
            (r#"{"text":5}"#, "unclear-input", None),
            (r#"{"base64":"YWJ"}"#, "bad-base64", Some("/base64")),
            (r#"{"hex":"6"}"#, "bad-hex", Some("/hex")),
        ] {
            let error = json(input).unwrap_err();
            let failure = error.failure().unwrap();
            assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some(code), pointer), "{error:?}");
        }
    }
}
