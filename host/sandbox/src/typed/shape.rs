//! A WIT type as a plain tree, made once when a plugin is loaded: reading, writing and describing values is then a walk
//! that asks the engine nothing. It knows no value.

use wasmtime::component::Type;

/// Types nested in one another: WIT has no recursive types, and what people write is not deeper than ten.
const MAX_DEPTH: usize = 32;
/// Types that one function's parameters and result have together, each use counted: records that hold records twice
/// would otherwise double with each level.
pub(super) const MAX_TYPES: usize = 2_000;

/// A type that has a form in JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Bool,
    Int(Int),
    F32,
    F64,
    Char,
    String,
    /// `list<u8>`.
    Bytes,
    List(Box<Shape>),
    Record(Vec<(String, Shape)>),
    Tuple(Vec<Shape>),
    Variant(Vec<(String, Option<Shape>)>),
    Enum(Vec<String>),
    Option(Box<Shape>),
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    Flags(Vec<String>),
}

/// The whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Int {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
}

impl Int {
    /// Its least and its greatest number.
    pub(super) fn range(self) -> (i128, i128) {
        match self {
            Int::U8 => (0, u8::MAX.into()),
            Int::U16 => (0, u16::MAX.into()),
            Int::U32 => (0, u32::MAX.into()),
            Int::U64 => (0, u64::MAX.into()),
            Int::S8 => (i8::MIN.into(), i8::MAX.into()),
            Int::S16 => (i16::MIN.into(), i16::MAX.into()),
            Int::S32 => (i32::MIN.into(), i32::MAX.into()),
            Int::S64 => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// Whether it has numbers that a double cannot hold.
    pub(super) fn is_wide(self) -> bool {
        matches!(self, Int::U64 | Int::S64)
    }

    /// As in WIT.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Int::U8 => "u8",
            Int::U16 => "u16",
            Int::U32 => "u32",
            Int::U64 => "u64",
            Int::S8 => "s8",
            Int::S16 => "s16",
            Int::S32 => "s32",
            Int::S64 => "s64",
        }
    }
}

impl Shape {
    /// The tree of that type, taken from what is left of a function's types.
    ///
    /// # Errors
    /// Why it has no form in JSON.
    pub(super) fn of(ty: &Type, left: &mut usize) -> Result<Shape, String> {
        Shape::at(ty, 0, left)
    }

    fn at(ty: &Type, depth: usize, left: &mut usize) -> Result<Shape, String> {
        *left = left.checked_sub(1).ok_or_else(|| format!("it has more than {MAX_TYPES} types"))?;
        if depth > MAX_DEPTH {
            return Err(format!("its types are nested more than {MAX_DEPTH} deep"));
        }
        let mut inner = |ty: &Type| Shape::at(ty, depth + 1, left);
        Ok(match ty {
            Type::Bool => Shape::Bool,
            Type::U8 => Shape::Int(Int::U8),
            Type::U16 => Shape::Int(Int::U16),
            Type::U32 => Shape::Int(Int::U32),
            Type::U64 => Shape::Int(Int::U64),
            Type::S8 => Shape::Int(Int::S8),
            Type::S16 => Shape::Int(Int::S16),
            Type::S32 => Shape::Int(Int::S32),
            Type::S64 => Shape::Int(Int::S64),
            Type::Float32 => Shape::F32,
            Type::Float64 => Shape::F64,
            Type::Char => Shape::Char,
            Type::String => Shape::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Shape::Bytes,
                item => Shape::List(Box::new(inner(&item)?)),
            },
            Type::Record(record) => {
                let fields = record.fields().map(|field| Ok((field.name.to_owned(), inner(&field.ty)?)));
                Shape::Record(fields.collect::<Result<_, String>>()?)
            }
            Type::Tuple(tuple) => Shape::Tuple(tuple.types().map(|ty| inner(&ty)).collect::<Result<_, _>>()?),
            Type::Variant(variant) => {
                let cases = variant.cases().map(|case| {
                    let payload = case.ty.as_ref().map(&mut inner).transpose()?;
                    Ok((case.name.to_owned(), payload))
                });
                Shape::Variant(cases.collect::<Result<_, String>>()?)
            }
            Type::Enum(one) => Shape::Enum(one.names().map(str::to_owned).collect()),
            Type::Option(option) => Shape::Option(Box::new(inner(&option.ty())?)),
            Type::Result(result) => {
                let ok = result.ok().map(|ty| inner(&ty).map(Box::new)).transpose()?;
                let err = result.err().map(|ty| inner(&ty).map(Box::new)).transpose()?;
                Shape::Result(ok, err)
            }
            Type::Flags(flags) => Shape::Flags(flags.names().map(str::to_owned).collect()),
            Type::Own(_) | Type::Borrow(_) => return Err("it passes a resource, which JSON cannot hold".to_owned()),
            Type::Future(_) | Type::Stream(_) => {
                return Err("it passes a future or a stream, which JSON cannot hold".to_owned());
            }
            Type::Map(_) | Type::FixedLengthList(_) | Type::ErrorContext => {
                return Err("it has a type of WASI 0.3, which this node does not know".to_owned());
            }
        })
    }

    /// Whether its JSON may be `null`: an `option` around it then needs another form.
    pub(super) fn may_be_null(&self) -> bool {
        matches!(self, Shape::Option(_))
    }
}
