//! The exchange's servers for who missed something, over real sockets: messages again, and a snapshot of all books.
//!
//! The clients here are written from the specifications, and share no code with the servers.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests: what is not expected fails them"
)]

#[path = "support/random.rs"]
mod random;
mod recovery_clients;
mod sim_support;

use std::io::Write;

use postern::feed::itch50::{self, Message};
use postern::runtime::{Agent, Phase};
use postern::sim::glimpse::GlimpseServer;
use postern::sim::impair::Impairment;
use random::Random;
use recovery_clients::{
    PACKET_BYTES_MAX, PATIENCE, SECOND, SESSION, Soup, Venue, apply, large, narrow,
};

#[test]
fn messages_come_again_as_they_were_sent_as_many_as_fit() {
    let mut venue = Venue::new(|_| {});
    let (asker, mut random) = (venue.udp(), Random::new(3));
    assert!(venue.range().end > 1_000);
    for _ in 0..300 {
        let range = venue.range();
        let first = 1 + random.below(range.end - 1);
        let count = [1, 2, 9, 60, 1_000, u16::MAX][random.index(6)];
        asker.ask(SESSION, first, count);
        let (messages, bytes) = asker.answer(&mut venue, first);
        let got = u64::try_from(messages.len()).unwrap();
        for (number, message) in (first..).zip(&messages) {
            assert_eq!(venue.published.get(&number), Some(message));
        }
        assert!(bytes <= PACKET_BYTES_MAX && got <= u64::from(count));
        // Fewer than asked for: the next one did not fit, or was not there.
        if got < u64::from(count) && first + got < range.end {
            let next = venue.published[&(first + got)].len() + 2;
            assert!(bytes + next > PACKET_BYTES_MAX);
        }
    }
    let counts = venue.rerequests();
    assert_eq!((counts.answered, counts.refused()), (300, 0));
}

#[test]
fn what_is_no_request_or_asks_for_what_is_not_there_is_refused_and_counted() {
    let mut venue = Venue::new(|setup| setup.steps_per_second = 1);
    let asker = venue.udp();
    let end = venue.range().end;
    for (sequence, count) in [(1, 0), (0, 1), (0, 0), (end, 1), (end, 9), (u64::MAX, u16::MAX)] {
        asker.ask(SESSION, sequence, count);
        asker.hears_nothing(&mut venue, 1);
    }
    assert_eq!(venue.rerequests().unavailable, 6);
    for other in [b"SIMULATIO ", b"simulation", b"          ", b"\0\0\0\0\0\0\0\0\0\0"] {
        asker.ask(other, 1, 1);
        asker.hears_nothing(&mut venue, 1);
    }
    assert_eq!(venue.rerequests().wrong_session, 4);
    let mut request = [&SESSION[..], &1_u64.to_be_bytes(), &1_u16.to_be_bytes(), b"x"].concat();
    for bytes in (0..20).chain([21]) {
        asker.0.send(&request[..bytes]).unwrap();
        asker.hears_nothing(&mut venue, 1);
    }
    request.resize(9_000, b'x');
    asker.0.send(&request).unwrap();
    asker.hears_nothing(&mut venue, 1);
    let mut random = Random::new(8);
    for _ in 0..500 {
        let bytes = random.index(40);
        asker.0.send(&random.bytes(bytes)).unwrap();
        asker.hears_nothing(&mut venue, 1);
    }
    // At the end of what there is, what there is comes.
    asker.ask(SESSION, end - 1, 1);
    assert_eq!(asker.answer(&mut venue, end - 1).0.len(), 1);
    asker.ask(SESSION, end - 2, 100);
    assert_eq!(asker.answer(&mut venue, end - 2).0.len(), 2);
    asker.ask(SESSION, 1, 1);
    assert_eq!(asker.answer(&mut venue, 1).0, [venue.published[&1].clone()]);
    assert_eq!(venue.rerequests().failed, 0);
}

