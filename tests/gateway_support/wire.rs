//! The wire between router and exchange, with a naive account of what went over it: who could lose how much, at any instant.

use std::collections::{BTreeMap, BTreeSet};

use postern::codec::order_entry::{ExecutionReport, OrderEntry};
use postern::transport::memory::{MemoryPublication, MemorySubscription};
use postern::transport::{Inbound, Outbound};
use postern::types::{CancelRejectTo, ExecType, OrdStatus, Price, Side};

/// What the wire does with messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Carries them.
    Open,
    /// Keeps them.
    Held,
    /// Loses them, in both directions.
    Cut,
    /// Loses the exchange's reports only.
    Deaf,
}

/// An order as the wire saw it.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub account: u32,
    pub instrument: u32,
    pub side: Side,
    pub price: Option<Price>,
    /// The largest total it can have as things stand.
    pub qty: u32,
    pub cum: u32,
    /// Total asked for by a replace under way.
    pub asked: Option<u32>,
    pub ended: bool,
}

/// One direction.
type Way = (MemorySubscription, MemoryPublication);

/// A message that found no room further on.
type Stuck = Option<([u8; super::MESSAGE_BYTES_MAX], usize)>;

/// The wire.
pub struct Wire {
    forth: Way,
    back: Way,
    forth_stuck: Stuck,
    back_stuck: Stuck,
    pub state: State,
    /// Whether what passes is written down. Allocates.
    pub watched: bool,
    /// By the gateway's identifier.
    pub orders: BTreeMap<u64, Seen>,
    executions: BTreeSet<(u64, u64)>,
    /// Net by account and instrument.
    pub net: BTreeMap<(u32, u32), i64>,
    /// Largest worst cases seen, long and short, by account and instrument.
    pub worst: BTreeMap<(u32, u32), (i64, i64)>,
    pub lost: u64,
    pub cancels: u64,
}

impl Wire {
    pub fn new(forth: Way, back: Way) -> Wire {
        Wire {
            forth,
            back,
            forth_stuck: None,
            back_stuck: None,
            state: State::Open,
            watched: true,
            orders: BTreeMap::new(),
            executions: BTreeSet::new(),
            net: BTreeMap::new(),
            worst: BTreeMap::new(),
            lost: 0,
            cancels: 0,
        }
    }

    /// The ends at the router, for whoever takes the place of wire and exchange.
    pub fn take_venue_ends(&mut self) -> (MemorySubscription, MemoryPublication) {
        let (spare_out, spare_in) = postern::transport::memory::stream(2, 8);
        let requests = std::mem::replace(&mut self.forth.0, spare_in);
        (requests, std::mem::replace(&mut self.back.1, spare_out))
    }

