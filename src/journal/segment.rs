//! One mapped segment: made ready off the hot path, appended to on it, sealed off it again.
#![allow(
    unsafe_code,
    reason = "a file is mapped, and the first word of a record is stored atomically"
)]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::MmapMut;

use crate::codec::Message;
use crate::journal::crc::Crc32c;
use crate::journal::frame::{self, Kind};
use crate::runtime::prefetch;
use crate::types::Nanos;

/// Ending of a segment that is, or will be, appended to.
pub(super) const OPEN: &str = "open";
/// Ending of a segment that is complete.
pub(super) const SEALED: &str = "journal";
/// Smallest page: what is touched to have all of them.
const PAGE_BYTES: usize = 4096;

/// `0000000042.open`.
pub(super) fn path(directory: &Path, number: u64, ending: &str) -> PathBuf {
    directory.join(format!("{number:010}.{ending}"))
}

/// How far ahead of the last record memory is asked for: some records.
const AHEAD_BYTES: usize = 1024;

/// A segment in memory.
#[derive(Debug)]
pub(super) struct Segment {
    number: u64,
    path: PathBuf,
    file: File,
    map: MmapMut,
    /// Bytes written, a multiple of 8.
    used: usize,
}

impl Segment {
    /// Makes a new segment of `bytes`: every block on disk, every page in memory.
    ///
    /// # Errors
    /// What the file system says; no file is left behind.
    pub(super) fn create(directory: &Path, number: u64, bytes: usize) -> io::Result<Segment> {
        let path = path(directory, number, OPEN);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        let made = Segment::map(&file, bytes);
        match made {
            Ok(map) => Ok(Segment { number, path, file, map, used: 0 }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn map(file: &File, bytes: usize) -> io::Result<MmapMut> {
        let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
        // Blocks now, so that a store to the map never meets a full disk.
        // SAFETY: plain call on a descriptor that `file` keeps open.
        let refused = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if refused != 0 {
            return Err(io::Error::from_raw_os_error(refused));
        }
        // SAFETY: the file was just created under a name of ours, in a directory locked by this process, and nobody
        // shortens it while it is mapped: `seal` unmaps it before.
        let mut map = unsafe { MmapMut::map_mut(file) }?;
        for page in map.chunks_mut(PAGE_BYTES) {
            page[0] = std::hint::black_box(0);
        }
        Ok(map)
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Bytes not written yet.
    #[inline]
    pub(super) fn free_bytes(&self) -> usize {
        self.map.len() - self.used
    }

    /// Appends a record. Stores to memory, nothing else.
    ///
    /// # Panics
    /// If there is no room.
    #[inline]
    pub(super) fn append(
        &mut self,
        crc: Crc32c,
        kind: Kind,
        number: u64,
        now: Nanos,
        payload: &[u8],
    ) {
        self.place(frame::size(payload.len()), |buf| {
            frame::write(buf, crc, kind, number, now, payload)
        });
    }

    /// Appends a message, encoded where it stays.
    ///
    /// # Panics
    /// As [`Segment::append`].
    #[inline]
    pub(super) fn record<M: Message>(&mut self, crc: Crc32c, number: u64, now: Nanos, message: &M) {
        self.place(frame::size(M::BYTES), |buf| frame::encode(buf, crc, number, now, message));
    }

    /// Has a record of `bytes` written, all but its first word, which `write` returns.
    #[inline]
    fn place(&mut self, bytes: usize, write: impl FnOnce(&mut [u8]) -> u32) {
        let buf = self.map.get_mut(self.used..self.used + bytes);
        let buf = buf.expect("room is asked for before a record is appended");
        let word = write(buf);
        let first: *mut u32 = buf.as_mut_ptr().cast();
        // SAFETY: `buf` is ours, is at least a header long and starts at a multiple of 8 in a map that starts at a page;
        // within this process nobody else has it.
        let first = unsafe { AtomicU32::from_ptr(first) };
        // Release: whoever reads the word, in this process or after its death, sees the rest of the record. Little-endian
        // like all else, which on x86-64 changes nothing.
        first.store(word.to_le(), Ordering::Release);
        self.used += bytes;
        // What comes next lies on lines and pages that nobody has been on since they were made.
        prefetch(&self.map, self.used + AHEAD_BYTES);
        prefetch(&self.map, self.used + AHEAD_BYTES + 64);
    }

    /// Flushes, cuts to what was written and gives the final name. Blocks.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn seal(self, directory: &Path) -> io::Result<()> {
        let Segment { number, path, file, map, used } = self;
        map.flush()?;
        drop(map);
        seal_file(directory, &file, &path, number, used)
    }

    /// Removes a segment that was never used.
    pub(super) fn discard(self) -> io::Result<()> {
        assert!(self.used == 0, "segment {} holds records", self.number);
        fs::remove_file(&self.path)
    }
}

/// Cuts the segment `file` at `open_path` to `used` bytes and gives it its final name.
pub(super) fn seal_file(
    directory: &Path,
    file: &File,
    open_path: &Path,
    number: u64,
    used: usize,
) -> io::Result<()> {
    file.set_len(u64::try_from(used).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(open_path, path(directory, number, SEALED))?;
    File::open(directory)?.sync_all()
}
