//! The life of an order as risk sees it: replaces, cancels, refusals and executions, in every order they can come in.

mod risk_support;

use postern::codec::journal::{RouterRefusal, VenueCancelReject, VenueExecution};
use postern::types::{
    CancelRejectTo, ClOrdId, DenyReason, ExecType, FeedState, KillAction, KillScope, LinkState,
    Nanos, OrdStatus, OrderId, Price, RequestKind, Side,
};
use risk_support::{
    Desk, cancel_reject, cents, config, kill, link, quote, refusal, session, status, unknown_order,
};

fn desk() -> Desk {
    Desk::new(&config())
}

#[test]
fn a_replace_is_charged_for_the_larger_until_it_is_answered() {
    let mut desk = desk();
    let (open, id) = desk.open();
    let replace = desk.replace(open, cents(9_990), 300);
    assert_eq!(desk.apply(replace).replaces[0].order_qty, 300);
    assert_eq!(desk.position(), (0, 300, 0));
    // Refused: back to what it was.
    let out = desk.apply(cancel_reject(id, CancelRejectTo::Replace));
    assert_eq!(
        (out.cancel_rejects[0].cl_ord_id, out.cancel_rejects[0].cxl_rej_reason),
        (replace.cl_ord_id, 7)
    );
    assert_eq!(desk.position(), (0, 100, 0));
    // Lowered: still the larger until the venue says so.
    let lower = desk.replace(open, cents(9_990), 50);
    desk.apply(lower);
    assert_eq!(desk.position(), (0, 100, 0));
    let mut done = desk.execution(id, ExecType::Replaced);
    done.order_qty = 50;
    let out = desk.apply(done);
    assert_eq!((out.reports[0].cl_ord_id, out.reports[0].orig_cl_ord_id), (lower.cl_ord_id, open));
    assert_eq!((out.reports[0].order_qty, out.reports[0].price), (50, Some(cents(9_990))));
    assert_eq!(desk.position(), (0, 50, 0));
    // It goes by its new identifier now.
    let stale = desk.cancel(open);
    assert_eq!(desk.apply(stale).cancel_rejects[0].deny_reason, DenyReason::UnknownOrder.code());
    let cancel = desk.cancel(lower.cl_ord_id);
    assert_eq!(desk.apply(cancel).cancels.len(), 1);
}

#[test]
fn a_replace_is_checked_as_the_order_it_would_make() {
    let mut desk = desk();
    let (open, id) = desk.open();
    let fill = desk.trade(id, 50, 50, 100);
    desk.apply(fill);
    let cases = [
        (cents(9_990), 0, DenyReason::QtyMissing),
        (cents(9_990), 50, DenyReason::ReplaceBelowFilled),
        (cents(9_990), 105, DenyReason::QtyOffLot),
        (cents(9_990), 1_010, DenyReason::QtyAboveLimit),
        (cents(10_200), 100, DenyReason::PriceOutsideCollar),
        (Price::from_units(1), 100, DenyReason::PriceOffTick),
    ];
    for (price, qty, reason) in cases {
        let replace = desk.replace(open, price, qty);
        assert_eq!(desk.apply(replace).cancel_rejects[0].deny_reason, reason.code(), "{reason}");
    }
    let replace = desk.replace(open, cents(9_990), 200);
    assert_eq!(desk.apply(replace).replaces.len(), 1);
    let again = desk.replace(open, cents(9_990), 210);
    assert_eq!(desk.apply(again).cancel_rejects[0].deny_reason, DenyReason::ReplacePending.code());
    // The limit of 5000 counts what is held and open: 50 held, 150 open.
    let (other, _) = desk.open();
    for price in 0..4 {
        let order = desk.limit(Side::Buy, cents(9_000 + price), 990);
        desk.send(order).expect("approved");
    }
    let order = desk.limit(Side::Buy, cents(9_000), 740);
    desk.send(order).expect("5000 in all");
    let grow = desk.replace(other, cents(9_990), 110);
    assert_eq!(desk.apply(grow).cancel_rejects[0].deny_reason, DenyReason::LongAboveLimit.code());
    let same = desk.replace(other, cents(9_990), 100);
    assert_eq!(desk.apply(same).replaces.len(), 1, "nothing grows");
}

