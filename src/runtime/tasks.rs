//! Every thread of the process as the kernel sees it: its name, where it may run, where it ran last.

use std::fmt;
use std::io;
use std::path::Path;

use crate::runtime::cores::CoreSet;

/// A thread of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The cores it may run on.
    pub allowed: CoreSet,
    /// The core it ran on last.
    pub last_core: Option<usize>,
    /// How often the kernel took the core from it. Grows on a hot thread: something shares its core.
    pub involuntary_switch_count: u64,
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} {:<15} cores {}", self.id, self.name, self.allowed)?;
        if let Some(core) = self.last_core {
            write!(f, ", last on {core}")?;
        }
        write!(f, ", preempted {} times", self.involuntary_switch_count)
    }
}

/// The threads of this process, by number.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn own_tasks() -> io::Result<Vec<TaskInfo>> {
    tasks_under(Path::new("/proc/self"))
}

/// The threads of the process whose folder in `/proc` this is. Threads that end meanwhile are left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn tasks_under(process: &Path) -> io::Result<Vec<TaskInfo>> {
    let mut tasks = Vec::new();
    for entry in std::fs::read_dir(process.join("task"))? {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        tasks.extend(id.and_then(|id| read_task(&entry.path(), id)));
    }
    tasks.sort_by_key(|task| task.id);
    Ok(tasks)
}

fn read_task(folder: &Path, id: u32) -> Option<TaskInfo> {
    let name = std::fs::read_to_string(folder.join("comm")).ok()?;
    let status = std::fs::read_to_string(folder.join("status")).ok()?;
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let field = |key: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
    };
    Some(TaskInfo {
        id,
        name: name.trim_end_matches('\n').to_owned(),
        allowed: field("Cpus_allowed_list")?.parse().ok()?,
        last_core: last_core(&stat),
        involuntary_switch_count: field("nonvoluntary_ctxt_switches")?.parse().ok()?,
    })
}

/// Field 39 of `stat` (proc_pid_stat(5), `processor`). The name in field 2 may hold spaces and parentheses, so fields
/// are counted from its end.
fn last_core(stat: &str) -> Option<usize> {
    const FIELDS_AFTER_NAME: usize = 39 - 3;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(FIELDS_AFTER_NAME)?.parse().ok()
}

/// A thread that is not where it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The thread.
    pub task: TaskInfo,
    /// What is wrong with it.
    pub fault: PlacementFault,
}

/// What is wrong with a thread's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementFault {
    /// It may run on a hot core but is none of the threads placed there.
    OnHotCore,
    /// It carries the process's own name: nobody named it.
    Unnamed,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            PlacementFault::OnHotCore => "may run on a hot core",
            PlacementFault::Unnamed => "has no name of its own",
        };
        write!(
            f,
            "thread `{}` ({}) {fault}: allowed {}",
            self.task.name, self.task.id, self.task.allowed
        )
    }
}

/// Finds the threads that nobody placed: those without a name of their own, and those that may run on a core of `hot`
/// although they are not among the (thread, core) pairs in it. `main` is the number of the main thread, which carries
/// the process's name by right.
pub fn misplaced(tasks: &[TaskInfo], main: u32, hot: &[(&str, usize)]) -> Vec<Misplaced> {
    let main_name = tasks.iter().find(|task| task.id == main).map(|task| task.name.as_str());
    let mut found = Vec::new();
    for task in tasks {
        if task.id != main && Some(task.name.as_str()) == main_name {
            found.push(Misplaced { task: task.clone(), fault: PlacementFault::Unnamed });
        }
        let is_at_home = |core| hot.contains(&(task.name.as_str(), core));
        let strays = hot.iter().any(|(_, core)| task.allowed.contains(*core) && !is_at_home(*core));
        if strays {
            found.push(Misplaced { task: task.clone(), fault: PlacementFault::OnHotCore });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u32, name: &str, allowed: &str) -> TaskInfo {
        TaskInfo {
            id,
            name: name.to_owned(),
            allowed: allowed.parse().expect("a list"),
            last_core: None,
            involuntary_switch_count: 0,
        }
    }

    #[test]
    fn the_last_core_is_found_behind_a_name_with_parentheses() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("17 (a) b (c)) {}", fields.join(" "));
        assert_eq!(last_core(&stat), Some(39));
        assert_eq!(last_core("17 (a) S 1"), None);
        assert_eq!(last_core(""), None);
    }

    #[test]
    fn a_thread_nobody_placed_is_found() {
        let hot = [("gateway", 3), ("feed", 2)];
        let tasks = [
            task(1, "postern", "0-1"),
            task(2, "gateway", "3"),
            task(3, "feed", "2"),
            task(4, "helper", "0-1"),
            task(5, "stray", "0-3"),
            task(6, "postern", "0-1"),
            task(7, "feed", "2-3"),
        ];
        let faults: Vec<_> =
            misplaced(&tasks, 1, &hot).iter().map(|found| (found.task.id, found.fault)).collect();
        use PlacementFault::{OnHotCore, Unnamed};
        assert_eq!(faults, [(5, OnHotCore), (6, Unnamed), (7, OnHotCore)]);
    }

    #[test]
    fn the_threads_of_this_process_are_listed_with_their_cores() {
        let thread = std::thread::Builder::new().name("listed-here".to_owned());
        let thread = thread.spawn(|| own_tasks().expect("/proc")).expect("a thread");
        let tasks = thread.join().expect("no panic");
        let own = tasks.iter().find(|task| task.name == "listed-here").expect("itself");
        assert!(!own.allowed.is_empty());
        assert!(own.last_core.is_some_and(|core| own.allowed.contains(core)));
    }
}
