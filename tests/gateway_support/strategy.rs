//! A strategy that does what it is told, and keeps what it was told.

use std::collections::BTreeMap;

use postern::codec::Message;
use postern::codec::order_entry::{
    NewOrderSingle, OrderCancelReplaceRequest, OrderCancelRequest, OrderEntry,
    OrderMassActionRequest,
};
use postern::session::{ClientAction, ClientConfig, ClientSession, ClientState};
use postern::transport::memory::{MemoryPublication, MemorySubscription};
use postern::transport::{Inbound, Outbound};
use postern::types::{
    AccountId, ClOrdId, ExecType, InstrumentId, MassScope, Nanos, OrdType, Price, SeqNum, Side,
    TimeInForce, UtcNanos,
};

/// How an order ended, as the strategy was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Denied(u16),
    Rejected,
    Filled,
    Canceled,
}

/// One order of the strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub accepted: bool,
    pub end: Option<End>,
    /// How often it ended: once, and once for each other order that was sent with its number.
    pub ends: u32,
    /// Other orders sent with its number.
    pub reused: u32,
    pub cum: u32,
}

/// The strategy.
pub struct Strategy {
    pub session: ClientSession,
    orders: MemoryPublication,
    reports: MemorySubscription,
    pub next_id: u64,
    /// Whether what it is told is kept by order. Allocates.
    pub keeps: bool,
    /// Orders that left, by ClOrdID.
    pub lines: BTreeMap<u64, Line>,
    /// The order that the ClOrdID of a cancel or replace is about.
    chain: BTreeMap<u64, u64>,
    pub report_count: u64,
    pub cancel_reject_count: u64,
    pub lost_count: u64,
    /// Whether it reads its reports.
    pub reads: bool,
    replies: Vec<OrderEntry>,
}

impl Strategy {
    pub fn new(
        config: ClientConfig,
        orders: MemoryPublication,
        reports: MemorySubscription,
    ) -> Strategy {
        Strategy {
            session: ClientSession::new(config),
            orders,
            reports,
            next_id: 1,
            keeps: true,
            lines: BTreeMap::new(),
            chain: BTreeMap::new(),
            report_count: 0,
            cancel_reject_count: 0,
            lost_count: 0,
            reads: true,
            replies: Vec::with_capacity(64),
        }
    }

    /// Begins a session, if none is up or under way.
    pub fn log_on(&mut self, now: Nanos, utc: UtcNanos) {
        if matches!(self.session.state(), ClientState::Idle | ClientState::Refused) {
            let first = self.session.resume(now, utc);
            self.say(&first);
        }
    }

    /// The transport is another from here on.
    pub fn disconnect(&mut self, orders: MemoryPublication) {
        self.orders = orders;
        self.session.on_disconnect();
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.orders.offer(bytes.len(), |slot| slot.copy_from_slice(bytes)).is_ok()
    }

    pub fn say(&mut self, message: &OrderEntry) -> bool {
        let mut bytes = [0; super::MESSAGE_BYTES_MAX];
        let length = message.encode(&mut bytes);
        self.send_bytes(&bytes[..length])
    }

    /// Sends the message that `numbered` makes of its number. `false`: there was no room, and the number is not used.
    fn request<M: Message>(&mut self, now: Nanos, numbered: impl FnOnce(SeqNum) -> M) -> bool {
        let session = &mut self.session;
        let encode = |slot: &mut [u8]| numbered(session.take_number(now)).encode(slot);
        self.orders.offer(M::BYTES, encode).is_ok()
    }

    /// A limit order for the session's account. Returns its ClOrdID, 0 where there was no room.
    pub fn limit(
        &mut self,
        now: Nanos,
        (instrument, side): (u32, Side),
        price: Price,
        qty: u32,
    ) -> u64 {
        let account = AccountId(self.session.id().0);
        self.order(now, account, (instrument, side), Some(price), (qty, TimeInForce::Day))
    }

    pub fn order(
        &mut self,
        now: Nanos,
        account: AccountId,
        (instrument, side): (u32, Side),
        price: Option<Price>,
        (order_qty, time_in_force): (u32, TimeInForce),
    ) -> u64 {
        let (id, session_id) = (self.next_id, self.session.id());
        let sent = self.request(now, |msg_seq_num| NewOrderSingle {
            session_id,
            msg_seq_num,
            cl_ord_id: ClOrdId(id),
            sending_time: UtcNanos(0),
            price,
            order_qty,
            security_id: InstrumentId(instrument),
            account,
            side,
            ord_type: if price.is_some() { OrdType::Limit } else { OrdType::Market },
            time_in_force,
        });
        if !sent {
            return 0;
        }
        self.next_id += 1;
        if self.keeps {
            self.lines.insert(id, Line::default());
        }
        id
    }

