//! One thread's connection to a media driver.

use std::ffi::CString;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use rusteron_client::{
    Aeron, AeronAsyncAddExclusivePublication, AeronAsyncAddSubscription, AeronCError, AeronContext,
    AeronImage, AeronSubscription, Handler,
};

use crate::transport::directory::{Deadline, c_path};
use crate::transport::error::one_line;
use crate::transport::shared::Shared;
use crate::transport::subscription::Events;
use crate::transport::xdp::{XdpCounters, XdpTransport};
use crate::transport::{
    AeronConfig, DownReason, Driver, DriverMode, Publication, Subscription, TransportCounters,
    TransportDown, TransportError, TransportStats,
};
use crate::types::Nanos;

/// Longest time between two runs of the client's conductor, in nanoseconds: what it does (its sign of life, publishers
/// that come and go) is in milliseconds.
const CONDUCTOR_EVERY_NS: u64 = 1_000_000;

/// Most loops between two runs of the client's conductor.
const CONDUCTOR_LOOPS: u32 = 1024;

/// One thread's client, and its driver if that runs on this thread. Neither leaves the thread: it is not `Send`, nor is
/// anything opened on it.
///
/// ```compile_fail
/// fn moved<T: Send>() {}
/// moved::<postern::transport::Client>();
/// ```
///
/// A client that is down ([`Client::down`]) stays down with all its streams; drop it and make another.
pub struct Client {
    // Before the driver: it says goodbye to it.
    aeron: Aeron,
    driver: Option<Driver>,
    shared: Rc<Shared>,
    counters: Option<TransportCounters>,
    bypass: Option<XdpCounters>,
    operation_timeout: Duration,
    driver_timeout_ms: u64,
    client_liveness_ms: u64,
    /// Loops from one run of the driver to the next: 1 with a UDP channel.
    driver_loops: u32,
    loops_to_driver: u32,
    loops_to_conductor: u32,
    next_conductor: Nanos,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("driver", &self.driver)
            .field("stats", &self.shared.stats())
            .field("down", &self.shared.down())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Starts the configured driver and a client of it. For the thread that is to run an invoker driver, and for
    /// programs with one Aeron thread.
    ///
    /// # Errors
    /// As [`Driver::start`] and [`Client::connect`].
    pub fn start(config: &AeronConfig) -> Result<Client, TransportError> {
        Client::start_over(config, None)
    }

