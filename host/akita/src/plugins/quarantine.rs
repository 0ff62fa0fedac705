//! Counts crashes: a plugin that crashes again and again, and never does what it should in between, is set aside. It
//! only counts; who is set aside is kept in `notes`.

use std::collections::HashMap;

use akita_sandbox::{FailureKind, Outcome};

/// Crashes in a row after which a plugin is set aside. A bug that one input in many brings out does not reach it; a
/// plugin that is broken here takes five tasks with it.
pub const MAX_CRASHES: u32 = 5;

/// BLAKE3 of a plugin's file.
pub type Hash = [u8; 32];

/// What an outcome says of the plugin itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It works: it gave a result, or a failure in its own words.
    Works,
    /// It crashed, or made the host fail.
    Crashed,
    /// Nothing: a limit, a cancellation, a lack of the machine's.
    Nothing,
}

impl Sign {
    /// Of one outcome. A limit that was reached is the task's as often as the plugin's, so it counts for nothing.
    pub fn of(outcome: &Outcome) -> Sign {
        let Err(failure) = outcome else { return Sign::Works };
        match failure.kind {
            FailureKind::Trap => Sign::Crashed,
            FailureKind::Internal if failure.code.as_deref() == Some("host-panic") => Sign::Crashed,
            FailureKind::InvalidInput | FailureKind::Permanent | FailureKind::Retryable => Sign::Works,
            _ => Sign::Nothing,
        }
    }
}

/// Crashes in a row, by plugin.
#[derive(Debug, Default)]
pub struct Tally(HashMap<Hash, u32>);

impl Tally {
    /// Counts one outcome. `true` when it was one crash too many; the count then begins anew.
    pub fn note(&mut self, plugin: &Hash, sign: Sign) -> bool {
        match sign {
            Sign::Nothing => {}
            Sign::Works => {
                self.0.remove(plugin);
            }
            Sign::Crashed => {
                let crashes = self.0.entry(*plugin).or_default();
                *crashes += 1;
                if *crashes >= MAX_CRASHES {
                    self.0.remove(plugin);
                    return true;
                }
            }
        }
        false
    }

    /// Forgets all but these.
    pub fn keep(&mut self, present: impl Fn(&Hash) -> bool) {
        self.0.retain(|plugin, _| present(plugin));
    }
}

#[cfg(test)]
mod tests {
    use akita_sandbox::{Content, Failure};

    use super::*;

    const ONE: Hash = [1; 32];
    const OTHER: Hash = [2; 32];

    #[test]
    fn crashes_in_a_row_are_too_many_and_one_success_starts_anew() {
        let mut tally = Tally::default();
        for _ in 1..MAX_CRASHES {
            assert!(!tally.note(&ONE, Sign::Crashed));
            assert!(!tally.note(&OTHER, Sign::Crashed));
            assert!(!tally.note(&OTHER, Sign::Works));
        }
        assert!(!tally.note(&ONE, Sign::Nothing), "a limit neither counts nor helps");
        assert!(tally.note(&ONE, Sign::Crashed));
        assert!(!tally.note(&ONE, Sign::Crashed), "the count begins anew");
        assert!(!tally.note(&OTHER, Sign::Crashed));
    }

    #[test]
    fn plugins_that_are_gone_are_forgotten() {
        let mut tally = Tally::default();
        tally.note(&ONE, Sign::Crashed);
        tally.keep(|_| false);
        assert!(tally.0.is_empty());
    }

    #[test]
    fn only_a_crash_counts_against_a_plugin() {
        let failed = |kind| Err(Failure::new(kind, "x"));
        assert_eq!(Sign::of(&Ok(Content { content_type: String::new(), body: vec![] })), Sign::Works);
        for kind in FailureKind::ALL {
            let expect = match kind {
                FailureKind::Trap => Sign::Crashed,
                FailureKind::InvalidInput | FailureKind::Permanent | FailureKind::Retryable => Sign::Works,
                _ => Sign::Nothing,
            };
            assert_eq!(Sign::of(&failed(kind)), expect, "{kind}");
        }
        let panicked = Failure { code: Some("host-panic".into()), ..Failure::new(FailureKind::Internal, "x") };
        assert_eq!(Sign::of(&Err(panicked)), Sign::Crashed);
    }
}
