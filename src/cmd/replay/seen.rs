//! Which of the symbols that were asked for a recording holds: one that is misspelt should not pass for one that is quiet.

use std::net::SocketAddrV4;

use crate::cmd::replay::ReplayArgs;
use crate::feed::iex::tp::{self, ProtocolId, Segment};
use crate::feed::iex::{deep, tops};
use crate::feed::itch50;
use crate::feed::moldudp64::{self, Packet};
use crate::net::{Recorded, Recording};
use crate::types::Symbol;

/// A recording, looked through for symbols as it is played. Costs nothing once all of them were seen, and where none are
/// looked for.
#[derive(Debug)]
pub struct Seen<R> {
    inner: R,
    /// Those not seen yet, in the order they were asked for.
    absent: Vec<Symbol>,
    asked: usize,
}

impl<R: Recording> Seen<R> {
    /// `inner`, looked through for `symbols`.
    pub fn new(inner: R, symbols: &[Symbol]) -> Seen<R> {
        let mut absent: Vec<Symbol> = Vec::new();
        for &symbol in symbols {
            if !absent.contains(&symbol) {
                absent.push(symbol);
            }
        }
        Seen { inner, asked: absent.len(), absent }
    }

    /// All of it.
    pub const fn inner(&self) -> &R {
        &self.inner
    }

    /// Those that no message named so far.
    pub fn absent_names(&self) -> Vec<String> {
        self.absent.iter().map(Symbol::to_string).collect()
    }

    /// Says which are absent, of a recording that was played to its end: a fault if all of them are.
    pub fn tell(
        &self,
        args: &ReplayArgs,
        is_over: bool,
        remarks: &mut Vec<String>,
        complaints: &mut Vec<String>,
    ) {
        if self.absent.is_empty() || !is_over {
            return;
        }
        let (name, absent) = (args.file.display(), self.absent_names().join(", "));
        if self.absent.len() == self.asked {
            complaints.push(format!("{name}: holds none of the symbols asked for: {absent}"));
        } else {
            remarks.push(format!("{name}: does not hold {absent}"));
        }
    }

    fn look(&mut self) {
        let Recorded { payload, .. } = self.inner.datagram();
        let absent = &mut self.absent;
        let mut see = |symbol: Option<Symbol>| {
            if let Some(symbol) = symbol {
                absent.retain(|&other| other != symbol);
            }
        };
        // As in telling the protocol: IEX-TP is asked first.
        match tp::parse(payload) {
            Ok(Segment::Data(header, messages)) => match header.protocol {
                ProtocolId::DEEP_1_0 => messages
                    .for_each(|m| see(deep::decode(m).ok().and_then(|message| message.symbol()))),
                ProtocolId::TOPS_1_6 => messages
                    .for_each(|m| see(tops::decode(m).ok().and_then(|message| message.symbol()))),
                _ => {}
            },
            Ok(Segment::Heartbeat(_)) => {}
            Err(_) => {
                if let Ok(Packet::Data(_, messages)) = moldudp64::parse(payload) {
                    let symbol = |m| itch50::decode(m).ok().and_then(|message| message.symbol());
                    messages.for_each(|message| see(symbol(message)));
                }
            }
        }
    }
}

impl<R: Recording> Recording for Seen<R> {
    fn flows(&self) -> &[SocketAddrV4] {
        self.inner.flows()
    }

    #[inline]
    fn step(&mut self) -> bool {
        let is_there = self.inner.step();
        if is_there && !self.absent.is_empty() {
            self.look();
        }
        is_there
    }

    #[inline]
    fn datagram(&self) -> Recorded<'_> {
        self.inner.datagram()
    }

    fn rewind(&mut self) {
        self.inner.rewind();
    }

    fn progress(&self) -> (u64, u64) {
        self.inner.progress()
    }
}
