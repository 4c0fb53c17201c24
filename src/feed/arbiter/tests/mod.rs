//! Every state of a channel's sequence against every event.

mod doubt;

use super::*;
use crate::feed::moldudp64::{END_OF_SESSION, HEADER_BYTES, parse};
use crate::sim::prng::SplitMix;
use std::collections::BTreeSet;

const OLD: Session = Session(*b"SESSION001");
const NEW: Session = Session(*b"SESSION002");
const A: u8 = 0;
const B: u8 = 1;

/// Two lines, two packets, 50 ns, 20 ns for a silent line.
const BOTH: Ordering = Ordering {
    lines: 2,
    packets_max: 2,
    wait_ns: 50,
    line_wait_ns: 20,
    messages_max: 64,
    confirm_packets: 3,
};
const ONE: Ordering = Ordering { lines: 1, ..BOTH };

/// A packet whose messages hold their own numbers.
fn packet(session: Session, sequence: u64, count: u16) -> Vec<u8> {
    let mut head = [0; HEADER_BYTES];
    Header { session, sequence, count }.write(&mut head);
    let mut bytes = head.to_vec();
    if count != END_OF_SESSION {
        for number in sequence..sequence + u64::from(count) {
            bytes.extend(8_u16.to_be_bytes());
            bytes.extend(number.to_be_bytes());
        }
    }
    bytes
}

/// An arbiter as a channel uses it, and the numbers it let through.
struct Rig {
    arbiter: Arbiter,
    applied: Vec<u64>,
    begun: u32,
    now: Nanos,
}

impl Rig {
    fn new(join: Join) -> Rig {
        let arbiter = Arbiter::new(join, 100);
        Rig { arbiter, applied: Vec::new(), begun: 0, now: Nanos(1_000) }
    }

    fn waiting(ordering: Ordering, keeps_gaps: bool) -> Rig {
        let mut rig = Rig::new(Join::First);
        rig.arbiter = rig.arbiter.with_ordering(ordering, keeps_gaps);
        rig
    }

    fn at(&mut self, now: u64) -> &mut Rig {
        self.now = Nanos(1_000 + now);
        self.settle();
        self
    }

    fn packet(&mut self, line: u8, session: Session, sequence: u64, count: u16) -> &mut Rig {
        let bytes = packet(session, sequence, count);
        let parsed = parse(&bytes).expect("a packet");
        let judgement = self.arbiter.judge(line, &parsed, self.now);
        self.begun += u32::from(judgement.new_session);
        match judgement.take {
            Take::Nothing => {}
            Take::From { skip } => {
                self.applied.extend((sequence..sequence + u64::from(count)).skip(skip.into()));
            }
            Take::Beyond { first, count } => {
                loop {
                    self.take();
                    if !self.arbiter.pass_over(first) {
                        break;
                    }
                }
                self.arbiter.accept_beyond(first, count);
                self.applied.extend(first..first + u64::from(count));
            }
        }
        self.settle();
        self
    }

    fn take(&mut self) {
        while let Some(bytes) = self.arbiter.take_kept() {
            self.applied.push(u64::from_be_bytes(bytes.try_into().expect("a number")));
        }
    }

    fn settle(&mut self) {
        loop {
            self.take();
            if !self.arbiter.judge_hole(self.now) {
                break;
            }
        }
        self.arbiter.check(self.now);
    }

    fn a(&mut self, sequence: u64, count: u16) -> &mut Rig {
        self.packet(A, OLD, sequence, count)
    }

    fn b(&mut self, sequence: u64, count: u16) -> &mut Rig {
        self.packet(B, OLD, sequence, count)
    }

    fn fill(&mut self, session: Session, sequence: u64, count: u16) -> u64 {
        let bytes = packet(session, sequence, count);
        let new = self.arbiter.fill(&parse(&bytes).expect("a packet"), self.now);
        self.settle();
        new
    }

    fn state(&self) -> FeedState {
        self.arbiter.state()
    }

