//! Frequency, sleep states and the clock.

use crate::host::Conclusion;
use crate::host::probe::Probe;

/// A sleep state that takes longer than this to leave shows in the latency of an order.
const WAKE_US_MAX: u64 = 2;

pub(super) fn governor(probe: &Probe<'_>) -> Conclusion {
    let mut slow = Vec::new();
    let mut is_offered = false;
    for core in probe.hot.iter() {
        let file = format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        if let Some(governor) = probe.text(file) {
            is_offered = true;
            if governor != "performance" {
                slow.push(format!("core {core}: {governor}"));
            }
        }
    }
    match (is_offered, slow.is_empty()) {
        (false, _) => Conclusion::ok("frequency is not ours to set here"),
        (true, true) => Conclusion::ok("performance"),
        (true, false) => Conclusion::warn(
            slow.join(", "),
            "sudo cpupower frequency-set -g performance (or: sudo tuned-adm profile postern)",
        ),
    }
}

pub(super) fn idle_states(probe: &Probe<'_>) -> Conclusion {
    let mut deepest: Option<(u64, String)> = None;
    for core in probe.hot.iter() {
        let folder = format!("sys/devices/system/cpu/cpu{core}/cpuidle");
        for state in probe.names(&folder) {
            let is_off = probe.number::<u64>(format!("{folder}/{state}/disable")) == Some(1);
            let latency: Option<u64> = probe.number(format!("{folder}/{state}/latency"));
            let (Some(us), false) = (latency, is_off) else { continue };
            if us > WAKE_US_MAX && deepest.as_ref().is_none_or(|(most, _)| us > *most) {
                let name = probe.text(format!("{folder}/{state}/name")).unwrap_or(state);
                deepest = Some((us, format!("core {core} may sleep in {name}, {us} us to wake")));
            }
        }
    }
    match deepest {
        None => Conclusion::ok(format!("no hot core sleeps deeper than {WAKE_US_MAX} us")),
        Some((_, found)) => Conclusion::warn(
            found,
            format!("sudo cpupower idle-set -D {WAKE_US_MAX} (or: sudo tuned-adm profile postern)"),
        ),
    }
}

pub(super) fn clock_source(probe: &Probe<'_>) -> Conclusion {
    let folder = "sys/devices/system/clocksource/clocksource0";
    let current = probe.text(format!("{folder}/current_clocksource"));
    let available = probe.text(format!("{folder}/available_clocksource")).unwrap_or_default();
    match current.as_deref() {
        Some(source @ ("tsc" | "arch_sys_counter")) => Conclusion::ok(source),
        Some(source) if available.split_whitespace().any(|name| name == "tsc") => Conclusion::warn(
            format!("{source}: each clock read may be a system call"),
            format!("echo tsc | sudo tee /{folder}/current_clocksource; boot with clocksource=tsc"),
        ),
        Some(source) => Conclusion::warn(
            format!("{source}: the kernel found the processor's counter unstable"),
            "look for `clocksource` in the kernel log; boot with tsc=reliable if it is",
        ),
        None => Conclusion::warn("unknown", "mount /sys"),
    }
}

pub(super) fn tsc_invariant(probe: &Probe<'_>) -> Conclusion {
    let Some(info) = probe.text("proc/cpuinfo") else {
        return Conclusion::warn("unknown", "mount /proc");
    };
    let flags = info.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'));
    let Some((_, flags)) = flags else {
        return Conclusion::ok("this processor's counter is invariant by architecture");
    };
    let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
    let missing: Vec<&str> =
        ["constant_tsc", "nonstop_tsc"].into_iter().filter(|flag| !has(flag)).collect();
    if missing.is_empty() {
        return Conclusion::ok("constant_tsc nonstop_tsc");
    }
    Conclusion::warn(
        format!("no {}: stamps fall back to the kernel's clock", missing.join(" ")),
        "in a guest, have the hypervisor pass invtsc (QEMU: -cpu host,+invtsc); else other hardware",
    )
}
