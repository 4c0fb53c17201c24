//! Orders through the gateway of a [`World`], timed, against a venue that does next to nothing and is not timed.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]

use std::path::Path;

use postern::codec::Message;
use postern::codec::order_entry::{ExecutionReport, NewOrderSingle, OrderEntry};
use postern::gate::StateMachine;
use postern::runtime::{Agent, Clock};
use postern::session::{ServerAction, ServerSession};
use postern::transport::memory::{MemoryPublication, MemorySubscription, stream};
use postern::transport::{Inbound, Outbound};
use postern::types::{
    ClOrdId, ExecId, ExecType, InstrumentId, Nanos, OrdStatus, OrderId, SeqNum, Side, UtcNanos,
};

use super::{MS, Setup, VENUE_SESSION, World, cents, server};

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Entry,
    Risk,
    Router,
}

impl Stage {
    pub const ALL: [Stage; 3] = [Stage::Entry, Stage::Risk, Stage::Router];
}

/// The venue: acknowledges each order, and fills it.
struct Acceptor {
    session: ServerSession,
    requests: MemorySubscription,
    reports: MemoryPublication,
    next: u64,
    hash: u64,
}

impl Acceptor {
    fn poll(&mut self, now: Nanos, utc: UtcNanos) {
        let Acceptor { session, requests, reports, next, hash } = self;
        let mut say = |message: &OrderEntry| {
            let mut bytes = [0; super::MESSAGE_BYTES_MAX];
            let length = message.encode(&mut bytes);
            reports.offer(length, |slot| slot.copy_from_slice(&bytes[..length])).expect("room");
        };
        let take = &mut |fragment: postern::transport::Fragment<'_>| {
            let message = OrderEntry::decode(fragment.bytes).expect("whole");
            let response = session.on_message(now, utc, &message);
            if let Some(reply) = response.reply {
                say(&reply);
            }
            if let (ServerAction::Apply, OrderEntry::NewOrderSingle(order)) =
                (response.action, message)
            {
                *hash = (*hash ^ order.cl_ord_id.0 ^ u64::from(order.order_qty))
                    .wrapping_mul(0x0100_0000_01b3);
                for exec_type in [ExecType::New, ExecType::Trade] {
                    *next += 1;
                    let number = session.take_number(now);
                    say(&execution(&order, exec_type, number, *next).into());
                }
            }
        };
        requests.poll(usize::MAX, take).expect("a stream in memory does not go down");
        if let Some(reply) = session.on_time(now).reply {
            say(&reply);
        }
    }
}

fn execution(m: &NewOrderSingle, exec_type: ExecType, number: SeqNum, id: u64) -> ExecutionReport {
    let traded = if exec_type == ExecType::Trade { m.order_qty } else { 0 };
    ExecutionReport {
        session_id: m.session_id,
        msg_seq_num: number,
        order_id: OrderId(id),
        cl_ord_id: m.cl_ord_id,
        orig_cl_ord_id: ClOrdId(0),
        exec_id: ExecId(id),
        transact_time: m.sending_time,
        price: m.price,
        last_px: (traded > 0).then_some(m.price).flatten(),
        order_qty: m.order_qty,
        last_qty: traded,
        cum_qty: traded,
        leaves_qty: m.order_qty - traded,
        security_id: m.security_id,
        account: m.account,
        ord_rej_reason: 0,
        deny_reason: 0,
        exec_type,
        ord_status: if traded > 0 { OrdStatus::Filled } else { OrdStatus::New },
        side: m.side,
    }
}

/// A gateway with one strategy and an [`Acceptor`].
pub struct BenchLine {
    pub world: World,
    acceptor: Acceptor,
    clock: Clock,
    sent: u64,
}

impl BenchLine {
    /// Everybody logged on, and a market.
    pub fn new(directory: &Path, clock: Clock) -> BenchLine {
        let mut setup = Setup::new(directory);
        setup.risk = super::risk_config(1);
        setup.segment_bytes = 16 << 20;
        setup.stream_slots = 256;
        for session in &mut setup.risk.sessions {
            (session.rate.burst, session.rate.per_second) = (1 << 30, 1 << 30);
        }
        let mut world = World::new(&setup);
        let (requests, reports) = world.wire.take_venue_ends();
        world.strategies[0].keeps = false;
        world.tell_quote(InstrumentId(1), Some(cents(9_999)), Some(cents(10_001)));
        let session = ServerSession::new(server(VENUE_SESSION));
        let acceptor = Acceptor { session, requests, reports, next: 0, hash: 0 };
        let mut line = BenchLine { world, acceptor, clock, sent: 0 };
        for _ in 0..200 {
            line.world.now = line.world.now.plus(MS);
            line.aside();
            let (now, utc) = (line.world.now, clock.utc(line.world.now));
            line.world.strategies[0].log_on(now, utc);
            line.poll(now, None);
        }
        assert!(line.world.strategies[0].session.is_established());
        assert!(line.world.risk.engine().is_venue_up(super::VENUE));
        line
    }