    fn gaps(&self) -> (u64, u64) {
        (self.arbiter.counts().gaps, self.arbiter.counts().missing)
    }

    /// That the numbers so far are `1..=last` without the ones in `missing`, each once and in order.
    fn applied_to(&self, last: u64, missing: &[u64]) {
        let expected: Vec<u64> = (1..=last).filter(|n| !missing.contains(n)).collect();
        assert_eq!(self.applied, expected);
    }
}

#[test]
fn the_first_copy_counts_and_the_second_is_a_duplicate() {
    let mut rig = Rig::new(Join::First);
    rig.a(1, 3).a(1, 3).applied_to(3, &[]);
    rig.a(2, 5).applied_to(6, &[]);
    assert_eq!(rig.arbiter.next_sequence(), 7);
    assert_eq!(rig.arbiter.counts().duplicates, 5);
    assert_eq!(rig.state(), FeedState::Current);
}

#[test]
fn without_waiting_a_gap_is_told_once_and_makes_the_channel_stale() {
    let mut rig = Rig::new(Join::First);
    rig.a(1, 1).a(5, 1).a(6, 1).applied_to(6, &[2, 3, 4]);
    assert_eq!((rig.gaps(), rig.state()), ((1, 3), FeedState::Stale));
}

#[test]
fn a_heartbeat_shows_a_gap_and_keeps_the_channel_alive() {
    let mut rig = Rig::new(Join::First);
    assert_eq!(rig.arbiter.check(Nanos(0)), FeedState::Stale, "nothing was heard yet");
    rig.a(1, 0);
    assert_eq!(rig.at(100).state(), FeedState::Current);
    assert_eq!(rig.at(101).state(), FeedState::Stale);
    assert_eq!(rig.at(150).a(1, 0).at(250).state(), FeedState::Current);
    assert_eq!(rig.a(3, 0).state(), FeedState::Stale);
    assert_eq!(rig.gaps(), (1, 2));
}

#[test]
fn joining_in_the_middle_is_a_gap_unless_allowed() {
    let mut strict = Rig::new(Join::First);
    strict.a(10, 1);
    assert_eq!((strict.gaps(), strict.state()), ((1, 9), FeedState::Stale));
    let mut lenient = Rig::new(Join::Anywhere);
    lenient.a(10, 1);
    assert_eq!((lenient.gaps(), lenient.state()), ((0, 0), FeedState::Current));
}

#[test]
fn who_joins_late_is_never_current_before_the_beginning_was_had() {
    let mut rig = Rig::waiting(BOTH, true);
    assert_eq!(rig.a(10, 1).state(), FeedState::Stale);
    assert_eq!(rig.gaps(), (0, 0), "it is waited for");
    assert_eq!(rig.b(10, 0).at(50).state(), FeedState::Stale);
    assert_eq!(rig.gaps(), (1, 9));
    assert_eq!(rig.b(1, 9).state(), FeedState::Current);
    rig.applied_to(10, &[]);
}

#[test]
fn a_new_session_begins_anew_and_the_old_one_does_not_come_back() {
    for ordering in [Ordering::OFF, BOTH] {
        let mut rig = Rig::waiting(ordering, false);
        rig.a(2, 1);
        assert_eq!(rig.state(), FeedState::Stale);
        rig.applied.clear();
        rig.packet(A, NEW, 1, 1).packet(B, NEW, 1, 1).applied_to(1, &[]);
        assert_eq!((rig.begun, rig.state()), (1, FeedState::Current), "the gap was the old one's");
        rig.a(3, 1).b(3, 1).applied_to(1, &[]);
        assert_eq!(rig.arbiter.counts().late_sessions, 2);
        assert_eq!(rig.arbiter.next_sequence(), 2);
    }
}

