//! A recorded feed as a recording: a BinaryFILE read in blocks, whatever its size, or any other capture from memory.
//!
//! The messages of a BinaryFILE get MoldUDP64 datagrams, as [`crate::feed::capture`] gives them: of one message each for the
//! books, or packed as an exchange does, for the wire.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;

use crate::feed::capture::{FILE_DESTINATION, FILE_SESSION};
use crate::feed::itch50::LENGTHS;
use crate::feed::moldudp64::{HEADER_BYTES, Header};
use crate::net::capture::{Capture, CaptureError, CaptureErrorKind, Skipped};
use crate::net::{CaptureRecording, Recorded, Recording};

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// The longest message a datagram has room for.
const MESSAGE_BYTES_MAX: usize = 1_900;
/// A packed datagram fits an Ethernet frame of 1,500 bytes.
const PACKED_BYTES_MAX: usize = 1_400;
/// Messages within this time of each other are packed together.
const PACKED_NS: u64 = 20_000;

/// How the messages of a BinaryFILE are put into datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// One each.
    Single,
    /// Those of one moment together.
    Packed,
}

/// A recorded feed, opened.
#[derive(Debug)]
pub enum AnyRecording {
    /// Of packets, in memory.
    Capture(CaptureRecording),
    /// Of messages, read as it is played.
    File(Box<MessageFile>),
}

impl From<Capture> for AnyRecording {
    fn from(capture: Capture) -> AnyRecording {
        AnyRecording::Capture(CaptureRecording::new(capture))
    }
}

impl AnyRecording {
    /// Opens a recorded feed: pcap or BinaryFILE, each also as gzip.
    ///
    /// # Errors
    /// If nothing of it can be read.
    pub fn open(path: &Path, packing: Packing) -> Result<AnyRecording, CaptureError> {
        let read = |error| CaptureError {
            path: path.to_owned(),
            offset: 0,
            kind: CaptureErrorKind::Read(error),
        };
        let (mut reader, _) = unpacked(path, &Rc::default()).map_err(read)?;
        // What cannot be read at its start, or is no whole message, is told by whoever reads all of it.
        if is_message(&mut reader) {
            let file = MessageFile::open(path, packing).map_err(read)?;
            return Ok(AnyRecording::File(Box::new(file)));
        }
        crate::feed::capture::open(path).map(AnyRecording::from)
    }

    /// Why the rest of it could not be read, if some of it could not; of a file, as far as it was played.
    pub fn defect(&self) -> Option<&CaptureError> {
        match self {
            AnyRecording::Capture(recording) => recording.capture().defect(),
            AnyRecording::File(file) => file.defect.as_ref(),
        }
    }

    /// Frames of it that are no datagrams, by why.
    pub fn skipped(&self) -> Skipped {
        match self {
            AnyRecording::Capture(recording) => recording.capture().skipped(),
            AnyRecording::File(_) => Skipped::default(),
        }
    }
}

impl Recording for AnyRecording {
    fn flows(&self) -> &[SocketAddrV4] {
        match self {
            AnyRecording::Capture(recording) => recording.flows(),
            AnyRecording::File(_) => &[FILE_DESTINATION],
        }
    }

    #[inline]
    fn step(&mut self) -> bool {
        match self {
            AnyRecording::Capture(recording) => recording.step(),
            AnyRecording::File(file) => file.step(),
        }
    }

    #[inline]
    fn datagram(&self) -> Recorded<'_> {
        match self {
            AnyRecording::Capture(recording) => recording.datagram(),
            AnyRecording::File(file) => {
                Recorded { flow: 0, ns: file.ns, is_at_once: false, payload: &file.datagram }
            }
        }
    }

    fn rewind(&mut self) {
        match self {
            AnyRecording::Capture(recording) => recording.rewind(),
            AnyRecording::File(file) => file.rewind(),
        }
    }

    fn progress(&self) -> (u64, u64) {
        match self {
            AnyRecording::Capture(recording) => recording.progress(),
            AnyRecording::File(file) => (file.packed_read.get(), file.packed_bytes),
        }
    }
}

/// Whether what is read begins with an ITCH 5.0 message behind its length.
fn is_message(reader: &mut impl Read) -> bool {
    let mut start = [0; 3];
    if reader.read_exact(&mut start).is_err() {
        return false;
    }
    let [high, length, letter] = start;
    let mut rest = [0; 255];
    high == 0
        && length != 0
        && LENGTHS[usize::from(letter)] == length
        && reader.read_exact(&mut rest[..usize::from(length) - 1]).is_ok()
}

/// Counts what is read.
struct Counted<R>(R, Rc<Cell<u64>>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(to)?;
        self.1.set(self.1.get() + u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

/// The bytes of a file, unpacked if it is gzip, and whether it is. `read` counts those of the file itself.
fn unpacked(path: &Path, read: &Rc<Cell<u64>>) -> io::Result<(BufReader<Box<dyn Read>>, bool)> {
    read.set(0);
    let mut magic = [0; 2];
    let is_packed = File::open(path)?.read_exact(&mut magic).is_ok() && magic == [0x1F, 0x8B];
    let counted = Counted(File::open(path)?, Rc::clone(read));
    let reader: Box<dyn Read> = if is_packed {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BLOCK_BYTES, counted)))
    } else {
        Box::new(counted)
    };
    Ok((BufReader::with_capacity(BLOCK_BYTES, reader), is_packed))
}

