//! Asks a plugin what it is: one call of `describe` under limits of its own, with no grants. What it answers is
//! checked in `info`.

use tokio_util::sync::CancellationToken;

use crate::bindings::{Guest, GuestPre, types};
use crate::events::Events;
use crate::explain::explain;
use crate::info::{ActionInfo, PluginInfo};
use crate::limits::{Limits, Meter};
use crate::outcome::Failure;
use crate::run::{Surroundings, guarded};
use crate::store::{Attempt, RunState, new_store};

/// Why a plugin did not say what it is.
#[derive(Debug)]
pub(crate) enum DescribeError {
    /// Its exports have our names and other types: wasmtime compares them when they are first taken.
    Types(wasmtime::Error),
    /// It was called and failed.
    Failed(Failure),
}

/// Lets a plugin say what it is.
pub(crate) async fn describe(
    around: Surroundings,
    guest: GuestPre<RunState>,
    limits: Limits,
) -> Result<PluginInfo, DescribeError> {
    let events = Events::new(None, &limits);
    let attempt = Attempt::start(String::new(), 0, limits.timeout, CancellationToken::new(), around.shutdown);
    let meter = Meter::new(limits.memory_bytes, around.budget);
    let mut store = new_store(&around.engine, &limits, meter, events, attempt);
    let described = guarded(&mut store, async |store| {
        let instance = guest.instance_pre().instantiate_async(&mut *store).await?;
        let guest = match Guest::new(&mut *store, &instance) {
            Ok(guest) => guest,
            Err(error) => return Ok(Err(DescribeError::Types(error))),
        };
        guest.akita_plugin_actions().call_describe(store).await.map(|info| Ok(info.into()))
    })
    .await;
    described.unwrap_or_else(|error| Err(DescribeError::Failed(explain(&error, store.data(), &limits))))
}

impl From<types::PluginInfo> for PluginInfo {
    fn from(info: types::PluginInfo) -> Self {
        Self {
            name: info.name,
            version: info.version,
            summary: info.summary,
            actions: info.actions.into_iter().map(Into::into).collect(),
            provides: info.provides,
            annotations: info.annotations,
        }
    }
}

impl From<types::ActionInfo> for ActionInfo {
    fn from(action: types::ActionInfo) -> Self {
        Self {
            name: action.name,
            summary: action.summary,
            input_schema: action.input_schema,
            output_schema: action.output_schema,
            idempotent: action.idempotent,
            deterministic: action.deterministic,
            typical_ms: action.typical_ms,
            requires: action.requires,
            annotations: action.annotations,
        }
    }
}
