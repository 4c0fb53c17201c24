//! What others do wrong, and what the daemon makes of it: a refusal that is told or counted, and it runs on.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/transport.rs"]
mod support;

use std::process::Command;

use daemon::{
    Daemon, INSTRUMENT, Options, SESSION, STRATEGY_KEY, Setup, World, client_config, command,
};
use postern::codec::order_entry::{NewOrderSingle, Sequence};
use postern::codec::{DecodeError, Message};
use postern::session::{ClientAction, ClientSession};
use postern::types::{
    AccountId, DenyReason, ExecType, InstrumentId, NegotiationRejectCode, SeqNum, SessionId, Side,
};

/// Bytes of an order that the decoder takes.
fn sound_order() -> Vec<u8> {
    let order = NewOrderSingle {
        session_id: SESSION,
        msg_seq_num: SeqNum(1),
        cl_ord_id: postern::types::ClOrdId(1),
        sending_time: postern::types::UtcNanos(0),
        price: None,
        order_qty: 1,
        security_id: INSTRUMENT,
        account: AccountId(1),
        side: Side::Buy,
        ord_type: postern::types::OrdType::Market,
        time_in_force: postern::types::TimeInForce::Day,
    };
    let mut bytes = vec![0; NewOrderSingle::BYTES];
    order.encode(&mut bytes);
    bytes
}

/// Puts `value` into the two bytes at `place` of the SBE message header: block length, template, schema, version.
fn with_header(place: usize, value: u16) -> Vec<u8> {
    let mut bytes = sound_order();
    bytes[place..place + 2].copy_from_slice(&value.to_le_bytes());
    bytes
}

#[test]
fn what_cannot_be_understood_is_counted_and_answered() {
    let setup = Setup::new(Options::default());
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.open(&daemon);
    let sound = sound_order();
    let mut bad_enum = sound.clone();
    // The last field of the block is the time in force.
    *bad_enum.last_mut().expect("a block") = b'?';
    let cases = [
        (sound[..5].to_vec(), DecodeError::Truncated),
        (sound[..sound.len() - 1].to_vec(), DecodeError::Truncated),
        (with_header(6, 99), DecodeError::FutureVersion),
        (with_header(4, 12_345), DecodeError::WrongSchema),
        (with_header(2, 999), DecodeError::UnknownTemplate),
        (with_header(0, 3), DecodeError::BlockLength),
        ([sound.clone(), vec![0; 4]].concat(), DecodeError::TrailingBytes),
        (bad_enum, DecodeError::BadEnum),
    ];
    for (index, (bytes, error)) in cases.into_iter().enumerate() {
        world.strategy.raw.push(bytes);
        let reject = world.until("reject", |world| world.strategy.business_rejects.pop());
        assert_eq!(reject.business_reject_reason, error.code(), "{error:?}: {reject:?}");
        let counted = usize::try_from(daemon.counter("entry_decode_error_count")).expect("few");
        assert_eq!(counted, index + 1, "{error:?}");
        world.round_trip();
    }
    // A message of a session that nobody configured, and one of ours that is out of place.
    let stranger = Sequence { session_id: SessionId(99), next_seq_no: SeqNum(1) };
    let mut bytes = vec![0; Sequence::BYTES];
    stranger.encode(&mut bytes);
    world.strategy.raw.push(bytes);
    world.until("count", |_| (daemon.counter("entry_unknown_session_count") == 1).then_some(()));
    world.round_trip();
}

#[test]
fn an_unknown_instrument_or_account_is_denied_by_name() {
    let setup = Setup::new(Options::default());
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.open(&daemon);
    let (bid, _) = world.touch();
    let id = world.strategy.take_id();
    world.send_order_as(id, Side::Buy, bid, 10, |order| order.security_id = InstrumentId(404));
    let report = world.any_report(id);
    assert_eq!(report.exec_type, ExecType::Rejected);
    assert_eq!(report.deny_reason, DenyReason::UnknownInstrument.code());
    let id = world.strategy.take_id();
    world.send_order_as(id, Side::Buy, bid, 10, |order| order.account = AccountId(404));
    let report = world.any_report(id);
    assert_eq!(report.exec_type, ExecType::Rejected);
    let reasons = [DenyReason::UnknownAccount.code(), DenyReason::AccountNotOfSession.code()];
    assert!(reasons.contains(&report.deny_reason), "{report:?}");
    assert_eq!(daemon.counter("risk_request_denied_count"), 2);
    assert_eq!(daemon.counter("router_order_count"), 0, "nothing of it reached the venue");
    world.round_trip();
}

