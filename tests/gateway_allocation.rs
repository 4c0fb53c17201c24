//! Entry, risk and router allocate nothing once started, whatever happens: the allocator aborts on a call in their `poll`.

mod gateway_support;

use gateway_support::mischief::{Mischief, Trouble};
use gateway_support::{MS, Setup, World};
use postern::runtime::{
    GuardedAllocator, OnHotAllocation, hot_allocation_count, on_hot_allocation,
};

#[global_allocator]
static ALLOCATOR: GuardedAllocator = GuardedAllocator;

#[test]
fn a_started_gateway_allocates_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut setup = Setup::new(directory.path());
    setup.background = Some(3);
    setup.segment_bytes = 1 << 18;
    on_hot_allocation(OnHotAllocation::Abort);
    let mut world = World::open(&setup);
    world.wire.watched = false;
    let mut mischief = Mischief::new(3, Trouble::ALL);
    for _ in 0..6_000 {
        mischief.trouble(&mut world);
        for _ in 0..2 {
            let index = usize::from(mischief.random.one_in(2));
            mischief.request(&mut world, index);
        }
        world.cycle(MS);
    }
    assert_eq!(hot_allocation_count(), 0);
    let counts = world.risk.engine().counts();
    assert!(counts.orders_approved > 200 && counts.executions > 200, "{counts:?}");
    assert!(counts.cancels_approved > 50 && counts.replaces_approved > 5, "{counts:?}");
}
