//! The driver's directory before a driver is started in it: is it alive, and is there room.
#![allow(unsafe_code, reason = "statvfs has no safe form in the standard library")]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rusteron_client::AeronCnc;

use crate::transport::{AeronConfig, TransportError};

/// A driver whose process is alive is given this long to show its next sign of life: Aeron's drivers give one a second.
const ALIVE_WAIT: Duration = Duration::from_millis(3_000);

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

/// Makes sure that an embedded driver may be started in the configured directory.
///
/// # Errors
/// A live driver is there, or anything at all if it must not be taken over; or there is too little room.
pub(super) fn prepare(config: &AeronConfig) -> Result<(), TransportError> {
    let directory = config.directory.clone();
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
    Ok(())
}

/// The process id of a driver that is alive in the directory, if there is one.
///
/// A driver that was killed has left a fresh heartbeat behind, so its process decides; and as process ids are used
/// again, a process that is alive must also go on giving signs of life.
fn live_driver(config: &AeronConfig) -> Result<Option<i64>, TransportError> {
    // No file, or none that is complete, is no driver.
    let Ok(cnc) = AeronCnc::open(&c_path(&config.directory)?) else { return Ok(None) };
    let Ok(constants) = cnc.get_constants() else { return Ok(None) };
    let pid = constants.pid();
    let Ok(first) = cnc.get_to_driver_heartbeat_ms() else { return Ok(None) };
    let fresh_ms = i64::try_from(config.driver_timeout_ms).unwrap_or(i64::MAX).max(3_000);
    let wait = Deadline::after(ALIVE_WAIT);
    loop {
        if !Path::new("/proc").join(pid.to_string()).exists() {
            return Ok(None);
        }
        let Ok(heartbeat) = cnc.get_to_driver_heartbeat_ms() else { return Ok(None) };
        if heartbeat != first {
            return Ok(Some(pid));
        }
        if epoch_ms().saturating_sub(heartbeat) > fresh_ms || wait.is_over() {
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
