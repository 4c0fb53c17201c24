//! Round trips of a 96-byte message through Aeron with drivers on our own threads, over IPC and UDP loopback, with both
//! ends in one thread and in two, beside a raw UDP echo: all of them in turns in one run, so that they are comparable.
//!
//! `cargo bench --bench transport`; without `--bench` (as `cargo test` runs it) it makes few rounds and prints no less.
#![allow(clippy::print_stdout, reason = "the figures are the result")]
#![allow(clippy::float_arithmetic, reason = "ratios for people")]
#![allow(clippy::as_conversions, reason = "ratios for people")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use postern::transport::{AeronConfig, Client, Inbound, Outbound, Publication, Subscription};
use postern::types::Nanos;
use quanta::Clock;

const MESSAGE_BYTES: usize = 96;
const PING: i32 = 1001;
const PONG: i32 = 1002;

/// Nobody's turn: every echo thread keeps its connection alive and leaves the cores alone.
const NOBODY: usize = usize::MAX - 1;
/// Every echo thread ends.
const END: usize = usize::MAX;

/// One way to send a message there and back.
trait Link {
    fn name(&self) -> &'static str;
    fn round_trip(&mut self);
    /// Whose turn its echo thread waits for.
    fn turn(&self) -> usize;
    /// Keeps the connection alive while others have their turn.
    fn idle(&mut self);
}

struct Ticks(Clock);

impl Ticks {
    fn now(&self) -> Nanos {
        Nanos(self.0.delta_as_nanos(0, self.0.raw()))
    }
}

fn config(name: &str) -> AeronConfig {
    let name = format!("postern-bench-{}-{name}", std::process::id());
    AeronConfig {
        driver_timeout_ms: 60_000,
        client_liveness_ms: 60_000,
        image_liveness_ms: 60_000,
        operation_timeout_ms: 30_000,
        ..AeronConfig::in_directory(PathBuf::from("/dev/shm").join(name))
    }
}

fn free_channel() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    format!("aeron:udp?endpoint={}", socket.local_addr().expect("it is bound"))
}

fn offer(client: &mut Client, ticks: &Ticks, publication: &mut Publication) {
    while publication.offer(MESSAGE_BYTES, |bytes| bytes.fill(7)).is_err() {
        client.service(ticks.now()).expect("up");
    }
}

/// Whether a message was there.
fn take(subscription: &mut Subscription) -> bool {
    subscription.poll(1, &mut |fragment| assert_eq!(fragment.bytes.len(), MESSAGE_BYTES)) == Ok(1)
}

/// Both ends on one thread, one driver on it as well.
struct OneThread {
    name: &'static str,
    client: Client,
    ticks: Ticks,
    ping: (Publication, Subscription),
    pong: (Publication, Subscription),
}

impl OneThread {
    fn new(name: &'static str, channels: [&str; 2]) -> OneThread {
        let mut client = Client::start(&config(name)).expect("started");
        let mut open = |channel: &str, stream_id| {
            let subscription = client.add_subscription(channel, stream_id).expect("subscribed");
            let publication = client.add_publication(channel, stream_id).expect("published");
            (publication, subscription)
        };
        let ping = open(channels[0], PING);
        let pong = open(channels[1], PONG);
        OneThread { name, client, ticks: Ticks(Clock::new()), ping, pong }
    }
}

impl Link for OneThread {
    fn name(&self) -> &'static str {
        self.name
    }

    fn turn(&self) -> usize {
        NOBODY
    }

    fn idle(&mut self) {
        self.client.service(self.ticks.now()).expect("up");
    }

    fn round_trip(&mut self) {
        offer(&mut self.client, &self.ticks, &mut self.ping.0);
        while !take(&mut self.ping.1) {
            self.client.service(self.ticks.now()).expect("up");
        }
        offer(&mut self.client, &self.ticks, &mut self.pong.0);
        while !take(&mut self.pong.1) {
            self.client.service(self.ticks.now()).expect("up");
        }
        // What a duty cycle does once a message.
        self.client.service(self.ticks.now()).expect("up");
    }
}

