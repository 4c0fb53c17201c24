//! The engine by its rules: limits at their boundaries, what fails closed, and what always passes.

mod risk_support;

use postern::codec::journal::{Journal, KillCommand, VenueCancelReject};
use postern::risk::{CollarReference, CollarSides, Engine, PositionLimits};
use postern::types::{
    AccountId, CancelRejectTo, ClOrdId, DenyReason, ExecType, FeedState, InstrumentId, KillAction,
    KillScope, LinkState, MassScope, OrdStatus, OrdType, OrderId, Price, SessionId, Side,
    TimeInForce,
};
use risk_support::{
    Desk, SECOND, cancel_reject, cents, config, kill, link, mass_cancel, quote, session, status,
};

fn desk() -> Desk {
    Desk::new(&config())
}

/// Sends orders that differ by one value: those at and below the limit pass, the one above is denied.
fn boundary(
    values: [(i64, Result<(), DenyReason>); 3],
    order: impl Fn(&mut Desk, i64) -> Result<(), DenyReason>,
) {
    for (value, expected) in values {
        assert_eq!(order(&mut desk(), value), expected, "at {value}");
    }
}

fn outcome<T>(result: Result<T, DenyReason>) -> Result<(), DenyReason> {
    result.map(|_| ())
}

#[test]
fn quantity_limit_may_be_reached() {
    boundary(
        [(990, Ok(())), (1000, Ok(())), (1010, Err(DenyReason::QtyAboveLimit))],
        |desk, qty| {
            let order = desk.limit(Side::Buy, cents(9_000), u32::try_from(qty).expect("it fits"));
            outcome(desk.send(order))
        },
    );
}

#[test]
fn notional_limit_may_be_reached() {
    // The limit is 900 at 100.00.
    boundary(
        [(9_999, Ok(())), (10_000, Ok(())), (10_001, Err(DenyReason::NotionalAboveLimit))],
        |desk, price| {
            let order = desk.limit(Side::Buy, cents(price), 900);
            outcome(desk.send(order))
        },
    );
}

#[test]
fn lot_and_smallest_quantity() {
    boundary(
        [(10, Err(DenyReason::QtyBelowMin)), (20, Ok(())), (21, Err(DenyReason::QtyOffLot))],
        |desk, qty| {
            let order = desk.limit(Side::Buy, cents(10_000), u32::try_from(qty).expect("it fits"));
            outcome(desk.send(order))
        },
    );
}

#[test]
fn tick_is_an_increment_and_not_a_precision() {
    let mut config = config();
    config.instruments[0].tick = cents(5);
    let mut desk = Desk::new(&config);
    let order = desk.limit(Side::Buy, cents(9_995), 100);
    assert!(desk.send(order).is_ok());
    let order = desk.limit(Side::Buy, cents(9_996), 100);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::PriceOffTick));
}

#[test]
fn collar_reaches_its_band_and_no_further() {
    // A buy is compared with the offer, 100.01: one per cent of it is 1.0001, rounded to the tick 1.00.
    boundary(
        [(10_100, Ok(())), (10_101, Ok(())), (10_102, Err(DenyReason::PriceOutsideCollar))],
        |desk, price| {
            let order = desk.limit(Side::Buy, cents(price), 20);
            outcome(desk.send(order))
        },
    );
    // A sell with the bid, 99.99.
    boundary(
        [(9_901, Ok(())), (9_900, Ok(())), (9_899, Err(DenyReason::PriceOutsideCollar))],
        |desk, price| {
            let order = desk.limit(Side::Sell, cents(price), 20);
            outcome(desk.send(order))
        },
    );
}

#[test]
fn collar_looks_at_passive_prices_only_where_it_is_told_to() {
    let mut config = config();
    let mut desk = Desk::new(&config);
    let order = desk.limit(Side::Buy, cents(1), 20);
    assert!(desk.send(order).is_ok());
    let collar = config.instruments[0].collar.as_mut().expect("it fits");
    (collar.sides, collar.reference) = (CollarSides::Both, CollarReference::Mid);
    let mut desk = Desk::new(&config);
    for (price, expected) in [
        (9_900, Ok(())),
        (9_899, Err(DenyReason::PriceOutsideCollar)),
        (10_100, Ok(())),
        (10_101, Err(DenyReason::PriceOutsideCollar)),
    ] {
        let order = desk.limit(Side::Buy, cents(price), 20);
        assert_eq!(outcome(desk.send(order)), expected, "{price}");
    }
}