    pub fn cancel(&mut self, now: Nanos, orig: u64) -> bool {
        let (id, session_id) = (self.next_id, self.session.id());
        let sent = self.request(now, |msg_seq_num| OrderCancelRequest {
            session_id,
            msg_seq_num,
            cl_ord_id: ClOrdId(id),
            sending_time: UtcNanos(0),
            orig_cl_ord_id: ClOrdId(orig),
        });
        if sent && self.keeps {
            let first = self.chain.get(&orig).copied().unwrap_or(orig);
            self.chain.insert(id, first);
        }
        self.next_id += u64::from(sent);
        sent
    }

    /// Returns the ClOrdID of the replace, 0 where there was no room.
    pub fn replace(&mut self, now: Nanos, orig: u64, price: Price, order_qty: u32) -> u64 {
        let (id, session_id) = (self.next_id, self.session.id());
        let sent = self.request(now, |msg_seq_num| OrderCancelReplaceRequest {
            session_id,
            msg_seq_num,
            cl_ord_id: ClOrdId(id),
            sending_time: UtcNanos(0),
            orig_cl_ord_id: ClOrdId(orig),
            price,
            order_qty,
        });
        if !sent {
            return 0;
        }
        self.next_id += 1;
        if self.keeps {
            let first = self.chain.get(&orig).copied().unwrap_or(orig);
            self.chain.insert(id, first);
        }
        id
    }

    pub fn mass_cancel(&mut self, now: Nanos) -> bool {
        let (id, session_id) = (self.next_id, self.session.id());
        let sent = self.request(now, |msg_seq_num| OrderMassActionRequest {
            session_id,
            msg_seq_num,
            cl_ord_id: ClOrdId(id),
            sending_time: UtcNanos(0),
            security_id: InstrumentId(0),
            mass_action_scope: MassScope::Session,
        });
        self.next_id += u64::from(sent);
        sent
    }

    /// Reads reports, answers the session layer; returns how much there was to do.
    pub fn poll(&mut self, now: Nanos, utc: UtcNanos) -> usize {
        if !self.reads {
            return 0;
        }
        let mut work = 0;
        for _ in 0..64 {
            let mut message = None;
            let decode = &mut |fragment: postern::transport::Fragment<'_>| {
                message =
                    Some(OrderEntry::decode(fragment.bytes).expect("entry sends whole messages"));
            };
            self.reports.poll(1, decode).expect("a stream in memory does not go down");
            let Some(message) = message else { break };
            work += 1;
            let response = self.session.on_message(now, utc, &message);
            if let Some(reply) = response.reply {
                self.replies.push(reply);
            }
            match response.action {
                ClientAction::Apply => self.apply(&message),
                ClientAction::Up => {
                    self.next_id = self.next_id.max(self.session.server_cl_ord_id().0 + 1);
                }
                ClientAction::Lost { count, .. } => self.lost_count += u64::from(count),
                ClientAction::None
                | ClientAction::Ignore
                | ClientAction::NotApplied { .. }
                | ClientAction::Down(_)
                | ClientAction::NegotiationRefused(_)
                | ClientAction::EstablishmentRefused(_) => {}
            }
        }
        if let Some(reply) = self.session.on_time(now, utc).reply {
            self.replies.push(reply);
        }
        for index in 0..self.replies.len() {
            let reply = self.replies[index];
            work += usize::from(self.say(&reply));
        }
        self.replies.clear();
        work
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]
    fn apply(&mut self, message: &OrderEntry) {
        self.report_count += 1;
        match message {
            OrderEntry::ExecutionReport(m) if self.keeps => {
                let id = self.chain.get(&m.cl_ord_id.0).copied().unwrap_or(m.cl_ord_id.0);
                let Some(line) = self.lines.get_mut(&id) else { return };
                let end = match (m.deny_reason, m.exec_type) {
                    (0, ExecType::Rejected) => Some(End::Rejected),
                    (reason, ExecType::Rejected) => Some(End::Denied(reason)),
                    (_, ExecType::Canceled | ExecType::Expired) => Some(End::Canceled),
                    (_, ExecType::Trade) if m.leaves_qty == 0 => Some(End::Filled),
                    _ => None,
                };
                line.accepted |= m.exec_type == ExecType::New;
                line.cum += m.last_qty;
                if end.is_some() {
                    line.ends += 1;
                    // What was sent with a number that is taken is denied; its own end is another.
                    if !matches!((line.end, end), (Some(_), Some(End::Denied(_)))) {
                        line.end = end;
                    }
                }
            }
            OrderEntry::OrderCancelReject(_) => self.cancel_reject_count += 1,
            _ => {}
        }
    }

    /// The oldest orders that were accepted and have not ended.
    pub fn open(&self) -> impl Iterator<Item = u64> + '_ {
        self.lines.iter().filter(|(_, l)| l.accepted && l.end.is_none()).map(|(&id, _)| id)
    }
}
