//! Which processor cores there are, which we may use, and which are isolated.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::runtime::sys;

/// More cores than this no mask of the C library holds.
pub const CORE_COUNT_MAX: usize = 1024;

/// A set of cores; in text the kernel's list format, such as `0,2-5`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoreSet(BTreeSet<usize>);

impl CoreSet {
    /// No core.
    pub fn new() -> CoreSet {
        CoreSet::default()
    }

    /// The cores from 0 up to, not including, `count`.
    pub fn first(count: usize) -> CoreSet {
        (0..count.min(CORE_COUNT_MAX)).collect()
    }

    /// Whether `core` is in it.
    pub fn contains(&self, core: usize) -> bool {
        self.0.contains(&core)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &CoreSet) -> CoreSet {
        CoreSet(self.0.intersection(&other.0).copied().collect())
    }

    /// Those in either.
    #[must_use]
    pub fn or(&self, other: &CoreSet) -> CoreSet {
        CoreSet(self.0.union(&other.0).copied().collect())
    }

    /// Those not in `other`.
    #[must_use]
    pub fn without(&self, other: &CoreSet) -> CoreSet {
        CoreSet(self.0.difference(&other.0).copied().collect())
    }

    /// Reads a kernel file that holds a list; none if the file is not there or holds something else.
    pub fn read(file: &Path) -> Option<CoreSet> {
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }
}

impl FromIterator<usize> for CoreSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cores: I) -> CoreSet {
        CoreSet(cores.into_iter().collect())
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if(|core| *core == last.saturating_add(1)) {
                last = next;
            }
            match last {
                _ if last == first => write!(f, "{comma}{first}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

/// A text that is no list of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCoreSetError {
    text: String,
}

impl fmt::Display for ParseCoreSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no list of cores below {CORE_COUNT_MAX}, such as 0,2-5", self.text)
    }
}

impl std::error::Error for ParseCoreSetError {}

impl FromStr for CoreSet {
    type Err = ParseCoreSetError;

    /// The empty text and `(null)`, which kernels write for no core, are the empty set.
    fn from_str(text: &str) -> Result<CoreSet, ParseCoreSetError> {
        let error = || ParseCoreSetError { text: text.to_owned() };
        let mut cores = BTreeSet::new();
        if text.is_empty() || text == "(null)" {
            return Ok(CoreSet(cores));
        }
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| error())?;
            let last: usize = last.trim().parse().map_err(|_| error())?;
            if first > last || last >= CORE_COUNT_MAX {
                return Err(error());
            }
            cores.extend(first..=last);
        }
        Ok(CoreSet(cores))
    }
}

/// What the plan of threads needs to know of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Those this process may run on: the affinity it was started with, and the isolated ones it may move to.
    pub usable: CoreSet,
    /// Those of `usable` that the kernel keeps other work off.
    pub isolated: CoreSet,
    /// The hardware threads of one physical core, where there is more than one.
    pub siblings: Vec<CoreSet>,
}

impl Cores {
    /// Looks at this machine, with the calling thread's affinity. Call it before any thread is pinned.
    ///
    /// A process that was started with an affinity (`taskset`, `CPUAffinity=`) keeps to it, except that isolated cores
    /// count as usable where the control group allows them: no process is ever started on those.
    pub fn of_this_machine() -> Cores {
        let root = Path::new("/");
        let isolated = isolated(root).and(&sys::reachable_cores());
        let usable = sys::affinity().or(&isolated);
        let siblings = siblings(root, &usable);
        Cores { usable, isolated, siblings }
    }

    /// A machine of `count` equal cores, none isolated.
    pub fn plain(count: usize) -> Cores {
        Cores { usable: CoreSet::first(count), isolated: CoreSet::new(), siblings: Vec::new() }
    }
}

/// The cores the kernel keeps other work off, by the boot line or by control group partitions.
pub fn isolated(root: &Path) -> CoreSet {
    let booted = CoreSet::read(&root.join("sys/devices/system/cpu/isolated"));
    let group = CoreSet::read(&root.join("sys/fs/cgroup/cpuset.cpus.isolated"));
    booted.unwrap_or_default().or(&group.unwrap_or_default())
}

/// The groups of hardware threads that share a physical core, among `cores`.
pub fn siblings(root: &Path, cores: &CoreSet) -> Vec<CoreSet> {
    let mut groups = Vec::new();
    for core in cores.iter() {
        let file = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        let Some(group) = CoreSet::read(&root.join(file)) else { continue };
        if group.count() > 1 && !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

/// Runs `start` on `cores` and comes back: the threads that it starts inherit them. Where the kernel refuses those cores
/// it runs on the caller's, and whoever places the threads later says what is wrong.
pub fn start_on<T>(cores: &CoreSet, start: impl FnOnce() -> T) -> T {
    let before = sys::affinity();
    // Either refusal is told by the supervisor, which asks for the same cores.
    let _ = sys::set_affinity(cores);
    let started = start();
    let _ = sys::set_affinity(&before);
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_as_itself() {
        for text in ["", "0", "0-1", "0,2-5,7", "0,2,4"] {
            let cores: CoreSet = text.parse().expect(text);
            assert_eq!(cores.to_string(), text);
        }
        assert_eq!("(null)".parse(), Ok(CoreSet::new()));
        assert_eq!("3,1,2".parse::<CoreSet>().expect("a list").to_string(), "1-3");
    }

    #[test]
    fn a_text_that_is_no_list_is_refused() {
        for text in ["x", "1-", "-1", "3-1", "0,,1", "1024", "0-99999999999"] {
            assert!(text.parse::<CoreSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn this_machine_has_a_core() {
        let cores = Cores::of_this_machine();
        assert!(!cores.usable.is_empty());
        assert_eq!(cores.isolated.without(&cores.usable), CoreSet::new());
    }
}
