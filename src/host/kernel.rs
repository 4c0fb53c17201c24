//! What the kernel does by itself, and what it allows.

use crate::host::Conclusion;
use crate::host::probe::Probe;

/// The first kernel with `SO_PREFER_BUSY_POLL` (Linux 5.11), which the AF_XDP path relies on.
const VERSION_MIN: (u32, u32) = (5, 11);

pub(super) fn open_files(probe: &Probe<'_>) -> Conclusion {
    let wanted = probe.wants.open_file_count;
    match probe.limit("Max open files") {
        Some(u64::MAX) => Conclusion::ok("unlimited"),
        Some(limit) if limit >= wanted => Conclusion::ok(format!("{limit}, {wanted} wanted")),
        Some(limit) => Conclusion::fail(
            format!("{limit}, {wanted} wanted"),
            format!("LimitNOFILE={wanted} in the unit; in a shell: ulimit -n {wanted}"),
        ),
        None => Conclusion::warn("unknown", "mount /proc"),
    }
}

pub(super) fn watchdog(probe: &Probe<'_>) -> Conclusion {
    match probe.number::<u64>("proc/sys/kernel/watchdog") {
        None => Conclusion::ok("not in this kernel"),
        Some(0) => Conclusion::ok("off"),
        Some(_) => {
            let watched = probe.cores("proc/sys/kernel/watchdog_cpumask");
            let hit = watched.map(|cores| cores.and(&probe.hot));
            match hit {
                Some(hit) if hit.is_empty() => Conclusion::ok("off on the hot cores"),
                Some(hit) => Conclusion::warn(
                    format!("on: wakes a kernel thread on hot core {hit} every four seconds"),
                    "sudo sysctl kernel.watchdog=0",
                ),
                None => Conclusion::warn("on", "sudo sysctl kernel.watchdog=0"),
            }
        }
    }
}

pub(super) fn rt_throttling(probe: &Probe<'_>) -> Conclusion {
    let runtime = probe.number::<i64>("proc/sys/kernel/sched_rt_runtime_us");
    match (probe.wants.real_time, runtime) {
        (false, _) => Conclusion::ok("no thread of ours is real-time"),
        (true, Some(-1)) => Conclusion::ok("off"),
        (true, Some(us)) => Conclusion::warn(
            format!("a spinning real-time thread is stopped after {us} us of each second"),
            "sudo sysctl kernel.sched_rt_runtime_us=-1",
        ),
        (true, None) => Conclusion::warn("unknown", "mount /proc"),
    }
}

pub(super) fn stat_interval(probe: &Probe<'_>) -> Conclusion {
    match probe.number::<u64>("proc/sys/vm/stat_interval") {
        Some(seconds) if seconds < 10 => Conclusion::warn(
            format!(
                "{seconds} s: a kernel worker sums up memory counters on every core this often"
            ),
            "sudo sysctl vm.stat_interval=120",
        ),
        Some(seconds) => Conclusion::ok(format!("{seconds} s")),
        None => Conclusion::ok("not in this kernel"),
    }
}

pub(super) fn version(probe: &Probe<'_>) -> Conclusion {
    let Some(release) = probe.text("proc/sys/kernel/osrelease") else {
        return Conclusion::warn("unknown", "mount /proc");
    };
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= VERSION_MIN {
        return Conclusion::ok(release);
    }
    let (major, minor) = VERSION_MIN;
    Conclusion::warn(
        format!("{release}: no preferred busy polling"),
        format!("run Linux {major}.{minor} or later"),
    )
}
