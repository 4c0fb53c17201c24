//! The writer: appends in risk's thread, and goes on in the next segment when one is full.

use crate::codec::Message;
use crate::codec::journal::SegmentStart;
use crate::gate::{DecisionLog, Mark, Room};
use crate::journal::crc::Crc32c;
use crate::journal::frame::{FRAME_BYTES_MAX, Kind, PAYLOAD_BYTES_MAX};
use crate::journal::handoff::{Giver, Taker};
use crate::journal::segment::Segment;
use crate::types::{Nanos, UtcNanos};

/// Appends records. Neither allocates nor calls the kernel: segments come from the agent and go back to it.
#[derive(Debug)]
pub struct JournalWriter {
    /// None only while it is being exchanged or dropped.
    segment: Option<Box<Segment>>,
    ready: Taker<Segment>,
    full: Giver<Segment>,
    crc: Crc32c,
    next_number: u64,
    reserve_bytes: usize,
    /// A moment on both clocks.
    anchor: (Nanos, UtcNanos),
    config_digest: [u8; 32],
    last_now: Nanos,
}

impl JournalWriter {
    pub(super) fn new(
        segment: Box<Segment>,
        ready: Taker<Segment>,
        full: Giver<Segment>,
        next_number: u64,
        reserve_bytes: usize,
        anchor: (Nanos, UtcNanos),
        config_digest: [u8; 32],
    ) -> JournalWriter {
        let mut writer = JournalWriter {
            segment: Some(segment),
            ready,
            full,
            crc: Crc32c::new(),
            next_number,
            reserve_bytes,
            anchor,
            config_digest,
            last_now: anchor.0,
        };
        writer.start_segment();
        writer
    }

    /// Number the next record will have.
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    #[inline]
    fn segment(&mut self) -> &mut Segment {
        self.segment.as_mut().expect("there is one between calls")
    }

    #[inline]
    fn push(&mut self, kind: Kind, now: Nanos, payload: &[u8]) {
        let (crc, number) = (self.crc, self.next_number);
        self.segment().append(crc, kind, number, now, payload);
        self.next_number += 1;
        self.last_now = now;
    }

    fn start_segment(&mut self) {
        let (anchor, anchor_utc) = self.anchor;
        let now = self.last_now;
        let start = SegmentStart {
            segment_number: self.segment().number(),
            first_record: self.next_number,
            utc_time: UtcNanos(anchor_utc.0.saturating_add(now.since(anchor))),
            monotonic_time: now,
            config_digest: self.config_digest,
        };
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        start.encode(&mut payload);
        self.push(Kind::Message, now, &payload[..SegmentStart::BYTES]);
    }

    /// Goes on in the next segment; `false` where none is ready.
    #[cold]
    fn roll(&mut self) -> bool {
        let Some(next) = self.ready.take() else { return false };
        let full = self.segment.replace(next).expect("there is one between calls");
        let given = self.full.put(full);
        assert!(given.is_ok(), "fewer segments exist than there are places for full ones");
        self.start_segment();
        true
    }
}

impl DecisionLog for JournalWriter {
    #[inline]
    fn has_room(&mut self, records: usize, room: Room) -> bool {
        let kept = match room {
            Room::Ordinary => self.reserve_bytes,
            Room::Reserved => 0,
        };
        let needed = records * FRAME_BYTES_MAX + kept;
        self.segment().free_bytes() >= needed
            || (self.roll() && self.segment().free_bytes() >= needed)
    }

    #[inline]
    fn append(&mut self, now: Nanos, bytes: &[u8]) {
        self.push(Kind::Message, now, bytes);
    }

    #[inline(never)]
    fn record<M: Message>(&mut self, now: Nanos, message: &M) {
        let (crc, number) = (self.crc, self.next_number);
        self.segment().record(crc, number, now, message);
        self.next_number += 1;
        self.last_now = now;
    }

    fn mark(&mut self, now: Nanos, mark: Mark) {
        self.push(mark.into(), now, &[]);
    }
}

impl Drop for JournalWriter {
    /// The last segment goes to the agent too. Where that is gone already, the next start seals it.
    fn drop(&mut self) {
        if let Some(segment) = self.segment.take() {
            drop(self.full.put(segment));
        }
    }
}
