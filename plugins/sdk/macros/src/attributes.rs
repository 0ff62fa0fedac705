//! Reads doc comments, `#[serde(...)]` and `#[schema(...)]`. What it does not know it refuses, so that no schema is
//! quietly wrong.

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, ExprUnary, Lit, LitStr, Meta, Result, Token, UnOp};

/// What the attributes of a type, a field or a variant say.
#[derive(Default)]
pub struct Attributes {
    /// The doc comment, as one line.
    pub description: String,
    /// Keywords for the schema, their values as JSON.
    pub keywords: Vec<(String, String)>,
    pub rename: Option<String>,
    pub rename_all: Option<String>,
    /// May be absent from the JSON.
    pub optional: bool,
    pub skip: bool,
    pub deny_unknown_fields: bool,
    pub transparent: bool,
}

impl Attributes {
    pub fn read(attributes: &[Attribute]) -> Result<Self> {
        let mut read = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("doc") {
                read.doc(&attribute.meta);
            } else if attribute.path().is_ident("serde") {
                attribute.parse_nested_meta(|meta| read.serde(&meta))?;
            } else if attribute.path().is_ident("schema") {
                attribute.parse_nested_meta(|meta| read.schema(&meta))?;
            }
        }
        Ok(read)
    }

    /// The keywords, with the doc comment as one of them.
    pub fn all_keywords(&self) -> Vec<(String, String)> {
        let mut keywords = self.keywords.clone();
        if !self.description.is_empty() {
            keywords.push(("description".into(), quoted(&self.description)));
        }
        keywords
    }

    fn doc(&mut self, meta: &Meta) {
        let Meta::NameValue(pair) = meta else { return };
        let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return };
        let line = text.value();
        if !self.description.is_empty() {
            self.description.push(' ');
        }
        self.description.push_str(line.trim());
        self.description.truncate(self.description.trim_end().len());
    }

    fn serde(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let Some(key) = meta.path.get_ident().map(ToString::to_string) else { return Ok(()) };
        match key.as_str() {
            "rename" => self.rename = Some(text(meta)?),
            "rename_all" => self.rename_all = Some(text(meta)?),
            "default" | "skip_serializing_if" => {
                self.optional = true;
                ignore_value(meta)?;
            }
            "skip" | "skip_deserializing" | "skip_serializing" => self.skip = true,
            "deny_unknown_fields" => self.deny_unknown_fields = true,
            "transparent" => self.transparent = true,
            "alias" | "bound" | "crate" | "borrow" | "expecting" => ignore_value(meta)?,
            _ => {
                let message = format!("the schema of `serde({key})` cannot be derived: implement `Schema` by hand");
                return Err(meta.error(message));
            }
        }
        Ok(())
    }

    fn schema(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let key = meta.path.require_ident()?.to_string();
        let value = json(&meta.value()?.parse()?)?;
        self.keywords.push((key, value));
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<String> {
    if !meta.input.peek(Token![=]) {
        return Err(meta.error("different names for reading and writing have no one schema"));
    }
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn ignore_value(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<Expr>()?;
    }
    Ok(())
}

/// A literal, or a list of them, as JSON.
fn json(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => return Ok(quoted(&text.value())),
            Lit::Int(number) => return Ok(number.base10_digits().into()),
            Lit::Float(number) => return Ok(number.base10_digits().into()),
            Lit::Bool(value) => return Ok(value.value.to_string()),
            _ => {}
        },
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => return Ok(format!("-{}", json(expr)?)),
        Expr::Array(list) => {
            let items = list.elems.iter().map(json).collect::<Result<Vec<_>>>()?;
            return Ok(format!("[{}]", items.join(",")));
        }
        _ => {}
    }
    Err(syn::Error::new_spanned(value, "a keyword's value is text, a number, a boolean or a list of them"))
}

/// Text as a JSON string.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if u32::from(control) < 0x20 => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
