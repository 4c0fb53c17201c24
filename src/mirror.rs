//! One book as who reads our market data has it, a strategy or the next gateway: two ladders kept by changes of levels, snapshots
//! put together from their messages, and how the two compare. Pure.
//!
//! This module must not know who reads, nor which message is lost: that is its users' business.

use std::fmt;

use crate::codec::market_data::{MarketDataIncrementalRefresh, MarketDataSnapshotFullRefresh};
use crate::types::{BookState, InstrumentId, Price, Side, UpdateAction};

/// Most levels of a side: more than a gateway tells.
const LEVELS_MAX: usize = 1024;

/// All orders at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Their price.
    pub price: Price,
    /// Quantity of all of them.
    pub size: u64,
    /// How many they are; 0 where the exchange tells of levels only.
    pub orders: u32,
}

/// Both sides of a book, best first, and whether they can be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredBook {
    state: BookState,
    bids: Vec<Level>,
    asks: Vec<Level>,
    is_whole: bool,
    /// Most levels of a side.
    levels_max: usize,
}

/// A change that does not fit the book it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

impl MirroredBook {
    /// A book without levels, and without memory for them yet.
    pub(crate) const fn empty(state: BookState) -> MirroredBook {
        MirroredBook {
            state,
            bids: Vec::new(),
            asks: Vec::new(),
            is_whole: true,
            levels_max: LEVELS_MAX,
        }
    }

    /// A stale book with memory for so many levels of each side, which is all it ever has.
    pub(crate) fn with_room(levels_max: usize) -> MirroredBook {
        let side = || Vec::with_capacity(levels_max);
        let (bids, asks) = (side(), side());
        MirroredBook { state: BookState::Stale, bids, asks, is_whole: true, levels_max }
    }

    /// Becomes what `other` is; allocates nothing where it has room.
    ///
    /// # Errors
    /// [`Misfit`] where it has not; nothing was changed then.
    pub(crate) fn copy_from(&mut self, other: &MirroredBook) -> Result<(), Misfit> {
        if other.bids.len().max(other.asks.len()) > self.levels_max {
            return Err(Misfit);
        }
        self.reset(other.state);
        self.bids.extend_from_slice(&other.bids);
        self.asks.extend_from_slice(&other.asks);
        self.is_whole = other.is_whole;
        Ok(())
    }

    /// Whether it is the exchange's. A stale one has no levels.
    pub const fn state(&self) -> BookState {
        self.state
    }

    /// Whether the last change was told to its end. Between the parts of a change a book may look crossed.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The levels of one side, best first, as many as the gateway tells.
    pub fn levels(&self, side: Side) -> &[Level] {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    /// The best level of one side.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.levels(side).first().copied()
    }

    /// Forgets the levels and begins anew in `state`.
    pub(crate) fn reset(&mut self, state: BookState) {
        self.state = state;
        self.bids.clear();
        self.asks.clear();
        self.is_whole = true;
    }

    /// Makes one change.
    ///
    /// # Errors
    /// [`Misfit`] for a new level that is there, another that is not, or one there is no room for; nothing was changed then.
    #[inline]
    pub(crate) fn apply(&mut self, change: &MarketDataIncrementalRefresh) -> Result<(), Misfit> {
        let (side, levels_max) = (change.md_entry_type, self.levels_max);
        let levels = match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        };
        let price = change.md_entry_px;
        let level = Level { price, size: change.md_entry_size, orders: change.number_of_orders };
        let is_better = |other: &Level| match side {
            Side::Buy => other.price > price,
            Side::Sell => other.price < price,
        };
        let at = levels.partition_point(is_better);
        let is_there = levels.get(at).is_some_and(|other| other.price == price);
        match change.md_update_action {
            UpdateAction::New if !is_there && levels.len() < levels_max => levels.insert(at, level),
            UpdateAction::Change if is_there => levels[at] = level,
            UpdateAction::Delete if is_there => {
                levels.remove(at);
            }
            UpdateAction::New | UpdateAction::Change | UpdateAction::Delete => return Err(Misfit),
        }
        self.is_whole = change.last_fragment;
        Ok(())
    }

    /// Compares with a snapshot.
    ///
    /// # Errors
    /// The first difference: of the state, then of the bids, then of the offers, from the best on.
    pub fn check(&self, snapshot: &SnapshotOfBook) -> Result<(), Difference> {
        let instrument = snapshot.instrument;
        if self.state != snapshot.book.state {
            let (mirror, snapshot) = (self.state, snapshot.book.state);
            return Err(Difference::State { instrument, mirror, snapshot });
        }
        for side in [Side::Buy, Side::Sell] {
            let (ours, theirs) = (self.levels(side), snapshot.book.levels(side));
            for position in 0..ours.len().max(theirs.len()) {
                let (mirror, snapshot) =
                    (ours.get(position).copied(), theirs.get(position).copied());
                if mirror != snapshot {
                    return Err(Difference::Level { instrument, side, position, mirror, snapshot });
                }
            }
        }
        Ok(())
    }
}

