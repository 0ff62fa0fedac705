//! From JSON to the values of a call. What does not fit is refused with the place of the fault; nothing is guessed.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use wasmtime::component::Val;

use super::MAX_VALUES;
use super::shape::{Int, Shape};
use crate::fault::{Fault, excerpt};

/// Padding may be missing: many tools leave it away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Names that a fault lists: a line, not a page.
const MAX_LISTED: usize = 12;
/// Whole numbers up to here are exact in a double: `3.0` is 3, and beyond it nobody knows.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The parameters of a call, out of the JSON object that names them.
///
/// # Errors
/// What does not fit, and where.
pub(crate) fn read(params: &[(String, Shape)], input: &Value) -> Result<Vec<Val>, Fault> {
    let mut reader = Reader { left: MAX_VALUES };
    let Value::Object(given) = input else {
        let names = listed(params.iter().map(|(name, _)| name.as_str()));
        return Err(Fault::here(format!("an object of the parameters ({names}) is needed, not {}", excerpt(input))));
    };
    let fields = reader.fields(params, given, "parameter")?;
    Ok(fields.into_iter().map(|(_, value)| value).collect())
}

struct Reader {
    left: usize,
}

impl Reader {
    fn take(&mut self, count: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(count).ok_or_else(|| {
            Fault::here(format!(
                "the input has more than {MAX_VALUES} values; a typed call takes no more (bytes count one by one)"
            ))
        })?;
        Ok(())
    }

    fn fields(
        &mut self,
        fields: &[(String, Shape)],
        given: &Map<String, Value>,
        what: &str,
    ) -> Result<Vec<(String, Val)>, Fault> {
        let mut values = Vec::with_capacity(fields.len());
        let mut used = 0;
        for (name, shape) in fields {
            let value = match (given.get(name), shape) {
                (Some(value), _) => {
                    used += 1;
                    self.value(shape, value).map_err(|fault| fault.under(name))?
                }
                (None, Shape::Option(_)) => Val::Option(None),
                (None, _) => return Err(Fault::here(format!("the {what} `{name}` is missing"))),
            };
            values.push((name.clone(), value));
        }
        if used < given.len()
            && let Some(other) = given.keys().find(|key| !fields.iter().any(|(name, _)| name == *key))
        {
            let names = listed(fields.iter().map(|(name, _)| name.as_str()));
            return Err(Fault::here(format!("there is no such {what}; there is {names}")).under(other));
        }
        Ok(values)
    }

    fn value(&mut self, shape: &Shape, value: &Value) -> Result<Val, Fault> {
        self.take(1)?;
        let wrong = |must: &str| Fault::here(format!("{must} is needed, not {}", excerpt(value)));
        Ok(match (shape, value) {
            (Shape::Bool, Value::Bool(yes)) => Val::Bool(*yes),
            (Shape::Bool, _) => return Err(wrong("true or false")),
            (Shape::Int(int), _) => whole(*int, value)?,
            (Shape::F32, _) => {
                let wide = number(value).ok_or_else(|| wrong("a number"))?;
                let narrow = wide as f32;
                if narrow.is_infinite() && wide.is_finite() {
                    return Err(wrong("a number within the range of f32"));
                }
                Val::Float32(narrow)
            }
            (Shape::F64, _) => Val::Float64(number(value).ok_or_else(|| wrong("a number"))?),
            (Shape::Char, Value::String(text)) => {
                let mut all = text.chars();
                match (all.next(), all.next()) {
                    (Some(one), None) => Val::Char(one),
                    _ => return Err(wrong("a text of one character")),
                }
            }
            (Shape::Char, _) => return Err(wrong("a text of one character")),
            (Shape::String, Value::String(text)) => Val::String(text.clone()),
            (Shape::String, _) => return Err(wrong("a text")),
            (Shape::Bytes, Value::String(text)) => self.bytes(text)?,
            (Shape::Bytes, _) => return Err(wrong("bytes as a text in base64")),
            (Shape::List(item), Value::Array(items)) => {
                Val::List(self.items(items.iter().map(|value| (&**item, value)))?)
            }
            (Shape::List(_), _) => return Err(wrong("a list")),
            (Shape::Record(fields), Value::Object(given)) => Val::Record(self.fields(fields, given, "field")?),
            (Shape::Record(_), _) => return Err(wrong("an object")),
            (Shape::Tuple(shapes), Value::Array(items)) if items.len() == shapes.len() => {
                Val::Tuple(self.items(shapes.iter().zip(items))?)
            }
            (Shape::Tuple(shapes), _) => return Err(wrong(&format!("a list of {} values", shapes.len()))),
            (Shape::Variant(cases), _) => self.case(cases, value)?,
            (Shape::Enum(names), Value::String(name)) if names.contains(name) => Val::Enum(name.clone()),
            (Shape::Enum(names), _) => return Err(wrong(&one_of(names.iter().map(String::as_str)))),
            (Shape::Option(_), Value::Null) => Val::Option(None),
            (Shape::Option(inner), Value::Object(one)) if inner.may_be_null() => match (one.len(), one.get("some")) {
                (1, Some(value)) => some(self.value(inner, value).map_err(|fault| fault.under("some"))?),
                _ => return Err(wrong("null or an object of the one key `some`")),
            },
            (Shape::Option(inner), _) if inner.may_be_null() => {
                return Err(wrong("null or an object of the one key `some`"));
            }
            (Shape::Option(inner), value) => some(self.value(inner, value)?),
            (Shape::Result(ok, err), _) => self.result(ok.as_deref(), err.as_deref(), value)?,
            (Shape::Flags(names), Value::Array(items)) => flags(names, items)?,
            (Shape::Flags(_), _) => return Err(wrong("a list of names")),
        })
    }

