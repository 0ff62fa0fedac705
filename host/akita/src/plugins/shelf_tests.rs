//! What becomes of a plugin, and how a change is told.

use super::*;

const HASH: [u8; 32] = [0xab; 32];

fn line(file: &str, hash: &str, status: Status) -> Line {
    let reason = (status != Status::Ready).then(|| "because".to_owned());
    Line { file: file.into(), plugin: "cache".into(), version: "1.0.0".into(), hash: hash.into(), status, reason }
}

fn words(before: &[Line], now: &[Line]) -> Vec<(&'static str, String)> {
    diff(before, now).into_iter().map(|(what, line)| (what, line.file)).collect()
}

#[test]
fn what_is_set_aside_comes_before_what_is_missing() {
    let needs = Grants::NONE.with(Interface::Kv);
    let (mut notes, nothing) = (Notes::default(), GrantsFile::default());
    let subject = |name| Subject { file: "a.wasm", name, version: "1.0.0", hash: &HASH, needs, seal: &Seal::Missing };
    let verdict = judge(subject("cache"), &nothing, &notes);
    assert_eq!((verdict.status, verdict.reason.as_deref()), (Status::Blocked, Some("needs kv")));
    assert!(verdict.hint.expect("a hint").ends_with("[plugin.cache]\ninterfaces = [\"kv\"]"));

    let granted = GrantsFile::parse(FILE_NAME, "[plugin.cache]\ninterfaces = [\"kv\"]").expect("it parses");
    assert_eq!(judge(subject("cache"), &granted, &notes).status, Status::Ready);
    assert_eq!(judge(subject("cash"), &granted, &notes).status, Status::Blocked);

    notes.quarantined.insert(hex(&HASH), "crashed".into());
    assert_eq!(judge(subject("cache"), &granted, &notes).reason.as_deref(), Some("crashed"));
    assert_eq!(
        judge(Subject { hash: &[0xcd; 32], ..subject("cache") }, &granted, &notes).status,
        Status::Ready,
        "another content is another plugin"
    );
    notes.disabled.insert("cache".into());
    let verdict = judge(subject("cache"), &granted, &notes);
    assert_eq!((verdict.status, verdict.hint.as_deref()), (Status::Disabled, Some("akita plugin enable cache")));
    // One version alone.
    notes = Notes { disabled: ["cache@1.0.0".to_owned()].into(), ..Notes::default() };
    let verdict = judge(subject("cache"), &granted, &notes);
    assert_eq!((verdict.status, verdict.hint.as_deref()), (Status::Disabled, Some("akita plugin enable cache@1.0.0")));
    let newer = Subject { version: "1.1.0", ..subject("cache") };
    assert_eq!(judge(newer, &granted, &notes).status, Status::Ready);
    // Whom to trust comes before all that a plugin could be granted.
    let signed = GrantsFile::parse(FILE_NAME, "trust = \"signed\"").expect("it parses");
    assert_eq!(judge(newer, &signed, &notes).status, Status::Untrusted);
}

#[test]
fn every_change_has_its_word() {
    use Status::{Blocked, Disabled, Quarantined, Ready, Rejected, Untrusted};
    let expect = [
        (Ready, "1", Ready, "2", Some("replaced")),
        (Ready, "1", Ready, "1", None),
        (Ready, "1", Disabled, "1", Some("disabled")),
        (Disabled, "1", Ready, "1", Some("enabled")),
        (Ready, "1", Quarantined, "1", Some("quarantined")),
        (Quarantined, "1", Ready, "1", Some("released")),
        (Quarantined, "1", Ready, "2", Some("replaced")),
        (Blocked, "1", Ready, "1", Some("granted")),
        (Ready, "1", Blocked, "1", Some("blocked")),
        (Ready, "1", Untrusted, "1", Some("untrusted")),
        (Untrusted, "1", Ready, "1", Some("trusted")),
        (Untrusted, "1", Ready, "2", Some("replaced")),
        (Ready, "1", Rejected, "", Some("rejected")),
        (Rejected, "", Ready, "1", Some("replaced")),
        (Blocked, "1", Blocked, "2", Some("blocked")),
        (Disabled, "1", Disabled, "1", None),
    ];
    for (was, old, is, new, word) in expect {
        let told = words(&[line("a.wasm", old, was)], &[line("a.wasm", new, is)]);
        assert_eq!(
            told,
            word.map(|word| (word, "a.wasm".to_owned())).into_iter().collect::<Vec<_>>(),
            "{was:?} {is:?}"
        );
    }
}

#[test]
fn files_come_and_go() {
    let (a, b) = (line("a.wasm", "1", Status::Ready), line("b.wasm", "2", Status::Rejected));
    assert_eq!(words(&[], &[a.clone(), b.clone()]), [("added", "a.wasm".into()), ("rejected", "b.wasm".into())]);
    assert_eq!(words(&[a.clone(), b.clone()], std::slice::from_ref(&b)), [("removed", "a.wasm".into())]);
    let moved = Line { file: "z.wasm".into(), ..a.clone() };
    assert_eq!(words(&[a], &[moved]), [("removed", "a.wasm".into()), ("added", "z.wasm".into())]);
}

#[test]
fn notes_go_through_their_form() {
    let mut notes = Notes { lines: vec![line("a.wasm", "1", Status::Blocked)], ..Notes::default() };
    notes.disabled.insert("x".into());
    let text = serde_json::to_string(&notes).expect("it encodes");
    assert_eq!(serde_json::from_str::<Notes>(&text).expect("it decodes"), notes);
    assert_eq!(serde_json::from_str::<Notes>("{}").expect("an older form"), Notes::default());
}