    /// Carries what there is; returns how much.
    pub fn carry(&mut self) -> usize {
        if self.state == State::Held {
            return 0;
        }
        let mut work = 0;
        while let Some((bytes, length)) = take(&mut self.forth_stuck, &mut self.forth.0) {
            work += 1;
            if self.state == State::Cut {
                self.lost += 1;
            } else if self.forth.1.offer(length, |b| b.copy_from_slice(&bytes[..length])).is_err() {
                self.forth_stuck = Some((bytes, length));
                work -= 1;
                break;
            } else if self.watched {
                self.saw_request(&bytes[..length]);
            }
        }
        while let Some((bytes, length)) = take(&mut self.back_stuck, &mut self.back.0) {
            work += 1;
            if matches!(self.state, State::Cut | State::Deaf) {
                self.lost += 1;
            } else if self.back.1.offer(length, |b| b.copy_from_slice(&bytes[..length])).is_err() {
                self.back_stuck = Some((bytes, length));
                work -= 1;
                break;
            } else if self.watched {
                self.saw_report(&bytes[..length]);
            }
        }
        work
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]
    fn saw_request(&mut self, bytes: &[u8]) {
        match OrderEntry::decode(bytes).expect("the router sends whole messages") {
            OrderEntry::NewOrderSingle(m) => {
                let seen = Seen {
                    account: m.account.0,
                    instrument: m.security_id.0,
                    side: m.side,
                    price: m.price,
                    qty: m.order_qty,
                    cum: 0,
                    asked: None,
                    ended: false,
                };
                let before = self.orders.insert(m.cl_ord_id.0, seen);
                assert!(before.is_none(), "order {} was sent twice", m.cl_ord_id);
                self.note_worst((m.account.0, m.security_id.0));
            }
            OrderEntry::OrderCancelReplaceRequest(m) => {
                let seen =
                    self.orders.get_mut(&m.orig_cl_ord_id.0).expect("an order that was sent");
                seen.asked = Some(m.order_qty);
                seen.price = Some(m.price);
                let place = (seen.account, seen.instrument);
                self.note_worst(place);
            }
            OrderEntry::OrderCancelRequest(_) => self.cancels += 1,
            _ => {}
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]
    fn saw_report(&mut self, bytes: &[u8]) {
        match OrderEntry::decode(bytes).expect("the exchange sends whole messages") {
            OrderEntry::ExecutionReport(m) => self.saw_execution(&m),
            OrderEntry::OrderCancelReject(m) => {
                let Some(seen) = self.orders.get_mut(&m.orig_cl_ord_id.0) else { return };
                match (m.cxl_rej_response_to, m.ord_status) {
                    (CancelRejectTo::Replace, _) => seen.asked = None,
                    // The exchange does not know the order: it was lost on the way, and will not arrive any more.
                    (CancelRejectTo::Cancel, OrdStatus::Rejected) => seen.ended = true,
                    (CancelRejectTo::Cancel, _) => {}
                }
            }
            _ => {}
        }
    }

    fn saw_execution(&mut self, m: &ExecutionReport) {
        if m.exec_id.0 != 0 && !self.executions.insert((m.cl_ord_id.0, m.exec_id.0)) {
            return;
        }
        let seen = self.orders.get_mut(&m.cl_ord_id.0).expect("an order that was sent");
        // What was lost is sent again and then comes late, so an order may have ended before.
        let place = (seen.account, seen.instrument);
        if m.exec_type == ExecType::Replaced && !seen.ended {
            seen.qty = m.order_qty;
            seen.asked = None;
        }
        if m.exec_type == ExecType::Trade {
            seen.cum += m.last_qty;
            let signed = match seen.side {
                Side::Buy => i64::from(m.last_qty),
                Side::Sell => -i64::from(m.last_qty),
            };
            *self.net.entry(place).or_insert(0) += signed;
        }
        seen.ended |= m.ord_status.is_final();
        self.note_worst(place);
    }

    /// Net, and all that is open on each side, at its largest.
    pub fn worst_now(&self, place: (u32, u32)) -> (i64, i64) {
        let net = self.net.get(&place).copied().unwrap_or(0);
        let (mut long, mut short) = (net, -net);
        let open = self.orders.values().filter(|s| !s.ended);
        for seen in open.filter(|s| (s.account, s.instrument) == place) {
            let most = i64::from(seen.asked.unwrap_or(0).max(seen.qty).saturating_sub(seen.cum));
            match seen.side {
                Side::Buy => long += most,
                Side::Sell => short += most,
            }
        }
        (long, short)
    }

    fn note_worst(&mut self, place: (u32, u32)) {
        let (long, short) = self.worst_now(place);
        let worst = self.worst.entry(place).or_insert((0, 0));
        *worst = (worst.0.max(long), worst.1.max(short));
    }
}

/// The next message: one that is stuck, or one from the stream.
fn take(
    stuck: &mut Stuck,
    from: &mut MemorySubscription,
) -> Option<([u8; super::MESSAGE_BYTES_MAX], usize)> {
    if stuck.is_some() {
        return stuck.take();
    }
    let mut taken = None;
    from.poll(1, &mut |fragment| {
        let mut bytes = [0; super::MESSAGE_BYTES_MAX];
        bytes[..fragment.bytes.len()].copy_from_slice(fragment.bytes);
        taken = Some((bytes, fragment.bytes.len()));
    })
    .expect("a stream in memory does not go down");
    taken
}
