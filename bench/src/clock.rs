//! Two clocks of the system: one that all processes of a machine share, and the CPU time of another
//! process.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment of the past, the same in every process.
pub fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

/// CPU time that a running process has used with all its threads, in user mode and in the kernel.
/// Threads that have ended are counted.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().map_err(io::Error::other)?);
    let time = nix::time::clock_getcpuclockid(pid).and_then(clock_gettime)?;
    Ok(time.into())
}

/// There is no such clock on this system.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub fn cpu_time(_pid: u32) -> io::Result<Duration> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system does not tell the CPU time of another process",
    ))
}

/// When everything was made: now, in milliseconds since 1970.
pub fn created() -> u64 {
    shardstream::clock::Clock::system().now().wall.millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_move_forward() {
        let (before, used) = (monotonic(), cpu_time(std::process::id()).expect("Linux"));
        let sum: u64 = (0..2_000_000_u64).map(std::hint::black_box).sum();
        assert!(sum > 0 && monotonic() > before);
        assert!(cpu_time(std::process::id()).expect("Linux") > used);
    }
}
