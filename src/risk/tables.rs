//! The reference tables: instruments, accounts, sessions, venues and channels, by place instead of by number.

use crate::risk::check::Quote;
use crate::risk::exposure::{Exposure, Limit, Row, Traded};
use crate::risk::keys::{IdIndex, KeyIndex, Run};
use crate::risk::limits::{
    AccountConfig, Band, CollarConfig, OrderLimits, PositionLimits, RiskConfig,
};
use crate::risk::links::{at, slot_of};
use crate::risk::throttle::Throttle;
use crate::runtime::{ask_for_large_pages, prefetch_row};
use crate::types::{
    AccountId, ChannelId, ClOrdId, FeedState, InstrumentId, Nanos, Price, PriceOrNone, SessionId,
    VenueId,
};

/// On one pair of cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Instrument {
    pub(super) id: InstrumentId,
    pub(super) venue: usize,
    pub(super) channel: usize,
    pub(super) tick: Price,
    pub(super) lot: u32,
    pub(super) qty_min: u32,
    pub(super) multiplier: u32,
    pub(super) collar: Option<CollarConfig>,
    pub(super) market_protection: Option<Band>,
    pub(super) bid: PriceOrNone,
    pub(super) offer: PriceOrNone,
    pub(super) is_killed: bool,
}

impl Instrument {
    #[inline]
    pub(super) fn quote(&self) -> Quote {
        Quote { bid: self.bid.get(), offer: self.offer.get() }
    }

    #[inline]
    pub(super) fn set_quote(&mut self, bid: Option<Price>, offer: Option<Price>) {
        (self.bid, self.offer) = (bid.into(), offer.into());
    }
}

const _: () = assert!(size_of::<Instrument>() == 128, "an order is checked against one row");

#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    /// From places of instruments to places of exposures, as far as they go together.
    exposures: Run,
    pub(super) is_killed: bool,
}

/// Accounts for whose exposures a price asks ahead of the order: as many as share an instrument often, and no flood.
const PREFETCH_ACCOUNTS: usize = 4;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Places of its accounts.
    accounts: Box<[usize]>,
    pub(super) throttle: Throttle,
    pub(super) open_orders_max: u32,
    pub(super) last_cl_ord_id: ClOrdId,
    pub(super) cancel_on_disconnect: bool,
    pub(super) is_up: bool,
    pub(super) is_killed: bool,
}

impl Session {
    #[inline]
    pub(super) fn may_use(&self, account: usize) -> bool {
        self.accounts.contains(&account)
    }

    /// Whether `cl_ord_id` is larger than all before it, and notes it.
    #[inline]
    pub(super) fn advance(&mut self, cl_ord_id: ClOrdId) -> bool {
        let grows = cl_ord_id > self.last_cl_ord_id;
        self.last_cl_ord_id = self.last_cl_ord_id.max(cl_ord_id);
        grows
    }
}

#[derive(Debug)]
pub(super) struct Venue {
    pub(super) id: VenueId,
    pub(super) is_up: bool,
    pub(super) is_killed: bool,
    /// Grows whenever the link goes down: requests on their way then are lost or not, who knows.
    pub(super) epoch: u32,
}

#[derive(Debug)]
pub(super) struct Channel {
    /// The last status and when it came.
    pub(super) heard: Option<(FeedState, Nanos)>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) instruments: Box<[Instrument]>,
    pub(super) accounts: Box<[Account]>,
    pub(super) sessions: Box<[Session]>,
    pub(super) venues: Box<[Venue]>,
    pub(super) channels: Box<[Channel]>,
    pub(super) exposures: Box<[Exposure]>,
    /// By the places of exposures.
    pub(super) traded: Box<[Traded]>,
    instrument_index: IdIndex,
    account_index: IdIndex,
    session_index: IdIndex,
    venue_index: IdIndex,
    channel_index: IdIndex,
    /// Of those exposures that are in no account's run.
    exposure_index: KeyIndex,
}

/// A table on large pages.
fn table<T>(rows: impl ExactSizeIterator<Item = T>) -> Box<[T]> {
    let mut table = Vec::with_capacity(rows.len());
    ask_for_large_pages(&mut table);
    table.extend(rows);
    table.into()
}

