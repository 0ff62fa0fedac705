//! From JSON to Rust types.

use alloc::borrow::Cow;
use alloc::string::ToString;
use core::str::FromStr;

use serde_core::de::value::CowStrDeserializer;
use serde_core::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::Error;
use super::text::Cursor;

/// Reads one JSON document.
///
/// ```
/// let numbers: Vec<i32> = akita_plugin::json::from_slice(b"[1, -2]")?;
/// assert_eq!(numbers, [1, -2]);
/// # Ok::<(), akita_plugin::json::Error>(())
/// ```
pub fn from_slice<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let mut reader = Reader { cursor: Cursor::new(body)? };
    let value = T::deserialize(&mut reader)?;
    reader.cursor.end()?;
    Ok(value)
}

struct Reader<'de> {
    cursor: Cursor<'de>,
}

impl<'de> Reader<'de> {
    /// A fault of the document, if it is none at this place, or of the kind of value.
    fn wrong(&mut self, expected: &'static str) -> Error {
        match self.cursor.skip() {
            Ok(()) => Error::wrong(expected),
            Err(error) => error,
        }
    }

    fn is_number(&mut self) -> bool {
        matches!(self.cursor.peek(), Some(b'-' | b'0'..=b'9'))
    }

    fn integer<T: FromStr>(&mut self, expected: &'static str) -> Result<T, Error> {
        if !self.is_number() {
            return Err(self.wrong(expected));
        }
        let digits = self.cursor.number()?;
        digits.parse().map_err(|_| Error::wrong(expected))
    }

    fn float(&mut self) -> Result<f64, Error> {
        const EXPECTED: &str = "a number";
        if !self.is_number() {
            return Err(self.wrong(EXPECTED));
        }
        let digits = self.cursor.number()?;
        digits.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| Error::wrong(EXPECTED))
    }

    fn string(&mut self, expected: &'static str) -> Result<Cow<'de, str>, Error> {
        if self.cursor.peek() == Some(b'"') { self.cursor.string() } else { Err(self.wrong(expected)) }
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if self.cursor.peek() != Some(b'[') {
            return Err(self.wrong("a list"));
        }
        self.cursor.enter()?;
        let mut items = Items { reader: self, count: 0, closed: false };
        let value = visitor.visit_seq(&mut items)?;
        if !items.closed && items.reader.cursor.more(items.count == 0, b']')? {
            return Err(Error::wrong("a shorter list"));
        }
        Ok(value)
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        if self.cursor.peek() != Some(b'{') {
            return Err(self.wrong("an object"));
        }
        self.cursor.enter()?;
        let mut entries = Entries { reader: self, first: true, key: Cow::Borrowed("") };
        visitor.visit_map(&mut entries)
    }
}

/// Whole numbers are read straight into their type, so that a fault names its range.
macro_rules! integers {
    ($($method:ident, $visit:ident, $expected:literal;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.integer($expected)?)
        }
    )+};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    integers! {
        deserialize_i8, visit_i8, "a whole number from -128 to 127";
        deserialize_i16, visit_i16, "a whole number from -32768 to 32767";
        deserialize_i32, visit_i32, "a whole number of 32 bits";
        deserialize_i64, visit_i64, "a whole number";
        deserialize_i128, visit_i128, "a whole number";
        deserialize_u8, visit_u8, "a whole number from 0 to 255";
        deserialize_u16, visit_u16, "a whole number from 0 to 65535";
        deserialize_u32, visit_u32, "a whole number from 0 to 4294967295";
        deserialize_u64, visit_u64, "a whole number, not below 0";
        deserialize_u128, visit_u128, "a whole number, not below 0";
    }

    /// For types that look before they choose, such as untagged enums.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.cursor.peek() {
            Some(b'"') => self.deserialize_str(visitor),
            Some(b'{') => self.object(visitor),
            Some(b'[') => self.list(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            _ => {
                let digits = self.cursor.number()?;
                if let Ok(number) = digits.parse() {
                    return visitor.visit_u64(number);
                }
                if let Ok(number) = digits.parse() {
                    return visitor.visit_i64(number);
                }
                let number = digits.parse().ok().filter(|value: &f64| value.is_finite());
                visitor.visit_f64(number.ok_or_else(|| Error::wrong("a number"))?)
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.cursor.word("true") {
            return visitor.visit_bool(true);
        }
        if self.cursor.word("false") {
            return visitor.visit_bool(false);
        }
        Err(self.wrong("true or false"))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.string("text")? {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.cursor.word("null") { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.cursor.word("null") { visitor.visit_unit() } else { Err(self.wrong("null")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.cursor.peek() {
            Some(b'"') => visitor.visit_enum(self.cursor.string()?.into_deserializer()),
            Some(b'{') => {
                self.cursor.enter()?;
                if !self.cursor.more(true, b'}')? {
                    return Err(Error::wrong("an object with one key"));
                }
                let value = visitor.visit_enum(Variant { reader: self })?;
                if self.cursor.more(false, b'}')? {
                    return Err(Error::wrong("an object with one key"));
                }
                Ok(value)
            }
            _ => Err(self.wrong("text or an object with one key")),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.cursor.skip()?;
        visitor.visit_unit()
    }
}

/// What is between `[` and `]`.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    count: usize,
    closed: bool,
}

impl<'de> SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.closed || !self.reader.cursor.more(self.count == 0, b']')? {
            self.closed = true;
            return Ok(None);
        }
        let value = seed.deserialize(&mut *self.reader).map_err(|error| error.under(self.count.to_string()))?;
        self.count += 1;
        Ok(Some(value))
    }
}

/// What is between `{` and `}`.
struct Entries<'a, 'de> {
    reader: &'a mut Reader<'de>,
    first: bool,
    /// The latest key, to say where a value is wrong.
    key: Cow<'de, str>,
}

impl<'de> MapAccess<'de> for &mut Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !self.reader.cursor.more(core::mem::take(&mut self.first), b'}')? {
            return Ok(None);
        }
        self.key = self.reader.cursor.string()?;
        self.reader.cursor.expect(b':', "`:`")?;
        seed.deserialize(self.key.clone().into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader).map_err(|error| error.under(&*self.key))
    }
}

/// `{"variant": value}`, from the key on.
struct Variant<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = self.reader.cursor.string()?;
        self.reader.cursor.expect(b':', "`:`")?;
        let name: CowStrDeserializer<'_, Error> = name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.reader.cursor.word("null") { Ok(()) } else { Err(self.reader.wrong("null")) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.reader.list(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.reader.object(visitor)
    }
}
