//! pcapng: from the blocks of a capture file to its packets, each with its link and time. Pure and total.
//!
//! After draft-ietf-opsawg-pcapng. Several sections, each of its own byte order and with its own interfaces; Enhanced,
//! Simple and the older Packet Blocks; all other blocks are passed over by their length.
//!
//! Read here and not by the crate that reads pcap, which takes resolutions in powers of two for invalid, offsets of time
//! in big-endian sections for little-endian ones, and options that are cut for the end of the options.

use crate::net::capture::{CaptureErrorKind, RECORD_BYTES_MAX};
use crate::net::frame::Link;

/// What a file begins with: the type of a Section Header Block, the same in both byte orders (section 4.1).
pub(super) const MAGIC: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];

/// The longest block: what other readers take at most, so that a damaged length is told where it stands.
const BLOCK_BYTES_MAX: usize = 16 << 20;

/// Type and length before a block's body, and the length again after it (section 3.1).
const HEAD_BYTES: usize = 8;
const TAIL_BYTES: usize = 4;

// Types of blocks (section 4).
const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// What a section says of its byte order, read in its own (section 4.1).
const BYTE_ORDER: u32 = 0x1A2B_3C4D;

// Options (section 3.5 and 4.2).
const END_OF_OPTIONS: u16 = 0;
const TIME_RESOLUTION: u16 = 9;
const TIME_OFFSET: u16 = 14;

/// A packet of the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// What the frame begins with; `None`: a link that is not read.
    pub(super) link: Option<Link>,
    /// When it was captured, UTC; 0 if that is not recorded.
    pub(super) ns: u64,
    /// What was kept of it.
    pub(super) frame: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Order::Little => u16::from_le_bytes(word),
            Order::Big => u16::from_be_bytes(word),
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Order::Little => u32::from_le_bytes(word),
            Order::Big => u32::from_be_bytes(word),
        })
    }

    fn i64(self, bytes: &[u8]) -> Option<i64> {
        let word = bytes.try_into().ok()?;
        Some(match self {
            Order::Little => i64::from_le_bytes(word),
            Order::Big => i64::from_be_bytes(word),
        })
    }
}

/// How an interface counts time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// A unit is 10⁻ⁿ seconds, or 2⁻ⁿ where the highest bit is set.
    resolution: u8,
    /// Seconds to be added.
    offset_s: i64,
}

impl Clock {
    /// What holds where an interface says nothing else (section 4.2).
    const MICROSECONDS: Clock = Clock { resolution: 6, offset_s: 0 };

    /// Nanoseconds of a time in units, rounded down; what 64 bits do not hold is the nearest that they do.
    fn ns(self, units: u64) -> u64 {
        // 64 bits by 30 bits: fits. A power of ten that 128 bits do not hold is a unit shorter than any nanosecond's part.
        let scaled = u128::from(units) * 1_000_000_000;
        let power = u32::from(self.resolution & 0x7F);
        let since = if self.resolution & 0x80 != 0 {
            scaled >> power
        } else {
            10_u128.checked_pow(power).map_or(0, |unit| scaled / unit)
        };
        let since = i128::try_from(since).unwrap_or(i128::MAX);
        let sum = since.saturating_add(i128::from(self.offset_s) * 1_000_000_000).max(0);
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Option<Link>,
    /// The most that was kept of a packet; 0 if there was no limit.
    kept_bytes_max: u32,
    clock: Clock,
}

/// A block's bytes, whole, with the length at both ends.
#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    kind: u32,
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// What is between head and tail.
    fn body(&self) -> &'a [u8] {
        &self.bytes[HEAD_BYTES..self.bytes.len() - TAIL_BYTES]
    }
}

/// A file's blocks, read in order.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
    interfaces: Vec<Interface>,
}

impl<'a> Blocks<'a> {
    /// The blocks of `bytes`, which hold a whole file.
    pub(super) const fn new(bytes: &'a [u8]) -> Blocks<'a> {
        Blocks { bytes, at: 0, order: Order::Little, interfaces: Vec::new() }
    }

    /// Where the next block begins; after an error, the one at fault.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The next packet; `None` at the end of the file.
    ///
    /// # Errors
    /// What is wrong with the block at [`Blocks::position`]. Nothing after it can be read.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet<'a>>, CaptureErrorKind> {
        while self.at < self.bytes.len() {
            let block = self.block()?;
            let packet = match block.kind {
                SECTION_HEADER => self.begin_section(block).map(|()| None),
                INTERFACE => self.add_interface(block).map(|()| None),
                PACKET | ENHANCED_PACKET => self.packet(block).map(Some),
                SIMPLE_PACKET => self.simple_packet(block).map(Some),
                _ => Some(None),
            };
            let packet = packet.ok_or(CaptureErrorKind::BadRecord)?;
            self.at += block.bytes.len();
            if packet.is_some() {
                return Ok(packet);
            }
        }
        Ok(None)
    }

