//! `#[derive(Schema)]` of akita-plugin: the JSON Schema of a type, worked out while the plugin is compiled. It follows
//! serde's attributes, because serde decides what the JSON looks like.

mod attributes;
mod emit;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Derives `akita_plugin::Schema`; see there.
#[proc_macro_derive(Schema, attributes(schema, serde))]
pub fn schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    emit::implementation(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
