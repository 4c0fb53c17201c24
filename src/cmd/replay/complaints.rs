//! What to say of a replay whose books are not the exchange's: what was lost, refused or left out, and for want of what.

use crate::cmd::replay::ReplayArgs;
use crate::cmd::replay::books::Outcome;

/// What is wrong with the books of `outcome`, a sentence each.
pub(super) fn of(outcome: &Outcome, args: &ReplayArgs) -> Vec<String> {
    let file = args.file.display();
    let (totals, lost) = (&outcome.totals, &outcome.lost);
    let (datagrams_of, messages_of) = outcome.protocol;
    let mut complaints = Vec::new();
    let mut say = |count: u64, what: String| {
        if count > 0 {
            complaints.push(format!("{file}: {count} {what}"));
        }
    };
    say(totals.packet_errors, format!("datagrams are not {datagrams_of}"));
    say(totals.message_errors, format!("messages are not {messages_of}"));
    say(
        lost.messages,
        format!(
            "messages were lost in {} gaps: books after them may differ from the exchange's",
            lost.gaps
        ),
    );
    say(
        outcome.report.late_sessions,
        "datagrams were left out: they are of a session that another had followed".to_owned(),
    );
    complaints.extend(of_misfits(outcome, args));
    complaints
}

/// What did not fit its book, and why.
fn of_misfits(outcome: &Outcome, args: &ReplayArgs) -> Vec<String> {
    let file = args.file.display();
    let mut complaints = Vec::new();
    let mut say = |count: u64, what: String| {
        if count > 0 {
            complaints.push(format!("{file}: {count} {what}"));
        }
    };
    let (misfits, report) = (&outcome.misfits, &outcome.report);
    say(
        misfits.orders_full,
        format!("orders had no room: their books are stale (--orders-max {})", args.orders_max),
    );
    say(
        misfits.books_full,
        format!(
            "messages are about securities that had no room for a book (--symbols-max {})",
            args.symbols_max
        ),
    );
    say(misfits.levels_full, "price levels had no room: their books are stale".to_owned());
    let room = misfits.orders_full + misfits.books_full + misfits.levels_full;
    say(
        outcome.totals.misfits.saturating_sub(room),
        format!(
            "messages did not fit their books, which are not the exchange's: {}",
            cause(outcome)
        ),
    );
    say(report.stale_books, "books are stale; --output json says which, and why".to_owned());
    complaints
}

/// Why messages did not fit: what is known to be missing, or else what the recording cannot tell.
fn cause(outcome: &Outcome) -> String {
    let (totals, misfits, lost) = (&outcome.totals, &outcome.misfits, &outcome.lost);
    let refused = totals.packet_errors + totals.message_errors;
    let known = [
        (lost.gaps, "messages before them were lost"),
        (refused, "what came before them could not be read"),
        (outcome.report.late_sessions, "datagrams before them were left out"),
        (misfits.orders_full + misfits.books_full, "they are about orders that had no room"),
    ];
    let known: Vec<&str> =
        known.iter().filter(|&&(count, _)| count > 0).map(|&(_, cause)| cause).collect();
    if !known.is_empty() {
        return known.join(", or ");
    }
    let is_about_unknown = misfits.unknown_orders > 0;
    let rest = misfits.duplicate_orders
        + misfits.excess_shares
        + misfits.zero_shares
        + misfits.wrong_securities;
    match (is_about_unknown, rest > 0) {
        (true, false) => "they are about orders from before the recording".to_owned(),
        (true, true) => {
            "they are about orders from before the recording, or it contradicts itself".to_owned()
        }
        (false, _) => "the recording contradicts itself".to_owned(),
    }
}
