//! Lines of IEX that lose, repeat and exchange segments, each cut as it likes, and ones that lie: against every message that
//! was sent, in order. Time is simulated, chance is seeded.

#![allow(clippy::print_stdout, reason = "tests say how hard they were")]

#[path = "support/random.rs"]
mod random;

use std::sync::Arc;

use postern::feed::arbiter::{Join, Ordering};
use postern::feed::iex::books::{BooksFull, Effect};
use postern::feed::iex::tp::{HEADER_BYTES, Header, ProtocolId, SessionNumber, StreamId};
use postern::feed::iex::{Books, BooksConfig, Feed, IexChannel, IexSettings, IexSink, Message};
use postern::runtime::{
    GuardedAllocator, HotZone, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};
use postern::types::{FeedState, Nanos, Symbol, UtcNanos};
use random::Random;

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

const MESSAGES: usize = 200_000;
const SEEDS: u64 = 20;
const STEP_NS: u64 = 10_000;
const STALE_AFTER_NS: u64 = 3_000_000_000;
const TIME_NS: u64 = 1_503_763_200_000_000_000;
const STOCKS: [&str; 4] = ["AAA", "BBB", "CCC", "DDD"];
const A: u8 = 0;
const B: u8 = 1;

const ORDERING: Ordering = Ordering {
    lines: 2,
    packets_max: 64,
    wait_ns: 1_000_000,
    line_wait_ns: 300_000,
    messages_max: 16_384,
    confirm_packets: 3,
};

const HEADER: Header = Header {
    protocol: ProtocolId::DEEP_1_0,
    stream: StreamId(1),
    session: SessionNumber(7),
    count: 0,
    offset: 0,
    sequence: 1,
    sent: UtcNanos(TIME_NS),
};

fn channel(ordering: Option<Ordering>) -> IexChannel {
    let settings = IexSettings {
        feed: Feed::Deep,
        stream: StreamId(1),
        join: Join::First,
        stale_after_ns: STALE_AFTER_NS,
        books: BooksConfig { levels_max: 128, books_max: 4, follow_all_symbols: false },
    };
    let channel = IexChannel::new(&settings, &STOCKS.map(|s| Symbol::new(s).expect("a symbol")));
    match ordering {
        Some(ordering) => channel.with_ordering(ordering),
        None => channel,
    }
}

/// Everything that was applied, in order.
#[derive(Debug)]
struct Heard {
    messages: Vec<Message>,
    cleared: u32,
}

impl Heard {
    fn new() -> Heard {
        Heard { messages: Vec::with_capacity(2 * MESSAGES), cleared: 0 }
    }
}

impl IexSink for Heard {
    fn on_message(&mut self, _: &Books, message: &Message, _: Result<Option<Effect>, BooksFull>) {
        self.messages.push(*message);
    }

    fn on_clear(&mut self, _: &Books) {
        self.cleared += 1;
        self.messages.clear();
    }
}

/// The messages of a session, numbered from 1, and where in the stream each of them begins.
struct Day {
    messages: Vec<Vec<u8>>,
    offsets: Vec<u64>,
}

impl Day {
    /// Levels, trades and auctions; among them the longest message there is.
    fn new(seed: u64, count: usize) -> Day {
        let mut random = Random::new(seed);
        let mut day = Day { messages: Vec::new(), offsets: vec![0] };
        for number in 0..count {
            let letter = b"888555TA"[random.index(8)];
            let mut bytes = vec![letter, 1];
            bytes.extend((TIME_NS + u64::try_from(number).expect("few")).to_le_bytes());
            bytes.extend(format!("{:8}", STOCKS[random.index(4)]).bytes());
            let price = match letter {
                b'8' => 900 + random.below(100),
                _ => 1_001 + random.below(100),
            };
            match letter {
                b'T' => {
                    bytes.extend((1 + random.small(900)).to_le_bytes());
                    bytes.extend(price.to_le_bytes());
                    bytes.extend(random.below(1 << 40).to_le_bytes());
                }
                b'A' => bytes.extend((0..62).map(|place| random.byte() % (16 + place % 2))),
                _ => {
                    let size = if random.one_in(3) { 0 } else { 1 + random.small(900) };
                    bytes.extend(size.to_le_bytes());
                    bytes.extend(price.to_le_bytes());
                }
            }
            // The highest bytes of prices and of the auction's time stay small.
            if letter == b'A' {
                for at in [29, 37, 55, 63, 71, 79] {
                    bytes[at] = 0;
                    bytes[at - 1] = 0;
                }
            }
            day.push(bytes);
        }
        day
    }

