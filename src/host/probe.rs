//! Reads the machine's small files, under a root.

use std::path::{Path, PathBuf};

use crate::host::Wants;
use crate::runtime::CoreSet;

/// What checks read from.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    root: &'a Path,
    pub wants: &'a Wants,
    pub hot: CoreSet,
}

impl<'a> Probe<'a> {
    pub fn new(root: &'a Path, wants: &'a Wants) -> Probe<'a> {
        Probe { root, wants, hot: wants.hot_cores() }
    }

    pub fn root(&self) -> &Path {
        self.root
    }

    /// The path under the root; `path` may begin with a slash.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// A file's text without white space at its ends.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    pub fn number<T: std::str::FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    pub fn cores(&self, path: impl AsRef<Path>) -> Option<CoreSet> {
        CoreSet::read(&self.path(path))
    }

    /// The names in a folder, sorted; empty if it is not there.
    pub fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The cores there are.
    pub fn online(&self) -> CoreSet {
        self.cores("sys/devices/system/cpu/online").unwrap_or_default()
    }

    /// The value of `name=` in the boot line.
    pub fn boot_parameter(&self, name: &str) -> Option<String> {
        let line = self.text("proc/cmdline")?;
        let mut words = line.split_whitespace();
        words.find_map(|word| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    /// A soft limit of `/proc/self/limits`: none if it is not there, `u64::MAX` if there is no limit.
    pub fn limit(&self, name: &str) -> Option<u64> {
        limit(self.root, name, 0)
    }

    /// A hard limit: up to it the gateway raises the soft one by itself.
    pub fn hard_limit(&self, name: &str) -> Option<u64> {
        limit(self.root, name, 1)
    }
}

/// The soft (0) or hard (1) limit of that name in the `/proc/self/limits` under `root`; `u64::MAX` where there is none.
pub(super) fn limit(root: &Path, name: &str, column: usize) -> Option<u64> {
    let limits = std::fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let rest = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match rest.split_whitespace().nth(column)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A size for people, cut to a tenth: `256 MiB`, `1.5 GiB`, `100 bytes`.
pub(super) fn bytes_text(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        let whole = bytes >> shift;
        if whole == 0 {
            continue;
        }
        let tenth = ((bytes >> (shift - 10)) & 1023) * 10 / 1024;
        let tenth = if tenth == 0 { String::new() } else { format!(".{tenth}") };
        return format!("{whole}{tenth} {unit}");
    }
    format!("{bytes} bytes")
}
