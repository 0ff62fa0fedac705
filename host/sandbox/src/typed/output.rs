//! From the values that a call gave to JSON, as `schema` says. It stops at the limit of the output.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wasmtime::component::Val;

use super::shape::Shape;

/// Why a value is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It has at least so many bytes.
    TooLong(u64),
    /// The engine gave another value than the type says.
    OtherType,
}

/// Writes a value into JSON of at most `limit` bytes.
pub(super) fn write(shape: Option<&Shape>, value: Option<&Val>, limit: u64) -> Result<Vec<u8>, Unwritten> {
    let mut writer = Writer { out: String::new(), limit };
    writer.optional(shape, value)?;
    Ok(writer.out.into_bytes())
}

struct Writer {
    out: String,
    limit: u64,
}

impl Writer {
    fn push(&mut self, text: &str) -> Result<(), Unwritten> {
        self.out.push_str(text);
        self.bounded()
    }

    fn bounded(&self) -> Result<(), Unwritten> {
        let size = self.out.len() as u64;
        if size > self.limit { Err(Unwritten::TooLong(size)) } else { Ok(()) }
    }

    fn number(&mut self, number: impl std::fmt::Display) -> Result<(), Unwritten> {
        write!(self.out, "{number}").map_err(|_| Unwritten::OtherType)?;
        self.bounded()
    }

    fn text(&mut self, text: &str) -> Result<(), Unwritten> {
        // Looked at first: escaped, it is not shorter.
        let size = self.out.len() as u64 + text.len() as u64;
        if size > self.limit {
            return Err(Unwritten::TooLong(size));
        }
        let quoted = serde_json::to_string(text).map_err(|_| Unwritten::OtherType)?;
        self.push(&quoted)
    }

    /// Debug form: the shortest that reads back the same, and JSON where it is a number at all.
    fn float(&mut self, finite: bool, text: &str) -> Result<(), Unwritten> {
        match (finite, text) {
            (true, _) => self.push(text),
            (false, "inf") => self.push("\"Infinity\""),
            (false, "-inf") => self.push("\"-Infinity\""),
            (false, _) => self.push("\"NaN\""),
        }
    }

    fn optional(&mut self, shape: Option<&Shape>, value: Option<&Val>) -> Result<(), Unwritten> {
        match (shape, value) {
            (Some(shape), Some(value)) => self.value(shape, value),
            (None, None) => self.push("null"),
            _ => Err(Unwritten::OtherType),
        }
    }

    fn value(&mut self, shape: &Shape, value: &Val) -> Result<(), Unwritten> {
        match (shape, value) {
            (Shape::Bool, Val::Bool(yes)) => self.push(if *yes { "true" } else { "false" }),
            (Shape::Int(_), Val::U8(number)) => self.number(number),
            (Shape::Int(_), Val::U16(number)) => self.number(number),
            (Shape::Int(_), Val::U32(number)) => self.number(number),
            (Shape::Int(_), Val::U64(number)) => self.number(number),
            (Shape::Int(_), Val::S8(number)) => self.number(number),
            (Shape::Int(_), Val::S16(number)) => self.number(number),
            (Shape::Int(_), Val::S32(number)) => self.number(number),
            (Shape::Int(_), Val::S64(number)) => self.number(number),
            (Shape::F32, Val::Float32(number)) => self.float(number.is_finite(), &format!("{number:?}")),
            (Shape::F64, Val::Float64(number)) => self.float(number.is_finite(), &format!("{number:?}")),
            (Shape::Char, Val::Char(one)) => self.text(one.encode_utf8(&mut [0; 4])),
            (Shape::String, Val::String(text)) => self.text(text),
            (Shape::Bytes, Val::List(bytes)) => self.bytes(bytes),
            (Shape::List(item), Val::List(items)) => self.items(items.iter().map(|value| (&**item, value))),
            (Shape::Tuple(shapes), Val::Tuple(items)) if shapes.len() == items.len() => {
                self.items(shapes.iter().zip(items))
            }
            (Shape::Record(fields), Val::Record(values)) if fields.len() == values.len() => self.record(fields, values),
            (Shape::Variant(cases), Val::Variant(name, payload)) => self.case(cases, name, payload.as_deref()),
            (Shape::Enum(_), Val::Enum(name)) => self.text(name),
            (Shape::Option(_), Val::Option(None)) => self.push("null"),
            (Shape::Option(inner), Val::Option(Some(value))) if inner.may_be_null() => {
                self.only("some", Some(inner), Some(value))
            }
            (Shape::Option(inner), Val::Option(Some(value))) => self.value(inner, value),
            (Shape::Result(ok, _), Val::Result(Ok(value))) => self.only("ok", ok.as_deref(), value.as_deref()),
            (Shape::Result(_, err), Val::Result(Err(value))) => self.only("err", err.as_deref(), value.as_deref()),
            (Shape::Flags(_), Val::Flags(names)) => self.flags(names),
            _ => Err(Unwritten::OtherType),
        }
    }

    fn bytes(&mut self, values: &[Val]) -> Result<(), Unwritten> {
        let size = self.out.len() as u64 + values.len() as u64;
        if size > self.limit {
            return Err(Unwritten::TooLong(size));
        }
        let byte = |value: &Val| if let Val::U8(byte) = value { Ok(*byte) } else { Err(Unwritten::OtherType) };
        let bytes: Vec<u8> = values.iter().map(byte).collect::<Result<_, _>>()?;
        self.out.push('"');
        STANDARD.encode_string(bytes, &mut self.out);
        self.push("\"")
    }

    fn items<'a>(&mut self, items: impl Iterator<Item = (&'a Shape, &'a Val)>) -> Result<(), Unwritten> {
        self.out.push('[');
        for (at, (shape, value)) in items.enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.value(shape, value)?;
        }
        self.push("]")
    }

    fn record(&mut self, fields: &[(String, Shape)], values: &[(String, Val)]) -> Result<(), Unwritten> {
        self.out.push('{');
        for (at, ((name, shape), (_, value))) in fields.iter().zip(values).enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.key(name)?;
            self.value(shape, value)?;
        }
        self.push("}")
    }

    fn case(&mut self, cases: &[(String, Option<Shape>)], name: &str, payload: Option<&Val>) -> Result<(), Unwritten> {
        let (_, shape) = cases.iter().find(|(case, _)| case == name).ok_or(Unwritten::OtherType)?;
        match shape {
            Some(_) => self.only(name, shape.as_ref(), payload),
            None => self.text(name),
        }
    }

    fn only(&mut self, key: &str, shape: Option<&Shape>, value: Option<&Val>) -> Result<(), Unwritten> {
        self.out.push('{');
        self.key(key)?;
        self.optional(shape, value)?;
        self.push("}")
    }

    fn key(&mut self, key: &str) -> Result<(), Unwritten> {
        self.text(key)?;
        self.push(":")
    }

    fn flags(&mut self, names: &[String]) -> Result<(), Unwritten> {
        self.out.push('[');
        for (at, name) in names.iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.text(name)?;
        }
        self.push("]")
    }
}
