//! The driver's directory before a driver is started in it: is it alive, and is there room.
#![allow(unsafe_code, reason = "statvfs has no safe form in the standard library")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusteron_client::AeronCnc;

use crate::transport::{AeronConfig, TransportError};

/// A driver without a sign of life for so many milliseconds is dead, if its process cannot be seen. Aeron's drivers give
/// one a second or sooner.
const UNSEEN_MS: i64 = 1_250;

/// The same where the process with its id is alive: that may be another program, or a driver that is held up.
const ALIVE_MS: i64 = 3_000;

/// Directories of the embedded drivers of this process. A driver of the asking thread gives no sign of life while that
/// thread asks, so it has to be known.
#[allow(clippy::disallowed_types, reason = "set-up only, and all threads of the process share it")]
static OURS: std::sync::Mutex<Vec<PathBuf>> = std::sync::Mutex::new(Vec::new());

/// A directory in which a driver of this process runs, until dropped.
#[derive(Debug)]
pub(super) struct Claimed(PathBuf);

impl Claimed {
    fn new(directory: &Path) -> Result<Claimed, TransportError> {
        let mut ours = OURS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ours.iter().any(|taken| taken == directory) {
            let pid = i64::from(std::process::id());
            return Err(TransportError::DirectoryInUse { directory: directory.to_owned(), pid });
        }
        ours.push(directory.to_owned());
        Ok(Claimed(directory.to_owned()))
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut ours = OURS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ours.retain(|taken| *taken != self.0);
    }
}

/// The C string for a path.
///
/// # Errors
/// [`TransportError::BadSetting`] if it holds a zero byte.
pub(super) fn c_path(path: &Path) -> Result<CString, TransportError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| TransportError::BadSetting {
        field: "directory",
        why: "must not hold a zero byte".to_owned(),
    })
}

/// Makes sure that an embedded driver may be started in the configured directory, which is ours from then on.
///
/// # Errors
/// A live driver is there, or anything at all if it must not be taken over; or there is too little room.
pub(super) fn prepare(config: &AeronConfig) -> Result<Claimed, TransportError> {
    let directory = config.directory.clone();
    let claimed = Claimed::new(&directory)?;
    if directory.exists() {
        if let Some(pid) = live_driver(config)? {
            return Err(TransportError::DirectoryInUse { directory, pid });
        }
        if !config.delete_on_start {
            return Err(TransportError::DirectoryExists { directory });
        }
        // What a killed driver left counts as room.
        std::fs::remove_dir_all(&directory).map_err(|error| TransportError::Directory {
            directory: directory.clone(),
            why: error.to_string(),
        })?;
    }
    let free_bytes = free_bytes(&directory).map_err(|error| TransportError::Directory {
        directory: directory.clone(),
        why: error.to_string(),
    })?;
    let needed_bytes = config.needed_bytes();
    if free_bytes < needed_bytes {
        return Err(TransportError::TooLittleMemory { directory, needed_bytes, free_bytes });
    }
    Ok(claimed)
}

/// The process id of a driver that is alive in the directory, if there is one.
///
/// A driver that was killed a moment ago has left a fresh heartbeat behind, so what counts is whether another follows. Its
/// process id alone proves nothing: it may be in use again, or belong to another container that shares the memory.
fn live_driver(config: &AeronConfig) -> Result<Option<i64>, TransportError> {
    // No file, or none that is complete, is no driver.
    let Ok(cnc) = AeronCnc::open(&c_path(&config.directory)?) else { return Ok(None) };
    let Ok(constants) = cnc.get_constants() else { return Ok(None) };
    let pid = constants.pid();
    // A driver that ended in good order has taken its heartbeat back, which reads as an error.
    let Ok(first) = cnc.get_to_driver_heartbeat_ms() else { return Ok(None) };
    // Whatever the time of day does meanwhile.
    let patience = Deadline::after(Duration::from_millis(ALIVE_MS.unsigned_abs()));
    loop {
        let Ok(heartbeat) = cnc.get_to_driver_heartbeat_ms() else { return Ok(None) };
        if heartbeat != first {
            return Ok(Some(pid));
        }
        // Our own id is that of a process before us, as in a container where it is always the same.
        let seen = pid != i64::from(std::process::id())
            && Path::new("/proc").join(pid.to_string()).exists();
        let dead_ms = if seen { ALIVE_MS } else { UNSEEN_MS };
        if epoch_ms().saturating_sub(heartbeat) > dead_ms || patience.is_over() {
            return Ok(None);
        }
        std::thread::yield_now();
    }
}

#[allow(clippy::disallowed_methods, reason = "Aeron's heartbeat is in time of day")]
fn epoch_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Bytes free to us in the file system that `path` is in or will be in.
fn free_bytes(path: &Path) -> io::Result<u64> {
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    let name = CString::new(there.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `name` ends in a zero byte and `stat` is writable memory of the right size.
    let result = unsafe { libc::statvfs(name.as_ptr(), stat.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statvfs succeeded, so it filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// An end to waiting in set-up code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(std::time::Instant);

impl Deadline {
    #[allow(clippy::disallowed_methods, reason = "set-up, before an agent runs")]
    pub(super) fn after(wait: Duration) -> Deadline {
        Deadline(std::time::Instant::now() + wait)
    }

    #[allow(clippy::disallowed_methods, reason = "set-up, before an agent runs")]
    pub(super) fn is_over(self) -> bool {
        std::time::Instant::now() >= self.0
    }
}
