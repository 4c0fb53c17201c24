//! However the agents are grouped and in whatever order they are polled: the same requests get the same decisions.

mod gateway_support;

use std::collections::BTreeMap;

use gateway_support::mischief::{Mischief, Trouble};
use gateway_support::strategy::Line;
use gateway_support::{MS, PARTS, Part, Random, Setup, World, cents, decisions};
use postern::codec::journal::Decision;
use postern::risk::Position;
use postern::types::{OrderId, Side};

/// Orders of polling: as threads would do it that are fused, fused the other way round, or of different speed.
fn layouts() -> Vec<Vec<Part>> {
    let mut backwards = PARTS.to_vec();
    backwards.reverse();
    vec![
        PARTS.to_vec(),
        backwards,
        vec![Part::Strategies, Part::Entry, Part::Entry, Part::Entry, Part::Journal, Part::Risk]
            .into_iter()
            .chain([Part::Router, Part::Router, Part::Wire, Part::Venue, Part::Wire])
            .collect(),
        vec![Part::Venue, Part::Wire, Part::Router, Part::Risk, Part::Risk, Part::Entry]
            .into_iter()
            .chain([Part::Risk, Part::Strategies, Part::Router, Part::Journal])
            .collect(),
    ]
}

/// What a run came to: decisions, orders as their strategies know them, positions.
type Outcome = (Vec<Decision>, Vec<BTreeMap<u64, Line>>, Vec<Position>);

fn outcome(world: World, directory: &std::path::Path) -> Outcome {
    let positions = world.positions();
    let lines = world.strategies.iter().map(|s| s.lines.clone()).collect();
    drop(world);
    (decisions(directory), lines, positions)
}

/// Every kind of request, one after the other: the next is sent when all of the last one is done. Risk then has its inputs
/// in the same order in any layout.
fn one_by_one(seed: u64, layout: &[Part]) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let mut world = World::open(&Setup::new(directory.path()));
    let mut mischief = Mischief::new(seed, Trouble::NONE);
    for step in 0..3_000 {
        world.now = world.now.plus(MS);
        mischief.request(&mut world, step % 2);
        world.settle_in(layout);
    }
    outcome(world, directory.path())
}

#[test]
fn requests_in_the_same_order_get_the_same_decisions_in_every_layout() {
    for seed in 1..=2 {
        let mut layouts = layouts();
        let expected = one_by_one(seed, &layouts.remove(0));
        assert!(expected.0.len() > 2_000, "{} decisions", expected.0.len());
        for layout in layouts {
            let found = one_by_one(seed, &layout);
            assert!(found.0 == expected.0, "seed {seed}: decisions differ with {layout:?}");
            assert_eq!(found.1, expected.1, "seed {seed}, {layout:?}");
            assert_eq!(found.2, expected.2, "seed {seed}, {layout:?}");
        }
    }
}

/// New orders of one strategy, sent as fast as there is room, while parts are polled at random. No limit that depends on
/// what has become of earlier orders is near.
fn all_at_once(seed: u64, polling: u64, slots: usize) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let mut setup = Setup::new(directory.path());
    setup.ring_slots = slots;
    setup.risk_router_slots = slots.max(16);
    setup.risk.open_orders_max = 20_000;
    for session in &mut setup.risk.sessions {
        session.open_orders_max = 20_000;
    }
    for account in &mut setup.risk.accounts {
        for (_, limits) in &mut account.instruments {
            (limits.long_max, limits.short_max) = (Some(1 << 40), Some(1 << 40));
        }
    }
    let mut world = World::open(&setup);
    let (mut orders, mut order_of_polls) = (Random::new(seed), Random::new(polling));
    let mut left = 3_000;
    while left > 0 {
        let burst = order_of_polls.small(20);
        for _ in 0..burst.min(left) {
            let side = if orders.one_in(2) { Side::Buy } else { Side::Sell };
            let (off, qty) = (orders.small(700), 1 + orders.small(600));
            let price = cents(9_650 + i64::from(off));
            world.strategies[0].limit(world.now, (1, side), price, qty);
            left -= 1;
        }
        for _ in 0..order_of_polls.small(30) {
            let place = usize::try_from(order_of_polls.small(7)).expect("few");
            world.poll(PARTS[place]);
        }
        world.now = world.now.plus(1_000);
    }
    world.settle();
    let mut outcome = outcome(world, directory.path());
    // Part of an identifier is its place in the order table, which depends on which orders ended before.
    outcome.0.iter_mut().for_each(|decision| decision.order_id = OrderId(0));
    outcome
}

#[test]
fn orders_get_the_same_decisions_however_the_polls_interleave() {
    let expected = all_at_once(1, 1, 128);
    let denied = expected.1[0].values().filter(|l| !l.accepted).count();
    assert!((300..2_000).contains(&denied), "{denied} denied");
    for (polling, slots) in [(2, 128), (3, 128), (4, 16), (5, 4), (6, 2), (7, 2)] {
        let found = all_at_once(1, polling, slots);
        assert!(found == expected, "polls by seed {polling} with {slots} slots");
    }
}
