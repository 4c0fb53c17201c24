//! The ring against `rtrb`, `ringbuf` and crossbeam's `ArrayQueue`, interleaved in one run, one SBE order a message.
//!
//! `cargo bench --bench ring`, `-- --quick` for a short form; `cargo test --benches` runs a few messages of each.
//! `benches/README.md` says what the columns mean.

#![allow(clippy::as_conversions, reason = "statistics of timings")]
#![allow(clippy::float_arithmetic, reason = "statistics of timings")]
#![allow(clippy::print_stdout, reason = "the report of a benchmark")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use postern::codec::Message;
use postern::codec::journal::OrderRequest;
use postern::ring::{self, Backing, RingConfig};
use postern::types::{
    AccountId, ClOrdId, InstrumentId, Nanos, OrdType, Price, SessionId, Side, TimeInForce,
};
use quanta::Clock;
use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use support::pair::{self, Distance, Method, Sample, sample, wait_until};
use support::{machine, table};

/// What the peers carry: room for the order, and a multiple of their word.
type Bytes = [u8; 56];

const _: () = assert!(OrderRequest::BYTES <= size_of::<Bytes>());

/// A ring under test. Neither call waits.
trait Contender: 'static {
    const NAME: &'static str;
    type Sender: Send;
    type Receiver: Send;
    fn build(slots: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &mut Self::Sender, order: &OrderRequest) -> bool;
    fn receive(receiver: &mut Self::Receiver, work: impl FnMut(&[u8])) -> bool;
}

struct Postern;

impl Contender for Postern {
    const NAME: &'static str = "postern";
    type Sender = ring::Producer;
    type Receiver = ring::Consumer;

    fn build(slots: usize) -> (ring::Producer, ring::Consumer) {
        let config = RingConfig { name: "bench", slots, backing: Backing::Heap };
        ring::ring(&config).expect("there is memory")
    }

    #[inline(always)]
    fn send(sender: &mut ring::Producer, order: &OrderRequest) -> bool {
        sender.send(order).is_ok()
    }

    #[inline(always)]
    fn receive(receiver: &mut ring::Consumer, mut work: impl FnMut(&[u8])) -> bool {
        let Some(message) = receiver.peek() else { return false };
        work(message);
        receiver.release();
        true
    }
}

#[inline(always)]
fn encoded(order: &OrderRequest) -> Bytes {
    let mut bytes = [0; size_of::<Bytes>()];
    order.encode(&mut bytes);
    bytes
}

struct Rtrb;

impl Contender for Rtrb {
    const NAME: &'static str = "rtrb";
    type Sender = rtrb::Producer<Bytes>;
    type Receiver = rtrb::Consumer<Bytes>;

    fn build(slots: usize) -> (Self::Sender, Self::Receiver) {
        rtrb::RingBuffer::new(slots)
    }

    #[inline(always)]
    fn send(sender: &mut Self::Sender, order: &OrderRequest) -> bool {
        sender.push(encoded(order)).is_ok()
    }

    #[inline(always)]
    fn receive(receiver: &mut Self::Receiver, mut work: impl FnMut(&[u8])) -> bool {
        receiver.pop().map(|bytes| work(&bytes[..OrderRequest::BYTES])).is_ok()
    }
}

struct Ringbuf;

impl Contender for Ringbuf {
    const NAME: &'static str = "ringbuf";
    type Sender = ringbuf::HeapProd<Bytes>;
    type Receiver = ringbuf::HeapCons<Bytes>;

    fn build(slots: usize) -> (Self::Sender, Self::Receiver) {
        ringbuf::HeapRb::new(slots).split()
    }

    #[inline(always)]
    fn send(sender: &mut Self::Sender, order: &OrderRequest) -> bool {
        sender.try_push(encoded(order)).is_ok()
    }

    #[inline(always)]
    fn receive(receiver: &mut Self::Receiver, mut work: impl FnMut(&[u8])) -> bool {
        receiver.try_pop().map(|bytes| work(&bytes[..OrderRequest::BYTES])).is_some()
    }
}

struct Crossbeam;

impl Contender for Crossbeam {
    const NAME: &'static str = "ArrayQueue";
    type Sender = Arc<ArrayQueue<Bytes>>;
    type Receiver = Arc<ArrayQueue<Bytes>>;

    fn build(slots: usize) -> (Self::Sender, Self::Receiver) {
        let queue = Arc::new(ArrayQueue::new(slots));
        (queue.clone(), queue)
    }

