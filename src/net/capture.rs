//! A recorded feed in memory: datagrams with their destinations and times.
//!
//! A pcap or pcapng file is read whole when it is opened, so that playing it later costs neither a system call nor an
//! allocation. What it takes is the file's size (unpacked, if it was compressed) and 24 bytes a datagram.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use pcap_parser::{LegacyPcapBlock, PcapHeader};
use pcap_parser::{parse_pcap_frame, parse_pcap_frame_be, parse_pcap_header};

use crate::net::frame::{FrameError, Link, parse_link_udp};
use crate::net::pcapng;

/// The most bytes of a capture that are held in memory.
pub const CAPTURE_BYTES_MAX: usize = 4 << 30;

/// The longest frame a record may hold: what capturing programs allow at most.
pub(super) const RECORD_BYTES_MAX: u32 = 262_144;

/// What a gzip file begins with (RFC 1952, 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;

/// Destinations a capture may hold datagrams for; those beyond are counted and left out.
pub const FLOWS_MAX: usize = 1_024;

/// Why a capture, or its rest, could not be read.
#[derive(Debug)]
pub enum CaptureErrorKind {
    /// The file could not be read.
    Read(io::Error),
    /// Its compression is damaged or cut.
    Unpack(io::Error),
    /// More than [`CAPTURE_BYTES_MAX`].
    TooLarge,
    /// Not a format that is known.
    UnknownFormat,
    /// A capture of a link that is not read: its number in the registry of link types.
    LinkType(u32),
    /// Ends inside a record.
    CutRecord,
    /// A record that cannot be one.
    BadRecord,
}

/// Why and where a capture could not be read.
#[derive(Debug)]
pub struct CaptureError {
    /// The file.
    pub path: PathBuf,
    /// The byte, counted in the unpacked file, at which the record or header begins that is at fault.
    pub offset: u64,
    /// What is wrong.
    pub kind: CaptureErrorKind,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            CaptureErrorKind::Read(error) => write!(f, "{path}: cannot be read: {error}"),
            CaptureErrorKind::TooLarge => {
                let most = CAPTURE_BYTES_MAX >> 30;
                write!(
                    f,
                    "{path}: larger than {most} GiB, unpacked: it is read into memory whole, so split it first"
                )
            }
            CaptureErrorKind::UnknownFormat => {
                write!(f, "{path}: neither pcap nor pcapng nor a length-framed message file")
            }
            CaptureErrorKind::LinkType(link) => write!(
                f,
                "{path}: capture of link type {link}; read are Ethernet (1), raw IP (101, 228), loopback (0, 108) and \
                 Linux cooked (113, 276)"
            ),
            CaptureErrorKind::Unpack(error) => {
                write!(f, "{path}: damaged compression after byte {}: {error}", self.offset)
            }
            CaptureErrorKind::CutRecord => {
                write!(f, "{path}: ends inside the record at byte {}", self.offset)
            }
            CaptureErrorKind::BadRecord => {
                write!(f, "{path}: corrupt record at byte {}", self.offset)
            }
        }
    }
}

impl std::error::Error for CaptureError {}

/// Frames that hold no whole UDP datagram, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Skipped {
    /// Cut by the capture, or shorter than their headers say.
    pub cut: u64,
    /// Not IPv4.
    pub not_ipv4: u64,
    /// Not UDP.
    pub not_udp: u64,
    /// Parts of datagrams.
    pub fragments: u64,
    /// With lengths that contradict each other.
    pub lengths: u64,
    /// Of a link that is not read, in a file that has others too.
    pub links: u64,
    /// For a destination beyond [`FLOWS_MAX`].
    pub flows: u64,
}

impl Skipped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        let Skipped { cut, not_ipv4, not_udp, fragments, lengths, links, flows } = *self;
        cut + not_ipv4 + not_udp + fragments + lengths + links + flows
    }

    fn count(&mut self, error: FrameError) {
        *match error {
            FrameError::Cut => &mut self.cut,
            FrameError::NotIpv4 => &mut self.not_ipv4,
            FrameError::NotUdp => &mut self.not_udp,
            FrameError::Fragment => &mut self.fragments,
            FrameError::BadLength => &mut self.lengths,
        } += 1;
    }
}

/// Place of a datagram in the bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) offset: usize,
    /// When it was captured, UTC; 0 if that is not recorded.
    pub(super) ns: u64,
    pub(super) length: u16,
    pub(super) flow: u16,
}

/// A recorded feed.
#[derive(Debug)]
pub struct Capture {
    path: PathBuf,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    flows: Vec<SocketAddrV4>,
    skipped: Skipped,
    defect: Option<CaptureError>,
}

impl Capture {
    /// An empty capture to [`push`](Capture::push) datagrams to; `path` is only a name.
    pub fn empty(path: &Path) -> Capture {
        Capture {
            path: path.to_owned(),
            bytes: Vec::new(),
            entries: Vec::new(),
            flows: Vec::new(),
            skipped: Skipped::default(),
            defect: None,
        }
    }

