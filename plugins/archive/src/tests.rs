//! The actions from input to output.

use akita_plugin::prelude::*;
use akita_plugin::testing::Harness;
use serde_json::{Value, json};

const SAMPLE: &[u8] = include_bytes!("../testdata/sample.zip");

fn archive() -> Harness {
    Harness::new(&super::PLUGIN)
}

fn run(action: &str, input: Value) -> Result<Content, TaskError> {
    archive().json(action, &input.to_string()).result
}

fn code(action: &str, input: Value) -> (String, Option<String>) {
    let error = run(action, input).unwrap_err();
    let failure = error.failure().unwrap();
    (failure.code.clone().unwrap(), failure.pointer.clone())
}

#[test]
fn the_plugin_describes_itself() {
    let info = archive().describe();
    assert_eq!(info.actions.len(), 5);
    assert!(info.actions.iter().all(|action| action.input_schema.is_some()));
}

#[test]
fn an_archive_is_listed_bare_or_in_json() {
    let bare: Value = archive().run("list", Content::new("application/zip", SAMPLE)).value();
    assert_eq!(bare["bytes"], 856);
    assert_eq!(bare["files"][1]["name"], "notes/hello.txt");
    assert_eq!((&bare["files"][0]["directory"], &bare["files"][2]["method"]), (&json!(true), &json!("stored")));
    let wrapped = archive().json("list", &json!({ "data_base64": Base64::encode(SAMPLE) }).to_string());
    assert_eq!(wrapped.value::<Value>(), bare);
}

#[test]
fn files_are_packed_and_unpacked() {
    let files = json!([
        { "name": "a.txt", "text": "akita ".repeat(50) },
        { "name": "deep/b.bin", "data_base64": "AAEC" },
        { "name": "empty", "text": "" },
    ]);
    let packed = run("pack", json!({ "files": files })).unwrap();
    assert_eq!(packed.content_type, "application/zip");
    assert_eq!(packed, run("pack", json!({ "files": files })).unwrap());
    let outcome = archive().run("unpack", packed.clone());
    assert_eq!(outcome.progress.len(), 3);
    let all: Value = outcome.value();
    assert_eq!(all["files"][0]["data_base64"], Base64::encode("akita ".repeat(50).as_bytes()));
    assert_eq!(all["files"][1], json!({ "name": "deep/b.bin", "bytes": 3, "data_base64": "AAEC" }));
    let one =
        run("unpack", json!({ "data_base64": Base64::encode(&packed.body), "files": ["deep/b.bin"], "max_bytes": 3 }));
    let one: Value = serde_json::from_slice(&one.unwrap().body).unwrap();
    assert_eq!(one["files"].as_array().unwrap().len(), 1);
}

#[test]
fn payloads_go_there_and_back() {
    let text = "the same again and ".repeat(200);
    for (format, media_type) in
        [("zstd", "application/zstd"), ("zlib", "application/zlib"), ("deflate", "application/octet-stream")]
    {
        for data in [text.as_bytes(), b"", b"x"] {
            let packed = run("compress", json!({ "data_base64": Base64::encode(data), "format": format })).unwrap();
            assert_eq!(packed.content_type, media_type);
            assert!(data.len() < 100 || packed.body.len() < data.len() / 10, "{format}: {}", packed.body.len());
            let back =
                run("decompress", json!({ "data_base64": Base64::encode(&packed.body), "format": format })).unwrap();
            assert_eq!(back.body, data, "{format}");
            if format != "deflate" {
                assert_eq!(archive().run("decompress", packed).output().body, data);
            }
        }
    }
    let bare = archive().run("compress", Content::new("text/plain", text.as_str()));
    assert_eq!(bare.output().content_type, "application/zstd");
}