#[test]
fn an_ended_session_is_ended_whatever_else() {
    let mut rig = Rig::new(Join::First);
    rig.a(1, 1).a(2, END_OF_SESSION);
    assert_eq!(rig.at(10_000).state(), FeedState::Ended);
    assert_eq!(rig.gaps(), (0, 0));
    let mut short = Rig::waiting(BOTH, true);
    short.a(1, 1).a(3, END_OF_SESSION).b(3, END_OF_SESSION);
    assert_eq!(short.at(50).state(), FeedState::Ended);
    assert_eq!(short.gaps(), (1, 1), "the end shows what is missing");
    assert_eq!(short.fill(OLD, 2, 1), 1);
    short.applied_to(2, &[]);
}

#[test]
fn a_hole_that_is_filled_in_time_changes_nothing_but_the_order_of_arrival() {
    for keeps_gaps in [false, true] {
        let mut rig = Rig::waiting(ONE, keeps_gaps);
        rig.a(1, 2).a(5, 1).a(4, 1).applied_to(2, &[]);
        assert_eq!(rig.state(), FeedState::Current);
        rig.at(49).a(3, 1).applied_to(5, &[]);
        assert_eq!((rig.gaps(), rig.state()), ((0, 0), FeedState::Current));
        assert_eq!(rig.arbiter.counts().reordered, 1);
        assert!(!rig.arbiter.has_hole());
    }
}

#[test]
fn a_hole_is_a_gap_after_so_many_packets() {
    let mut rig = Rig::waiting(ONE, false);
    rig.a(1, 1).a(3, 2).a(5, 1);
    assert_eq!(rig.gaps(), (0, 0), "two packets may be kept");
    rig.a(6, 1).applied_to(6, &[2]);
    assert_eq!((rig.gaps(), rig.state()), ((1, 1), FeedState::Stale));
}

#[test]
fn a_hole_is_a_gap_after_so_long() {
    let mut rig = Rig::waiting(ONE, false);
    rig.a(1, 1).a(3, 1).at(49).applied_to(1, &[]);
    rig.at(50).applied_to(3, &[2]);
    assert_eq!((rig.gaps(), rig.state()), ((1, 1), FeedState::Stale));
}

#[test]
fn a_gap_is_not_declared_before_the_other_line_went_past_it() {
    let mut rig = Rig::waiting(BOTH, true);
    rig.a(1, 1).b(1, 1);
    rig.a(3, 1).a(4, 1).a(5, 1).a(6, 1);
    assert_eq!(rig.gaps(), (0, 0), "line B may bring it");
    for now in [19, 38, 57, 76] {
        // Line B speaks, so it is waited for, though the time for packets out of order is over.
        rig.at(now).b(2, 0);
        assert_eq!((rig.gaps(), rig.state()), ((0, 0), FeedState::Current), "at {now}");
    }
    rig.at(77).b(2, 1).applied_to(6, &[]);
    assert_eq!((rig.gaps(), rig.arbiter.counts().reordered), ((0, 0), 1));
}

#[test]
fn the_other_line_going_past_a_hole_declares_it() {
    let mut rig = Rig::waiting(BOTH, true);
    rig.a(1, 1).b(1, 1).a(3, 1).a(4, 1).a(5, 1);
    assert_eq!(rig.gaps(), (0, 0));
    rig.b(3, 1);
    assert_eq!((rig.gaps(), rig.state()), ((1, 1), FeedState::Stale));
    assert_eq!(rig.arbiter.lost(0), Some((2, 3)));
}

#[test]
fn a_silent_line_is_not_waited_for_and_one_that_never_spoke_neither() {
    for speaks in [false, true] {
        let mut rig = Rig::waiting(BOTH, true);
        rig.a(1, 1);
        if speaks {
            rig.b(1, 1);
        }
        rig.at(80).a(2, 1).a(4, 1).a(5, 1).a(6, 1);
        assert_eq!(rig.gaps(), (0, 0), "silence before the hole says nothing: {speaks}");
        assert_eq!(rig.at(99).gaps(), (0, 0));
        assert_eq!((rig.at(100).gaps(), rig.state()), ((1, 1), FeedState::Stale));
    }
}