fn lower<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Tables {
    /// From a configuration that was validated.
    pub(super) fn new(config: &RiskConfig) -> Tables {
        let mut venue_ids: Vec<VenueId> = config.instruments.iter().map(|i| i.venue).collect();
        venue_ids.sort();
        venue_ids.dedup();
        let mut channel_ids: Vec<ChannelId> =
            config.instruments.iter().map(|i| i.channel).collect();
        channel_ids.sort();
        channel_ids.dedup();
        let venue_index = IdIndex::new(venue_ids.iter().map(|id| id.0));
        let channel_index = IdIndex::new(channel_ids.iter().map(|id| id.0));
        let instruments = table(config.instruments.iter().map(|c| Instrument {
            id: c.id,
            venue: venue_index.get(c.venue.0).expect("built from the same list"),
            channel: channel_index.get(c.channel.0).expect("built from the same list"),
            tick: c.tick,
            lot: c.lot,
            qty_min: c.qty_min,
            multiplier: c.multiplier,
            collar: c.collar,
            market_protection: c.market_protection,
            bid: PriceOrNone::NONE,
            offer: PriceOrNone::NONE,
            is_killed: false,
        }));
        let instrument_index = IdIndex::new(config.instruments.iter().map(|c| c.id.0));
        let account_index = IdIndex::new(config.accounts.iter().map(|c| c.id.0));
        let (accounts, exposures, exposure_index) = exposures(config, &instrument_index);
        Tables {
            instruments,
            accounts,
            sessions: config.sessions.iter().map(|c| session(c, &account_index)).collect(),
            venues: venue_ids
                .iter()
                .map(|&id| Venue { id, is_up: false, is_killed: false, epoch: 0 })
                .collect(),
            channels: channel_ids.iter().map(|_| Channel { heard: None }).collect(),
            traded: table(exposures.iter().map(|_| Traded::default())),
            exposures,
            instrument_index,
            account_index,
            session_index: IdIndex::new(config.sessions.iter().map(|c| c.id.0)),
            venue_index,
            channel_index,
            exposure_index,
        }
    }

    #[inline]
    pub(super) fn instrument(&self, id: InstrumentId) -> Option<usize> {
        self.instrument_index.get(id.0)
    }

    #[inline]
    pub(super) fn account(&self, id: AccountId) -> Option<usize> {
        self.account_index.get(id.0)
    }

    #[inline]
    pub(super) fn session(&self, id: SessionId) -> Option<usize> {
        self.session_index.get(id.0)
    }

    #[inline]
    pub(super) fn venue(&self, id: VenueId) -> Option<usize> {
        self.venue_index.get(id.0)
    }

    #[inline]
    pub(super) fn channel(&self, id: ChannelId) -> Option<usize> {
        self.channel_index.get(id.0)
    }

    /// Where `account` may trade `instrument`.
    #[inline]
    pub(super) fn exposure(&self, account: usize, instrument: usize) -> Option<usize> {
        let instrument = slot_of(instrument);
        self.accounts[account]
            .exposures
            .place(instrument)
            .or_else(|| self.exposure_index.get((slot_of(account), u64::from(instrument))).map(at))
    }

    /// Asks for the row of an instrument, and for the exposures in it of the first few accounts that number their
    /// instruments in its order.
    #[inline]
    pub(super) fn prefetch(&self, instrument: usize) {
        prefetch_row(&self.instruments, instrument);
        for account in self.accounts.iter().take(PREFETCH_ACCOUNTS) {
            if let Some(exposure) = account.exposures.place(slot_of(instrument)) {
                prefetch_row(&self.exposures, exposure);
            }
        }
    }
}

fn session(config: &crate::risk::limits::SessionConfig, accounts: &IdIndex) -> Session {
    Session {
        id: config.id,
        accounts: config.accounts.iter().filter_map(|id| accounts.get(id.0)).collect(),
        throttle: Throttle::new(&config.rate),
        open_orders_max: config.open_orders_max,
        last_cl_ord_id: ClOrdId(0),
        cancel_on_disconnect: config.cancel_on_disconnect,
        is_up: false,
        is_killed: false,
    }
}

fn exposures(
    config: &RiskConfig,
    instruments: &IdIndex,
) -> (Box<[Account]>, Box<[Exposure]>, KeyIndex) {
    let places = |account: &AccountConfig| {
        let ids = account.instruments.iter();
        let places: Vec<usize> =
            ids.map(|(id, _)| instruments.get(id.0).expect("validated")).collect();
        places
    };
    let count = config.accounts.iter().map(|account| account.instruments.len()).sum();
    let (mut all, mut index) = (Vec::with_capacity(count), KeyIndex::new(count));
    ask_for_large_pages(&mut all);
    let mut accounts = Vec::with_capacity(config.accounts.len());
    for (account, account_config) in config.accounts.iter().enumerate() {
        let places = places(account_config);
        let run = Run::of(places.iter().copied().map(slot_of), slot_of(all.len()));
        accounts.push(Account { id: account_config.id, exposures: run, is_killed: false });
        for (place, (&instrument, (_, limits))) in
            places.iter().zip(&account_config.instruments).enumerate()
        {
            if place >= run.count() {
                let key = (slot_of(account), u64::from(slot_of(instrument)));
                index.insert(key, slot_of(all.len()));
            }
            let of_instrument = &config.instruments[instrument].limits;
            all.push(exposure(account, instrument, limits, of_instrument, &account_config.limits));
        }
    }
    (accounts.into(), all.into(), index)
}

fn exposure(
    account: usize,
    instrument: usize,
    limits: &PositionLimits,
    of_instrument: &OrderLimits,
    of_account: &OrderLimits,
) -> Exposure {
    Exposure {
        account,
        instrument,
        net: 0,
        open_buys: 0,
        open_sells: 0,
        row: Row::default(),
        qty_max: lower(of_instrument.qty_max, of_account.qty_max),
        long_max: Limit::of(limits.long_max),
        short_max: Limit::of(limits.short_max),
        notional_max: Limit::of(lower(of_instrument.notional_max, of_account.notional_max)),
    }
}
