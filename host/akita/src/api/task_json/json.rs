//! JSON in its raw form: the members of an object, the items of a list, and JSON without white space. None of it
//! recurses, so no depth of nesting can hurt.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{Place, SubmitError, syntax};
use super::{MAX_BATCH, MAX_KEYS};

/// The members of the object `raw`, in order. `place` says where it is.
///
/// # Errors
/// When it is no object, has a key twice, or more than [`MAX_KEYS`].
pub fn members<'a>(body: &[u8], raw: &'a RawValue, place: &Place) -> Result<Vec<(String, &'a RawValue)>, SubmitError> {
    if !raw.get().starts_with('{') {
        let must = "a task: a JSON object".to_owned();
        return Err(SubmitError::Wrong { place: place.clone(), must, got: excerpt(raw.get()) });
    }
    let Members(members) =
        serde_json::from_str(raw.get()).map_err(|error| syntax(body, raw.get().as_bytes(), &error))?;
    Ok(members)
}

/// The items of the list `raw`, the body itself.
///
/// # Errors
/// When there are none, or more than [`MAX_BATCH`].
pub fn items<'a>(body: &[u8], raw: &'a RawValue) -> Result<Vec<&'a RawValue>, SubmitError> {
    let Items { items, count } =
        serde_json::from_str(raw.get()).map_err(|error| syntax(body, raw.get().as_bytes(), &error))?;
    match count {
        0 => {
            let must = format!("a list of 1 to {MAX_BATCH} tasks");
            Err(SubmitError::Wrong { place: Place::top(), must, got: "an empty one".to_owned() })
        }
        count if count > MAX_BATCH => Err(SubmitError::TooManyTasks { count }),
        _ => Ok(items),
    }
}

/// Appends `json`, which is valid, without the white space between its words.
pub fn compact_into(out: &mut Vec<u8>, json: &str) {
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        if quoted {
            (quoted, escaped) = (byte != b'"' || escaped, byte == b'\\' && !escaped);
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            quoted = byte == b'"';
        }
        out.push(byte);
    }
}

/// As much of `json` as fits into a sentence.
pub fn excerpt(json: &str) -> String {
    const SHOWN: usize = 40;
    match json.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &json[..end]),
        None => json.to_owned(),
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members: Vec<(String, &'de RawValue)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.iter().any(|(before, _)| *before == key) {
                return Err(A::Error::custom(format_args!("the key `{}` is there twice", excerpt(&key))));
            }
            if members.len() == MAX_KEYS {
                return Err(A::Error::custom(format_args!("more than {MAX_KEYS} keys; put them into `input`")));
            }
            members.push((key, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// The first [`MAX_BATCH`] items, and how many there are.
struct Items<'a> {
    items: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < MAX_BATCH {
            match seq.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Items { count: items.len(), items }),
            }
        }
        let mut count = items.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Items { items, count })
    }
}