/// A BinaryFILE being read.
pub struct MessageFile {
    path: PathBuf,
    packing: Packing,
    reader: BufReader<Box<dyn Read>>,
    is_packed: bool,
    packed_read: Rc<Cell<u64>>,
    packed_bytes: u64,
    /// Bytes of whole messages read, unpacked, with their lengths.
    offset: u64,
    is_over: bool,
    defect: Option<CaptureError>,
    /// The datagram gone to, and its time.
    datagram: Vec<u8>,
    ns: u64,
    /// Number of its first message, and how many it has.
    sequence: u64,
    count: u16,
    /// A message that was read and did not fit it, behind its length; and its time.
    next: Vec<u8>,
    next_ns: u64,
}

impl fmt::Debug for MessageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl MessageFile {
    fn open(path: &Path, packing: Packing) -> io::Result<MessageFile> {
        let packed_read = Rc::default();
        let (reader, is_packed) = unpacked(path, &packed_read)?;
        Ok(MessageFile {
            path: path.to_owned(),
            packing,
            reader,
            is_packed,
            packed_read,
            packed_bytes: path.metadata()?.len(),
            offset: 0,
            is_over: false,
            defect: None,
            datagram: Vec::with_capacity(2 * MESSAGE_BYTES_MAX),
            ns: 0,
            sequence: 1,
            count: 0,
            next: Vec::with_capacity(MESSAGE_BYTES_MAX + 2),
            next_ns: 0,
        })
    }

    /// The most bytes there can be unpacked.
    pub fn bytes_max(&self) -> u64 {
        // No byte of deflate makes more than 1,032 (RFC 1951: 258 bytes of a match in two bits).
        self.packed_bytes.saturating_mul(if self.is_packed { 1_032 } else { 1 })
    }

    fn rewind(&mut self) {
        self.next.clear();
        (self.offset, self.sequence, self.count) = (0, 1, 0);
        match unpacked(&self.path, &self.packed_read) {
            Ok((reader, is_packed)) => {
                (self.reader, self.is_packed, self.is_over) = (reader, is_packed, false);
            }
            Err(error) => self.fail(CaptureErrorKind::Read(error)),
        }
    }

    fn fail(&mut self, kind: CaptureErrorKind) {
        self.is_over = true;
        self.defect = Some(CaptureError { path: self.path.clone(), offset: self.offset, kind });
    }

    /// Makes the next datagram.
    fn step(&mut self) -> bool {
        self.sequence += u64::from(self.count);
        self.count = 0;
        self.datagram.clear();
        self.datagram.resize(HEADER_BYTES, 0);
        while self.read_ahead() && self.fits() {
            if self.count == 0 {
                self.ns = self.next_ns;
            }
            self.count += 1;
            self.datagram.append(&mut self.next);
        }
        let header = Header { session: FILE_SESSION, sequence: self.sequence, count: self.count };
        if let Some(head) = self.datagram.first_chunk_mut() {
            header.write(head);
        }
        self.count > 0
    }

    fn fits(&self) -> bool {
        self.count == 0
            || (self.packing == Packing::Packed
                && self.datagram.len() + self.next.len() <= PACKED_BYTES_MAX
                && self.next_ns.saturating_sub(self.ns) < PACKED_NS)
    }

    /// Reads the next message if there is none in hand.
    fn read_ahead(&mut self) -> bool {
        if self.next.is_empty() && !self.is_over {
            match self.read_message() {
                Ok(true) => {}
                Ok(false) => self.is_over = true,
                Err(kind) => {
                    self.next.clear();
                    self.fail(kind);
                }
            }
        }
        !self.next.is_empty()
    }

    /// Reads a message behind its length to `next`; `false` at the end.
    fn read_message(&mut self) -> Result<bool, CaptureErrorKind> {
        let mut length = [0; 2];
        match self.fill(&mut length)? {
            0 => return Ok(false),
            2 => {}
            _ => return Err(CaptureErrorKind::CutRecord),
        }
        let bytes = usize::from(u16::from_be_bytes(length));
        if bytes == 0 {
            // An empty message ends the file.
            let is_end = self.fill(&mut [0; 1])? == 0;
            return if is_end { Ok(false) } else { Err(CaptureErrorKind::BadRecord) };
        }
        self.next.extend_from_slice(&length);
        self.next.resize(2 + bytes, 0);
        let mut message = std::mem::take(&mut self.next);
        let read = self.fill(&mut message[2..]);
        self.next = message;
        if read? < bytes {
            return Err(CaptureErrorKind::CutRecord);
        }
        // A type of a later specification has a length this build cannot check, so it is let through.
        let known = usize::from(LENGTHS[usize::from(self.next[2])]);
        if (known != 0 && known != bytes) || bytes > MESSAGE_BYTES_MAX {
            return Err(CaptureErrorKind::BadRecord);
        }
        self.next_ns = match self.next.get(7..13) {
            Some(&[a, b, c, d, e, f]) => u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            Some(_) | None => 0,
        };
        self.offset += u64::try_from(2 + bytes).unwrap_or(0);
        Ok(true)
    }

    /// Reads as many bytes as `to` has room for, or as there are.
    fn fill(&mut self, to: &mut [u8]) -> Result<usize, CaptureErrorKind> {
        let mut filled = 0;
        while filled < to.len() {
            match self.reader.read(&mut to[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.is_packed => return Err(CaptureErrorKind::Unpack(error)),
                Err(error) => return Err(CaptureErrorKind::Read(error)),
            }
        }
        Ok(filled)
    }
}
