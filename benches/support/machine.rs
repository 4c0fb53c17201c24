//! Where a thread runs, whether it was disturbed, and what machine this is.

use std::fs;
use std::sync::OnceLock;

use core_affinity::CoreId;

/// The cores the process might use when it was first asked: a pinned thread is told of its own only.
fn cores() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Puts the calling thread on the `index`-th core that the process may use, counted round.
pub fn pin(index: usize) {
    if let Some(core) = cores().get(index % core_count()) {
        core_affinity::set_for_current(*core);
    }
}

/// Cores the process may use.
pub fn core_count() -> usize {
    cores().len().max(1)
}

/// Asks for the calling thread to run before ordinary ones; whether it may. Only for windows of milliseconds with pauses,
/// and never with sockets: two such spinning threads starve the kernel's own.
pub fn run_first(first: bool) -> bool {
    let parameters = libc::sched_param { sched_priority: if first { 10 } else { 0 } };
    let policy = if first { libc::SCHED_FIFO } else { libc::SCHED_OTHER };
    // SAFETY: the calling thread's own policy, and parameters that live through the call.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

/// How often the calling thread was taken off its core against its will.
pub fn interruptions() -> i64 {
    // SAFETY: all zeros is a value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a structure that lives through the call.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    assert_eq!(result, 0, "the usage of the calling thread can always be asked");
    usage.ru_nivcsw
}

/// Processor, cores and kernel in one line.
pub fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} family {} model {}, {} cores, Linux {}, {}",
        field("model name").unwrap_or_else(|| "unknown processor".to_owned()),
        field("cpu family").unwrap_or_default(),
        field("model\t").unwrap_or_default(),
        core_count(),
        kernel.trim(),
        std::env::consts::ARCH,
    )
}