    /// A duty cycle of a fused gateway; the nanoseconds of `stage`.
    #[inline]
    fn poll(&mut self, now: Nanos, stage: Option<Stage>) -> u64 {
        let World { entry, risk, router, .. } = &mut self.world;
        let mut ns = 0;
        for part in Stage::ALL {
            let start = if stage == Some(part) { self.clock.now() } else { Nanos(0) };
            let done = match part {
                Stage::Entry => entry.poll(now),
                Stage::Risk => risk.poll(now),
                Stage::Router => router.poll(now),
            };
            if stage == Some(part) {
                ns += self.clock.now().since(start);
            }
            done.expect("a gateway goes on");
        }
        ns
    }

    /// Everybody but the gateway.
    fn aside(&mut self) {
        let now = self.clock.now();
        self.world.now = now;
        let utc = self.clock.utc(now);
        self.acceptor.poll(now, utc);
        self.world.strategies[0].poll(now, utc);
        self.world.journal.poll(now).expect("a journal goes on");
        self.world.tell_market();
    }

    /// Orders, untimed.
    pub fn warm(&mut self, orders: usize) {
        self.run(orders, 8, None);
    }

    /// So many orders in bursts; returns the nanoseconds that the gateway, or one of its stages, took.
    pub fn run(&mut self, orders: usize, burst: usize, stage: Option<Stage>) -> u64 {
        let (mut left, mut ns) = (orders, 0);
        while left > 0 {
            let count = burst.min(left);
            self.aside();
            for _ in 0..count {
                let now = self.world.now;
                let side = if self.sent.is_multiple_of(2) { Side::Buy } else { Side::Sell };
                let qty = 1 + u32::try_from(self.sent % 97).expect("few") / 2;
                let id = self.world.strategies[0].limit(now, (1, side), cents(10_000), qty);
                assert!(id > 0, "the stream has room for a burst");
                self.sent += 1;
            }
            left -= count;
            // The orders on, in as many cycles as they need.
            ns += self.timed(count.div_ceil(8), stage);
            self.aside();
            // Their executions back: two an order, 16 a cycle.
            ns += self.timed(count.div_ceil(8) + 1, stage);
        }
        ns
    }

    fn timed(&mut self, cycles: usize, stage: Option<Stage>) -> u64 {
        let start = self.clock.now();
        let mut of_stage = 0;
        let mut now = start;
        for _ in 0..cycles {
            of_stage += self.poll(now, stage);
            now = self.clock.now();
        }
        if stage.is_some() { of_stage } else { now.since(start) }
    }

    /// Whether every order that was sent was approved, filled and told of.
    pub fn is_whole(&mut self) -> bool {
        self.timed(4, None);
        self.aside();
        let engine = self.world.risk.engine();
        engine.counts().orders_approved == self.sent
            && engine.counts().executions == 2 * self.sent
            && self.world.strategies[0].report_count == 2 * self.sent
    }

    /// Of what the venue was sent and what risk holds. Differs where the clock decided, that is never.
    pub fn hash(&self) -> u64 {
        let positions = self.world.positions();
        let net = positions.iter().fold(0, |sum: i64, p| sum.wrapping_mul(31) + p.net);
        let _ = StateMachine::digest(self.world.risk.engine());
        self.acceptor.hash ^ net.cast_unsigned()
    }
}

/// The floor: the same messages copied through streams, over as many hops.
pub struct Copier {
    forth: [(MemoryPublication, MemorySubscription); 2],
    back: [(MemoryPublication, MemorySubscription); 2],
}

impl Copier {
    pub fn new() -> Copier {
        let hop = || stream(256, super::MESSAGE_BYTES_MAX);
        Copier { forth: [hop(), hop()], back: [hop(), hop()] }
    }

    /// Nanoseconds an order for reading it from one stream into another, and two reports back likewise.
    pub fn run(&mut self, clock: Clock, orders: usize, burst: usize) -> f64 {
        let (mut left, mut ns) = (orders, 0);
        while left > 0 {
            let count = burst.min(left);
            left -= count;
            for (way, bytes, messages) in [
                (&mut self.forth, NewOrderSingle::BYTES, count),
                (&mut self.back, ExecutionReport::BYTES, 2 * count),
            ] {
                let [(first, from), (to, last)] = way;
                for number in 0..messages {
                    let fill = u8::try_from(number % 256).expect("a byte");
                    first.offer(bytes, |slot| slot.fill(fill)).expect("room");
                }
                let start = clock.now();
                from.poll(messages, &mut |fragment| {
                    let copy = |slot: &mut [u8]| slot.copy_from_slice(fragment.bytes);
                    to.offer(fragment.bytes.len(), copy).expect("room");
                })
                .expect("a stream in memory does not go down");
                ns += clock.now().since(start);
                let mut sum = 0_u64;
                last.poll(messages, &mut |fragment| sum += u64::from(fragment.bytes[0]))
                    .expect("a stream in memory does not go down");
                std::hint::black_box(sum);
            }
        }
        ns as f64 / orders as f64
    }
}
