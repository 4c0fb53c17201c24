//! What one line says against the other, or against itself: forged and damaged packets, and streams that begin again.

use crate::feed::arbiter::tests::{A, B, BOTH, NEW, OLD, ONE, Rig};
use crate::feed::arbiter::{Arbiter, Join, Ordering};
use crate::feed::moldudp64::{END_OF_SESSION, Session};
use crate::sim::prng::SplitMix;
use crate::types::{FeedState, Nanos};

const OTHER: Session = Session(*b"SESSION003");
const MS: u64 = 1_000_000;

/// As in the field: 2 ms for packets out of order, 10 ms for a silent line, stale after 3 s.
const FIELD: Ordering = Ordering {
    lines: 2,
    packets_max: 64,
    wait_ns: 2 * MS,
    line_wait_ns: 10 * MS,
    messages_max: 4_096,
    confirm_packets: 3,
};

fn field(keeps_gaps: bool) -> Rig {
    let mut rig = Rig::new(Join::First);
    rig.arbiter = Arbiter::new(Join::First, 3_000 * MS).with_ordering(FIELD, keeps_gaps);
    rig
}

/// What is wrong about a packet.
const LIES: [(Session, u64, u16); 18] = [
    (OLD, 1, 1),
    (OLD, 3, 2),
    (OLD, 10, 3),
    (OLD, 10, 0),
    (OLD, 1_000, 3),
    (OLD, 1_000, 0),
    (OLD, 5_000, 3),
    (OLD, 5_000, 0),
    (OLD, 1 << 60, 3),
    (OLD, 1 << 60, 0),
    (OLD, u64::MAX - 1_000, 0),
    (OLD, 0, END_OF_SESSION),
    (OLD, 10, END_OF_SESSION),
    (OLD, 1 << 60, END_OF_SESSION),
    (OTHER, 0, 3),
    (OTHER, 0, 0),
    (OTHER, 1 << 60, 1),
    (OTHER, 0, END_OF_SESSION),
];

#[test]
fn one_lie_on_one_line_changes_nothing_whatever_the_pace() {
    for keeps_gaps in [false, true] {
        for (step_ns, messages) in [(10_000, 1), (30 * MS, 1), (1_000 * MS, 1), (1_000 * MS, 0)] {
            for (place, &(session, ahead, count)) in LIES.iter().enumerate() {
                let case = format!("lie {place}, a packet every {step_ns} ns, {keeps_gaps}");
                let mut rig = field(keeps_gaps);
                let mut next = 1;
                for step in 0..60 {
                    let count_now = if step < 20 { 1 } else { messages };
                    rig.at(step * step_ns).a(next, count_now);
                    assert_eq!(rig.state(), FeedState::Current, "step {step}, {case}");
                    rig.at(step * step_ns + step_ns / 3).b(next, count_now);
                    next += u64::from(count_now);
                    if step == 20 {
                        rig.packet(A, session, next + ahead, count);
                    }
                    assert_eq!(rig.state(), FeedState::Current, "step {step}, {case}");
                }
                assert_eq!((rig.gaps(), rig.begun), ((0, 0), 0), "{case}");
                assert_eq!(rig.arbiter.line_counts()[1].doubted, 0, "{case}");
                // A number near enough is overtaken where messages come; all else is counted.
                let is_near = session == OLD && ahead < 60 && count != END_OF_SESSION;
                let doubted = rig.arbiter.line_counts()[0].doubted;
                assert!(is_near && messages > 0 || doubted > 0, "{doubted}, {case}");
                let applied = u64::try_from(rig.applied.len()).expect("few");
                assert_eq!((applied, rig.arbiter.next_sequence()), (next - 1, next), "{case}");
            }
        }
    }
}

#[test]
fn many_lies_on_one_line_change_nothing_while_the_other_goes_on() {
    for seed in 0..100 {
        let mut random = SplitMix::new(seed);
        let mut rig = field(true);
        let mut next = 1;
        for step in 0..600 {
            rig.at(step * MS).b(next, 2);
            if random.below(4) > 0 {
                rig.a(next, 2);
            }
            next += 2;
            for _ in 0..random.below(4) {
                let (session, ahead, count) =
                    LIES[usize::try_from(random.below(12)).expect("few") + 6];
                // The same number again and again, too.
                let from = if random.below(2) == 0 { next } else { 100_000 };
                rig.packet(A, session, from + ahead.min(1 << 61), count);
            }
            assert_eq!(rig.state(), FeedState::Current, "seed {seed} step {step}");
        }
        assert_eq!((rig.gaps(), rig.begun), ((0, 0), 0), "seed {seed}");
        assert!(rig.arbiter.line_counts()[0].doubted > 100);
        rig.applied_to(next - 1, &[]);
    }
}