#[test]
fn collar_uses_ticks_where_they_reach_further() {
    let mut config = config();
    let collar = config.instruments[0].collar.as_mut().expect("it fits");
    collar.band.basis_points = 1;
    let mut desk = Desk::new(&config);
    for (price, expected) in [(10_006, Ok(())), (10_007, Err(DenyReason::PriceOutsideCollar))] {
        let order = desk.limit(Side::Buy, cents(price), 20);
        assert_eq!(outcome(desk.send(order)), expected, "{price}");
    }
}

#[test]
fn market_order_is_priced_at_the_protected_touch() {
    let market = |desk: &mut Desk, qty| {
        let mut order = desk.limit(Side::Buy, cents(0), qty);
        (order.price, order.ord_type) = (None, OrdType::Market);
        order.time_in_force = TimeInForce::ImmediateOrCancel;
        desk.send(order)
    };
    // 100.01 and half a per cent: 100.51005. 890 of them are within 90,000, 900 are not.
    let approved = market(&mut desk(), 890).expect("within the limit");
    assert_eq!((approved.price, approved.ord_type), (None, OrdType::Market));
    assert_eq!(outcome(market(&mut desk(), 900)), Err(DenyReason::NotionalAboveLimit));
    // The protected price must be within the collar too.
    let mut wide = config();
    wide.instruments[0].market_protection.as_mut().expect("it fits").basis_points = 101;
    assert_eq!(outcome(market(&mut Desk::new(&wide), 20)), Err(DenyReason::PriceOutsideCollar));
    wide.instruments[0].market_protection = None;
    assert_eq!(outcome(market(&mut Desk::new(&wide), 20)), Err(DenyReason::MarketOrderNotAllowed));
    let mut empty = desk();
    empty.apply(quote(1, Some(cents(9_999)), None));
    assert_eq!(outcome(market(&mut empty, 20)), Err(DenyReason::ReferenceMissing));
}

#[test]
fn worst_case_position_counts_what_is_open() {
    let mut desk = desk();
    for price in 0..5 {
        let order = desk.limit(Side::Buy, cents(9_000 + price), 990);
        desk.send(order).expect("4950 are below 5000");
    }
    let order = desk.limit(Side::Buy, cents(9_000), 60);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::LongAboveLimit));
    let order = desk.limit(Side::Buy, cents(9_000), 50);
    assert!(desk.send(order).is_ok());
    assert_eq!(desk.position(), (0, 5_000, 0));
    // The other side is another limit.
    for price in 0..4 {
        let order = desk.limit(Side::Sell, cents(10_100 - price), 890);
        desk.send(order).expect("3560 are below 4000");
    }
    let order = desk.limit(Side::Sell, cents(10_050), 450);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::ShortAboveLimit));
    let order = desk.limit(Side::Sell, cents(10_050), 440);
    assert!(desk.send(order).is_ok());
}

#[test]
fn flattening_is_never_denied_for_its_size() {
    let mut desk = desk();
    let (_, id) = desk.open();
    // The venue trades far more than was ordered: its word counts, and the limit of 5000 is long passed.
    let fill = desk.trade(id, 20_000, 20_000, 100);
    desk.apply(fill);
    assert_eq!(desk.position(), (20_000, 0, 0));
    assert_eq!(desk.engine.counts().overfills, 1);
    let order = desk.limit(Side::Buy, cents(10_000), 20);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::LongAboveLimit));
    for price in 0..20 {
        let order = desk.limit(Side::Sell, cents(10_000 + price), 890);
        assert!(desk.send(order).is_ok(), "leads back to zero");
    }
}

