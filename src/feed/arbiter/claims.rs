//! What one line says and nothing bears out yet: that another session has begun, or that messages far ahead exist.
//!
//! One datagram that is forged or damaged must not put a channel out whose other line is whole. So such a packet is only
//! noted. It is believed once the other line says the same; or once this line has said so in several packets in a row while
//! nothing went on from where the channel stands, for as long as the other line deserves to be waited for: not at all where
//! there is none that is alive, a little where it is silent, long where it says otherwise. Meanwhile what comes in sequence
//! goes on as if nothing had been said.

use crate::feed::arbiter::LINES_MAX;
use crate::feed::packet::{Framing, Header, Messages, Session};
use crate::types::Nanos;

/// Packets of claims that are held until they are believed, so that the first ones of a session are not lost.
const HELD_PACKETS: usize = 4;
/// Bytes of a packet's messages that are held; a longer one has to be had again.
const HELD_BYTES: usize = 2_048;

/// How the channel stands when a line says something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub now: Nanos,
    /// The number awaited.
    pub next: u64,
    /// Packets that each line brought and that were believed.
    pub heard: [u64; LINES_MAX],
    /// Whether the other line was heard lately.
    pub other_is_alive: bool,
    /// Whether the packet is of the session before this one: it may only be late.
    pub is_return: bool,
    /// How long the other line is waited for where it is silent, in nanoseconds.
    pub line_wait_ns: u64,
    /// How long it is waited for where it says otherwise.
    pub stale_after_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    session: Session,
    /// The number this line goes on with.
    next: u64,
    packets: u32,
    since: Nanos,
    /// The number that was awaited when the claim began.
    awaited: u64,
    /// What each line had brought by then; a packet of its own line or a message of any line ends the claim.
    heard: [u64; LINES_MAX],
}

#[derive(Clone, Debug)]
struct Held {
    line: usize,
    header: Header,
    bytes: [u8; HELD_BYTES],
    length: usize,
}

/// The claims of a channel's lines.
#[derive(Clone, Debug)]
pub(super) struct Claims {
    confirm_packets: u32,
    reach: u64,
    of: [Option<Claim>; LINES_MAX],
    held: Vec<Held>,
    /// Where the next one is held.
    place: usize,
}

impl Claims {
    /// No claims yet. A line that stands alone is believed after `confirm_packets` packets, and at once where that is 0;
    /// numbers no further than `reach` apart belong together. Allocates here only.
    pub(super) fn new(confirm_packets: u32, reach: u64) -> Claims {
        let held = if confirm_packets > 1 { HELD_PACKETS } else { 0 };
        Claims {
            confirm_packets,
            reach,
            of: [None; LINES_MAX],
            held: Vec::with_capacity(held),
            place: 0,
        }
    }

    /// Packets in all after which a line that stands alone is believed; 0: whatever is said is believed.
    #[inline]
    pub(super) const fn confirm_packets(&self) -> u32 {
        self.confirm_packets
    }

    /// How far beyond what is known a number is believed at once.
    #[inline]
    pub(super) const fn reach(&self) -> u64 {
        self.reach
    }

    /// Takes note of what a packet of `line` says, with messages up to `end`; whether it is to be believed now.
    pub(super) fn weigh(
        &mut self,
        line: usize,
        header: &Header,
        end: u64,
        standing: &Standing,
    ) -> bool {
        if self.confirm_packets == 0 {
            return !standing.is_return;
        }
        let goes_on = |claim: &Claim| self.goes_on(claim, line, header, standing);
        let claim = self.of[line].filter(goes_on).unwrap_or(Claim {
            session: header.session,
            next: end,
            packets: 0,
            since: standing.now,
            awaited: standing.next,
            heard: standing.heard,
        });
        let claim = Claim { packets: claim.packets + 1, next: end.max(claim.next), ..claim };
        self.of[line] = Some(claim);
        let others = self.of[LINES_MAX - 1 - line];
        let is_agreed =
            others.is_some_and(|c| self.goes_on(&c, LINES_MAX - 1 - line, header, standing));
        (is_agreed && !standing.is_return) || self.stands_alone(&claim, line, standing)
    }

    /// Whether a packet says the same as the claim of `line`, which nothing has contradicted.
    fn goes_on(&self, claim: &Claim, line: usize, header: &Header, standing: &Standing) -> bool {
        claim.session == header.session
            && claim.next.abs_diff(header.sequence) <= self.reach
            && claim.awaited == standing.next
            && claim.heard[line] == standing.heard[line]
    }

    fn stands_alone(&self, claim: &Claim, line: usize, standing: &Standing) -> bool {
        let other = LINES_MAX - 1 - line;
        let wait_ns = match (standing.is_return, standing.other_is_alive) {
            (true, true) => return false,
            (true, false) => standing.stale_after_ns,
            (false, false) => 0,
            (false, true) if claim.heard[other] == standing.heard[other] => standing.line_wait_ns,
            (false, true) => standing.stale_after_ns,
        };
        claim.packets >= self.confirm_packets && standing.now.since(claim.since) >= wait_ns
    }

    /// Holds a packet that is not believed yet; the oldest held makes room.
    pub(super) fn hold<F>(&mut self, line: usize, header: Header, messages: &Messages<'_, F>) {
        let blocks = messages.rest();
        if self.held.capacity() == 0 || blocks.len() > HELD_BYTES {
            return;
        }
        if self.held.len() < HELD_PACKETS {
            self.held.push(Held { line, header, bytes: [0; HELD_BYTES], length: 0 });
            self.place = self.held.len() - 1;
        }
        let held = &mut self.held[self.place];
        (held.line, held.header, held.length) = (line, header, blocks.len());
        held.bytes[..blocks.len()].copy_from_slice(blocks);
        self.place = (self.place + 1) % HELD_PACKETS;
    }

    /// What is held and belongs to a packet that is believed now: the line, the header, the messages.
    pub(super) fn held<'a, F: Framing + 'a>(
        &'a self,
        believed: Header,
    ) -> impl Iterator<Item = (usize, Header, Messages<'a, F>)> {
        let belongs = move |held: &&Held| {
            held.header.session == believed.session
                && held.header.sequence.abs_diff(believed.sequence) <= self.reach
        };
        let messages = |held: &'a Held| Messages::new(&held.bytes[..held.length], 0);
        self.held.iter().filter(belongs).map(move |held| (held.line, held.header, messages(held)))
    }

    /// The number that `line` goes on with, if it told the same as a packet that is believed now.
    pub(super) fn told(&self, line: usize, believed: Header) -> Option<u64> {
        let is_same = |claim: &Claim| {
            claim.session == believed.session
                && claim.next.abs_diff(believed.sequence) <= self.reach
        };
        self.of[line].filter(is_same).map(|claim| claim.next)
    }

    /// Forgets all claims: one of them is believed.
    pub(super) fn clear(&mut self) {
        self.of = [None; LINES_MAX];
        self.held.clear();
        self.place = 0;
    }
}
