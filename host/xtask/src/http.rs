//! The little HTTP that the demonstration and the benchmark need. It knows nothing of what the answers mean.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;

/// Longer than any answer of a node on this machine takes, results that are waited for included.
const TIMEOUT: Duration = Duration::from_secs(70);

/// One node's API, over connections that are kept open.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    base: String,
}

impl Api {
    /// The API on a port of this machine.
    pub fn new(port: u16) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(TIMEOUT));
        Self { agent: config.build().new_agent(), base: format!("http://127.0.0.1:{port}") }
    }

    /// A client with connections of its own.
    pub fn fresh(&self) -> Self {
        let port = self.base.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
        Self::new(port)
    }

    /// Where a person finds it.
    pub fn address(&self) -> &str {
        &self.base
    }

    /// The JSON that a path answers with.
    pub fn get(&self, path: &str) -> Result<Value> {
        let response = self.agent.get(format!("{}{path}", self.base)).call();
        let mut response = response.with_context(|| format!("GET {path} got no answer"))?;
        let status = response.status();
        let value = response.body_mut().with_config().limit(u64::MAX).read_json();
        judged("GET", path, status.as_u16(), value)
    }

    /// The JSON that a path answers with to this JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let response = self.agent.post(format!("{}{path}", self.base)).send_json(body);
        let mut response = response.with_context(|| format!("POST {path} got no answer"))?;
        let status = response.status();
        let value = response.body_mut().with_config().limit(u64::MAX).read_json();
        judged("POST", path, status.as_u16(), value)
    }
}

fn judged(verb: &str, path: &str, status: u16, value: Result<Value, ureq::Error>) -> Result<Value> {
    let value = value.with_context(|| format!("{verb} {path} answered {status} and no JSON"))?;
    if (200..300).contains(&status) {
        return Ok(value);
    }
    bail!("{verb} {path} answered {status}: {value}")
}
