//! Returns free memory to the system. This is a crate of its own, because all other crates forbid unsafe
//! code.

/// musl's own allocator has one lock for all threads: HTTP/2 and the management API take two to three times the
/// processor time with it. mimalloc returns free memory by itself.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Returns the memory that the allocator holds and the program does not use. Only glibc needs this call: it
/// holds the memory of a peak for as long as the process lives if a single small allocation lies above it.
///
/// The time grows with the number of the allocator's free pieces: some milliseconds after a peak of 100 MB.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim may be called at any time from any thread. It takes the allocator's own locks, and
    // touches no allocated memory.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The most free memory at the end of each of the allocator's areas that stays there, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MOST_AT_THE_END: i32 = 1 << 20;

/// Has the allocator return memory at the end of its areas as soon as that is free. glibc would raise the amount that
/// stays there with each large piece that it frees, up to 64 MB in each area, and [`give_back`] does not look there.
pub fn keep_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt may be called at any time from any thread, and this option only sets a number.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, MOST_AT_THE_END);
    }
}
