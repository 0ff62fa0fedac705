//! Types whose schema comes from the crate schemars, for those that have one already. Behind the crate's feature
//! `schemars`, which makes a plugin larger: [`Schema`](crate::Schema) is derived in its stead where size counts.

use alloc::string::ToString;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Schema, SchemaWriter};

/// A type as an action's input, output, or a field of either, with the schema that schemars makes of it.
///
/// ```
/// use akita_plugin::prelude::*;
/// use akita_plugin::Schemars;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Greet {
///     #[schemars(length(min = 1))]
///     name: String,
/// }
///
/// #[derive(JsonSchema, Serialize)]
/// struct Greeting {
///     greeting: String,
/// }
///
/// fn greet(Schemars(input): Schemars<Greet>) -> Result<Schemars<Greeting>, TaskError> {
///     Ok(Schemars(Greeting { greeting: format!("Hello, {}!", input.name) }))
/// }
///
/// akita_plugin::plugin! {
///     name: "hello",
///     summary: "Greets people.",
///     actions: { "greet" => greet { summary: "Greets one person." } },
/// }
///
/// let hello = akita_plugin::testing::Harness::new(&PLUGIN);
/// assert_eq!(hello.json("greet", r#"{"name":"Ada"}"#).text(), r#"{"greeting":"Hello, Ada!"}"#);
/// assert!(hello.describe().actions[0].input_schema.as_deref().unwrap().contains(r#""minLength":1"#));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schemars<T>(pub T);

impl<T: JsonSchema> Schema for Schemars<T> {
    /// Every type is written where it is used: a schema inside another has no place of its own for definitions. Only one
    /// that contains itself still has some, and is of use at the top alone.
    fn write(out: &mut SchemaWriter) {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let schema = settings.into_generator().into_root_schema_for::<T>();
        match schema.as_object() {
            Some(object) if !object.is_empty() => out.raw(&schema.as_value().to_string()),
            _ => out.raw("{}"),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Schemars<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T: Serialize> Serialize for Schemars<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![expect(dead_code, reason = "the types are only described")]

    use alloc::string::String;
    use alloc::vec::Vec;

    use serde_json::{Value, json};

    use super::*;

    #[derive(JsonSchema)]
    struct Parcel {
        /// In grams.
        #[schemars(range(min = 1))]
        weight: u32,
        parts: Vec<Part>,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    enum Part {
        SmallBox,
        Letter { to: String },
    }

    #[derive(JsonSchema)]
    struct Tree {
        branches: Vec<Tree>,
    }

    #[derive(Schema)]
    struct Both {
        ours: u32,
        theirs: Schemars<Parcel>,
    }

    fn schema<T: Schema>() -> Value {
        serde_json::from_str(&SchemaWriter::document::<T>()).unwrap()
    }

    #[test]
    fn a_schema_is_that_of_schemars_without_definitions() {
        let parcel = schema::<Schemars<Parcel>>();
        assert_eq!(parcel["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(parcel["properties"]["weight"]["minimum"], 1);
        assert_eq!(parcel["properties"]["weight"]["description"], "In grams.");
        let part = &parcel["properties"]["parts"]["items"]["oneOf"][0];
        assert!(part["const"] == "small-box" || part["enum"] == json!(["small-box"]), "{part}");
        assert!(!parcel.to_string().contains("$ref"), "{parcel}");
    }

    #[test]
    fn one_may_lie_in_the_other() {
        let both = schema::<Both>();
        assert_eq!(both["properties"]["theirs"]["properties"]["weight"]["minimum"], 1);
        assert_eq!(both["required"], json!(["ours", "theirs"]));
    }

    #[test]
    fn what_allows_anything_or_contains_itself_is_still_a_document() {
        assert_eq!(schema::<Schemars<Value>>().get("type"), None);
        assert_eq!(schema::<Schemars<Tree>>()["properties"]["branches"]["type"], "array");
    }
}