    fn push(&mut self, bytes: Vec<u8>) {
        let offset = self.offsets[self.messages.len()];
        self.offsets.push(offset + u64::try_from(bytes.len() + 2).expect("short"));
        self.messages.push(bytes);
    }

    /// One past the number of the last message.
    fn end(&self) -> u64 {
        u64::try_from(self.messages.len()).expect("few") + 1
    }

    /// Messages `first..end` in a segment; a heartbeat where there are none.
    fn segment(&self, session: SessionNumber, first: u64, end: u64) -> Vec<u8> {
        let place = |number: u64| usize::try_from(number).expect("few") - 1;
        let mut bytes = vec![0; HEADER_BYTES];
        for message in &self.messages[place(first)..place(end)] {
            bytes.extend(u16::try_from(message.len()).expect("short").to_le_bytes());
            bytes.extend(message);
        }
        let header = Header {
            session,
            count: u16::try_from(end - first).expect("few"),
            offset: self.offsets[place(first)],
            sequence: first,
            ..HEADER
        };
        let payload = u16::try_from(bytes.len() - HEADER_BYTES).expect("short");
        header.write(payload, bytes.first_chunk_mut().expect("a header"));
        bytes
    }

    /// What a channel makes of it that loses nothing: the messages, and the digest of the books.
    fn whole(&self) -> (Vec<Message>, u64) {
        let (mut channel, mut heard) = (channel(None), Heard::new());
        for number in 1..self.end() {
            let bytes = self.segment(HEADER.session, number, number + 1);
            channel.on_datagram(&bytes, Nanos(1), &mut heard);
        }
        assert_eq!(channel.counts().message_errors, 0);
        assert_eq!(heard.messages.len(), self.messages.len());
        (heard.messages, channel.books().digest())
    }
}

/// A segment on its way: when it arrives, by which line, what it brings.
struct Arrival {
    at: u64,
    line: u8,
    first: u64,
    end: u64,
    bytes: Vec<u8>,
}

/// When each segment arrives, and how many messages neither line brings. 5 % are lost, 2 % repeated, 2 % out of order.
fn arrivals(
    day: &Day,
    session: SessionNumber,
    may_lose_both: bool,
    seed: u64,
) -> (Vec<Arrival>, u64) {
    let mut random = Random::new(seed ^ 0x5EED);
    let mut brought = vec![[false; 2]; day.messages.len() + 1];
    let mut list = Vec::new();
    for line in [A, B] {
        let mut first = 1;
        while first < day.end() {
            // Each line cuts as it likes, and B has a message only after A has sent it.
            let end = (first + 1 + random.below(12)).min(day.end());
            let numbers = usize::try_from(first).expect("few")..usize::try_from(end).expect("few");
            let is_whole = line == A || brought[numbers.clone()].iter().all(|by| by[0]);
            if random.below(100) >= 5 || (!may_lose_both && !is_whole) {
                brought[numbers].iter_mut().for_each(|by| by[usize::from(line)] = true);
                let mut at = end * STEP_NS / 6 + u64::from(line) * 15_000;
                if random.below(100) < 2 {
                    at += (1 + random.below(5)) * STEP_NS + 1;
                }
                let bytes = day.segment(session, first, end);
                if random.below(100) < 2 {
                    let at = at + random.below(4) * STEP_NS;
                    list.push(Arrival { at, line, first, end, bytes: bytes.clone() });
                }
                list.push(Arrival { at, line, first, end, bytes });
            }
            first = end;
        }
        // A heartbeat before the first message, and more behind the last.
        let beat = |at, next| {
            let bytes = day.segment(session, next, next);
            Arrival { at, line, first: next, end: next, bytes }
        };
        list.push(beat(0, 1));
        let last = (day.end() / 6 + 10) * STEP_NS;
        list.extend((1..100).map(|number| beat(last + number * 10 * STEP_NS, day.end())));
    }
    list.sort_by_key(|arrival| arrival.at);
    let missing = brought[1..].iter().filter(|&&by| by == [false; 2]).count();
    (list, u64::try_from(missing).expect("few"))
}

