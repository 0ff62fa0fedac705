//! Reads the text of the file of grants. The first fault ends it, with its place and what would be right.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use akita_core::task::MAX_DEPTH;
use akita_sandbox::{Grants, Interface};
use toml::de::{DeTable, DeValue};

use super::{
    GrantsFile, Pattern, Terms,
    sensor::{self, MAX_SENSORS},
};
use crate::{
    config::nearest,
    plugins::{
        callers::{MAX_CALLERS, Who},
        http::HostEntry,
        trust::{self, Rule},
    },
};

/// Most that a quota can be: values lie in the node's database.
const MAX_KV_QUOTA: i64 = 1 << 30;
/// Most that this quota can be: BLOB_STORE_BYTES bounds all together.
const MAX_BLOB_QUOTA: i64 = 1 << 50;
/// Longest pattern, as long as a plugin's name.
const MAX_PATTERN_BYTES: usize = 63;
/// Most children that a task may have: their results are gathered by one run.
const MOST_CHILDREN: i64 = 1_000;

/// The keys of an entry.
const KEYS: [&str; 14] = [
    "interfaces",
    "timeout_s",
    "memory_mb",
    "output_bytes",
    "concurrency",
    "kv_quota_bytes",
    "callers",
    "action",
    "max_children",
    "max_depth",
    "trust",
    "blob_quota_bytes",
    "hosts",
    "sensors",
];
/// The keys of an action's own table.
const ACTION_KEYS: [&str; 1] = ["callers"];
/// Tables of actions in one entry at most: as many as a plugin may have actions.
const MAX_ACTIONS: usize = 256;
/// Hosts or sensors that one entry names.
pub(super) const MAX_LISTED: usize = 64;
/// What every plugin gets, so that naming it in a grant is no mistake worth a refusal.
const ALWAYS: [&str; 4] = ["log", "task", "clocks", "random"];

/// Where in the text, and what is wrong.
pub type Fault = (usize, String);

pub(super) fn parse(text: &str) -> Result<GrantsFile, Fault> {
    let table = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let mut file = GrantsFile::default();
    for (key, value) in table.get_ref() {
        let (at, word) = (key.span().start, key.get_ref().as_ref());
        match (word, value.get_ref()) {
            ("trust", rule) => file.trust.rule = trust::rule(value.span().start, rule)?,
            ("plugin", DeValue::Table(plugins)) => {
                for (at, name, keys) in tables("plugin", plugins)? {
                    let pattern = pattern(name).map_err(|reason| (at, reason))?;
                    if let Some(value) = keys.get("trust") {
                        file.trust.named.push((pattern.clone(), own_rule(value.span().start, value.get_ref())?));
                    }
                    file.entries.push((pattern, entry(keys)?));
                }
            }
            ("sensor", DeValue::Table(sensors)) => {
                for (at, name, keys) in tables("sensor", sensors)? {
                    sensor::parse_name(name).map_err(|reason| (at, reason))?;
                    file.sensors.insert(name.to_owned(), sensor::entry(at, name, keys)?);
                }
                if file.sensors.len() > MAX_SENSORS {
                    return Err((at, format!("a node has at most {MAX_SENSORS} sensors of its operator")));
                }
            }
            ("plugin" | "sensor", _) => return Err((at, format!("`{word}` is a table: write [{word}.NAME]"))),
            _ => {
                let otherwise = "entries are written as [plugin.NAME] and [sensor.NAME]";
                return Err((at, unknown("key", word, &["plugin", "sensor", "trust"], otherwise)));
            }
        }
    }
    file.entries.sort_by(|(a, _), (b, _)| a.more_specific(b));
    file.trust.named.sort_by(|(a, _), (b, _)| a.more_specific(b));
    Ok(file)
}

/// What a plugin is called is known before it runs only from its signature, so `any` cannot be for some names alone.
fn own_rule(at: usize, value: &DeValue<'_>) -> Result<Rule, Fault> {
    match trust::rule(at, value)? {
        Rule::Any => Err((at, "trust of some plugins alone is \"signed\" or a list of public keys".to_owned())),
        rule => Ok(rule),
    }
}

/// The tables in the table `word`: where each name stands, the name, its keys.
fn tables<'a, 'd>(word: &str, all: &'a DeTable<'d>) -> Result<Vec<(usize, &'a str, &'a DeTable<'d>)>, Fault> {
    let each = all.iter().map(|(name, value)| {
        let (at, name) = (name.span().start, name.get_ref().as_ref());
        let DeValue::Table(keys) = value.get_ref() else {
            return Err((at, format!("`{word}.{name}` is a table: write [{word}.{name}] and its keys below")));
        };
        Ok((at, name, keys))
    });
    each.collect()
}

fn pattern(name: &str) -> Result<Pattern, String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'*';
    if name.is_empty() || name.len() > MAX_PATTERN_BYTES || !name.bytes().all(letter) {
        return Err(format!(
            "`{name}` is no plugin's name: use lower-case words joined by `-`, and `*` for any letters"
        ));
    }
    Ok(Pattern(name.to_owned()))
}

