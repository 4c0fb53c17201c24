//! A recorded feed in memory: datagrams with their destinations and times.
//!
//! A pcap file is read whole when it is opened, so that playing it later costs neither a system call nor an allocation.
//! What it takes is the file's size (unpacked, if it was compressed) and 24 bytes a datagram.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use pcap_parser::{LegacyPcapBlock, Linktype, PcapHeader};
use pcap_parser::{parse_pcap_frame, parse_pcap_frame_be, parse_pcap_header};

use crate::net::frame::{FrameError, parse_udp};

/// The most bytes of a capture that are held in memory.
pub const CAPTURE_BYTES_MAX: usize = 4 << 30;

/// The longest frame a record may hold: what capturing programs allow at most.
const RECORD_BYTES_MAX: u32 = 262_144;

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
    /// A capture of another link than Ethernet: its number in the registry of link types.
    LinkType(i32),
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
                write!(f, "{path}: larger than {CAPTURE_BYTES_MAX} bytes unpacked")
            }
            CaptureErrorKind::UnknownFormat => {
                write!(f, "{path}: neither pcap (plain or gzip) nor a length-framed message file")
            }
            CaptureErrorKind::LinkType(link) => {
                write!(f, "{path}: capture of link type {link}, only Ethernet (1) is read")
            }
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
    /// For a destination beyond [`FLOWS_MAX`].
    pub flows: u64,
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
        let read = |kind| error(0, CaptureErrorKind::Read(kind));
        let limit = u64::try_from(CAPTURE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let mut packed = Vec::new();
        File::open(path).map_err(read)?.take(limit).read_to_end(&mut packed).map_err(read)?;
        if packed.len() > CAPTURE_BYTES_MAX {
            return Err(error(0, CaptureErrorKind::TooLarge));
        }
        if !packed.starts_with(&[0x1F, 0x8B]) {
            return Ok((packed, None));
        }
        let mut bytes = Vec::new();
        let unpacked = MultiGzDecoder::new(packed.as_slice()).take(limit).read_to_end(&mut bytes);
        if bytes.len() > CAPTURE_BYTES_MAX {
            return Err(error(0, CaptureErrorKind::TooLarge));
        }
        let defect = unpacked.err().map(|cause| {
            let at = bytes.len();
            error(at, CaptureErrorKind::Unpack(cause))
        });
        Ok((bytes, defect))
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

    /// Reads a pcap file, plain or gzip. What can be read is kept even where the rest is damaged: see
    /// [`Capture::defect`].
    ///
    /// # Errors
    /// If nothing of it can be read.
    pub fn read_pcap(path: &Path) -> Result<Capture, CaptureError> {
        let (bytes, defect) = Capture::read_file(path)?;
        let mut capture = Capture::from_pcap(path, bytes)?;
        capture.defect = defect.or(capture.defect);
        Ok(capture)
    }

    /// As [`Capture::read_pcap`], of bytes in memory; `path` is named in errors.
    ///
    /// # Errors
    /// If they do not begin with the header of a pcap file of Ethernet frames.
    pub fn from_pcap(path: &Path, bytes: Vec<u8>) -> Result<Capture, CaptureError> {
        let mut capture = Capture::empty(path);
        let (rest, header) = parse_pcap_header(&bytes)
            .map_err(|_| capture.error(0, CaptureErrorKind::UnknownFormat))?;
        if header.network != Linktype::ETHERNET {
            return Err(capture.error(0, CaptureErrorKind::LinkType(header.network.0)));
        }
        let mut at = bytes.len() - rest.len();
        while at < bytes.len() {
            match parse_record(&header, &bytes[at..]) {
                Ok((after, record)) => {
                    let next = bytes.len() - after.len();
                    capture.index(&bytes, next - record.data.len(), &header, &record);
                    at = next;
                }
                Err(kind) => {
                    capture.defect = Some(capture.error(at, kind));
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

    /// Notes the datagram in the record whose frame begins at `at`.
    fn index(
        &mut self,
        bytes: &[u8],
        at: usize,
        header: &PcapHeader,
        record: &LegacyPcapBlock<'_>,
    ) {
        let kept = usize::try_from(record.caplen).unwrap_or(usize::MAX);
        let frame = &bytes[at..];
        let frame = &frame[..kept.min(frame.len())];
        let udp = match parse_udp(frame) {
            Ok(udp) => udp,
            Err(error) => {
                let count = match error {
                    FrameError::Cut => &mut self.skipped.cut,
                    FrameError::NotIpv4 => &mut self.skipped.not_ipv4,
                    FrameError::NotUdp => &mut self.skipped.not_udp,
                    FrameError::Fragment => &mut self.skipped.fragments,
                };
                *count += 1;
                return;
            }
        };
        let Some(flow) = self.flow(udp.destination) else {
            self.skipped.flows += 1;
            return;
        };
        let unit = if header.is_nanosecond_precision() { 1 } else { 1_000 };
        let part = u64::from(record.ts_usec).saturating_mul(unit);
        self.entries.push(Entry {
            // The payload is the frame's last part but for padding; both are slices of `bytes`.
            offset: udp.payload.as_ptr().addr() - bytes.as_ptr().addr(),
            ns: u64::from(record.ts_sec).saturating_mul(1_000_000_000).saturating_add(part),
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