    /// As [`Client::start`], with interfaces of which the driver bypasses the kernel.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start_over(
        config: &AeronConfig,
        interfaces: Option<XdpTransport>,
    ) -> Result<Client, TransportError> {
        let driver = Driver::start_over(config, interfaces)?;
        let mut client = Client::connect(config)?;
        client.driver = Some(driver);
        Ok(client)
    }

    /// A client of the driver in the configured directory, which is run elsewhere: by a [`Client`] of another thread,
    /// by a [`Driver`] with threads of its own, or by another process. Waits for it, `driver_timeout_ms` at most.
    ///
    /// # Errors
    /// A bad setting, or no live driver is there.
    pub fn connect(config: &AeronConfig) -> Result<Client, TransportError> {
        config.check()?;
        let shared = Rc::new(Shared::new());
        let directory = c_path(&config.directory)?;
        let aeron = open(config, &directory, &shared).map_err(|error| TransportError::Client {
            directory: config.directory.clone(),
            why: one_line(error.get_last_err_message()),
        })?;
        Ok(Client {
            aeron,
            driver: None,
            shared,
            counters: None,
            bypass: None,
            operation_timeout: Duration::from_millis(config.operation_timeout_ms),
            driver_timeout_ms: config.driver_timeout_ms,
            client_liveness_ms: config.client_liveness_ms,
            driver_loops: config.ipc_loops,
            loops_to_driver: 1,
            loops_to_conductor: 1,
            next_conductor: Nanos(0),
        })
    }

    /// Writes the statistics to `counters` from now on, in each pass of the conductor.
    pub fn count_into(&mut self, counters: TransportCounters) {
        self.counters = Some(counters);
    }

    /// Writes what its driver bypasses the kernel with to `counters` from now on, as often.
    pub fn count_bypass(&mut self, counters: XdpCounters) {
        self.bypass = Some(counters);
    }

    /// One duty cycle: the driver if it is ours (each loop where there is a UDP channel or an offer waits, else one
    /// loop in `ipc_loops`), and the client's conductor once a millisecond or 1024 loops. Returns how much was done.
    /// Does not allocate while no stream or publisher comes or goes.
    ///
    /// # Errors
    /// [`TransportDown`] from when the client is down; [`Client::down`] says why.
    #[inline]
    pub fn service(&mut self, now: Nanos) -> Result<usize, TransportDown> {
        let mut work = 0;
        self.loops_to_driver = self.loops_to_driver.saturating_sub(1);
        if self.loops_to_driver == 0 || self.shared.take_driver_wanted() {
            self.loops_to_driver = self.driver_loops;
            work += self.run_driver();
        }
        self.loops_to_conductor = self.loops_to_conductor.saturating_sub(1);
        if now >= self.next_conductor || self.loops_to_conductor == 0 {
            self.next_conductor = now.plus(CONDUCTOR_EVERY_NS);
            self.loops_to_conductor = CONDUCTOR_LOOPS;
            work += self.run_conductor();
        }
        match self.shared.down() {
            None => Ok(work),
            Some(_) => Err(TransportDown),
        }
    }

    /// Why the client is down, or `None` while it is up.
    pub fn down(&self) -> Option<DownReason> {
        self.shared.down()
    }

    /// Why the client is down, what that means and what to do, with Aeron's own words; `None` while it is up. Allocates.
    pub fn down_text(&self) -> Option<String> {
        let reason = self.down()?;
        let is_own = self.driver_mode() == DriverMode::Invoker;
        let advice = reason.advice(self.driver_timeout_ms, self.client_liveness_ms, is_own);
        let told = one_line(&self.error_text());
        Some(if told.is_empty() { advice } else { format!("{advice} (Aeron: {told})") })
    }

    /// The last text of Aeron's error handler; empty if there was none. Allocates.
    pub fn error_text(&self) -> String {
        self.shared.error_text()
    }

    /// What was counted since the client was made.
    pub fn stats(&self) -> TransportStats {
        self.shared.stats()
    }

    /// Asks the driver for a stream to write, without waiting. Allocates: set-up only.
    ///
    /// `channel` is Aeron's URI: `aeron:ipc`, `aeron:udp?endpoint=127.0.0.1:40123`,
    /// `aeron:udp?endpoint=224.20.30.39:40123|interface=127.0.0.1` (multicast),
    /// `aeron:udp?control-mode=dynamic|control=127.0.0.1:40123` (every subscriber that asks gets a copy).
    ///
    /// # Errors
    /// A channel that Aeron cannot read, or a client that is down.
    pub fn request_publication(
        &mut self,
        channel: &str,
        stream_id: i32,
    ) -> Result<PendingPublication, TransportError> {
        let label = Label::new(channel, stream_id);
        let uri = self.prepare(&label)?;
        let inner = self
            .aeron
            .async_add_exclusive_publication(&uri, stream_id)
            .map_err(|error| label.refused(&error))?;
        Ok(PendingPublication { inner, shared: Rc::clone(&self.shared), label })
    }

    /// Asks the driver for a stream to read, without waiting. Allocates: set-up only. Channels are as for
    /// [`Client::request_publication`]; a subscriber of a dynamic channel names the writer's control address and an
    /// endpoint of its own: `aeron:udp?endpoint=127.0.0.1:0|control=127.0.0.1:40123|control-mode=dynamic`.
    ///
    /// # Errors
    /// A channel that Aeron cannot read, or a client that is down.
    pub fn request_subscription(
        &mut self,
        channel: &str,
        stream_id: i32,
    ) -> Result<PendingSubscription, TransportError> {
        let label = Label::new(channel, stream_id);
        let uri = self.prepare(&label)?;
        let events = Rc::new(Events::new());
        let handler = |up: bool| {
            let events = Rc::clone(&events);
            let shared = Rc::clone(&self.shared);
            Handler::new(move |_: AeronSubscription, image: AeronImage| {
                events.on_image(&image, &shared, up);
            })
        };
        let (came, went) = (handler(true), handler(false));
        let inner = self
            .aeron
            .async_add_subscription(&uri, stream_id, Some(&came), Some(&went))
            .map_err(|error| label.refused(&error))?;
        Ok(PendingSubscription { inner, shared: Rc::clone(&self.shared), events, label })
    }

    /// Opens a stream to write and waits for the driver, `operation_timeout_ms` at most. Set-up only.
    ///
    /// # Errors
    /// What Aeron says of the channel, by its name; no answer in time; a client that is down.
    pub fn add_publication(
        &mut self,
        channel: &str,
        stream_id: i32,
    ) -> Result<Publication, TransportError> {
        let mut pending = self.request_publication(channel, stream_id)?;
        self.wait(channel, stream_id, |_| pending.poll())
    }

    /// Opens a stream to read and waits for the driver, `operation_timeout_ms` at most. Set-up only.
    ///
    /// # Errors
    /// What Aeron says of the channel, by its name; no answer in time; a client that is down.
    pub fn add_subscription(
        &mut self,
        channel: &str,
        stream_id: i32,
    ) -> Result<Subscription, TransportError> {
        let mut pending = self.request_subscription(channel, stream_id)?;
        self.wait(channel, stream_id, |_| pending.poll())
    }

    fn prepare(&mut self, label: &Label) -> Result<CString, TransportError> {
        if let Some(reason) = self.shared.down() {
            return Err(TransportError::Down(reason));
        }
        if label.channel.contains("aeron:udp") {
            self.driver_loops = 1;
        }
        CString::new(label.channel.as_str()).map_err(|_| label.error("holds a zero byte"))
    }

    fn wait<T>(
        &mut self,
        channel: &str,
        stream_id: i32,
        mut poll: impl FnMut(&mut Client) -> Result<Option<T>, TransportError>,
    ) -> Result<T, TransportError> {
        let deadline = Deadline::after(self.operation_timeout);
        loop {
            self.run_driver();
            self.run_conductor();
            if let Some(done) = poll(self)? {
                return Ok(done);
            }
            if let Some(reason) = self.shared.down() {
                return Err(TransportError::Down(reason));
            }
            if deadline.is_over() {
                let waited_ms =
                    u64::try_from(self.operation_timeout.as_millis()).unwrap_or(u64::MAX);
                let channel = channel.to_owned();
                return Err(TransportError::TimedOut { channel, stream_id, waited_ms });
            }
            std::thread::yield_now();
        }
    }

    #[inline]
    fn run_driver(&mut self) -> usize {
        match self.driver.as_mut().map_or(Ok(0), Driver::service) {
            Ok(work) => work,
            Err(_) => {
                self.shared.count(|stats| stats.driver_errors += 1);
                0
            }
        }
    }

    #[inline]
    fn run_conductor(&mut self) -> usize {
        let work = match self.aeron.main_do_work() {
            Ok(work) => usize::try_from(work).unwrap_or(0),
            Err(error) => {
                // The error handler has the reason, unless Aeron told nobody.
                self.shared.go_down(DownReason::Conductor(error.code));
                0
            }
        };
        if let Some(counters) = &self.counters {
            counters.write(&self.shared.stats(), self.shared.down());
        }
        if let Some(counters) = &self.bypass {
            counters.write();
        }
        work
    }

    /// Who runs the driver: [`DriverMode::External`] also where another thread of this process does.
    pub fn driver_mode(&self) -> DriverMode {
        self.driver.as_ref().map_or(DriverMode::External, Driver::mode)
    }
}

