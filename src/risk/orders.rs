//! The order table: a preallocated slab, found by the gateway's identifier and by session and `ClOrdID`.
//!
//! An [`OrderId`] is a sequence above [`SLOT_BITS`] bits of slot: it grows from order to order, and leads to its slot without a
//! search. A closed order keeps its slot until all those free before it are used up, so that an execution that comes late
//! still finds it.

use crate::codec::journal::OrderRequest;
use crate::risk::keys::{Key, SequenceIndex};
use crate::risk::limits::SLOT_BITS;
use crate::risk::links::{Lists, at, slot_of};
use crate::runtime::{large_table, prefetch_row};
use crate::types::{
    ClOrdId, ExecId, OrdStatus, OrdType, OrderId, Price, PriceOrNone, Side, TimeInForce,
};

/// List of free slots in `places`; every session's open orders are in the list of its index plus one.
const FREE: u32 = 0;
/// The only list of `due`.
const DUE: u32 = 0;

/// One order, on one pair of cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) cl_ord_id: ClOrdId,
    /// `ClOrdID` of the replace on its way; 0 is none.
    pub(super) replace_cl_ord_id: ClOrdId,
    /// `ClOrdID` of the client's last cancel; 0 is none.
    pub(super) cancel_cl_ord_id: ClOrdId,
    pub(super) last_exec_id: ExecId,
    pub(super) price: PriceOrNone,
    pub(super) replace_price: Price,
    pub(super) session: usize,
    /// Index of its [`Exposure`](super::exposure::Exposure).
    pub(super) exposure: usize,
    pub(super) qty: u32,
    pub(super) replace_qty: u32,
    pub(super) cum: u32,
    /// Reserved in its exposure now.
    pub(super) reserved: u32,
    /// The venue link's epoch at the last cancel: a cancel sent before the link broke is not on its way any more.
    pub(super) cancel_epoch: u32,
    pub(super) side: Side,
    pub(super) ord_type: OrdType,
    pub(super) time_in_force: TimeInForce,
    /// Without what is pending.
    pub(super) status: OrdStatus,
    pub(super) cancel_pending: bool,
    /// A sweep wants it cancelled as soon as its venue can be reached.
    pub(super) cancel_owed: bool,
}

const _: () = assert!(size_of::<Order>() == 128, "an order is written to one row");

impl Order {
    /// What a slot holds before its first order.
    const VACANT: Order = Order {
        id: OrderId(0),
        cl_ord_id: ClOrdId(0),
        replace_cl_ord_id: ClOrdId(0),
        cancel_cl_ord_id: ClOrdId(0),
        last_exec_id: ExecId(0),
        price: PriceOrNone::NONE,
        replace_price: Price::MAX,
        session: 0,
        exposure: 0,
        qty: 0,
        replace_qty: 0,
        cum: 0,
        reserved: 0,
        cancel_epoch: 0,
        side: Side::Buy,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
        status: OrdStatus::Rejected,
        cancel_pending: false,
        cancel_owed: false,
    };

    /// Whether something can still happen to it.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.status.is_final()
    }

    /// Whether a replace is on its way.
    #[inline]
    pub(super) fn is_replace_pending(&self) -> bool {
        self.replace_cl_ord_id != ClOrdId(0)
    }

    /// The larger of what it is and what it may become.
    #[inline]
    pub(super) fn qty_charged(&self) -> u32 {
        if self.is_replace_pending() { self.qty.max(self.replace_qty) } else { self.qty }
    }

    /// What is left to trade of its quantity.
    #[inline]
    pub(super) fn leaves(&self) -> u32 {
        if self.is_open() { self.qty.saturating_sub(self.cum) } else { 0 }
    }
}

/// A request, and what it is charged to.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewOrder<'a> {
    pub(super) request: &'a OrderRequest,
    pub(super) session: usize,
    pub(super) exposure: usize,
}

