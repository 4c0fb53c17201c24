//! Lines that lose packets, and the ways back: the other line, re-request, snapshot. Time is simulated, chance is seeded.

mod recovery_support;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use postern::feed::channel::{Channel, NoSink, QUEUED_MESSAGES_AT_ONCE, SNAPSHOT_MESSAGES_AT_ONCE};
use postern::feed::recovery::RecoverySettings;
use postern::runtime::{
    GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
use postern::types::{FeedState, Nanos};
use recovery_support::random::Random;
use recovery_support::{
    Arrival, BOTH, Day, Faults, NONE, ORDERING, REREQUEST, STEP_NS, Servers, USUAL, arrivals,
    channel,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const MESSAGES: usize = 200_000;
const SEEDS: u64 = 20;

/// A channel on its lines, with its servers.
struct Run {
    channel: Channel,
    servers: Servers,
    room: [u8; 2_048],
    /// Every state it was in, one after another.
    states: Vec<FeedState>,
}

impl Run {
    fn new(day: &Arc<Day>, recovery: RecoverySettings) -> Run {
        on_hot_allocation(OnHotAllocation::Abort);
        let mut servers = Servers::new(day);
        servers.builds_at_once = false;
        Run {
            channel: channel(day, Some(ORDERING), recovery),
            servers,
            room: [0; 2_048],
            states: Vec::with_capacity(10_000),
        }
    }

    /// The servers know of what was sent until now; a line may still be on its way.
    fn at(&mut self, now: u64, next: u64) {
        self.servers.world.now.store(now, Relaxed);
        self.servers.world.next.fetch_max(next, Relaxed);
        self.servers.work();
    }

    /// One datagram and what a duty cycle does after it. The channel must not allocate.
    fn arrive(&mut self, arrival: &Arrival) {
        let &Arrival { at, line, first, count } = arrival;
        self.at(at, first + u64::from(count));
        let bytes = self.servers.day.packet(first, count, u64::MAX, &mut self.room);
        let _hot = HotZone::enter("feed");
        self.channel.on_line(line, &self.room[..bytes], Nanos(at), &mut NoSink);
        self.cycle(at);
    }

    /// A duty cycle, which must not apply more of what was queued or told by a snapshot than is allowed in one.
    fn cycle(&mut self, now: u64) {
        let now = Nanos(now);
        let before = self.channel.counts().messages;
        let told = self.channel.recovery_counts().snapshot.messages;
        self.work(now);
        let told = self.channel.recovery_counts().snapshot.messages - told;
        assert!(told <= u64::from(SNAPSHOT_MESSAGES_AT_ONCE), "{told} messages of a snapshot");
        // Once for the time that passed, and once for each way that brought something.
        let queued = (self.channel.counts().messages - before).saturating_sub(told);
        assert!(queued <= 3 * u64::from(QUEUED_MESSAGES_AT_ONCE), "{queued} messages queued");
    }

    fn work(&mut self, now: Nanos) {
        if self.channel.waits() {
            self.channel.advance(now, &mut NoSink);
        }
        if self.channel.is_recovery_due() {
            self.channel.recover(&mut self.servers, now, &mut NoSink);
        }
        let state = self.channel.check(now);
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
    }

    fn arrive_all(&mut self, list: &[Arrival]) {
        for arrival in list {
            self.arrive(arrival);
        }
        assert_eq!(hot_allocation_count(), 0);
        let counts = self.channel.counts();
        assert_eq!((counts.packet_errors, counts.message_errors, counts.misfits), (0, 0, 0));
    }

    fn is_whole(&self, day: &Day, seed: u64) {
        assert_eq!(self.states.last(), Some(&FeedState::Current), "seed {seed}: {:?}", self.states);
        assert_eq!(self.channel.books().digest(), day.digest(), "seed {seed}");
        assert_eq!(self.channel.arbiter().next_sequence(), day.end());
    }
}

#[test]
fn two_bad_lines_give_the_books_of_a_good_one() {
    let mut gaps_all = 0;
    for seed in 0..SEEDS {
        let day = Arc::new(Day::new(seed, MESSAGES));
        let (list, missing) = arrivals(&day, USUAL, seed, |_| false);
        let settings = RecoverySettings { rerequest: Some(REREQUEST), snapshot: None };
        let mut run = Run::new(&day, settings);
        run.arrive_all(&list);
        run.is_whole(&day, seed);
        let counts = run.channel.arbiter().counts();
        // Declared was what neither line brought, and that alone; and the server brought all of it.
        assert_eq!(counts.missing, missing, "seed {seed}: {counts:?}");
        assert_eq!(counts.retransmitted, missing, "seed {seed}");
        assert_eq!(counts.recovered, counts.gaps, "seed {seed}");
        assert!(counts.gaps > 20 && counts.reordered > 1_000, "seed {seed}: {counts:?}");
        gaps_all += counts.gaps;
        let [a, b] = run.channel.arbiter().line_counts();
        assert_eq!(a.first + a.late + a.duplicates, packets_of(&list, 0));
        assert_eq!(b.first + b.late + b.duplicates, packets_of(&list, 1));
        assert!(a.first > b.first && a.missing > 5_000 && b.missing > 5_000);
        assert!(a.duplicates > 100 && a.out_of_order > 100);
    }
    assert!(gaps_all > 1_000, "{gaps_all} gaps in all days together");
}

#[test]
fn no_gap_is_declared_that_the_other_line_fills() {
    let faults = Faults { may_lose_both: false, ..USUAL };
    for seed in 0..SEEDS {
        let day = Arc::new(Day::new(seed, MESSAGES));
        let (list, missing) = arrivals(&day, faults, seed, |_| false);
        let mut run = Run::new(&day, RecoverySettings::default());
        run.arrive_all(&list);
        run.is_whole(&day, seed);
        assert_eq!((missing, run.channel.arbiter().counts().gaps), (0, 0), "seed {seed}");
        assert_eq!(run.states.len(), 1, "never anything but current");
    }
}

#[test]
fn what_both_lines_lose_is_asked_for_again() {
    for seed in 0..5 {
        let day = Arc::new(Day::new(seed, 20_000));
        let cut = |first: u64| first % 1_000 < 40 || (7_000..7_900).contains(&first);
        let (list, missing) = arrivals(&day, USUAL, seed, cut);
        let mut run = Run::new(&day, BOTH);
        // Requests get lost too.
        run.servers.loses = 5;
        run.arrive_all(&list);
        run.is_whole(&day, seed);
        let counts = run.channel.recovery_counts();
        let retransmitted = run.channel.arbiter().counts().retransmitted;
        assert_eq!(retransmitted, missing, "seed {seed}: {counts:?}");
        assert!(counts.rerequest.repeats > 10, "{counts:?}");
        assert_eq!((counts.rerequest.given_up, counts.snapshot.attempts), (0, 0));
        assert!(run.states.contains(&FeedState::Stale));
    }
}

#[test]
fn requests_are_no_faster_than_agreed_and_for_no_more_than_agreed() {
    let day = Arc::new(Day::new(1, 20_000));
    let (list, _) = arrivals(&day, NONE, 1, |first| (5_000..6_000).contains(&first));
    let mut run = Run::new(&day, BOTH);
    let (mut asked, mut times) = (0, Vec::with_capacity(10_000));
    for arrival in &list {
        run.arrive(arrival);
        let requests = run.channel.recovery_counts().rerequest.requests;
        assert!(requests - asked <= 1, "one at a time");
        if requests > asked {
            times.push(arrival.at);
        }
        asked = requests;
    }
    run.is_whole(&day, 1);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= REREQUEST.interval_ns));
    assert!(times.len() >= 100, "{} requests of at most ten messages", times.len());
}

