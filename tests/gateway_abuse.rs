//! Strategies, networks and operators at their worst: no limit is ever exceeded on the wire, and every order ends once.
//!
//! The account of what went over the wire is naive and knows nothing of the gateway: it adds up what the exchange was sent
//! and what it said.

mod gateway_support;

use gateway_support::mischief::{Mischief, Trouble};
use gateway_support::strategy::End;
use gateway_support::wire::State;
use gateway_support::{MS, Part, Setup, VENUE, World, cents};
use postern::types::{DenyReason, Side};

const LONG_MAX: i64 = 3_000;
const SHORT_MAX: i64 = 2_500;
const QTY_MAX: u32 = 500;

/// No order that was ever on the wire is above a limit, nor what they could have come to together at any instant.
fn assert_limits(world: &World) {
    let notional_max = i128::from(cents(10_000).units()) * 400;
    for (id, order) in &world.wire.orders {
        assert!(order.qty.max(order.asked.unwrap_or(0)) <= QTY_MAX, "order {id}: {order:?}");
        if let Some(price) = order.price {
            let worth = i128::from(price.units()).abs() * i128::from(order.qty);
            assert!(price > cents(0) && worth <= notional_max, "order {id}: {order:?}");
        }
    }
    for (place, &(long, short)) in &world.wire.worst {
        assert!(long <= LONG_MAX && short <= SHORT_MAX, "{place:?}: {long} long, {short} short");
    }
}

/// What each strategy was told is what the wire saw, and what risk holds.
fn assert_accounts(world: &World) {
    for (&(account, instrument), &net) in &world.wire.net {
        let position = world.position(account, instrument);
        assert_eq!(position.net, net, "account {account}, instrument {instrument}");
    }
}

fn play(world: &mut World, mischief: &mut Mischief, cycles: u64) {
    for cycle in 0..cycles {
        mischief.trouble(world);
        for _ in 0..mischief.random.small(4) {
            let index = usize::from(mischief.random.one_in(2));
            mischief.request(world, index);
        }
        if mischief.trouble.disconnects && mischief.random.one_in(1_500) {
            world.strategies[0].reads ^= true;
        }
        world.cycle(MS / 2 + u64::from(mischief.random.small(1_000_000)));
        if cycle % 16 == 0 {
            assert_limits(world);
        }
    }
}

#[test]
fn no_limit_is_exceeded_on_the_wire_whatever_happens() {
    for seed in 1..=4 {
        let directory = tempfile::tempdir().expect("a directory");
        let mut setup = Setup::new(directory.path());
        setup.background = Some(seed);
        let mut world = World::open(&setup);
        let mut mischief = Mischief::new(seed, Trouble::ALL);
        play(&mut world, &mut mischief, 6_000);
        mischief.heal(&mut world);
        assert_limits(&world);
        assert_accounts(&world);
        let counts = world.risk.engine().counts();
        assert!(counts.orders_approved > 500, "seed {seed}: {counts:?}");
        for reason in [DenyReason::QtyAboveLimit, DenyReason::LongAboveLimit] {
            assert!(counts.denied_for(reason) > 0, "seed {seed}: {reason} did not happen");
        }
        assert_eq!(counts.overfills, 0);
        assert_eq!(counts.inputs_unexpected, 0);
    }
}

/// As above, but no message is ever lost: so in the end every order is known to have ended, once.
#[test]
fn every_order_ends_in_exactly_one_state() {
    for (seed, slots) in [(11, 128), (12, 128), (13, 2), (14, 4)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut setup = Setup::new(directory.path());
        setup.background = Some(seed);
        (setup.ring_slots, setup.risk_router_slots) = (slots, slots.max(16));
        let trouble = Trouble { wire: false, disconnects: false, garbage: false, ..Trouble::ALL };
        let mut world = World::open(&setup);
        let mut mischief = Mischief::new(seed, trouble);
        play(&mut world, &mut mischief, 5_000);
        mischief.heal(&mut world);
        let now = world.now;
        for strategy in &mut world.strategies {
            assert!(strategy.mass_cancel(now));
        }
        // Small rings carry a message or two in a cycle.
        for _ in 0..2_000 {
            world.cycle(MS);
        }
        assert_limits(&world);
        assert_accounts(&world);
        let mut ends = [0; 4];
        for (index, strategy) in world.strategies.iter().enumerate() {
            assert_eq!(strategy.lost_count, 0);
            for (id, line) in &strategy.lines {
                assert_eq!(
                    line.ends,
                    1 + line.reused,
                    "seed {seed}, strategy {index}, order {id}: {line:?}"
                );
                match line.end {
                    Some(End::Denied(_)) => ends[0] += 1,
                    Some(End::Rejected) => ends[1] += 1,
                    Some(End::Filled) => ends[2] += 1,
                    Some(End::Canceled) => ends[3] += 1,
                    None => unreachable!("it ended once"),
                }
            }
        }
        assert!(ends[0] > 100 && ends[2] > 10 && ends[3] > 50, "seed {seed}: {ends:?}");
        assert_eq!(world.risk.engine().open_order_count(), 0, "seed {seed}");
        for position in world.positions() {
            assert_eq!((position.open_buys, position.open_sells), (0, 0), "{position:?}");
        }
        assert!(world.wire.orders.values().all(|order| order.ended), "seed {seed}");
    }
}

