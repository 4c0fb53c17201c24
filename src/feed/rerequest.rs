//! Asking a MoldUDP64 re-request server for what is missing: what to ask for next, and when to stop asking.
//!
//! A state machine: it is told the time, looks at what the [`Arbiter`] misses, and answers with the next request. Requests
//! are small, so that the answers come in parallel; few at a time and not faster than agreed; repeated when no answer
//! comes, and given up after so many repetitions.

use crate::feed::arbiter::Arbiter;
use crate::feed::moldudp64::{HEADER_BYTES, Header, Session};
use crate::types::Nanos;

/// Requests that wait for an answer at the same time.
pub const REQUESTS_MAX: usize = 8;

/// How a re-request server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RerequestSettings {
    /// Messages of one request, above 0. The server answers with as many as fit a packet; the rest is asked for again.
    pub messages_per_request: u16,
    /// Time between two requests, in nanoseconds.
    pub interval_ns: u64,
    /// How long an answer is waited for, in nanoseconds.
    pub answer_ns: u64,
    /// How often the same request is sent before the server is given up, above 0.
    pub attempts_max: u32,
    /// The longest gap that is asked for, in messages; a longer one is made good by a snapshot, where there are any.
    pub gap_messages_max: u64,
}

/// How many times as long as until a silent server is given up a gap may stay open, though the server answers.
const PATIENCE: u64 = 4;

impl RerequestSettings {
    /// How long a gap may stay open until a snapshot is the better way, in nanoseconds: more is lost than may be asked for.
    pub const fn patience_ns(&self) -> u64 {
        #[allow(clippy::as_conversions, reason = "`from` is not const; u32 to u64 cannot fail")]
        let attempts = self.attempts_max as u64;
        self.answer_ns.saturating_mul(attempts).saturating_mul(PATIENCE)
    }
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct Request {
    first: u64,
    end: u64,
    sent: Nanos,
    attempts: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRequest {
    /// Nothing now.
    Wait,
    /// Ask for these.
    Ask {
        /// Number of the first.
        first: u64,
        /// How many.
        count: u16,
    },
    /// The server does not answer.
    GivenUp,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RerequestCounts {
    /// Requests sent, repetitions too.
    pub requests: u64,
    /// Repetitions: no answer came.
    pub repeats: u64,
    /// Times the server was given up.
    pub given_up: u64,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Rerequest {
    settings: RerequestSettings,
    waiting: [Option<Request>; REQUESTS_MAX],
    /// What is missing below was asked for already.
    asked_to: u64,
    not_before: Nanos,
    counts: RerequestCounts,
}

impl Rerequest {
    /// Nothing is asked for yet.
    ///
    /// # Panics
    /// If a request is for no message, or is never sent.
    pub fn new(settings: RerequestSettings) -> Rerequest {
        assert!(settings.messages_per_request > 0, "a request is for a message at least");
        assert!(settings.attempts_max > 0, "a request is sent once at least");
        Rerequest {
            settings,
            waiting: [None; REQUESTS_MAX],
            asked_to: 0,
            not_before: Nanos(0),
            counts: RerequestCounts::default(),
        }
    }

    /// How the server is asked.
    pub const fn settings(&self) -> &RerequestSettings {
        &self.settings
    }

    /// Whether an answer may still come.
    pub fn is_waiting(&self) -> bool {
        self.waiting.iter().any(Option::is_some)
    }

    /// Forgets what was asked for.
    pub fn reset(&mut self) {
        self.waiting = [None; REQUESTS_MAX];
        self.asked_to = 0;
    }

    /// What to ask for next, if it is time.
    pub fn next(&mut self, arbiter: &Arbiter, now: Nanos) -> NextRequest {
        let missing = |r: &Request| arbiter.missing(r.first, r.end).map(|first| (first, *r));
        for waiting in &mut self.waiting {
            *waiting = waiting.as_ref().and_then(missing).map(|(first, request)| {
                // An answer in part: the rest is asked for as if it were new.
                let is_answered = first > request.first;
                let attempts = if is_answered { 0 } else { request.attempts };
                Request { first, attempts, ..request }
            });
        }
        if now < self.not_before {
            return NextRequest::Wait;
        }
        let answer_ns = self.settings.answer_ns;
        let is_due = |r: &Request| r.attempts == 0 || now.since(r.sent) >= answer_ns;
        if let Some(request) = self.waiting.iter_mut().flatten().find(|request| is_due(request)) {
            if request.attempts >= self.settings.attempts_max {
                self.counts.given_up += 1;
                self.reset();
                return NextRequest::GivenUp;
            }
            self.counts.repeats += u64::from(request.attempts > 0);
            (request.attempts, request.sent) = (request.attempts + 1, now);
            let request = *request;
            return self.ask(&request, now);
        }
        let Some(place) = self.waiting.iter().position(Option::is_none) else {
            return NextRequest::Wait;
        };
        // Where much is lost, one request for a few holes and what is between them brings more than one for each.
        let most = self.settings.messages_per_request;
        let Some((first, end)) = arbiter.lost_span(self.asked_to, most) else {
            return NextRequest::Wait;
        };
        let request = Request { first, end, sent: now, attempts: 1 };
        self.waiting[place] = Some(request);
        self.asked_to = request.end;
        self.ask(&request, now)
    }

    fn ask(&mut self, request: &Request, now: Nanos) -> NextRequest {
        self.counts.requests += 1;
        self.not_before = now.plus(self.settings.interval_ns);
        let count = request.end - request.first;
        // No request is for more than `messages_per_request`, which has 16 bits.
        NextRequest::Ask { first: request.first, count: u16::try_from(count).unwrap_or(u16::MAX) }
    }

    /// What was asked for.
    pub const fn counts(&self) -> RerequestCounts {
        self.counts
    }
}

/// A Request Packet (MoldUDP64 1.00, "Request Packet"): it has the form of a downstream packet's header.
pub fn request_packet(session: Session, first: u64, count: u16) -> [u8; HEADER_BYTES] {
    let mut packet = [0; HEADER_BYTES];
    Header { session, sequence: first, count }.write(&mut packet);
    packet
}
