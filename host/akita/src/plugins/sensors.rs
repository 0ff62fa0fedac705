//! The operator's own sensors: each file of the grants is read now and then by a thread of its own, so that a file that
//! hangs keeps nobody waiting but itself. What is read last is what guests and operators see; nothing is kept.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use akita_sandbox::Reading;

use super::grants::{MAX_SENSORS, SensorSpec};

/// What is read of a file: a number and some words around it.
const MAX_BYTES: u64 = 4 << 10;
/// A read that takes longer counts as none: drivers that wait for a bus answer within a second or two.
const READ_TIME: Duration = Duration::from_secs(5);
/// Threads that may be there: one for each sensor, and as many that hang in files which are no longer asked for.
const MAX_THREADS: usize = 2 * MAX_SENSORS;
/// A reading thread needs a buffer and little else.
const STACK_BYTES: usize = 128 << 10;

/// What is known of one sensor.
#[derive(Debug)]
struct Latest {
    value: Result<f64, String>,
    /// When the value was read, or was found not to be readable.
    at: Instant,
    /// A read that is under way.
    begun: Option<Instant>,
}

struct Probe {
    spec: SensorSpec,
    latest: Arc<Mutex<Latest>>,
    /// Its end tells the thread to end.
    _stop: Sender<()>,
}