#[test]
fn a_wrong_key_is_refused_and_the_right_one_still_lets_in() {
    let setup = Setup::new(Options::default());
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    let wrong = STRATEGY_KEY.replace('3', "4");
    world.strategy.session = ClientSession::new(client_config(&wrong));
    world.begin();
    let refused = ClientAction::NegotiationRefused(NegotiationRejectCode::Credentials);
    world.until("refusal", |world| world.strategy.actions.contains(&refused).then_some(()));
    // It asks again where the answer was lost, as it is before its stream of reports is connected.
    assert!(daemon.counter("entry_refused_count") >= 1);
    assert_eq!(daemon.counter("entry_session_up_count"), 0);
    world.strategy.session = ClientSession::new(client_config(STRATEGY_KEY));
    world.open(&daemon);
    world.round_trip();
    assert!(!daemon.log().contains(STRATEGY_KEY), "a key is never told");
}

const CAPTURE: &str = "[[channel]]\nid = 2\nname = \"old\"\nsource = \"capture\"\nfile = \"old.itch\"\npace = \"fast\"\nstale_after_ms = 10000\n";

/// A message of a BinaryFILE: its length, big-endian, and itself.
fn block(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("short");
    [&length.to_be_bytes()[..], message].concat()
}

/// ITCH 5.0 System Event: start of messages.
const SYSTEM_EVENT: &[u8] = b"S\0\0\0\0\0\0\0\0\0\0O";

