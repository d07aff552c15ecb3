//! CPU time and memory of a process, from the kernel.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What the process had used at one moment.
pub struct Usage {
    at: Instant,
    cpu: Duration,
}

/// What the process used between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// Time on the wall.
    pub seconds: f64,
    /// CPU time of all threads, in user and kernel mode.
    pub cpu_seconds: f64,
}

impl Usage {
    /// What it has used up to now.
    pub fn now() -> Usage {
        Usage { at: Instant::now(), cpu: cpu(ClockId::ProcessCPUTime) }
    }

    /// What it has used since then.
    pub fn used(&self) -> Used {
        let cpu_seconds = (cpu(ClockId::ProcessCPUTime) - self.cpu).as_secs_f64();
        Used { seconds: self.at.elapsed().as_secs_f64(), cpu_seconds }
    }
}

/// CPU time that the calling thread has used since it began.
pub fn of_thread() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Lets the peak of resident memory begin anew; where the kernel does not, it is that of the whole run.
pub fn forget_peak() {
    // Linux: 5 resets the high water mark.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most resident memory since the start or [`forget_peak`], bytes; `None` where the kernel does not tell.
pub fn peak_bytes() -> Option<u64> {
    of_status("self", "VmHWM:")
}

/// Resident memory of a process now, and the most that it was, bytes; `None` where the kernel does not tell.
pub fn resident_bytes(process: u32) -> Option<(u64, u64)> {
    let process = process.to_string();
    Some((of_status(&process, "VmRSS:")?, of_status(&process, "VmHWM:")?))
}

/// A figure of /proc/PROCESS/status, bytes.
fn of_status(process: &str, figure: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