fn open(
    config: &AeronConfig,
    directory: &CString,
    shared: &Rc<Shared>,
) -> Result<Aeron, AeronCError> {
    let context = AeronContext::new().map_err(AeronCError::capture_errmsg)?;
    // The text is taken while the context lives, before its end can put another over it.
    open_in(&context, config, directory, shared).map_err(AeronCError::capture_errmsg)
}

fn open_in(
    context: &AeronContext,
    config: &AeronConfig,
    directory: &CString,
    shared: &Rc<Shared>,
) -> Result<Aeron, AeronCError> {
    context.set_dir(directory)?;
    context.set_use_conductor_agent_invoker(true)?;
    context.set_pre_touch_mapped_memory(config.pre_touch)?;
    context.set_driver_timeout_ms(config.driver_timeout_ms)?;
    context.set_keepalive_interval_ns(config.timer_interval_ns())?;
    let told = Rc::clone(shared);
    context.set_error_handler(Some(move |code: i32, text: &str| told.on_error(code, text)))?;
    let aeron = Aeron::new(context)?;
    aeron.start()?;
    Ok(aeron)
}

/// How a stream is called in errors.
#[derive(Clone, Debug)]
struct Label {
    channel: String,
    stream_id: i32,
}

impl Label {
    fn new(channel: &str, stream_id: i32) -> Label {
        Label { channel: channel.to_owned(), stream_id }
    }

