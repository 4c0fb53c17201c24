//! The reference tables: instruments, accounts, sessions, venues and channels, by place instead of by number.

use crate::risk::check::Quote;
use crate::risk::exposure::{Exposure, Row};
use crate::risk::keys::{IdIndex, KeyIndex};
use crate::risk::limits::{Band, CollarConfig, RiskConfig};
use crate::risk::links::{at, slot_of};
use crate::risk::throttle::Throttle;
use crate::types::{
    AccountId, ChannelId, ClOrdId, FeedState, InstrumentId, Nanos, Price, SessionId, VenueId,
};

#[derive(Debug)]
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
    pub(super) quote: Quote,
    pub(super) is_killed: bool,
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) is_killed: bool,
}

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
    pub(super) fn may_use(&self, account: usize) -> bool {
        self.accounts.contains(&account)
    }

    /// Whether `cl_ord_id` is larger than all before it, and notes it.
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
    instrument_index: IdIndex,
    account_index: IdIndex,
    session_index: IdIndex,
    venue_index: IdIndex,
    channel_index: IdIndex,
    exposure_index: KeyIndex,
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
        let instruments: Box<[Instrument]> = config
            .instruments
            .iter()
            .map(|c| Instrument {
                id: c.id,
                venue: venue_index.get(c.venue.0).expect("built from the same list"),
                channel: channel_index.get(c.channel.0).expect("built from the same list"),
                tick: c.tick,
                lot: c.lot,
                qty_min: c.qty_min,
                multiplier: c.multiplier,
                collar: c.collar,
                market_protection: c.market_protection,
                quote: Quote::default(),
                is_killed: false,
            })
            .collect();
        let instrument_index = IdIndex::new(config.instruments.iter().map(|c| c.id.0));
        let account_index = IdIndex::new(config.accounts.iter().map(|c| c.id.0));
        let (exposures, exposure_index) = exposures(config, &instrument_index);
        Tables {
            instruments,
            accounts: config
                .accounts
                .iter()
                .map(|c| Account { id: c.id, is_killed: false })
                .collect(),
            sessions: config.sessions.iter().map(|c| session(c, &account_index)).collect(),
            venues: venue_ids
                .iter()
                .map(|&id| Venue { id, is_up: false, is_killed: false, epoch: 0 })
                .collect(),
            channels: channel_ids.iter().map(|_| Channel { heard: None }).collect(),
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
        self.exposure_index
            .get((u64::from(slot_of(account)), u64::from(slot_of(instrument))))
            .map(at)
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

fn exposures(config: &RiskConfig, instruments: &IdIndex) -> (Box<[Exposure]>, KeyIndex) {
    let count = config.accounts.iter().map(|account| account.instruments.len()).sum();
    let (mut all, mut index) = (Vec::with_capacity(count), KeyIndex::new(count));
    for (account, account_config) in config.accounts.iter().enumerate() {
        for (instrument_id, limits) in &account_config.instruments {
            let instrument = instruments.get(instrument_id.0).expect("validated");
            let of_instrument = &config.instruments[instrument].limits;
            let of_account = &account_config.limits;
            let key = (u64::from(slot_of(account)), u64::from(slot_of(instrument)));
            index.insert(key, slot_of(all.len()));
            all.push(Exposure {
                account,
                instrument,
                net: 0,
                open_buys: 0,
                open_sells: 0,
                bought: 0,
                sold: 0,
                bought_notional: 0,
                sold_notional: 0,
                row: Row::default(),
                qty_max: lower(of_instrument.qty_max, of_account.qty_max),
                notional_max: lower(of_instrument.notional_max, of_account.notional_max),
                long_max: limits.long_max,
                short_max: limits.short_max,
            });
        }
    }
    (all.into(), index)
}