#[test]
fn what_is_missing_denies() {
    let deny = |spoil: &dyn Fn(&mut Desk), reason| {
        let mut desk = desk();
        spoil(&mut desk);
        let order = desk.limit(Side::Buy, cents(10_000), 100);
        assert_eq!(outcome(desk.send(order)), Err(reason));
    };
    deny(&|desk| drop(desk.apply(status(FeedState::Stale))), DenyReason::FeedNotCurrent);
    deny(&|desk| drop(desk.apply(status(FeedState::Ended))), DenyReason::FeedNotCurrent);
    deny(&|desk| desk.now = desk.now.plus(SECOND + 1), DenyReason::FeedStale);
    deny(&|desk| drop(desk.apply(link(1, LinkState::Down))), DenyReason::VenueDown);
    deny(&|desk| drop(desk.apply(session(1, LinkState::Down))), DenyReason::SessionDown);
    deny(&|desk| desk.engine.drain(), DenyReason::ShuttingDown);
    deny(
        &|desk| drop(desk.apply(quote(1, None, Some(cents(10_001))))),
        DenyReason::ReferenceMissing,
    );
    deny(&|desk| drop(desk.apply(quote(1, None, None))), DenyReason::ReferenceMissing);
    deny(
        &|desk| drop(desk.apply(quote(1, Some(cents(10_002)), Some(cents(10_001))))),
        DenyReason::ReferenceCrossed,
    );
    // At the last moment it still passes, and so does a locked market.
    let mut desk = desk();
    desk.now = desk.now.plus(SECOND);
    desk.apply(quote(1, Some(cents(10_000)), Some(cents(10_000))));
    let order = desk.limit(Side::Buy, cents(10_000), 100);
    assert!(desk.send(order).is_ok());
}

#[test]
fn no_limit_is_no_trade() {
    let spoilt: [fn(&mut postern::risk::RiskConfig); 4] = [
        |config| config.instruments[0].collar = None,
        |config| {
            config.instruments[0].limits.qty_max = None;
            config.accounts[0].limits.qty_max = None;
        },
        |config| config.accounts[0].limits.notional_max = None,
        |config| config.accounts[0].instruments[0].1 = PositionLimits::default(),
    ];
    for spoil in spoilt {
        let mut config = config();
        spoil(&mut config);
        let mut desk = Desk::new(&config);
        let order = desk.limit(Side::Buy, cents(10_000), 100);
        assert_eq!(outcome(desk.send(order)), Err(DenyReason::LimitMissing));
    }
}

#[test]
fn structure_is_checked_first() {
    let mut desk = desk();
    let order = desk.limit(Side::Buy, cents(10_000), 100);
    let cases = [
        (SessionId(9), AccountId(1), InstrumentId(1), DenyReason::UnknownSession),
        (SessionId(1), AccountId(9), InstrumentId(1), DenyReason::UnknownAccount),
        (SessionId(1), AccountId(2), InstrumentId(1), DenyReason::AccountNotOfSession),
        (SessionId(1), AccountId(1), InstrumentId(9), DenyReason::UnknownInstrument),
    ];
    for (session_id, account, security_id, reason) in cases {
        let cl_ord_id = desk.id();
        let order = postern::codec::journal::OrderRequest {
            cl_ord_id,
            session_id,
            account,
            security_id,
            ..order
        };
        assert_eq!(outcome(desk.send(order)), Err(reason));
    }
    let mut config = config();
    config.accounts[0].instruments.pop();
    let mut narrow = Desk::new(&config);
    let mut order = narrow.limit(Side::Buy, cents(10_000), 100);
    order.security_id = InstrumentId(2);
    assert_eq!(outcome(narrow.send(order)), Err(DenyReason::InstrumentNotOfAccount));
    let mut order = desk.limit(Side::Buy, cents(10_000), 0);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::QtyMissing));
    (order.cl_ord_id, order.order_qty, order.price) = (desk.id(), 100, None);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::PriceMissing));
    (order.cl_ord_id, order.price, order.ord_type) = (desk.id(), Some(cents(1)), OrdType::Market);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::PriceNotAllowed));
}

#[test]
fn extremes_deny_and_never_panic() {
    for price in [Price::MIN, Price::MAX, Price::from_units(0), Price::from_units(-1)] {
        for qty in [1, u32::MAX] {
            for side in [Side::Buy, Side::Sell] {
                for (bid, offer) in
                    [(Price::MIN, Price::MIN), (Price::MIN, Price::MAX), (Price::MAX, Price::MAX)]
                {
                    for ord_type in [OrdType::Limit, OrdType::Market] {
                        let mut config = config();
                        config.instruments[0].tick = Price::from_units(1);
                        (config.instruments[0].lot, config.instruments[0].qty_min) = (1, 1);
                        config.instruments[0].multiplier = u32::MAX;
                        let mut desk = Desk::new(&config);
                        desk.apply(quote(1, Some(bid), Some(offer)));
                        let mut order = desk.limit(side, price, qty);
                        order.ord_type = ord_type;
                        if ord_type == OrdType::Market {
                            order.price = None;
                        }
                        let _ = desk.send(order);
                    }
                }
            }
        }
    }
}

