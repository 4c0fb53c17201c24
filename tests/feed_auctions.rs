//! What strategies are told of auctions, statuses, broken trades and the day, through the feed agent; and what it counts of
//! what should not be.

#![allow(clippy::wildcard_enum_match_arm, reason = "it looks at the messages it is about")]

#[path = "support/itch.rs"]
mod itch;
mod publish_support;
#[path = "support/random.rs"]
mod random;

use postern::client::BookMirror;
use postern::codec::market_data::{MarketData, SecurityStatus};
use postern::feed::book::BooksConfig;
use postern::feed::{FeedConfig, ProtocolSettings};
use postern::runtime::Agent;
use postern::types::{
    BookState, CrossType, ImbalanceSide, Price, SessionPhase, ShortSaleRestriction, Side,
    TradingStatus, UtcNanos,
};
use publish_support::{Feed, MIDNIGHT, Pipe, Rig, Streams, config, id, stock};

const SHARED: i32 = 11;

fn only(shared: &Pipe) -> Streams<Pipe> {
    let (own, copies) = (Vec::new(), Vec::new());
    Streams { depth: 2, shared: shared.clone(), own, copies, snapshots: None }
}

/// An agent that took each of `packets`, and what it told after each.
struct Told {
    rig: Rig<Pipe>,
    pipe: Pipe,
    each: Vec<Vec<MarketData>>,
}

fn play(config: &FeedConfig, packets: &[Vec<Vec<u8>>]) -> Told {
    let mut feed = Feed::new();
    for packet in packets {
        feed.raw(packet);
    }
    let pipe = Pipe::open(SHARED);
    let mut rig = Rig::with(feed, config, only(&pipe));
    let each = packets.iter().map(|_| {
        rig.poll();
        pipe.take()
    });
    let each: Vec<Vec<MarketData>> = each.collect();
    // What counters tell is set now and then, and at the end.
    rig.agent.on_close(rig.now);
    Told { each, rig, pipe }
}

fn poll_times(rig: &mut Rig<Pipe>, times: usize) {
    for _ in 0..times {
        rig.poll();
    }
}

fn begin() -> Vec<Vec<u8>> {
    vec![
        itch::system(b'O'),
        itch::directory(1, "AAA", 100, b'N', b'N'),
        itch::directory(2, "BBB", 100, b'N', b'N'),
        itch::action(1, "AAA", b'T', *b"    "),
        itch::action(2, "BBB", b'T', *b"    "),
    ]
}

fn price(raw: u32) -> Price {
    Price::from_itch4(raw)
}

fn statuses(told: &[MarketData]) -> Vec<SecurityStatus> {
    let status = |message: &MarketData| match message {
        MarketData::SecurityStatus(status) => Some(*status),
        _ => None,
    };
    told.iter().filter_map(status).collect()
}

fn phases(told: &[MarketData]) -> Vec<(SessionPhase, u8)> {
    let phase = |message: &MarketData| match message {
        MarketData::ChannelStatus(m) => Some((m.session_phase, m.circuit_breaker_level)),
        _ => None,
    };
    told.iter().filter_map(phase).collect()
}

#[test]
fn an_opening_is_told_from_its_imbalance_to_its_price() {
    let told = play(
        &config(2),
        &[
            begin(),
            vec![itch::system(b'S')],
            vec![itch::imbalance(1, "AAA", [500, 70], b'S', [0, 101, 102], b'O')],
            vec![itch::system(b'Q'), itch::cross(1, "AAA", 500, 101, 7, b'O')],
            vec![itch::cross(2, "BBB", 0, 99, 8, b'O')],
        ],
    );
    assert_eq!(phases(&told.each[0]), [(SessionPhase::BeforeSystemHours, 0)]);
    assert_eq!(phases(&told.each[1]), [(SessionPhase::BeforeMarketHours, 0)]);
    let [MarketData::AuctionImbalance(m)] = told.each[2][..] else { panic!("{:?}", told.each[2]) };
    assert_eq!((m.paired_qty, m.imbalance_qty, m.security_id), (500, 70, id(1)));
    assert_eq!((m.cross_type, m.imbalance_side), (CrossType::Opening, ImbalanceSide::Sell));
    let prices = (m.far_px, m.near_px, m.reference_px);
    assert_eq!(prices, (None, Some(price(101)), Some(price(102))));
    assert_eq!(m.transact_time, UtcNanos(MIDNIGHT.0 + 10));
    let result = |m: &MarketData| match m {
        MarketData::AuctionResult(m) => {
            Some((m.security_id, m.md_entry_px, m.md_entry_size, m.trade_id, m.cross_type))
        }
        _ => None,
    };
    let opening = CrossType::Opening;
    let [MarketData::Trade(trade), first, ..] = told.each[3][..] else {
        panic!("{:?}", told.each[3])
    };
    assert_eq!((trade.last_qty, trade.last_px, trade.trade_id), (500, price(101), 7));
    assert_eq!(result(&first), Some((id(1), price(101), 500, 7, opening)));
    assert_eq!(phases(&told.each[3]), [(SessionPhase::MarketHours, 0)]);
    // A cross of nothing is over too, and no trade.
    let [last] = told.each[4][..] else { panic!("{:?}", told.each[4]) };
    assert_eq!(result(&last), Some((id(2), price(99), 0, 8, opening)));
    let mut mirror = BookMirror::new();
    for (step, messages) in told.each.iter().enumerate() {
        messages.iter().for_each(|message| mirror.on_message(SHARED, message));
        assert_eq!(mirror.auction(id(1)).is_some(), step == 2, "step {step}");
    }
}

