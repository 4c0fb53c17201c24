//! Is this machine fit for the configured layout? The same ids as `tuning/`.
//!
//! Every check of the machine reads files of `/proc` and `/sys` under a root that tests replace; those of an interface judge what
//! [`crate::net::interface`] gathered. None changes anything, and none needs a privilege. This module must not know the configuration: it is told what the gateway wants.

mod af_xdp;
mod cores;
mod interface;
mod kernel;
mod memory;
mod network;
mod power;
mod probe;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::runtime::CoreSet;
use crate::runtime::layout::Plan;
use probe::Probe;

pub use af_xdp::{AfXdpMeans, AfXdpVerdict, AfXdpWanted, af_xdp};
pub use interface::{XdpMode, check_interface, interface_check_ids};

/// A thread that orders or market data pass through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotThread {
    /// Its name.
    pub name: String,
    /// The core it is pinned to.
    pub core: usize,
    /// Whether it never gives its core away.
    pub spins: bool,
}

/// What the gateway wants of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wants {
    /// The hot threads.
    pub hot: Vec<HotThread>,
    /// Where everything else runs.
    pub housekeeping: CoreSet,
    /// The largest receive buffer any socket asks for.
    pub receive_buffer_bytes: u64,
    /// The largest send buffer any socket asks for.
    pub send_buffer_bytes: u64,
    /// Huge pages of 2 MiB for rings; 0 where ordinary pages are configured.
    pub huge_page_count: u64,
    /// Whether memory is to be locked.
    pub lock_memory: bool,
    /// Whether hot threads run under a real-time policy.
    pub real_time: bool,
    /// The folder of Aeron's log buffers.
    pub aeron_dir: PathBuf,
    /// What Aeron's log buffers take at most.
    pub aeron_bytes: u64,
    /// Files and sockets that may be open at a time.
    pub open_file_count: u64,
}

impl Wants {
    /// What a plan of threads wants, and nothing else: default socket buffers, 256 MiB for Aeron in `/dev/shm`, memory
    /// locked, 1024 files.
    pub fn of_plan(plan: &Plan) -> Wants {
        let hot = plan.threads.iter().filter(|thread| thread.is_hot()).filter_map(|thread| {
            let name = thread.name.to_owned();
            Some(HotThread { name, core: thread.core?, spins: !thread.idle.shares_core() })
        });
        Wants {
            hot: hot.collect(),
            housekeeping: plan.housekeeping.clone(),
            receive_buffer_bytes: 0,
            send_buffer_bytes: 0,
            huge_page_count: 0,
            lock_memory: true,
            real_time: false,
            aeron_dir: PathBuf::from("/dev/shm"),
            aeron_bytes: 256 << 20,
            open_file_count: 1024,
        }
    }

    fn hot_cores(&self) -> CoreSet {
        self.hot.iter().map(|thread| thread.core).collect()
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be, or not applicable here.
    Ok,
    /// The gateway works; latency suffers.
    Warn,
    /// The gateway cannot work as configured.
    Fail,
}

impl Grade {
    /// The word of the report.
    pub const fn word(self) -> &'static str {
        match self {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "fail",
        }
    }
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check, and the section of `tuning/README.md`.
    pub id: &'static str,
    /// How it came out.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to type; empty where all is well.
    pub remedy: String,
}

impl fmt::Display for Finding {
    /// `id  ok|warn|fail  what was found  — remedy`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<22}  {:<4}  {}", self.id, self.grade.word(), self.found)?;
        if !self.remedy.is_empty() {
            write!(f, "  — {}", self.remedy)?;
        }
        Ok(())
    }
}

/// What a check concludes; the id is the table's.
#[derive(Debug)]
struct Conclusion {
    grade: Grade,
    found: String,
    remedy: String,
}

impl Conclusion {
    fn ok(found: impl Into<String>) -> Conclusion {
        Conclusion { grade: Grade::Ok, found: found.into(), remedy: String::new() }
    }

    fn warn(found: impl Into<String>, remedy: impl Into<String>) -> Conclusion {
        Conclusion { grade: Grade::Warn, found: found.into(), remedy: remedy.into() }
    }

    fn fail(found: impl Into<String>, remedy: impl Into<String>) -> Conclusion {
        Conclusion { grade: Grade::Fail, found: found.into(), remedy: remedy.into() }
    }
}

type Check = (&'static str, fn(&Probe<'_>) -> Conclusion);

/// Every check, in the order of the report: what stops the gateway first.
const CHECKS: &[Check] = &[
    ("cores-available", cores::available),
    ("cores-shared", cores::shared),
    ("receive-buffer", network::receive_buffer),
    ("send-buffer", network::send_buffer),
    ("aeron-space", memory::aeron_space),
    ("open-files", kernel::open_files),
    ("memory-lock", memory::memory_lock),
    ("huge-pages", memory::huge_pages),
    ("cores-isolated", cores::isolated),
    ("nohz-full", cores::nohz_full),
    ("rcu-nocbs", cores::rcu_nocbs),
    ("irq-affinity", cores::irq_affinity),
    ("smt-siblings", cores::smt_siblings),
    ("cpu-governor", power::governor),
    ("cpu-idle-states", power::idle_states),
    ("clock-source", power::clock_source),
    ("tsc-invariant", power::tsc_invariant),
    ("transparent-huge-pages", memory::transparent_huge_pages),
    ("swappiness", memory::swappiness),
    ("numa-balancing", memory::numa_balancing),
    ("watchdog", kernel::watchdog),
    ("rt-throttling", kernel::rt_throttling),
    ("stat-interval", kernel::stat_interval),
    ("kernel-version", kernel::version),
];

/// The finding of [`af_xdp()`].
pub const AF_XDP: &str = "af-xdp";

/// The ids of all checks of the machine, in the order of the report.
pub fn check_ids() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(id, _)| *id)
}

/// Checks the machine whose `/proc` and `/sys` are under `root`, normally `/`. Reads some hundred small files.
pub fn check(root: &Path, wants: &Wants) -> Vec<Finding> {
    let probe = Probe::new(root, wants);
    let finding = |(id, run): &Check| {
        let Conclusion { grade, found, remedy } = run(&probe);
        Finding { id, grade, found, remedy }
    };
    CHECKS.iter().map(finding).collect()
}