#[test]
fn what_the_store_has_dropped_is_refused_and_what_it_kept_is_not() {
    for (messages, bytes) in [(100, 4 << 20), (1 << 16, 4_000)] {
        let mut venue = Venue::new(|setup| {
            setup.steps_per_second = 1;
            let mold = &mut setup.venue.mold;
            (mold.kept_messages_max, mold.kept_bytes_max) = (messages, bytes);
        });
        let (asker, end) = (venue.udp(), venue.range().end);
        // The oldest that is kept, looked for from the newest on.
        let mut first = end - 1;
        loop {
            asker.ask(SESSION, first - 1, 1);
            let before = venue.rerequests();
            venue.until("look", |venue| (venue.rerequests() != before).then_some(()));
            if venue.rerequests().unavailable > 0 {
                break;
            }
            first -= 1;
            assert_eq!(asker.answer(&mut venue, first).0, [venue.published[&first].clone()]);
        }
        if messages == 100 {
            assert_eq!(end - first, 100);
        } else {
            let kept: usize = (first..end).map(|n| venue.published[&n].len() + 2).sum();
            assert!((3_900..=4_000).contains(&kept), "{kept}");
        }
    }
}

#[test]
fn a_flood_of_requests_is_taken_a_few_at_a_time() {
    let mut venue = Venue::new(|_| {});
    let (asker, other) = (venue.udp(), venue.udp());
    for _ in 0..200 {
        asker.ask(SESSION, 1, 100);
    }
    other.ask(SESSION, 7, 1);
    let mut looks = 0;
    while venue.rerequests().answered + venue.rerequests().failed < 201 {
        let before = venue.rerequests().answered;
        venue.look();
        assert!(venue.rerequests().answered - before <= 2);
        looks += 1;
        assert!(looks < PATIENCE, "not all were answered");
    }
    assert!(looks >= 201 / 2);
    let answer = other.answer(&mut venue, 7).0;
    assert_eq!(answer, [venue.published[&7].clone()], "each hears what it asked for");
}

#[test]
fn lines_that_lose_packets_are_made_whole_by_asking() {
    let mut venue = Venue::new(|setup| {
        let bad = Impairment {
            loss_ppm: 50_000,
            duplicate_ppm: 20_000,
            reorder_ppm: 20_000,
            delay_ppm: 5_000,
            distance_max: 6,
            corrupt_ppm: 0,
        };
        setup.steps_per_second = 20_000;
        setup.venue.mold.heartbeat_ns = 1_000_000;
        setup.venue.mold.impairments = [bad; 2];
        setup.venue.mold.impairment_seed = 4;
    });
    for _ in 0..4_000 {
        venue.look();
    }
    venue.agent.on_phase(Phase::Draining, venue.now);
    venue.until("end of the market", |venue| venue.agent.is_drained().then_some(()));
    let asker = venue.udp();
    let mut books = venue.books();
    let (mut next, mut asked) = (1, 0);
    while next < venue.told {
        let messages = match venue.published.get(&next) {
            Some(message) => vec![message.clone()],
            None => {
                asked += 1;
                asker.ask(SESSION, next, 3);
                asker.answer(&mut venue, next).0
            }
        };
        for message in &messages {
            apply(&mut books, message);
            next += 1;
        }
    }
    assert_eq!(books.digest(), venue.digest());
    assert!(asked > 50, "{asked}");
}

