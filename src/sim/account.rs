//! A strategy's own account of its orders: what it sent, what it was told, and what that adds up to.

use std::collections::{BTreeMap, VecDeque};

use crate::codec::order_entry::{ExecutionReport, NewOrderSingle};
use crate::types::{
    ClOrdId, ExecId, ExecType, InstrumentId, Nanos, OrdStatus, OrderId, Price, Side,
};

/// One order in so many is replaced once.
const REPLACE_ONE_IN: usize = 16;

/// Where an order ended, or stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderState {
    /// Not answered.
    Sent,
    /// Accepted, and open.
    Open,
    /// Denied by the gateway for this reason.
    Denied(u16),
    /// Rejected by the venue for this reason.
    Rejected(u16),
    /// Filled.
    Filled,
    /// Cancelled or expired; part of it may have traded.
    Canceled,
}

/// One order as the strategy knows it.
#[derive(Clone, Copy, Debug)]
pub struct OrderLine {
    /// The gateway's identifier, once known.
    pub order_id: OrderId,
    /// Instrument.
    pub instrument: InstrumentId,
    /// Side.
    pub side: Side,
    /// Where it stands.
    pub state: OrderState,
    /// Limit price, `None` for a market order.
    pub price: Option<Price>,
    /// Total quantity.
    pub order_qty: u32,
    /// Quantity traded.
    pub cum_qty: u32,
    due: Nanos,
    cl_ord_id: ClOrdId,
    /// A cancel or replace that is not answered.
    pending: bool,
    cancel_sent: bool,
}

/// One trade as the strategy was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FillLine {
    /// The gateway's identifier of the order.
    pub order_id: OrderId,
    /// The venue's identifier of the execution.
    pub exec_id: ExecId,
    /// Price.
    pub price: Price,
    /// Quantity.
    pub qty: u32,
}

/// The account of all orders of one strategy. Allocated at start for the number of orders it is made for.
#[derive(Debug)]
pub struct Account {
    lines: Vec<OrderLine>,
    /// The order each ClOrdID is about, by ClOrdID less the first.
    requests: Vec<u32>,
    fills: Vec<FillLine>,
    first: ClOrdId,
    resting: VecDeque<u32>,
    to_replace: VecDeque<u32>,
    open_count: usize,
    unanswered_count: usize,
    pending_count: usize,
    positions: BTreeMap<InstrumentId, i64>,
    /// Messages that fitted no order, or an order in no such state.
    pub anomaly_count: u64,
    /// Cancels refused, because the order was over.
    pub cancel_reject_count: u64,
}

impl Account {
    /// An account with room for `orders` orders.
    pub fn new(orders: u64) -> Account {
        let orders = usize::try_from(orders).unwrap_or(usize::MAX);
        Account {
            lines: Vec::with_capacity(orders),
            requests: Vec::with_capacity(orders.saturating_mul(3)),
            fills: Vec::with_capacity(orders.saturating_mul(2)),
            first: ClOrdId(1),
            resting: VecDeque::with_capacity(orders),
            to_replace: VecDeque::with_capacity(64),
            open_count: 0,
            unanswered_count: 0,
            pending_count: 0,
            positions: BTreeMap::new(),
            anomaly_count: 0,
            cancel_reject_count: 0,
        }
    }

    /// The session is up and the gateway has seen ClOrdIDs up to `last`.
    pub fn begin(&mut self, last: ClOrdId) {
        if self.requests.is_empty() {
            self.first = ClOrdId(last.0 + 1);
        }
    }

    /// Every order, in the order in which they were sent.
    pub fn lines(&self) -> &[OrderLine] {
        &self.lines
    }

    /// Every trade, in the order in which they were told.
    pub fn fills(&self) -> &[FillLine] {
        &self.fills
    }

    /// Quantity bought less quantity sold.
    pub fn position(&self, instrument: InstrumentId) -> i64 {
        self.positions.get(&instrument).copied().unwrap_or(0)
    }

    /// All positions.
    pub fn positions(&self) -> &BTreeMap<InstrumentId, i64> {
        &self.positions
    }

    /// Orders that are accepted and open.
    pub fn resting(&self) -> usize {
        self.open_count
    }

    /// Whether every order, cancel and replace is answered.
    pub fn is_settled(&self) -> bool {
        self.unanswered_count == 0 && self.pending_count == 0
    }

    /// The identifier the next request will have.
    pub fn next_cl_ord_id(&self) -> ClOrdId {
        ClOrdId(self.first.0 + u64::try_from(self.requests.len()).unwrap_or(u64::MAX))
    }

    /// A new order left; it was due at `due`.
    pub fn on_sent(&mut self, order: &NewOrderSingle, due: Nanos) {
        let line = OrderLine {
            order_id: OrderId(0),
            instrument: order.security_id,
            side: order.side,
            state: OrderState::Sent,
            price: order.price,
            order_qty: order.order_qty,
            cum_qty: 0,
            due,
            cl_ord_id: self.next_cl_ord_id(),
            pending: false,
            cancel_sent: false,
        };
        let place = u32::try_from(self.lines.len()).expect("fewer than 2^32 orders");
        self.requests.push(place);
        self.lines.push(line);
        self.unanswered_count += 1;
    }

    /// A cancel of the order at `place` left.
    pub fn on_cancel_sent(&mut self, place: usize) {
        self.request(place);
        self.lines[place].cancel_sent = true;
    }