#[test]
fn who_comes_while_a_cross_is_ahead_is_told_of_it() {
    let mut feed = Feed::new();
    feed.raw(&begin());
    feed.raw(&[itch::imbalance(1, "AAA", [5, 0], b'N', [1, 1, 1], b'C')]);
    feed.raw(&[itch::imbalance(1, "AAA", [6, 0], b'N', [1, 1, 1], b'C')]);
    let pipe = Pipe::open(SHARED);
    pipe.connect(false);
    let mut rig = Rig::with(feed, &config(2), only(&pipe));
    poll_times(&mut rig, 4);
    pipe.connect(true);
    poll_times(&mut rig, 4);
    let told = pipe.take();
    let imbalances: Vec<u64> = told
        .iter()
        .filter_map(|message| match message {
            MarketData::AuctionImbalance(m) => Some(m.paired_qty),
            _ => None,
        })
        .collect();
    assert_eq!(imbalances, [6], "the newest alone");
    assert_eq!(statuses(&told).len(), 2);
}

#[test]
fn imbalances_that_waited_are_conflated_and_a_result_without_room_is_told_of() {
    let mut feed = Feed::new();
    feed.raw(&begin());
    for paired in 1..=3 {
        feed.raw(&[itch::imbalance(1, "AAA", [paired, 0], b'N', [1, 1, 1], b'C')]);
    }
    feed.raw(&[itch::cross(2, "BBB", 0, 9, 1, b'C')]);
    let pipe = Pipe::open(SHARED);
    let mut rig = Rig::with(feed, &config(2), only(&pipe));
    rig.poll();
    pipe.take();
    pipe.set_room(0);
    poll_times(&mut rig, 4);
    pipe.set_room(usize::MAX);
    rig.poll();
    let told = pipe.take();
    let (mut paired, mut left_out) = (Vec::new(), (0, 0));
    for message in &told {
        match message {
            MarketData::AuctionImbalance(m) => paired.push(m.paired_qty),
            MarketData::ConflationNotice(m) => {
                left_out.0 += m.conflated_count;
                left_out.1 += m.dropped_trade_count;
            }
            MarketData::AuctionResult(m) => panic!("{m:?} is of the past"),
            _ => {}
        }
    }
    assert_eq!(paired, [3]);
    assert!(left_out.0 >= 2 && left_out.1 == 1, "{left_out:?}");
}

#[test]
fn halts_and_short_sale_tests_are_told_with_their_reason() {
    let told = play(
        &config(2),
        &[
            begin(),
            vec![itch::reg_sho(1, "AAA", b'1')],
            vec![itch::action(1, "AAA", b'H', *b"T1  ")],
            vec![itch::action(1, "AAA", b'T', *b"    ")],
            vec![itch::halt(1, "AAA", b'Q', b'H')],
            vec![itch::halt(1, "AAA", b'Q', b'T')],
            vec![itch::halt(1, "AAA", b'X', b'H')],
        ],
    );
    let of = |step: usize| {
        let [status] = statuses(&told.each[step])[..] else { panic!("{:?}", told.each[step]) };
        assert_eq!(status.security_id, id(1));
        (status.security_trading_status, status.short_sale_restriction, status.halt_reason)
    };
    let in_effect = ShortSaleRestriction::InEffect;
    let (trading, halted) = (TradingStatus::Trading, TradingStatus::Halted);
    assert_eq!(of(1), (trading, in_effect, *b"    "));
    assert_eq!(of(2), (halted, in_effect, *b"T1  "));
    assert_eq!(of(3), (trading, in_effect, *b"    "));
    assert_eq!(of(4), (halted, in_effect, *b"    "), "halted at this market alone");
    assert_eq!(of(5), (trading, in_effect, *b"    "));
    assert_eq!(of(6), (trading, in_effect, *b"    "), "another market's halt is not ours");
    let first = statuses(&told.each[0]);
    assert!(first.iter().all(|s| s.short_sale_restriction == ShortSaleRestriction::Unknown));
}

