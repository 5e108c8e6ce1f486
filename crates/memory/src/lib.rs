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

/// Has the allocator hold little memory that the program does not use. This works for the future alone, so the call
/// belongs at a program's start, before its threads.
///
/// Two settings of glibc do this:
///
/// - There are as many of the allocator's areas as processors. By default there are eight times as many, and every
///   thread that reads the store leaves the remains of its peak in an area of its own.
/// - Memory at the end of an area goes back as soon as it is free. By default, the amount that stays there grows with
///   each large piece that is freed, up to 64 MB, and [`give_back`] does not look there.
pub fn hold_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let areas = i32::try_from(processors).unwrap_or(i32::MAX);
        // SAFETY: mallopt may be called at any time from any thread, and these options only set a number.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, MOST_AT_THE_END);
            libc::mallopt(libc::M_ARENA_MAX, areas);
        }
    }
}