/// The other end on another thread: with a driver of its own (UDP), or a client of ours (IPC).
struct TwoThreads {
    name: &'static str,
    turn: usize,
    client: Client,
    ticks: Ticks,
    ping: Publication,
    pong: Subscription,
    echo: Option<JoinHandle<()>>,
    turns: Arc<AtomicUsize>,
}

impl TwoThreads {
    fn new(
        name: &'static str,
        turn: usize,
        turns: &Arc<AtomicUsize>,
        channels: [String; 2],
        own_driver: bool,
    ) -> TwoThreads {
        let config_here = config(name);
        let mut client = Client::start(&config_here).expect("started");
        let pong = client.add_subscription(&channels[1], PONG).expect("subscribed");
        let ping = client.add_publication(&channels[0], PING).expect("published");
        let watched = Arc::clone(turns);
        let echo = Builder::new().name(format!("echo-{turn}")).spawn(move || {
            let mut client = if own_driver {
                Client::start(&config(&format!("{name}-echo"))).expect("started")
            } else {
                Client::connect(&config_here).expect("connected")
            };
            echo(&mut client, &channels, turn, &watched);
        });
        let mut link = TwoThreads {
            name,
            turn,
            client,
            ticks: Ticks(Clock::new()),
            ping,
            pong,
            echo: Some(echo.expect("a thread starts")),
            turns: Arc::clone(turns),
        };
        while !(link.ping.is_connected() && link.pong.is_connected()) {
            link.idle();
            std::thread::yield_now();
        }
        link
    }
}

