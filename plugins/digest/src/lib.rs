//! Fingerprints of the input. This file is the component's edge: it translates between the contract and the modules, and
//! computes nothing.
#![cfg_attr(target_family = "wasm", no_std)]

mod hash;
mod input;

use akita_plugin::prelude::*;
use hash::{Algorithm, Both};

akita_plugin::no_std_runtime!();

akita_plugin::plugin! {
    name: "digest",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "sha256" => sha256 {
            summary: "The SHA-256 of the input",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
            input_schema: (input::SCHEMA),
            output_schema: (hash::ONE_SCHEMA),
        },
        "blake3" => blake3 {
            summary: "The BLAKE3 of the input",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
            input_schema: (input::SCHEMA),
            output_schema: (hash::ONE_SCHEMA),
        },
        "all" => all {
            summary: "Every fingerprint that this plugin knows, in one run",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
            input_schema: (input::SCHEMA),
            output_schema: (hash::ALL_SCHEMA),
        },
        "stream" => stream {
            summary: "Both of the bytes as they were sent, whatever they are, read piece by piece",
            idempotent: true,
            deterministic: true,
            output_schema: (hash::ALL_SCHEMA),
        },
    },
}

fn sha256(input: Content) -> Result<Content, TaskError> {
    Ok(Content::json(hash::render_one(Algorithm::Sha256, &input::bytes(&input.content_type, input.body)?)))
}

fn blake3(input: Content) -> Result<Content, TaskError> {
    Ok(Content::json(hash::render_one(Algorithm::Blake3, &input::bytes(&input.content_type, input.body)?)))
}

fn all(input: Content) -> Result<Content, TaskError> {
    Ok(Content::json(hash::render_all(&input::bytes(&input.content_type, input.body)?)))
}

fn stream(mut input: Chunks) -> Result<Content, TaskError> {
    let mut both = Both::default();
    while let Some(piece) = input.next() {
        task::check()?;
        both.add(&piece);
        task::progress(input.done(), input.size(), "bytes read");
    }
    Ok(Content::json(both.render()))
}

#[cfg(test)]
mod tests {
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;

    #[test]
    fn each_action_gives_its_fingerprint() {
        let digest = Harness::new(&super::PLUGIN);
        assert_eq!(digest.describe().actions.len(), 4);
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (action, expected) in [("sha256", sha256), ("all", sha256), ("blake3", "\"algorithm\":\"blake3\"")] {
            let bare = digest.run(action, Content::new("text/plain", "abc"));
            assert!(bare.text().contains(expected), "{}", bare.text());
            assert_eq!(bare.text(), digest.json(action, r#"{"base64":"YWJj"}"#).text());
        }
        let streamed = digest.run("stream", Content::new("text/plain", "abc"));
        assert_eq!(streamed.text(), digest.json("all", r#"{"text":"abc"}"#).text());
        // JSON is bytes like any other here.
        assert!(digest.json("stream", r#"{"text":"abc"}"#).text().ends_with(r#""bytes":14}"#));
        let large = digest.run("stream", Content::new("application/octet-stream", vec![0; 200_000]));
        assert_eq!(large.progress.len(), 4);
        assert_eq!(digest.json("all", "{}").failure().code.as_deref(), Some("unclear-input"));
    }
}
