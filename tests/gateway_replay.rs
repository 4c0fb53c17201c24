//! A long and bad day of the whole gateway, decided again from its journal: byte for byte, and from wherever it was cut off.

mod gateway_support;

use std::fs;
use std::path::Path;

use gateway_support::mischief::{Mischief, Trouble};
use gateway_support::{MS, Random, Setup, World, decisions, replayed};
use postern::gate::Belief;
use postern::journal::{JournalReader, Tail};
use postern::types::DenyReason;

fn play(world: &mut World, mischief: &mut Mischief, orders: u64) {
    let started = world.risk.engine().counts().clone();
    let sum = |world: &World| {
        let counts = world.risk.engine().counts();
        counts.orders_approved + counts.denied_sum - started.orders_approved - started.denied_sum
    };
    while sum(world) < orders {
        mischief.trouble(world);
        for _ in 0..4 {
            let index = usize::from(mischief.random.one_in(2));
            mischief.request(world, index);
        }
        world.cycle(MS / 2 + u64::from(mischief.random.small(1_000_000)));
    }
}

fn setup(directory: &Path, seed: u64) -> Setup {
    let mut setup = Setup::new(directory);
    setup.background = Some(seed);
    setup.segment_bytes = 1 << 18;
    setup
}

/// A copy of the journal in `from` up to a random record, as if its writer had died right after it.
fn cut(from: &Path, to: &Path, random: &mut Random) -> u64 {
    let mut reader = JournalReader::open(from).expect("opens");
    let mut ends = Vec::new();
    let mut starts = Vec::new();
    while let Some(record) = reader.next().expect("no damage") {
        starts.push((record.segment, record.offset));
        ends.push(record.number);
    }
    let count = u32::try_from(ends.len()).expect("32 bits");
    let place = usize::try_from(1 + random.small(count - 1)).expect("few");
    // The record at `place` is the first that is not there any more.
    let (segment, offset) = starts[place];
    for entry in fs::read_dir(from).expect("there") {
        let path = entry.expect("readable").path();
        let Some(stem) = path.file_stem().and_then(|s| s.to_str()) else { continue };
        let Ok(number) = stem.parse::<u64>() else { continue };
        if number < segment {
            fs::copy(&path, to.join(path.file_name().expect("named"))).expect("copied");
        } else if number == segment {
            let mut bytes = fs::read(&path).expect("readable");
            bytes[offset..].fill(0);
            fs::write(to.join(format!("{stem}.open")), bytes).expect("written");
        }
    }
    ends[place - 1]
}

#[test]
fn a_long_bad_day_replays_to_the_same_decisions_from_wherever_it_is_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let setup = setup(directory.path(), 5);
    let mut mischief = Mischief::new(5, Trouble::ALL);
    let mut world = World::open(&setup);
    world.wire.watched = false;
    play(&mut world, &mut mischief, 50_000);
    let live = world.risk.engine();
    let digest = postern::gate::StateMachine::digest(live);
    let counts = live.counts().clone();
    for reason in [
        DenyReason::KilledFirm,
        DenyReason::VenueDown,
        DenyReason::FeedStale,
        DenyReason::QtyAboveLimit,
        DenyReason::LongAboveLimit,
        DenyReason::ShortAboveLimit,
        DenyReason::PriceOutsideCollar,
        DenyReason::DuplicateClOrdId,
    ] {
        assert!(counts.denied_for(reason) > 0, "{reason} did not happen");
    }
    assert!(counts.orders_approved > 1_000, "{counts:?}");
    let (done, again) = replayed(directory.path(), &setup.risk, Belief::Recompute);
    assert_eq!(again, digest);
    assert_eq!(replayed(directory.path(), &setup.risk, Belief::Recorded).1, digest);
    assert!(done.decisions > 50_000 && done.tail == Tail::Clean, "{done:?}");

    let all = decisions(directory.path());
    let mut random = Random::new(6);
    for _ in 0..12 {
        let copy = tempfile::tempdir().expect("a directory");
        let last = cut(directory.path(), copy.path(), &mut random);
        let (done, again) = replayed(copy.path(), &setup.risk, Belief::Recompute);
        assert_eq!(done.last_record, last);
        assert_eq!(replayed(copy.path(), &setup.risk, Belief::Recorded).1, again, "cut at {last}");
        let before = decisions(copy.path());
        assert!(all.starts_with(&before), "cut at {last}");
    }
}

/// A gateway is cut off at a random record, started again from what is there, and trades on: all of it replays.
#[test]
fn a_gateway_that_was_cut_off_goes_on_and_all_of_it_replays() {
    let mut random = Random::new(9);
    let mut directory = tempfile::tempdir().expect("a directory");
    for run in 1..=4 {
        let setup = setup(directory.path(), run);
        let mut mischief = Mischief::new(run, Trouble::ALL);
        let mut world = World::new(&setup);
        for strategy in &mut world.strategies {
            strategy.next_id = run * 1_000_000;
        }
        world.log_on();
        world.wire.watched = false;
        play(&mut world, &mut mischief, 3_000);
        drop(world);
        let copy = tempfile::tempdir().expect("a directory");
        cut(directory.path(), copy.path(), &mut random);
        directory = copy;
        let (_, recomputed) = replayed(directory.path(), &setup.risk, Belief::Recompute);
        assert_eq!(
            replayed(directory.path(), &setup.risk, Belief::Recorded).1,
            recomputed,
            "run {run}"
        );
    }
}