#[test]
fn kill_switches_latch_in_every_scope_and_let_cancels_pass() {
    let scopes = [
        (KillScope::Firm, 0, DenyReason::KilledFirm),
        (KillScope::Venue, 1, DenyReason::KilledVenue),
        (KillScope::Account, 1, DenyReason::KilledAccount),
        (KillScope::Session, 1, DenyReason::KilledSession),
        (KillScope::Instrument, 1, DenyReason::KilledInstrument),
    ];
    for (scope, id, reason) in scopes {
        let mut desk = desk();
        let (open, order_id) = desk.open();
        let other = desk.apply(kill(scope, id.max(1) + 1, KillAction::Kill));
        assert_eq!(other.kills.len(), 1);
        if scope == KillScope::Firm {
            desk.apply(kill(scope, 0, KillAction::Rearm));
        }
        let order = desk.limit(Side::Buy, cents(9_990), 100);
        assert!(desk.send(order).is_ok(), "another one's {scope:?} switch");
        let notice = desk.apply(kill(scope, id, KillAction::Kill)).kills[0];
        assert_eq!((notice.kill_scope, notice.id), (scope, id));
        let order = desk.limit(Side::Buy, cents(9_991), 100);
        assert_eq!(outcome(desk.send(order)), Err(reason));
        let lowering = desk.replace(open, cents(9_998), 50);
        assert_eq!(desk.apply(lowering).cancel_rejects[0].deny_reason, reason.code());
        let cancel = desk.cancel(open);
        assert_eq!(desk.apply(cancel).cancels[0].order_id, order_id);
        let mut notices = Vec::new();
        desk.engine.kill_notices(|notice| notices.push((notice.kill_scope, notice.id)));
        assert!(notices.contains(&(scope, id)));
        desk.apply(kill(scope, id, KillAction::Rearm));
        let order = desk.limit(Side::Buy, cents(9_992), 100);
        assert!(desk.send(order).is_ok());
    }
}

#[test]
fn a_kill_of_what_is_not_configured_changes_nothing_and_says_so() {
    let mut desk = desk();
    desk.open();
    let scopes = [KillScope::Venue, KillScope::Account, KillScope::Session, KillScope::Instrument];
    for (number, scope) in (10..).zip(scopes) {
        for (step, action) in
            (0..).zip([KillAction::Kill, KillAction::KillAndCancel, KillAction::Rearm])
        {
            let command_id = 10 * number + step;
            let command = KillCommand { command_id, ..kill(scope, 7, action) };
            assert_eq!(desk.apply(command).kills.len(), 0, "the router hears nothing of it");
            assert_eq!(desk.engine.kill_refused_id(), command_id);
            assert_eq!(desk.engine.kill_command_id(), command_id);
        }
    }
    assert_eq!(desk.engine.due_count(), 0);
    let order = desk.limit(Side::Buy, cents(9_990), 100);
    assert!(desk.send(order).is_ok());
    let command = KillCommand { command_id: 999, ..kill(KillScope::Account, 1, KillAction::Kill) };
    assert_eq!(desk.apply(command).kills.len(), 1);
    assert_eq!((desk.engine.kill_command_id(), desk.engine.kill_refused_id()), (999, 132));
}

#[test]
fn kill_and_cancel_sweeps_its_scope_a_bounded_number_at_a_time() {
    let mut desk = desk();
    for _ in 0..40 {
        desk.open();
    }
    let mut other = desk.limit(Side::Buy, cents(9_000), 100);
    other.security_id = InstrumentId(2);
    desk.send(other).expect("approved");
    desk.apply(kill(KillScope::Instrument, 1, KillAction::KillAndCancel));
    assert_eq!(desk.engine.due_count(), 40);
    let sizes: Vec<usize> = (0..4).map(|_| desk.tick().cancels.len()).collect();
    assert_eq!(sizes, [16, 16, 8, 0]);
}

