//! What is behind the interfaces that are granted: durable values in the node's database, readings of its machine.

use akita_sandbox::{HostFuture, KvEntry, KvError, KvHost, Reading, SensorHost};
use tokio::sync::watch;

use crate::{
    resources::Resources,
    store::{Put, Store, StoreError},
};

/// The values of one plugin.
pub struct PluginKv {
    /// Where they lie.
    pub store: Store,
    /// Whose they are.
    pub plugin: String,
    /// Bytes of its keys and values together.
    pub quota: u64,
}

fn unavailable(error: StoreError) -> KvError {
    tracing::warn!(%error, "a plugin's values cannot be reached");
    KvError::Unavailable("the node's database does not answer".to_owned())
}

impl KvHost for PluginKv {
    fn get(&self, key: String) -> HostFuture<'_, Result<Option<KvEntry>, KvError>> {
        Box::pin(async move {
            let found = self.store.kv_get(self.plugin.clone(), key).await.map_err(unavailable)?;
            Ok(found.map(|(value, version)| KvEntry { value, version }))
        })
    }

    // A write that was handed to the store's thread is done, also if nobody waits for its end any more.
    fn put(&self, key: String, value: Vec<u8>, expected: Option<u64>) -> HostFuture<'_, Result<u64, KvError>> {
        Box::pin(async move {
            let put = self.store.kv_put(self.plugin.clone(), key, value, expected, self.quota).await;
            match put.map_err(unavailable)? {
                Put::Done(version) => Ok(version),
                Put::Conflict(present) => Err(KvError::Conflict(present)),
                Put::OverQuota => Err(KvError::OverQuota(self.quota)),
            }
        })
    }

    fn delete(&self, key: String) -> HostFuture<'_, Result<bool, KvError>> {
        Box::pin(async move { self.store.kv_delete(self.plugin.clone(), key).await.map_err(unavailable) })
    }

    fn list(&self, prefix: String, after: Option<String>, limit: u32) -> HostFuture<'_, Result<Vec<String>, KvError>> {
        Box::pin(
            async move { self.store.kv_list(self.plugin.clone(), prefix, after, limit).await.map_err(unavailable) },
        )
    }
}

/// The machine, as the node's monitor measures it.
pub struct MachineSensors(pub watch::Receiver<Resources>);

impl SensorHost for MachineSensors {
    fn readings(&self) -> Vec<Reading> {
        let sample = self.0.borrow().clone();
        let age = sample.taken.map(|taken| taken.elapsed().as_millis()).unwrap_or_default();
        readings(&sample, u64::try_from(age).unwrap_or(u64::MAX))
    }
}

/// What a sample says, sorted by name. No value is told before the first one.
fn readings(sample: &Resources, age_ms: u64) -> Vec<Reading> {
    let measured = sample.taken.is_some();
    let reading = |name: &str, value: f64, unit: &str| Reading {
        name: name.to_owned(),
        value: measured.then_some(value),
        unit: unit.to_owned(),
        age_ms,
    };
    // Bytes of a machine are far below what a float holds exactly.
    let mut all = vec![
        reading("cpu", f64::from(sample.cpu_percent), "percent"),
        reading("disk-free", sample.disk_free as f64, "bytes"),
        reading("disk-total", sample.disk_total as f64, "bytes"),
        reading("load-1m", sample.load_1m, "processes"),
        reading("memory-total", sample.memory_total as f64, "bytes"),
        reading("memory-used", sample.memory_used as f64, "bytes"),
    ];
    if let Some(celsius) = sample.temperature_c {
        all.push(reading("temperature", f64::from(celsius), "celsius"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensor_is_listed_where_the_machine_has_it() {
        let taken = Some(std::time::Instant::now());
        let mut sample = Resources { memory_total: 8, memory_used: 2, taken, ..Resources::default() };
        let names = |sample: &Resources| readings(sample, 0).into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert!(!names(&sample).contains(&"temperature".to_owned()));
        sample.temperature_c = Some(40.5);
        let all = names(&sample);
        assert!(all.is_sorted() && all.contains(&"temperature".to_owned()), "{all:?}");
        let used = readings(&sample, 3).into_iter().find(|one| one.name == "memory-used").expect("it is listed");
        assert_eq!((used.value, used.unit.as_str(), used.age_ms), (Some(2.0), "bytes", 3));
        assert!(readings(&Resources::default(), 0).iter().all(|one| one.value.is_none()), "nothing measured yet");
    }
}
