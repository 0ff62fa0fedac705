//! Whose plugins may run here: `trust` in the file of grants, for all plugins or for those of a name. It compares keys
//! and names that `signature` has proved, and reads no file. What it does not know it refuses.

use toml::de::DeValue;

use super::{
    grants::{FILE_NAME, Fault, Pattern},
    shelf::{Status, Verdict},
    signature::{PublicKey, Signature},
};

/// Whose signature is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rule {
    /// Nobody's.
    #[default]
    Any,
    /// Anybody's: the file is what its signer made.
    Signed,
    /// One of these.
    Keys(Vec<PublicKey>),
    /// It is not known, so nobody is trusted; why.
    Unknown(String),
}

/// The rules of the file of grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// For all plugins.
    pub rule: Rule,
    /// For those of a name, the most specific first. They take the place of the rule for all.
    pub named: Vec<(Pattern, Rule)>,
}

/// What lies beside a plugin's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// Nothing.
    Missing,
    /// What is worth nothing, and why.
    Bad(String),
    /// A signature of this very content.
    Proved(Signature),
}

impl Seal {
    /// Of what was read beside a content of that hash.
    pub fn of(read: Result<Option<Signature>, String>, hash: &[u8; 32]) -> Seal {
        match read {
            Ok(None) => Seal::Missing,
            Err(reason) => Seal::Bad(reason),
            Ok(Some(signature)) => match signature.check(hash) {
                Ok(()) => Seal::Proved(signature),
                Err(reason) => Seal::Bad(reason),
            },
        }
    }

    /// The signature that holds.
    pub fn proved(&self) -> Option<&Signature> {
        match self {
            Seal::Proved(signature) => Some(signature),
            _ => None,
        }
    }
}

impl Trust {
    /// Nobody is trusted, because what the operator wrote cannot be read.
    pub fn unknown(reason: String) -> Trust {
        Trust { rule: Rule::Unknown(reason), named: Vec::new() }
    }

    fn of(&self, name: &str) -> &Rule {
        self.named.iter().find(|(pattern, _)| pattern.matches(name)).map_or(&self.rule, |(_, rule)| rule)
    }

    /// Whether a file may be compiled and asked what it is, before that is known; then the name in its signature counts.
    ///
    /// # Errors
    /// Why not, and the next step.
    pub fn admits(&self, file: &str, seal: &Seal) -> Result<(), Verdict> {
        let rule = seal.proved().map_or(&self.rule, |signature| self.of(&signature.plugin));
        follow(rule, file, seal)
    }

    /// Whether a plugin that says of itself what it is called may run.
    ///
    /// # Errors
    /// Why not, and the next step.
    pub fn allows(&self, file: &str, seal: &Seal, name: &str, version: &str) -> Result<(), Verdict> {
        let rule = self.of(name);
        follow(rule, file, seal)?;
        let Some(Signature { plugin, version: signed, .. }) = seal.proved().filter(|_| *rule != Rule::Any) else {
            return Ok(());
        };
        if (plugin.as_str(), signed.as_str()) == (name, version) {
            return Ok(());
        }
        let reason = format!("it says that it is {name} {version}, and its signature is for {plugin} {signed}");
        Err(untrusted(reason, format!("have it signed as what it is: akita plugin sign {file}")))
    }
}

fn follow(rule: &Rule, file: &str, seal: &Seal) -> Result<(), Verdict> {
    let sign = || format!("ask its author for {file}.sig, or vouch for it yourself: akita plugin sign {file}");
    match (rule, seal) {
        (Rule::Any, _) => Ok(()),
        (Rule::Unknown(reason), _) => {
            let hint = format!("mend {FILE_NAME}; until then no plugin is trusted");
            Err(untrusted(format!("whom to trust is not known: {reason}"), hint))
        }
        (_, Seal::Missing) => Err(untrusted(format!("it is not signed: there is no {file}.sig"), sign())),
        (_, Seal::Bad(reason)) => Err(untrusted(format!("{file}.sig is worth nothing: {reason}"), sign())),
        (Rule::Signed, Seal::Proved(_)) => Ok(()),
        (Rule::Keys(keys), Seal::Proved(Signature { key, .. })) if keys.contains(key) => Ok(()),
        (Rule::Keys(_), Seal::Proved(Signature { key, .. })) => {
            let hint = format!("if you trust it, add \"{key}\" to `trust` in {FILE_NAME}");
            Err(untrusted(format!("it is signed by {key}, whom nobody trusts here"), hint))
        }
    }
}

fn untrusted(reason: String, hint: String) -> Verdict {
    Verdict { status: Status::Untrusted, reason: Some(reason), hint: Some(hint) }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Rule::Any => f.write_str("any"),
            Rule::Signed => f.write_str("signed"),
            Rule::Keys(keys) => f.write_str(&keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
            Rule::Unknown(_) => f.write_str("nobody"),
        }
    }
}

