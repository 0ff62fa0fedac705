//! How the machine's scheduler sees the threads that run guests: behind those that keep the node reachable. It decides
//! nothing about guests among themselves.

/// Politeness of a thread that runs guests, as in `nice`. With every core taken by endless loops, a request to the node
/// waited for up to 5 ms, and one over the mesh for up to 15; with this, 0.5 and 4. More gains little, and would leave a
/// guest too little beside other programs.
const NICENESS: i32 = 10;

/// Makes the calling thread polite. Where that cannot be, guests run as everything else does.
pub(crate) fn lower() {
    #[cfg(target_os = "linux")]
    {
        // On Linux a thread has a niceness of its own.
        let thread = rustix::thread::gettid();
        // One that was started politely may be more so already.
        let set = || match rustix::process::getpriority_process(Some(thread))? {
            found if found < NICENESS => rustix::process::setpriority_process(Some(thread), NICENESS),
            _ => Ok(()),
        };
        if let Err(error) = set() {
            tracing::debug!(%error, "the priority of a thread that runs guests could not be lowered");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_lowered_alone() {
        let niceness = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).expect("it is known");
        let before = niceness();
        let lowered = std::thread::spawn(move || {
            lower();
            niceness()
        });
        assert_eq!(lowered.join().expect("it ends"), before.max(NICENESS));
        assert_eq!(niceness(), before);
    }
}