#[test]
fn an_order_whose_venue_went_silent_keeps_its_exposure_until_the_venue_speaks() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut world = World::open(&Setup::new(directory.path()));
    let now = world.now;
    let resting = world.strategies[0].limit(now, (1, Side::Buy), cents(9_990), 300);
    world.settle();
    // The exchange gets the second, and its word on it is lost.
    world.wire.state = State::Deaf;
    let unheard = world.strategies[0].limit(now, (1, Side::Buy), cents(9_990), 200);
    world.settle();
    assert!(world.strategies[0].lines[&resting].accepted);
    assert!(!world.strategies[0].lines[&unheard].accepted);
    assert_eq!(world.position(1, 1).open_buys, 500);
    // Both ends find out that the link is dead.
    world.wire.state = State::Cut;
    for _ in 0..1_000 {
        world.cycle(MS);
    }
    assert!(!world.risk.engine().is_venue_up(VENUE));
    assert_eq!(world.position(1, 1).open_buys, 500, "nobody said that they are gone");
    let now = world.now;
    let refused = world.strategies[0].limit(now, (1, Side::Buy), cents(9_990), 1);
    world.settle();
    let line = world.strategies[0].lines[&refused];
    assert_eq!(line.end, Some(End::Denied(DenyReason::VenueDown.code())));
    assert_eq!(world.position(1, 1).open_buys, 500);
    // The exchange cancelled them when it lost the gateway, and says so as soon as it can.
    world.wire.state = State::Open;
    for _ in 0..1_000 {
        world.cycle(MS);
    }
    assert!(world.risk.engine().is_venue_up(VENUE));
    assert_eq!(world.position(1, 1).open_buys, 0);
    for id in [resting, unheard] {
        assert_eq!(world.strategies[0].lines[&id].end, Some(End::Canceled));
        assert_eq!(world.strategies[0].lines[&id].ends, 1);
    }
    let now = world.now;
    let next = world.strategies[0].limit(now, (1, Side::Buy), cents(9_990), 1);
    world.settle();
    assert!(world.strategies[0].lines[&next].accepted);
}

/// The exchange reads nothing, every ring holds two messages: what was sent waits, cancels too, and all of it gets through.
#[test]
fn with_every_ring_full_nothing_is_lost_and_cancels_pass() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut setup = Setup::new(directory.path());
    (setup.ring_slots, setup.risk_router_slots, setup.stream_slots) = (2, 16, 16);
    let mut world = World::open(&setup);
    let resting: Vec<u64> = (0..10)
        .map(|_| {
            let now = world.now;
            let id = world.strategies[0].limit(now, (1, Side::Buy), cents(9_990), 10);
            world.settle();
            id
        })
        .collect();
    world.wire.state = State::Held;
    let (mut sent, now) = (0, world.now);
    let gateway = [Part::Entry, Part::Risk, Part::Router, Part::Strategies];
    for _ in 0..200 {
        for _ in 0..3 {
            sent +=
                u32::from(world.strategies[1].limit(now, (1, Side::Sell), cents(10_010), 1) > 0);
        }
        for part in gateway {
            world.poll(part);
        }
    }
    for id in &resting {
        // All the way back to the strategy there is no room: it comes later.
        while !world.strategies[0].cancel(now, *id) {
            world.wire.state = State::Open;
            world.settle();
        }
    }
    world.wire.state = State::Open;
    world.settle();
    assert!(sent > 20, "{sent} sent");
    let unanswered = |s: &gateway_support::strategy::Strategy| {
        s.lines.values().filter(|l| !l.accepted && l.end.is_none()).count()
    };
    assert_eq!(world.strategies.iter().map(unanswered).sum::<usize>(), 0);
    assert_eq!(world.strategies[0].cancel_reject_count, 0);
    for id in resting {
        let line = world.strategies[0].lines[&id];
        assert_eq!(line.end, Some(End::Canceled), "order {id}: {line:?}");
    }
}
