//! The cores of the hot threads: there, ours alone, and left in peace.

use crate::host::Conclusion;
use crate::host::probe::Probe;
use crate::runtime::{self, CoreSet};

pub(super) fn available(probe: &Probe<'_>) -> Conclusion {
    let online = probe.online();
    let allowed = cpuset(probe).map_or(online.clone(), |cores| cores.and(&online));
    let missing = probe.hot.without(&online);
    let excluded = probe.hot.and(&online).without(&allowed);
    if !missing.is_empty() {
        return Conclusion::fail(
            format!("core {missing} is not there or offline; online: {online}"),
            "configure other cores, or choose runtime.layout = \"auto\"",
        );
    }
    if !excluded.is_empty() {
        return Conclusion::fail(
            format!("core {excluded} is outside this control group, which has {allowed}"),
            "set AllowedCPUs= of the unit or slice, or docker --cpuset-cpus, to include it",
        );
    }
    Conclusion::ok(format!("hot cores {} of {allowed}", probe.hot))
}

/// The cores of this process's control group (version 2), or of the nearest one above that says.
fn cpuset(probe: &Probe<'_>) -> Option<CoreSet> {
    let groups = probe.text("proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut path = path.trim_matches('/');
    loop {
        let file = format!("sys/fs/cgroup/{path}/cpuset.cpus.effective");
        match probe.cores(file) {
            Some(cores) if !cores.is_empty() => return Some(cores),
            Some(_) | None if path.is_empty() => return None,
            Some(_) | None => path = path.rsplit_once('/').map_or("", |(parent, _)| parent),
        }
    }
}

pub(super) fn shared(probe: &Probe<'_>) -> Conclusion {
    const REMEDY: &str = "give each spinning thread a core of its own, or set its idle = \"yield\"";
    let mut sharing = Vec::new();
    for (index, thread) in probe.wants.hot.iter().enumerate() {
        let rest = probe.wants.hot.get(index + 1..).unwrap_or_default();
        let others = rest.iter().filter(|other| other.core == thread.core);
        for other in others.filter(|other| thread.spins || other.spins) {
            sharing.push(format!("{} and {} on core {}", thread.name, other.name, thread.core));
        }
    }
    let spinning = probe.wants.hot.iter().filter(|thread| thread.spins);
    for thread in spinning.filter(|thread| probe.wants.housekeeping.contains(thread.core)) {
        sharing.push(format!("{} and everything else on core {}", thread.name, thread.core));
    }
    if sharing.is_empty() {
        Conclusion::ok("no thread spins on a core that another needs")
    } else {
        Conclusion::warn(sharing.join("; "), REMEDY)
    }
}

pub(super) fn isolated(probe: &Probe<'_>) -> Conclusion {
    let isolated = runtime::isolated(probe.root());
    let bare = probe.hot.without(&isolated);
    if bare.is_empty() {
        return Conclusion::ok(format!("isolated: {isolated}"));
    }
    let remedy = format!(
        "boot with isolcpus=managed_irq,domain,{} (tuning/grub.d/60-postern.cfg)",
        probe.hot
    );
    Conclusion::warn(format!("hot core {bare} is not isolated: anything may run there"), remedy)
}

pub(super) fn nohz_full(probe: &Probe<'_>) -> Conclusion {
    let tickless = probe
        .cores("sys/devices/system/cpu/nohz_full")
        .or_else(|| probe.boot_parameter("nohz_full")?.parse().ok())
        .unwrap_or_default();
    let ticking = probe.hot.without(&tickless);
    if ticking.is_empty() {
        return Conclusion::ok(format!("without a timer tick: {tickless}"));
    }
    let remedy = format!("boot with nohz_full={} (tuning/grub.d/60-postern.cfg)", probe.hot);
    Conclusion::warn(format!("the timer interrupts hot core {ticking} all the time"), remedy)
}

/// `nohz_full` implies it (kernel-parameters.txt), so either will do.
pub(super) fn rcu_nocbs(probe: &Probe<'_>) -> Conclusion {
    let parameter = |name| -> CoreSet {
        let value = probe.boot_parameter(name);
        match value.as_deref() {
            Some("all") => probe.online(),
            Some(list) => list.parse().unwrap_or_default(),
            None => CoreSet::new(),
        }
    };
    let offloaded = parameter("rcu_nocbs").or(&parameter("nohz_full"));
    let burdened = probe.hot.without(&offloaded);
    if burdened.is_empty() {
        return Conclusion::ok(format!("RCU callbacks moved away from {offloaded}"));
    }
    let remedy = format!("boot with rcu_nocbs={} (tuning/grub.d/60-postern.cfg)", probe.hot);
    Conclusion::warn(format!("hot core {burdened} runs the kernel's RCU callbacks"), remedy)
}

pub(super) fn irq_affinity(probe: &Probe<'_>) -> Conclusion {
    const SHOWN_MAX: usize = 4;
    let mut landing = Vec::new();
    for irq in probe.names("proc/irq") {
        let folder = format!("proc/irq/{irq}");
        let effective = probe.cores(format!("{folder}/effective_affinity_list"));
        let effective = effective.filter(|cores| !cores.is_empty());
        let affinity = effective.or_else(|| probe.cores(format!("{folder}/smp_affinity_list")));
        // An interrupt that somebody handles has a folder with the handler's name.
        let mut handlers = probe.names(&folder).into_iter();
        let handler = handlers.find(|name| probe.path(format!("{folder}/{name}")).is_dir());
        let (Some(affinity), Some(handler)) = (affinity, handler) else { continue };
        let hit = affinity.and(&probe.hot);
        if !hit.is_empty() {
            landing.push(format!("{irq} ({handler}) on {hit}"));
        }
    }
    if landing.is_empty() {
        return Conclusion::ok("no device interrupt lands on a hot core");
    }
    let more = landing.len().saturating_sub(SHOWN_MAX);
    landing.truncate(SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let remedy = format!("sudo tuning/irq-affinity.sh apply {}", probe.hot);
    Conclusion::warn(format!("interrupts {}{more}", landing.join(", ")), remedy)
}

pub(super) fn smt_siblings(probe: &Probe<'_>) -> Conclusion {
    let online = probe.online();
    let isolated = runtime::isolated(probe.root());
    let mut crowded = Vec::new();
    for group in runtime::siblings(probe.root(), &online) {
        let hot = group.and(&probe.hot);
        let others = group.and(&online).without(&hot);
        let is_idle = others.without(&isolated).is_empty();
        if hot.count() > 1 || (!hot.is_empty() && !is_idle) {
            crowded.push(group.to_string());
        }
    }
    if crowded.is_empty() {
        return Conclusion::ok("no hot core shares its physical core");
    }
    Conclusion::warn(
        format!(
            "hardware threads of one core, in use by a hot thread and another: {}",
            crowded.join("; ")
        ),
        "echo off | sudo tee /sys/devices/system/cpu/smt/control, or boot with nosmt",
    )
}