#[test]
fn a_replace_that_only_lowers_needs_no_market() {
    let mut desk = desk();
    let (open, _) = desk.open();
    let price = desk.apply(status(FeedState::Stale)).decisions.len();
    assert_eq!(price, 0);
    desk.apply(quote(1, None, None));
    let at = desk.engine.positions().next().expect("it fits");
    assert_eq!(at.open_buys, 100);
    let order_price = cents(10_000 - i64::try_from(open.0 % 50).expect("it fits"));
    let moved = desk.replace(open, cents(9_000), 50);
    assert_eq!(desk.apply(moved).cancel_rejects[0].deny_reason, DenyReason::FeedNotCurrent.code());
    let same = desk.replace(open, order_price, 100);
    assert_eq!(desk.apply(same).cancel_rejects[0].deny_reason, DenyReason::FeedNotCurrent.code());
    let lower = desk.replace(open, order_price, 50);
    assert_eq!(desk.apply(lower).replaces.len(), 1);
}

#[test]
fn a_second_cancel_is_refused_while_the_first_is_on_its_way() {
    let mut desk = desk();
    let (open, id) = desk.open();
    let first = desk.cancel(open);
    assert_eq!(desk.apply(first).cancels.len(), 1);
    let second = desk.cancel(open);
    assert_eq!(desk.apply(second).cancel_rejects[0].deny_reason, DenyReason::CancelPending.code());
    // The link broke: the first may be lost, so a second passes.
    desk.apply(link(1, LinkState::Down));
    desk.apply(link(1, LinkState::Up));
    let third = desk.cancel(open);
    assert_eq!(desk.apply(third).cancels.len(), 1);
    let gone = desk.execution(id, ExecType::Canceled);
    let report = desk.apply(gone).reports[0];
    assert_eq!((report.cl_ord_id, report.orig_cl_ord_id), (third.cl_ord_id, open));
    let late = desk.cancel(open);
    assert_eq!(desk.apply(late).cancel_rejects[0].deny_reason, DenyReason::TooLateToCancel.code());
}

/// The router saw the venue go before risk did, and refused the kill switch's cancel: it is sent when the venue is back.
#[test]
fn a_sweeps_cancel_that_did_not_leave_is_sent_when_the_venue_is_back() {
    let mut desk = desk();
    let (_, id) = desk.open();
    desk.apply(kill(KillScope::Account, 1, KillAction::KillAndCancel));
    assert_eq!(desk.tick().cancels.len(), 1);
    let refused = RouterRefusal {
        deny_reason: DenyReason::VenueDown.code(),
        ..refusal(id, RequestKind::Cancel)
    };
    assert_eq!(desk.apply(refused).cancel_rejects.len(), 0, "nobody asked for it by a request");
    desk.apply(link(1, LinkState::Down));
    assert_eq!(desk.tick().cancels.len(), 0);
    desk.apply(link(1, LinkState::Up));
    assert_eq!(desk.tick().cancels.len(), 1);
}

#[test]
fn an_order_the_venue_does_not_know_is_over_when_it_refuses_the_cancel() {
    let mut desk = desk();
    let (open, id) = desk.open();
    let cancel = desk.cancel(open);
    desk.apply(cancel);
    let out = desk.apply(unknown_order(id));
    assert_eq!(out.cancel_rejects.len(), 0);
    let report = out.reports[0];
    assert_eq!((report.cl_ord_id, report.orig_cl_ord_id), (cancel.cl_ord_id, open));
    assert_eq!((report.exec_type, report.ord_status), (ExecType::Canceled, OrdStatus::Canceled));
    assert_eq!((report.order_id, report.leaves_qty, report.deny_reason), (id, 0, 0));
    assert_eq!((desk.position(), desk.engine.open_order_count()), ((0, 0, 0), 0));
    // Twice: the strategy was told, and nobody waits for an answer.
    let again = desk.apply(unknown_order(id));
    assert_eq!((again.reports.len(), again.cancel_rejects.len()), (0, 0));
    // What traded of it all the same counts when it is told.
    let late = desk.trade(id, 30, 30, 100);
    let report = desk.apply(late).reports[0];
    assert_eq!((report.cum_qty, report.ord_status), (30, OrdStatus::Canceled));
    assert_eq!((desk.position(), desk.engine.counts().executions_late), ((30, 0, 0), 1));
}