    #[inline(always)]
    fn send(sender: &mut Self::Sender, order: &OrderRequest) -> bool {
        sender.push(encoded(order)).is_ok()
    }

    #[inline(always)]
    fn receive(receiver: &mut Self::Receiver, mut work: impl FnMut(&[u8])) -> bool {
        receiver.pop().map(|bytes| work(&bytes[..OrderRequest::BYTES])).is_some()
    }
}

fn order(number: u64) -> OrderRequest {
    OrderRequest {
        cl_ord_id: ClOrdId(number),
        ingress_time: Nanos(number.wrapping_mul(3)),
        price: Some(Price::from_units(100_000_000_000)),
        session_id: SessionId(1),
        order_qty: 100,
        security_id: InstrumentId(7),
        account: AccountId(3),
        sent_delta: 0,
        side: Side::Buy,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
    }
}

/// What a receiver does with an order: it reads fields from its first, middle and last bytes.
#[inline(always)]
fn digest(hash: u64, message: &[u8]) -> u64 {
    let word = |at: usize| {
        message
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    hash.rotate_left(7) ^ word(8) ^ word(16).rotate_left(21) ^ word(OrderRequest::BYTES - 8)
}

#[inline(always)]
fn number_of(message: &[u8]) -> u64 {
    message.get(8..16).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// What a window gave.
struct Window {
    /// Nanoseconds a message, or a round trip.
    mean_ns: f64,
    /// Single round trips, less one reading of the clock.
    trips_ns: Vec<f64>,
    /// Hash of all that was received.
    hash: u64,
}

/// `count` orders one way.
#[inline(never)]
fn throughput<C: Contender>(method: &Method, slots: usize, count: u64) -> Sample<Window> {
    let clock = &method.clock;
    let build = || {
        let (sender, receiver) = C::build(slots);
        let (report, result) = C::build(2);
        ((sender, result), (receiver, report))
    };
    let first = |(mut sender, mut result): (C::Sender, C::Receiver)| {
        let start = clock.raw();
        for number in 0..count {
            let order = order(number);
            wait_until(|| C::send(&mut sender, &order));
        }
        let mut hash = 0;
        wait_until(|| C::receive(&mut result, |message| hash = number_of(message)));
        let mean_ns = clock.delta_as_nanos(start, clock.raw()) as f64 / count as f64;
        Window { mean_ns, trips_ns: Vec::new(), hash }
    };
    let second = |(mut receiver, mut report): (C::Receiver, C::Sender)| {
        let mut hash = 0;
        for _ in 0..count {
            wait_until(|| C::receive(&mut receiver, |message| hash = digest(hash, message)));
        }
        assert!(C::send(&mut report, &order(hash)), "an empty ring takes a message");
    };
    sample(method, build, first, second)
}

/// `count` orders there and back, one at a time; then a quarter as many, each timed.
#[inline(never)]
fn round_trip<C: Contender>(method: &Method, slots: usize, count: u64) -> Sample<Window> {
    let clock = &method.clock;
    let build = || {
        let (ping, pinged) = C::build(slots);
        let (pong, ponged) = C::build(slots);
        ((ping, ponged), (pinged, pong))
    };
    let timed = count / 4;
    let first = |(mut ping, mut ponged): (C::Sender, C::Receiver)| {
        let mut hash = 0;
        let mut trip = |number: u64| {
            C::send(&mut ping, &order(number));
            wait_until(|| C::receive(&mut ponged, |message| hash = digest(hash, message)));
        };
        let start = clock.raw();
        (0..count).for_each(&mut trip);
        let mean_ns = clock.delta_as_nanos(start, clock.raw()) as f64 / count as f64;
        let mut trips_ns = Vec::with_capacity(timed as usize);
        for number in 0..timed {
            let start = clock.raw();
            trip(number);
            trips_ns.push(clock.delta_as_nanos(start, clock.raw()) as f64);
        }
        Window { mean_ns, trips_ns, hash }
    };
    let second = |(mut pinged, mut pong): (C::Receiver, C::Sender)| {
        for _ in 0..count + timed {
            let mut number = 0;
            wait_until(|| C::receive(&mut pinged, |message| number = number_of(message)));
            C::send(&mut pong, &order(number));
        }
    };
    sample(method, build, first, second)
}

type Run = fn(&Method, usize, u64) -> Sample<Window>;

const NAMES: [&str; 4] = [Postern::NAME, Rtrb::NAME, Ringbuf::NAME, Crossbeam::NAME];

/// One thing that is measured of every contender.
struct Contest {
    title: &'static str,
    slots: usize,
    count: u64,
    runs: [Run; 4],
}

fn contests(count: u64) -> Vec<Contest> {
    let trips: [Run; 4] =
        [round_trip::<Postern>, round_trip::<Rtrb>, round_trip::<Ringbuf>, round_trip::<Crossbeam>];
    let flows: [Run; 4] =
        [throughput::<Postern>, throughput::<Rtrb>, throughput::<Ringbuf>, throughput::<Crossbeam>];
    let trip = |slots| Contest { title: "round trip", slots, count: count / 8, runs: trips };
    let flow = |slots| Contest { title: "throughput", slots, count, runs: flows };
    vec![trip(128), trip(1024), flow(128), flow(1024)]
}

/// Samples of one contender at one distance.
#[derive(Default)]
struct Series {
    mean_ns: Vec<f64>,
    trips_ns: Vec<f64>,
    /// Against `rtrb`'s of the same round.
    ratio: Vec<f64>,
    /// Against the floor of the same sample.
    floors: Vec<f64>,
}

/// Runs the rounds of a contest and prints them. The hash of the work is the same for all, or this fails.
fn hold(contest: &Contest, method: &Method, rounds: usize) {
    let mut series: BTreeMap<(Distance, usize), Series> = BTreeMap::new();
    let mut hash = None;
    let mut disturbed = 0;
    for _ in 0..rounds {
        let samples = contest.runs.map(|run| run(method, contest.slots, contest.count));
        let peer = (samples[1].distance, samples[1].clean, samples[1].result.mean_ns);
        for (index, sample) in samples.into_iter().enumerate() {
            let window = sample.result;
            assert_eq!(*hash.get_or_insert(window.hash), window.hash, "{}", NAMES[index]);
            let Some(distance) = sample.distance.filter(|_| sample.clean) else {
                disturbed += 1;
                continue;
            };
            let entry = series.entry((distance, index)).or_default();
            entry.mean_ns.push(window.mean_ns);
            entry.trips_ns.extend(window.trips_ns);
            entry.floors.push(window.mean_ns / sample.floor_ns);
            if (peer.0, peer.1) == (Some(distance), true) {
                entry.ratio.push(window.mean_ns / peer.2);
            }
        }
    }
    let (title, slots, count) = (contest.title, contest.slots, contest.count);
    println!(
        "\n{title}, {slots} slots: {rounds} rounds of {count}, {disturbed} samples disturbed, hash {:016x}",
        hash.unwrap_or(0)
    );
    let rows: Vec<Vec<String>> = series.iter().map(|((d, i), s)| row(*d, *i, s)).collect();
    let head = ["ring", "cores", "n", "ns", "x floor", "x rtrb", "p90 x", "p50 ns", "p99 ns"];
    table::print(&head, &rows);
}

fn row(distance: Distance, index: usize, series: &Series) -> Vec<String> {
    vec![
        NAMES[index].to_owned(),
        format!("{distance:?}"),
        series.mean_ns.len().to_string(),
        table::number(table::median(&series.mean_ns), 1),
        table::number(table::median(&series.floors), 2),
        table::number(table::median(&series.ratio), 2),
        table::number(table::quantile(&series.ratio, 0.9), 2),
        table::number(table::median(&series.trips_ns), 0),
        table::number(table::quantile(&series.trips_ns, 0.99), 0),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    // Cargo passes `--bench` when it benches and not when it tests.
    let (rounds, count, attempts) = match (has("--bench"), has("--quick")) {
        (true, false) => (25, 100_000, 10),
        (true, true) => (7, 50_000, 10),
        (false, _) => (1, 2_000, 1),
    };
    if machine::core_count() < 2 {
        println!("skipped: two threads that spin need two cores");
        return;
    }
    pair::poll_bare(has("--bare"));
    let first = machine::run_first(true) && machine::run_first(false);
    println!(
        "machine: {}; real-time priority: {first}; polls {}",
        machine::describe(),
        if has("--bare") { "without a pause" } else { "with a pause" },
    );
    println!("message: one SBE OrderRequest, {} bytes", OrderRequest::BYTES);
    let method = Method { clock: Clock::new(), attempts };
    contests(count).iter().for_each(|contest| hold(contest, &method, rounds));
}
