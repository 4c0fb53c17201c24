//! A strategy's connection to a running gateway: one Aeron client, one session, market data.

use crate::client::{Handler, MarketReader, OrderSession};
use crate::runtime::Clock;
use crate::session::ClientConfig;
use crate::transport::{
    AeronConfig, Client, Publication, Subscription, TransportDown, TransportError,
};
use crate::types::{Nanos, UtcNanos};

/// An Aeron channel and a stream in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName {
    /// The channel's URI.
    pub channel: String,
    /// The stream, above 0.
    pub stream_id: i32,
}

impl StreamName {
    /// Stream `stream_id` of `channel`.
    pub fn new(channel: &str, stream_id: i32) -> StreamName {
        StreamName { channel: channel.to_owned(), stream_id }
    }
}

/// A session and its streams.
#[derive(Clone, Debug)]
pub struct SessionStreams {
    /// The session.
    pub client: ClientConfig,
    /// Where orders go: `entry.channel`, `entry.stream_id`.
    pub orders: StreamName,
    /// Where reports come from: `report_channel`, `report_stream_id` of the `[[session]]`.
    pub reports: StreamName,
}

/// What a strategy wants of the gateway.
#[derive(Clone, Debug)]
pub struct StrategyConfig {
    /// The media driver, in the gateway's directory or in the strategy's own.
    pub aeron: AeronConfig,
    /// The session to trade by; `None` only looks on.
    pub session: Option<SessionStreams>,
    /// Where market data comes from: `market_data.channel` and `stream_id`, or a stream of its own.
    pub market_data: Option<StreamName>,
    /// Where snapshots come from: `market_data.snapshot_channel`, `snapshot_stream_id`.
    pub snapshots: Option<StreamName>,
}

/// One thread's connection to a gateway. Stays on that thread.
#[derive(Debug)]
pub struct Strategy {
    // Before the client: streams are closed before it.
    orders: Option<OrderSession<Publication, Subscription>>,
    market: MarketReader<Subscription>,
    client: Client,
    clock: Clock,
}

impl Strategy {
    /// Connects to the media driver and opens the streams. Allocates and waits; the gateway need not be up, its driver must.
    ///
    /// # Errors
    /// No driver is there, or a channel that Aeron cannot read.
    pub fn connect(config: StrategyConfig) -> Result<Strategy, TransportError> {
        let mut client = Client::connect(&config.aeron)?;
        let orders = match config.session {
            Some(SessionStreams { client: session, orders, reports }) => {
                let reports = client.add_subscription(&reports.channel, reports.stream_id)?;
                let orders = client.add_publication(&orders.channel, orders.stream_id)?;
                Some(OrderSession::new(session, orders, reports))
            }
            None => None,
        };
        let mut subscribe = |name: Option<StreamName>| {
            name.map(|name| client.add_subscription(&name.channel, name.stream_id)).transpose()
        };
        let market =
            MarketReader::new(subscribe(config.market_data)?, subscribe(config.snapshots)?);
        Ok(Strategy { orders, market, client, clock: Clock::start() })
    }

    /// One turn: serves Aeron, reads reports and market data, keeps the session alive. Returns how many messages came.
    ///
    /// # Errors
    /// [`TransportDown`] once the driver is gone or evicted us: connect anew.
    pub fn poll(&mut self, handler: &mut impl Handler) -> Result<usize, TransportDown> {
        let (now, utc) = self.time();
        self.client.service(now)?;
        let mut count = 0;
        if let Some(orders) = &mut self.orders {
            count += orders.poll(now, utc, handler)?;
        }
        count += self.market.poll(handler)?;
        Ok(count)
    }

    /// The session, with the time to give it; `None` where the strategy only looks on.
    pub fn orders(
        &mut self,
    ) -> Option<(&mut OrderSession<Publication, Subscription>, Nanos, UtcNanos)> {
        let (now, utc) = self.time();
        self.orders.as_mut().map(|orders| (orders, now, utc))
    }

    /// The host's clock, and the time of day.
    pub fn time(&self) -> (Nanos, UtcNanos) {
        let now = self.clock.now();
        (now, self.clock.utc(now))
    }

    /// Messages of market data and snapshots that could not be decoded.
    pub const fn undecoded(&self) -> u64 {
        self.market.undecoded()
    }
}
