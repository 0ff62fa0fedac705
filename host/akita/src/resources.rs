//! Measures this machine: CPU, memory, disk, network, temperature. It publishes the latest sample and keeps nothing
//! else; what a sample means for scheduling is decided elsewhere.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sysinfo::{
    Components, MemoryRefreshKind, Networks, Pid, ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One sample of this machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// How busy all cores are together, 0 to 100.
    pub cpu_percent: f32,
    /// Cores.
    pub cores: usize,
    /// Bytes.
    pub memory_total: u64,
    /// Bytes; what could be freed at once does not count as used.
    pub memory_used: u64,
    /// Bytes of the file system that holds the data folder.
    pub disk_total: u64,
    /// Bytes of it that the node may still use.
    pub disk_free: u64,
    /// Bytes per second received since the last sample, all interfaces but loopback.
    pub net_rx_bps: u64,
    /// Bytes per second sent since the last sample, all interfaces but loopback.
    pub net_tx_bps: u64,
    /// The hottest sensor, in degrees Celsius, where there is one.
    pub temperature_c: Option<f32>,
    /// The load average of the last minute; 0 where the system has none.
    pub load_1m: f64,
    /// Resident memory of this process, in bytes.
    pub process_rss: u64,
    /// When it was taken; none before the first.
    #[serde(skip)]
    pub taken: Option<Instant>,
}

/// How often the monitor looks whether it should end; a sample itself takes a few milliseconds.
const CANCEL_POLL: Duration = Duration::from_millis(100);

/// The second sample follows the first this soon: CPU and network are differences, so the first has none.
const SECOND_SAMPLE: Duration = Duration::from_secs(1);

/// Begins to measure on a thread of its own, every `interval`, until `cancel` is cancelled. Returns at once with an
/// empty sample; the first real one follows within a few milliseconds, one with CPU and network a second later.
pub fn spawn(interval: Duration, data_dir: PathBuf, cancel: CancellationToken) -> watch::Receiver<Resources> {
    let (sender, receiver) = watch::channel(Resources::default());
    let run = move || {
        let mut monitor = Monitor::new(data_dir);
        let mut pause = interval.min(SECOND_SAMPLE);
        loop {
            sender.send_replace(monitor.sample());
            if !wait(pause, &cancel) || sender.is_closed() {
                return;
            }
            pause = interval;
        }
    };
    // A plain thread: sensors may take long to read, and the runtime's threads have better things to do.
    if let Err(error) = thread::Builder::new().name("resources".into()).stack_size(256 << 10).spawn(run) {
        tracing::warn!(%error, "cannot measure this machine; the scheduler sees it as idle");
    }
    receiver
}

/// Waits, or returns false as soon as the monitor should end.
fn wait(pause: Duration, cancel: &CancellationToken) -> bool {
    let until = Instant::now() + pause;
    loop {
        if cancel.is_cancelled() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(CANCEL_POLL));
    }
}

/// Takes samples. Holds no process list, and opens sensors and interfaces once. What the system does not support
/// stays 0 in every sample.
pub struct Monitor {
    system: Option<System>,
    networks: Option<Networks>,
    sensors: Option<Components>,
    pid: Option<Pid>,
    data_dir: PathBuf,
    last: Option<Instant>,
}

impl Monitor {
    /// A monitor of this machine and of the file system that holds `data_dir`.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            system: System::new().ok(),
            networks: Networks::new().ok(),
            sensors: Components::new_with_refreshed_list().ok(),
            pid: get_current_pid().ok(),
            data_dir,
            last: None,
        }
    }

    /// Measures now. Rates and CPU use are those since the sample before; 0 in the first.
    pub fn sample(&mut self) -> Resources {
        let since = self.last.replace(Instant::now()).map(|last| last.elapsed());
        let mut sample = Resources {
            load_1m: System::load_average().map_or(0.0, |load| load.one),
            taken: self.last,
            ..Default::default()
        };
        (sample.disk_total, sample.disk_free) = disk(&self.data_dir);
        (sample.net_rx_bps, sample.net_tx_bps) = self.network_rates(since);
        sample.temperature_c = self.temperature();
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
            let busy = system.global_cpu_usage().clamp(0.0, 100.0);
            sample.cpu_percent = if since.is_some() { busy } else { 0.0 };
            sample.cores = system.cpus().len();
            sample.memory_total = system.total_memory();
            sample.memory_used = system.total_memory().saturating_sub(system.available_memory());
            sample.process_rss = self.pid.map_or(0, |pid| process_rss(system, pid));
        }
        sample
    }

    /// Bytes per second received and sent.
    fn network_rates(&mut self, since: Option<Duration>) -> (u64, u64) {
        let Some(networks) = &mut self.networks else { return (0, 0) };
        networks.refresh(true);
        let Some(seconds) = since.map(|since| since.as_secs_f64()).filter(|seconds| *seconds > 0.0) else {
            return (0, 0);
        };
        let real = networks.iter().filter(|(name, _)| *name != "lo" && *name != "lo0");
        let (rx, tx) = real.fold((0_u64, 0_u64), |(rx, tx), (_, data)| {
            (rx.saturating_add(data.received()), tx.saturating_add(data.transmitted()))
        });
        ((rx as f64 / seconds) as u64, (tx as f64 / seconds) as u64)
    }

    /// Sensors that are broken report absurd values; those are left out.
    fn temperature(&mut self) -> Option<f32> {
        let sensors = self.sensors.as_mut()?;
        sensors.refresh(false);
        let values = sensors.iter().filter_map(sysinfo::Component::temperature);
        values.filter(|celsius| (-60.0..=150.0).contains(celsius)).max_by(f32::total_cmp)
    }
}

fn process_rss(system: &mut System, pid: Pid) -> u64 {
    let only_memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, only_memory);
    system.process(pid).map_or(0, sysinfo::Process::memory)
}

/// Total and free bytes of the file system that holds `dir`, or its nearest folder that exists.
fn disk(dir: &Path) -> (u64, u64) {
    let exists = dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("."));
    (fs4::total_space(exists).unwrap_or(0), fs4::available_space(exists).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_sample_is_complete_and_rates_follow() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let cancel = CancellationToken::new();
        let missing = dir.path().join("not/yet/there");
        let mut latest = spawn(Duration::from_millis(50), missing, cancel.clone());
        let deadline = Duration::from_secs(30);
        tokio::time::timeout(deadline, latest.changed()).await.expect("in time").expect("it runs");
        let first = latest.borrow_and_update().clone();
        assert!(first.cores > 0 && first.memory_total > first.memory_used && first.memory_used > 0);
        assert!(first.disk_total >= first.disk_free && first.disk_total > 0);
        assert!(first.process_rss > 0, "{first:?}");
        assert_eq!((first.cpu_percent, first.net_rx_bps), (0.0, 0), "nothing to compare with yet");

        let again = latest.wait_for(|sample| *sample != first);
        tokio::time::timeout(deadline, again).await.expect("in time").expect("it runs");
        cancel.cancel();
        // The thread drops the sender when it ends.
        let ended = async { while latest.changed().await.is_ok() {} };
        tokio::time::timeout(deadline, ended).await.expect("the thread ends when it is cancelled");
    }

    #[test]
    fn a_sample_goes_through_json() {
        let sample = Resources { temperature_c: Some(41.5), cores: 4, ..Resources::default() };
        let text = serde_json::to_string(&sample).expect("it has a form");
        assert_eq!(serde_json::from_str::<Resources>(&text).expect("the same form"), sample);
    }
}