#[test]
fn a_snapshot_and_the_stream_after_it_give_the_exchanges_books() {
    let mut venue = Venue::new(|setup| setup.steps_per_second = 20_000);
    for _ in 0..3 {
        let mut client = venue.tcp();
        client.log_in();
        let (messages, next) = client.snapshot(&mut venue);
        let mut books = venue.books();
        let letters: Vec<u8> = messages.iter().map(|message| message[0]).collect();
        assert_eq!(&letters[..7], b"SRRRHHH");
        assert!(letters.len() > 100 && letters[7..].iter().all(|&letter| letter == b'A'));
        assert!(
            matches!(itch50::decode(&messages[0]), Ok(Message::SystemEvent(e)) if e.event == b'Q')
        );
        messages.iter().for_each(|message| apply(&mut books, message));
        for _ in 0..500 {
            venue.look();
        }
        let range = venue.range();
        assert!(range.end > next + 100, "the market went on");
        // The snapshot is of the moment before message `next`: with that one missing, or twice, the books differ.
        (next..range.end).for_each(|number| apply(&mut books, &venue.published[&number]));
        assert_eq!(books.digest(), venue.digest());
        client.send(b'O', b"");
        client.is_hung_up_on(&mut venue);
    }
    assert_eq!((venue.snapshots().snapshots, venue.snapshots().logouts), (3, 3));
}

#[test]
fn a_snapshot_tells_orders_in_the_order_in_which_they_trade() {
    let mut venue = Venue::new(|setup| setup.steps_per_second = 1);
    let mut client = venue.tcp();
    client.log_in();
    let (messages, next) = client.snapshot(&mut venue);
    let told: Vec<(u64, u32)> = messages
        .iter()
        .filter_map(|message| match itch50::decode(message).unwrap() {
            Message::AddOrder(add) => Some((add.reference, add.shares)),
            _ => None,
        })
        .collect();
    let books = (0..3).map(|index| venue.agent.snapshot(index).unwrap());
    let standing: Vec<(u64, u32)> = books
        .flat_map(|book| book.bids.into_iter().chain(book.asks))
        .flat_map(|level| level.orders)
        .map(|order| (order.reference, order.qty))
        .collect();
    assert_eq!((told, next), (standing, venue.agent.next_sequence()));
    let count = |name| venue.registry.counter(name).get();
    assert_eq!((count("venue_snapshot_count"), count("venue_snapshot_refused_count")), (1, 0));
}

#[test]
fn a_login_is_judged_by_user_password_session_and_number() {
    let mut venue = Venue::new(|_| {});
    let refused = [
        ("other", "Secret", "", "1", b'A'),
        ("sim", "Secre", "", "1", b'A'),
        ("", "", "", "1", b'A'),
        ("sim", "Secret", "YESTERDAY", "1", b'S'),
        ("sim", "Secret", "", "0", b'S'),
        ("sim", "Secret", "", "2", b'S'),
        ("sim", "Secret", "", "", b'S'),
        ("sim", "Secret", "", "one", b'S'),
        ("sim", "Secret", "", "99999999999999999999", b'S'),
    ];
    for (user, password, session, sequence, code) in refused {
        let mut client = venue.tcp();
        client.login(user, password, session, sequence);
        // Said before the answer is heard: it must not cost the answer.
        client.send(b'R', b"");
        assert_eq!(client.packet(&mut venue), (b'J', vec![code]), "{user} {password} {session}");
        client.is_hung_up_on(&mut venue);
    }
    let rejected = u64::try_from(refused.len()).unwrap();
    assert_eq!((venue.snapshots().rejected, venue.snapshots().snapshots), (rejected, 0));
    for (user, password, session) in [("SIM", "sEcReT", "SIMULATION"), ("sim", "Secret", "")] {
        let mut client = venue.tcp();
        client.login(user, password, session, "1");
        client.snapshot(&mut venue);
    }
}

#[test]
fn clients_at_once_each_get_all_and_one_too_many_is_hung_up_on() {
    let mut venue = Venue::new(|_| {});
    let mut clients: Vec<Soup> = (0..4).map(|_| venue.tcp()).collect();
    venue.until("clients", |venue| (venue.snapshots().connections == 4).then_some(()));
    let mut more = venue.tcp();
    more.is_hung_up_on(&mut venue);
    assert_eq!(venue.snapshots().beyond, 1);
    clients.iter_mut().for_each(Soup::log_in);
    let ends: Vec<u64> = clients.iter_mut().map(|client| client.snapshot(&mut venue).1).collect();
    assert!(ends.iter().all(|&end| end > 1));
    drop(clients);
    venue.until("places", |venue| (venue.snapshots().lost == 4).then_some(()));
    let mut again = venue.tcp();
    again.log_in();
    again.snapshot(&mut venue);
}

