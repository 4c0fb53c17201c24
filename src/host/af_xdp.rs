//! Can AF_XDP be had on an interface, with what this process has, and if not, why not? Says all reasons at once.

use std::path::Path;

use crate::host::interface::{XdpMode, best_mode, take_off};
use crate::host::probe::{bytes_text, limit};
use crate::host::{AF_XDP, Conclusion, Finding};
use crate::net::interface::{InterfaceError, InterfaceFacts};
use crate::runtime::capabilities::Capability;

/// Before this kernel `CAP_BPF` is part of `CAP_SYS_ADMIN`, and there is no preferred busy polling.
const KERNEL_MIN: (u32, u32) = (5, 11);

/// What a configuration wants of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfXdpWanted {
    /// The queue to listen to, from 0.
    pub queue: u32,
    /// The mode to be had at least; none takes the best there is.
    pub mode: Option<XdpMode>,
    /// The memory for packets, in bytes.
    pub umem_bytes: u64,
}

/// What this process may do, before it gave anything up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AfXdpMeans {
    /// The capabilities it has not ([`Capability::missing`]).
    pub missing: Vec<Capability>,
    /// `RLIMIT_MEMLOCK` in bytes; `u64::MAX` without a limit, none if it is unknown.
    pub memlock_bytes: Option<u64>,
}

impl AfXdpMeans {
    /// What the calling thread may do, with the limit as far as it can raise it. `root` is where `/proc` is, normally `/`.
    pub fn of_this_thread(root: &Path) -> AfXdpMeans {
        let memlock_bytes = limit(root, "Max locked memory", 1);
        AfXdpMeans { missing: Capability::missing(), memlock_bytes }
    }
}

/// What can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfXdpVerdict {
    /// A socket in the best mode that the driver tells of; none where only the attempt shows it (before Linux 6.3).
    Obtainable(Option<XdpMode>),
    /// The kernel's path has to do; each reason with what to do about it, one at least.
    Refused(Vec<(String, String)>),
}

impl AfXdpVerdict {
    /// As a line of `postern check`, for the interface of that name. What is refused is a warning: the kernel's path works.
    pub fn finding(&self, interface: &str) -> Finding {
        let Conclusion { grade, found, remedy } = match self {
            AfXdpVerdict::Obtainable(Some(mode)) => Conclusion::ok(mode.words()),
            AfXdpVerdict::Obtainable(None) => {
                Conclusion::ok("nothing speaks against it; the driver's modes show at start")
            }
            AfXdpVerdict::Refused(reasons) => {
                let joined = |pick: fn(&(String, String)) -> &str| {
                    let mut all: Vec<&str> = reasons.iter().map(pick).collect();
                    all.dedup();
                    all.join("; ")
                };
                Conclusion::warn(
                    format!("not to be had: {}", joined(|(why, _)| why)),
                    joined(|(_, remedy)| remedy),
                )
            }
        };
        Finding { id: AF_XDP, grade, found: format!("{interface}: {found}"), remedy }
    }
}

/// Judges whether AF_XDP can be had as `wanted` on an interface, or on one that could not be told of.
pub fn af_xdp(
    facts: Result<&InterfaceFacts, &InterfaceError>,
    wanted: &AfXdpWanted,
    means: &AfXdpMeans,
) -> AfXdpVerdict {
    let mut reasons = Vec::new();
    let mut mode = None;
    match facts {
        Ok(facts) => {
            of_kernel(facts, &mut reasons);
            of_interface(facts, wanted, &mut reasons);
            mode = facts.xdp.map(best_mode);
        }
        Err(error) => reasons.push((
            error.to_string(),
            "name an interface there is in the configuration".to_owned(),
        )),
    }
    of_process(wanted, means, &mut reasons);
    if reasons.is_empty() { AfXdpVerdict::Obtainable(mode) } else { AfXdpVerdict::Refused(reasons) }
}

type Reasons = Vec<(String, String)>;

