//! Reading a journal back: every record over all segments in order, and where it ends or is damaged.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::journal::crc::Crc32c;
use crate::journal::frame::{self, Frame, FrameError, Kind};
use crate::journal::segment::{OPEN, SEALED};
use crate::types::Nanos;

/// Largest segment that is read.
pub(super) const SEGMENT_BYTES_MAX: usize = 1 << 30;

/// Why a journal cannot be opened or read on.
#[derive(Debug)]
pub enum JournalError {
    /// The file system refused.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes to it.
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Bytes that are no record, with records after them or in a segment that was complete.
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Records are missing.
    Gap {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: usize,
        /// Number that comes next.
        expected: u64,
        /// Number that is there.
        found: u64,
    },
    /// A configuration that cannot be.
    Config {
        /// What is wrong.
        what: String,
    },
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Io { path, source } => write!(f, "journal {}: {source}", path.display()),
            JournalError::InUse { path } => {
                write!(f, "journal {}: another process writes to it", path.display())
            }
            JournalError::Corrupt { path, offset, what } => {
                write!(f, "journal {} at byte {offset}: {what}", path.display())
            }
            JournalError::Gap { path, offset, expected, found } => write!(
                f,
                "journal {} at byte {offset}: record {found} where {expected} comes next",
                path.display()
            ),
            JournalError::Config { what } => write!(f, "journal: {what}"),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JournalError::Io { source, .. } => Some(source),
            JournalError::InUse { .. }
            | JournalError::Corrupt { .. }
            | JournalError::Gap { .. }
            | JournalError::Config { .. } => None,
        }
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> JournalError + '_ {
    |source| JournalError::Io { path: path.to_path_buf(), source }
}

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    pub(super) is_sealed: bool,
}