fn entry(keys: &DeTable<'_>) -> Result<Terms, Fault> {
    let mut terms = Terms::default();
    for (key, value) in keys {
        let (at, word, value) = (key.span().start, key.get_ref().as_ref(), value.get_ref());
        let whole = |min: i64, max: i64| {
            whole(value, min, max).ok_or_else(|| (at, format!("{word} is a whole number from {min} to {max}")))
        };
        match word {
            "interfaces" => terms.interfaces = Some(interfaces(at, value)?),
            "timeout_s" => {
                let seconds = seconds(value).ok_or_else(|| (at, "timeout_s is a number from 0.001 to 86400".into()))?;
                terms.timeout = Some(seconds);
            }
            "memory_mb" => terms.memory_bytes = Some(whole(1, 4_096)? << 20),
            "output_bytes" => terms.output_bytes = Some(whole(1, 1 << 32)?),
            "concurrency" => terms.concurrency = u16::try_from(whole(1, 4_096)?).ok(),
            "callers" => terms.callers.all = Some(callers(at, value)?),
            "action" => terms.callers.actions = actions(at, value)?,
            "max_children" => terms.max_children = u32::try_from(whole(0, MOST_CHILDREN)?).ok(),
            "max_depth" => terms.max_depth = u8::try_from(whole(0, MAX_DEPTH.into())?).ok(),
            "kv_quota_bytes" => terms.kv_quota_bytes = Some(whole(0, MAX_KV_QUOTA)?),
            // For the names, not for what they get; see `own_rule`.
            "trust" => {}
            "blob_quota_bytes" => terms.blob_quota_bytes = Some(whole(0, MAX_BLOB_QUOTA)?),
            "hosts" => terms.hosts = Some(texts(at, word, value, HostEntry::parse)?),
            "sensors" => terms.sensors = Some(texts(at, word, value, sensor::parse_name)?),
            other => return Err((at, unknown("key", other, &KEYS, &format!("an entry has {}", KEYS.join(", "))))),
        }
    }
    Ok(terms)
}

fn interfaces(at: usize, value: &DeValue<'_>) -> Result<Grants, Fault> {
    let known: Vec<&str> = Interface::ALL.into_iter().map(Interface::as_str).collect();
    let list = format!("interfaces is a list of {}", known.join(", "));
    let DeValue::Array(items) = value else { return Err((at, list)) };
    let mut grants = Grants::NONE;
    for item in items.iter() {
        let DeValue::String(name) = item.get_ref() else { return Err((item.span().start, list)) };
        match Interface::parse(name) {
            Some(one) => grants = grants.with(one),
            None if ALWAYS.contains(&name.as_ref()) => {}
            None => return Err((item.span().start, unknown("interface", name, &known, &list))),
        }
    }
    Ok(grants)
}

fn callers(at: usize, value: &DeValue<'_>) -> Result<Vec<Who>, Fault> {
    let list = "callers is a list of keys and nodes, such as [\"key:1a2b3c4d5e6f7081\", \"node:<32 digits>\"]; \
                `akita config show` tells a key's, `akita status` a node's";
    let DeValue::Array(items) = value else { return Err((at, list.to_owned())) };
    if items.len() > MAX_CALLERS {
        return Err((at, format!("callers has at most {MAX_CALLERS} items")));
    }
    let caller = |item: &toml::Spanned<DeValue<'_>>| {
        let text = if let DeValue::String(text) = item.get_ref() { Some(text) } else { None };
        text.and_then(|text| Who::parse(text)).ok_or_else(|| (item.span().start, list.to_owned()))
    };
    items.iter().map(caller).collect()
}

/// The tables `[plugin.NAME.action.ACTION]`.
fn actions(at: usize, value: &DeValue<'_>) -> Result<BTreeMap<String, Vec<Who>>, Fault> {
    let written = "`action` is a table: write [plugin.NAME.action.ACTION] and `callers` below";
    let DeValue::Table(tables) = value else { return Err((at, written.to_owned())) };
    if tables.len() > MAX_ACTIONS {
        return Err((at, format!("a plugin has at most {MAX_ACTIONS} actions")));
    }
    let mut actions = BTreeMap::new();
    for (name, value) in tables {
        let at = name.span().start;
        let DeValue::Table(keys) = value.get_ref() else { return Err((at, written.to_owned())) };
        for (key, value) in keys {
            let (at, word) = (key.span().start, key.get_ref().as_ref());
            if word != "callers" {
                return Err((at, unknown("key", word, &ACTION_KEYS, "an action has `callers`")));
            }
            actions.insert(name.get_ref().to_string(), callers(at, value.get_ref())?);
        }
    }
    Ok(actions)
}

/// A list of texts, each of which means something.
fn texts<T>(
    at: usize,
    word: &str,
    value: &DeValue<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Arc<[T]>, Fault> {
    let list = || format!("{word} is a list of texts: {word} = [\"...\"]");
    let DeValue::Array(items) = value else { return Err((at, list())) };
    if items.len() > MAX_LISTED {
        return Err((at, format!("{word} lists at most {MAX_LISTED}")));
    }
    let each = items.iter().map(|item| {
        let DeValue::String(name) = item.get_ref() else { return Err((item.span().start, list())) };
        parse(name).map_err(|reason| (item.span().start, reason))
    });
    each.collect()
}

fn whole(value: &DeValue<'_>, min: i64, max: i64) -> Option<u64> {
    let DeValue::Integer(number) = value else { return None };
    let number = i64::from_str_radix(number.as_str(), number.radix()).ok()?;
    (min..=max).contains(&number).then_some(number.unsigned_abs())
}

pub(super) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => Some(i64::from_str_radix(number.as_str(), number.radix()).ok()? as f64),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

fn seconds(value: &DeValue<'_>) -> Option<Duration> {
    number(value).filter(|seconds| (0.001..=86_400.0).contains(seconds)).map(Duration::from_secs_f64)
}

pub(super) fn unknown(what: &str, word: &str, known: &[&str], otherwise: &str) -> String {
    let hint = match nearest(word, known.iter().map(|name| (*name).to_owned())) {
        Some(near) => format!("did you mean {near}?"),
        None => otherwise.to_owned(),
    };
    format!("unknown {what} `{word}`: {hint}")
}