    fn items<'a>(&mut self, items: impl ExactSizeIterator<Item = (&'a Shape, &'a Value)>) -> Result<Vec<Val>, Fault> {
        let mut values = Vec::with_capacity(items.len().min(self.left));
        for (at, (shape, value)) in items.enumerate() {
            values.push(self.value(shape, value).map_err(|fault| fault.under(at))?);
        }
        Ok(values)
    }

    fn bytes(&mut self, text: &str) -> Result<Val, Fault> {
        // Without padding three bytes take four letters: looked at before they are there.
        self.take(text.trim_end_matches('=').len() / 4 * 3)?;
        let bytes = BASE64.decode(text).map_err(|error| {
            Fault::here(format!("bytes as a text in base64 are needed: {}", error.to_string().to_lowercase()))
        })?;
        Ok(Val::List(bytes.into_iter().map(Val::U8).collect()))
    }

    fn case(&mut self, cases: &[(String, Option<Shape>)], value: &Value) -> Result<Val, Fault> {
        let (name, given) = match value {
            Value::String(name) => (name, None),
            Value::Object(one) if one.len() == 1 => {
                let (name, payload) = one.iter().next().expect("it has one key");
                (name, Some(payload))
            }
            _ => {
                let must = one_of(cases.iter().map(|(name, _)| name.as_str()));
                return Err(Fault::here(format!(
                    "{must} is needed, as a text or as the one key of an object, not {}",
                    excerpt(value)
                )));
            }
        };
        match (cases.iter().find(|(case, _)| case == name), given) {
            (Some((_, None)), None) => Ok(Val::Variant(name.clone(), None)),
            (Some((_, Some(shape))), Some(payload)) => {
                let payload = self.value(shape, payload).map_err(|fault| fault.under(name))?;
                Ok(Val::Variant(name.clone(), Some(Box::new(payload))))
            }
            (Some((_, None)), Some(_)) => {
                Err(Fault::here(format!("the case `{name}` has no value: write it as the text \"{name}\"")))
            }
            (Some((_, Some(_))), None) => Err(Fault::here(format!(
                "the case `{name}` has a value: write it as an object of the one key `{name}`"
            ))),
            (None, _) => {
                let must = one_of(cases.iter().map(|(name, _)| name.as_str()));
                Err(Fault::here(format!("{must} is needed, not {}", excerpt(&Value::String(name.clone())))))
            }
        }
    }

    fn result(&mut self, ok: Option<&Shape>, err: Option<&Shape>, value: &Value) -> Result<Val, Fault> {
        let must = || Fault::here(format!("an object of the one key `ok` or `err` is needed, not {}", excerpt(value)));
        let Some((key, given)) = value.as_object().filter(|one| one.len() == 1).and_then(|one| one.iter().next())
        else {
            return Err(must());
        };
        let shape = match key.as_str() {
            "ok" => ok,
            "err" => err,
            _ => return Err(must()),
        };
        let payload = match (shape, given) {
            (Some(shape), given) => Some(Box::new(self.value(shape, given).map_err(|fault| fault.under(key))?)),
            (None, Value::Null) => None,
            (None, _) => return Err(Fault::here(format!("null is needed, not {}", excerpt(given))).under(key)),
        };
        Ok(Val::Result(if key == "ok" { Ok(payload) } else { Err(payload) }))
    }
}

fn some(value: Val) -> Val {
    Val::Option(Some(Box::new(value)))
}

fn whole(int: Int, value: &Value) -> Result<Val, Fault> {
    let read = match value {
        Value::Number(number) => number.as_i64().map(i128::from).or(number.as_u64().map(i128::from)).or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)?;
            Some(float as i128)
        }),
        // As the schema has it: digits, and perhaps a minus.
        Value::String(text) if int.is_wide() && !text.starts_with('+') && text.len() <= 21 => text.parse().ok(),
        _ => None,
    };
    let (least, most) = int.range();
    let number = read.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let must = format!("a whole number from {least} to {most} ({})", int.as_str());
        Fault::here(format!("{must} is needed, not {}", excerpt(value)))
    })?;
    // It is within the range.
    Ok(match int {
        Int::U8 => Val::U8(number as u8),
        Int::U16 => Val::U16(number as u16),
        Int::U32 => Val::U32(number as u32),
        Int::U64 => Val::U64(number as u64),
        Int::S8 => Val::S8(number as i8),
        Int::S16 => Val::S16(number as i16),
        Int::S32 => Val::S32(number as i32),
        Int::S64 => Val::S64(number as i64),
    })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(word) => match word.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn flags(names: &[String], items: &[Value]) -> Result<Val, Fault> {
    let mut set: Vec<String> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match item.as_str() {
            Some(name) if set.iter().any(|one| one == name) => {
                return Err(Fault::here(format!("`{name}` is there twice")).under(at));
            }
            Some(name) if names.iter().any(|one| one == name) => set.push(name.to_owned()),
            _ => {
                let must = one_of(names.iter().map(String::as_str));
                return Err(Fault::here(format!("{must} is needed, not {}", excerpt(item))).under(at));
            }
        }
    }
    Ok(Val::Flags(set))
}

fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    format!("one of {}", listed(names))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = names.take(MAX_LISTED + 1).collect();
    match all.len() {
        0 => "none".to_owned(),
        over if over > MAX_LISTED => format!("{} and more", all[..MAX_LISTED].join(", ")),
        _ => all.join(", "),
    }
}