/// The sensors as they stand.
#[derive(Default)]
pub struct OperatorSensors {
    probes: Mutex<BTreeMap<String, Probe>>,
    threads: Arc<AtomicUsize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OperatorSensors {
    /// Reads these from now on, and no others. Paths are taken from the folder `dir`. What did not change goes on.
    pub fn set(&self, dir: &Path, specs: &BTreeMap<String, SensorSpec>) {
        let mut probes = lock(&self.probes);
        probes.retain(|name, probe| specs.get(name) == Some(&probe.spec));
        for (name, spec) in specs {
            if !probes.contains_key(name) {
                probes.insert(name.clone(), self.start(name, dir.join(&spec.file), spec.clone()));
            }
        }
    }

    /// The latest of each, sorted by name.
    pub fn readings(&self) -> Vec<Reading> {
        lock(&self.probes).iter().map(|(name, probe)| reading(name, probe)).collect()
    }

    fn start(&self, name: &str, path: PathBuf, spec: SensorSpec) -> Probe {
        let first = Latest { value: Err("it has not been read yet".into()), at: Instant::now(), begun: None };
        let latest = Arc::new(Mutex::new(first));
        let (stop, stopped) = mpsc::channel::<()>();
        let alive = Alive::one_more(&self.threads);
        let (name, shared, of) = (name.to_owned(), Arc::clone(&latest), spec.clone());
        let run = move |_alive: Alive| loop {
            lock(&shared).begun = Some(Instant::now());
            let value = read(&path, &of);
            tell(&name, &lock(&shared).value, &value);
            *lock(&shared) = Latest { value, at: Instant::now(), begun: None };
            if stopped.recv_timeout(of.every) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        };
        let failed = match alive {
            Some(alive) => {
                let thread = thread::Builder::new().name("sensor".into()).stack_size(STACK_BYTES);
                thread.spawn(move || run(alive)).err().map(|error| format!("its thread does not start: {error}"))
            }
            None => Some("too many files of other sensors do not answer; restart the node".to_owned()),
        };
        if let Some(why) = failed {
            tracing::warn!("a sensor is not read: {why}");
            lock(&latest).value = Err(why);
        }
        Probe { spec, latest, _stop: stop }
    }
}

/// One of the threads; counted as long as it is there.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn one_more(threads: &Arc<AtomicUsize>) -> Option<Alive> {
        let alive = Alive(Arc::clone(threads));
        (threads.fetch_add(1, Relaxed) < MAX_THREADS).then_some(alive)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn reading(name: &str, probe: &Probe) -> Reading {
    let latest = lock(&probe.latest);
    let hangs = latest.begun.is_some_and(|begun| begun.elapsed() > READ_TIME);
    let value = match &latest.value {
        _ if hangs => Err(format!("its file does not answer within {} s", READ_TIME.as_secs())),
        value => value.clone(),
    };
    let age_ms = u64::try_from(latest.at.elapsed().as_millis()).unwrap_or(u64::MAX);
    Reading { name: name.to_owned(), value, unit: probe.spec.unit.clone(), age_ms }
}

/// Tells a fault when it comes and when it goes, not each time that it is there.
fn tell(name: &str, before: &Result<f64, String>, now: &Result<f64, String>) {
    match (before, now) {
        (Err(old), Err(new)) if old == new => {}
        (_, Err(why)) => tracing::warn!(sensor = name, "a sensor cannot be read: {why}"),
        (Err(_), Ok(value)) => tracing::info!(sensor = name, value, "a sensor is read"),
        (Ok(_), Ok(_)) => {}
    }
}

/// Reads one value. Blocks.
fn read(path: &Path, spec: &SensorSpec) -> Result<f64, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    // Looked at before it is opened: opening a pipe would wait for somebody to write to it.
    let found = fs::metadata(path).map_err(failed)?;
    if !found.is_file() {
        return Err(format!("{} is no file", path.display()));
    }
    let age = found.modified().ok().and_then(|written| written.elapsed().ok()).unwrap_or_default();
    if spec.max_age.is_some_and(|most| age > most) {
        return Err(format!("{} was last written {} s ago", path.display(), age.as_secs()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes)).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let number = first_number(&text).ok_or_else(|| format!("{} holds no number", path.display()))?;
    let value = number * spec.scale + spec.offset;
    if value.is_finite() { Ok(value) } else { Err(format!("the number in {} is too large", path.display())) }
}

/// The first word that is a number, with or without a unit right behind it: `87`, `23.5°C`, `t=21375`.
fn first_number(text: &str) -> Option<f64> {
    let words = text.split(|c: char| c.is_whitespace() || "=:,;".contains(c));
    words.filter(|word| word.starts_with(['+', '-', '.']) || word.starts_with(|c: char| c.is_ascii_digit())).find_map(
        |word| {
            let end = word.rfind(|c: char| c.is_ascii_digit())? + 1;
            word[..end].parse::<f64>().ok().filter(|number| number.is_finite())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(file: &str) -> SensorSpec {
        SensorSpec {
            file: file.into(),
            unit: "celsius".into(),
            scale: 0.001,
            offset: -1.0,
            every: Duration::from_secs(3600),
            max_age: None,
        }
    }

    #[test]
    fn the_first_number_is_taken_whatever_stands_around_it() {
        let all = [("87\n", 87.0), ("temp: 23.5°C", 23.5), ("t=21375", 21_375.0), ("-4.5e1 V", -45.0), ("12%", 12.0)];
        for (text, expect) in all {
            assert_eq!(first_number(text), Some(expect), "{text}");
        }
        for text in ["", "off", "nan inf", "-", "1e999", "\u{0}"] {
            assert_eq!(first_number(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_is_scaled_and_what_is_none_is_explained() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("temp");
        let cannot = read(&path, &spec("temp")).expect_err("it is missing");
        assert!(cannot.contains("cannot read"), "{cannot}");
        fs::write(&path, "21500\n").expect("written");
        assert_eq!(read(&path, &spec("temp")), Ok(20.5));
        fs::write(&path, "broken").expect("written");
        assert!(read(&path, &spec("temp")).expect_err("no number").contains("holds no number"));
        assert!(read(dir.path(), &spec("temp")).expect_err("a folder").contains("is no file"));
    }

    #[test]
    fn a_value_that_was_written_long_ago_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("position");
        fs::write(&path, "47.1").expect("written");
        let old = std::time::SystemTime::now() - Duration::from_secs(1_000);
        File::options().append(true).open(&path).and_then(|file| file.set_modified(old)).expect("dated back");
        let strict = SensorSpec { max_age: Some(Duration::from_secs(600)), ..spec("position") };
        assert!(read(&path, &strict).expect_err("too old").contains("was last written 1000 s ago"));
        assert!(read(&path, &spec("position")).is_ok());
    }
}