#[test]
fn what_both_lines_lost_is_a_gap_at_once_however_long() {
    for lost in [10, 1_000, 1_000_000, 1 << 40] {
        let mut rig = field(true);
        rig.a(1, 1).b(1, 1).at(10).a(2 + lost, 1).b(2 + lost, 1).at(2 * MS + 10);
        let missing = if lost < 4_096 { lost } else { lost + 1 };
        assert_eq!((rig.gaps(), rig.state()), ((1, missing), FeedState::Stale), "{lost}");
        assert_eq!(rig.arbiter.lost(0).map(|(first, _)| first), Some(2));
        // Told by heartbeats.
        let mut quiet = field(true);
        quiet.a(1, 1).b(1, 1).at(10).a(2 + lost, 0).b(2 + lost, 0).at(2 * MS + 10);
        assert_eq!((quiet.gaps(), quiet.state()), ((1, lost), FeedState::Stale), "{lost}");
    }
}

#[test]
fn a_line_alone_is_believed_after_some_packets_and_nothing_of_them_is_lost() {
    // Alone: there is one line, the other never spoke, or it has been silent for long.
    for case in 0..3 {
        let mut rig = if case == 0 { Rig::waiting(ONE, true) } else { Rig::waiting(BOTH, true) };
        rig.a(1, 1);
        if case == 2 {
            rig.b(1, 1).at(101);
        }
        rig.at(110).a(2, 1).a(1_000, 1).a(1_001, 1);
        assert_eq!((rig.gaps(), rig.state()), ((0, 0), FeedState::Current), "{case}");
        rig.a(1_002, 1);
        assert_eq!(rig.at(160).gaps(), (1, 1_000), "{case}: there is no room for any");
        assert_eq!(rig.state(), FeedState::Stale, "{case}");
        let mut session = Rig::waiting(ONE, false);
        session.a(1, 1).packet(A, NEW, 1, 2).packet(A, NEW, 3, 1);
        assert_eq!(session.begun, 0);
        session.applied.clear();
        session.packet(A, NEW, 4, 1).applied_to(4, &[]);
        assert_eq!((session.begun, session.state()), (1, FeedState::Current));
    }
}

#[test]
fn a_line_against_a_silent_one_is_believed_after_a_little_and_against_one_that_objects_much_later()
{
    for objects in [false, true] {
        let mut rig = field(true);
        rig.a(1, 1).b(1, 1);
        let mut believed = None;
        for step in 1..400 {
            rig.at(step * 10 * MS).packet(A, NEW, step, 1);
            if objects {
                rig.b(2, 0);
            }
            if rig.begun > 0 {
                believed.get_or_insert(step);
            }
        }
        assert_eq!(believed, Some(if objects { 301 } else { 3 }));
        assert_eq!(rig.arbiter.session(), Some(NEW));
    }
    // As long as the other line brings messages, it is right.
    let mut rig = field(true);
    for step in 1..2_000 {
        rig.at(step * 10 * MS).b(step, 1).packet(A, NEW, step, 1).packet(
            A,
            OLD,
            1_000_000 + step,
            1,
        );
    }
    assert_eq!((rig.begun, rig.gaps(), rig.state()), (0, (0, 0), FeedState::Current));
}

#[test]
fn the_day_changes_with_the_second_line_and_no_first_message_is_lost() {
    for lost_on_b in 0..3 {
        let mut rig = field(false);
        rig.a(1, 1).b(1, 1).a(2, END_OF_SESSION).b(2, END_OF_SESSION);
        assert_eq!(rig.state(), FeedState::Ended);
        rig.applied.clear();
        // Line B lags by two packets, and may lose its first ones.
        rig.packet(A, NEW, 1, 1).packet(A, NEW, 2, 1).b(2, END_OF_SESSION);
        for first in 1 + lost_on_b..3 {
            rig.packet(B, NEW, first, 1);
        }
        rig.packet(A, NEW, 3, 1).packet(B, NEW, 3, 1).packet(A, OLD, 1, 1).b(2, END_OF_SESSION);
        rig.applied_to(3, &[]);
        assert_eq!((rig.begun, rig.state()), (1, FeedState::Current), "{lost_on_b}");
        assert_eq!(rig.arbiter.counts().late_sessions, 2);
        assert_eq!(rig.arbiter.counts().session_changes, 1);
    }
}