#[test]
fn a_sweeps_cancel_of_an_order_the_venue_does_not_know_ends_it_unsolicited() {
    let mut desk = desk();
    let (open, id) = desk.open();
    let fill = desk.trade(id, 40, 40, 100);
    desk.apply(fill);
    // What a replace on its way reserves is released too.
    let replace = desk.replace(open, cents(9_990), 300);
    desk.apply(replace);
    assert_eq!(desk.position(), (40, 260, 0));
    desk.apply(kill(KillScope::Account, 1, KillAction::KillAndCancel));
    assert_eq!(desk.tick().cancels.len(), 1);
    let report = desk.apply(unknown_order(id)).reports[0];
    assert_eq!((report.cl_ord_id, report.orig_cl_ord_id), (open, ClOrdId(0)));
    assert_eq!((report.ord_status, report.cum_qty), (OrdStatus::Canceled, 40));
    assert_eq!((desk.position(), desk.engine.open_order_count()), ((40, 0, 0), 0));
    let out = desk.apply(cancel_reject(id, CancelRejectTo::Replace));
    assert_eq!(out.cancel_rejects[0].cl_ord_id, replace.cl_ord_id);
    assert_eq!(out.cancel_rejects[0].ord_status, OrdStatus::Canceled);
    assert_eq!(desk.position(), (40, 0, 0));
}

/// Only a cancel's reject with that status says that there is no order; the report of any other end is on its way.
#[test]
fn another_refusal_of_a_cancel_leaves_the_order_open() {
    for &ord_status in OrdStatus::ALL {
        for &to in CancelRejectTo::ALL {
            if (ord_status, to) == (OrdStatus::Rejected, CancelRejectTo::Cancel) {
                continue;
            }
            let mut desk = desk();
            let (open, id) = desk.open();
            match to {
                CancelRejectTo::Cancel => {
                    let cancel = desk.cancel(open);
                    desk.apply(cancel);
                }
                CancelRejectTo::Replace => {
                    let replace = desk.replace(open, cents(9_990), 300);
                    desk.apply(replace);
                }
            }
            let reject = VenueCancelReject { ord_status, ..cancel_reject(id, to) };
            let out = desk.apply(reject);
            assert_eq!((out.cancel_rejects.len(), out.reports.len()), (1, 0), "{reject:?}");
            assert_eq!(desk.position(), (0, 100, 0), "{reject:?}");
        }
    }
}

#[test]
fn what_is_ambiguous_stays_reserved() {
    let mut desk = desk();
    let (_, id) = desk.open();
    desk.apply(link(1, LinkState::Down));
    assert_eq!(desk.position(), (0, 100, 0));
    desk.engine.restart(Nanos(5));
    assert_eq!(desk.position(), (0, 100, 0));
    let gone = desk.execution(id, ExecType::Canceled);
    desk.apply(gone);
    assert_eq!(desk.position(), (0, 0, 0));
}

#[test]
fn a_refusal_of_the_router_releases_what_it_was_about() {
    let mut desk = desk();
    let (_, id) = desk.open();
    let out = desk.apply(refusal(id, RequestKind::New));
    assert_eq!(
        (out.reports[0].ord_status, out.reports[0].deny_reason),
        (OrdStatus::Rejected, DenyReason::RouterFull.code())
    );
    assert_eq!(desk.position(), (0, 0, 0));
    let (open, id) = desk.open();
    let replace = desk.replace(open, cents(9_990), 300);
    desk.apply(replace);
    assert_eq!(desk.apply(refusal(id, RequestKind::Replace)).cancel_rejects.len(), 1);
    assert_eq!(desk.position(), (0, 100, 0));
    let cancel = desk.cancel(open);
    desk.apply(cancel);
    assert_eq!(
        desk.apply(refusal(id, RequestKind::Cancel)).cancel_rejects[0].cl_ord_id,
        cancel.cl_ord_id
    );
    let again = desk.cancel(open);
    assert_eq!(desk.apply(again).cancels.len(), 1);
    // Once the venue has spoken, the router cannot take the order back.
    let accepted = desk.execution(id, ExecType::New);
    desk.apply(accepted);
    assert_eq!(desk.apply(refusal(id, RequestKind::New)).reports.len(), 0);
    assert_eq!(desk.position(), (0, 100, 0));
}

#[test]
fn executions_twice_late_or_out_of_order_move_the_position_once() {
    let mut desk = desk();
    let (_, id) = desk.open();
    let first = desk.trade(id, 30, 30, 100);
    let second = desk.trade(id, 20, 50, 100);
    assert_eq!(desk.apply(second).reports.len(), 1);
    assert_eq!((desk.position(), desk.engine.counts().executions_gap), ((50, 50, 0), 1));
    assert_eq!(desk.apply(first).reports.len(), 0, "older than what is known");
    assert_eq!(desk.apply(second).reports.len(), 0, "seen before");
    assert_eq!((desk.position(), desk.engine.counts().executions_duplicate), ((50, 50, 0), 2));
    let accepted = desk.execution(id, ExecType::New);
    assert_eq!(desk.apply(accepted).reports.len(), 0, "the trades told that before");
    let gone = VenueExecution { cum_qty: 50, ..desk.execution(id, ExecType::Canceled) };
    desk.apply(gone);
    assert_eq!(desk.position(), (50, 0, 0));
    // A trade that crossed the cancel counts all the same.
    let late = desk.trade(id, 10, 60, 100);
    let report = desk.apply(late).reports[0];
    assert_eq!((report.cum_qty, report.ord_status), (60, OrdStatus::Canceled));
    assert_eq!((desk.position(), desk.engine.counts().executions_late), ((60, 0, 0), 1));
    let unknown = desk.trade(OrderId(99), 10, 10, 10);
    desk.apply(unknown);
    assert_eq!(desk.engine.counts().executions_unknown, 1);
}