#[test]
fn a_hole_as_old_as_silence_may_be_is_a_gap_even_if_a_line_lags() {
    let mut rig = Rig::waiting(BOTH, true);
    rig.a(1, 1).b(1, 1).a(3, 1);
    for now in (10..100).step_by(10) {
        rig.at(now).b(1, 0);
        assert_eq!(rig.state(), FeedState::Current);
    }
    assert_eq!((rig.at(100).gaps(), rig.state()), ((1, 1), FeedState::Stale));
}

#[test]
fn a_kept_gap_is_recovered_by_a_line_or_by_a_retransmission() {
    for by_line in [false, true] {
        let mut rig = Rig::waiting(ONE, true);
        rig.a(1, 1).a(4, 1).at(50);
        assert_eq!((rig.gaps(), rig.state()), ((1, 2), FeedState::Stale));
        assert!(rig.arbiter.is_recovering());
        rig.a(5, 1).applied_to(1, &[]);
        if by_line {
            rig.a(2, 2);
        } else {
            assert_eq!(rig.fill(OLD, 3, 1), 1);
            assert_eq!(rig.state(), FeedState::Stale);
            assert_eq!((rig.arbiter.missing(2, 4), rig.arbiter.missing(3, 4)), (Some(2), None));
            assert_eq!(rig.fill(OLD, 1, 2), 1);
        }
        rig.applied_to(5, &[]);
        assert_eq!((rig.arbiter.counts().recovered, rig.state()), (1, FeedState::Current));
        assert_eq!(rig.arbiter.counts().retransmitted, if by_line { 0 } else { 2 });
    }
}

#[test]
fn a_retransmission_brings_only_what_is_missing_of_this_session() {
    let mut rig = Rig::waiting(ONE, true);
    assert_eq!(rig.fill(OLD, 1, 1), 0, "it begins no session");
    rig.a(1, 1).a(4, 1).at(50);
    assert_eq!(rig.fill(NEW, 2, 1), 0);
    assert_eq!(rig.fill(OLD, 1, 1), 0, "had before");
    assert_eq!(rig.fill(OLD, 4, 1), 0, "kept already");
    assert_eq!(rig.fill(OLD, 5, 10), 0, "beyond what is known to exist");
    assert_eq!(rig.fill(OLD, 2, 0), 0);
    assert_eq!(rig.fill(OLD, 9, END_OF_SESSION), 0);
    assert_eq!(rig.state(), FeedState::Stale);
    assert_eq!(rig.fill(OLD, 1, 9), 2, "of a packet the part that is");
    rig.applied_to(4, &[]);
    assert_eq!(rig.at(151).state(), FeedState::Stale, "it shows no life of the lines");
}

#[test]
fn giving_up_passes_over_what_is_missing_and_stays_stale_until_the_next_session() {
    let mut rig = Rig::waiting(ONE, true);
    rig.a(1, 1).a(4, 1).at(50);
    assert!(rig.arbiter.give_up());
    rig.settle();
    rig.applied_to(4, &[2, 3]);
    rig.a(5, 1).applied_to(5, &[2, 3]);
    assert_eq!((rig.gaps(), rig.state()), ((1, 2), FeedState::Stale));
    assert!(!rig.arbiter.give_up(), "nothing is declared");
    rig.applied.clear();
    rig.packet(A, NEW, 1, 1).packet(A, NEW, 2, 1).packet(A, NEW, 3, 1).applied_to(3, &[]);
    assert_eq!(rig.state(), FeedState::Current);
}

#[test]
fn what_is_too_far_ahead_overflows_or_is_taken_at_once() {
    let trusting = Ordering { confirm_packets: 1, ..ONE };
    let mut passing = Rig::waiting(trusting, false);
    passing.a(1, 1).a(3, 1).a(1_000, 2);
    let missing: Vec<u64> = (2..1_000).filter(|&n| n != 3).collect();
    passing.applied_to(1_001, &missing);
    assert_eq!(passing.gaps(), (2, 997));

    let mut keeping = Rig::waiting(trusting, true);
    keeping.a(1, 1).a(3, 1).a(1_000, 2);
    assert_eq!(keeping.state(), FeedState::Stale, "declared before its time");
    assert!(keeping.arbiter.take_overflow());
    assert!(!keeping.arbiter.take_overflow());
    keeping.fill(OLD, 2, 1);
    keeping.applied_to(3, &[]);
    // What there was no room for is missing like the rest.
    keeping.at(50);
    assert_eq!(keeping.arbiter.lost(0), Some((4, 68)));
    for first in (4..1_002).step_by(50) {
        keeping.fill(OLD, first, 50);
    }
    keeping.applied_to(1_001, &[]);
    assert_eq!(
        (keeping.at(60).state(), keeping.arbiter.counts().overflows),
        (FeedState::Current, 1)
    );
}

