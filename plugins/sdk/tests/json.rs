//! The JSON reader and writer against a general library, and the places that errors name.

use std::collections::BTreeMap;

use akita_plugin::{Base64, TaskError, json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const DOCUMENTS: [&str; 24] = [
    "null",
    " true ",
    "0",
    "-0.0",
    "1e3",
    "123456789012345678",
    "-9223372036854775808",
    "1.7976931348623157e308",
    r#""""#,
    r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é😀""#,
    "[]",
    "[ 1 , [ 2 , [ ] ] ]",
    "{}",
    r#"{"a":{"b":[1,2.5,{"c":null}]},"d":"e"}"#,
    // And none of these is JSON.
    "",
    "01",
    "1.",
    "-",
    "[1,]",
    r#"{"a":1,}"#,
    r#"{"a" 1}"#,
    r#""\ud83d""#,
    "\"\n\"",
    "[1] 2",
];

#[test]
fn documents_are_read_as_a_general_library_reads_them() {
    for document in DOCUMENTS {
        let ours = json::from_slice::<Value>(document.as_bytes());
        let theirs = serde_json::from_str::<Value>(document);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "{document}");
                let written = json::to_string(&ours).unwrap();
                assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), theirs, "{written}");
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("{document}: {ours:?} and {theirs:?}"),
        }
    }
}

/// A small generator of its own, so that a failure comes back with the same numbers.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn broken_documents_never_panic_and_are_judged_alike() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let mut bytes = DOCUMENTS[numbers.next() as usize % DOCUMENTS.len()].as_bytes().to_vec();
        for _ in 0..=numbers.next() % 3 {
            let letters = b"{}[]\",:\\u0e-. 1tn\x00\xc3";
            let letter = letters[numbers.next() as usize % letters.len()];
            let place = numbers.next() as usize % (bytes.len() + 1);
            if numbers.next().is_multiple_of(2) || place == bytes.len() {
                bytes.insert(place, letter);
            } else {
                bytes[place] = letter;
            }
        }
        let (ours, theirs) = (json::from_slice::<Value>(&bytes), serde_json::from_slice::<Value>(&bytes));
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}: {ours:?} and {theirs:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    for open in ["[", r#"{"a":"#] {
        assert!(json::from_slice::<Value>(open.repeat(100_000).as_bytes()).is_err());
        assert!(json::from_slice::<serde::de::IgnoredAny>(open.repeat(100_000).as_bytes()).is_err());
    }
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Order {
    id: u8,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Part {
    #[serde(rename = "kind/of")]
    kind: Kind,
    weight: f64,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Plain,
    WithSize(u32),
    Boxed { width: u32 },
    Pair(i8, i8),
}

#[test]
fn types_go_there_and_back() {
    let order = Order {
        id: 7,
        note: Some("\u{1}\"zwei\"\n".into()),
        parts: vec![
            Part { kind: Kind::Plain, weight: 0.1 },
            Part { kind: Kind::WithSize(9), weight: 1e300 },
            Part { kind: Kind::Boxed { width: 3 }, weight: -2.0 },
            Part { kind: Kind::Pair(-1, 1), weight: 0.0 },
        ],
    };
    let written = json::to_string(&order).unwrap();
    assert_eq!(serde_json::from_str::<Order>(&written).unwrap(), order);
    assert_eq!(json::from_slice::<Order>(serde_json::to_string(&order).unwrap().as_bytes()).unwrap(), order);
    let map = BTreeMap::from([(1, f64::NAN)]);
    assert_eq!(json::to_string(&map).unwrap(), r#"{"1":null}"#);
}

#[test]
fn errors_say_what_and_where() {
    for (input, pointer, message) in [
        ("7", "", "the input must be an object"),
        ("{}", "/id", "`id` is missing"),
        (r#"{"id":256}"#, "/id", "`id` must be a whole number from 0 to 255"),
        (r#"{"id":1.5}"#, "/id", "`id` must be a whole number from 0 to 255"),
        (r#"{"id":"1"}"#, "/id", "`id` must be a whole number from 0 to 255"),
        (r#"{"id":1,"id":2}"#, "/id", "`id` is there twice"),
        (r#"{"id":1,"nots":2}"#, "/nots", "`nots` is not known; there are `id`, `note`, `parts`"),
        (r#"{"id":1,"note":{"x":[]}}"#, "/note", "`note` must be text"),
        (r#"{"id":1,"parts":[{"kind/of":"plain"}]}"#, "/parts/0/weight", "`weight` is missing"),
        (
            r#"{"id":1,"parts":[{"kind/of":"odd","weight":1}]}"#,
            "/parts/0/kind~1of",
            "`kind/of` must be one of `plain`, `with-size`, `boxed`, `pair`",
        ),
        (
            r#"{"id":1,"parts":[{"kind/of":"plain","weight":1},{"kind/of":{"pair":[1,2,3]},"weight":1}]}"#,
            "/parts/1/kind~1of",
            "`kind/of` must be a shorter list",
        ),
    ] {
        let error = json::from_slice::<Order>(input.as_bytes()).unwrap_err();
        assert_eq!((error.pointer().as_deref(), error.to_string().as_str()), (Some(pointer), message), "{input}");
    }
    let error = json::from_slice::<Order>(b"{\"id\" 1}").unwrap_err();
    assert_eq!((error.pointer(), error.to_string()), (None, "the input is not JSON: `:` expected at byte 6".into()));
    let TaskError::InvalidInput(failure) = TaskError::from(error) else { panic!("the input is the fault") };
    assert_eq!(failure.code.as_deref(), Some("not-json"));
}

#[test]
fn base64_is_that_of_the_standard() {
    // From RFC 4648, section 10.
    for (bytes, text) in
        [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")]
    {
        assert_eq!(Base64::encode(bytes.as_bytes()), text);
        assert_eq!(Base64::decode(text).as_deref(), Some(bytes.as_bytes()));
    }
    for wrong in ["Zg", "Zg=", "Zg===", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm=v", "Z*==", "_-__"] {
        assert_eq!(Base64::decode(wrong), None, "{wrong}");
    }
    let error = json::from_slice::<Vec<Base64>>(br#"["Zg==","Zg"]"#).unwrap_err();
    assert_eq!(error.to_string(), "`1` must be base64 with padding");
}
