//! Relations between settings. Each is checked here once, so that no other module has to ask "what if".

use super::Settings;
use super::error::{ConfigError, Side};
use super::resolve::Entry;

/// Checks what no single setting can be checked for.
pub(super) fn check(settings: &Settings, entries: &[Entry]) -> Result<(), ConfigError> {
    let ack = settings.worker_ack_timeout;
    let processing = settings.worker_processing_timeout;
    let (input, output, memory) = (settings.max_input_bytes, settings.task_output_bytes, settings.task_memory_bytes);
    let relation = |holds: bool, first, relation, second| {
        let broken = || ConfigError::Relation { first: side(entries, first), relation, second: side(entries, second) };
        if holds { Ok(()) } else { Err(broken()) }
    };
    // A worker that has not acknowledged yet cannot be over its time to answer.
    relation(ack < processing, "WORKER_ACK_TIMEOUT_S", "must be less than", "WORKER_PROCESSING_TIMEOUT_S")?;
    // Otherwise the task would be given to another worker while the first still runs it.
    let fits = settings.task_timeout <= processing;
    relation(fits, "TASK_TIMEOUT_S", "must be at most", "WORKER_PROCESSING_TIMEOUT_S")?;
    // Announces that come less often while nobody was found would make the search the slower part.
    let eager = settings.discovery_interval <= settings.announce_interval;
    relation(eager, "DISCOVERY_INTERVAL_S", "must be at most", "ANNOUNCE_INTERVAL_S")?;
    // Input and output are copied into and out of the guest's memory.
    relation(input <= memory, "MAX_INPUT_BYTES", "must fit into", "TASK_MEMORY_MB")?;
    relation(output <= memory, "TASK_OUTPUT_BYTES", "must fit into", "TASK_MEMORY_MB")?;
    let fits = settings.blob_max_bytes <= settings.blob_store_bytes;
    relation(fits, "BLOB_MAX_BYTES", "must fit into", "BLOB_STORE_BYTES")?;

    if settings.api_server && !settings.api_host.is_loopback() && settings.valid_api_keys.is_empty() {
        let place = side(entries, "DEFAULT_API_HOST").place;
        return Err(ConfigError::OpenApi { host: settings.api_host.to_string(), place });
    }
    Ok(())
}

fn side(entries: &[Entry], name: &'static str) -> Box<Side> {
    let found = entries.iter().find(|entry| entry.spec.name == name);
    let found = found.expect("every name asked for is in the table");
    Box::new(Side { name, value: found.shown.clone().unwrap_or_default(), place: found.origin.clone() })
}
