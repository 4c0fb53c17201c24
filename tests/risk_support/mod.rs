//! What the tests of risk and journal share: a small market, recorded effects, and a source of random inputs.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod rings;

#[path = "../support/random.rs"]
mod random;
pub use random::Random;

use postern::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, CancelRequest, Decision,
    FeedStatus, Journal, KillCommand, KillNotice, MassCancelReport, MassCancelRequest, OrderReport,
    OrderRequest, ReferencePrice, ReplaceRequest, RouterRefusal, SessionLink, VenueCancelReject,
    VenueExecution, VenueLink,
};
use postern::risk::{
    AccountConfig, Band, CollarConfig, CollarReference, CollarSides, DuplicateConfig, Effects,
    Engine, InstrumentConfig, OrderLimits, PositionLimits, RateConfig, RiskConfig, SessionConfig,
};
use postern::types::{
    AccountId, CancelRejectTo, ChannelId, ClOrdId, DenyReason, ExecId, ExecType, FeedState,
    InstrumentId, KillAction, KillScope, LinkState, MassScope, Nanos, OrdStatus, OrdType, OrderId,
    Price, RequestKind, SessionId, Side, TimeInForce, VenueId,
};

pub const SECOND: u64 = 1_000_000_000;
pub const TICK: i64 = 10_000_000;

/// A price in hundredths.
pub fn cents(cents: i64) -> Price {
    Price::from_units(cents * TICK)
}

/// Two instruments on two venues and one channel, two accounts, two sessions.
pub fn config() -> RiskConfig {
    let instrument = |id, venue| InstrumentConfig {
        id: InstrumentId(id),
        venue: VenueId(venue),
        channel: ChannelId(1),
        tick: cents(1),
        lot: 10,
        qty_min: 20,
        multiplier: 1,
        collar: Some(CollarConfig {
            reference: CollarReference::FarTouch,
            sides: CollarSides::Aggressive,
            band: Band { basis_points: 100, ticks: 5 },
        }),
        market_protection: Some(Band { basis_points: 50, ticks: 2 }),
        limits: OrderLimits { qty_max: Some(10_000), notional_max: None },
    };
    let position = PositionLimits { long_max: Some(5_000), short_max: Some(4_000) };
    let account = |id| AccountConfig {
        id: AccountId(id),
        limits: OrderLimits {
            qty_max: Some(1_000),
            notional_max: Some(i128::from(cents(10_000).units()) * 900),
        },
        instruments: vec![(InstrumentId(1), position), (InstrumentId(2), position)],
    };
    let session = |id, accounts: &[u32]| SessionConfig {
        id: SessionId(id),
        accounts: accounts.iter().copied().map(AccountId).collect(),
        rate: RateConfig {
            burst: 1_000,
            per_second: 1_000_000,
            window_messages: 1_000,
            window_ns: 1_000,
            cancel_burst: 10,
            cancel_per_second: 10,
        },
        open_orders_max: 64,
        cancel_on_disconnect: true,
    };
    RiskConfig {
        instruments: vec![instrument(1, 1), instrument(2, 2)],
        accounts: vec![account(1), account(2)],
        sessions: vec![session(1, &[1]), session(2, &[1, 2])],
        open_orders_max: 100,
        duplicate: Some(DuplicateConfig { count: 5, window_ns: SECOND }),
        feed_stale_ns: SECOND,
        first_order_sequence: 1,
    }
}

/// Everything an engine did.
#[derive(Debug, Default)]
pub struct Recording {
    pub decisions: Vec<Decision>,
    pub orders: Vec<ApprovedOrder>,
    pub cancels: Vec<ApprovedCancel>,
    pub replaces: Vec<ApprovedReplace>,
    pub reports: Vec<OrderReport>,
    pub cancel_rejects: Vec<CancelRejectReport>,
    pub mass_cancels: Vec<MassCancelReport>,
    pub kills: Vec<KillNotice>,
}