#[test]
fn a_session_that_was_left_comes_back_only_if_nothing_else_comes_for_long() {
    let mut rig = field(true);
    rig.a(1, 1).b(1, 1).packet(A, NEW, 1, 1).packet(B, NEW, 1, 1);
    rig.a(2, 1).b(2, 1).a(3, 1).b(3, 1).a(4, 1).b(4, 1);
    assert_eq!((rig.begun, rig.arbiter.session()), (1, Some(NEW)));
    for step in 1..40 {
        rig.at(step * 100 * MS).a(4 + step, 1).b(4 + step, 1);
    }
    assert_eq!((rig.begun, rig.arbiter.session()), (2, Some(OLD)));
}

#[test]
fn the_end_is_believed_of_both_lines_or_of_one_that_insists() {
    let mut both = field(true);
    both.a(1, 1).b(1, 1).a(2, END_OF_SESSION);
    assert_eq!(both.state(), FeedState::Current);
    assert_eq!(both.b(2, END_OF_SESSION).state(), FeedState::Ended);
    // What follows an end shows that it was none.
    assert_eq!(both.a(2, 1).state(), FeedState::Current);
    for objects in [false, true] {
        let mut one = field(true);
        one.a(1, 1).b(1, 1);
        for step in 1..10 {
            one.at(step * 10 * MS).a(2, END_OF_SESSION);
            if objects {
                one.b(2, 0);
            }
        }
        let expected = if objects { FeedState::Current } else { FeedState::Ended };
        assert_eq!(one.state(), expected);
    }
    let mut alone = Rig::waiting(ONE, true);
    alone.a(1, 1).a(2, END_OF_SESSION).a(2, END_OF_SESSION);
    assert_eq!(alone.state(), FeedState::Current);
    assert_eq!(alone.a(2, END_OF_SESSION).state(), FeedState::Ended);
    assert_eq!(alone.arbiter.line_counts()[0].doubted, 2);
}

#[test]
fn while_everything_is_queued_a_lie_does_not_empty_the_queue() {
    let mut rig = field(true);
    rig.a(1, 1).b(1, 1).arbiter.collect();
    for first in 2..50 {
        rig.a(first, 1).b(first, 1).packet(A, OLD, first << 40, 1).packet(A, OLD, 1, 1);
    }
    assert_eq!(rig.arbiter.join_at(5, rig.now), Ok(()));
    rig.at(1);
    assert_eq!(rig.applied[1..], (5..50).collect::<Vec<u64>>());
    assert_eq!(rig.state(), FeedState::Current);
}

#[test]
fn a_gap_that_was_declared_for_a_lie_is_taken_back() {
    // One line alone is believed near its place; when it goes on from there, it is not.
    let mut rig = field(true);
    rig.a(1, 1).at(10).a(40, 2).at(20 * MS);
    assert_eq!((rig.state(), rig.gaps()), (FeedState::Stale, (1, 38)));
    for first in 2..4 {
        assert_eq!(rig.state(), FeedState::Stale);
        rig.a(first, 1);
    }
    assert_eq!(rig.state(), FeedState::Current);
    assert!(!rig.arbiter.is_recovering() && !rig.arbiter.has_hole());
    assert_eq!(rig.arbiter.counts().refuted, 1);
    for first in 4..60 {
        rig.a(first, 1);
    }
    rig.applied_to(59, &[]);
    let a = rig.arbiter.line_counts()[0];
    assert_eq!((a.doubted, a.missing), (1, 0));
}

#[test]
fn a_stream_that_begins_again_under_the_same_name_is_noticed() {
    for (lines, reached) in [(1, 20), (1, 100_000), (2, 20), (2, 100_000)] {
        let mut rig = field(true);
        if lines == 1 {
            let one = Ordering { lines: 1, ..FIELD };
            rig.arbiter = Arbiter::new(Join::First, 3_000 * MS).with_ordering(one, true);
        }
        for first in (1..reached).step_by(10) {
            rig.a(first, 10);
            if lines == 2 {
                rig.b(first, 10);
            }
        }
        rig.applied.clear();
        let mut told = Vec::new();
        for step in 0..20 {
            rig.at(step * 3 * MS).a(1 + step, 1);
            if lines == 2 {
                rig.b(1 + step, 1);
            }
            told.push(rig.state());
        }
        assert_eq!((rig.begun, rig.arbiter.counts().restarts), (1, 1), "{lines} {reached}");
        assert_eq!(told.last(), Some(&FeedState::Stale), "{lines} {reached}");
        assert_eq!(rig.arbiter.lost(0).map(|(first, _)| first), Some(1));
        // What came before it was noticed is had by a retransmission.
        rig.fill(OLD, 1, 20);
        rig.applied_to(20, &[]);
        assert_eq!(rig.state(), FeedState::Current);
    }
}