/// The segments in `directory`, in order. Other files are left alone.
pub(super) fn segments(directory: &Path) -> Result<Vec<SegmentFile>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(io_error(directory))? {
        let path = entry.map_err(io_error(directory))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_sealed = match ending {
            Some(SEALED) => true,
            Some(OPEN) => false,
            Some(_) | None => continue,
        };
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|s| s.parse().ok());
        if let Some(number) = number {
            found.push(SegmentFile { number, path, is_sealed });
        }
    }
    found.sort_by_key(|segment| (segment.number, segment.is_sealed));
    if let Some(pair) = found.windows(2).find(|pair| pair[0].number == pair[1].number) {
        let what = format!("segment {} is there twice, open and complete", pair[0].number);
        return Err(JournalError::Config { what });
    }
    Ok(found)
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made, on the monotonic clock of its run.
    pub now: Nanos,
    /// What its payload is.
    pub kind: Kind,
    /// An SBE message, or nothing.
    pub payload: &'a [u8],
    /// Number of its segment.
    pub segment: u64,
    /// Where it lies in its segment.
    pub offset: usize,
}

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// After a whole record.
    Clean,
    /// In bytes that are no whole record, and after which there is none.
    Torn {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// Reads a journal. Holds one segment in memory at a time.
#[derive(Debug)]
pub struct JournalReader {
    segments: Vec<SegmentFile>,
    /// Index of the segment in `bytes`.
    current: usize,
    bytes: Vec<u8>,
    offset: usize,
    expected: Option<u64>,
    tail: Tail,
    crc: Crc32c,
}

impl JournalReader {
    /// A reader at the first record of the journal in `directory`.
    ///
    /// # Errors
    /// Where the directory cannot be listed or its first segment not be read.
    pub fn open(directory: &Path) -> Result<JournalReader, JournalError> {
        JournalReader::over(segments(directory)?)
    }

    pub(super) fn over(segments: Vec<SegmentFile>) -> Result<JournalReader, JournalError> {
        let mut reader = JournalReader {
            segments,
            current: 0,
            bytes: Vec::new(),
            offset: 0,
            expected: None,
            tail: Tail::Clean,
            crc: Crc32c::new(),
        };
        reader.load()?;
        Ok(reader)
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// How the journal ends; known once [`JournalReader::next`] gave `None`.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Where the reader is: segment file and byte in it.
    pub fn place(&self) -> Option<(&Path, usize)> {
        self.segments.get(self.current).map(|segment| (segment.path.as_path(), self.offset))
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// Damage that is not a torn tail; the reader is not to be used after one.
    #[allow(
        clippy::should_implement_trait,
        reason = "a record borrows the segment, which an Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, JournalError> {
        loop {
            let Some(segment) = self.segments.get(self.current) else { return Ok(None) };
            let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
            match frame::read(rest, self.crc) {
                Ok(frame) => {
                    let (size, number) = (frame::size(frame.payload.len()), frame.number);
                    let (offset, segment) = (self.offset, segment.number);
                    if let Some(expected) = self.expected.filter(|&expected| expected != number) {
                        return Err(JournalError::Gap {
                            path: self.segments[self.current].path.clone(),
                            offset,
                            expected,
                            found: number,
                        });
                    }
                    self.expected = number.checked_add(1);
                    self.offset += size;
                    return Ok(Some(self.record_at(segment, offset)?));
                }
                Err(FrameError::End) => {
                    self.check_end()?;
                    self.current += 1;
                    self.load()?;
                }
                Err(error) => {
                    self.torn_or_corrupt(error)?;
                    self.current = self.segments.len();
                }
            }
        }
    }

    /// The record that was found at `offset`. Read again, because a borrow cannot leave the loop that may load the next
    /// segment.
    fn record_at(&self, segment: u64, offset: usize) -> Result<Record<'_>, JournalError> {
        match frame::read(&self.bytes[offset..], self.crc) {
            Ok(Frame { kind, number, now, payload }) => {
                Ok(Record { number, now, kind, payload, segment, offset })
            }
            Err(error) => Err(self.corrupt(offset, error.text())),
        }
    }

    fn corrupt(&self, offset: usize, what: &'static str) -> JournalError {
        JournalError::Corrupt { path: self.segments[self.current].path.clone(), offset, what }
    }

    /// After the last record of a segment there must be nothing but zeros.
    fn check_end(&self) -> Result<(), JournalError> {
        match self.find_record(self.offset) {
            Some(offset) => Err(self.corrupt(offset, "a record lies behind the end")),
            None => Ok(()),
        }
    }

    /// Bytes that are no record are a torn tail where no record follows them anywhere.
    fn torn_or_corrupt(&mut self, error: FrameError) -> Result<(), JournalError> {
        let segment = &self.segments[self.current];
        let is_followed = self.find_record(self.offset + 8).is_some()
            || self.segments[self.current + 1..].iter().any(has_records);
        if segment.is_sealed || is_followed {
            return Err(self.corrupt(self.offset, error.text()));
        }
        self.tail =
            Tail::Torn { path: segment.path.clone(), offset: self.offset, what: error.text() };
        Ok(())
    }

    /// Where the next whole record with a number yet to come lies, at or after `from`.
    fn find_record(&self, from: usize) -> Option<usize> {
        let from = from.next_multiple_of(8);
        (from..self.bytes.len()).step_by(8).find(|&offset| {
            frame::read(&self.bytes[offset..], self.crc)
                .is_ok_and(|frame| self.expected.is_none_or(|expected| frame.number >= expected))
        })
    }

    fn load(&mut self) -> Result<(), JournalError> {
        // One buffer for all segments: a journal of a day is read in the memory of one.
        self.offset = 0;
        self.bytes.clear();
        if let Some(segment) = self.segments.get(self.current) {
            let path = &segment.path;
            let file = File::open(path).map_err(io_error(path))?;
            let limit = u64::try_from(SEGMENT_BYTES_MAX).unwrap_or(u64::MAX);
            file.take(limit).read_to_end(&mut self.bytes).map_err(io_error(path))?;
        }
        Ok(())
    }
}

fn has_records(segment: &SegmentFile) -> bool {
    let mut start = [0; frame::FRAME_BYTES_MAX];
    File::open(&segment.path)
        .and_then(|mut file| file.read(&mut start))
        .is_ok_and(|bytes| bytes > 0 && frame::read(&start[..bytes], Crc32c::new()).is_ok())
}
