//! The capabilities of the AF_XDP path: which of them this process has, what each is for, and giving them up after set-up.
//!
//! Capabilities belong to threads and are inherited by the threads a thread starts (capabilities(7)). So they are dropped by the
//! main thread while it is the only one; whatever is started later has none, and nothing that a peer sends is read by a thread that has.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use caps::CapSet;

/// A capability that the AF_XDP path needs while it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// `CAP_NET_ADMIN`
    NetAdmin,
    /// `CAP_NET_RAW`
    NetRaw,
    /// `CAP_IPC_LOCK`
    IpcLock,
    /// `CAP_BPF`, of kernel 5.8 and later.
    Bpf,
}

impl Capability {
    /// All of them, by their number.
    pub const ALL: [Capability; 4] =
        [Capability::NetAdmin, Capability::NetRaw, Capability::IpcLock, Capability::Bpf];

    /// Its name, as systemd and capabilities(7) write it.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::NetAdmin => "CAP_NET_ADMIN",
            Capability::NetRaw => "CAP_NET_RAW",
            Capability::IpcLock => "CAP_IPC_LOCK",
            Capability::Bpf => "CAP_BPF",
        }
    }

    /// What it is for.
    pub const fn purpose(self) -> &'static str {
        match self {
            Capability::NetAdmin => "attaches the XDP program to the network interface",
            Capability::NetRaw => "opens AF_XDP sockets",
            Capability::IpcLock => "locks the packets' memory beyond RLIMIT_MEMLOCK",
            Capability::Bpf => "loads the XDP program and makes its maps",
        }
    }

    /// Its number in the kernel's masks (`linux/capability.h`).
    const fn number(self) -> u32 {
        match self {
            Capability::NetAdmin => 12,
            Capability::NetRaw => 13,
            Capability::IpcLock => 14,
            Capability::Bpf => 39,
        }
    }

    const fn of_the_crate(self) -> caps::Capability {
        match self {
            Capability::NetAdmin => caps::Capability::CAP_NET_ADMIN,
            Capability::NetRaw => caps::Capability::CAP_NET_RAW,
            Capability::IpcLock => caps::Capability::CAP_IPC_LOCK,
            Capability::Bpf => caps::Capability::CAP_BPF,
        }
    }

    /// Those the calling thread has in effect.
    pub fn held() -> Vec<Capability> {
        let is_held = |one: &Capability| has(CapSet::Effective, *one).unwrap_or(false);
        Capability::ALL.into_iter().filter(is_held).collect()
    }

    /// Those the calling thread has not. Each says by `Display` what cannot be done without it.
    pub fn missing() -> Vec<Capability> {
        let held = Capability::held();
        Capability::ALL.into_iter().filter(|one| !held.contains(one)).collect()
    }

    /// Those of a mask as `/proc/PID/status` writes it; empty if it is none.
    pub fn of_mask(mask: &str) -> Vec<Capability> {
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
        Capability::ALL.into_iter().filter(|one| mask >> one.number() & 1 == 1).collect()
    }
}

impl fmt::Display for Capability {
    /// `CAP_NET_RAW (opens AF_XDP sockets)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.purpose())
    }
}

/// Why a capability could not be given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropError {
    capability: Capability,
    why: String,
}

impl fmt::Display for DropError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be given up: {}", self.capability.name(), self.why)
    }
}

impl std::error::Error for DropError {}

/// In the order they can be lowered: what is effective must be permitted, what is ambient must be inheritable.
const SETS: [CapSet; 4] =
    [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted];

fn has(set: CapSet, one: Capability) -> Result<bool, DropError> {
    caps::has_cap(None, set, one.of_the_crate())
        .map_err(|error| DropError { capability: one, why: error.to_string() })
}

/// Takes the four from the calling thread: out of its effective, permitted, inheritable and ambient sets, from which no
/// thread gets them back. Threads that were started before keep theirs. Returns those that were permitted.
///
/// # Errors
/// What the kernel refused; a system call filter may. Those before it are gone.
pub fn drop_all() -> Result<Vec<Capability>, DropError> {
    drop_but(&[])
}