#[test]
fn where_no_retransmission_comes_a_snapshot_makes_it_good() {
    for (seed, settings) in [(1, BOTH), (2, RecoverySettings { rerequest: None, ..BOTH })] {
        let day = Arc::new(Day::new(seed, 40_000));
        let faults = Faults { may_lose_both: false, ..USUAL };
        let (list, _) = arrivals(&day, faults, seed, |first| (9_000..9_050).contains(&first));
        let mut run = Run::new(&day, settings);
        run.servers.world.is_rerequest_dead.store(true, Relaxed);
        run.arrive_all(&list);
        run.is_whole(&day, seed);
        let counts = run.channel.recovery_counts();
        assert_eq!(counts.rerequest.given_up, u64::from(settings.rerequest.is_some()));
        assert_eq!((counts.snapshot.completed, counts.snapshot.failures), (1, 0), "{counts:?}");
        assert_eq!(run.states, [FeedState::Current, FeedState::Stale, FeedState::Current]);
    }
}

#[test]
fn with_both_servers_dead_the_channel_stays_stale_until_one_is_back() {
    let day = Arc::new(Day::new(3, 60_000));
    let (list, _) = arrivals(&day, NONE, 3, |first| (9_000..9_050).contains(&first));
    let mut run = Run::new(&day, BOTH);
    run.servers.world.is_rerequest_dead.store(true, Relaxed);
    run.servers.world.is_snapshot_dead.store(true, Relaxed);
    let half = list.len() / 2;
    run.arrive_all(&list[..half]);
    assert_eq!(run.states, [FeedState::Current, FeedState::Stale]);
    let counts = run.channel.recovery_counts().snapshot;
    assert!(counts.failures > 3, "{counts:?}");
    // The wait doubles up to eight milliseconds: so many attempts at most.
    let waited = list[half].at - 1_500 * STEP_NS;
    assert!(counts.attempts <= 4 + waited / 8_000_000, "{counts:?} in {waited} ns");
    run.servers.world.is_snapshot_dead.store(false, Relaxed);
    run.arrive_all(&list[half..]);
    run.is_whole(&day, 3);
}

