//! What is behind the interfaces that are granted: durable values in the node's database, readings of its machine and of
//! its operator's own sensors.

use std::{collections::BTreeMap, sync::Arc};

use akita_sandbox::{BlobError, BlobHost, HostFuture, KvEntry, KvError, KvHost, Reading, SensorHost};
use tokio::sync::watch;

use super::sensors::OperatorSensors;
use crate::{
    blobs::{BlobFault, BlobId, Blobs, Owner},
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

/// The blobs that one plugin reaches: all that it can name, and those that it puts.
pub struct PluginBlobs {
    /// Where they lie.
    pub blobs: Blobs,
    /// Whose name is on what it puts, and how much that may be.
    pub owner: Owner,
}

fn blob_error(fault: BlobFault) -> BlobError {
    match fault {
        BlobFault::NotFound => BlobError::NotFound,
        BlobFault::TooLarge(most) => BlobError::TooLarge(most),
        BlobFault::OverQuota(quota) => BlobError::OverQuota(quota),
        BlobFault::NoRoom(_) | BlobFault::Silent(_) | BlobFault::Unavailable(_) => {
            BlobError::Unavailable(fault.to_string())
        }
    }
}

/// The sandbox has checked that it is one; it is not a blob's name for anybody who gets here otherwise.
fn blob_id(id: &str) -> Result<BlobId, BlobError> {
    BlobId::parse(id).ok_or(BlobError::NotFound)
}

impl BlobHost for PluginBlobs {
    fn size(&self, id: String) -> HostFuture<'_, Result<u64, BlobError>> {
        Box::pin(async move { self.blobs.size(blob_id(&id)?).await.map_err(blob_error) })
    }

    fn read(&self, id: String, offset: u64, max: u32) -> HostFuture<'_, Result<Vec<u8>, BlobError>> {
        Box::pin(async move {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            let read = self.blobs.read(blob_id(&id)?, offset, max).await;
            read.map(|(_, bytes)| bytes).map_err(blob_error)
        })
    }

    fn put(&self, bytes: Vec<u8>) -> HostFuture<'_, Result<String, BlobError>> {
        Box::pin(async move {
            let put = self.blobs.shelf().put(self.owner.clone(), bytes).await;
            put.map(|id| id.to_string()).map_err(blob_error)
        })
    }
}

/// What one plugin sees: the machine, as the node's monitor measures it, and what the operator exposes.
pub struct PluginSensors {
    /// The machine.
    pub machine: watch::Receiver<Resources>,
    /// The operator's; one that has the name of a machine's takes its place.
    pub operator: Arc<OperatorSensors>,
    /// Only these, where the grant names some.
    pub only: Option<Arc<[String]>>,
}

impl SensorHost for PluginSensors {
    fn readings(&self) -> Vec<Reading> {
        let sample = self.machine.borrow().clone();
        let age = sample.taken.map(|taken| taken.elapsed().as_millis()).unwrap_or_default();
        let machine = readings(&sample, u64::try_from(age).unwrap_or(u64::MAX));
        merge(machine, self.operator.readings(), self.only.as_deref())
    }
}

/// All of both sorted by name, but for what is not in `only`.
fn merge(machine: Vec<Reading>, operator: Vec<Reading>, only: Option<&[String]>) -> Vec<Reading> {
    let all = machine.into_iter().chain(operator).map(|one| (one.name.clone(), one));
    let by_name: BTreeMap<String, Reading> = all.collect();
    by_name.into_values().filter(|one| only.is_none_or(|only| only.contains(&one.name))).collect()
}

/// What a sample says, sorted by name. No value is told before the first one.
fn readings(sample: &Resources, age_ms: u64) -> Vec<Reading> {
    let measured = sample.taken.is_some();
    let reading = |name: &str, value: f64, unit: &str| Reading {
        name: name.to_owned(),
        value: measured.then_some(value).ok_or_else(|| format!("{name} has not been measured yet")),
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
        assert_eq!((used.value, used.unit.as_str(), used.age_ms), (Ok(2.0), "bytes", 3));
        assert!(readings(&Resources::default(), 0).iter().all(|one| one.value.is_err()), "nothing measured yet");
    }

    #[test]
    fn the_operators_value_comes_before_the_machines_and_a_grant_may_name_what_is_seen() {
        let one = |name: &str, value: f64| Reading { name: name.into(), value: Ok(value), unit: "x".into(), age_ms: 0 };
        let machine = vec![one("cpu", 1.0), one("temperature", 2.0)];
        let operator = vec![one("battery", 3.0), one("temperature", 4.0)];
        let all = merge(machine.clone(), operator.clone(), None);
        let told: Vec<_> = all.iter().map(|one| (one.name.as_str(), one.value.clone())).collect();
        assert_eq!(told, [("battery", Ok(3.0)), ("cpu", Ok(1.0)), ("temperature", Ok(4.0))]);
        let only = ["battery".to_owned(), "nothing".to_owned()];
        assert_eq!(merge(machine, operator.clone(), Some(&only)), operator[..1]);
    }
}