impl Effects for Recording {
    fn decided(&mut self, decision: Decision) {
        self.decisions.push(decision);
    }
    fn approve_order(&mut self, order: ApprovedOrder) {
        self.orders.push(order);
    }
    fn approve_cancel(&mut self, cancel: ApprovedCancel) {
        self.cancels.push(cancel);
    }
    fn approve_replace(&mut self, replace: ApprovedReplace) {
        self.replaces.push(replace);
    }
    fn report(&mut self, report: OrderReport) {
        self.reports.push(report);
    }
    fn cancel_reject(&mut self, report: CancelRejectReport) {
        self.cancel_rejects.push(report);
    }
    fn mass_cancel_report(&mut self, report: MassCancelReport) {
        self.mass_cancels.push(report);
    }
    fn kill_notice(&mut self, notice: KillNotice) {
        self.kills.push(notice);
    }
}

/// An engine in a market that is open: 99.99 to 100.01 in both instruments, every link up.
pub struct Desk {
    pub engine: Engine,
    pub now: Nanos,
    pub next_id: u64,
    pub next_exec: u64,
}

impl Desk {
    pub fn new(config: &RiskConfig) -> Desk {
        let engine = Engine::new(config).expect("the configuration is valid");
        let mut desk = Desk { engine, now: Nanos(SECOND), next_id: 1, next_exec: 1 };
        for input in opening() {
            desk.apply(input);
        }
        desk
    }

    pub fn apply(&mut self, input: impl Into<Journal>) -> Recording {
        let mut out = Recording::default();
        self.engine.apply(self.now, &input.into(), &mut out);
        out
    }

    pub fn tick(&mut self) -> Recording {
        let mut out = Recording::default();
        self.engine.tick(self.now, &mut out);
        out
    }

    pub fn id(&mut self) -> ClOrdId {
        self.next_id += 1;
        ClOrdId(self.next_id)
    }

    /// A limit order of session 1 for account 1 in instrument 1.
    pub fn limit(&mut self, side: Side, price: Price, qty: u32) -> OrderRequest {
        OrderRequest {
            cl_ord_id: self.id(),
            ingress_time: self.now,
            price: Some(price),
            session_id: SessionId(1),
            order_qty: qty,
            security_id: InstrumentId(1),
            account: AccountId(1),
            sent_delta: 0,
            side,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        }
    }

    /// Sends it and says what was decided; the sole approval, where it was one.
    pub fn send(&mut self, order: OrderRequest) -> Result<ApprovedOrder, DenyReason> {
        let out = self.apply(order);
        let [decision] = out.decisions[..] else { panic!("one decision, not {out:?}") };
        match DenyReason::from_code(decision.deny_reason) {
            None => Ok(out.orders[0]),
            Some(reason) => {
                assert_eq!((out.orders.len(), out.reports.len()), (0, 1));
                assert_eq!(out.reports[0].deny_reason, reason.code());
                Err(reason)
            }
        }
    }

    /// An approved order of 100 to buy at 100.00.
    pub fn open(&mut self) -> (ClOrdId, OrderId) {
        let mut order = self.limit(Side::Buy, cents(10_000), 100);
        // Not one of many alike.
        order.order_qty += 10 * u32::try_from(self.next_id % 7).expect("it fits");
        order.order_qty = 100;
        order.price = Some(cents(10_000 - i64::try_from(self.next_id % 50).expect("it fits")));
        let approved = self.send(order).expect("approved");
        (order.cl_ord_id, approved.order_id)
    }

    pub fn execution(&mut self, order_id: OrderId, exec_type: ExecType) -> VenueExecution {
        self.next_exec += 1;
        VenueExecution {
            order_id,
            exec_id: ExecId(self.next_exec),
            ingress_time: self.now,
            price: None,
            last_px: None,
            order_qty: 0,
            last_qty: 0,
            cum_qty: 0,
            leaves_qty: 0,
            sent_delta: 0,
            ord_rej_reason: 0,
            exec_type,
            ord_status: match exec_type {
                ExecType::New | ExecType::Replaced => OrdStatus::New,
                ExecType::Trade => OrdStatus::PartiallyFilled,
                ExecType::Canceled => OrdStatus::Canceled,
                ExecType::Rejected => OrdStatus::Rejected,
                ExecType::Expired => OrdStatus::Expired,
            },
        }
    }

    /// A trade of `last` that makes `cum` of `total`, at 100.00.
    pub fn trade(&mut self, id: OrderId, last: u32, cum: u32, total: u32) -> VenueExecution {
        let is_done = cum >= total;
        VenueExecution {
            last_px: Some(cents(10_000)),
            last_qty: last,
            cum_qty: cum,
            leaves_qty: total.saturating_sub(cum),
            ord_status: if is_done { OrdStatus::Filled } else { OrdStatus::PartiallyFilled },
            ..self.execution(id, ExecType::Trade)
        }
    }