#[test]
fn one_number_from_nowhere_does_not_shut_out_the_stream() {
    let mut rig = Rig::waiting(ONE, true);
    rig.a(1, 1).a(1 << 60, 1).a(2, 2);
    rig.applied_to(3, &[]);
    assert_eq!((rig.at(50).state(), rig.gaps()), (FeedState::Current, (0, 0)));
    rig.arbiter.collect();
    rig.a(4, 1).a(1 << 60, 1).a(5, 1).a(6, 1);
    assert_eq!(rig.arbiter.join_at(6, rig.now), Ok(()));
    rig.settle();
    assert_eq!(rig.applied, [1, 2, 3, 6]);
    assert_eq!(rig.state(), FeedState::Current);
}

#[test]
fn a_snapshot_joins_the_queue_where_its_number_says() {
    for (sequence, applied) in [(2, 2..9), (5, 5..9), (8, 8..9), (9, 9..9)] {
        let mut rig = Rig::waiting(ONE, true);
        rig.a(1, 1).arbiter.collect();
        rig.a(2, 3).a(5, 4);
        assert_eq!((rig.state(), rig.applied.len()), (FeedState::Stale, 1));
        assert_eq!(rig.arbiter.join_at(sequence, rig.now), Ok(()));
        rig.settle();
        assert_eq!(rig.applied[1..], applied.collect::<Vec<u64>>(), "from {sequence}");
        assert_eq!(rig.state(), FeedState::Current);
        assert_eq!(rig.arbiter.next_sequence(), sequence.max(9));
    }
}

#[test]
fn a_snapshot_that_is_older_than_the_queue_or_from_nowhere_is_refused() {
    let mut rig = Rig::waiting(ONE, true);
    rig.a(1, 1).arbiter.collect();
    rig.a(2, 60).a(62, 60);
    assert_eq!(rig.arbiter.join_at(57, rig.now), Err(JoinError::TooOld));
    assert_eq!(rig.arbiter.join_at(123, rig.now), Err(JoinError::TooNew));
    assert_eq!(rig.state(), FeedState::Stale);
    rig.b(123, 0);
    let mut told = rig.arbiter.clone();
    assert_eq!(told.join_at(123, rig.now), Ok(()), "a line told of it meanwhile");
    assert_eq!(rig.arbiter.join_at(58, rig.now), Ok(()));
    rig.settle();
    assert_eq!(rig.applied[1..], (58..122).collect::<Vec<u64>>());
    assert_eq!(rig.arbiter.counts().overflows, 1);
}

#[test]
fn a_hole_behind_the_snapshot_is_a_hole_as_any() {
    let mut rig = Rig::waiting(ONE, true);
    rig.a(1, 1).arbiter.collect();
    rig.a(10, 1).a(12, 1);
    assert_eq!(rig.arbiter.join_at(10, rig.now), Ok(()));
    rig.settle();
    assert_eq!((rig.applied.as_slice(), rig.state()), ([1, 10].as_slice(), FeedState::Current));
    assert_eq!(rig.at(50).state(), FeedState::Stale);
    rig.fill(OLD, 11, 1);
    assert_eq!((rig.applied.len(), rig.state()), (4, FeedState::Current));
}

