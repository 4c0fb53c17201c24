//! The engine: all state of risk, and the one way in for every input.

use crate::codec::journal::{
    ApprovedCancel, ApprovedOrder, ApprovedReplace, CancelRejectReport, Decision, FeedStatus,
    Journal, KillNotice, MassCancelReport, OrderReport, ReferencePrice, VenueLink,
};
use crate::gate::CannotRestore;
use crate::risk::limits::{DuplicateConfig, RiskConfig, RiskConfigError};
use crate::risk::orders::{Order, OrderTable};
use crate::risk::tables::Tables;
use crate::types::{
    AccountId, DenyReason, InstrumentId, LinkState, Nanos, OrderId, SessionId, VenueId,
};

/// What an input makes risk do. Called in the order in which it is to take effect: every [`decided`](Effects::decided)
/// comes before what follows from that decision.
pub trait Effects {
    /// A decision, to be recorded before anything after it takes effect.
    fn decided(&mut self, decision: Decision);
    /// Send an order to the router.
    fn approve_order(&mut self, order: ApprovedOrder);
    /// Send a cancel to the router.
    fn approve_cancel(&mut self, cancel: ApprovedCancel);
    /// Send a replace to the router.
    fn approve_replace(&mut self, replace: ApprovedReplace);
    /// Report on an order to its session.
    fn report(&mut self, report: OrderReport);
    /// Report a refused cancel or replace to its session.
    fn cancel_reject(&mut self, report: CancelRejectReport);
    /// Answer a mass cancel.
    fn mass_cancel_report(&mut self, report: MassCancelReport);
    /// Tell the router how a kill switch stands.
    fn kill_notice(&mut self, notice: KillNotice);
}

/// What happened since the start of this process, for metrics and the account at the end of a run. Not part of the state:
/// nothing is decided by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// New orders approved.
    pub orders_approved: u64,
    /// Replaces approved.
    pub replaces_approved: u64,
    /// Cancels passed on, those of sweeps too.
    pub cancels_approved: u64,
    /// Requests denied, by [`DenyReason::index`].
    pub denied: [u64; DenyReason::COUNT],
    /// Requests denied for whatever reason.
    pub denied_sum: u64,
    /// Executions that changed an order.
    pub executions: u64,
    /// Executions of orders that are not known: of another process's, or closed long ago.
    pub executions_unknown: u64,
    /// Executions that said nothing new: seen before, or older than what is known.
    pub executions_duplicate: u64,
    /// Executions of orders closed already. Their trades count.
    pub executions_late: u64,
    /// Executions whose cumulative quantity told of trades that were never reported.
    pub executions_gap: u64,
    /// Trades beyond the order's quantity. They count.
    pub overfills: u64,
    /// Replaced, refusals and cancel rejects that answer nothing.
    pub answers_unexpected: u64,
    /// Cancels beyond the reserve of their session. They passed.
    pub cancels_beyond_reserve: u64,
    /// Inputs that name a session, venue, channel, instrument or scope which is not configured.
    pub inputs_unknown: u64,
    /// Messages that are no inputs of risk.
    pub inputs_unexpected: u64,
}

impl Counts {
    pub(super) const NONE: Counts = Counts {
        orders_approved: 0,
        replaces_approved: 0,
        cancels_approved: 0,
        denied: [0; DenyReason::COUNT],
        denied_sum: 0,
        executions: 0,
        executions_unknown: 0,
        executions_duplicate: 0,
        executions_late: 0,
        executions_gap: 0,
        overfills: 0,
        answers_unexpected: 0,
        cancels_beyond_reserve: 0,
        inputs_unknown: 0,
        inputs_unexpected: 0,
    };

    /// Requests denied for `reason`.
    pub fn denied_for(&self, reason: DenyReason) -> u64 {
        self.denied[reason.index()]
    }
}

/// What an account has of an instrument. Quantities in shares or contracts, notionals in 1e-9 of the currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Bought less sold.
    pub net: i64,
    /// Traded on the buy side.
    pub bought: u64,
    /// Traded on the sell side.
    pub sold: u64,
    /// What was paid.
    pub bought_notional: i128,
    /// What was received.
    pub sold_notional: i128,
    /// Reserved for open buys.
    pub open_buys: u64,
    /// Reserved for open sells.
    pub open_sells: u64,
}

/// A recorded decision to be believed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Recorded {
    Approved(OrderId),
    Denied(Option<DenyReason>),
}

/// Risk as a deterministic state machine. Allocates only in [`Engine::new`].
#[derive(Debug)]
pub struct Engine {
    pub(super) tables: Tables,
    pub(super) orders: OrderTable,
    pub(super) duplicate: Option<DuplicateConfig>,
    pub(super) feed_stale_ns: u64,
    pub(super) is_firm_killed: bool,
    pub(super) is_draining: bool,
    pub(super) kill_command_id: u64,
    pub(super) kill_refused_id: u64,
    pub(super) counts: Counts,
    /// While recovering: what was decided on the input at hand.
    pub(super) recorded: Option<Recorded>,
    pub(super) cannot_restore: Option<CannotRestore>,
}