    /// Reads a file, unpacking it if it is gzip. A defect of the compression is the second value; what came before it is
    /// in the first.
    ///
    /// # Errors
    /// If it cannot be read at all or is too large.
    pub fn read_file(path: &Path) -> Result<(Vec<u8>, Option<CaptureError>), CaptureError> {
        let error = |offset: usize, kind| CaptureError {
            path: path.to_owned(),
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            kind,
        };
        let read = |cause| error(0, CaptureErrorKind::Read(cause));
        let file = File::open(path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        let mut file = BufReader::with_capacity(READ_BYTES, file);
        let packed = file.fill_buf().map_err(read)?.starts_with(&GZIP_MAGIC);
        let limit = u64::try_from(CAPTURE_BYTES_MAX).unwrap_or(u64::MAX);
        if size > limit && !packed {
            return Err(error(0, CaptureErrorKind::TooLarge));
        }
        let mut bytes = Vec::new();
        let whole = if packed {
            MultiGzDecoder::new(file).take(limit + 1).read_to_end(&mut bytes)
        } else {
            let room = bytes.try_reserve_exact(usize::try_from(size).unwrap_or(0));
            room.map_err(|_| read(io::ErrorKind::OutOfMemory.into()))?;
            file.take(limit + 1).read_to_end(&mut bytes)
        };
        if bytes.len() > CAPTURE_BYTES_MAX {
            return Err(error(0, CaptureErrorKind::TooLarge));
        }
        let at = bytes.len();
        match whole {
            Ok(_) => Ok((bytes, None)),
            Err(cause) if packed && is_damage(&cause) => {
                Ok((bytes, Some(error(at, CaptureErrorKind::Unpack(cause)))))
            }
            Err(cause) => Err(read(cause)),
        }
    }

    /// Whether `bytes` begin as a pcap file does, in either byte order and precision.
    pub fn is_pcap(bytes: &[u8]) -> bool {
        bytes.first_chunk::<4>().is_some_and(|magic| {
            matches!(
                u32::from_le_bytes(*magic),
                0xA1B2_C3D4 | 0xA1B2_3C4D | 0xD4C3_B2A1 | 0x4D3C_B2A1
            )
        })
    }

    /// Whether `bytes` begin as a pcapng file does.
    pub fn is_pcapng(bytes: &[u8]) -> bool {
        bytes.starts_with(&pcapng::MAGIC)
    }

    /// Reads a pcap or pcapng file, plain or gzip. What can be read is kept even where the rest is damaged: see
    /// [`Capture::defect`].
    ///
    /// # Errors
    /// If nothing of it can be read.
    pub fn read(path: &Path) -> Result<Capture, CaptureError> {
        let (bytes, damage) = Capture::read_file(path)?;
        let mut capture = Capture::from_packets(path, bytes)?;
        capture.defect = damage.or(capture.defect);
        Ok(capture)
    }

    /// As [`Capture::read`], of bytes in memory; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Capture::from_pcap`] and [`Capture::from_pcapng`].
    pub fn from_packets(path: &Path, bytes: Vec<u8>) -> Result<Capture, CaptureError> {
        if Capture::is_pcapng(&bytes) {
            Capture::from_pcapng(path, bytes)
        } else {
            Capture::from_pcap(path, bytes)
        }
    }

    /// The datagrams of a pcap file in memory; `path` is named in errors.
    ///
    /// # Errors
    /// If it does not begin with the header of a pcap file of a link that is read.
    pub fn from_pcap(path: &Path, bytes: Vec<u8>) -> Result<Capture, CaptureError> {
        let mut capture = Capture::empty(path);
        let known = if Capture::is_pcap(&bytes) { parse_pcap_header(&bytes).ok() } else { None };
        let (rest, header) =
            known.ok_or_else(|| capture.error(0, CaptureErrorKind::UnknownFormat))?;
        // The upper half tells of checksums behind the frames (draft-ietf-opsawg-pcap, section 4).
        let number = header.network.0.cast_unsigned() & 0xFFFF;
        let link = Link::from_number(number)
            .ok_or_else(|| capture.error(0, CaptureErrorKind::LinkType(number)))?;
        let unit = if header.is_nanosecond_precision() { 1 } else { 1_000 };
        let mut at = bytes.len() - rest.len();
        while at < bytes.len() {
            match parse_record(&header, &bytes[at..]) {
                Ok((after, record)) => {
                    let part = u64::from(record.ts_usec).saturating_mul(unit);
                    let seconds = u64::from(record.ts_sec).saturating_mul(1_000_000_000);
                    capture.index(&bytes, link, seconds.saturating_add(part), record.data);
                    at = bytes.len() - after.len();
                }
                Err(kind) => {
                    capture.set_defect(at, kind);
                    break;
                }
            }
        }
        capture.bytes = bytes;
        Ok(capture)
    }

    /// The datagrams of a pcapng file in memory; `path` is named in errors.
    ///
    /// # Errors
    /// If its first block cannot be read.
    pub fn from_pcapng(path: &Path, bytes: Vec<u8>) -> Result<Capture, CaptureError> {
        let mut capture = Capture::empty(path);
        let mut blocks = pcapng::Blocks::new(&bytes);
        loop {
            match blocks.next_packet() {
                Ok(None) => break,
                Ok(Some(packet)) => match packet.link {
                    Some(link) => capture.index(&bytes, link, packet.ns, packet.frame),
                    None => capture.skipped.links += 1,
                },
                Err(kind) if blocks.position() == 0 => return Err(capture.error(0, kind)),
                Err(kind) => {
                    capture.set_defect(blocks.position(), kind);
                    break;
                }
            }
        }
        capture.bytes = bytes;
        Ok(capture)
    }

    fn error(&self, offset: usize, kind: CaptureErrorKind) -> CaptureError {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        CaptureError { path: self.path.clone(), offset, kind }
    }

    /// Notes the datagram in `frame`, which is a part of `bytes` and was captured at `ns`.
    fn index(&mut self, bytes: &[u8], link: Link, ns: u64, frame: &[u8]) {
        let udp = match parse_link_udp(link, frame) {
            Ok(udp) => udp,
            Err(error) => return self.skipped.count(error),
        };
        let Some(flow) = self.flow(udp.destination) else {
            self.skipped.flows += 1;
            return;
        };
        self.entries.push(Entry {
            // The payload is the frame's last part but for padding; both are slices of `bytes`.
            offset: udp.payload.as_ptr().addr() - bytes.as_ptr().addr(),
            ns,
            length: u16::try_from(udp.payload.len()).expect("a UDP length has 16 bits"),
            flow,
        });
    }

    fn flow(&mut self, destination: SocketAddrV4) -> Option<u16> {
        let place = match self.flows.iter().rposition(|&flow| flow == destination) {
            Some(place) => place,
            None if self.flows.len() == FLOWS_MAX => return None,
            None => {
                self.flows.push(destination);
                self.flows.len() - 1
            }
        };
        u16::try_from(place).ok()
    }

    /// Adds a datagram of `head` and `body` for `destination`, captured at `ns`. `false`: too large, or one destination
    /// too many.
    pub fn push(&mut self, destination: SocketAddrV4, ns: u64, head: &[u8], body: &[u8]) -> bool {
        let (Ok(length), Some(flow)) =
            (u16::try_from(head.len() + body.len()), self.flow(destination))
        else {
            return false;
        };
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(body);
        self.entries.push(Entry { offset, ns, length, flow });
        true
    }

    /// Says that what follows cannot be read, for the reason given.
    pub fn set_defect(&mut self, offset: usize, kind: CaptureErrorKind) {
        self.defect = Some(self.error(offset, kind));
    }

    /// Why the rest of it could not be read, if some of it could not.
    pub const fn defect(&self) -> Option<&CaptureError> {
        self.defect.as_ref()
    }

    /// The capture, if all of it could be read.
    ///
    /// # Errors
    /// Its defect.
    pub fn whole(self) -> Result<Capture, CaptureError> {
        match self.defect {
            Some(defect) => Err(defect),
            None => Ok(self),
        }
    }

    /// Datagrams in it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no datagram in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Destinations, in the order in which they first appear.
    pub fn flows(&self) -> &[SocketAddrV4] {
        &self.flows
    }

    /// Frames that hold no whole UDP datagram.
    pub const fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The payload of the first datagram to `destination`.
    pub fn first_to(&self, destination: SocketAddrV4) -> Option<&[u8]> {
        self.iter().find(|&(to, _, _)| to == destination).map(|(_, _, payload)| payload)
    }

    /// Destination, time (UTC, 0 if not recorded) and payload of every datagram, in order.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddrV4, u64, &[u8])> {
        self.entries
            .iter()
            .map(|entry| (self.flows[usize::from(entry.flow)], entry.ns, self.payload(entry)))
    }