    /// The block that begins here.
    fn block(&mut self) -> Result<Block<'a>, CaptureErrorKind> {
        let rest = &self.bytes[self.at..];
        if rest.starts_with(&MAGIC) {
            // Only here can the byte order change; the length is of the new one already.
            let big = Order::Big.u32(rest, HEAD_BYTES).ok_or(CaptureErrorKind::CutRecord)?;
            self.order = match big {
                BYTE_ORDER => Order::Big,
                _ if big.swap_bytes() == BYTE_ORDER => Order::Little,
                _ => return Err(CaptureErrorKind::BadRecord),
            };
        } else if self.at == 0 {
            return Err(CaptureErrorKind::UnknownFormat);
        }
        let word = |at| self.order.u32(rest, at).ok_or(CaptureErrorKind::CutRecord);
        let (kind, length) = (word(0)?, word(4)?);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let is_length = (HEAD_BYTES + TAIL_BYTES..=BLOCK_BYTES_MAX).contains(&length);
        if !is_length || length % 4 != 0 {
            return Err(CaptureErrorKind::BadRecord);
        }
        let bytes = rest.get(..length).ok_or(CaptureErrorKind::CutRecord)?;
        if word(4)? != word(length - TAIL_BYTES)? {
            return Err(CaptureErrorKind::BadRecord);
        }
        Ok(Block { kind, bytes })
    }

    /// A new section, which has no interfaces yet. Its length is not looked at: its blocks are read in any case.
    fn begin_section(&mut self, block: Block<'a>) -> Option<()> {
        let body = block.body();
        let major = self.order.u16(body, 4)?;
        let _minor = self.order.u16(body, 6)?;
        let _length = body.get(8..16)?;
        self.interfaces.clear();
        (major == 1).then_some(())
    }

    fn add_interface(&mut self, block: Block<'a>) -> Option<()> {
        let body = block.body();
        let link = self.order.u16(body, 0)?;
        let kept_bytes_max = self.order.u32(body, 4)?;
        let clock = self.clock(body.get(8..)?)?;
        let link = Link::from_number(u32::from(link));
        self.interfaces.push(Interface { link, kept_bytes_max, clock });
        Some(())
    }

    /// What the options of an interface say of its time. `None` where they cannot be read: its times would be wrong.
    fn clock(&self, mut options: &[u8]) -> Option<Clock> {
        let mut clock = Clock::MICROSECONDS;
        while !options.is_empty() {
            let (code, length) = (self.order.u16(options, 0)?, self.order.u16(options, 2)?);
            if code == END_OF_OPTIONS {
                break;
            }
            let length = usize::from(length);
            let value = options.get(4..4 + length)?;
            match code {
                TIME_RESOLUTION => {
                    let [resolution] = *value else { return None };
                    clock.resolution = resolution;
                }
                TIME_OFFSET => clock.offset_s = self.order.i64(value)?,
                _ => {}
            }
            options = options.get(4 + length.next_multiple_of(4)..)?;
        }
        Some(clock)
    }

    /// The packet in an Enhanced or an older Packet Block: they differ in the width of the interface's number.
    fn packet(&self, block: Block<'a>) -> Option<Packet<'a>> {
        let (body, order) = (block.body(), self.order);
        let interface = match block.kind {
            PACKET => u32::from(order.u16(body, 0)?),
            _ => order.u32(body, 0)?,
        };
        let interface = self.interfaces.get(usize::try_from(interface).ok()?)?;
        let units = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
        let kept = order.u32(body, 12)?;
        let frame = body.get(20..)?.get(..kept_bytes(kept)?)?;
        Some(Packet { link: interface.link, ns: interface.clock.ns(units), frame })
    }

    /// The packet in a Simple Packet Block: of the first interface, without a time, and how much of it was kept is only
    /// to be computed (section 4.4).
    fn simple_packet(&self, block: Block<'a>) -> Option<Packet<'a>> {
        let body = block.body();
        let interface = self.interfaces.first()?;
        let length = self.order.u32(body, 0)?;
        let kept = match interface.kept_bytes_max {
            0 => length,
            most => length.min(most),
        };
        let frame = body.get(4..)?.get(..kept_bytes(kept)?)?;
        Some(Packet { link: interface.link, ns: 0, frame })
    }
}

/// A length of a frame that can be.
fn kept_bytes(length: u32) -> Option<usize> {
    (length <= RECORD_BYTES_MAX).then(|| usize::try_from(length).ok())?
}