    /// A replace of the order at `place` left.
    pub fn on_replace_sent(&mut self, place: usize) {
        self.request(place);
    }

    fn request(&mut self, place: usize) {
        self.requests.push(u32::try_from(place).expect("fewer than 2^32 orders"));
        self.lines[place].pending = true;
        self.pending_count += 1;
    }

    /// The oldest order that rests and may be cancelled: its place and its present ClOrdID.
    pub fn oldest_resting(&mut self) -> Option<(usize, ClOrdId)> {
        while let Some(&place) = self.resting.front() {
            let place = usize::try_from(place).ok()?;
            let line = self.lines.get(place)?;
            if line.state == OrderState::Open && line.pending {
                return None;
            }
            if line.state == OrderState::Open && !line.cancel_sent {
                return Some((place, line.cl_ord_id));
            }
            self.resting.pop_front();
        }
        None
    }

    /// An order that is to be replaced now, if any: its place and its present ClOrdID.
    pub fn to_replace(&mut self) -> Option<(usize, ClOrdId)> {
        let place = usize::try_from(self.to_replace.pop_front()?).ok()?;
        let line = self.lines.get(place)?;
        let may = line.state == OrderState::Open && !line.pending && line.price.is_some();
        may.then_some((place, line.cl_ord_id))
    }

    /// Price and quantity of the order at `place`.
    pub fn terms(&self, place: usize) -> Option<(Price, u32)> {
        let line = self.lines.get(place)?;
        Some((line.price?, line.order_qty))
    }

    /// A cancel or replace was refused.
    pub fn on_cancel_reject(&mut self, cl_ord_id: ClOrdId) {
        self.cancel_reject_count += 1;
        let Some(place) = self.place(cl_ord_id) else {
            self.anomaly_count += 1;
            return;
        };
        self.answered(place);
    }

    /// Takes a report; gives when the order was due if this is the first answer to it.
    pub fn on_execution(&mut self, report: &ExecutionReport) -> Option<Nanos> {
        let Some(place) = self.place(report.cl_ord_id) else {
            self.anomaly_count += 1;
            return None;
        };
        let first = self.lines[place].state == OrderState::Sent;
        if first {
            self.unanswered_count -= 1;
            self.lines[place].order_id = report.order_id;
            self.lines[place].state = OrderState::Open;
            self.open_count += 1;
        } else if self.lines[place].state != OrderState::Open {
            self.anomaly_count += 1;
        }
        match report.exec_type {
            ExecType::New => self.on_new(place, first),
            ExecType::Trade => self.on_trade(place, report),
            ExecType::Canceled | ExecType::Expired => self.close(place, OrderState::Canceled),
            ExecType::Rejected if report.deny_reason != 0 => {
                self.close(place, OrderState::Denied(report.deny_reason));
            }
            ExecType::Rejected => self.close(place, OrderState::Rejected(report.ord_rej_reason)),
            ExecType::Replaced => self.on_replaced(place, report),
        }
        first.then(|| self.lines[place].due)
    }

    fn on_new(&mut self, place: usize, first: bool) {
        if !first {
            self.anomaly_count += 1;
            return;
        }
        let Ok(index) = u32::try_from(place) else { return };
        self.resting.push_back(index);
        if place.is_multiple_of(REPLACE_ONE_IN)
            && self.to_replace.len() < self.to_replace.capacity()
        {
            self.to_replace.push_back(index);
        }
    }

    fn on_trade(&mut self, place: usize, report: &ExecutionReport) {
        let line = &mut self.lines[place];
        line.cum_qty += report.last_qty;
        if line.cum_qty != report.cum_qty || line.cum_qty > line.order_qty {
            self.anomaly_count += 1;
        }
        let (instrument, side) = (line.instrument, line.side);
        let signed = match side {
            Side::Buy => i64::from(report.last_qty),
            Side::Sell => -i64::from(report.last_qty),
        };
        *self.positions.entry(instrument).or_insert(0) += signed;
        match report.last_px {
            Some(price) => self.fills.push(FillLine {
                order_id: report.order_id,
                exec_id: report.exec_id,
                price,
                qty: report.last_qty,
            }),
            None => self.anomaly_count += 1,
        }
        if report.ord_status == OrdStatus::Filled {
            self.close(place, OrderState::Filled);
        }
    }

    fn on_replaced(&mut self, place: usize, report: &ExecutionReport) {
        let line = &mut self.lines[place];
        line.cl_ord_id = report.cl_ord_id;
        line.order_qty = report.order_qty;
        line.price = report.price;
        self.answered(place);
        if report.ord_status == OrdStatus::Filled {
            self.close(place, OrderState::Filled);
        }
    }

    fn close(&mut self, place: usize, state: OrderState) {
        if self.lines[place].state == OrderState::Open {
            self.lines[place].state = state;
            self.open_count -= 1;
        }
        // A cancel that crossed the end is answered by a reject of its own; a done cancel by the report itself.
        if state == OrderState::Canceled {
            self.answered(place);
        }
    }

    fn answered(&mut self, place: usize) {
        if self.lines[place].pending {
            self.lines[place].pending = false;
            self.pending_count -= 1;
        }
    }

    fn place(&self, cl_ord_id: ClOrdId) -> Option<usize> {
        let index = usize::try_from(cl_ord_id.0.checked_sub(self.first.0)?).ok()?;
        usize::try_from(*self.requests.get(index)?).ok()
    }
}
