//! A strategy that is not ours: the pure-Rust Aeron client `aeron-rs`, which shares no code with the gateway's.
//! The test binary that includes this file has `support/transport.rs` as its module `support`.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::disallowed_types, reason = "that client hands its streams out in mutexes")]

use std::ffi::CString;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aeron_rs::aeron::Aeron;
use aeron_rs::concurrent::atomic_buffer::{AlignedBuffer, AtomicBuffer};
use aeron_rs::concurrent::logbuffer::header::Header;
use aeron_rs::context::Context;
use aeron_rs::exclusive_publication::ExclusivePublication;
use aeron_rs::subscription::Subscription;
use aeron_rs::utils::errors::AeronError;

/// Longest message it sends, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Longest silence of the driver, in milliseconds, before that client gives up.
const DRIVER_TIMEOUT_MS: u64 = 20_000;

/// A stream by its channel and stream id.
#[derive(Clone, Copy)]
pub struct Stream<'a> {
    pub channel: &'a str,
    pub stream_id: i32,
}

/// One connected strategy: a stream of orders to the gateway and a stream of reports from it.
pub struct Strategy {
    orders: Arc<Mutex<ExclusivePublication>>,
    reports: Arc<Mutex<Subscription>>,
    memory: AlignedBuffer,
    // After its streams: they speak to it when they are dropped.
    _aeron: Aeron,
}

impl Strategy {
    /// Connects to the driver in `directory`. Blocks, so the driver must be run by another thread.
    ///
    /// # Panics
    /// If that fails: it is a test.
    pub fn connect(directory: &Path, orders: Stream<'_>, reports: Stream<'_>) -> Strategy {
        let mut context = Context::new();
        context.set_aeron_dir(directory.to_str().expect("an ASCII path").to_owned());
        context.set_media_driver_timeout(DRIVER_TIMEOUT_MS);
        context.set_pre_touch_mapped_memory(true);
        // Its own error handler panics.
        context.set_error_handler(Box::new(|error: AeronError| eprintln!("aeron-rs: {error:?}")));
        let mut aeron = Aeron::new(context).expect("a driver is there");
        let uri = |channel: &str| CString::new(channel).expect("no zero byte");
        let orders = aeron
            .add_exclusive_publication(uri(orders.channel), orders.stream_id)
            .expect("the driver listens");
        let reports = aeron
            .add_subscription(uri(reports.channel), reports.stream_id)
            .expect("the driver listens");
        let orders = super::support::wait_for("aeron-rs publication", || {
            aeron.find_exclusive_publication(orders).ok()
        });
        let reports = super::support::wait_for("aeron-rs subscription", || {
            aeron.find_subscription(reports).ok()
        });
        let memory = AlignedBuffer::with_capacity(i32::try_from(MESSAGE_BYTES_MAX).expect("small"));
        Strategy { orders, reports, memory, _aeron: aeron }
    }

    /// Whether both streams have their other end.
    pub fn is_connected(&self) -> bool {
        self.orders.lock().expect("not poisoned").is_connected()
            && self.reports.lock().expect("not poisoned").is_connected()
    }

    /// Sends one message; false if the stream does not take it now.
    pub fn send(&mut self, message: &[u8]) -> bool {
        assert!(message.len() <= MESSAGE_BYTES_MAX);
        let buffer = AtomicBuffer::from_aligned(&self.memory);
        buffer.put_bytes(0, message);
        let bytes = i32::try_from(message.len()).expect("short");
        self.orders.lock().expect("not poisoned").offer_part(buffer, 0, bytes).is_ok()
    }

    /// The next message, if one is there.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut message = None;
        let mut take = |buffer: &AtomicBuffer, offset: i32, bytes: i32, _: &Header| {
            message = Some(buffer.as_sub_slice(offset, bytes).to_vec());
        };
        self.reports.lock().expect("not poisoned").poll(&mut take, 1);
        message
    }
}
