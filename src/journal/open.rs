//! Opening a journal for writing: tidies up after the last run, and goes on where it ended.
#![allow(unsafe_code, reason = "the directory is locked by a system call")]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::journal::agent::{JournalAgent, Parts};
use crate::journal::handoff::{PLACES, handoff};
use crate::journal::reader::{
    JournalError, JournalReader, SEGMENT_BYTES_MAX, SegmentFile, Tail, io_error, segments,
};
use crate::journal::segment::{Segment, seal_file};
use crate::journal::writer::JournalWriter;
use crate::telemetry::Registry;
use crate::types::{Nanos, UtcNanos};

/// Smallest segment.
const SEGMENT_BYTES_MIN: usize = 64 * 1024;

/// How often, and how far apart, the directory's lock is tried before it counts as taken.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// How to write a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalConfig {
    /// Where; made if it is not there.
    pub directory: PathBuf,
    /// Size of a segment: a multiple of 4096 from 64 KiB to 1 GiB. An eighth of it is kept for cancels and executions when no
    /// other segment is ready.
    pub segment_bytes: usize,
    /// Segments kept ready ahead of the one in use: 1 to 6. Each is mapped and in memory.
    pub segments_ahead: usize,
    /// Bytes that must stay free in the file system: below, no further segment is made, and new orders are refused once
    /// the one in use is nearly full.
    pub reserve_bytes: u64,
    /// Of the limits, instruments, accounts and sessions in force.
    pub config_digest: [u8; 32],
}

impl JournalConfig {
    /// 16 MiB segments, two ahead.
    pub fn new(directory: PathBuf, config_digest: [u8; 32]) -> JournalConfig {
        JournalConfig {
            directory,
            segment_bytes: 16 << 20,
            segments_ahead: 2,
            reserve_bytes: 0,
            config_digest,
        }
    }

    fn check(&self) -> Result<(), JournalError> {
        let sizes = SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX;
        if !sizes.contains(&self.segment_bytes) || !self.segment_bytes.is_multiple_of(4096) {
            let what = format!(
                "segment_bytes {}: must be a multiple of 4096 from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}",
                self.segment_bytes
            );
            return Err(JournalError::Config { what });
        }
        // With the one in use and the one being sealed, all must fit between the threads.
        if !(1..=PLACES - 2).contains(&self.segments_ahead) {
            let what =
                format!("segments_ahead {}: must be 1 to {}", self.segments_ahead, PLACES - 2);
            return Err(JournalError::Config { what });
        }
        Ok(())
    }
}

/// Opens the journal for writing: the writer for risk's thread, the agent for a slow one. The first segment and those
/// ahead of it are ready when this returns. `now` and `utc` are the same moment on both clocks.
///
/// What an earlier run left open is sealed, and numbering goes on after its last record. A torn tail is cut off: it was
/// never seen whole, so nothing followed from it.
///
/// # Errors
/// Damage, another writer, or what the file system says.
pub fn open(
    config: &JournalConfig,
    now: Nanos,
    utc: UtcNanos,
    registry: &Registry,
) -> Result<(JournalWriter, JournalAgent), JournalError> {
    config.check()?;
    let directory = &config.directory;
    fs::create_dir_all(directory).map_err(io_error(directory))?;
    let lock = lock(directory)?;
    let (last_segment, last_record) = tidy(directory)?;
    let make = |number| {
        Segment::create(directory, number, config.segment_bytes)
            .map(Box::new)
            .map_err(io_error(directory))
    };
    let mut next_segment = last_segment + 1;
    let first = make(next_segment)?;
    next_segment += 1;
    let ((mut give_ready, take_ready), (give_full, take_full)) = (handoff(), handoff());
    for _ in 0..config.segments_ahead {
        if !has_reserve(directory, config.segment_bytes, config.reserve_bytes) {
            break;
        }
        let given = give_ready.put(make(next_segment)?);
        assert!(given.is_ok(), "there are more places than segments ahead");
        next_segment += 1;
    }
    let writer = JournalWriter::new(
        first,
        take_ready,
        give_full,
        last_record + 1,
        config.segment_bytes / 8,
        (now, utc),
        config.config_digest,
    );
    let parts = Parts {
        directory: directory.clone(),
        segment_bytes: config.segment_bytes,
        segments_ahead: config.segments_ahead,
        reserve_bytes: config.reserve_bytes,
        next_segment,
        ready: give_ready,
        full: take_full,
        lock,
    };
    Ok((writer, JournalAgent::new(parts, registry)))
}