#[test]
fn without_servers_a_gap_is_for_good() {
    let day = Arc::new(Day::new(4, 20_000));
    let (list, missing) = arrivals(&day, NONE, 4, |first| (9_000..9_050).contains(&first));
    let mut run = Run::new(&day, RecoverySettings::default());
    for arrival in &list {
        run.arrive(arrival);
    }
    assert_eq!(run.states, [FeedState::Current, FeedState::Stale]);
    let counts = run.channel.arbiter().counts();
    assert_eq!((counts.gaps, counts.missing), (1, missing));
    assert_eq!(run.channel.arbiter().next_sequence(), day.end());
}

#[test]
fn who_joins_in_the_middle_of_the_day_gets_the_books_by_a_snapshot() {
    for seed in 0..5 {
        let day = Arc::new(Day::new(seed, 40_000));
        let faults = Faults { may_lose_both: false, ..USUAL };
        let (list, _) = arrivals(&day, faults, seed, |_| false);
        let mut run = Run::new(&day, BOTH);
        let middle = list.len() / 3;
        run.at(list[middle].at, list[middle].first);
        run.arrive_all(&list[middle..]);
        run.is_whole(&day, seed);
        assert_eq!(run.states, [FeedState::Stale, FeedState::Current], "seed {seed}");
        assert_eq!(run.channel.recovery_counts().snapshot.completed, 1);
        assert_eq!(run.channel.recovery_counts().rerequest.requests, 0, "too much to ask for");
    }
}

#[test]
fn a_new_session_ends_a_snapshot_that_is_under_way() {
    let day = Arc::new(Day::new(8, 20_000));
    let (list, _) = arrivals(&day, NONE, 8, |first| (6_000..6_050).contains(&first));
    let mut run = Run::new(&day, RecoverySettings { rerequest: None, ..BOTH });
    let mut arrivals = list.iter();
    // As far as into the snapshot: the books are half built then.
    while run.channel.recovery_counts().snapshot.messages < 10 {
        run.arrive(arrivals.next().expect("a gap, and a snapshot for it"));
    }
    let now = run.servers.world.now.load(Relaxed);
    let mut heartbeat = [0; 20];
    heartbeat[..10].copy_from_slice(b"20260221AA");
    heartbeat[17] = 1;
    for line in 0..2 {
        run.channel.on_line(line, &heartbeat, Nanos(now), &mut NoSink);
    }
    for later in 0..100 {
        run.at(now + later * STEP_NS, 0);
        run.cycle(now + later * STEP_NS);
    }
    assert_eq!(run.channel.check(Nanos(now)), FeedState::Current);
    assert_eq!((run.channel.books().order_count_total(), run.servers.is_closed()), (0, true));
    assert!(!run.channel.is_recovery_due());
    assert_eq!(run.channel.recovery_counts().snapshot.completed, 0);
}

#[test]
fn an_overflown_queue_leads_to_a_snapshot_and_without_snapshots_to_more_requests() {
    let small = postern::feed::arbiter::Ordering { messages_max: 1_024, ..ORDERING };
    for has_snapshots in [true, false] {
        let day = Arc::new(Day::new(5, 60_000));
        let (list, _) = arrivals(&day, NONE, 5, |first| (9_000..9_400).contains(&first));
        let snapshot = BOTH.snapshot.filter(|_| has_snapshots);
        let slow = postern::feed::rerequest::RerequestSettings {
            interval_ns: 100_000,
            messages_per_request: 10,
            ..REREQUEST
        };
        let settings = RecoverySettings { rerequest: Some(slow), snapshot };
        let mut run = Run::new(&day, settings);
        run.channel = channel(&day, Some(small), settings);
        run.arrive_all(&list);
        assert!(run.channel.arbiter().counts().overflows > 0);
        assert_eq!(run.channel.recovery_counts().snapshot.completed, u64::from(has_snapshots));
        if has_snapshots {
            run.is_whole(&day, 5);
            continue;
        }
        // The server is slower than the lines: it catches up after they have ended.
        let mut now = list[list.len() - 1].at;
        while run.channel.arbiter().next_sequence() < day.end() {
            now += STEP_NS;
            run.at(now, 0);
            run.cycle(now);
        }
        run.cycle(now);
        run.is_whole(&day, 5);
    }
}