/// A channel on two lines, and what it tells.
struct Run {
    channel: IexChannel,
    heard: Heard,
    now: u64,
    /// Every state it was in, one after another.
    states: Vec<FeedState>,
}

impl Run {
    fn new() -> Run {
        on_hot_allocation(OnHotAllocation::Abort);
        let states = Vec::with_capacity(10_000);
        Run { channel: channel(Some(ORDERING)), heard: Heard::new(), now: 0, states }
    }

    /// One datagram and what a duty cycle does after it. The channel must not allocate.
    fn take(&mut self, at: u64, line: u8, bytes: &[u8]) {
        self.now = at;
        let _hot = HotZone::enter("feed");
        self.channel.on_line(line, bytes, Nanos(at), &mut self.heard);
        self.cycle(at);
    }

    fn cycle(&mut self, now: u64) {
        self.now = now;
        if self.channel.waits() {
            self.channel.advance(Nanos(now), &mut self.heard);
        }
        let state = self.channel.check(Nanos(now));
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
    }

    /// The same messages on both lines, `STEP_NS` later, and heard out.
    fn both(&mut self, day: &Day, first: u64, end: u64) {
        let bytes = day.segment(HEADER.session, first, end);
        for line in [A, B] {
            self.take(self.now + STEP_NS, line, &bytes);
        }
    }

    fn take_all(&mut self, list: &[Arrival]) {
        let from = self.now;
        for Arrival { at, line, bytes, .. } in list {
            self.take(from + at, *line, bytes);
        }
        assert_eq!(hot_allocation_count(), 0);
        let counts = self.channel.counts();
        assert_eq!((counts.refused_packets(), counts.message_errors), (0, 0));
    }

    fn is_whole(&self, day: &Day, note: &str) {
        let (messages, digest) = day.whole();
        assert_eq!(self.states.last(), Some(&FeedState::Current), "{note}: {:?}", self.states);
        assert!(self.heard.messages == messages, "{note}: other messages");
        assert_eq!(self.channel.books().digest(), digest, "{note}");
        assert_eq!(self.channel.arbiter().next_sequence(), day.end(), "{note}");
        assert_eq!(self.channel.next_offset(), day.offsets.last().copied(), "{note}");
    }
}

#[test]
fn two_bad_lines_give_the_books_of_a_good_one() {
    let mut reordered = 0;
    for seed in 0..SEEDS {
        let day = Day::new(seed, MESSAGES);
        let (list, missing) = arrivals(&day, HEADER.session, false, seed);
        assert_eq!(missing, 0);
        let mut run = Run::new();
        run.take_all(&list);
        run.is_whole(&day, &format!("seed {seed}"));
        assert_eq!(run.states, [FeedState::Current], "seed {seed}");
        let counts = run.channel.arbiter().counts();
        assert_eq!((counts.gaps, counts.missing, counts.refuted), (0, 0, 0), "seed {seed}");
        reordered += counts.reordered;
        let lines = run.channel.arbiter().line_counts();
        for (line, counts) in (A..).zip(lines) {
            let of_line = || list.iter().filter(|arrival| arrival.line == line);
            let data = of_line().filter(|arrival| arrival.end > arrival.first).count();
            let with_messages = counts.first + counts.late + counts.duplicates;
            assert_eq!(usize::try_from(with_messages), Ok(data), "seed {seed} line {line}");
            assert_eq!(usize::try_from(counts.packets), Ok(of_line().count()));
            let plain = missing_of(&day, of_line());
            assert_eq!(counts.missing, plain, "seed {seed} line {line}");
            assert_eq!((counts.errors, counts.doubted), (0, 0));
            assert!(counts.duplicates > 50 && counts.out_of_order > 50, "{counts:?}");
        }
        assert!(lines[0].first > lines[1].first && lines[1].late > lines[0].late);
    }
    println!("{reordered} holes filled in {SEEDS} days");
    assert!(reordered > 1_000 * SEEDS);
}