/// Where a mirror and a snapshot of the same moment are not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// One says that the book can be relied on, the other that it cannot.
    State {
        /// Whose book.
        instrument: InstrumentId,
        /// As mirrored.
        mirror: BookState,
        /// As in the snapshot.
        snapshot: BookState,
    },
    /// A level.
    Level {
        /// Whose book.
        instrument: InstrumentId,
        /// Which side.
        side: Side,
        /// How many levels are better.
        position: usize,
        /// As mirrored.
        mirror: Option<Level>,
        /// As in the snapshot.
        snapshot: Option<Level>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::State { instrument, mirror, snapshot } => {
                write!(f, "instrument {instrument}: mirror {mirror:?}, snapshot {snapshot:?}")
            }
            Difference::Level { instrument, side, position, mirror, snapshot } => {
                let level = |level: &Option<Level>| match level {
                    Some(Level { price, size, orders }) => format!("{size} in {orders} at {price}"),
                    None => "nothing".to_owned(),
                };
                let (mirror, snapshot) = (level(mirror), level(snapshot));
                write!(f, "instrument {instrument}, {side:?} level {position}: ")?;
                write!(f, "mirror {mirror}, snapshot {snapshot}")
            }
        }
    }
}

/// A whole snapshot of one book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOfBook {
    /// Whose book.
    pub instrument: InstrumentId,
    /// Source of the stream its changes come by.
    pub source: i32,
    /// The `RptSeq` of that stream up to which it goes.
    pub rpt_seq: u64,
    /// The book.
    pub book: MirroredBook,
}

/// Puts snapshots together from their messages, which come one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    snapshot: SnapshotOfBook,
    /// Messages of it that came; 0: none is begun.
    count: u16,
}

impl Default for Assembly {
    fn default() -> Assembly {
        Assembly::of(MirroredBook::empty(BookState::Stale))
    }
}

impl Assembly {
    /// One that puts together books of so many levels a side, in memory that it has from the beginning.
    pub(crate) fn with_room(levels_max: usize) -> Assembly {
        Assembly::of(MirroredBook::with_room(levels_max))
    }

    const fn of(book: MirroredBook) -> Assembly {
        let instrument = InstrumentId(0);
        Assembly { snapshot: SnapshotOfBook { instrument, source: 0, rpt_seq: 0, book }, count: 0 }
    }

    /// Forgets what was begun.
    pub(crate) const fn clear(&mut self) {
        self.count = 0;
    }

    /// Takes a message; the snapshot it completes, if it does. Allocates where it was made without room.
    ///
    /// # Errors
    /// [`Misfit`] where a piece of one is missing or does not fit.
    pub(crate) fn add(
        &mut self,
        message: &MarketDataSnapshotFullRefresh,
    ) -> Result<Option<&SnapshotOfBook>, Misfit> {
        let m = message;
        let source = i32::from_ne_bytes(m.source_id.to_ne_bytes());
        let rpt_seq = m.last_msg_seq_num_processed;
        let Assembly { snapshot, count } = self;
        // Until this message turns out to fit, nothing is begun.
        let came = std::mem::take(count);
        if m.md_entry_position_no == 1 {
            // What was begun before cannot come to its end; that is told by its next piece, were there one.
            (snapshot.instrument, snapshot.source, snapshot.rpt_seq) =
                (m.security_id, source, rpt_seq);
            snapshot.book.reset(m.book_state);
        } else {
            let is_next = came > 0
                && came.checked_add(1) == Some(m.md_entry_position_no)
                && snapshot.instrument == m.security_id
                && (snapshot.source, snapshot.rpt_seq) == (source, rpt_seq);
            if !is_next {
                return Err(Misfit);
            }
        }
        if let Some(price) = m.md_entry_px {
            let level = Level { price, size: m.md_entry_size, orders: m.number_of_orders };
            let levels_max = snapshot.book.levels_max;
            let (side, levels) = match m.md_entry_type {
                Side::Buy => (Side::Buy, &mut snapshot.book.bids),
                Side::Sell => (Side::Sell, &mut snapshot.book.asks),
            };
            let is_next = levels.last().is_none_or(|last| match side {
                Side::Buy => last.price > price,
                Side::Sell => last.price < price,
            });
            if !is_next || levels.len() == levels_max {
                return Err(Misfit);
            }
            levels.push(level);
        }
        if m.md_entry_position_no >= m.tot_num_reports {
            return Ok(Some(snapshot));
        }
        *count = m.md_entry_position_no;
        Ok(None)
    }
}