    pub fn cancel(&mut self, orig: ClOrdId) -> CancelRequest {
        CancelRequest {
            cl_ord_id: self.id(),
            orig_cl_ord_id: orig,
            ingress_time: self.now,
            session_id: SessionId(1),
            sent_delta: 0,
        }
    }

    pub fn replace(&mut self, orig: ClOrdId, price: Price, qty: u32) -> ReplaceRequest {
        ReplaceRequest {
            cl_ord_id: self.id(),
            orig_cl_ord_id: orig,
            ingress_time: self.now,
            price,
            session_id: SessionId(1),
            order_qty: qty,
            sent_delta: 0,
        }
    }

    /// Net, open buys and open sells of account 1 in instrument 1.
    pub fn position(&self) -> (i64, u64, u64) {
        let position = self.engine.positions().next().expect("configured");
        (position.net, position.open_buys, position.open_sells)
    }
}

pub fn link(venue: u32, link_state: LinkState) -> VenueLink {
    VenueLink { venue_id: VenueId(venue), link_state }
}

pub fn session(id: u32, link_state: LinkState) -> SessionLink {
    SessionLink { session_id: SessionId(id), link_state }
}

pub fn quote(instrument: u32, bid: Option<Price>, offer: Option<Price>) -> ReferencePrice {
    ReferencePrice {
        bid_px: bid,
        offer_px: offer,
        ingress_time: Nanos(0),
        security_id: InstrumentId(instrument),
        channel_id: ChannelId(1),
    }
}

pub fn status(feed_state: FeedState) -> FeedStatus {
    FeedStatus { ingress_time: Nanos(0), channel_id: ChannelId(1), feed_state }
}

pub fn kill(kill_scope: KillScope, id: u32, kill_action: KillAction) -> KillCommand {
    KillCommand {
        command_id: 1,
        id,
        kill_scope,
        kill_action,
        operator_name: *b"officer\0\0\0\0\0\0\0\0\0",
        reason: [b' '; 48],
    }
}

pub fn mass_cancel(mass_scope: MassScope, instrument: u32) -> MassCancelRequest {
    MassCancelRequest {
        cl_ord_id: ClOrdId(0),
        ingress_time: Nanos(0),
        session_id: SessionId(1),
        security_id: InstrumentId(instrument),
        sent_delta: 0,
        mass_scope,
    }
}

pub fn refusal(order_id: OrderId, decision_kind: RequestKind) -> RouterRefusal {
    RouterRefusal {
        order_id,
        ingress_time: Nanos(0),
        sent_delta: 0,
        deny_reason: DenyReason::RouterFull.code(),
        decision_kind,
    }
}

pub fn cancel_reject(order_id: OrderId, to: CancelRejectTo) -> VenueCancelReject {
    VenueCancelReject {
        order_id,
        ingress_time: Nanos(0),
        sent_delta: 0,
        cxl_rej_reason: 7,
        ord_status: OrdStatus::New,
        cxl_rej_response_to: to,
    }
}

/// The venue's answer to the cancel of an order it does not know.
pub fn unknown_order(order_id: OrderId) -> VenueCancelReject {
    VenueCancelReject {
        ord_status: OrdStatus::Rejected,
        ..cancel_reject(order_id, CancelRejectTo::Cancel)
    }
}

/// What opens the market.
pub fn opening() -> Vec<Journal> {
    vec![
        link(1, LinkState::Up).into(),
        link(2, LinkState::Up).into(),
        session(1, LinkState::Up).into(),
        session(2, LinkState::Up).into(),
        status(FeedState::Current).into(),
        quote(1, Some(cents(9_999)), Some(cents(10_001))).into(),
        quote(2, Some(cents(9_999)), Some(cents(10_001))).into(),
    ]
}

/// An order the random venue has.
#[derive(Clone, Copy, Debug)]
pub struct Working {
    pub id: OrderId,
    pub cl_ord_id: ClOrdId,
    pub session: u32,
    pub qty: u32,
    pub cum: u32,
    pub replace: Option<(u32, Price)>,
}