/// All orders.
#[derive(Debug)]
pub(super) struct OrderTable {
    orders: Box<[Order]>,
    places: Lists,
    due: Lists,
    keys: SequenceIndex,
    next_sequence: u64,
    open_count: usize,
    open_max: usize,
}

impl OrderTable {
    pub(super) fn new(open_max: usize, sessions: usize, first_sequence: u64) -> OrderTable {
        let slots = 2 * open_max;
        let mut places = Lists::new(sessions + 1, slots);
        for slot in 0..slot_of(slots) {
            places.push_back(FREE, slot);
        }
        OrderTable {
            orders: large_table(Order::VACANT, slots),
            places,
            due: Lists::new(1, slots),
            // Each order has its own key and that of a replace.
            keys: SequenceIndex::new(2 * slots),
            next_sequence: first_sequence,
            open_count: 0,
            open_max,
        }
    }

    fn key(session: usize, cl_ord_id: ClOrdId) -> Key {
        (slot_of(session), cl_ord_id.0)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Order {
        &self.orders[at(slot)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.orders[at(slot)]
    }

    /// The slot of an order that is open or closed not long ago.
    #[inline]
    pub(super) fn by_id(&self, id: OrderId) -> Option<u32> {
        let slot = u32::try_from(id.0 & ((1 << SLOT_BITS) - 1)).ok()?;
        let order = self.orders.get(at(slot))?;
        (order.id == id && id != OrderId(0)).then_some(slot)
    }

    /// As [`OrderTable::by_id`], by the client's identifier of the order or of a replace on its way.
    #[inline]
    pub(super) fn by_client(&self, session: usize, cl_ord_id: ClOrdId) -> Option<u32> {
        self.keys.get(OrderTable::key(session, cl_ord_id))
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.open_count < self.open_max
    }

    #[inline]
    pub(super) fn open_count(&self) -> usize {
        self.open_count
    }

    #[inline]
    pub(super) fn open_max(&self) -> usize {
        self.open_max
    }

    #[inline]
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Puts an order into the slot that has been free longest, and gives it its identifier.
    ///
    /// # Panics
    /// If there is no room.
    #[inline(always)]
    pub(super) fn open(&mut self, new: &NewOrder<'_>) -> OrderId {
        let list = slot_of(new.session) + 1;
        let slot = self.places.move_front(FREE, list);
        let slot = slot.expect("there are more slots than open orders");
        let id = OrderId(self.next_sequence << SLOT_BITS | u64::from(slot));
        self.occupy(slot, id, new);
        id
    }

    /// Puts a recorded order back where it was; `false` where that slot is taken or beyond the table.
    pub(super) fn reopen(&mut self, new: &NewOrder<'_>, id: OrderId) -> bool {
        let Ok(slot) = u32::try_from(id.0 & ((1 << SLOT_BITS) - 1)) else { return false };
        if at(slot) >= self.orders.len() || self.get(slot).is_open() || !self.has_room() {
            return false;
        }
        self.next_sequence = id.0 >> SLOT_BITS;
        self.places.remove(slot);
        self.places.push_back(slot_of(new.session) + 1, slot);
        self.occupy(slot, id, new);
        true
    }

    /// Fills a slot, which is in the list of its session already.
    #[inline(always)]
    fn occupy(&mut self, slot: u32, id: OrderId, new: &NewOrder<'_>) {
        assert!(self.has_room(), "room is checked before an order is approved");
        let order = &mut self.orders[at(slot)];
        assert!(!order.is_open(), "slot {slot} holds open order {}", order.id);
        if order.id != OrderId(0) {
            let key = |cl_ord_id| OrderTable::key(order.session, cl_ord_id);
            self.keys.remove(key(order.cl_ord_id), slot);
            if order.is_replace_pending() {
                self.keys.remove(key(order.replace_cl_ord_id), slot);
            }
        }
        let request = new.request;
        // Built where it stays: to copy what was only just written costs more than all else here.
        *order = Order {
            id,
            cl_ord_id: request.cl_ord_id,
            price: request.price.into(),
            session: new.session,
            exposure: new.exposure,
            qty: request.order_qty,
            reserved: request.order_qty,
            side: request.side,
            ord_type: request.ord_type,
            time_in_force: request.time_in_force,
            status: OrdStatus::PendingNew,
            ..Order::VACANT
        };
        self.keys.insert(OrderTable::key(new.session, request.cl_ord_id), slot);
        self.next_sequence += 1;
        self.open_count += 1;
    }

    /// Asks for the memory that the next order will need: its slot, and where the key is of the order that had it.
    #[inline]
    pub(super) fn prefetch_next(&self) {
        let Some(slot) = self.places.front(FREE) else { return };
        if let Some(after) = self.places.after(slot) {
            prefetch_row(&self.orders, at(after));
            self.places.prefetch(after);
        }
        // Asked for when the last order came.
        let old = self.get(slot);
        self.keys.prefetch(OrderTable::key(old.session, old.cl_ord_id));
    }

    /// Closes an open order; the slot is used again after all others that are free.
    ///
    /// # Panics
    /// If it is not open, or still has a reservation.
    pub(super) fn close(&mut self, slot: u32, status: OrdStatus) {
        let order = self.get_mut(slot);
        assert!(order.is_open(), "order {} is closed already", order.id);
        assert!(status.is_final(), "{status:?} is not final");
        assert!(order.reserved == 0, "order {} still reserves {}", order.id, order.reserved);
        order.status = status;
        order.cancel_pending = false;
        self.due.remove(slot);
        self.places.remove(slot);
        self.places.push_back(FREE, slot);
        self.open_count -= 1;
    }

    /// Notes a replace on its way.
    pub(super) fn begin_replace(&mut self, slot: u32, cl_ord_id: ClOrdId, qty: u32, price: Price) {
        let order = self.get_mut(slot);
        (order.replace_cl_ord_id, order.replace_qty, order.replace_price) = (cl_ord_id, qty, price);
        let session = order.session;
        self.keys.insert(OrderTable::key(session, cl_ord_id), slot);
    }

    /// Ends the replace on its way: the order goes on under the replace's identifier if it was `accepted`.
    pub(super) fn end_replace(&mut self, slot: u32, accepted: bool) {
        let order = self.get_mut(slot);
        let (session, replaced, replacing) =
            (order.session, order.cl_ord_id, order.replace_cl_ord_id);
        order.replace_cl_ord_id = ClOrdId(0);
        if accepted {
            order.cl_ord_id = replacing;
        }
        let gone = if accepted { replaced } else { replacing };
        self.keys.remove(OrderTable::key(session, gone), slot);
    }

    /// Open orders of a session.
    #[inline]
    pub(super) fn session_count(&self, session: usize) -> u32 {
        self.places.count(slot_of(session) + 1)
    }

    /// First open order of a session, by age.
    #[inline]
    pub(super) fn session_first(&self, session: usize) -> Option<u32> {
        self.places.front(slot_of(session) + 1)
    }

    /// The next open order of the same session.
    #[inline]
    pub(super) fn session_next(&self, slot: u32) -> Option<u32> {
        self.places.after(slot)
    }

    /// Puts an order on the list of those to be cancelled; `false` where it is there already.
    pub(super) fn make_due(&mut self, slot: u32) -> bool {
        let is_new = !self.due.is_linked(slot);
        if is_new {
            self.due.push_back(DUE, slot);
        }
        is_new
    }

    /// Takes the order that is due longest.
    pub(super) fn take_due(&mut self) -> Option<u32> {
        let slot = self.due.front(DUE)?;
        self.due.remove(slot);
        Some(slot)
    }

    /// Orders to be cancelled.
    #[inline]
    pub(super) fn due_count(&self) -> u32 {
        self.due.count(DUE)
    }

    /// Every open order, by slot.
    pub(super) fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().filter(|order| order.is_open())
    }
}