    fn error(&self, why: &str) -> TransportError {
        TransportError::Stream {
            channel: self.channel.clone(),
            stream_id: self.stream_id,
            why: why.to_owned(),
        }
    }

    fn refused(&self, error: &AeronCError) -> TransportError {
        self.error(&one_line(error.get_last_err_message()))
    }
}

/// A stream to write that the driver was asked for.
pub struct PendingPublication {
    inner: AeronAsyncAddExclusivePublication,
    shared: Rc<Shared>,
    label: Label,
}

impl PendingPublication {
    /// The stream once the driver has answered; `Ok(None)` until then, and for ever after it was handed out. The
    /// client must be serviced in between. Allocates when the answer comes.
    ///
    /// # Errors
    /// What Aeron says of the channel.
    pub fn poll(&mut self) -> Result<Option<Publication>, TransportError> {
        match self.inner.poll() {
            Ok(None) => Ok(None),
            Ok(Some(inner)) => Publication::new(inner, Rc::clone(&self.shared))
                .map(Some)
                .ok_or_else(|| self.label.error("closed while it was opened")),
            Err(error) => Err(self.label.refused(&error)),
        }
    }
}

impl fmt::Debug for PendingPublication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PendingPublication").field(&self.label).finish()
    }
}

/// A stream to read that the driver was asked for.
pub struct PendingSubscription {
    inner: AeronAsyncAddSubscription,
    shared: Rc<Shared>,
    events: Rc<Events>,
    label: Label,
}

impl PendingSubscription {
    /// The stream once the driver has answered; `Ok(None)` until then, and for ever after it was handed out. The
    /// client must be serviced in between. Allocates when the answer comes.
    ///
    /// # Errors
    /// What Aeron says of the channel.
    pub fn poll(&mut self) -> Result<Option<Subscription>, TransportError> {
        match self.inner.poll() {
            Ok(None) => Ok(None),
            Ok(Some(inner)) => {
                let (shared, events) = (Rc::clone(&self.shared), Rc::clone(&self.events));
                Ok(Some(Subscription::new(inner, shared, events, self.label.stream_id)))
            }
            Err(error) => Err(self.label.refused(&error)),
        }
    }
}

impl fmt::Debug for PendingSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PendingSubscription").field(&self.label).finish()
    }
}