/// Messages a line never brought.
fn missing_of<'a>(day: &Day, list: impl Iterator<Item = &'a Arrival>) -> u64 {
    let mut brought = vec![false; day.messages.len() + 1];
    for Arrival { first, end, .. } in list {
        for number in *first..*end {
            brought[usize::try_from(number).expect("few")] = true;
        }
    }
    u64::try_from(brought[1..].iter().filter(|&&is_there| !is_there).count()).expect("few")
}

#[test]
fn what_neither_line_brings_is_missing_and_the_next_session_heals_it() {
    let (mut gaps, mut missing_all) = (0, 0);
    for seed in 0..SEEDS {
        let day = Day::new(seed, MESSAGES / 10);
        let (list, missing) = arrivals(&day, HEADER.session, true, seed);
        let mut run = Run::new();
        run.take_all(&list);
        let counts = run.channel.arbiter().counts();
        assert!(missing > 0, "seed {seed} loses nothing");
        assert_eq!(counts.missing, missing, "seed {seed}");
        assert_eq!(run.states, [FeedState::Current, FeedState::Stale], "seed {seed}");
        assert_eq!(
            run.heard.messages.len() + usize::try_from(missing).expect("few"),
            MESSAGES / 10
        );
        (gaps, missing_all) = (gaps + counts.gaps, missing_all + missing);
        let (list, _) = arrivals(&day, SessionNumber(8), false, seed);
        run.take_all(&list);
        run.is_whole(&day, &format!("seed {seed}, another session"));
        let after = run.channel.arbiter().counts();
        assert_eq!((after.gaps, after.session_changes), (counts.gaps, 1), "seed {seed}");
        assert_eq!(run.heard.cleared, 1);
    }
    println!("{missing_all} messages in {gaps} gaps");
}

#[test]
fn the_longest_message_is_kept_whole_behind_a_hole() {
    let day = Day::new(1, 400);
    assert!(day.messages.iter().any(|message| message.len() == 80));
    let mut run = Run::new();
    // Everything but the first waits for it, on both lines.
    for part in (0..50).rev() {
        let bytes =
            day.segment(HEADER.session, part * 8 + if part == 0 { 2 } else { 1 }, part * 8 + 9);
        run.take(run.now + 1, if part % 2 == 0 { A } else { B }, &bytes);
    }
    assert_eq!(run.heard.messages.len(), 0);
    run.take(run.now + 1, A, &day.segment(HEADER.session, 1, 2));
    run.is_whole(&day, "backwards");
    assert_eq!(run.channel.arbiter().counts().gaps, 0);
}

