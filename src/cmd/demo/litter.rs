//! What a run leaves: its folder, and its media drivers' in memory. A run in good order takes them away itself. Of one that
//! was killed the gateway's process does, if it has one, or else the next run.
//!
//! Whoever uses a run's folders says so in a file of its own among the temporary ones. Folders go once everyone who said so
//! is dead, which is known by process id and time of start, as ids are used again, in this container alone, and only where
//! the files and the folders are this user's.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Begins the names of temporary folders, and of the files that say who uses them.
pub(super) const PREFIX: &str = "postern-demo-";
const ENDING: &str = ".owner";
/// Media drivers of a run: the gateway's, and that of exchange and strategy or, on hosts of their own, one each.
const DRIVERS: [&str; 4] = ["gateway", "world", "venue", "strategy"];
/// Names tried for such a file.
const CLAIMS_TRIED: u32 = 8;
/// Bytes of such a file, at most.
const OWNER_BYTES_MAX: u64 = 16 << 10;

/// A run's folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Folders {
    /// Configuration, keys, journal.
    pub directory: PathBuf,
    /// Whether that stays.
    pub keep: bool,
    /// The process that made them: it is in the names of those in memory.
    pub made_by: u32,
}

impl Folders {
    /// Those that this process makes.
    pub fn new(directory: &Path, keep: bool) -> Folders {
        Folders { directory: directory.to_owned(), keep, made_by: std::process::id() }
    }

    /// The folder of the media driver called `name`: named after the process too, as two runs may keep folders of one name.
    pub fn memory(&self, name: &str) -> PathBuf {
        let own = self.directory.file_name().and_then(|n| n.to_str()).unwrap_or("demo");
        PathBuf::from(format!("/dev/shm/{own}.{}-{name}", self.made_by))
    }

