//! Memory that is there before it is needed: locked, touched, and not given back to the kernel.
//!
//! Everything is tried, nothing is required: each attempt's outcome is a value that `check`, the log and `status` show.

use std::fmt;
use std::path::Path;

use crate::runtime::capabilities::{self, Capability};
use crate::runtime::sys::{self, MallocParameter};

/// What came of asking the machine for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was granted; what exactly.
    Granted(String),
    /// It was refused.
    Refused {
        /// Why.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

impl Outcome {
    /// Whether it was granted.
    pub fn is_granted(&self) -> bool {
        matches!(self, Outcome::Granted(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Granted(what) => write!(f, "granted: {what}"),
            Outcome::Refused { reason, remedy } => write!(f, "refused: {reason}; {remedy}"),
        }
    }
}

/// What [`prepare`] achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryReport {
    /// All pages locked, so that none is fetched from disk or mapped in on the hot path.
    pub locked: Outcome,
    /// Huge pages for rings.
    pub huge_pages: Outcome,
    /// The C library keeps freed memory and serves nothing by mappings of their own.
    pub malloc: Outcome,
    /// Memory is locked beyond the limit, by `CAP_IPC_LOCK`. It has to stay: without it every later mapping, and the growth of a
    /// stack, is refused once the limit is reached (mlockall(2), `MCL_FUTURE`).
    pub needs_ipc_lock: bool,
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "memory lock: {}", self.locked)?;
        writeln!(f, "huge pages: {}", self.huge_pages)?;
        write!(f, "malloc: {}", self.malloc)
    }
}

/// Prepares the process's memory. Call once, before threads and large mappings are made.
///
/// With `lock`, everything mapped from here on is locked and so resident at once: what is mapped sparsely becomes real.
pub fn prepare(lock: bool) -> MemoryReport {
    // What the limit allows needs no capability later.
    sys::raise_locked_memory_limit();
    let locked = if lock { lock_all() } else { not_asked() };
    let needs_ipc_lock = locked.is_granted() && is_limit_too_low();
    MemoryReport {
        needs_ipc_lock,
        locked,
        huge_pages: huge_pages(Path::new("/")),
        malloc: tune_malloc(),
    }
}

fn not_asked() -> Outcome {
    Outcome::Refused {
        reason: "not asked for by the configuration".to_owned(),
        remedy: "set runtime.lock_memory = true",
    }
}

fn lock_all() -> Outcome {
    const REMEDY: &str =
        "set LimitMEMLOCK=infinity in the unit, or run `ulimit -l unlimited` first";
    // With a limit, `MCL_FUTURE` makes later mappings fail once it is reached, in the middle of the day. So a limit that
    // is not far above what we need is treated as a refusal, and nothing is locked.
    if is_limit_too_low() && !can_exceed_limit(Path::new("/")) {
        let limit = sys::locked_memory_limit().unwrap_or_default();
        return Outcome::Refused { reason: format!("the limit is {limit} bytes"), remedy: REMEDY };
    }
    match sys::lock_memory() {
        Ok(()) => Outcome::Granted("all pages, now and to come".to_owned()),
        Err(error) => {
            sys::unlock_memory();
            Outcome::Refused { reason: error.to_string(), remedy: REMEDY }
        }
    }
}

/// Below this limit locking everything would end in failed mappings: Aeron's log buffers alone take hundreds of MiB.
pub const LOCK_BYTES_MIN: u64 = 1 << 32;

/// Says that so many bytes may have to be locked anew later in the day, as the frames of an AF_XDP socket are: where the limit is not
/// far above, the process keeps `CAP_IPC_LOCK` for it ([`capabilities::kept`]), if it has it. Before that is given up.
pub fn will_lock_again(bytes: u64) {
    // Others of the same user count as well, and what is given back does so for a while.
    const TIMES: u64 = 8;
    let needed = bytes.saturating_mul(TIMES);
    if sys::locked_memory_limit().is_some_and(|limit| limit < needed) {
        capabilities::keep_ipc_lock();
    }
}

fn is_limit_too_low() -> bool {
    sys::locked_memory_limit().is_some_and(|limit| limit < LOCK_BYTES_MIN)
}

/// Whether the process holds the capability that the limit does not bind.
pub(crate) fn can_exceed_limit(root: &Path) -> bool {
    let status = std::fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.is_some_and(|mask| Capability::of_mask(mask).contains(&Capability::IpcLock))
}

