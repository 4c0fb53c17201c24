//! Nothing is allocated once streams are set up: offers, polls, refusals, the driver and the client's conductor.

#[path = "support/transport.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use postern::transport::{
    AeronConfig, Client, DriverMode, Inbound, OfferError, Outbound, Publication, Subscription,
    memory,
};
use postern::types::Nanos;
use support::{Directory, free_port, now, receive, send, wait_for};

/// Counts the allocations of each thread. Those of Aeron's C code are not seen here; they were counted with an
/// interposed `malloc` and are none.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    // At the end of a thread the cell may be gone.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

#[allow(unsafe_code, reason = "a global allocator is unsafe by its nature")]
// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_one();
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and releases of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 10]))), 2);
}

/// Offers and polls `messages` times; returns how many were refused.
fn relay<O: Outbound, I: Inbound>(
    messages: u32,
    publication: &mut O,
    subscription: &mut I,
    mut service: impl FnMut(Nanos),
) -> u64 {
    let (mut sent, mut received, mut refused) = (0, 0, 0u64);
    let start = now();
    while received < messages {
        let now = now();
        assert!(now.since(start) < 120_000_000_000, "{sent} sent, {received} received");
        service(now);
        // Two a loop, so that it is refused now and then.
        for _ in 0..2 {
            let offer = publication.offer(96, |bytes| bytes.fill(7));
            match offer {
                Ok(()) => sent += 1,
                Err(_) => refused += 1,
            }
        }
        let read = subscription.poll(1, &mut |fragment| assert_eq!(fragment.bytes, [7; 96]));
        received += u32::try_from(read.expect("open")).expect("one");
        assert!(subscription.next_event().is_none());
    }
    refused
}

fn settle(client: &mut Client, publication: &mut Publication, subscription: &mut Subscription) {
    send(&mut [client], publication, b"first");
    receive(&mut [client], subscription);
    wait_for("event", || subscription.next_event());
}

fn steady_state(config: &AeronConfig, channel: &str, messages: u32) {
    let mut client = Client::start(config).expect("started");
    let mut subscription = client.add_subscription(channel, 1001).expect("subscribed");
    let mut publication = client.add_publication(channel, 1001).expect("published");
    // A stream that nobody reads, for the refusal of a stream that is not connected.
    let mut lonely = client.add_publication("aeron:ipc", 1002).expect("published");
    settle(&mut client, &mut publication, &mut subscription);
    let mut refused = 0;
    let count = allocations(|| {
        refused = relay(messages, &mut publication, &mut subscription, |now| {
            client.service(now).expect("up");
            assert_eq!(lonely.offer(8, |_| {}), Err(OfferError::NotConnected));
            assert_eq!(lonely.offer(usize::MAX, |_| {}), Err(OfferError::TooLong));
        });
    });
    let stats = client.stats();
    assert!(refused > 0 && stats.back_pressured > 0 && stats.not_connected > 0, "{stats:?}");
    assert_eq!(count, 0, "{channel}: allocations or releases in {messages} messages");
}

#[test]
fn ipc_with_the_driver_on_our_thread() {
    let directory = Directory::new();
    steady_state(&directory.calm(), "aeron:ipc", 200_000);
}

#[test]
fn udp_with_the_driver_on_our_thread() {
    let directory = Directory::new();
    let channel = format!("aeron:udp?endpoint=127.0.0.1:{}", free_port());
    steady_state(&directory.calm(), &channel, 20_000);
}

#[test]
fn ipc_with_a_driver_thread() {
    let directory = Directory::new();
    let config = AeronConfig { mode: DriverMode::Shared, ..directory.calm() };
    steady_state(&config, "aeron:ipc", 20_000);
}

#[test]
fn in_memory() {
    let (mut publication, mut subscription) = memory::stream(64, 128);
    subscription.next_event();
    let count = allocations(|| {
        let refused = relay(200_000, &mut publication, &mut subscription, |_| {});
        assert!(refused > 0);
    });
    assert_eq!(count, 0);
}
