//! The agent that serves Aeron on a thread: its client, and the media driver where that is its job. It closes last, so that
//! what the others said at the end leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::runtime::{Agent, Clock, Fatal, Phase};
use crate::telemetry::Registry;
use crate::transport::xdp::{XdpCounters, XdpView};
use crate::transport::{Client, DriverMode, TransportCounters};
use crate::types::Nanos;

/// How long, and how often at least, a closing thread goes on serving Aeron so that its last messages leave.
const LAST_WORDS_NS: u64 = 20_000_000;
const LAST_WORDS_TURNS: u32 = 100;
/// How long a driver waits for the clients of other threads. A thread that died never closes its own.
const GUESTS_NS_MAX: u64 = 2_000_000_000;

/// The clients that other threads have of the driver that a thread of this process runs. That driver is served until all
/// of them are closed, however late their threads come to it.
#[derive(Clone, Debug, Default)]
pub struct Guests(Arc<AtomicUsize>);

impl Guests {
    fn enter(&self) -> Guest {
        self.0.fetch_add(1, Ordering::Relaxed);
        Guest(self.clone())
    }

    fn are_there(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// One of them. It is gone when this is dropped.
#[derive(Debug)]
struct Guest(Guests);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// Serves a thread's Aeron client, and the media driver where that is its job.
#[derive(Debug)]
pub struct AeronAgent {
    client: Client,
    // After the client: it is closed before anybody hears of it.
    _guest: Option<Guest>,
    /// Those this thread's driver serves.
    guests: Option<Guests>,
    draining: bool,
    name: &'static str,
    clock: Clock,
}

impl AeronAgent {
    /// Serves `client` on the thread named `thread`. `guests` are those of the driver in this process, and `bypass` is the view of
    /// the interfaces of which that bypasses the kernel.
    pub fn new(
        client: Client,
        thread: &'static str,
        registry: &Registry,
        clock: Clock,
        guests: &Guests,
        bypass: Option<&XdpView>,
    ) -> AeronAgent {
        let mut client = client;
        // The numbers are those of the thread with the order path: one writer a counter.
        let name = match thread {
            "gateway" | "entry" => {
                client.count_into(TransportCounters::new(registry));
                if let Some(view) = bypass {
                    client.count_bypass(XdpCounters::new(registry, view.clone()));
                }
                "aeron"
            }
            "driver" => "aeron_driver",
            "router" => "aeron_router",
            "feed" => "aeron_feed",
            _ => "aeron_other",
        };
        let is_host = client.driver_mode() == DriverMode::Invoker;
        AeronAgent {
            client,
            _guest: (!is_host).then(|| guests.enter()),
            guests: is_host.then(|| guests.clone()),
            draining: false,
            name,
            clock,
        }
    }
}

impl Agent for AeronAgent {
    fn name(&self) -> &'static str {
        self.name
    }

    fn on_wait(&mut self, now: Nanos) -> Result<(), Fatal> {
        self.client.service(now).map(|_| ()).map_err(|_| Fatal::TransportDown)
    }

    #[inline]
    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal> {
        let work = self.client.service(now).map_err(|_| Fatal::TransportDown)?;
        // Keepalives and status messages never end; what a drain waits for shows in the agents that use the streams.
        Ok(if self.draining { 0 } else { work })
    }

    fn last_words(&self) -> Option<String> {
        self.client.down_text()
    }

    fn on_phase(&mut self, phase: Phase, _now: Nanos) {
        self.draining = phase >= Phase::Draining;
    }

    fn on_close(&mut self, _now: Nanos) {
        let AeronAgent { client, guests, clock, .. } = self;
        let has_guests = || guests.as_ref().is_some_and(Guests::are_there);
        serve_to_the_end(|| clock.now(), has_guests, |now| client.service(now).is_ok());
    }
}

/// Calls `service` until it fails, or its last words had their time after the last guest went.
fn serve_to_the_end(
    mut time: impl FnMut() -> Nanos,
    mut has_guests: impl FnMut() -> bool,
    mut service: impl FnMut(Nanos) -> bool,
) {
    let start = time();
    let (mut alone_since, mut turns) = (start, 0);
    loop {
        let now = time();
        if !service(now) {
            return;
        }
        if has_guests() && now.since(start) < GUESTS_NS_MAX {
            (alone_since, turns) = (now, 0);
        }
        turns += 1;
        if turns > LAST_WORDS_TURNS && now.since(alone_since) >= LAST_WORDS_NS {
            return;
        }
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_NS: u64 = 1_000_000;

    /// How long a driver is served whose last guest goes after `stay_ns`, when each turn takes `turn_ns`.
    fn served(stay_ns: u64, turn_ns: u64) -> u64 {
        let now = std::cell::Cell::new(Nanos(7));
        let guests = Guests::default();
        let mut guest = Some(guests.enter());
        let mut last = Nanos(0);
        serve_to_the_end(
            || {
                now.set(now.get().plus(turn_ns));
                now.get()
            },
            || guests.are_there(),
            |at| {
                if at.since(Nanos(7)) >= stay_ns {
                    guest = None;
                }
                last = at;
                true
            },
        );
        last.since(Nanos(7))
    }

    #[test]
    fn a_driver_outlives_its_last_guest() {
        for stay in [0, 20, 50, 1_500] {
            let expected = stay * STEP_NS + LAST_WORDS_NS;
            let took = served(stay * STEP_NS, STEP_NS / 100);
            assert!(took.abs_diff(expected) < STEP_NS, "{took} instead of {expected}");
        }
    }

    #[test]
    fn a_guest_that_never_goes_is_left() {
        let took = served(u64::MAX, STEP_NS);
        assert!((GUESTS_NS_MAX..2 * GUESTS_NS_MAX).contains(&took), "{took}");
    }

    #[test]
    fn a_thread_that_seldom_runs_has_its_turns() {
        let took = served(0, 5 * STEP_NS);
        assert!(took >= u64::from(LAST_WORDS_TURNS) * 5 * STEP_NS, "{took}");
    }

    #[test]
    fn a_client_that_is_down_is_served_no_more() {
        let mut turns = 0;
        serve_to_the_end(
            || Nanos(1),
            || true,
            |_| {
                turns += 1;
                false
            },
        );
        assert_eq!(turns, 1);
    }
}
