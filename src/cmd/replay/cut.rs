//! Parts of a recording: between two moments, of some symbols alone, and each round as a session of its own.

use std::net::SocketAddrV4;

use crate::cmd::replay::values::Moment;
use crate::feed::iex::tp;
use crate::feed::itch50;
use crate::feed::moldudp64::{self, HEADER_BYTES, Header, Packet, Session};
use crate::net::{Recorded, Recording};
use crate::types::Symbol;

/// What becomes of datagrams before the first moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// They are played at once, so that books are right at that moment.
    AtOnce,
    /// They are left out.
    Skipped,
}

/// The datagrams from one moment until another: from the first that is not before `from`, until the first that is not
/// before `until`. A datagram's time of day is that of its first message; one without messages has none, and goes with
/// those around it.
#[derive(Debug)]
pub struct Window<R> {
    inner: R,
    from: Option<Moment>,
    until: Option<Moment>,
    before: Before,
    has_begun: bool,
    is_over: bool,
}

impl<R: Recording> Window<R> {
    /// A part of `inner`.
    pub const fn new(
        inner: R,
        from: Option<Moment>,
        until: Option<Moment>,
        before: Before,
    ) -> Window<R> {
        Window { inner, from, until, before, has_begun: from.is_none(), is_over: false }
    }

    /// All of it.
    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// Whether the datagram gone to is at or after `moment`; `None` if it has no such time.
    fn is_at(&self, moment: Moment) -> Option<bool> {
        let Recorded { ns, payload, .. } = self.inner.datagram();
        match moment {
            Moment::Captured(at) => Some(ns >= at),
            Moment::TimeOfDay(at) => Some(time_of_day(payload)? >= at),
        }
    }
}

/// The time of a datagram's first message, in nanoseconds since midnight.
fn time_of_day(payload: &[u8]) -> Option<u64> {
    let Ok(Packet::Data(_, mut messages)) = moldudp64::parse(payload) else { return None };
    Some(itch50::decode(messages.next()?).ok()?.head().time_ns)
}

impl<R: Recording> Recording for Window<R> {
    fn flows(&self) -> &[SocketAddrV4] {
        self.inner.flows()
    }

    #[inline]
    fn step(&mut self) -> bool {
        while !self.is_over && self.inner.step() {
            if self.until.is_some_and(|until| self.is_at(until) == Some(true)) {
                self.is_over = true;
                return false;
            }
            if !self.has_begun {
                self.has_begun = self.from.is_none_or(|from| self.is_at(from) == Some(true));
            }
            if self.has_begun || self.before == Before::AtOnce {
                return true;
            }
        }
        false
    }

    #[inline]
    fn datagram(&self) -> Recorded<'_> {
        Recorded { is_at_once: !self.has_begun, ..self.inner.datagram() }
    }

    fn rewind(&mut self) {
        self.inner.rewind();
        (self.has_begun, self.is_over) = (self.from.is_none(), false);
    }

    fn progress(&self) -> (u64, u64) {
        self.inner.progress()
    }
}

/// The messages about some symbols and about none, in datagrams of their own numbers: what a feed of these symbols alone
/// would be. Takes the first destination alone, as lines lose different datagrams. A hole in the numbers stays one.
#[derive(Debug)]
pub struct OnlySymbols<R> {
    inner: R,
    symbols: Vec<Symbol>,
    /// Whether messages with this stock locate are kept.
    is_kept: Vec<bool>,
    datagram: Vec<u8>,
    session: Option<Session>,
    /// Number of the next message, there and here.
    next_in: u64,
    next_out: u64,
}

const LOCATES: usize = 65_536;

impl<R: Recording> OnlySymbols<R> {
    /// What `inner` says of `symbols`; of all if there are none.
    pub fn new(inner: R, symbols: Vec<Symbol>) -> OnlySymbols<R> {
        let is_kept = vec![false; if symbols.is_empty() { 0 } else { LOCATES }];
        let datagram = Vec::with_capacity(2_048);
        let (session, next_in, next_out) = (None, 1, 1);
        OnlySymbols { inner, symbols, is_kept, datagram, session, next_in, next_out }
    }