#[test]
fn a_snapshot_server_that_misbehaves_is_left_and_asked_again() {
    let packet = |kind: u8, payload: &[u8]| {
        let length = u16::try_from(payload.len() + 1).expect("short").to_be_bytes();
        [&length[..], &[kind], payload].concat()
    };
    let accepted = |number: u64| packet(b'A', format!("{:>10}{number:>20}", "G").as_bytes());
    let answers = [
        packet(b'J', b"A"),
        packet(b'J', b"S"),
        accepted(2),
        accepted(0),
        b"\0\0".to_vec(),
        packet(b'S', b"too early"),
        packet(b'H', b"long"),
        packet(b'Z', b""),
        [accepted(1), packet(b'Z', b"")].concat(),
        [accepted(1), accepted(1)].concat(),
        [accepted(1), packet(b'S', b"")].concat(),
        [accepted(1), packet(b'S', b"A too short")].concat(),
        [accepted(1), packet(b'S', b"G12")].concat(),
        [accepted(1), packet(b'S', b"G                   x")].concat(),
        [accepted(1), packet(b'S', b"G                   0")].concat(),
        [accepted(1), packet(b'S', b"G                   1")].concat(),
        [accepted(1), packet(b'S', b"G18446744073709551615")].concat(),
        Vec::new(),
        accepted(1),
    ];
    for (place, answer) in answers.into_iter().enumerate() {
        let day = Arc::new(Day::new(6, 30_000));
        let (list, _) = arrivals(&day, NONE, 6, |first| (6_000..6_050).contains(&first));
        let mut run = Run::new(&day, RecoverySettings { rerequest: None, ..BOTH });
        run.servers.answer = Some(answer);
        let half = list.len() / 2;
        for arrival in &list[..half] {
            run.arrive(arrival);
        }
        let counts = run.channel.recovery_counts().snapshot;
        assert!(counts.failures > 1 && counts.completed == 0, "answer {place}: {counts:?}");
        assert_eq!(counts.rejected > 0, place < 2, "answer {place}");
        assert_eq!(run.states, [FeedState::Current, FeedState::Stale], "answer {place}");
        run.servers.answer = None;
        for arrival in &list[half..] {
            run.arrive(arrival);
        }
        run.is_whole(&day, 6);
    }
}

/// What waited behind a hole is applied in parts; until all of it is, the channel is stale, and what comes is queued behind it.
#[test]
fn a_long_queue_is_applied_in_parts() {
    let day = Arc::new(Day::new(10, 12_000));
    let mut run = Run::new(&day, RecoverySettings { rerequest: None, ..BOTH });
    let mut packets = day.packets.clone();
    let late = packets.split_off(packets.len() - 5);
    let send = |run: &mut Run, (first, count): (u64, u16)| {
        let bytes = run.servers.day.packet(first, count, u64::MAX, &mut run.room);
        run.channel.on_line(0, &run.room[..bytes], Nanos(1), &mut NoSink);
    };
    let (first, hole) = (packets.remove(0), packets.remove(0));
    send(&mut run, first);
    for packet in packets {
        send(&mut run, packet);
    }
    assert_eq!(run.channel.counts().messages, u64::from(first.1));
    send(&mut run, hole);
    let at_once = u64::from(QUEUED_MESSAGES_AT_ONCE);
    assert_eq!(run.channel.counts().messages, u64::from(first.1 + hole.1) + at_once);
    for packet in late {
        send(&mut run, packet);
    }
    let mut cycles = 0;
    while run.channel.arbiter().next_sequence() < day.end() {
        assert_eq!(run.channel.check(Nanos(1)), FeedState::Stale);
        let before = run.channel.counts().messages;
        run.cycle(1);
        assert!(run.channel.counts().messages - before <= at_once);
        cycles += 1;
    }
    assert_eq!(cycles, 11);
    run.cycle(1);
    run.is_whole(&day, 10);
    let counts = run.channel.arbiter().counts();
    assert_eq!((counts.gaps, counts.overflows), (0, 0));
}