/// Makes up inputs that hang together mostly, and some that do not. Told of approvals, it plays the venue.
#[derive(Clone, Debug)]
pub struct Script {
    pub random: Random,
    pub ids: [u64; 2],
    pub working: Vec<Working>,
    pub next_exec: u64,
}

impl Script {
    pub fn new(seed: u64) -> Script {
        Script {
            random: Random::new(seed),
            ids: [0; 2],
            working: Vec::with_capacity(4096),
            next_exec: 0,
        }
    }

    fn price(&mut self) -> Price {
        cents(9_940 + i64::try_from(self.random.below(130)).expect("it fits"))
    }

    fn next_id(&mut self, session: u32) -> ClOrdId {
        let id = &mut self.ids[usize::try_from(session - 1).expect("it fits")];
        if !self.random.one_in(60) {
            *id += 1;
        }
        ClOrdId(*id)
    }

    pub fn order(&mut self) -> OrderRequest {
        let session = 1 + self.random.small(2);
        let ord_type = if self.random.one_in(20) { OrdType::Market } else { OrdType::Limit };
        let price = self.price();
        OrderRequest {
            cl_ord_id: self.next_id(session),
            ingress_time: Nanos(0),
            price: (ord_type == OrdType::Limit || self.random.one_in(9)).then_some(price),
            session_id: SessionId(session),
            order_qty: 10 * self.random.small(110) + u32::from(self.random.one_in(30)),
            security_id: InstrumentId(
                1 + self.random.small(2) + 5 * u32::from(self.random.one_in(80)),
            ),
            account: AccountId(1 + u32::from(self.random.one_in(3))),
            sent_delta: 0,
            side: if self.random.one_in(2) { Side::Buy } else { Side::Sell },
            ord_type,
            time_in_force: if self.random.one_in(10) {
                TimeInForce::ImmediateOrCancel
            } else {
                TimeInForce::Day
            },
        }
    }

    fn working(&mut self) -> Option<usize> {
        let count = u64::try_from(self.working.len()).expect("it fits");
        (count > 0).then(|| usize::try_from(self.random.below(count)).expect("it fits"))
    }

    fn execution(&mut self) -> Journal {
        let Some(index) = self.working() else {
            return status(FeedState::Current).into();
        };
        if !self.random.one_in(40) {
            self.next_exec += 1;
        }
        let order = &mut self.working[index];
        let left = order.qty.saturating_sub(order.cum);
        let mut execution = VenueExecution {
            order_id: order.id,
            exec_id: ExecId(self.next_exec),
            ingress_time: Nanos(0),
            price: None,
            last_px: None,
            order_qty: order.qty,
            last_qty: 0,
            cum_qty: order.cum,
            leaves_qty: left,
            sent_delta: 0,
            ord_rej_reason: 0,
            exec_type: ExecType::New,
            ord_status: OrdStatus::New,
        };
        match self.random.below(12) {
            0..=2 => {}
            3..=7 => {
                let over = u32::from(self.random.one_in(50)) * 30;
                let last = 1 + self.random.small(left.max(1)) + over;
                order.cum += last;
                execution.exec_type = ExecType::Trade;
                execution.last_px = Some(cents(10_000));
                execution.last_qty = last;
                execution.cum_qty = order.cum;
                execution.leaves_qty = order.qty.saturating_sub(order.cum);
                execution.ord_status = if order.cum >= order.qty {
                    OrdStatus::Filled
                } else {
                    OrdStatus::PartiallyFilled
                };
            }
            8 => {
                execution.exec_type = ExecType::Canceled;
                execution.ord_status = OrdStatus::Canceled;
            }
            9 => {
                execution.exec_type = ExecType::Expired;
                execution.ord_status = OrdStatus::Expired;
            }
            _ => {
                if let Some((qty, price)) = order.replace.take() {
                    order.qty = qty;
                    execution.order_qty = qty;
                    execution.price = Some(price);
                }
                execution.exec_type = ExecType::Replaced;
            }
        }
        if execution.ord_status.is_final() && !self.random.one_in(30) {
            self.working.swap_remove(index);
        }
        execution.into()
    }