    /// All of it.
    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// Makes the datagram of what is kept of the one gone to; `false` if nothing is.
    fn keep(&mut self) -> bool {
        let Recorded { flow, payload, .. } = self.inner.datagram();
        let Ok(packet) = moldudp64::parse(payload) else { return false };
        if flow != 0 {
            return false;
        }
        let header = packet.header();
        if self.session != Some(header.session) {
            // Nothing is known of its stock locates, but that 0 is no security's.
            self.session = Some(header.session);
            self.is_kept.fill(false);
            self.is_kept[0] = true;
            (self.next_in, self.next_out) = (1, 1);
        }
        if header.sequence > self.next_in {
            self.next_out += header.sequence - self.next_in;
            self.next_in = header.sequence;
        }
        self.datagram.clear();
        self.datagram.resize(HEADER_BYTES, 0);
        let mut count = 0;
        if let Packet::Data(header, messages) = packet {
            // What came before is not taken twice.
            let skip = usize::try_from(self.next_in - header.sequence).unwrap_or(usize::MAX);
            self.next_in = self.next_in.max(header.sequence + u64::from(header.count));
            for message in messages.skip(skip) {
                if keeps(&self.symbols, &mut self.is_kept, message) {
                    count += 1;
                    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
                    self.datagram.extend_from_slice(&length.to_be_bytes());
                    self.datagram.extend_from_slice(message);
                }
            }
            if count == 0 {
                return false;
            }
        }
        // Heartbeats and the end of the session stay what they are.
        let kind = if count > 0 { count } else { header.count };
        let made = Header { session: header.session, sequence: self.next_out, count: kind };
        if let Some(head) = self.datagram.first_chunk_mut() {
            made.write(head);
        }
        self.next_out += u64::from(count);
        true
    }
}

/// Whether a message is kept; learns from those that name their symbol.
fn keeps(symbols: &[Symbol], is_kept: &mut [bool], message: &[u8]) -> bool {
    let Ok(decoded) = itch50::decode(message) else { return false };
    let place = usize::from(decoded.head().locate);
    let Some(kept) = is_kept.get_mut(place) else { return false };
    // An order's security was named when it came.
    if let Some(symbol) = decoded.symbol()
        && place != 0
    {
        *kept = symbols.contains(&symbol);
    }
    *kept
}

impl<R: Recording> Recording for OnlySymbols<R> {
    fn flows(&self) -> &[SocketAddrV4] {
        self.inner.flows()
    }

    fn step(&mut self) -> bool {
        while self.inner.step() {
            if self.symbols.is_empty() || self.keep() {
                return true;
            }
        }
        false
    }

    fn datagram(&self) -> Recorded<'_> {
        let inner = self.inner.datagram();
        if self.symbols.is_empty() { inner } else { Recorded { payload: &self.datagram, ..inner } }
    }

    fn rewind(&mut self) {
        self.inner.rewind();
        self.session = None;
    }

    fn progress(&self) -> (u64, u64) {
        self.inner.progress()
    }
}

/// Each round under a session name of its own, so that whoever listens begins anew. The first keeps its name.
#[derive(Debug)]
pub struct Rounds<R> {
    inner: R,
    round: u32,
    datagram: Vec<u8>,
}

impl<R: Recording> Rounds<R> {
    /// The rounds of `inner`.
    pub fn new(inner: R) -> Rounds<R> {
        Rounds { inner, round: 0, datagram: Vec::with_capacity(65_536) }
    }

    /// One round.
    pub const fn inner(&self) -> &R {
        &self.inner
    }
}

/// Where an IEX-TP segment has its session ("Transport Specification", header).
const SESSION_NUMBER: std::ops::Range<usize> = 8..12;

/// The name of a round after the first: the beginning of the old one, and the last five digits of the round's number.
fn session_of(old: [u8; 10], round: u32) -> Session {
    let mut name = old;
    let text = format!("r{:05}", round % 100_000);
    name[4..].copy_from_slice(text.as_bytes());
    Session(name)
}

impl<R: Recording> Recording for Rounds<R> {
    fn flows(&self) -> &[SocketAddrV4] {
        self.inner.flows()
    }

    #[inline]
    fn step(&mut self) -> bool {
        let is_there = self.inner.step();
        if is_there && self.round > 0 {
            let payload = self.inner.datagram().payload;
            self.datagram.clear();
            self.datagram.extend_from_slice(payload);
            // What has no session is passed on as it is.
            if tp::parse(payload).is_ok() {
                if let Some(number) = self.datagram.get_mut(SESSION_NUMBER)
                    && let Ok(old) = <[u8; 4]>::try_from(&*number)
                {
                    // Another number for each round, whatever the first was.
                    let new = u32::from_le_bytes(old).wrapping_add(self.round);
                    number.copy_from_slice(&new.to_le_bytes());
                }
            } else if moldudp64::parse(payload).is_ok()
                && let Some(name) = self.datagram.first_chunk_mut::<10>()
            {
                *name = session_of(*name, self.round).0;
            }
        }
        is_there
    }

    #[inline]
    fn datagram(&self) -> Recorded<'_> {
        let inner = self.inner.datagram();
        if self.round == 0 { inner } else { Recorded { payload: &self.datagram, ..inner } }
    }

    fn rewind(&mut self) {
        self.inner.rewind();
        self.round = self.round.wrapping_add(1).max(1);
    }

    fn progress(&self) -> (u64, u64) {
        self.inner.progress()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_have_names_of_their_own() {
        let old = *b"SESSION001";
        assert_eq!(session_of(old, 1).0, *b"SESSr00001");
        assert_ne!(session_of(old, 1), session_of(old, 2));
        assert_eq!(session_of(old, 100_001), session_of(old, 1));
    }
}