#[test]
fn what_one_line_alone_tells_does_not_put_a_channel_out() {
    let day = Day::new(2, 4_000);
    let far = |sequence: u64, count: u64, session| {
        let mut bytes = day.segment(session, 1, 1 + count);
        bytes[24..32].copy_from_slice(&sequence.to_le_bytes());
        bytes[16..24].copy_from_slice(&77_u64.to_le_bytes());
        bytes
    };
    for (name, forged) in [
        ("far", far(1 << 40, 1, HEADER.session)),
        ("the last", far(u64::MAX / 2 - 1, 1, HEADER.session)),
        ("a far heartbeat", far(1 << 40, 0, HEADER.session)),
        ("a near heartbeat", far(1_100, 0, HEADER.session)),
        ("another session", far(1, 3, SessionNumber(9))),
        ("the end of another session", far(1 << 50, 0, SessionNumber(9))),
    ] {
        for line in [A, B] {
            let mut run = Run::new();
            run.both(&day, 1, 1_001);
            for number in 1_001..day.end() {
                if number % 1_000 == 1 {
                    run.take(run.now + 1, line, &forged);
                }
                run.both(&day, number, number + 1);
            }
            run.cycle(run.now + 2_000_000);
            run.is_whole(&day, name);
            assert_eq!(run.states, [FeedState::Current], "{name}");
            let counts = run.channel.arbiter().counts();
            assert_eq!((counts.gaps, counts.session_changes), (0, 0), "{name}");
            assert_eq!(run.heard.cleared, 0);
            let doubted = run.channel.arbiter().line_counts().map(|counts| counts.doubted);
            assert_eq!(doubted[usize::from(1 - line)], 0, "{name}");
            println!("{name} on line {line}: doubted {doubted:?}, {} refuted", counts.refuted);
        }
    }
}

#[test]
fn a_segment_that_contradicts_the_stream_of_bytes_is_refused_and_the_other_lines_is_taken() {
    let day = Day::new(3, 600);
    let shifted = |first, end, by: u64| {
        let mut bytes = day.segment(HEADER.session, first, end);
        let offset = day.offsets[usize::try_from(first).expect("few") - 1] + by;
        bytes[16..24].copy_from_slice(&offset.to_le_bytes());
        bytes
    };
    let mut run = Run::new();
    run.both(&day, 1, 101);
    for (first, end) in [(101, 103), (90, 103), (101, 101)] {
        run.take(run.now + 1, A, &shifted(first, end, 1));
    }
    assert_eq!(run.heard.messages.len(), 100);
    for number in 101..day.end() {
        run.both(&day, number, number + 1);
    }
    run.is_whole(&day, "one line contradicted");
    assert_eq!(run.states, [FeedState::Current]);
    assert_eq!(
        (run.channel.counts().offset_faults, run.channel.counts().packets),
        (3, 2 * 501 + 3)
    );
    assert_eq!(run.channel.arbiter().line_counts().map(|counts| counts.errors), [3, 0]);
    // What both lines contradict is a gap, and the stream goes on behind it from where it says.
    let mut run = Run::new();
    run.both(&day, 1, 101);
    for number in 101..day.end() {
        let bytes = shifted(number, number + 1, 1_000);
        for line in [A, B] {
            run.take(run.now + STEP_NS, line, &bytes);
        }
    }
    assert_eq!(run.channel.counts().offset_faults, 2);
    let counts = run.channel.arbiter().counts();
    assert_eq!((counts.gaps, counts.missing), (1, 1));
    assert_eq!(run.states, [FeedState::Current, FeedState::Stale]);
    assert_eq!(run.heard.messages.len(), 599);
    assert_eq!(run.channel.next_offset(), day.offsets.last().map(|offset| offset + 1_000));
}

#[test]
fn a_stream_that_begins_again_under_its_old_name_is_followed() {
    let (day, again) = (Day::new(6, 300), Day::new(7, 600));
    let mut run = Run::new();
    run.both(&day, 1, 201);
    for number in 1..again.end() {
        run.both(&again, number, number + 1);
    }
    // Its first messages were taken for copies, as long as it could be copies that came.
    let lost = again.messages.len() - run.heard.messages.len();
    assert!((1..20).contains(&lost), "{lost}");
    let counts = run.channel.arbiter().counts();
    assert_eq!((counts.restarts, counts.gaps), (1, 1));
    assert_eq!(run.states.last(), Some(&FeedState::Stale), "its beginning is missing");
    assert_eq!((run.heard.cleared, run.channel.counts().offset_faults), (1, 0));
    assert_eq!(run.channel.next_offset(), again.offsets.last().copied());
}