/// Whether huge pages of 2 MiB can be had.
pub fn huge_pages(root: &Path) -> Outcome {
    const REMEDY: &str = "run `sysctl vm.nr_hugepages=64`; rings use ordinary pages meanwhile";
    let folder = root.join("sys/kernel/mm/hugepages/hugepages-2048kB");
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    match (number("free_hugepages"), number("nr_hugepages")) {
        (Some(free), _) if free > 0 => Outcome::Granted(format!("{free} free pages of 2 MiB")),
        (Some(_), Some(total)) if total > 0 => Outcome::Refused {
            reason: format!("all {total} reserved pages of 2 MiB are taken"),
            remedy: REMEDY,
        },
        (Some(_), _) => Outcome::Refused { reason: "none is reserved".to_owned(), remedy: REMEDY },
        (None, _) => Outcome::Refused {
            reason: "the kernel offers none of 2 MiB".to_owned(),
            remedy: "boot a kernel with CONFIG_HUGETLBFS; rings use ordinary pages meanwhile",
        },
    }
}

/// Allocations made at start stay mapped: freeing one must not unmap pages, as that interrupts every core of the process
/// (TLB shootdown) while others trade. Two heaps are enough: hot threads do not allocate, and a heap per thread would
/// be locked into memory for nothing.
fn tune_malloc() -> Outcome {
    let is_set = [
        (MallocParameter::TrimThreshold, i32::MAX),
        (MallocParameter::MmapMax, 0),
        (MallocParameter::ArenaMax, 2),
    ]
    .map(|(parameter, value)| sys::set_malloc(parameter, value));
    if is_set == [true; 3] {
        Outcome::Granted("no trimming, no mapping per allocation, two heaps".to_owned())
    } else {
        Outcome::Refused {
            reason: "the C library did not take the settings".to_owned(),
            remedy: "use glibc; nothing else depends on it",
        }
    }
}

/// The stack a thread gets touched at start, so that its hot path meets no page fault there.
pub const STACK_PREFAULT_BYTES: usize = 256 << 10;

const PAGE_BYTES: usize = 4096;

/// Gives back to the kernel what start-up needed and no longer does; [`prepare`] keeps the heap from doing so by itself.
pub fn give_back() {
    sys::trim_malloc();
}

/// Touches `bytes` of the calling thread's stack below the present frame, rounded down to blocks of 16 KiB. The caller
/// has a stack larger than that.
pub fn prefault_stack(bytes: usize) {
    descend(bytes / BLOCK_BYTES);
}

const BLOCK_BYTES: usize = 4 * PAGE_BYTES;

/// One block of stack a call, touched page by page; not inlined, and not a tail call, so that each has its own.
#[inline(never)]
fn descend(block_count: usize) {
    let mut block = [0_u8; BLOCK_BYTES];
    for page in block.chunks_mut(PAGE_BYTES) {
        page[0] = 1;
    }
    if block_count > 1 {
        descend(block_count - 1);
    }
    std::hint::black_box(&mut block);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn huge_pages_are_granted_refused_or_not_there() {
        let folder = "sys/kernel/mm/hugepages/hugepages-2048kB";
        let pages = |free: &str, total: &str| {
            let (a, b) = (format!("{folder}/free_hugepages"), format!("{folder}/nr_hugepages"));
            let root = tree(&[(&a, free), (&b, total)]);
            huge_pages(root.path())
        };
        assert!(pages("3\n", "64\n").is_granted());
        assert!(pages("0\n", "64\n").to_string().contains("taken"));
        assert!(pages("0\n", "0\n").to_string().contains("vm.nr_hugepages"));
        assert!(huge_pages(tree(&[]).path()).to_string().contains("CONFIG_HUGETLBFS"));
    }

    #[test]
    fn the_capability_to_lock_is_read_from_the_effective_set() {
        let has = |mask: &str| {
            let root = tree(&[("proc/self/status", &format!("Name:\tx\nCapEff:\t{mask}\n"))]);
            can_exceed_limit(root.path())
        };
        assert!(has("000001ffffffffff"));
        assert!(has("0000000000004000"));
        assert!(!has("0000000000000000") && !has("rubbish"));
        assert!(!can_exceed_limit(tree(&[]).path()));
    }

    #[test]
    fn the_stack_is_touched_as_deep_as_asked() {
        // A thread whose stack is just large enough: too deep a descent would crash the test.
        let thread = std::thread::Builder::new().stack_size(STACK_PREFAULT_BYTES + (128 << 10));
        let thread = thread.spawn(|| prefault_stack(STACK_PREFAULT_BYTES)).expect("a thread");
        assert!(thread.join().is_ok());
    }
}
