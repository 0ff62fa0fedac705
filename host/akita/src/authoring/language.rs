//! The languages that Akita writes and builds projects in. What is the same for all of them is in `project`; what each
//! does to become a component is in `build`.

use std::path::Path;

use clap::ValueEnum;

/// A language with a template and a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With the SDK `akita-plugin`.
    Rust,
    /// With bindings made from the contract.
    C,
    /// Run by an interpreter in the component.
    Js,
    /// The same.
    Python,
}

impl Language {
    /// Every language.
    pub const ALL: [Language; 4] = [Language::Rust, Language::C, Language::Js, Language::Python];

    /// Its word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Js => "js",
            Language::Python => "python",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::C => "C",
            Language::Js => "JavaScript",
            Language::Python => "Python",
        }
    }

    /// The file by which a project's folder shows its language.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Language::Rust => "Cargo.toml",
            Language::C => "src/plugin.c",
            Language::Js => "package.json",
            Language::Python => "pyproject.toml",
        }
    }

    /// The languages that a folder has the marks of.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Vec<Language> {
        Language::ALL.into_iter().filter(|language| folder.join(language.mark()).is_file()).collect()
    }

    /// Names that a project of this language cannot have: its compiler or its packages mean something else by them.
    #[must_use]
    pub fn reserved(self) -> &'static [&'static str] {
        match self {
            Language::Rust => &[
                "abstract",
                "akita-plugin",
                "alloc",
                "as",
                "async",
                "await",
                "become",
                "box",
                "break",
                "const",
                "continue",
                "core",
                "crate",
                "do",
                "dyn",
                "else",
                "enum",
                "extern",
                "false",
                "final",
                "fn",
                "for",
                "gen",
                "if",
                "impl",
                "in",
                "let",
                "loop",
                "macro",
                "match",
                "mod",
                "move",
                "mut",
                "override",
                "priv",
                "proc-macro",
                "pub",
                "ref",
                "return",
                "self",
                "serde",
                "static",
                "std",
                "struct",
                "super",
                "test",
                "trait",
                "true",
                "try",
                "type",
                "typeof",
                "unsafe",
                "unsized",
                "use",
                "virtual",
                "where",
                "while",
                "yield",
            ],
            Language::C | Language::Js | Language::Python => &[],
        }
    }
}