#[test]
fn an_end_that_comes_too_early_ends_the_session_once_it_is_reached() {
    let mut day = Day::new(4, 40);
    day.push([[b'S', b'C'].as_slice(), &TIME_NS.to_le_bytes()].concat());
    let mut run = Run::new();
    run.both(&day, 1, 31);
    run.take(run.now + 1, A, &day.segment(HEADER.session, 35, day.end()));
    assert_eq!(run.states, [FeedState::Current]);
    run.take(run.now + 1, B, &day.segment(HEADER.session, 31, 35));
    assert_eq!(run.states, [FeedState::Current, FeedState::Ended]);
    run.both(&day, day.end(), day.end());
    run.cycle(run.now + 2 * STALE_AFTER_NS);
    assert_eq!(run.states, [FeedState::Current, FeedState::Ended]);
    assert_eq!(run.heard.messages.len(), 41);
}

#[test]
fn a_hole_nobody_fills_is_a_gap_when_time_says_so() {
    let day = Day::new(5, 40);
    let mut run = Run::new();
    run.both(&day, 1, 11);
    run.both(&day, 12, 21);
    let opened = run.now;
    run.cycle(opened + 900_000);
    assert_eq!(run.states, [FeedState::Current]);
    assert!(run.channel.waits());
    run.both(&day, 21, 22);
    run.cycle(opened + 1_000_000);
    assert_eq!(run.states, [FeedState::Current, FeedState::Stale]);
    assert!(!run.channel.waits());
    assert_eq!((run.channel.arbiter().counts().gaps, run.heard.messages.len()), (1, 20));
    // What was missed comes too late.
    run.both(&day, 11, 12);
    assert_eq!((run.states.len(), run.heard.messages.len()), (2, 20));
}

/// Two lines whose segments have any session, number and offset, as well as damage.
#[test]
fn a_channel_on_two_lines_takes_any_session_and_number() {
    let ordering = Ordering {
        lines: 2,
        packets_max: 8,
        wait_ns: 50,
        line_wait_ns: 20,
        messages_max: 256,
        confirm_packets: 3,
    };
    let mut random = Random::new(8);
    let day = Arc::new(Day::new(9, 1_000));
    let (mut channel, mut heard) = (channel(Some(ordering)), Heard::new());
    let mut current = 1;
    for round in 0..40_000 {
        let own = 1 + random.below(990);
        let own_name =
            |number: &u32| channel.arbiter().session() == Some(SessionNumber(*number).name());
        let session = (1..=current).rev().find(own_name).unwrap_or(current);
        let session = session + u32::from(random.one_in(50));
        current = current.max(session);
        let mut bytes = day.segment(SessionNumber(session), own, own + random.below(6));
        let next = channel.arbiter().next_sequence();
        let sequence = match random.index(40) {
            0 => random.below(u64::MAX),
            1 => u64::MAX / 2 - random.below(40),
            2..6 => random.below(next.saturating_add(1_000)),
            6..20 => next.saturating_add(random.below(12)),
            _ => next,
        };
        bytes[24..32].copy_from_slice(&sequence.to_le_bytes());
        let offset = channel.next_offset().filter(|_| !random.one_in(20));
        let offset = offset.unwrap_or_else(|| random.below(1 << 40));
        bytes[16..24].copy_from_slice(&offset.to_le_bytes());
        if random.one_in(20) {
            random.damage(&mut bytes);
        }
        let now = Nanos(round * 7);
        for _ in 0..=random.index(3) {
            channel.on_line(random.byte() % 2, &bytes, now, &mut heard);
        }
        if channel.waits() {
            channel.advance(now, &mut heard);
        }
        channel.check(now);
    }
    let (counts, arbiter) = (channel.counts(), channel.arbiter().counts());
    println!("{} messages, {} offset faults, {arbiter:?}", counts.messages, counts.offset_faults);
    assert!(
        counts.messages > 1_000 && arbiter.gaps > 10 && arbiter.session_changes > 0,
        "{arbiter:?}"
    );
    assert!(counts.offset_faults > 100 && counts.packet_errors > 100);
    let errors: u64 = channel.arbiter().line_counts().iter().map(|counts| counts.errors).sum();
    assert_eq!(errors, counts.refused_packets());
}