    /// Removes them, but what is to be kept.
    pub fn remove(&self) {
        for name in DRIVERS {
            // Drivers that ended in good order have removed theirs.
            let _ = fs::remove_dir_all(self.memory(name));
        }
        if !self.keep {
            // What cannot be removed is left for the system's tidying of temporary files.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }

    /// As [`Folders::remove`], of a run that was killed: nothing but what has a run's name and is `user`'s.
    fn remove_of_another(&self, user: u32) {
        let is_own = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|about| about.is_dir() && about.uid() == user)
        };
        for name in DRIVERS {
            let memory = self.memory(name);
            if is_own(&memory) {
                let _ = fs::remove_dir_all(memory);
            }
        }
        let name = self.directory.file_name().and_then(|name| name.to_str());
        let is_named = name.is_some_and(|name| name.starts_with(PREFIX));
        let is_temporary = self.directory.parent().is_some_and(|parent| {
            std::env::temp_dir().canonicalize().is_ok_and(|temporary| parent == temporary)
        });
        if !self.keep && is_named && is_temporary && is_own(&self.directory) {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Who uses a run's folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    process: u32,
    /// When it was started, in the kernel's ticks since the machine was.
    started: u64,
    /// The namespace that its process id is of.
    namespace: PathBuf,
    folders: Folders,
}

impl Owner {
    fn this(folders: Folders) -> Option<Owner> {
        let process = std::process::id();
        let started = alive_since(process)?;
        Some(Owner { process, started, namespace: namespace()?, folders })
    }

    /// Whether it is known to have ended.
    fn is_dead(&self) -> bool {
        namespace().as_ref() == Some(&self.namespace)
            && alive_since(self.process) != Some(self.started)
    }
}

fn namespace() -> Option<PathBuf> {
    fs::read_link("/proc/self/ns/pid").ok()
}

/// When a process was started, if it is alive: one that has ended and was not waited for is not (proc_pid_stat(5)).
fn alive_since(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    // The 22nd field, of which the state is the third.
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// Says, until it is dropped, that this process uses a run's folders.
#[derive(Debug)]
pub(super) struct Claim(PathBuf);

impl Claim {
    /// Claims folders; `None` where that cannot be said, and then nobody tidies up if this process is killed.
    pub fn new(folders: Folders) -> Option<Claim> {
        let owner = Owner::this(folders)?;
        let text = serde_json::to_string(&owner).ok()?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        // A process of the same number may have left its own, or live in another container that shares the folder.
        let (path, mut file) = (0..CLAIMS_TRIED).find_map(|turn| {
            let name = format!("{PREFIX}{}-{turn}{ENDING}", owner.process);
            let path = std::env::temp_dir().join(name);
            options.open(&path).ok().map(|file| (path, file))
        })?;
        let claim = Claim(path);
        file.write_all(text.as_bytes()).ok()?;
        Some(claim)
    }

    /// Claims the folders of the run in `directory`, beside who made them.
    pub fn join(directory: &Path) -> Option<Claim> {
        let known = owners().into_iter().find(|(_, owner)| owner.folders.directory == directory);
        Claim::new(known?.1.folders)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Who runs this process.
fn user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|about| about.uid())
}

/// Everyone who said to use a run's folders, and where; of this user alone.
fn owners() -> Vec<(PathBuf, Owner)> {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return Vec::new() };
    let read = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        if !name.starts_with(PREFIX) || !name.ends_with(ENDING) {
            return None;
        }
        let about = fs::symlink_metadata(&path).ok()?;
        if !about.is_file() || Some(about.uid()) != user() || about.len() > OWNER_BYTES_MAX {
            return None;
        }
        let owner = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
        Some((path, owner))
    };
    entries.filter_map(|entry| read(entry.ok()?.path())).collect()
}

/// Removes what runs left that were killed.
pub(super) fn sweep() {
    let Some(user) = user() else { return };
    let (dead, alive): (Vec<_>, Vec<_>) =
        owners().into_iter().partition(|(_, owner)| owner.is_dead());
    for (path, owner) in dead {
        let is_used = alive.iter().any(|(_, other)| other.folders == owner.folders);
        if !is_used {
            owner.folders.remove_of_another(user);
        }
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = alive_since(std::process::id()).expect("this one");
        assert!(own > 0);
        assert_eq!(alive_since(u32::MAX), None);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().expect("coreutils");
        assert!(alive_since(child.id()).is_some_and(|since| since >= own));
        child.kill().expect("ours");
        // It is not waited for yet.
        while alive_since(child.id()).is_some() {
            std::thread::yield_now();
        }
        child.wait().expect("killed");
    }

    #[test]
    fn only_who_is_known_to_have_ended_is_dead() {
        let folders = Folders::new(Path::new("/nowhere"), false);
        let alive = Owner::this(folders).expect("procfs");
        assert!(!alive.is_dead());
        assert!(
            Owner { started: alive.started + 1, ..alive.clone() }.is_dead(),
            "its id was used again"
        );
        assert!(Owner { process: u32::MAX, ..alive.clone() }.is_dead());
        let elsewhere = Owner { process: u32::MAX, namespace: "pid:[1]".into(), ..alive };
        assert!(!elsewhere.is_dead(), "of another container nothing is known");
    }

    #[test]
    fn nothing_is_removed_that_has_no_runs_name() {
        let Some(user) = user() else { panic!("procfs") };
        let folder = tempfile::Builder::new().prefix("other-").tempdir().expect("a folder");
        let directory = folder.path().canonicalize().expect("there");
        Folders::new(&directory, false).remove_of_another(user);
        assert!(directory.exists());
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().expect("a folder");
        let directory = folder.path().canonicalize().expect("there");
        Folders::new(&directory, true).remove_of_another(user);
        Folders::new(&directory, false).remove_of_another(user.wrapping_add(1));
        assert!(directory.exists(), "kept, and another's");
        Folders::new(&directory, false).remove_of_another(user);
        assert!(!directory.exists());
    }
}