    #[inline]
    pub(super) fn payload(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.offset..][..usize::from(entry.length)]
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// The record at the start of `bytes` and what follows it.
fn parse_record<'a>(
    header: &PcapHeader,
    bytes: &'a [u8],
) -> Result<(&'a [u8], LegacyPcapBlock<'a>), CaptureErrorKind> {
    let record =
        if header.is_bigendian() { parse_pcap_frame_be(bytes) } else { parse_pcap_frame(bytes) };
    match record {
        Ok((_, record)) if record.caplen > RECORD_BYTES_MAX => Err(CaptureErrorKind::BadRecord),
        Ok(record) => Ok(record),
        // What does not parse has fewer bytes than its length says.
        Err(_) => Err(cut_or_bad(header, bytes)),
    }
}

/// Whether a record that runs past the end is one that was cut, or has a length that cannot be.
fn cut_or_bad(header: &PcapHeader, bytes: &[u8]) -> CaptureErrorKind {
    let length = bytes.get(8..12).and_then(|length| length.try_into().ok()).map(|length| {
        if header.is_bigendian() { u32::from_be_bytes(length) } else { u32::from_le_bytes(length) }
    });
    match length {
        Some(length) if length > RECORD_BYTES_MAX => CaptureErrorKind::BadRecord,
        Some(_) | None => CaptureErrorKind::CutRecord,
    }
}

/// Whether an error of unpacking is the file's and not the machine's.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}
