//! A file that is there whole or not at all: written under a name of its own beside the target, and given the target's name
//! at the end. Until then what was there before stays, and what was begun is removed if it is not finished.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Names tried beside the target: more than one is taken only by processes of earlier times that were killed.
const NAMES_TRIED: u32 = 16;

/// A file being written. Dropped before [`WholeFile::finish`], it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    /// What it is called until it is whole, and then; `None` where the target is no file that could be replaced, as a pipe.
    names: Option<(PathBuf, PathBuf)>,
    written_bytes: u64,
}

impl WholeFile {
    /// Begins a file that will be `path`. A device or a pipe of that name is written to as it is.
    ///
    /// # Errors
    /// If the target may not be written, or no file can be made beside it.
    pub fn begin(path: &Path) -> io::Result<WholeFile> {
        let known = match fs::metadata(path) {
            // What may not be written may not be replaced either.
            Ok(_) => Some(File::options().write(true).open(path)?.metadata()?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if known.as_ref().is_some_and(|known| !known.is_file()) {
            let file = File::options().write(true).open(path)?;
            return Ok(WholeFile { file, names: None, written_bytes: 0 });
        }
        // A link stays one: what it leads to is replaced.
        let target = if known.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        let (file, name) = beside(&target)?;
        let begun = WholeFile { file, names: Some((name, target)), written_bytes: 0 };
        if let Some(known) = known {
            begun.file.set_permissions(known.permissions())?;
        }
        Ok(begun)
    }

    /// Whether something is removed if it is not finished.
    pub const fn is_removable(&self) -> bool {
        self.names.is_some()
    }

    /// Bytes written so far.
    pub const fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// If it cannot be given: nothing is left then.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some((name, target)) = &self.names {
            fs::rename(name, target)?;
        }
        self.names = None;
        Ok(())
    }
}

/// A new file in the folder of `target`, named after it.
fn beside(target: &Path) -> io::Result<(File, PathBuf)> {
    let Some(own) = target.file_name() else { return Err(io::ErrorKind::IsADirectory.into()) };
    let mut tried = 0;
    loop {
        let mut name = own.to_owned();
        name.push(format!(".{}-{tried}.part", std::process::id()));
        let name = target.with_file_name(name);
        match File::create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < NAMES_TRIED => {
                tried += 1;
            }
            made => return made.map(|file| (file, name)),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.written_bytes += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some((name, _)) = &self.names {
            // What cannot be removed says by its name that it is a part.
            let _ = fs::remove_file(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("there").map(|entry| entry.expect("readable"));
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_there_stays_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("day");
        for (text, is_finished) in [("new", true), ("newer", true), ("cut", false)] {
            let before = fs::read(&path).ok();
            let mut file = WholeFile::begin(&path).expect("begun");
            file.write_all(text.as_bytes()).expect("written");
            assert!(file.is_removable());
            assert_eq!(usize::try_from(file.written_bytes()), Ok(text.len()));
            assert_eq!(fs::read(&path).ok(), before, "{text}");
            if is_finished {
                file.finish().expect("renamed");
                assert_eq!(fs::read(&path).expect("there"), text.as_bytes());
            } else {
                drop(file);
                assert_eq!(fs::read(&path).ok(), before);
            }
            assert_eq!(names(folder.path()), ["day"]);
        }
    }

    #[test]
    fn a_link_stays_one_and_a_mode_stays_what_it_is() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "old").expect("written");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).expect("ours");
        symlink("real", &link).expect("linked");
        let mut file = WholeFile::begin(&link).expect("begun");
        file.write_all(b"new").expect("written");
        file.finish().expect("renamed");
        assert_eq!(fs::read_link(&link).expect("a link"), Path::new("real"));
        assert_eq!(fs::read(&real).expect("there"), b"new");
        assert_eq!(fs::metadata(&real).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["link", "real"]);
    }

    #[test]
    fn devices_are_written_to_as_they_are_and_folders_are_not() {
        let mut file = WholeFile::begin(Path::new("/dev/null")).expect("begun");
        assert!(!file.is_removable());
        file.write_all(b"x").expect("written");
        file.finish().expect("nothing to do");
        let folder = tempfile::tempdir().expect("a folder");
        assert!(WholeFile::begin(folder.path()).is_err());
        assert!(WholeFile::begin(Path::new("..")).is_err());
        assert_eq!(names(folder.path()), [""; 0]);
    }

    #[test]
    fn names_of_processes_that_were_killed_are_passed_by() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("day");
        let left = folder.path().join(format!("day.{}-0.part", std::process::id()));
        fs::write(&left, "left").expect("written");
        WholeFile::begin(&path).expect("begun").finish().expect("renamed");
        assert_eq!(fs::read(&left).expect("there"), b"left");
        assert_eq!(fs::read(&path).expect("there"), b"");
    }
}