#[test]
fn what_a_security_is_not_said_to_be_is_told_as_halted_or_unknown() {
    let mut begin = begin();
    begin.pop();
    let mut feed = Feed::new();
    feed.raw(&begin).raw(&[itch::system(b'S')]);
    feed.session = postern::feed::moldudp64::Session(*b"SESSION002");
    feed.sequence = 1;
    feed.raw(&[itch::system(b'O')]);
    let pipe = Pipe::open(SHARED);
    let mut rig = Rig::with(feed, &config(2), only(&pipe));
    let mut told = Vec::new();
    for _ in 0..3 {
        rig.poll();
        let of = |s: SecurityStatus| (s.security_id, s.security_trading_status);
        told.push(statuses(&pipe.take()).into_iter().map(of).collect::<Vec<_>>());
    }
    assert_eq!(told[0], [(id(1), TradingStatus::Trading)]);
    assert_eq!(told[1], [(id(2), TradingStatus::Halted)]);
    told[2].sort();
    let unknown = TradingStatus::Unknown;
    assert_eq!(told[2], [(id(1), unknown), (id(2), unknown)], "a new day begins");
}

#[test]
fn a_broken_trade_is_told_with_what_it_was() {
    let told = play(
        &config(2),
        &[
            begin(),
            vec![itch::trade(1, "AAA", 10, 100, 7)],
            vec![itch::broken(1, 7), itch::broken(1, 8)],
        ],
    );
    let breaks: Vec<_> = told.each[2]
        .iter()
        .map(|message| match message {
            MarketData::TradeBreak(m) => {
                (m.security_id, m.trade_id, m.md_entry_px, m.md_entry_size)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(breaks, [(id(1), 7, Some(price(100)), 10), (id(1), 8, None, 0)]);
    assert_eq!(told.rig.count("feed_trade_break_count"), 2);
    assert_eq!(told.rig.count("feed_trade_break_unknown_count"), 1);
}

#[test]
fn the_circuit_breaker_is_told_with_the_channel() {
    let packets = [begin(), vec![itch::breached(b'1')], vec![itch::breached(b'1')]];
    let told = play(&config(2), &packets);
    assert_eq!(phases(&told.each[1]), [(SessionPhase::BeforeSystemHours, 1)]);
    assert!(told.each[2].is_empty(), "nothing new: {:?}", told.each[2]);
}

#[test]
fn a_crossed_book_counts_only_while_trading_is_continuous() {
    let bid = |number, at| itch::add(1, "AAA", number, b'B', 100, at);
    let ask = |number, at| itch::add(1, "AAA", number, b'S', 100, at);
    let crossed = |packets: &[Vec<Vec<u8>>]| {
        let mut all = vec![begin()];
        all.extend_from_slice(packets);
        play(&config(2), &all).rig.count("feed_crossed_count")
    };
    let open = || vec![itch::system(b'S'), itch::system(b'Q')];
    assert_eq!(crossed(&[open(), vec![bid(1, 100), ask(2, 101)]]), 0);
    assert_eq!(crossed(&[open(), vec![bid(1, 100), ask(2, 100)]]), 1, "locked");
    assert_eq!(crossed(&[open(), vec![bid(1, 101)], vec![ask(2, 100)]]), 1, "crossed");
    // Crossed for a moment within a datagram is the exchange's own business.
    let moment = vec![bid(1, 101), ask(2, 100), itch::deleted(1, 1)];
    assert_eq!(crossed(&[open(), moment]), 0);
    // Nothing new is said by what lies behind the best prices.
    let behind = [open(), vec![bid(1, 101), ask(2, 100)], vec![bid(3, 90)], vec![ask(4, 190)]];
    assert_eq!(crossed(&behind), 1);
    assert_eq!(crossed(&[vec![itch::system(b'S')], vec![bid(1, 101), ask(2, 100)]]), 0, "closed");
    for before in [
        itch::action(1, "AAA", b'H', *b"T1  "),
        itch::action(1, "AAA", b'Q', *b"T1  "),
        itch::halt(1, "AAA", b'Q', b'H'),
        itch::imbalance(1, "AAA", [1, 1], b'N', [1, 1, 1], b'O'),
    ] {
        assert_eq!(crossed(&[open(), vec![before], vec![bid(1, 101), ask(2, 100)]]), 0);
    }
}

#[test]
fn a_lot_or_tick_that_the_exchange_contradicts_counts_once_for_each_instrument() {
    // Configured are a lot of 100 and a tick of 0.01.
    let contradicted =
        |packet: Vec<Vec<u8>>| play(&config(2), &[packet]).rig.count("feed_contradicted_count");
    let directory = |lot, only| vec![itch::directory(1, "AAA", lot, only, b'N')];
    assert_eq!(contradicted(directory(100, b'Y')), 0);
    assert_eq!(contradicted(directory(50, b'Y')), 0, "orders of 100 are whole lots");
    assert_eq!(contradicted(directory(40, b'N')), 0, "odd lots are taken");
    assert_eq!(contradicted(directory(40, b'Y')), 1);
    assert_eq!(contradicted(directory(0, b'Y')), 1, "no lot at all");
    let twice = [directory(40, b'Y'), directory(40, b'Y')].concat();
    assert_eq!(contradicted(twice), 1);
    let cross = |at| [begin(), vec![itch::cross(1, "AAA", 5, at, 1, b'O')]].concat();
    assert_eq!(contradicted(cross(1_000_000)), 0);
    assert_eq!(contradicted(cross(1_000_050)), 1, "half a cent");
}

#[test]
fn orders_without_room_make_their_instrument_stale_and_no_other() {
    let mut config = config(2);
    let ProtocolSettings::Itch(settings) = &mut config.channels[0].settings else {
        panic!("of ITCH")
    };
    settings.books = BooksConfig { orders_max: 3, ..settings.books };
    let told = play(
        &config,
        &[
            begin(),
            vec![itch::add(1, "AAA", 1, b'B', 100, 1_000_000)],
            vec![itch::add(2, "BBB", 2, b'B', 100, 2_000_000)],
            vec![itch::add(1, "AAA", 3, b'S', 100, 1_010_000)],
            vec![itch::add(1, "AAA", 4, b'B', 100, 1_000_100)],
            vec![itch::deleted(1, 3), itch::add(2, "BBB", 5, b'S', 100, 2_010_000)],
        ],
    );
    let states: Vec<_> = told.each[4]
        .iter()
        .filter_map(|message| match message {
            MarketData::BookStatus(m) => Some((m.security_id, m.book_state)),
            _ => None,
        })
        .collect();
    assert_eq!(states, [(id(1), BookState::Stale)]);
    let mut mirror = BookMirror::new();
    told.each.iter().flatten().for_each(|message| mirror.on_message(SHARED, message));
    assert_eq!(mirror.book(id(1)).expect("known").levels(Side::Buy), []);
    let other = mirror.book(id(2)).expect("known");
    assert_eq!(other.state(), BookState::Current);
    let best = [Side::Buy, Side::Sell].map(|side| other.levels(side)[0].price);
    assert_eq!(best, [price(2_000_000), price(2_010_000)]);
    assert_eq!(told.rig.count("feed_orders_full_count"), 1);
    assert_eq!(told.rig.count("feed_misfit_count"), 1);
    let snapshot = told.rig.agent.snapshot();
    let stale = snapshot.books.iter().filter(|book| book.is_stale).map(|book| book.symbol);
    assert_eq!(stale.collect::<Vec<_>>(), [stock(1)]);
    assert!(told.pipe.take().is_empty());
}

#[test]
fn what_does_not_fit_is_counted_by_why() {
    let mut excess = itch::executed(1, 1, 101, 9);
    let told = play(
        &config(2),
        &[
            begin(),
            vec![itch::add(1, "AAA", 1, b'B', 100, 10), itch::add(1, "AAA", 1, b'B', 100, 10)],
            vec![std::mem::take(&mut excess), itch::executed(1, 1, 0, 9), itch::deleted(1, 77)],
            vec![itch::deleted(2, 1), itch::add(2, "AAA", 9, b'B', 1, 1)],
        ],
    );
    for (name, count) in [
        ("feed_duplicate_order_count", 1),
        ("feed_excess_shares_count", 1),
        ("feed_zero_shares_count", 1),
        ("feed_unknown_order_count", 1),
        ("feed_wrong_security_count", 2),
        ("feed_misfit_count", 6),
    ] {
        assert_eq!(told.rig.count(name), count, "{name}");
    }
}
