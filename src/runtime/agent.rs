//! What an agent is.

use std::fmt;

use crate::types::Nanos;

/// How far the process is in its life. Each agent is told of every change, in this order; a process that is ended at once
/// goes to [`Phase::Stopping`] from wherever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Agents are being built; nothing is polled.
    Starting = 0,
    /// Normal work.
    Running = 1,
    /// No new orders; open orders are being cancelled, reports still flow.
    Draining = 2,
    /// The last phase: every thread leaves its loop.
    Stopping = 3,
}

/// Why an agent cannot go on. One agent's death stops all, orders cancelled first. The number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fatal {
    /// An agent panicked: a bug of ours.
    Panicked = 70,
    /// The Aeron driver died or evicted this client.
    TransportDown = 71,
    /// The journal cannot be written.
    JournalFailed = 72,
    /// A socket failed in a way that does not pass.
    NetworkFailed = 73,
    /// A stream reached its largest position.
    MaxPosition = 74,
    /// The process could not start: a thread could not be placed, or what it needs is not there or in use.
    StartFailed = 75,
}

impl Fatal {
    /// The process's exit status.
    #[inline]
    pub const fn exit_status(self) -> u8 {
        #[allow(clippy::as_conversions, reason = "the discriminant of a repr(u8) enum")]
        {
            self as u8
        }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fatal::Panicked => "an agent panicked",
            Fatal::TransportDown => "the Aeron driver died or evicted this client",
            Fatal::JournalFailed => "the journal cannot be written",
            Fatal::NetworkFailed => "a socket failed",
            Fatal::MaxPosition => "a stream reached its largest position",
            Fatal::StartFailed => "a thread could not be started or placed",
        })
    }
}

impl std::error::Error for Fatal {}

/// A role with a duty cycle, in the sense of Agrona and Aeron: it owns its state, and meets others only in messages.
///
/// An agent is built on the thread that runs it, and stays there. From `on_start` on, `poll` must neither block nor
/// allocate.
pub trait Agent {
    /// Its name in metrics, logs and thread listings: a short lower-case word.
    fn name(&self) -> &'static str;

    /// Called once before the first `poll`. May allocate and block.
    ///
    /// # Errors
    /// What makes running pointless.
    fn on_start(&mut self, now: Nanos) -> Result<(), Fatal> {
        let _ = now;
        Ok(())
    }

    /// Called now and then between `on_start` and the first `poll`, while other threads are still being built: for an
    /// agent that others need in order to start. May allocate, must not block.
    ///
    /// # Errors
    /// What makes running pointless.
    fn on_wait(&mut self, now: Nanos) -> Result<(), Fatal> {
        let _ = now;
        Ok(())
    }

    /// One duty cycle: does what there is to do, bounded, and returns how much that was; 0 is idle.
    ///
    /// `now` was read once for this cycle. Decisions depend on no other clock.
    ///
    /// # Errors
    /// What makes going on impossible.
    fn poll(&mut self, now: Nanos) -> Result<usize, Fatal>;

    /// What its death was, for people, beyond the [`Fatal`] it gave: what happened, and what to do. Asked once after it
    /// died, outside the hot loop; may allocate.
    fn last_words(&self) -> Option<String> {
        None
    }

    /// The process entered `phase`. Must neither block nor allocate.
    fn on_phase(&mut self, phase: Phase, now: Nanos) {
        let _ = (phase, now);
    }

    /// Whether nothing is left to do in [`Phase::Draining`].
    fn is_drained(&self) -> bool {
        true
    }

    /// Called once after the last `poll`. May allocate and block.
    fn on_close(&mut self, now: Nanos) {
        let _ = now;
    }
}