    /// The next input.
    pub fn next(&mut self) -> Journal {
        match self.random.below(1000) {
            0..=449 => self.order().into(),
            450..=519 => match self.working() {
                Some(index) => {
                    let order = self.working[index];
                    CancelRequest {
                        cl_ord_id: self.next_id(order.session),
                        orig_cl_ord_id: order.cl_ord_id,
                        ingress_time: Nanos(0),
                        session_id: SessionId(order.session),
                        sent_delta: 0,
                    }
                    .into()
                }
                None => quote(1, Some(cents(9_990)), Some(cents(9_992))).into(),
            },
            520..=599 => match self.working() {
                Some(index) => {
                    let (order, price) = (self.working[index], self.price());
                    ReplaceRequest {
                        cl_ord_id: self.next_id(order.session),
                        orig_cl_ord_id: order.cl_ord_id,
                        ingress_time: Nanos(0),
                        price,
                        session_id: SessionId(order.session),
                        order_qty: 10 * self.random.small(110),
                        sent_delta: 0,
                    }
                    .into()
                }
                None => status(FeedState::Current).into(),
            },
            600..=879 => self.execution(),
            880..=919 => {
                let instrument = 1 + self.random.small(2);
                let bid = 9_985 + i64::try_from(self.random.below(20)).expect("it fits");
                let width = i64::try_from(self.random.below(12)).expect("it fits") - 1;
                let (bid, offer) = (cents(bid), cents(bid + width));
                let one_sided = self.random.one_in(20);
                quote(instrument, Some(bid), (!one_sided).then_some(offer)).into()
            }
            920..=979 => {
                let state =
                    if self.random.one_in(25) { FeedState::Stale } else { FeedState::Current };
                status(state).into()
            }
            980..=983 => {
                // Some are not configured.
                let draw = self.random.small(40);
                let id = if draw < 38 { 1 + draw % 2 } else { 9 };
                let scope = KillScope::ALL[usize::try_from(self.random.below(5)).expect("it fits")];
                // Mostly released again.
                let action = match self.random.below(8) {
                    0 => KillAction::Kill,
                    1 => KillAction::KillAndCancel,
                    _ => KillAction::Rearm,
                };
                kill(scope, id, action).into()
            }
            984..=987 => kill(KillScope::Firm, 0, KillAction::Rearm).into(),
            988..=990 => {
                let state = if self.random.one_in(3) { LinkState::Down } else { LinkState::Up };
                link(1 + self.random.small(2), state).into()
            }
            991..=993 => {
                let state = if self.random.one_in(3) { LinkState::Down } else { LinkState::Up };
                session(1 + self.random.small(2), state).into()
            }
            994 => mass_cancel(MassScope::Session, 0).into(),
            995 => mass_cancel(MassScope::Instrument, 1).into(),
            _ => match self.working() {
                Some(index) => {
                    let id = self.working[index].id;
                    if self.random.one_in(2) {
                        let kind = RequestKind::ALL
                            [usize::try_from(self.random.below(3)).expect("it fits")];
                        refusal(id, kind).into()
                    } else {
                        let draw = self.random.small(8);
                        let to = if draw.is_multiple_of(2) {
                            CancelRejectTo::ALL[0]
                        } else {
                            CancelRejectTo::ALL[1]
                        };
                        let mut reject = cancel_reject(id, to);
                        if draw >= 6 {
                            reject.ord_status = OrdStatus::Rejected;
                            // What the venue does not know does not trade there.
                            if to == CancelRejectTo::Cancel {
                                self.working.swap_remove(index);
                            }
                        }
                        reject.into()
                    }
                }
                None => link(1, LinkState::Up).into(),
            },
        }
    }

    /// `input` was approved under `id`.
    pub fn approved(&mut self, input: &Journal, id: OrderId) {
        if let Journal::OrderRequest(request) = input {
            if self.working.len() >= 300 {
                self.working.swap_remove(0);
            }
            self.working.push(Working {
                id,
                cl_ord_id: request.cl_ord_id,
                session: request.session_id.0,
                qty: request.order_qty,
                cum: 0,
                replace: None,
            });
        } else if let Journal::ReplaceRequest(request) = input
            && let Some(order) = self.working.iter_mut().find(|order| order.id == id)
        {
            order.replace = Some((request.order_qty, request.price));
            order.cl_ord_id = request.cl_ord_id;
        }
    }
}
