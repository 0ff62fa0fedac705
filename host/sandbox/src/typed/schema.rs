//! The JSON Schema (2020-12) of a WIT type, as `input` reads it and `output` writes it.

use serde_json::{Map, Value, json};

use super::shape::{Int, Shape};

/// What a function takes: an object of its parameters.
pub(super) fn of_parameters(params: &[(String, Shape)]) -> Value {
    object(params)
}

/// What a function gives; without a result, `null`.
pub(super) fn of_result(result: Option<&Shape>) -> Value {
    result.map_or_else(|| json!({"type": "null"}), of)
}

/// One type.
pub(super) fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int(int) => of_int(*int),
        Shape::F32 | Shape::F64 => {
            json!({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]})
        }
        Shape::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
        Shape::String => json!({"type": "string"}),
        Shape::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Shape::List(item) => json!({"type": "array", "items": of(item)}),
        Shape::Record(fields) => object(fields),
        Shape::Tuple(items) => {
            let all: Vec<_> = items.iter().map(of).collect();
            json!({"type": "array", "prefixItems": all, "items": false, "minItems": items.len()})
        }
        Shape::Variant(cases) => {
            let all: Vec<_> = cases.iter().map(|(name, payload)| of_case(name, payload.as_ref())).collect();
            json!({"oneOf": all})
        }
        Shape::Enum(names) => json!({"enum": names}),
        Shape::Option(inner) if inner.may_be_null() => json!({"anyOf": [only("some", of(inner)), {"type": "null"}]}),
        Shape::Option(inner) => json!({"anyOf": [of(inner), {"type": "null"}]}),
        Shape::Result(ok, err) => {
            json!({"oneOf": [only("ok", of_result(ok.as_deref())), only("err", of_result(err.as_deref()))]})
        }
        Shape::Flags(names) => json!({"type": "array", "items": {"enum": names}, "uniqueItems": true}),
    }
}

/// JSON's whole numbers are exact here; for tools whose numbers are doubles, the wide ones are taken as text, too.
fn of_int(int: Int) -> Value {
    let (least, most) = int.range();
    let bound = |bound: i128| i64::try_from(bound).map_or_else(|_| json!(u64::MAX), |bound| json!(bound));
    let number = json!({"type": "integer", "minimum": bound(least), "maximum": bound(most)});
    match int.is_wide() {
        true => json!({"anyOf": [number, {"type": "string", "pattern": "^-?[0-9]{1,20}$"}]}),
        false => number,
    }
}

/// An `option` that is the value of a key may be left out with its key.
fn object(fields: &[(String, Shape)]) -> Value {
    let properties: Map<_, _> = fields.iter().map(|(name, shape)| (name.clone(), of(shape))).collect();
    let required: Vec<_> =
        fields.iter().filter(|(_, shape)| !matches!(shape, Shape::Option(_))).map(|(name, _)| name).collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn of_case(name: &str, payload: Option<&Shape>) -> Value {
    payload.map_or_else(|| json!({"const": name}), |payload| only(name, of(payload)))
}

/// An object of one key.
fn only(key: &str, value: Value) -> Value {
    json!({"type": "object", "properties": {key: value}, "required": [key], "additionalProperties": false})
}
