//! Looks at everything that may differ between two runs on one input. In deterministic mode nothing does, on no machine.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use akita_plugin::prelude::*;
use serde_json::{Value, json};
use wasip2::random::{insecure, insecure_seed, random};

/// Work for the floating point unit: enough that an error in the last bit of one step shows.
const STEPS: u32 = 10_000;

/// All of it.
pub fn everything(input: &[u8]) -> String {
    let started = Instant::now();
    thread::sleep(Duration::from_millis(50));
    json!({
        "order": order(input),
        "random": format!("{:016x}", random::get_random_u64()),
        "insecure": format!("{:016x}", insecure::get_insecure_random_u64()),
        "seed": format!("{:x?}", insecure_seed::insecure_seed()),
        "wall_ns": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos()).to_string(),
        "elapsed_ns": started.elapsed().as_nanos().to_string(),
        "id": task::id(),
        "attempt": task::attempt(),
        "floats": floats(input),
    })
    .to_string()
}

/// The order of a hash map and of a hash set, each with a seed of its own.
fn order(input: &[u8]) -> Value {
    let words: Vec<String> = (0..40).map(|number| format!("{number}-{}", input.len())).collect();
    let map: HashMap<&String, usize> = words.iter().zip(0..).collect();
    let set: HashSet<usize> = map.values().copied().collect();
    json!([map.into_values().collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>()])
}

/// The bits of sums, roots and quotients, and of some that are no number.
fn floats(input: &[u8]) -> Value {
    let mut sum = 0.1_f64 + input.len() as f64;
    let mut narrow = 0.1_f32;
    for step in 1..=STEPS {
        let step = f64::from(step);
        sum = black_box(sum.mul_add(1.000_1, (sum / step).sqrt()).sin() + step.ln());
        narrow = black_box(narrow * 1.000_1 + (narrow / step as f32).sqrt());
    }
    // In two boxes each, so that neither compiler nor lints know what comes out.
    let (zero, nought) = (black_box(0.0_f64), black_box(0.0_f64));
    let (much, more) = (black_box(f64::INFINITY), black_box(f64::INFINITY));
    let nothing = [zero / nought, (-1.0 - zero).sqrt(), (much - more) * zero];
    let bits: Vec<String> = nothing.iter().map(|one| format!("{:016x}", one.to_bits())).collect();
    json!({ "wide": format!("{:016x}", sum.to_bits()), "narrow": format!("{:08x}", narrow.to_bits()), "nan": bits })
}