#[test]
fn a_session_that_goes_down_has_its_orders_cancelled_and_no_others() {
    let mut desk = desk();
    let (_, id) = desk.open();
    let mut other = desk.limit(Side::Buy, cents(9_000), 100);
    (other.session_id, other.account) = (SessionId(2), AccountId(2));
    desk.send(other).expect("approved");
    desk.apply(session(1, LinkState::Down));
    let out = desk.tick();
    assert_eq!(out.cancels.iter().map(|cancel| cancel.order_id).collect::<Vec<_>>(), [id]);
    assert_eq!(desk.tick().cancels.len(), 0);
}

#[test]
fn cancels_owed_to_a_dead_venue_are_sent_when_it_is_back() {
    let mut desk = desk();
    let (_, id) = desk.open();
    desk.apply(link(1, LinkState::Down));
    desk.apply(kill(KillScope::Firm, 0, KillAction::KillAndCancel));
    assert_eq!(desk.tick().cancels.len(), 0);
    assert_eq!(desk.engine.due_count(), 0, "nothing to do until the venue is back");
    desk.apply(link(1, LinkState::Up));
    assert_eq!(desk.tick().cancels[0].order_id, id);
}

/// The end of a run is the end of its sessions, whoever is back first in the next one.
#[test]
fn after_a_restart_orders_of_the_last_run_are_cancelled_in_whatever_order_links_return() {
    let links: [Journal; 2] = [session(1, LinkState::Up).into(), link(1, LinkState::Up).into()];
    let [session_up, venue_up] = links;
    for cancel_on_disconnect in [true, false] {
        for links in [[session_up, venue_up], [venue_up, session_up]] {
            let mut config = config();
            config.sessions[0].cancel_on_disconnect = cancel_on_disconnect;
            let mut desk = Desk::new(&config);
            let (client, id) = desk.open();
            desk.engine.restart(desk.now);
            let mut cancels = Vec::new();
            for link in links {
                desk.apply(link);
                cancels.extend(desk.tick().cancels);
            }
            if !cancel_on_disconnect {
                assert_eq!(cancels, [], "{links:?}");
                let cancel = desk.cancel(client);
                cancels = desk.apply(cancel).cancels;
            }
            let [cancel] = cancels[..] else { panic!("one cancel, not {cancels:?}") };
            assert_eq!(cancel.order_id, id);
            // The order had not reached the venue.
            assert_eq!(desk.position(), (0, 100, 0), "{links:?}");
            let reject = cancel_reject(id, CancelRejectTo::Cancel);
            desk.apply(VenueCancelReject { ord_status: OrdStatus::Rejected, ..reject });
            assert_eq!(desk.position(), (0, 0, 0), "{links:?}");
        }
    }
}

#[test]
fn mass_cancel_answers_with_what_it_takes_in() {
    let mut desk = desk();
    for instrument in [1, 1, 2] {
        let mut order = desk.limit(Side::Buy, cents(9_000), 100);
        order.security_id = InstrumentId(instrument);
        desk.send(order).expect("approved");
    }
    let out = desk.apply(mass_cancel(MassScope::Instrument, 1));
    assert_eq!(out.mass_cancels[0].total_affected_orders, 2);
    assert_eq!(
        desk.apply(mass_cancel(MassScope::Instrument, 9)).mass_cancels[0].total_affected_orders,
        0
    );
    assert_eq!(
        desk.apply(mass_cancel(MassScope::Session, 0)).mass_cancels[0].total_affected_orders,
        1
    );
    assert_eq!(desk.tick().cancels.len(), 3);
}

#[test]
fn identical_orders_in_a_row_are_denied_until_something_differs() {
    let mut desk = desk();
    let alike = |desk: &mut Desk, qty| {
        let order = desk.limit(Side::Buy, cents(9_000), qty);
        outcome(desk.send(order))
    };
    for _ in 0..4 {
        assert_eq!(alike(&mut desk, 100), Ok(()));
    }
    assert_eq!(alike(&mut desk, 100), Err(DenyReason::DuplicateOrder));
    assert_eq!(alike(&mut desk, 100), Err(DenyReason::DuplicateOrder));
    assert_eq!(alike(&mut desk, 110), Ok(()));
    assert_eq!(alike(&mut desk, 100), Ok(()));
    for _ in 0..3 {
        assert_eq!(alike(&mut desk, 100), Ok(()));
    }
    desk.now = desk.now.plus(SECOND + 1);
    desk.apply(status(FeedState::Current));
    assert_eq!(alike(&mut desk, 100), Ok(()), "after a pause");
}

