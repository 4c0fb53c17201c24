//! Memory: locked, huge, roomy enough for Aeron, and not moved about.

use std::path::Path;

use crate::host::Conclusion;
use crate::host::probe::{Probe, bytes_text};
use crate::runtime::memory::{self, LOCK_BYTES_MIN};

pub(super) fn memory_lock(probe: &Probe<'_>) -> Conclusion {
    if !probe.wants.lock_memory {
        return Conclusion::ok("not wanted by the configuration");
    }
    if memory::can_exceed_limit(probe.root()) {
        return Conclusion::ok("CAP_IPC_LOCK: no limit applies");
    }
    match probe.hard_limit("Max locked memory") {
        Some(u64::MAX) => Conclusion::ok("unlimited"),
        Some(limit) if limit >= LOCK_BYTES_MIN => Conclusion::ok(bytes_text(limit)),
        Some(limit) => Conclusion::warn(
            format!(
                "limit {}: pages can be taken from us, and fault when touched",
                bytes_text(limit)
            ),
            "LimitMEMLOCK=infinity in the unit; in a shell: sudo prlimit --memlock=unlimited --pid $$",
        ),
        None => Conclusion::warn("unknown", "mount /proc"),
    }
}

pub(super) fn huge_pages(probe: &Probe<'_>) -> Conclusion {
    let wanted = probe.wants.huge_page_count;
    let free = probe.number::<u64>("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    match free {
        Some(free) if free >= wanted => {
            Conclusion::ok(format!("{free} of 2 MiB free, {wanted} wanted"))
        }
        Some(free) => Conclusion::warn(
            format!("{free} of 2 MiB free, {wanted} wanted: ordinary pages are used instead"),
            reserve(wanted),
        ),
        None if wanted == 0 => Conclusion::ok("none wanted, none offered"),
        None => Conclusion::warn(
            format!("this kernel offers none of 2 MiB, {wanted} wanted: ordinary pages are used"),
            "run a kernel with CONFIG_HUGETLBFS",
        ),
    }
}

fn reserve(wanted: u64) -> String {
    format!("sudo sysctl vm.nr_hugepages={wanted}; at boot: tuning/sysctl.d/60-postern.conf")
}

pub(super) fn transparent_huge_pages(probe: &Probe<'_>) -> Conclusion {
    let Some(modes) = probe.text("sys/kernel/mm/transparent_hugepage/enabled") else {
        return Conclusion::ok("not in this kernel");
    };
    if !modes.contains("[always]") {
        return Conclusion::ok(modes);
    }
    Conclusion::warn(
        "always: the kernel stalls threads while it merges their pages",
        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
    )
}

pub(super) fn swappiness(probe: &Probe<'_>) -> Conclusion {
    let swaps = probe.text("proc/swaps").unwrap_or_default();
    if swaps.lines().count() <= 1 {
        return Conclusion::ok("no swap");
    }
    match probe.number::<u64>("proc/sys/vm/swappiness") {
        Some(value) if value <= 10 => Conclusion::ok(value.to_string()),
        Some(value) => Conclusion::warn(
            format!("{value}: the kernel swaps out what was idle"),
            "sudo sysctl vm.swappiness=10",
        ),
        None => Conclusion::warn("unknown", "mount /proc"),
    }
}

pub(super) fn numa_balancing(probe: &Probe<'_>) -> Conclusion {
    match probe.number::<u64>("proc/sys/kernel/numa_balancing") {
        None => Conclusion::ok("not in this kernel"),
        Some(0) => Conclusion::ok("off"),
        Some(_) => Conclusion::warn(
            "on: the kernel unmaps pages to see who uses them",
            "sudo sysctl kernel.numa_balancing=0",
        ),
    }
}

pub(super) fn aeron_space(probe: &Probe<'_>) -> Conclusion {
    let wanted = probe.wants.aeron_bytes;
    let dir = &probe.wants.aeron_dir;
    let Some((point, kind, options)) = mount_of(probe, dir) else {
        return Conclusion::warn(format!("what {} is on is unknown", dir.display()), "mount /proc");
    };
    if kind != "tmpfs" && kind != "hugetlbfs" {
        return Conclusion::warn(
            format!("{} is on {kind}: log buffers would be written to disk", dir.display()),
            "set aeron.dir to a folder in /dev/shm",
        );
    }
    // What tmpfs does not say is its default: half of the memory (tmpfs(5)).
    let size = options.split(',').find_map(|option| parse_size(option.strip_prefix("size=")?));
    let size = size.or_else(|| Some(total_memory_bytes(probe)? / 2));
    match size {
        Some(size) if size >= wanted => {
            Conclusion::ok(format!("{point}: {}, {} wanted", bytes_text(size), bytes_text(wanted)))
        }
        Some(size) => Conclusion::fail(
            format!(
                "{point}: {}, {} wanted; a full one kills with SIGBUS",
                bytes_text(size),
                bytes_text(wanted)
            ),
            format!("sudo mount -o remount,size={wanted} {point}; docker: --shm-size={wanted}"),
        ),
        None => Conclusion::warn(format!("{point}: size unknown"), "mount /proc"),
    }
}

/// The mount point a folder is on, its file system and its options: the last of the longest that contain it.
fn mount_of(probe: &Probe<'_>, folder: &Path) -> Option<(String, String, String)> {
    let mounts = probe.text("proc/mounts")?;
    let mut best: Option<(usize, (String, String, String))> = None;
    for line in mounts.lines() {
        let mut fields = line.split_whitespace();
        let (Some(_), Some(point), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let is_better = best.as_ref().is_none_or(|(length, _)| point.len() >= *length);
        if folder.starts_with(point) && is_better {
            best = Some((point.len(), (point.to_owned(), kind.to_owned(), options.to_owned())));
        }
    }
    best.map(|(_, mount)| mount)
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'm', 'g']);
    let number: u64 = digits.parse().ok()?;
    match text.get(digits.len()..)? {
        "" => Some(number),
        "k" => number.checked_mul(1 << 10),
        "m" => number.checked_mul(1 << 20),
        "g" => number.checked_mul(1 << 30),
        _ => None,
    }
}

fn total_memory_bytes(probe: &Probe<'_>) -> Option<u64> {
    let info = probe.text("proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}