#[test]
fn a_queue_that_just_fits_one_part_leaves_nothing_behind() {
    let at_once = u64::from(QUEUED_MESSAGES_AT_ONCE);
    let day = Arc::new(Day::new(10, 4_000));
    for (queued, cycles_wanted) in
        [(at_once - 1, 0), (at_once, 0), (at_once + 1, 1), (2 * at_once, 1)]
    {
        let mut run = Run::new(&day, BOTH);
        let send = |run: &mut Run, first: u64, count: u16| {
            let bytes = run.servers.day.packet(first, count, u64::MAX, &mut run.room);
            run.channel.on_line(0, &run.room[..bytes], Nanos(1), &mut NoSink);
        };
        send(&mut run, 1, 1);
        for first in 3..3 + queued {
            send(&mut run, first, 1);
        }
        send(&mut run, 2, 1);
        let mut cycles = 0;
        while run.channel.waits() {
            run.cycle(1);
            cycles += 1;
        }
        assert_eq!(cycles, cycles_wanted, "{queued}");
        assert_eq!(run.channel.check(Nanos(1)), FeedState::Current, "{queued}");
        assert_eq!(run.channel.arbiter().next_sequence(), 3 + queued);
    }
}

/// An exchange that is started again counts from 1 under the name it had: never are its messages taken for old ones.
#[test]
fn a_stream_that_begins_again_in_its_session_is_recovered_from_its_start() {
    for settings in [
        BOTH,
        RecoverySettings { rerequest: None, ..BOTH },
        RecoverySettings { snapshot: None, ..BOTH },
        RecoverySettings::default(),
    ] {
        for reached in [40, 2_000] {
            let day = Arc::new(Day::new(9, 30_000));
            let (list, _) = arrivals(&day, NONE, 9, |_| false);
            let mut run = Run::new(&day, settings);
            run.arrive_all(&list[..reached]);
            assert_eq!(run.states, [FeedState::Current]);
            let offset = list[reached].at + 1_000 * STEP_NS;
            run.servers.world.next.store(1, Relaxed);
            let mut stale = 0;
            for arrival in &list {
                let arrival = Arrival { at: arrival.at + offset, ..*arrival };
                run.arrive(&arrival);
                stale += u32::from(run.states.last() == Some(&FeedState::Stale));
            }
            assert_eq!(run.channel.arbiter().counts().restarts, 1, "{settings:?}");
            assert!(stale > 0);
            if settings.has_server() {
                run.is_whole(&day, 9);
                let (current, stale) = (FeedState::Current, FeedState::Stale);
                assert_eq!(run.states, [current, stale, current], "{settings:?}");
            } else {
                assert_eq!(run.states.last(), Some(&FeedState::Stale), "what was missed is lost");
            }
        }
    }
}

/// Datagrams that nobody sent, on one line: other sessions, ends, and numbers from anywhere.
#[test]
fn lies_on_one_line_cost_nothing_while_the_other_is_whole() {
    let faults = Faults { may_lose_both: false, ..USUAL };
    for seed in 0..5 {
        let day = Arc::new(Day::new(seed, 50_000));
        let (list, _) = arrivals(&day, faults, seed, |_| false);
        let mut run = Run::new(&day, BOTH);
        let mut random = Random::new(seed);
        for (place, arrival) in list.iter().enumerate() {
            run.arrive(arrival);
            if place % 10 > 0 {
                continue;
            }
            let mut lie = *b"20260220AA\0\0\0\0\0\0\0\0\0\0";
            let far = arrival.first + (4_096 << random.below(40));
            lie[10..18].copy_from_slice(&far.to_be_bytes());
            match random.below(3) {
                0 => lie[9] = b'B' + random.byte() % 10,
                1 => lie[18..].copy_from_slice(&[0xFF, 0xFF]),
                _ => {}
            }
            run.channel.on_line(0, &lie, Nanos(arrival.at), &mut NoSink);
            run.cycle(arrival.at);
        }
        run.is_whole(&day, seed);
        assert_eq!(run.states, [FeedState::Current], "seed {seed}");
        let [a, b] = run.channel.arbiter().line_counts();
        assert!(a.doubted > 100 && b.doubted == 0, "seed {seed}: {a:?} {b:?}");
        assert_eq!(run.channel.arbiter().counts().gaps, 0);
    }
}

fn packets_of(list: &[Arrival], line: u8) -> u64 {
    let is_data = |arrival: &&Arrival| arrival.line == line && arrival.count > 0;
    u64::try_from(list.iter().filter(is_data).count()).expect("few")
}