#[test]
fn a_session_change_ends_a_hole_a_gap_and_a_queue() {
    for event in 0..3 {
        let mut rig = Rig::waiting(BOTH, true);
        rig.a(1, 1).a(3, 1);
        if event > 0 {
            rig.b(3, 1).at(50);
            assert!(rig.arbiter.is_recovering());
        }
        if event > 1 {
            rig.arbiter.collect();
        }
        rig.applied.clear();
        rig.packet(B, NEW, 1, 2).packet(A, NEW, 3, 1).packet(A, OLD, 2, 1).applied_to(3, &[]);
        assert_eq!((rig.begun, rig.state()), (1, FeedState::Current), "event {event}");
        assert!(!rig.arbiter.is_recovering() && !rig.arbiter.has_hole());
    }
}

#[test]
fn a_broken_channel_is_stale_until_a_session_or_a_snapshot() {
    let mut rig = Rig::waiting(ONE, true);
    rig.a(1, 1).arbiter.mark_broken();
    assert_eq!(rig.a(2, 1).state(), FeedState::Stale);
    rig.arbiter.collect();
    assert_eq!(rig.arbiter.join_at(3, rig.now), Ok(()));
    assert_eq!(rig.a(3, 1).state(), FeedState::Current);
    rig.arbiter.mark_broken();
    rig.packet(A, NEW, 1, 1).packet(A, NEW, 2, 1).packet(A, NEW, 3, 1);
    assert_eq!((rig.state(), rig.begun), (FeedState::Current, 1));
}

#[test]
fn each_lines_packets_are_counted_where_they_belong() {
    let mut rig = Rig::waiting(BOTH, true);
    rig.a(1, 1).b(1, 1).b(2, 1).b(3, 1).a(3, 1).a(2, 1).a(2, 1).b(6, 1).b(6, 0);
    let counts = rig.arbiter.line_counts();
    let a =
        LineCounts { packets: 4, first: 1, late: 2, duplicates: 1, out_of_order: 1, ..counts[0] };
    let b =
        LineCounts { packets: 5, first: 3, late: 1, duplicates: 0, out_of_order: 0, ..counts[1] };
    assert_eq!(counts, [a, b]);
    assert_eq!((a.missing, b.missing), (0, 2));
}

/// Lines that lose, repeat and exchange packets, against a set of numbers: every number that a line brought in time is
/// applied once and in order, and no gap is declared that the other line fills.
#[test]
fn nothing_that_a_line_brings_is_missing() {
    for seed in 0..200 {
        let mut random = SplitMix::new(seed);
        let mut rig = Rig::waiting(Ordering { messages_max: 2_048, ..BOTH }, true);
        let (mut lost, mut first) = (BTreeSet::new(), 1);
        let mut behind: Option<(u64, u16)> = None;
        for step in 0..400 {
            rig.at(step * 2);
            let count = u16::try_from(random.below(4)).expect("few") + 1;
            // Line A, or both.
            let loses_a = random.below(8) == 0;
            let loses_b = random.below(if loses_a { 4 } else { 8 }) == 0;
            if loses_a && loses_b {
                lost.extend(first..first + u64::from(count));
            }
            if !loses_a {
                rig.a(first, count);
            }
            if random.below(16) == 0 && first > 1 {
                let back = u64::from(random.below(30));
                rig.a(first.saturating_sub(back).max(1), 1);
                lost.remove(&first.saturating_sub(back).max(1));
            }
            if let Some((first, count)) = behind.take() {
                rig.b(first, count);
            }
            if !loses_b {
                behind = Some((first, count));
            }
            first += u64::from(count);
        }
        if let Some((first, count)) = behind {
            rig.b(first, count);
        }
        let last = first - 1;
        rig.at(800).a(first, 0).b(first, 0).at(899);
        while let Some((first, end)) = rig.arbiter.lost(0) {
            assert!((first..end).all(|number| lost.contains(&number)), "seed {seed}");
            rig.fill(OLD, first, u16::try_from(end - first).expect("few"));
        }
        rig.applied_to(last, &[]);
        assert!(rig.arbiter.counts().missing <= u64::try_from(lost.len()).expect("few") * 2);
    }
}