/// [`drop_all`], but for those of `kept`.
///
/// # Errors
/// As [`drop_all`].
pub fn drop_but(kept: &[Capability]) -> Result<Vec<Capability>, DropError> {
    let mut dropped = Vec::new();
    for one in Capability::ALL.into_iter().filter(|one| !kept.contains(one)) {
        for set in SETS {
            // A kernel that does not know the capability has it in no set, and is not asked to lower it.
            if !has(set, one)? {
                continue;
            }
            caps::drop(None, set, one.of_the_crate())
                .map_err(|error| DropError { capability: one, why: error.to_string() })?;
            if matches!(set, CapSet::Permitted) {
                dropped.push(one);
            }
        }
    }
    Ok(dropped)
}

/// Whether the process is to give up its capabilities, and all of them.
static GIVES_UP: AtomicBool = AtomicBool::new(false);
static KEEPS_IPC_LOCK: AtomicBool = AtomicBool::new(false);

/// Says that this process will give up its capabilities once it is set up: threads that it starts until then begin with
/// [`give_up`]. `CAP_IPC_LOCK` stays where its memory is locked by that only: without it every later mapping, and the growth of a
/// stack, would be refused once the limit is reached (mlockall(2), `MCL_FUTURE`).
pub fn plan_to_give_up(keeps_ipc_lock: bool) {
    KEEPS_IPC_LOCK.store(keeps_ipc_lock, Ordering::Relaxed);
    GIVES_UP.store(true, Ordering::Relaxed);
}

/// Says, after [`plan_to_give_up`], that `CAP_IPC_LOCK` is to stay all the same: something will be locked anew later in the day.
pub(super) fn keep_ipc_lock() {
    KEEPS_IPC_LOCK.store(true, Ordering::Relaxed);
}

/// What the process keeps all along.
pub fn kept() -> &'static [Capability] {
    match (GIVES_UP.load(Ordering::Relaxed), KEEPS_IPC_LOCK.load(Ordering::Relaxed)) {
        (false, _) => &Capability::ALL,
        (true, true) => &[Capability::IpcLock],
        (true, false) => &[],
    }
}

/// Takes all but [`kept`] from the calling thread: nothing, unless the process has said that it will give them up.
///
/// # Errors
/// As [`drop_all`].
pub fn give_up() -> Result<Vec<Capability>, DropError> {
    drop_but(kept())
}

/// A thread that has some of the four.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it has, in effect or within its reach.
    pub held: Vec<Capability>,
}

impl fmt::Display for Holder {
    /// `gateway (4711): CAP_BPF CAP_NET_RAW`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.name, self.id, names(&self.held))
    }
}

/// The threads of the process whose folder in `/proc` this is that have any of the four, by number, and how many were looked at.
/// Threads that end meanwhile are left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn holders(process: &Path) -> io::Result<(Vec<Holder>, usize)> {
    let (mut holders, mut thread_count) = (Vec::new(), 0);
    for entry in std::fs::read_dir(process.join("task"))? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let status = std::fs::read_to_string(entry.path().join("status")).ok();
        let (Some(id), Some(status)) = (id, status) else { continue };
        thread_count += 1;
        let (name, held) = read_status(&status);
        if !held.is_empty() {
            holders.push(Holder { id, name, held });
        }
    }
    holders.sort_by_key(|holder| holder.id);
    Ok((holders, thread_count))
}

/// A thread's name and what it has, from its `status`. What is permitted or ambient it can make effective, or hand on.
fn read_status(status: &str) -> (String, Vec<Capability>) {
    let (mut name, mut held) = (String::new(), Vec::new());
    for (key, value) in status.lines().filter_map(|line| line.split_once(':')) {
        match key {
            "Name" => name = value.trim().to_owned(),
            "CapEff" | "CapPrm" | "CapInh" | "CapAmb" => held.extend(Capability::of_mask(value)),
            _ => {}
        }
    }
    held.sort_unstable();
    held.dedup();
    (name, held)
}