fn of_kernel(facts: &InterfaceFacts, reasons: &mut Reasons) {
    if facts.kernel_has_af_xdp == Some(false) {
        reasons.push((
            "this kernel has no AF_XDP".to_owned(),
            "run a kernel with CONFIG_XDP_SOCKETS=y".to_owned(),
        ));
    }
    if let Some((major, minor)) = facts.kernel.filter(|kernel| *kernel < KERNEL_MIN) {
        reasons.push((
            format!("Linux {major}.{minor} is too old"),
            format!("run Linux {}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1),
        ));
    }
}

fn of_interface(facts: &InterfaceFacts, wanted: &AfXdpWanted, reasons: &mut Reasons) {
    let name = &facts.name;
    let mut refuse = |why: String, remedy: String| reasons.push((why, remedy));
    if facts.is_loopback {
        refuse(
            "it is the loopback interface: nothing to bypass".to_owned(),
            "none is needed: the kernel's path is right for it".to_owned(),
        );
        return;
    }
    if !facts.is_up {
        refuse("it is down".to_owned(), format!("sudo ip link set dev {name} up"));
    }
    if wanted.queue >= facts.rx_queue_count {
        refuse(
            format!("there is no queue {}: it has {}", wanted.queue, facts.rx_queue_count),
            format!(
                "configure a queue below {}, or: sudo ethtool -L {name} combined N",
                facts.rx_queue_count
            ),
        );
    }
    if let (Some(xdp), Some(least)) = (facts.xdp, wanted.mode)
        && best_mode(xdp) < least
    {
        let driver = facts.driver.as_deref().unwrap_or("its driver");
        refuse(
            format!(
                "{driver} has no mode \"{}\", only \"{}\"",
                least.words(),
                best_mode(xdp).words()
            ),
            "configure that mode, or none for the best there is".to_owned(),
        );
    }
    if let Some(program) = facts.program {
        refuse(
            format!("XDP program {} is attached ({})", program.id, program.mode.word()),
            take_off(name, program.mode),
        );
    }
}

fn of_process(wanted: &AfXdpWanted, means: &AfXdpMeans, reasons: &mut Reasons) {
    const DROP_IN: &str = "install tuning/postern.service.d/af-xdp.conf";
    for missing in means.missing.iter().filter(|one| **one != Capability::IpcLock) {
        reasons.push((format!("without {missing}"), DROP_IN.to_owned()));
    }
    let limit = means.memlock_bytes.filter(|limit| *limit < wanted.umem_bytes);
    if let (Some(limit), true) = (limit, means.missing.contains(&Capability::IpcLock)) {
        reasons.push((
            format!(
                "the packets' memory of {} is above RLIMIT_MEMLOCK, {}, and there is no {}",
                bytes_text(wanted.umem_bytes),
                bytes_text(limit),
                Capability::IpcLock.name()
            ),
            "LimitMEMLOCK=infinity in the unit; in a shell: sudo prlimit --memlock=unlimited --pid $$"
                .to_owned(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Grade;
    use crate::net::interface::{AttachedMode, AttachedProgram, XdpFeatures};

    fn ice() -> InterfaceFacts {
        InterfaceFacts {
            name: "eth7".to_owned(),
            kernel: Some((6, 12)),
            kernel_has_af_xdp: Some(true),
            driver: Some("ice".to_owned()),
            is_up: true,
            has_carrier: true,
            rx_queue_count: 2,
            xdp: Some(XdpFeatures {
                native: true,
                redirect: true,
                zero_copy: true,
                ..XdpFeatures::default()
            }),
            ..InterfaceFacts::default()
        }
    }

    const WANTED: AfXdpWanted = AfXdpWanted { queue: 1, mode: None, umem_bytes: 16 << 20 };

    fn able() -> AfXdpMeans {
        AfXdpMeans { missing: Vec::new(), memlock_bytes: Some(8 << 20) }
    }

    fn reasons(verdict: &AfXdpVerdict) -> Vec<String> {
        match verdict {
            AfXdpVerdict::Obtainable(_) => Vec::new(),
            AfXdpVerdict::Refused(reasons) => reasons.iter().map(|(why, _)| why.clone()).collect(),
        }
    }

    #[test]
    fn the_best_mode_is_had_where_nothing_is_in_the_way() {
        let verdict = af_xdp(Ok(&ice()), &WANTED, &able());
        assert_eq!(verdict, AfXdpVerdict::Obtainable(Some(XdpMode::ZeroCopy)));
        let finding = verdict.finding("eth7");
        assert_eq!((finding.grade, finding.found.as_str()), (Grade::Ok, "eth7: native, zero-copy"));
        let old = InterfaceFacts { kernel: Some((5, 15)), xdp: None, ..ice() };
        let strict = AfXdpWanted { mode: Some(XdpMode::ZeroCopy), ..WANTED };
        assert_eq!(af_xdp(Ok(&old), &strict, &able()), AfXdpVerdict::Obtainable(None));
    }

    #[test]
    fn each_reason_is_told_by_itself() {
        let program = Some(AttachedProgram { id: 42, mode: AttachedMode::Generic });
        let generic = Some(XdpFeatures::default());
        for (facts, word) in [
            (InterfaceFacts { is_up: false, ..ice() }, "down"),
            (InterfaceFacts { is_loopback: true, is_up: false, ..ice() }, "loopback"),
            (InterfaceFacts { rx_queue_count: 1, ..ice() }, "no queue 1: it has 1"),
            (InterfaceFacts { program, ..ice() }, "program 42 is attached (generic)"),
            (
                InterfaceFacts { xdp: generic, ..ice() },
                "ice has no mode \"native\", only \"generic\"",
            ),
            (InterfaceFacts { kernel_has_af_xdp: Some(false), ..ice() }, "no AF_XDP"),
            (InterfaceFacts { kernel: Some((5, 10)), ..ice() }, "Linux 5.10 is too old"),
        ] {
            let native = AfXdpWanted { mode: Some(XdpMode::Native), ..WANTED };
            let verdict = af_xdp(Ok(&facts), &native, &able());
            let reasons = reasons(&verdict);
            assert_eq!(reasons.len(), 1, "{word}: {reasons:?}");
            assert!(reasons[0].contains(word), "{word}: {reasons:?}");
            let finding = verdict.finding("eth7");
            assert_eq!((finding.id, finding.grade), (AF_XDP, Grade::Warn));
            assert!(finding.found.contains(word) && !finding.remedy.is_empty(), "{finding}");
        }
    }

    #[test]
    fn each_capability_is_named_with_what_it_is_for() {
        for missing in Capability::ALL {
            let means = AfXdpMeans { missing: vec![missing], ..able() };
            let reasons = reasons(&af_xdp(Ok(&ice()), &WANTED, &means));
            assert_eq!(reasons.len(), 1, "{missing}: {reasons:?}");
            assert!(reasons[0].contains(missing.name()), "{reasons:?}");
        }
    }

    #[test]
    fn the_limit_on_locked_memory_binds_only_without_the_capability_and_below_what_is_wanted() {
        for (memlock, missing, fits) in [
            (Some(WANTED.umem_bytes), true, true),
            (Some(WANTED.umem_bytes - 1), true, false),
            (Some(WANTED.umem_bytes - 1), false, true),
            (Some(u64::MAX), true, true),
            (None, true, true),
        ] {
            let missing = if missing { vec![Capability::IpcLock] } else { Vec::new() };
            let means = AfXdpMeans { missing, memlock_bytes: memlock };
            let verdict = af_xdp(Ok(&ice()), &WANTED, &means);
            assert_eq!(reasons(&verdict).is_empty(), fits, "{means:?}");
        }
    }

    #[test]
    fn the_limit_is_the_hard_one() {
        let root = tempfile::tempdir().expect("a folder");
        let means = |line: &str| {
            std::fs::create_dir_all(root.path().join("proc/self")).expect("a folder");
            std::fs::write(root.path().join("proc/self/limits"), line).expect("a file");
            AfXdpMeans::of_this_thread(root.path()).memlock_bytes
        };
        assert_eq!(means("Max locked memory     8388608    16777216   bytes\n"), Some(16 << 20));
        assert_eq!(means("Max locked memory     8388608    unlimited  bytes\n"), Some(u64::MAX));
        assert_eq!(means("Max locked memory     8388608\n"), None);
        assert_eq!(means(""), None);
        assert_eq!(AfXdpMeans::of_this_thread(Path::new("/")).missing, Capability::missing());
    }

    #[test]
    fn an_interface_that_is_not_there_is_one_reason_and_the_process_is_still_judged() {
        let absent =
            InterfaceError::Absent { name: "eth9".to_owned(), there: vec!["lo".to_owned()] };
        let means = AfXdpMeans { missing: vec![Capability::Bpf], ..able() };
        let reasons = reasons(&af_xdp(Err(&absent), &WANTED, &means));
        assert_eq!(reasons[0], "no network interface `eth9`; there are: lo");
        assert_eq!(reasons.len(), 2, "{reasons:?}");
    }
}
