//! Typed exports: any interface that a component exports beside `akita:plugin/actions`, or without it. Each of its plain
//! functions becomes an action that takes a JSON object of its parameters and gives JSON. What crosses is bounded here;
//! how long a call may take is for `run`.

mod call;
mod input;
mod output;
mod reflect;
mod schema;
mod shape;

pub(crate) use call::{call, outcome};
pub(crate) use input::read;
pub use reflect::TypedExport;
pub(crate) use reflect::{Function, Typed, named_by_package, reflect};

/// Values in the parameters, or in the result, of one call; a byte of a `list<u8>` is one. The host holds 40 bytes for
/// each: 40 MiB at most, and a megabyte of bytes is all that JSON is good for.
pub(crate) const MAX_VALUES: usize = 1 << 20;

#[cfg(test)]
mod tests;