#[test]
fn a_client_identifier_grows_or_is_denied() {
    let mut desk = desk();
    let first = desk.limit(Side::Buy, cents(9_000), 100);
    assert!(desk.send(first).is_ok());
    assert_eq!(outcome(desk.send(first)), Err(DenyReason::DuplicateClOrdId));
    let mut earlier = desk.limit(Side::Buy, cents(9_000), 110);
    earlier.cl_ord_id = ClOrdId(first.cl_ord_id.0 - 1);
    assert_eq!(outcome(desk.send(earlier)), Err(DenyReason::DuplicateClOrdId));
    // Another session counts for itself.
    (earlier.session_id, earlier.account) = (SessionId(2), AccountId(2));
    assert!(desk.send(earlier).is_ok());
}

#[test]
fn denied_orders_use_up_the_rate_and_cancels_do_not_need_it() {
    let mut config = config();
    config.sessions[0].rate.burst = 3;
    config.sessions[0].rate.per_second = 1;
    let mut desk = Desk::new(&config);
    let (open, id) = desk.open();
    for _ in 0..2 {
        let order = desk.limit(Side::Buy, cents(10_000), 21);
        assert_eq!(outcome(desk.send(order)), Err(DenyReason::QtyOffLot));
    }
    let order = desk.limit(Side::Buy, cents(9_000), 100);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::RateAboveBurst));
    let replace = desk.replace(open, cents(9_990), 100);
    assert_eq!(
        desk.apply(replace).cancel_rejects[0].deny_reason,
        DenyReason::RateAboveBurst.code()
    );
    let cancel = desk.cancel(open);
    assert_eq!(desk.apply(cancel).cancels[0].order_id, id);
    // Far beyond their reserve, cancels are still answered by what they ask for.
    for _ in 0..100 {
        let cancel = desk.cancel(ClOrdId(77));
        assert_eq!(
            desk.apply(cancel).cancel_rejects[0].deny_reason,
            DenyReason::UnknownOrder.code()
        );
    }
    assert_eq!(desk.engine.counts().cancels_beyond_reserve, 91);
}

#[test]
fn a_window_denies_what_the_bucket_would_pass() {
    let mut config = config();
    config.sessions[0].rate.window_messages = 2;
    config.sessions[0].rate.window_ns = SECOND;
    let mut desk = Desk::new(&config);
    desk.open();
    desk.open();
    let order = desk.limit(Side::Buy, cents(9_000), 100);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::RateAboveWindow));
}

#[test]
fn open_orders_are_bounded_by_session_and_together() {
    let mut config = config();
    (config.sessions[0].open_orders_max, config.open_orders_max) = (2, 3);
    let mut desk = Desk::new(&config);
    let (_, first) = desk.open();
    desk.open();
    let order = desk.limit(Side::Buy, cents(9_000), 100);
    assert_eq!(outcome(desk.send(order)), Err(DenyReason::TooManyOpenOrders));
    let mut other = desk.limit(Side::Buy, cents(9_000), 110);
    other.session_id = SessionId(2);
    assert!(desk.send(other).is_ok());
    (other.cl_ord_id, other.order_qty) = (desk.id(), 120);
    assert_eq!(outcome(desk.send(other)), Err(DenyReason::TooManyOpenOrders));
    let gone = desk.execution(first, ExecType::Canceled);
    desk.apply(gone);
    (other.cl_ord_id, other.order_qty) = (desk.id(), 130);
    assert!(desk.send(other).is_ok());
}

#[test]
fn order_identifiers_grow_and_start_where_they_are_told_to() {
    let mut config = config();
    config.first_order_sequence = 1_000;
    let mut desk = Desk::new(&config);
    let mut last = OrderId(1_000 << 20);
    for round in 0..500 {
        let (_, id) = desk.open();
        assert!(id > last || round == 0 && id == last, "{id} after {last}");
        last = id;
        let gone = desk.execution(id, ExecType::Canceled);
        desk.apply(gone);
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_every_error() {
    let mut config = config();
    config.instruments[0].tick = Price::from_units(0);
    config.instruments[1].id = InstrumentId(1);
    config.sessions[0].accounts.push(AccountId(77));
    config.open_orders_max = 0;
    let errors = Engine::new(&config).expect_err("refused");
    let all = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in ["tick 0", "instrument 1 is there twice", "account 77", "open_orders_max 0"] {
        assert!(all.contains(part), "{part} in\n{all}");
    }
}