/// Every state of an order meets every event: never a panic, never a reservation that does not fit.
#[test]
fn every_state_meets_every_event() {
    type Step = fn(&mut Desk, ClOrdId, OrderId);
    let states: [(&str, Step); 9] = [
        ("pending new", |_, _, _| {}),
        ("new", |d, _, id| {
            let e = d.execution(id, ExecType::New);
            d.apply(e);
        }),
        ("partly filled", |d, _, id| {
            let e = d.trade(id, 40, 40, 100);
            d.apply(e);
        }),
        ("cancel pending", |d, open, _| {
            let e = d.cancel(open);
            d.apply(e);
        }),
        ("replace pending", |d, open, _| {
            let e = d.replace(open, cents(9_990), 200);
            d.apply(e);
        }),
        ("filled", |d, _, id| {
            let e = d.trade(id, 100, 100, 100);
            d.apply(e);
        }),
        ("canceled", |d, _, id| {
            let e = d.execution(id, ExecType::Canceled);
            d.apply(e);
        }),
        ("rejected", |d, _, id| {
            let e = d.execution(id, ExecType::Rejected);
            d.apply(e);
        }),
        ("expired", |d, _, id| {
            let e = d.execution(id, ExecType::Expired);
            d.apply(e);
        }),
    ];
    let events: [(&str, Step); 15] = [
        ("new", |d, _, id| {
            let e = d.execution(id, ExecType::New);
            d.apply(e);
        }),
        ("trade", |d, _, id| {
            let e = d.trade(id, 50, 90, 100);
            d.apply(e);
        }),
        ("fill", |d, _, id| {
            let e = d.trade(id, 60, 100, 100);
            d.apply(e);
        }),
        ("overfill", |d, _, id| {
            let e = d.trade(id, 500, 500, 100);
            d.apply(e);
        }),
        ("canceled", |d, _, id| {
            let e = d.execution(id, ExecType::Canceled);
            d.apply(e);
        }),
        ("replaced", |d, _, id| {
            let mut e = d.execution(id, ExecType::Replaced);
            e.order_qty = 150;
            d.apply(e);
        }),
        ("rejected", |d, _, id| {
            let e = d.execution(id, ExecType::Rejected);
            d.apply(e);
        }),
        ("expired", |d, _, id| {
            let e = d.execution(id, ExecType::Expired);
            d.apply(e);
        }),
        ("cancel reject", |d, _, id| {
            d.apply(cancel_reject(id, CancelRejectTo::Cancel));
        }),
        ("unknown order", |d, _, id| {
            d.apply(unknown_order(id));
            assert!(d.engine.positions().all(|position| position.open_buys == 0));
        }),
        ("replace reject", |d, _, id| {
            d.apply(cancel_reject(id, CancelRejectTo::Replace));
        }),
        ("refused", |d, _, id| {
            d.apply(refusal(id, RequestKind::New));
        }),
        ("cancel", |d, open, _| {
            let e = d.cancel(open);
            d.apply(e);
        }),
        ("replace", |d, open, _| {
            let e = d.replace(open, cents(9_990), 120);
            d.apply(e);
        }),
        ("session down", |d, _, _| {
            d.apply(session(1, LinkState::Down));
            d.tick();
        }),
    ];
    for (state, reach) in states {
        for (event, happen) in events {
            for (then, follow) in events {
                let mut desk = desk();
                let (open, id) = desk.open();
                reach(&mut desk, open, id);
                happen(&mut desk, open, id);
                follow(&mut desk, open, id);
                let what = format!("{state}, {event}, {then}");
                let position = desk.engine.positions().next().expect("it fits");
                assert_eq!(
                    position.net,
                    i64::try_from(position.bought).expect("it fits"),
                    "{what}"
                );
                assert_eq!(position.open_sells, 0, "{what}");
                assert!(position.open_buys <= 200, "{what}: {position:?}");
                if desk.engine.open_order_count() == 0 {
                    assert_eq!(position.open_buys, 0, "{what}");
                }
            }
        }
    }
}
