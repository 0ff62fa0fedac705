//! From a type to calls that write its schema.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Data, DeriveInput, Error, Field, Fields, Result, Type, Variant};

use crate::attributes::{Attributes, quoted};

/// Rust code, and the text that has been collected to be written before its next piece.
#[derive(Default)]
struct Writer {
    code: TokenStream,
    pending: String,
}

impl Writer {
    fn text(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.pending);
        self.code.extend(quote!(out.raw(#text);));
    }

    /// The schema of a field's type, and more keywords for it.
    fn schema(&mut self, of: &Type, keywords: &[(String, String)]) {
        self.flush();
        self.code.extend(quote!(out.schema::<#of>();));
        if !keywords.is_empty() {
            let keywords = keywords.iter().map(|(key, value)| quote!((#key, #value)));
            self.code.extend(quote!(out.extend(&[#(#keywords),*]);));
        }
    }

    /// Keywords of a schema that is being written as text.
    fn keywords(&mut self, attributes: &Attributes) {
        for (key, value) in attributes.all_keywords() {
            self.text(&format!(",{}:{value}", quoted(&key)));
        }
    }
}

pub fn implementation(input: &DeriveInput) -> Result<TokenStream> {
    let attributes = Attributes::read(&input.attrs)?;
    let mut writer = Writer::default();
    match &input.data {
        Data::Struct(data) => structure(&mut writer, &attributes, &data.fields)?,
        Data::Enum(data) => enumeration(&mut writer, &attributes, data.variants.iter())?,
        Data::Union(_) => return Err(Error::new(Span::call_site(), "a union has no JSON")),
    }
    writer.flush();
    let (name, code) = (&input.ident, writer.code);
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::akita_plugin::Schema for #name #arguments #bounds {
            fn write(out: &mut ::akita_plugin::SchemaWriter) {
                #code
            }
        }
    })
}

fn structure(writer: &mut Writer, attributes: &Attributes, fields: &Fields) -> Result<()> {
    match fields {
        Fields::Named(fields) if attributes.transparent => inner(writer, attributes, fields.named.iter()),
        Fields::Named(fields) => object(writer, attributes, fields.named.iter()),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => inner(writer, attributes, fields.unnamed.iter()),
        Fields::Unnamed(fields) => {
            Err(Error::new_spanned(fields, "a tuple's parts have no names for a reader: use a struct with names"))
        }
        Fields::Unit => {
            writer.text(r#"{"type":"null"}"#);
            Ok(())
        }
    }
}

/// A type around another has the other's schema.
fn inner<'a>(writer: &mut Writer, attributes: &Attributes, mut fields: impl Iterator<Item = &'a Field>) -> Result<()> {
    let Some(field) = fields.next() else {
        return Err(Error::new(Span::call_site(), "there is nothing inside"));
    };
    let mut keywords = Attributes::read(&field.attrs)?.keywords;
    keywords.extend(attributes.all_keywords());
    writer.schema(&field.ty, &keywords);
    Ok(())
}

fn object<'a>(writer: &mut Writer, attributes: &Attributes, fields: impl Iterator<Item = &'a Field>) -> Result<()> {
    writer.text(r#"{"type":"object""#);
    writer.keywords(attributes);
    writer.text(r#","properties":{"#);
    let mut required = Vec::new();
    let mut first = true;
    for field in fields {
        let about = Attributes::read(&field.attrs)?;
        if about.skip {
            continue;
        }
        let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        let name = name_of(ident.trim_start_matches("r#"), &about, attributes.rename_all.as_deref(), snake_words)?;
        if !std::mem::take(&mut first) {
            writer.text(",");
        }
        writer.text(&format!("{}:", quoted(&name)));
        writer.schema(&field.ty, &about.all_keywords());
        if !about.optional && !is_option(&field.ty) {
            required.push(quoted(&name));
        }
    }
    writer.text("}");
    if !required.is_empty() {
        writer.text(&format!(r#","required":[{}]"#, required.join(",")));
    }
    if attributes.deny_unknown_fields {
        writer.text(r#","additionalProperties":false"#);
    }
    writer.text("}");
    Ok(())
}

/// Words if no variant holds anything; otherwise one schema for each, tagged from outside as serde does by default.
fn enumeration<'a>(
    writer: &mut Writer,
    attributes: &Attributes,
    variants: impl Iterator<Item = &'a Variant> + Clone,
) -> Result<()> {
    let mut kept = Vec::new();
    for variant in variants {
        let about = Attributes::read(&variant.attrs)?;
        if !about.skip {
            let name = name_of(&variant.ident.to_string(), &about, attributes.rename_all.as_deref(), camel_words)?;
            kept.push((variant, about, quoted(&name)));
        }
    }
    if kept.iter().all(|(variant, ..)| matches!(variant.fields, Fields::Unit)) {
        let names: Vec<&str> = kept.iter().map(|(.., name)| name.as_str()).collect();
        writer.text(&format!(r#"{{"type":"string","enum":[{}]"#, names.join(",")));
    } else {
        writer.text(r#"{"oneOf":["#);
        for (index, (variant, about, name)) in kept.iter().enumerate() {
            if index > 0 {
                writer.text(",");
            }
            if matches!(variant.fields, Fields::Unit) {
                writer.text(&format!(r#"{{"const":{name}}}"#));
                continue;
            }
            writer.text(&format!(r#"{{"type":"object","properties":{{{name}:"#));
            structure(writer, about, &variant.fields)?;
            writer.text(&format!(r#"}},"required":[{name}],"additionalProperties":false}}"#));
        }
        writer.text("]");
    }
    writer.keywords(attributes);
    writer.text("}");
    Ok(())
}

/// By its last word, as serde does.
fn is_option(of: &Type) -> bool {
    matches!(of, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == "Option"))
}

fn snake_words(name: &str) -> Vec<String> {
    name.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn camel_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_uppercase() => word.push(letter),
            _ => words.push(letter.to_lowercase().collect()),
        }
    }
    words
}

fn name_of(name: &str, about: &Attributes, rule: Option<&str>, words: fn(&str) -> Vec<String>) -> Result<String> {
    if let Some(name) = &about.rename {
        return Ok(name.clone());
    }
    let Some(rule) = rule else { return Ok(name.to_owned()) };
    let words = words(name);
    let joined = words.join("_");
    Ok(match rule {
        "lowercase" => words.concat(),
        "UPPERCASE" => words.concat().to_uppercase(),
        "snake_case" => joined,
        "SCREAMING_SNAKE_CASE" => joined.to_uppercase(),
        "kebab-case" => joined.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => joined.to_uppercase().replace('_', "-"),
        "PascalCase" => words.iter().map(|word| capital(word)).collect(),
        "camelCase" => {
            let tail = words.iter().skip(1).map(|word| capital(word));
            words.first().cloned().into_iter().chain(tail).collect()
        }
        _ => return Err(Error::new(Span::call_site(), format!("serde knows no `rename_all = \"{rule}\"`"))),
    })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
