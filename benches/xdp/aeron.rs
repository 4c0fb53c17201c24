//! Aeron: round trips of a 96-byte message, with the media driver of both hosts, one or none over AF_XDP.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hdrhistogram::Histogram;
use postern::net::xdp::WantedMode;
use postern::transport::{AeronConfig, Client, Inbound, Outbound, Publication, Subscription};
use postern::types::Nanos;
use quanta::Clock;

use crate::lab::Namespace;
use crate::support::machine;
use crate::{END, NOBODY, xdp_driver};

const MESSAGE_BYTES: usize = 96;
const PING: i32 = 1001;
const PONG: i32 = 1002;

/// Which end has its driver over AF_XDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub name: &'static str,
    interface: &'static str,
    here: bool,
    there: bool,
}

pub const WAYS: [Way; 3] = [
    Way { name: "kernel, both ends", interface: "veth1", here: false, there: false },
    Way { name: "AF_XDP, both ends", interface: "veth2", here: true, there: true },
    Way { name: "AF_XDP, one end", interface: "veth3", here: true, there: false },
];

/// One end of one way.
struct End {
    client: Client,
    publication: Publication,
    subscription: Subscription,
    clock: Clock,
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

impl End {
    /// To be opened on the host it is of.
    fn open(way: Way, hosts: [&Namespace; 2], is_here: bool) -> End {
        let address = |host: &Namespace| {
            let end = host.ends().iter().find(|end| end.interface == way.interface);
            end.expect("the lab has it").address
        };
        let [here, there] = hosts.map(address);
        let over = if is_here { way.here } else { way.there };
        let interfaces = over.then(|| xdp_driver::transport(&[way.interface], WantedMode::Generic));
        let name = format!("{}-{}", way.interface, if is_here { "here" } else { "there" });
        let mut client = Client::start_over(&config(&name), interfaces).expect("started");
        let ping = format!("aeron:udp?endpoint={there}:20121");
        let pong = format!("aeron:udp?endpoint={here}:20122");
        let (publish, subscribe) =
            if is_here { ((&ping, PING), (&pong, PONG)) } else { ((&pong, PONG), (&ping, PING)) };
        let subscription = client.add_subscription(subscribe.0, subscribe.1).expect("subscribed");
        let publication = client.add_publication(publish.0, publish.1).expect("published");
        End { client, publication, subscription, clock: Clock::new() }
    }

    fn serve(&mut self) {
        let now = Nanos(self.clock.delta_as_nanos(0, self.clock.raw()));
        self.client.service(now).expect("up");
    }

    fn take(&mut self) -> bool {
        let mut check = |fragment: postern::transport::Fragment<'_>| {
            assert_eq!(fragment.bytes.len(), MESSAGE_BYTES);
        };
        self.subscription.poll(1, &mut check) == Ok(1)
    }

    fn offer(&mut self) {
        while self.publication.offer(MESSAGE_BYTES, |bytes| bytes.fill(7)).is_err() {
            self.serve();
        }
        self.serve();
    }

    fn round_trip(&mut self) {
        self.offer();
        while !self.take() {
            self.serve();
        }
    }

    fn echo(&mut self) {
        self.serve();
        if self.take() {
            self.offer();
        }
    }
}

/// Round trips of every way, by rounds.
pub fn round_trips(
    hosts: [&Namespace; 2],
    rounds: usize,
    messages: usize,
) -> Vec<Vec<Histogram<u64>>> {
    let turn = AtomicUsize::new(NOBODY);
    let [here, there] = hosts;
    thread::scope(|scope| {
        scope.spawn(|| there.enter(|| answer([there, here], &turn)));
        here.enter(|| {
            machine::pin(0);
            let mut ends: Vec<End> =
                WAYS.into_iter().map(|way| End::open(way, hosts, true)).collect();
            let is_up =
                |end: &End| end.publication.is_connected() && end.subscription.is_connected();
            while !ends.iter().all(is_up) {
                ends.iter_mut().for_each(End::serve);
                thread::yield_now();
            }
            let clock = Clock::new();
            let mut histograms = vec![Vec::new(); WAYS.len()];
            for round in 0..=rounds {
                for (place, histograms) in histograms.iter_mut().enumerate() {
                    ends.iter_mut().for_each(End::serve);
                    turn.store(place, Ordering::Release);
                    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)
                        .expect("good bounds");
                    for message in 0..messages {
                        let start = clock.raw();
                        ends[place].round_trip();
                        let took = clock.delta_as_nanos(start, clock.raw());
                        if message >= messages / 10 {
                            histogram.saturating_record(took);
                        }
                    }
                    turn.store(NOBODY, Ordering::Release);
                    // The first round warms up.
                    if round > 0 {
                        histograms.push(histogram);
                    }
                }
            }
            turn.store(END, Ordering::Release);
            histograms
        })
    })
}

/// The other end.
fn answer(hosts: [&Namespace; 2], turn: &AtomicUsize) {
    machine::pin(1);
    let [there, here] = hosts;
    let mut ends: Vec<End> =
        WAYS.into_iter().map(|way| End::open(way, [here, there], false)).collect();
    loop {
        match turn.load(Ordering::Acquire) {
            END => return,
            NOBODY => {
                ends.iter_mut().for_each(End::serve);
                thread::yield_now();
            }
            place => ends[place].echo(),
        }
    }
}