fn echo(client: &mut Client, channels: &[String; 2], turn: usize, turns: &AtomicUsize) {
    let ticks = Ticks(Clock::new());
    let mut ping = client.add_subscription(&channels[0], PING).expect("subscribed");
    let mut pong = client.add_publication(&channels[1], PONG).expect("published");
    loop {
        match turns.load(Ordering::Relaxed) {
            END => return,
            now if now == turn => {
                client.service(ticks.now()).expect("up");
                if take(&mut ping) {
                    offer(client, &ticks, &mut pong);
                    client.service(ticks.now()).expect("up");
                }
            }
            _ => {
                client.service(ticks.now()).expect("up");
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
    }
}

impl Link for TwoThreads {
    fn name(&self) -> &'static str {
        self.name
    }

    fn turn(&self) -> usize {
        self.turn
    }

    fn idle(&mut self) {
        self.client.service(self.ticks.now()).expect("up");
    }

    fn round_trip(&mut self) {
        offer(&mut self.client, &self.ticks, &mut self.ping);
        loop {
            self.client.service(self.ticks.now()).expect("up");
            if take(&mut self.pong) {
                return;
            }
        }
    }
}

impl Drop for TwoThreads {
    fn drop(&mut self) {
        self.turns.store(END, Ordering::Relaxed);
        // The other end may need our driver to say goodbye.
        if let Some(echo) = self.echo.take() {
            while !echo.is_finished() {
                let _ = self.client.service(self.ticks.now());
                std::thread::yield_now();
            }
            echo.join().expect("the echo thread did well");
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_nonblocking(true).expect("set");
    socket
}

fn receive(socket: &UdpSocket, bytes: &mut [u8]) -> bool {
    matches!(socket.recv(bytes), Ok(MESSAGE_BYTES))
}

/// The floor of UDP: what the kernel alone takes.
struct RawUdp {
    name: &'static str,
    turn: usize,
    here: UdpSocket,
    /// The other end where it is on this thread.
    there: Option<UdpSocket>,
}

impl RawUdp {
    fn new(name: &'static str, turn: usize, turns: &Arc<AtomicUsize>) -> RawUdp {
        let (here, there) = (socket(), socket());
        here.connect(there.local_addr().expect("bound")).expect("connected");
        there.connect(here.local_addr().expect("bound")).expect("connected");
        if turn == NOBODY {
            return RawUdp { name, turn, here, there: Some(there) };
        }
        let turns = Arc::clone(turns);
        let echo = move || {
            let mut bytes = [0; MESSAGE_BYTES];
            loop {
                match turns.load(Ordering::Relaxed) {
                    END => return,
                    now if now == turn => {
                        if receive(&there, &mut bytes) {
                            there.send(&bytes).expect("sent");
                        }
                    }
                    _ => std::thread::park_timeout(Duration::from_millis(1)),
                }
            }
        };
        Builder::new().name(format!("echo-{turn}")).spawn(echo).expect("a thread starts");
        RawUdp { name, turn, here, there: None }
    }
}

impl Link for RawUdp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn turn(&self) -> usize {
        self.turn
    }

    fn idle(&mut self) {}

    fn round_trip(&mut self) {
        let mut bytes = [7; MESSAGE_BYTES];
        self.here.send(&bytes).expect("sent");
        if let Some(there) = &self.there {
            while !receive(there, &mut bytes) {}
            there.send(&bytes).expect("sent");
        }
        while !receive(&self.here, &mut bytes) {}
    }
}

fn main() {
    let full = std::env::args().any(|argument| argument == "--bench");
    let (rounds, messages) = if full { (30, 2_000) } else { (2, 50) };
    let turns = Arc::new(AtomicUsize::new(NOBODY));
    let (udp, udp_back) = (free_channel(), free_channel());
    let ipc = || ["aeron:ipc".to_owned(), "aeron:ipc".to_owned()];
    let mut links: Vec<Box<dyn Link>> = vec![
        Box::new(RawUdp::new("raw-udp-1", NOBODY, &turns)),
        Box::new(OneThread::new("aeron-udp-1", [&udp, &udp_back])),
        Box::new(OneThread::new("aeron-ipc-1", ["aeron:ipc", "aeron:ipc"])),
        Box::new(RawUdp::new("raw-udp-2", 3, &turns)),
        Box::new(TwoThreads::new("aeron-udp-2", 4, &turns, [free_channel(), free_channel()], true)),
        Box::new(TwoThreads::new("aeron-ipc-2", 5, &turns, ipc(), false)),
    ];
    let mut histograms: Vec<Histogram<u64>> = Vec::new();
    for _ in &links {
        histograms.push(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("good bounds"));
    }
    let clock = Clock::new();
    // The first round warms up.
    for round in 0..=rounds {
        for index in 0..links.len() {
            links.iter_mut().for_each(|link| link.idle());
            turns.store(links[index].turn(), Ordering::Relaxed);
            for message in 0..messages {
                let start = clock.raw();
                links[index].round_trip();
                let took = clock.delta_as_nanos(start, clock.raw());
                // Nor do the first of a turn count: the other end wakes up.
                if round > 0 && message >= messages / 10 {
                    histograms[index].saturating_record(took);
                }
            }
            turns.store(NOBODY, Ordering::Relaxed);
        }
    }
    print(&links, &histograms);
}

fn print(links: &[Box<dyn Link>], histograms: &[Histogram<u64>]) {
    let quantiles = [0.5, 0.9, 0.99, 0.999, 0.9999];
    println!(
        "{:12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>8}  ratio",
        "ns", "p50", "p90", "p99", "p99.9", "p99.99", "max", "count"
    );
    for (index, (link, histogram)) in links.iter().zip(histograms).enumerate() {
        print!("{:12}", link.name());
        for quantile in quantiles {
            print!(" {:>9}", histogram.value_at_quantile(quantile));
        }
        // The raw echo with as many threads stands first of its three.
        let floor = &histograms[index / 3 * 3];
        let ratio = histogram.value_at_quantile(0.5) as f64 / floor.value_at_quantile(0.5) as f64;
        println!(" {:>11} {:>8}  {ratio:.2}", histogram.max(), histogram.len());
    }
}
