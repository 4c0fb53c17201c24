//! Third-party files that tests read where they are: captures, goldens, specifications.

use std::path::{Path, PathBuf};

/// A file or folder of the shared folder beside the project, or `None`, said aloud, where there is none.
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no {}", path.display());
    None
}