/// Reads the value of a key `trust`, which begins at `at`.
pub fn rule(at: usize, value: &DeValue<'_>) -> Result<Rule, Fault> {
    const HOW: &str = "trust is \"any\", \"signed\" or a list of public keys, as `akita plugin verify FILE` shows them";
    match value {
        DeValue::String(word) if word == "any" => Ok(Rule::Any),
        DeValue::String(word) if word == "signed" => Ok(Rule::Signed),
        DeValue::Array(items) => {
            let key = |item: &toml::Spanned<DeValue<'_>>| match item.get_ref() {
                DeValue::String(text) => PublicKey::parse(text).ok_or_else(|| {
                    (item.span().start, format!("`{text}` is no public key, which has 64 hexadecimal digits"))
                }),
                _ => Err((item.span().start, HOW.to_owned())),
            };
            items.iter().map(key).collect::<Result<_, _>>().map(Rule::Keys)
        }
        _ => Err((at, HOW.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::{grants::GrantsFile, signature::tests::signed};

    const HASH: [u8; 32] = [9; 32];

    fn seal(seed: u8, plugin: &str) -> Seal {
        Seal::of(Ok(Some(signed(seed, plugin, "1.0.0", HASH))), &HASH)
    }

    fn key(seed: u8) -> String {
        signed(seed, "x", "1.0.0", HASH).key.to_string()
    }

    fn trust(text: &str) -> Trust {
        GrantsFile::parse("t", text).expect("it parses").trust().clone()
    }

    #[track_caller]
    fn refused(done: Result<(), Verdict>, words: &str) {
        let verdict = done.expect_err("it is refused");
        assert_eq!(verdict.status, Status::Untrusted);
        assert!(verdict.hint.is_some() && verdict.reason.as_deref().expect("why").contains(words), "{verdict:?}");
    }

    #[test]
    fn without_a_rule_anything_goes_and_with_one_only_what_it_says() {
        for any in [Trust::default(), trust("trust = \"any\"")] {
            any.admits("a.wasm", &Seal::Missing).expect("no signature is asked for");
            any.allows("a.wasm", &seal(1, "other"), "image", "1.0.0").expect("nor compared");
        }
        for signed in ["trust = \"signed\"".to_owned(), format!("trust = [\"{}\"]", key(1))].map(|text| trust(&text)) {
            refused(signed.admits("a.wasm", &Seal::Missing), "there is no a.wasm.sig");
            refused(signed.admits("a.wasm", &Seal::Bad("it is no text".into())), "it is no text");
            let other = Seal::of(Ok(Some(super::super::signature::tests::signed(1, "image", "1.0.0", [8; 32]))), &HASH);
            refused(signed.admits("a.wasm", &other), "another content");
            signed.admits("a.wasm", &seal(1, "image")).expect("it is signed");
            signed.allows("a.wasm", &seal(1, "image"), "image", "1.0.0").expect("as what it is");
            refused(signed.allows("a.wasm", &seal(1, "image"), "image", "1.0.1"), "is for image 1.0.0");
            refused(signed.allows("a.wasm", &seal(1, "image"), "admin", "1.0.0"), "it says that it is admin");
        }
        trust("trust = \"signed\"").admits("a.wasm", &seal(2, "image")).expect("whoever signed it");
        refused(trust(&format!("trust = [\"{}\"]", key(1))).admits("a.wasm", &seal(2, "image")), "whom nobody trusts");
        refused(trust("trust = []").admits("a.wasm", &seal(1, "image")), "whom nobody trusts");
        refused(Trust::unknown("line 3".into()).admits("a.wasm", &seal(1, "image")), "line 3");
    }

    #[test]
    fn a_key_may_be_trusted_for_one_name_only() {
        let text = format!("trust = [\"{}\"]\n[plugin.\"image*\"]\ntrust = [\"{}\"]\nconcurrency = 1", key(1), key(2));
        let both = trust(&text);
        both.admits("a.wasm", &seal(2, "image")).expect("its own");
        refused(both.admits("a.wasm", &seal(1, "image")), "whom nobody trusts");
        refused(both.admits("a.wasm", &seal(2, "cache")), "whom nobody trusts");
        refused(both.allows("a.wasm", &seal(2, "image"), "cache", "1.0.0"), "whom nobody trusts");
        // A name that is tied to a key cannot be taken by a file without a signature, also where all others can.
        let named = trust(&format!("[plugin.image]\ntrust = [\"{}\"]", key(2)));
        named.admits("a.wasm", &Seal::Missing).expect("its name is not known yet");
        refused(named.allows("a.wasm", &Seal::Missing, "image", "1.0.0"), "not signed");
        named.allows("a.wasm", &Seal::Missing, "cache", "1.0.0").expect("another name");
    }

    #[test]
    fn what_is_no_rule_is_named_with_its_line() {
        for (text, words) in [
            ("trust = \"all\"", "t:1: trust is"),
            ("\ntrust = [\"abc\"]", "t:2: `abc` is no public key"),
            ("trust = true", "trust is"),
            ("[plugin.a]\ntrust = \"any\"", "t:2: "),
            ("[plugin.a]\ntrust = 1", "t:2: trust is"),
        ] {
            let error = GrantsFile::parse("t", text).expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
