//! Memory that the compiler has used and freed goes back to the system: the C library would keep it for the life of the process,
//! hundreds of megabytes after an interpreter of a scripting language. It frees nothing itself.

/// Has the C library give back what nobody uses. Takes some milliseconds; nothing else waits for it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a function of the C library that takes a number and touches only memory that was freed"
)]
pub(crate) fn give_back() {
    // SAFETY: it may be called at any time from any thread (malloc_trim(3): MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other C libraries give back what is large by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}