/// By zlib, and by the reference implementation of zstd at its highest level with a checksum.
#[test]
fn foreign_payloads_are_read() {
    let zlib = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x2c, 0x02, 0x15];
    assert_eq!(archive().run("decompress", Content::new("application/zlib", zlib)).output().body, b"hello");
    let zstd = [
        0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x68, 0x6d, 0x00, 0x00, 0x30, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x20, 0x01, 0x00,
        0xe7, 0x50, 0xa5, 0x08, 0x84, 0xaa, 0x73, 0xaa,
    ];
    let outcome = archive().run("decompress", Content::new("application/zstd", zstd));
    assert_eq!(outcome.output().body, "hello ".repeat(40).as_bytes());
    let twice = Content::new("application/zstd", [zstd, zstd].concat());
    assert_eq!(archive().run("decompress", twice).failure().code.as_deref(), Some("broken"));
}

#[test]
fn a_window_larger_than_memory_is_refused() {
    // No single segment, no checksum; 2^(10 + 17) bytes.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 1, 0, 0];
    let outcome = archive().run("decompress", Content::new("application/zstd", frame));
    assert!(outcome.failure().message.contains("16 MiB"), "{:?}", outcome.error());
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 5_000_000];
    for format in ["zstd", "zlib", "deflate"] {
        let packed = super::codec::compress(&zeros, serde_json::from_value(json!(format)).unwrap());
        assert!(packed.len() < 50_000);
        let data = Base64::encode(&packed);
        assert_eq!(code("decompress", json!({ "data_base64": data, "format": format })).0, "too-large");
        let limit = json!({ "data_base64": data, "format": format, "max_bytes": 5_000_000 });
        assert_eq!(run("decompress", limit).unwrap().body.len(), 5_000_000);
    }
    let packed = run("pack", json!({ "files": [{ "name": "zeros", "text": "0".repeat(900_000) }] })).unwrap();
    assert_eq!(archive().run("unpack", packed).failure().code.as_deref(), Some("too-large"));
}

#[test]
fn faults_say_where() {
    let sample = Base64::encode(SAMPLE);
    for (action, input, expected, pointer) in [
        ("list", json!({ "data_base64": "AAAA" }), "broken", None),
        ("list", json!({ "data_base64": "A" }), "bad-input", Some("/data_base64")),
        ("unpack", json!({ "data_base64": sample, "files": ["none"] }), "no-such-file", Some("/files")),
        ("unpack", json!({ "data_base64": sample, "max_bytes": 100 }), "too-large", None),
        ("pack", json!({ "files": [] }), "no-files", Some("/files")),
        ("pack", json!({ "files": [{ "name": "../a", "text": "" }] }), "unsafe-name", Some("/files/0/name")),
        ("pack", json!({ "files": [{ "name": "a" }] }), "unclear-data", Some("/files/0")),
        (
            "pack",
            json!({ "files": [{ "name": "a", "text": "" }, { "name": "a", "text": "" }] }),
            "twice",
            Some("/files/1/name"),
        ),
        ("compress", json!({ "text": "", "data_base64": "" }), "unclear-data", Some("")),
        ("compress", json!({ "text": "", "format": "rar" }), "bad-input", Some("/format")),
        ("decompress", json!({ "data_base64": "AAAA" }), "unknown-format", Some("/format")),
        ("decompress", json!({ "data_base64": "AAAA", "format": "zstd" }), "broken", None),
        ("decompress", json!({ "data_base64": "/////w==", "format": "deflate" }), "broken", None),
    ] {
        assert_eq!(code(action, input.clone()), (expected.to_owned(), pointer.map(str::to_owned)), "{action} {input}");
    }
}

#[test]
fn broken_payloads_never_panic() {
    let text = "the same again and ".repeat(20);
    for format in ["zstd", "zlib", "deflate"] {
        let packed = run("compress", json!({ "text": text, "format": format })).unwrap().body;
        for at in 0..packed.len() {
            for broken in [[&packed[..at], &[packed[at] ^ 0xff], &packed[at + 1..]].concat(), packed[..at].to_vec()] {
                let _ = run("decompress", json!({ "data_base64": Base64::encode(&broken), "format": format }));
            }
        }
    }
}

#[test]
fn cancelled_work_stops() {
    let outcome = archive().cancel_after(1).run("unpack", Content::new("application/zip", SAMPLE));
    assert_eq!(outcome.error(), &TaskError::Cancelled);
}