/// Their names, one after the other; `none`, if there is none.
pub fn names(capabilities: &[Capability]) -> String {
    if capabilities.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<&str> = capabilities.iter().map(|one| one.name()).collect();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read_bit_by_bit() {
        use Capability::{Bpf, IpcLock, NetAdmin, NetRaw};
        for (mask, expected) in [
            ("0000000000000000", vec![]),
            ("\t0000008000007000", vec![NetAdmin, NetRaw, IpcLock, Bpf]),
            ("0000000000001000", vec![NetAdmin]),
            ("0000000000002000", vec![NetRaw]),
            ("0000000000004000", vec![IpcLock]),
            ("0000008000000000\n", vec![Bpf]),
            ("ffffff7fffff8fff", vec![]),
            ("ffffffffffffffff", vec![NetAdmin, NetRaw, IpcLock, Bpf]),
            ("1ffffffffffffffff", vec![]),
            ("", vec![]),
            ("rubbish", vec![]),
        ] {
            assert_eq!(Capability::of_mask(mask), expected, "{mask:?}");
        }
        assert!(Capability::ALL.is_sorted_by_key(|one| one.number()));
    }

    #[test]
    fn the_numbers_are_those_of_the_crate() {
        for one in Capability::ALL {
            assert_eq!(u32::from(one.of_the_crate().index()), one.number(), "{one}");
            assert_eq!(one.of_the_crate().to_string(), one.name());
        }
    }

    #[test]
    fn what_is_within_reach_counts_as_held() {
        let zeros = "CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\tffffffffffffffff\nCapAmb:\t0\n";
        assert_eq!(read_status(zeros).1, []);
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let status = zeros.replace(&format!("{set}:\t0"), &format!("{set}:\t2000"));
            let (name, held) = read_status(&format!("Name:\tfeed\n{status}"));
            assert_eq!((name.as_str(), held), ("feed", vec![Capability::NetRaw]), "{set}");
        }
    }

    #[test]
    fn a_thread_that_drops_them_has_none_and_starts_none_with_any() {
        // On a thread of its own: what is dropped is gone for good.
        let thread = std::thread::Builder::new().name("caps-dropped".to_owned());
        let thread = thread.spawn(|| {
            let held = Capability::held();
            assert_eq!(held.len() + Capability::missing().len(), Capability::ALL.len());
            assert_eq!(drop_all().expect("dropped"), held);
            assert_eq!(Capability::missing(), Capability::ALL);
            assert_eq!(drop_all().expect("nothing is left to drop"), []);
            let child = std::thread::Builder::new().name("caps-child".to_owned());
            let child = child.spawn(|| holders(Path::new("/proc/self")).expect("/proc"));
            child.expect("a thread").join().expect("no panic")
        });
        let (holders, count) = thread.expect("a thread").join().expect("no panic");
        assert!(count >= 3, "{count}");
        for holder in holders {
            assert!(!holder.name.starts_with("caps-"), "{holder}");
        }
    }

    #[test]
    fn what_is_to_be_kept_is_kept() {
        let thread = std::thread::Builder::new().spawn(|| {
            let held = Capability::held();
            drop_but(&[Capability::IpcLock]).expect("dropped");
            let left: Vec<_> = held.into_iter().filter(|one| *one == Capability::IpcLock).collect();
            assert_eq!(Capability::held(), left);
        });
        thread.expect("a thread").join().expect("no panic");
    }

    #[test]
    fn each_says_what_it_is_for() {
        assert_eq!(Capability::NetRaw.to_string(), "CAP_NET_RAW (opens AF_XDP sockets)");
        assert_eq!(names(&[Capability::NetRaw, Capability::Bpf]), "CAP_NET_RAW CAP_BPF");
        assert_eq!(names(&[]), "none");
    }
}