#[test]
fn both_sides_say_that_they_are_there_and_who_does_not_is_cut_off() {
    let mut venue = Venue::new(|setup| {
        (setup.glimpse.login_ns, setup.glimpse.silence_ns) = (30 * SECOND, 15 * SECOND);
        setup.glimpse.stall_ns = 5 * SECOND;
        setup.steps_per_second = 1;
    });
    let (mut silent, mut alive, mut stranger) = (venue.tcp(), venue.tcp(), venue.tcp());
    silent.log_in();
    alive.log_in();
    silent.snapshot(&mut venue);
    alive.snapshot(&mut venue);
    venue.until("stranger", |venue| (venue.snapshots().connections == 3).then_some(()));
    let mut beats = 0;
    for tick in 1..=310 {
        venue.now = venue.now.plus(SECOND / 10);
        alive.send(b'R', b"");
        venue.look();
        while let Some(packet) = alive.try_packet() {
            assert_eq!(packet, (b'H', Vec::new()));
            beats += 1;
        }
        let counted = match tick {
            0..=145 => 0,
            152..=295 => 1,
            305.. => 2,
            _ => continue,
        };
        assert_eq!(venue.snapshots().silent, counted, "after {tick} tenths of a second");
    }
    assert!((28..=31).contains(&beats), "{beats} heartbeats in 31 seconds");
    assert_eq!(silent.try_packet(), Some((b'H', Vec::new())));
    stranger.is_hung_up_on(&mut venue);
    venue.agent.on_close(venue.now);
    let end = (0..PATIENCE).find_map(|_| alive.try_packet());
    assert_eq!(end, Some((b'Z', Vec::new())), "the day is over");
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_stalls_nobody() {
    let mut venue = Venue::new(large);
    let mut slow = narrow(&venue);
    slow.log_in();
    venue.until("snapshot", |venue| (venue.snapshots().snapshots == 1).then_some(()));
    let mut reader = venue.tcp();
    reader.log_in();
    let (messages, _) = reader.snapshot(&mut venue);
    assert!(messages.len() > 30_000, "{}", messages.len());
    let before = venue.range().end;
    // Heartbeats of ours are no reading: the client lives, and does not read.
    for _ in 0..30 {
        venue.now = venue.now.plus(SECOND / 10);
        slow.send(b'R', b"");
        venue.look();
    }
    assert_eq!(venue.snapshots().slow, 1);
    assert!(venue.range().end > before + 1_000, "the market went on");
    let mut again = venue.tcp();
    again.log_in();
    again.snapshot(&mut venue);
}

#[test]
fn a_client_that_reads_slowly_gets_all_of_one_moment() {
    let mut venue = Venue::new(large);
    let mut client = narrow(&venue);
    client.log_in();
    let (messages, next) = client.snapshot(&mut venue);
    let mut books = venue.books();
    messages.iter().for_each(|message| apply(&mut books, message));
    assert!(venue.range().end > next + 10, "the market went on meanwhile");
    (next..venue.range().end).for_each(|n| apply(&mut books, &venue.published[&n]));
    assert_eq!(books.digest(), venue.digest());
}

#[test]
fn a_client_that_dies_in_the_middle_leaves_its_place() {
    let mut venue = Venue::new(large);
    for round in 1..=6 {
        let mut client = narrow(&venue);
        client.log_in();
        assert_eq!(client.packet(&mut venue).0, b'A');
        assert_eq!(client.packet(&mut venue).0, b'S');
        drop(client);
        venue.until("death", |venue| (venue.snapshots().lost == round).then_some(()));
    }
    let mut client = venue.tcp();
    client.log_in();
    client.snapshot(&mut venue);
}

#[test]
fn a_snapshot_that_does_not_fit_the_buffer_is_refused() {
    let mut venue = Venue::new(|setup| setup.glimpse.buffer_bytes_max = 1_000);
    for round in 1..=5 {
        let mut client = venue.tcp();
        client.log_in();
        client.is_hung_up_on(&mut venue);
        assert_eq!((venue.snapshots().slow, venue.snapshots().snapshots), (round, 0));
    }
}

#[test]
fn bytes_may_come_one_at_a_time_and_debug_packets_are_ignored() {
    let mut venue = Venue::new(|_| {});
    let mut client = venue.tcp();
    client.send(b'+', b"hello");
    let login = format!("\0\x2FL{:6}{:10}{:10}{:>20}", "sim", "Secret", "", 1);
    for byte in login.bytes() {
        client.stream.write_all(&[byte]).unwrap();
        venue.look();
        venue.look();
    }
    client.send(b'+', b"");
    client.snapshot(&mut venue);
    client.send(b'R', b"");
    client.send(b'+', &[b'x'; 253]);
    client.send(b'O', b"");
    client.is_hung_up_on(&mut venue);
    assert_eq!((venue.snapshots().logouts, venue.snapshots().malformed), (1, 0));
}

#[test]
fn whoever_says_what_it_must_not_is_hung_up_on() {
    let mut venue = Venue::new(|_| {});
    let early: [(u8, &[u8]); 8] = [
        (b'R', b""),
        (b'U', b"order"),
        (b'S', b""),
        (b'A', b""),
        (b'L', b"short"),
        (b'O', b"long"),
        (b'+', &[b'x'; 254]),
        (0, b""),
    ];
    let mut count = 0;
    for (kind, payload) in early {
        let mut client = venue.tcp();
        client.send(kind, payload);
        client.is_hung_up_on(&mut venue);
        count += 1;
        assert_eq!(venue.snapshots().malformed, count, "{}", kind.escape_ascii());
    }
    let mut client = venue.tcp();
    client.stream.write_all(b"\0\0").unwrap();
    client.is_hung_up_on(&mut venue);
    let late: [(u8, &[u8]); 3] = [(b'U', b"order"), (b'Z', b""), (b'R', b"x")];
    for (kind, payload) in late {
        let mut client = venue.tcp();
        client.log_in();
        client.snapshot(&mut venue);
        client.send(kind, payload);
        client.is_hung_up_on(&mut venue);
    }
    let mut twice = venue.tcp();
    twice.log_in();
    twice.snapshot(&mut venue);
    twice.log_in();
    twice.is_hung_up_on(&mut venue);
    assert_eq!((venue.snapshots().malformed, venue.snapshots().snapshots), (count + 5, 4));
}

#[test]
fn any_bytes_at_all_cost_their_sender_its_place_and_nothing_else() {
    let mut venue = Venue::new(|setup| setup.glimpse.login_ns = SECOND);
    let mut random = Random::new(17);
    let login = format!("\0\x2FL{:6}{:10}{:10}{:>20}", "sim", "Secret", "", 1).into_bytes();
    for round in 0..200 {
        let mut client = venue.tcp();
        let length = random.index(600);
        let mut bytes = random.bytes(length);
        if round % 2 == 0 {
            bytes.splice(0..0, login.iter().copied());
            if round % 4 == 0 {
                random.damage(&mut bytes);
            }
        }
        let _ = client.stream.write_all(&bytes);
        venue.look();
        venue.look();
        if round % 3 == 0 {
            // Hung up on, or with half a packet until it is told to be late.
            venue.now = venue.now.plus(2 * SECOND);
            venue.look();
        }
        drop(client);
        venue.until("place", |venue| (in_use(venue) == 0).then_some(()));
    }
    let mut client = venue.tcp();
    client.log_in();
    client.snapshot(&mut venue);
    assert!(venue.snapshots().malformed > 50, "{:?}", venue.snapshots());
}

fn in_use(venue: &Venue) -> usize {
    venue.agent.recovery().glimpse.as_ref().map_or(0, GlimpseServer::client_count)
}