impl Engine {
    /// An engine that has seen nothing: every link is down, every market unknown, nothing killed.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(config: &RiskConfig) -> Result<Engine, Vec<RiskConfigError>> {
        config.validate()?;
        Ok(Engine {
            tables: Tables::new(config),
            orders: OrderTable::new(
                config.open_orders_max,
                config.sessions.len(),
                config.first_order_sequence,
            ),
            duplicate: config.duplicate,
            feed_stale_ns: config.feed_stale_ns,
            is_firm_killed: false,
            is_draining: false,
            kill_command_id: 0,
            kill_refused_id: 0,
            counts: Counts::NONE,
            recorded: None,
            cannot_restore: None,
        })
    }

    /// Applies one input. Neither allocates nor panics whatever it holds; at most one message goes to the router and one
    /// to entry. Time may stand still or step back between inputs; only differences are used, never below zero.
    pub fn apply(&mut self, now: Nanos, input: &Journal, out: &mut impl Effects) {
        match input {
            Journal::OrderRequest(request) => self.order(now, request, out),
            Journal::CancelRequest(request) => self.cancel_request(now, request, out),
            Journal::ReplaceRequest(request) => self.replace_request(now, request, out),
            Journal::MassCancelRequest(request) => self.mass_cancel_request(now, request, out),
            Journal::SessionLink(link) => self.session_link(link),
            Journal::VenueExecution(execution) => self.venue_execution(now, execution, out),
            Journal::VenueCancelReject(reject) => self.venue_cancel_reject(now, reject, out),
            Journal::VenueLink(link) => self.venue_link(link),
            Journal::RouterRefusal(refusal) => self.router_refusal(now, refusal, out),
            Journal::ReferencePrice(price) => self.price(price),
            Journal::FeedStatus(status) => self.feed_status(now, status),
            Journal::KillCommand(command) => self.kill_command(command, out),
            Journal::ApprovedOrder(_)
            | Journal::ApprovedCancel(_)
            | Journal::ApprovedReplace(_)
            | Journal::KillNotice(_)
            | Journal::OrderReport(_)
            | Journal::CancelRejectReport(_)
            | Journal::MassCancelReport(_)
            | Journal::SegmentStart(_)
            | Journal::Decision(_) => self.counts.inputs_unexpected += 1,
        }
    }

    /// As [`Engine::apply`] of a price, without the way through an enum.
    #[inline]
    pub fn price(&mut self, price: &ReferencePrice) {
        match self.tables.instrument(price.security_id) {
            Some(instrument) => {
                self.tables.instruments[instrument].set_quote(price.bid_px, price.offer_px);
            }
            None => self.counts.inputs_unknown += 1,
        }
    }

    fn feed_status(&mut self, now: Nanos, status: &FeedStatus) {
        match self.tables.channel(status.channel_id) {
            Some(channel) => {
                self.tables.channels[channel].heard = Some((status.feed_state, now));
            }
            None => self.counts.inputs_unknown += 1,
        }
    }

    /// Orders on their way when a link breaks stay reserved: only the venue can say what became of them. When it is up
    /// again, orders whose session is gone meanwhile are cancelled.
    fn venue_link(&mut self, link: &VenueLink) {
        let Some(venue) = self.tables.venue(link.venue_id) else {
            self.counts.inputs_unknown += 1;
            return;
        };
        let state = &mut self.tables.venues[venue];
        match link.link_state {
            LinkState::Up => {
                state.is_up = true;
                self.cancel_abandoned(venue);
            }
            LinkState::Down => {
                state.is_up = false;
                state.epoch = state.epoch.wrapping_add(1);
            }
        }
    }

    /// A run of the process begins: links are down and markets unknown until said otherwise, throttles are full. Positions,
    /// open orders, reservations, identifiers and kill switches stay. The end of the last run ended every session: the
    /// orders of those that want that are cancelled once their venue is up, whoever connects first.
    pub fn restart(&mut self, now: Nanos) {
        self.is_draining = false;
        while let Some(slot) = self.orders.take_due() {
            self.orders.get_mut(slot).cancel_owed = true;
        }
        for session in 0..self.tables.sessions.len() {
            if self.tables.sessions[session].cancel_on_disconnect {
                self.owe_cancels(session);
            }
        }
        for session in &mut self.tables.sessions {
            session.is_up = false;
            session.throttle.reset(now);
        }
        for venue in &mut self.tables.venues {
            venue.is_up = false;
            venue.epoch = venue.epoch.wrapping_add(1);
        }
        for channel in &mut self.tables.channels {
            channel.heard = None;
        }
        for instrument in &mut self.tables.instruments {
            instrument.set_quote(None, None);
        }
        for exposure in &mut self.tables.exposures {
            exposure.row = Default::default();
        }
    }

    /// The process goes down: no new risk from now on, and the open orders of every session that wants them cancelled
    /// when it goes down are to be cancelled.
    pub fn drain(&mut self) {
        self.is_draining = true;
        for session in 0..self.tables.sessions.len() {
            if self.tables.sessions[session].cancel_on_disconnect {
                self.cancel_session(session);
            }
        }
    }

    /// Whether [`Engine::drain`] has nothing left to wait for: no order that it cancels is open at a venue that could
    /// answer. Looks at every open order.
    pub fn is_drained(&self) -> bool {
        let orders = &self.orders;
        (0..self.tables.sessions.len())
            .filter(|&session| self.tables.sessions[session].cancel_on_disconnect)
            .flat_map(|session| {
                std::iter::successors(orders.session_first(session), |&s| orders.session_next(s))
            })
            .all(|slot| !self.tables.venues[self.venue_of(orders.get(slot))].is_up)
    }

    /// Orders that a sweep has still to cancel; [`Engine::tick`] goes on with it.
    #[inline]
    pub fn due_count(&self) -> u32 {
        self.orders.due_count()
    }

    /// What was counted since the start of this process.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Orders open now: approved, and not known to have ended.
    pub fn open_order_count(&self) -> usize {
        self.orders.open_count()
    }

    /// The number of the kill switch command taken last, applied or refused; 0 is none.
    pub fn kill_command_id(&self) -> u64 {
        self.kill_command_id
    }

    /// The number of the last kill switch command for something that is not configured, which changed nothing; 0 is none.
    pub fn kill_refused_id(&self) -> u64 {
        self.kill_refused_id
    }

    /// Positions and open exposure, of every account in everything it may trade, in the order of the configuration.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        let rows = self.tables.exposures.iter().zip(&self.tables.traded);
        rows.map(|(exposure, traded)| Position {
            account: self.tables.accounts[exposure.account].id,
            instrument: self.tables.instruments[exposure.instrument].id,
            net: exposure.net,
            bought: traded.bought,
            sold: traded.sold,
            bought_notional: traded.bought_notional,
            sold_notional: traded.sold_notional,
            open_buys: exposure.open_buys,
            open_sells: exposure.open_sells,
        })
    }

    /// The instrument and channel an order or replace is to be checked against, so that their latest prices can be applied
    /// before it. `None` where the request names nothing that is known.
    #[inline]
    pub fn market_of(&self, input: &Journal) -> Option<(usize, usize)> {
        let instrument = if let Journal::OrderRequest(request) = input {
            self.tables.instrument(request.security_id)?
        } else if let Journal::ReplaceRequest(request) = input {
            let session = self.tables.session(request.session_id)?;
            let slot = self.orders.by_client(session, request.orig_cl_ord_id)?;
            self.tables.exposures[self.orders.get(slot).exposure].instrument
        } else {
            return None;
        };
        Some((instrument, self.tables.instruments[instrument].channel))
    }

    /// Asks for the memory that a price of an instrument and an order in it will need. Changes nothing. To be called as soon as
    /// it is known which instrument moves: a few nanoseconds, in place of cache misses one after the other.
    #[inline]
    pub fn prefetch(&self, id: InstrumentId) {
        if let Some(instrument) = self.tables.instrument(id) {
            self.tables.prefetch(instrument);
        }
    }

    /// Asks for the memory that the next order will need, whatever it is. Changes nothing. To be called when the last one is on
    /// its way, so that it did not wait for this.
    #[inline]
    pub fn prepare(&self) {
        self.orders.prefetch_next();
    }

    /// Every kill switch that is on, as notices: for a router that starts.
    pub fn kill_notices(&self, mut notice: impl FnMut(KillNotice)) {
        self.latched(|kill_scope, id| {
            notice(KillNotice { id, kill_scope, kill_action: crate::types::KillAction::Kill });
        });
    }

    /// The venue of an order.
    #[inline]
    pub(super) fn venue_of(&self, order: &Order) -> usize {
        self.tables.instruments[self.tables.exposures[order.exposure].instrument].venue
    }

    /// Number of `instruments` and of `channels`, in the places that [`Engine::market_of`] gives.
    pub(super) fn market_sizes(&self) -> (usize, usize) {
        (self.tables.instruments.len(), self.tables.channels.len())
    }

    pub(super) fn instrument_place(&self, id: InstrumentId) -> Option<usize> {
        self.tables.instrument(id)
    }

    pub(super) fn channel_place(&self, id: crate::types::ChannelId) -> Option<usize> {
        self.tables.channel(id)
    }

    /// Whether orders to a venue can leave now.
    pub fn is_venue_up(&self, id: VenueId) -> bool {
        self.tables.venue(id).is_some_and(|venue| self.tables.venues[venue].is_up)
    }

    /// Counts a request that was denied before it reached the engine.
    pub(super) fn count_denied(&mut self, reason: DenyReason) {
        self.counts.denied[reason.index()] += 1;
        self.counts.denied_sum += 1;
    }

    /// Open orders of a session.
    pub fn session_open_count(&self, id: SessionId) -> u32 {
        self.tables.session(id).map_or(0, |session| self.orders.session_count(session))
    }
}