/// Whether the file system of `directory` keeps `reserve_bytes` free after another segment; `true` where it does not say.
pub(super) fn has_reserve(directory: &Path, segment_bytes: usize, reserve_bytes: u64) -> bool {
    let Ok(path) = std::ffi::CString::new(directory.as_os_str().as_encoded_bytes()) else {
        return true;
    };
    let mut room = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL, and `room` has the size the call fills.
    if unsafe { libc::statvfs(path.as_ptr(), room.as_mut_ptr()) } != 0 {
        return true;
    }
    // SAFETY: the call succeeded, so it filled all of `room`.
    let room = unsafe { room.assume_init() };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let segment = u64::try_from(segment_bytes).unwrap_or(u64::MAX);
    free >= reserve_bytes.saturating_add(segment)
}

/// One writer a directory, for as long as its process lives.
fn lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join("lock");
    let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io_error(&path))?;
    // A process that is just being started from this one holds a copy of every descriptor, and so of a lock given back
    // meanwhile, until it runs its own program some milliseconds later. So one refusal is not believed.
    for _ in 0..LOCK_ATTEMPTS {
        // SAFETY: plain call on a descriptor that `file` keeps open.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(file);
        }
        #[allow(
            clippy::disallowed_methods,
            reason = "a journal is opened at start, where waiting is allowed"
        )]
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(JournalError::InUse { path: directory.to_path_buf() })
}

/// Seals what is open and removes what was never used. Returns the numbers of the last segment and the last record.
fn tidy(directory: &Path) -> Result<(u64, u64), JournalError> {
    let all = segments(directory)?;
    let last_segment = all.last().map_or(0, |segment| segment.number);
    // Only from the last complete one on: what is before it was checked when it was sealed.
    let from = all.iter().rposition(|segment| segment.is_sealed).unwrap_or(0);
    let recent = all[from.min(all.len())..].to_vec();
    let mut reader = JournalReader::over(recent.clone())?;
    let (mut last_record, mut used) = (0, vec![0usize; recent.len()]);
    while let Some(record) = reader.next()? {
        last_record = record.number;
        let end = record.offset + crate::journal::frame::size(record.payload.len());
        if let Some(index) = recent.iter().position(|segment| segment.number == record.segment) {
            used[index] = end;
        }
    }
    if let Tail::Torn { path, offset, .. } = reader.tail() {
        keep_torn(path, *offset)?;
    }
    for (segment, used) in recent.iter().zip(used) {
        if !segment.is_sealed {
            tidy_one(directory, segment, used)?;
        }
    }
    Ok((last_segment, last_record))
}

fn tidy_one(directory: &Path, segment: &SegmentFile, used: usize) -> Result<(), JournalError> {
    let path = &segment.path;
    if used == 0 {
        return fs::remove_file(path).map_err(io_error(path));
    }
    let file = OpenOptions::new().write(true).open(path).map_err(io_error(path))?;
    seal_file(directory, &file, path, segment.number, used).map_err(io_error(path))
}

/// Copies the bytes of a torn tail aside before they are cut off: they may be evidence.
fn keep_torn(path: &Path, offset: usize) -> Result<(), JournalError> {
    let bytes = fs::read(path).map_err(io_error(path))?;
    let torn = bytes.get(offset..).unwrap_or(&[]);
    let end = torn.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let aside = path.with_extension("torn");
    fs::write(&aside, &torn[..end]).map_err(io_error(&aside))
}