#[test]
fn heartbeats_with_a_smaller_number_show_a_restart_too() {
    let mut rig = field(true);
    rig.a(1, 10).b(1, 10);
    for second in 1..10 {
        rig.at(second * 1_000 * MS).a(1, 0).b(1, 0);
        let expected = if second < 8 { 0 } else { 1 };
        assert_eq!(rig.arbiter.counts().restarts, expected, "{second}");
    }
    assert_eq!(rig.state(), FeedState::Current, "of a stream without messages");
    assert_eq!(rig.applied.len(), 10);
}

#[test]
fn copies_and_a_line_behind_are_no_restart() {
    // Line B is a thousand messages behind, and goes on after line A has died.
    let mut rig = field(true);
    for first in 1..=1_000 {
        rig.at(first * MS).a(first, 1);
        if first == 1 {
            rig.b(1, 1);
        }
    }
    for first in 2..=1_010 {
        rig.at((1_000 + first) * MS).b(first, 1);
    }
    // Line A sends all again while line B goes on, or says that nothing has changed.
    for first in 1..500 {
        rig.at((3_000 + first) * MS).a(first, 1);
        match first % 2 {
            0 => rig.b(1_010 + first / 2, 1),
            _ => rig.b(1_011 + first / 2, 0),
        };
    }
    // Each packet twice, and the last ones once more.
    for first in 1_300..1_400 {
        rig.at((4_000 + first) * MS).b(first, 1).b(first, 1).a(first, 1).a(first, 1);
    }
    for first in 1_394..1_400 {
        rig.b(first, 1).a(first, 1);
    }
    assert_eq!((rig.begun, rig.arbiter.counts().restarts), (0, 0));
}

#[test]
fn a_packet_beyond_all_room_before_a_hole_that_is_due_is_taken_in_its_place() {
    let mut rig = field(false);
    rig.a(1, 1).b(1, 1).a(10_000, 0).b(10_000, 0);
    rig.now = Nanos(1_000 + 20 * MS);
    rig.a(7_000, 1);
    assert_eq!((rig.applied.as_slice(), rig.state()), ([1, 7_000].as_slice(), FeedState::Stale));
    assert_eq!(rig.gaps(), (2, 6_998 + 2_999));
}

/// Any packets in any state, by either line: numbers go up but for a stream that begins, nothing overflows, and what both lines
/// say from then on is believed again.
#[test]
fn whatever_came_before_two_whole_lines_are_believed_in_the_end() {
    for seed in 0..1_000 {
        let mut random = SplitMix::new(seed);
        let keeps_gaps = random.below(2) == 0;
        let mut rig = field(keeps_gaps);
        let mut now = 0;
        for _ in 0..400 {
            now += u64::from(random.below(20)) * MS;
            rig.now = Nanos(1_000 + now);
            let session = [OLD, NEW, OTHER][usize::try_from(random.below(3)).expect("few")];
            let next = rig.arbiter.next_sequence();
            let near = next.saturating_sub(5).saturating_add(random.below(12).into());
            let sequence = match random.below(8) {
                0 => random.next_u64(),
                1 => u64::MAX - u64::from(random.below(70_000)),
                2 => u64::from(random.below(50)),
                _ => near,
            };
            let count =
                [0, 1, 1, 2, END_OF_SESSION][usize::try_from(random.below(5)).expect("few")];
            let sequence =
                if count == END_OF_SESSION { sequence } else { sequence.min(u64::MAX - 9) };
            let line = if random.below(2) == 0 { A } else { B };
            let before = (rig.begun, next);
            for step in 0..=u64::from(random.below(4)) {
                let sequence = sequence.min(u64::MAX - 20) + step;
                rig.packet(line, session, sequence, count);
            }
            if random.below(30) == 0 && keeps_gaps {
                rig.arbiter.collect();
                let _ = rig.arbiter.join_at(rig.arbiter.next_sequence(), rig.now);
            }
            rig.at(now);
            let is_on = rig.arbiter.next_sequence() >= before.1 || rig.begun > before.0;
            assert!(is_on, "seed {seed}: back from {}", before.1);
        }
        // A session that was never there before begins on both lines, whatever state this is.
        let last = Session(*b"SESSION009");
        for first in 1..20 {
            rig.packet(A, last, first, 1).packet(B, last, first, 1);
        }
        assert_eq!(rig.arbiter.session(), Some(last), "seed {seed}");
        assert_eq!((rig.state(), rig.arbiter.next_sequence()), (FeedState::Current, 20));
    }
}
