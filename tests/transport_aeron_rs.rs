//! A strategy written with another Aeron client talks to us through our driver, in the messages of our schema.

#[path = "support/aeron_rs_strategy.rs"]
mod aeron_rs_strategy;
#[path = "support/transport.rs"]
mod support;

use aeron_rs_strategy::{Strategy, Stream};
use postern::codec::Message;
use postern::codec::order_entry::{NewOrderSingle, OrderEntry, Sequence};
use postern::transport::{AeronConfig, Client, DriverMode, Inbound, Outbound};
use postern::types::{
    AccountId, ClOrdId, InstrumentId, OrdType, Price, SeqNum, SessionId, Side, TimeInForce,
    UtcNanos,
};
use support::{Directory, drive, free_port, now, wait_for};

const ORDERS: i32 = 1001;
const REPORTS: i32 = 1002;
const MESSAGES: u32 = 1_000;

fn order(number: u32) -> NewOrderSingle {
    NewOrderSingle {
        session_id: SessionId(7),
        msg_seq_num: SeqNum(number),
        cl_ord_id: ClOrdId(u64::from(number) << 20),
        sending_time: UtcNanos(1_700_000_000_000_000_000 + u64::from(number)),
        price: Some(Price::from_units(i64::from(number) * 100)),
        order_qty: number,
        security_id: InstrumentId(3),
        account: AccountId(9),
        side: if number.is_multiple_of(2) { Side::Buy } else { Side::Sell },
        ord_type: OrdType::Limit,
        time_in_force: TimeInForce::Day,
    }
}

fn answer(number: u32) -> Sequence {
    Sequence { session_id: SessionId(7), next_seq_no: SeqNum(number + 1) }
}

/// What the strategy does on its thread: sends every order and checks every answer.
fn strategy(directory: &Directory, orders: Stream<'_>, reports: Stream<'_>) {
    let mut strategy = Strategy::connect(&directory.0, orders, reports);
    wait_for("connection", || strategy.is_connected().then_some(()));
    for number in 1..=MESSAGES {
        let mut bytes = [0; NewOrderSingle::BYTES];
        order(number).encode(&mut bytes);
        wait_for("taken order", || strategy.send(&bytes).then_some(()));
        let bytes = wait_for("answer", || strategy.receive());
        assert_eq!(OrderEntry::decode(&bytes), Ok(OrderEntry::Sequence(answer(number))));
    }
}

/// What the gateway does on its thread: decodes every order and answers it.
fn gateway(client: &mut Client, orders: Stream<'_>, reports: Stream<'_>, done: &dyn Fn() -> bool) {
    let mut inbound =
        client.add_subscription(orders.channel, orders.stream_id).expect("subscribed");
    let mut outbound =
        client.add_publication(reports.channel, reports.stream_id).expect("published");
    for number in 1..=MESSAGES {
        let mut got = None;
        drive("order", &mut [client], || {
            let mut take = |fragment: postern::transport::Fragment<'_>| {
                got = Some(OrderEntry::decode(fragment.bytes));
            };
            inbound.poll(1, &mut take).expect("open");
            got.take().map(|decoded| {
                assert_eq!(decoded, Ok(OrderEntry::NewOrderSingle(order(number))));
            })
        });
        drive("taken answer", &mut [client], || {
            outbound.offer(Sequence::BYTES, |bytes| answer(number).encode(bytes)).ok()
        });
    }
    wait_for("end of the strategy", || {
        client.service(now()).expect("up");
        done().then_some(())
    });
}

fn full_circle(config: &AeronConfig, directory: &Directory, channels: [&str; 2]) {
    let orders = Stream { channel: channels[0], stream_id: ORDERS };
    let reports = Stream { channel: channels[1], stream_id: REPORTS };
    let mut client = Client::start(config).expect("started");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| strategy(directory, orders, reports));
        gateway(&mut client, orders, reports, &|| other.is_finished());
        other.join().expect("the strategy did well");
    });
    assert!(client.down().is_none());
}

#[test]
fn ipc_with_the_driver_on_our_thread() {
    let directory = Directory::new();
    full_circle(&directory.calm(), &directory, ["aeron:ipc", "aeron:ipc"]);
}

#[test]
fn udp_with_the_driver_on_our_thread() {
    let directory = Directory::new();
    let channel = || format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
    full_circle(&directory.calm(), &directory, [&channel(), &channel()]);
}

#[test]
fn ipc_with_a_driver_thread() {
    let directory = Directory::new();
    let config = AeronConfig { mode: DriverMode::Shared, ..directory.calm() };
    full_circle(&config, &directory, ["aeron:ipc", "aeron:ipc"]);
}