/// A pcap file of UDP datagrams with these payloads: Ethernet, IPv4 without options.
fn pcap(payloads: &[Vec<u8>]) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).expect("short").to_be_bytes();
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for payload in payloads {
        let mut ip = [vec![0x45, 0], short(28 + payload.len()).to_vec()].concat();
        ip.extend([0, 0, 0, 0, 1, 17, 0, 0, 127, 0, 0, 1, 239, 1, 2, 3]);
        let sum: u32 = ip.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("few words");
        ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
        let udp = [short(5_000), short(5_000), short(8 + payload.len()), [0, 0]].concat();
        let frame = [vec![0; 12], vec![8, 0], ip, udp, payload.clone()].concat();
        let length = u32::try_from(frame.len()).expect("short");
        for word in [1, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

/// A MoldUDP64 datagram that says it holds `count` messages.
fn datagram(sequence: u64, count: u16, blocks: &[u8]) -> Vec<u8> {
    [&b"SESSION001"[..], &sequence.to_be_bytes(), &count.to_be_bytes(), blocks].concat()
}

#[test]
fn a_corrupt_capture_is_counted_and_the_rest_of_the_daemon_trades() {
    let setup = Setup::new(Options { more: CAPTURE, ..Options::default() });
    let text = pcap(&[
        datagram(1, 1, &block(SYSTEM_EVENT)),
        // A type that ITCH does not have, and an order of two bytes.
        datagram(2, 1, &block(b"\x7fxxxx")),
        datagram(3, 1, &block(b"A\0\0")),
        // Three messages are promised and one is there.
        datagram(4, 3, &block(SYSTEM_EVENT)),
        b"no header".to_vec(),
    ]);
    std::fs::write(setup.path("old.itch"), text).expect("written");
    let daemon = Daemon::start(&setup);
    let mut world = World::new(&setup);
    world.open(&daemon);
    assert_eq!(daemon.counter("feed_message_error_count"), 2);
    assert_eq!(daemon.counter("feed_packet_error_count"), 2);
    world.round_trip();
}

#[test]
fn a_capture_that_cannot_be_read_is_refused_by_name_and_place() {
    let sound = block(SYSTEM_EVENT);
    let whole = pcap(&[datagram(1, 1, &sound)]);
    for (text, told) in [
        ([sound.clone(), vec![0, 40, b'A']].concat(), "ends inside the record at byte 14"),
        ([sound, block(b"A\0\0")].concat(), "corrupt record at byte 14"),
        (whole[..whole.len() - 1].to_vec(), "ends inside the record at byte 24"),
        (b"what is this".to_vec(), "old.itch"),
    ] {
        let setup = Setup::new(Options { more: CAPTURE, ..Options::default() });
        std::fs::write(setup.path("old.itch"), text).expect("written");
        let mut daemon = Daemon::spawn(&setup, &[]);
        assert_eq!(daemon.wait_end().code(), Some(75));
        let log = daemon.log();
        assert!(log.contains("channel old") && log.contains("old.itch"), "{log}");
        assert!(log.contains(told), "{told:?} is missing in:\n{log}");
    }
}

#[test]
fn every_fault_of_a_configuration_is_told_at_once_and_nothing_starts() {
    let setup = Setup::new(Options {
        runtime: "spin = true\nallocation_guard = \"sometimes\"",
        more: "[[venue]]\nid = 1\n",
        ..Options::default()
    });
    let text = setup.text().replace("accounts = [1]", "accounts = [1, 2]");
    setup.write("postern.toml", &text);
    let line_of = |what: &str| {
        let line = text.lines().position(|line| line.contains(what)).expect("it is there") + 1;
        format!("postern.toml:{line}: ")
    };
    let output = command(&["run", "--config"]).arg(setup.path("postern.toml")).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8(output.stderr).expect("text");
    let unknown = line_of("spin = true") + "runtime.spin: no such key";
    let bad = line_of("allocation_guard = \"sometimes\"") + "runtime.allocation_guard: ";
    let contradiction = line_of("accounts = [1, 2]") + "session.accounts: there is no [[account]]";
    for fault in [unknown, bad, contradiction] {
        assert!(told.contains(&fault), "{fault:?} is missing in:\n{told}");
    }
    assert!(told.contains("venue.id: 1 is taken"), "{told}");
    assert!(!setup.path("journal").exists() && !setup.aeron.exists(), "nothing was made");
}

/// Whether a helper of the system can be used here; says so where not.
fn can(what: &mut Command) -> bool {
    let is_possible = what.output().is_ok_and(|output| output.status.success());
    if !is_possible {
        eprintln!("skipped: {what:?} is not possible here");
    }
    is_possible
}

#[test]
fn without_privileges_it_says_what_is_missing_and_trades() {
    const FEWER: [&str; 3] =
        ["--memlock=65536:65536", "setpriv", "--bounding-set=-ipc_lock,-sys_nice,-sys_resource"];
    if !can(Command::new("prlimit").args(FEWER).arg("true")) {
        return;
    }
    let setup = Setup::new(Options::default());
    let mut run = Command::new("prlimit");
    run.args(FEWER).args([env!("CARGO_BIN_EXE_postern"), "run", "--config"]);
    run.arg(setup.path("postern.toml"));
    let mut daemon = Daemon::spawn_as(&setup, run, &[]);
    daemon.wait_running();
    let mut world = World::new(&setup);
    world.open(&daemon);
    world.round_trip();
    let log = daemon.log();
    assert!(log.contains("locked memory: ") && log.contains("LimitMEMLOCK"), "{log}");
}

#[test]
fn a_full_disk_refuses_orders_and_lets_cancels_pass() {
    const NAMESPACE: [&str; 2] = ["--user", "--map-root-user"];
    let namespace = |command: &mut Command| {
        if !can(Command::new("unshare").args(["--mount", "true"])) {
            command.args(NAMESPACE);
        }
    };
    let setup = Setup::new(Options { journal: "segment_bytes = 1048576", ..Options::default() });
    std::fs::create_dir(setup.path("journal")).expect("made");
    let script = "mount -t tmpfs -o size=4m tmpfs \"$0\" && exec \"$@\"";
    let mut probe = Command::new("unshare");
    namespace(&mut probe);
    probe.args(["--mount", "sh", "-c", script]).arg(setup.path("journal")).arg("true");
    if !can(&mut probe) {
        return;
    }
    let mut run = Command::new("unshare");
    namespace(&mut run);
    run.args(["--mount", "sh", "-c", script]).arg(setup.path("journal"));
    run.args([env!("CARGO_BIN_EXE_postern"), "run", "--config"]).arg(setup.path("postern.toml"));
    let mut daemon = Daemon::spawn_as(&setup, run, &[]);
    daemon.wait_running();
    let mut world = World::new(&setup);
    world.open(&daemon);
    let resting = world.rest(10);
    let (bid, _) = world.touch();
    let full = DenyReason::JournalFull.code();
    // Orders that end at once, until there is no room for another.
    let mut sent = 0;
    while !world.strategy.executions.iter().any(|report| report.deny_reason == full) {
        assert!(sent < 40_000, "four megabytes hold fewer orders");
        world.strategy.executions.clear();
        let ids: Vec<_> = (0..100).map(|_| world.strategy.take_id()).collect();
        for &id in &ids {
            world.send_order_as(id, Side::Buy, bid, 10, |order| {
                order.time_in_force = postern::types::TimeInForce::ImmediateOrCancel;
            });
        }
        sent += ids.len();
        world.any_report(*ids.last().expect("a hundred"));
    }
    eprintln!("full after {sent} orders");
    assert!(daemon.counter("risk_journal_full_count") > 0);
    world.send_cancel(resting);
    world.report(resting, ExecType::Canceled);
    assert_eq!(world.open_at_venue(), 0);
    daemon.signal("-TERM");
    let status = world.until_end(&mut daemon);
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
}
