//! Gives memory that is free back to the system. A crate of its own, since all others forbid unsafe code.

/// Returns what the allocator holds and nobody uses. glibc alone needs to be told: it keeps the memory of a peak for
/// as long as the process lives, where a single small allocation lies above it.
///
/// Takes as long as the allocator's free pieces are many: some milliseconds after a peak of 100 MB.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time from any thread; it takes the allocator's own locks, and touches
    // nothing that is allocated.
    unsafe {
        libc::malloc_trim(0);
    }
}
