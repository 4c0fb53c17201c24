//! The simulated exchange allocates nothing once it has started: the allocator aborts on a call in its `poll`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod sim_support;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::{Arc, OnceLock};

use postern::codec::order_entry::{NewOrderSingle, OrderCancelRequest, OrderEntry};
use postern::net::PacketSink;
use postern::runtime::{
    Agent, GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
use postern::session::{ClientConfig, ClientSession, ServerConfig, SessionKey};
use postern::sim::background::{Background, RandomFlow, RandomFlowConfig, RandomSymbol};
use postern::sim::glimpse::{GlimpseConfig, GlimpseServer};
use postern::sim::impair::Impairment;
use postern::sim::prng::SplitMix;
use postern::sim::recovery::RecoveryServers;
use postern::sim::rerequest::{RerequestConfig, RerequestServer};
use postern::sim::soup::Password;
use postern::sim::venue::{UtcAnchor, VenueAgent, VenueConfig, VenueLines};
use postern::telemetry::Registry;
use postern::transport::memory::{MemoryPublication, stream};
use postern::transport::{Inbound, Outbound};
use postern::types::{
    AccountId, ClOrdId, InstrumentId, Nanos, OrdType, Price, SeqNum, SessionId, Side, TimeInForce,
    UtcNanos,
};
use sim_support::instrument;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

/// A line that forgets what it is given.
#[derive(Debug)]
struct Void(Box<[u8; 2_048]>, u64);

impl PacketSink for Void {
    fn send_with<F: FnOnce(&mut [u8]) -> usize>(&mut self, write: F) -> bool {
        write(&mut self.0[..]);
        self.1 += 1;
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn send(requests: &mut MemoryPublication, message: &OrderEntry) {
    let mut bytes = [0; 128];
    let length = message.encode(&mut bytes);
    requests.offer(length, |slot| slot.copy_from_slice(&bytes[..length])).unwrap();
}

#[test]
fn a_started_exchange_allocates_nothing() {
    let (session_id, key) = (SessionId(1), SessionKey::new([1; 32]));
    let server = ServerConfig {
        session: session_id,
        key: key.clone(),
        keepalive_ms: 1..=60_000,
        own_keepalive_ms: 1_000,
        clock_skew_ns: u64::MAX,
        retained_reports: 256,
    };
    let anchor = UtcAnchor { now: Nanos(0), utc: UtcNanos(1_000) };
    let stock = instrument("AAPL", 1, 5);
    let mut config = VenueConfig::new(vec![stock], vec![server], anchor, UtcNanos(0));
    // Small enough that ended orders are evicted and levels come and go.
    (config.orders_max, config.open_orders_max) = (2_000, 1_500);
    // Both lines suffer all there is, and what is kept is dropped again.
    (config.mold.kept_messages_max, config.mold.kept_bytes_max) = (500, 10_000);
    let bad = Impairment {
        loss_ppm: 20_000,
        duplicate_ppm: 20_000,
        reorder_ppm: 20_000,
        corrupt_ppm: 20_000,
        delay_ppm: 20_000,
        distance_max: 20,
    };
    config.mold.impairments = [bad; 2];
    let (servers, asker, mut reader) = servers();
    let (mut orders, requests) = stream(1_024, 128);
    let (reports, mut answers) = stream(4_096, 128);
    let line = || Void(Box::new([0; 2_048]), 0);
    let lines = VenueLines { requests, reports, line_a: line(), line_b: Some(line()) };
    let symbol = RandomSymbol {
        security_id: stock.security_id,
        middle: "100".parse().unwrap(),
        tick: stock.tick,
        lot: 1,
    };
    let flow = RandomFlowConfig {
        seed: 1,
        symbols: vec![symbol],
        orders_max: 300,
        at_once: 500,
        steps_per_second: 1_000_000,
        steps_max: None,
    };
    let background = |_: &_| Background::Random(RandomFlow::new(&flow));
    let registry = Registry::new();
    let cell = Arc::new(OnceLock::new());
    let mut agent =
        VenueAgent::new(config, lines, background, &registry, cell).unwrap().with_recovery(servers);
    agent.on_start(Nanos(0)).unwrap();

    let client = ClientConfig { session: session_id, key, keepalive_ms: 60_000, retry_ns: 1 << 40 };
    let mut client = ClientSession::new(client);
    send(&mut orders, &client.start(Nanos(0), UtcNanos(1_000)));
    let (mut random, mut id, mut report_count) = (SplitMix::new(2), 0, 0);
    on_hot_allocation(OnHotAllocation::Abort);
    for cycle in 0..20_000 {
        let now = Nanos(cycle * 10_000);
        {
            let _hot = HotZone::enter("venue");
            agent.poll(now).unwrap();
        }
        let mut replies = [None; 64];
        answers
            .poll(64, &mut |fragment| {
                let message = OrderEntry::decode(fragment.bytes).unwrap();
                let reply = client.on_message(now, UtcNanos(1_000), &message).reply;
                replies[report_count % 64] = reply;
                report_count += 1;
            })
            .unwrap();
        replies.iter().flatten().for_each(|reply| send(&mut orders, reply));
        recover(cycle, agent.next_sequence(), &asker, &mut reader);
        if client.is_established() {
            id += 1;
            send(&mut orders, &order(&mut client, now, id, &mut random));
            send(&mut orders, &cancel(&mut client, now, id));
        }
    }
    assert_eq!(hot_allocation_count(), 0);
    assert!(report_count > 20_000, "{report_count} reports");
    let trades = registry.counter("venue_trade_count").get();
    assert!(trades > 1_000, "{trades} trades");
    let (again, snapshots) = agent.recovery().counts();
    assert!(again.answered > 50 && again.unavailable > 50, "{again:?}");
    assert!(snapshots.snapshots > 5 && snapshots.logouts > 5, "{snapshots:?}");
}

/// Servers for who missed something, somebody who asks for messages, and somebody who reads snapshots.
fn servers() -> (RecoveryServers, UdpSocket, TcpStream) {
    let any_port = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let glimpse = GlimpseConfig::new(any_port, *b"sim   ", Password(*b"secret    "), 1, 1_500);
    let glimpse = GlimpseServer::bind(glimpse).unwrap();
    let rerequest = RerequestServer::bind(&RerequestConfig::at(any_port)).unwrap();
    let asker = UdpSocket::bind(any_port).unwrap();
    asker.connect(rerequest.address().unwrap()).unwrap();
    asker.set_nonblocking(true).unwrap();
    let reader = TcpStream::connect(glimpse.address().unwrap()).unwrap();
    reader.set_nonblocking(true).unwrap();
    (RecoveryServers::new(Some(rerequest), Some(glimpse)), asker, reader)
}

/// Asks for messages, those that are gone too, and in turn logs in, reads, and logs out and in again.
fn recover(cycle: u64, next: u64, asker: &UdpSocket, stream: &mut TcpStream) {
    if cycle.is_multiple_of(100) {
        let request = |sequence: u64| {
            [&b"SIMULATION"[..], &sequence.to_be_bytes(), &100_u16.to_be_bytes()].concat()
        };
        asker.send(&request(1)).unwrap();
        asker.send(&request(next.saturating_sub(100))).unwrap();
        while asker.recv(&mut [0; 2_048]).is_ok() {}
    }
    match cycle % 2_000 {
        0 if cycle > 0 => {
            let address = stream.peer_addr().unwrap();
            *stream = TcpStream::connect(address).unwrap();
            stream.set_nonblocking(true).unwrap();
        }
        10 => {
            let login = format!("\0\x2FL{:6}{:10}{:10}{:>20}", "sim", "secret", "", 1);
            stream.write_all(login.as_bytes()).unwrap();
        }
        1_000 => stream.write_all(b"\0\x01O").unwrap(),
        _ => while matches!(stream.read(&mut [0; 4_096]), Ok(1..)) {},
    }
}

fn order(client: &mut ClientSession, now: Nanos, id: u64, random: &mut SplitMix) -> OrderEntry {
    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
    NewOrderSingle {
        session_id: client.id(),
        msg_seq_num: client.take_number(now),
        cl_ord_id: ClOrdId(id),
        sending_time: UtcNanos(0),
        price: Some(Price::from_itch4((9_980 + random.below(40)) * 100)),
        order_qty: random.below(300) + 1,
        security_id: InstrumentId(5),
        account: AccountId(1),
        side,
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
    }
    .into()
}

fn cancel(client: &mut ClientSession, now: Nanos, id: u64) -> OrderEntry {
    let number: SeqNum = client.take_number(now);
    OrderCancelRequest {
        session_id: client.id(),
        msg_seq_num: number,
        cl_ord_id: ClOrdId(id),
        sending_time: UtcNanos(0),
        orig_cl_ord_id: ClOrdId(id.saturating_sub(10)),
    }
    .into()
}
