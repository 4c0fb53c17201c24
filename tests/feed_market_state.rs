//! What is known of securities besides their orders: against a plain account of the same messages, and case by case.

#[path = "support/itch.rs"]
mod itch;
#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;

use postern::feed::arbiter::{Join, Ordering};
use postern::feed::book::{Best, BookIndex, BooksConfig, Misfit};
use postern::feed::channel::{Channel, ChannelSettings, NoSink};
use postern::feed::glimpse::SnapshotSettings;
use postern::feed::itch50::decode;
use postern::feed::market_state::{MarketState, tick_of, trades_kept};
use postern::feed::recovery::RecoverySettings;
use postern::feed::soupbintcp::Login;
use postern::net::{RecoveryLink, StreamState};
use postern::types::{
    CrossType, FeedState, ImbalanceSide, Nanos, Price, SessionPhase, ShortSaleRestriction, Symbol,
    TradingStatus,
};
use random::Random;

const SESSION: &[u8; 10] = b"SESSION001";
const NAMES: [&str; 4] = ["", "AAA", "BBB", "CCC"];

/// A channel that keeps books for the first two of [`NAMES`], and takes one message a packet.
struct Day {
    channel: Channel,
    sequence: u64,
}

impl Day {
    fn new() -> Day {
        let books =
            BooksConfig { orders_max: 64, levels_max: 16, books_max: 2, follow_all_symbols: false };
        Day::with(books, &[symbol(1), symbol(2)])
    }

    fn with(books: BooksConfig, symbols: &[Symbol]) -> Day {
        let settings = ChannelSettings { join: Join::First, stale_after_ns: u64::MAX, books };
        Day { channel: Channel::new(&settings, symbols), sequence: 1 }
    }

    /// The same with a snapshot server that never seems to be late.
    fn recovering(self) -> Day {
        let login = Login {
            user: *b"USER  ",
            password: *b"PASSWORD  ",
            session: *b"          ",
            sequence: 1,
        };
        let snapshot = SnapshotSettings {
            login,
            answer_ns: 1 << 40,
            silence_ns: 1 << 40,
            retry_ns: 1,
            retry_ns_max: 1,
        };
        let recovery = RecoverySettings { rerequest: None, snapshot: Some(snapshot) };
        let ordering = Ordering {
            lines: 1,
            packets_max: 4,
            wait_ns: 0,
            line_wait_ns: 0,
            messages_max: 64,
            ..Ordering::OFF
        };
        Day { channel: self.channel.with_recovery(ordering, &recovery), ..self }
    }

    fn take(&mut self, message: Vec<u8>) -> &mut Day {
        let packet = itch::packet(SESSION, self.sequence, &[message]);
        self.channel.on_datagram(&packet, Nanos(self.sequence), &mut NoSink);
        self.sequence += 1;
        self
    }

    /// The day's beginning: both securities in the directory.
    fn begun() -> Day {
        let mut day = Day::new();
        day.take(itch::system(b'O'));
        for locate in [1, 2] {
            day.take(itch::directory(locate, name(locate), 100, b'N', b'N'));
        }
        day
    }

    fn market(&self) -> &MarketState {
        self.channel.market()
    }

    fn status(&self) -> TradingStatus {
        self.market().security(FIRST).status()
    }
}

const FIRST: BookIndex = BookIndex(0);

fn name(locate: u16) -> &'static str {
    NAMES[usize::from(locate)]
}

fn symbol(locate: u16) -> Symbol {
    Symbol::new(name(locate)).expect("a symbol")
}

fn price(raw: u32) -> Price {
    Price::from_itch4(raw)
}

/// One security as anybody would keep account of it.
#[derive(Clone, Default)]
struct Account {
    is_listed: bool,
    state: Option<u8>,
    halted_at: Vec<u8>,
    short_sale: Option<u8>,
    collar: Option<u32>,
    release: Option<u32>,
    auction: Option<(u8, u64)>,
    crosses: BTreeMap<u8, u64>,
    /// Every trade, and whether it was broken.
    trades: Vec<(u64, u64, u32, bool)>,
}

impl Account {
    fn volume(&self) -> u64 {
        self.trades.iter().filter(|t| !t.3).map(|t| t.1).sum()
    }

    fn check(&self, market: &MarketState, book: BookIndex) {
        let security = market.security(book);
        let status = match self.state {
            _ if self.halted_at.contains(&b'Q') => TradingStatus::Halted,
            Some(letter) => TradingStatus::from_wire(letter).unwrap_or(TradingStatus::Unknown),
            None => TradingStatus::Unknown,
        };
        assert_eq!(security.status(), status);
        assert_eq!(security.directory.is_some(), self.is_listed);
        let short_sale = self.short_sale.and_then(ShortSaleRestriction::from_wire);
        assert_eq!(security.short_sale, short_sale.unwrap_or(ShortSaleRestriction::Unknown));
        assert_eq!(security.collar.map(|m| m.reference_price), self.collar.map(price));
        assert_eq!(security.release.map(|m| m.release_time_s), self.release);
        let auction = security.auction.map(|a| (a.kind.wire(), a.paired_shares));
        assert_eq!(auction, self.auction);
        for (kind, cross) in
            [(b'O', security.opening), (b'C', security.closing), (b'H', security.reopening)]
        {
            assert_eq!(cross.map(|c| c.match_number), self.crosses.get(&kind).copied());
        }
        let sales = market.sales(book);
        assert_eq!(sales.volume, self.volume());
        let mut standing = self.trades.iter().filter(|t| !t.3);
        assert_eq!(sales.trades, u64::try_from(standing.clone().count()).expect("few"));
        let last = standing.next_back().map(|t| (t.0, t.1, price(t.2)));
        assert_eq!(sales.last.map(|s| (s.match_number, s.shares, s.price)), last);
    }
}

/// A random message, as bytes and applied to the accounts.
fn random_message(random: &mut Random, accounts: &mut [Account], number: u64) -> Vec<u8> {
    let locate = 1 + u16::try_from(random.below(3)).expect("few");
    let name = name(locate);
    let account = &mut accounts[usize::from(locate) - 1];
    let pick = |random: &mut Random, letters: &[u8]| letters[random.index(letters.len())];
    match random.below(10) {
        0 => {
            let state = pick(random, b"HPQTTTx");
            account.state = Some(state);
            if state == b'T' {
                (account.collar, account.release) = (None, None);
                account.auction = account.auction.filter(|&(kind, _)| kind != b'H');
            }
            itch::action(locate, name, state, *b"T1  ")
        }
        1 => {
            let test = pick(random, b"012");
            account.short_sale = Some(test);
            itch::reg_sho(locate, name, test)
        }
        2 => {
            let (market, action) = (pick(random, b"QBX"), pick(random, b"HT"));
            account.halted_at.retain(|&at| at != market);
            if action == b'H' {
                account.halted_at.push(market);
            }
            itch::halt(locate, name, market, action)
        }
        3 => {
            let at = 1 + random.small(100);
            account.collar = Some(at);
            itch::collar(locate, name, [at, at + 1, at - 1])
        }
        4 => {
            let (at, qualifier) = (random.small(1_000), pick(random, b"AAC"));
            account.release = Some(at).filter(|_| qualifier == b'A');
            itch::quoting(name, at, qualifier, 5)
        }
        5 => {
            let (kind, paired) = (pick(random, b"OCHA"), random.below(1_000));
            account.auction = Some((kind, paired));
            itch::imbalance(locate, name, [paired, 3], b'B', [0, 1, 2], kind)
        }
        6 => {
            let (kind, shares) = (pick(random, b"OCH"), random.below(3) * 100);
            account.crosses.insert(kind, number);
            account.auction = account.auction.filter(|&(coming, _)| coming != kind);
            let at = 1 + random.small(100);
            if shares > 0 {
                account.trades.push((number, shares, at, false));
            }
            itch::cross(locate, name, shares, at, number, kind)
        }
        7 | 8 => {
            let (shares, at) = (1 + random.small(100), 1 + random.small(100));
            account.trades.push((number, u64::from(shares), at, false));
            itch::trade(locate, name, shares, at, number)
        }
        _ => {
            // Of this security, of another, or of none; perhaps broken before.
            let broken = random.below(number + 2);
            if let Some(trade) = account.trades.iter_mut().find(|t| t.0 == broken) {
                trade.3 = true;
            }
            itch::broken(locate, broken)
        }
    }
}

#[test]
fn the_state_is_what_a_plain_account_says() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut day = Day::begun();
        day.take(itch::directory(3, name(3), 100, b'N', b'N'));
        let mut accounts = vec![Account { is_listed: true, ..Account::default() }; 3];
        for number in 1..150 {
            let message = random_message(&mut random, &mut accounts, number);
            assert!(decode(&message).is_ok(), "{message:?}");
            day.take(message);
            for (locate, account) in (0..).zip(&accounts[..2]) {
                account.check(day.market(), BookIndex(locate));
            }
        }
        let counts = day.market().counts();
        assert_eq!((counts.misfits, day.channel.counts().misfits), (0, 0));
        assert!(counts.breaks >= counts.unknown_breaks && counts.unknown_breaks > 0);
    }
}

#[test]
fn any_bytes_of_any_type_leave_the_books_as_they_are_and_never_panic() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut day = Day::begun();
        day.take(itch::add(1, "AAA", 1, b'B', 100, 10));
        let before = day.channel.books().digest();
        for _ in 0..100 {
            let letters = b"SRHYLVWKJhPQBINO";
            let letter = letters[random.index(letters.len())];
            let of_type = |&&(of, _): &&(u8, u8)| of == letter;
            let types = postern::feed::itch50::TYPES;
            let (_, length) = types.iter().find(of_type).expect("a type");
            let mut bytes = random.bytes(usize::from(*length));
            bytes[0] = letter;
            bytes[1..3].copy_from_slice(&[0, random.byte() % 4]);
            if letter == b'P' {
                bytes[19] = b'B';
            }
            day.take(bytes);
        }
        assert_eq!(day.channel.books().digest(), before);
    }
}

#[test]
fn what_the_spin_leaves_out_is_halted_from_system_hours_on() {
    let mut day = Day::begun();
    day.take(itch::action(2, "BBB", b'T', *b"    "));
    assert_eq!(day.status(), TradingStatus::Unknown);
    day.take(itch::system(b'S'));
    assert_eq!(day.status(), TradingStatus::Halted);
    let security = day.market().security(BookIndex(1));
    assert_eq!(security.status(), TradingStatus::Trading);
    day.take(itch::action(1, "AAA", b'T', *b"    "));
    assert_eq!(day.status(), TradingStatus::Trading);
}

#[test]
fn who_joined_after_the_spin_does_not_guess() {
    let mut day = Day::new();
    day.take(itch::directory(1, "AAA", 100, b'N', b'N')).take(itch::system(b'S'));
    assert_eq!(day.status(), TradingStatus::Unknown);
    assert!(!day.market().is_since_start());
}

#[test]
fn the_day_goes_from_phase_to_phase() {
    let mut day = Day::new();
    assert_eq!(day.market().phase(), SessionPhase::Unknown);
    for (letter, phase) in [
        (b'O', SessionPhase::BeforeSystemHours),
        (b'S', SessionPhase::BeforeMarketHours),
        (b'Q', SessionPhase::MarketHours),
        (b'?', SessionPhase::Unknown),
        (b'M', SessionPhase::AfterMarketHours),
        (b'E', SessionPhase::AfterSystemHours),
        (b'C', SessionPhase::AfterEndOfMessages),
    ] {
        day.take(itch::system(letter));
        assert_eq!(day.market().phase(), phase);
    }
    assert!(day.market().is_since_start());
}

#[test]
fn trading_is_continuous_only_in_market_hours_while_no_cross_is_ahead() {
    let mut day = Day::begun();
    day.take(itch::action(1, "AAA", b'T', *b"    ")).take(itch::system(b'S'));
    let imbalance = |kind| itch::imbalance(1, "AAA", [1, 1], b'N', [1, 1, 1], kind);
    let cross = |kind| itch::cross(1, "AAA", 100, 10, 1, kind);
    let steps: [(Vec<u8>, bool); 14] = [
        (imbalance(b'O'), false),
        (itch::system(b'Q'), false),
        (cross(b'O'), true),
        (itch::halt(1, "AAA", b'X', b'H'), true),
        (itch::halt(1, "AAA", b'Q', b'H'), false),
        (itch::halt(1, "AAA", b'Q', b'T'), true),
        (itch::action(1, "AAA", b'P', *b"LUDP"), false),
        (itch::action(1, "AAA", b'Q', *b"T7  "), false),
        (imbalance(b'H'), false),
        (cross(b'H'), false),
        (itch::action(1, "AAA", b'T', *b"T7  "), true),
        (imbalance(b'C'), true),
        (itch::system(b'M'), false),
        (cross(b'C'), false),
    ];
    for (step, (message, is_continuous)) in steps.into_iter().enumerate() {
        day.take(message);
        assert_eq!(day.market().is_continuous(FIRST), is_continuous, "step {step}");
    }
    let security = day.market().security(FIRST);
    assert_eq!(security.opening_price(), Some(price(10)));
    assert_eq!(security.closing_price(), Some(price(10)));
    assert_eq!(security.auction, None);
}

#[test]
fn a_cross_of_nothing_has_no_official_price_and_a_new_security_opens_by_its_release() {
    let mut day = Day::begun();
    day.take(itch::directory(1, "AAA", 100, b'N', b'Y'));
    day.take(itch::cross(1, "AAA", 0, 7, 1, b'O')).take(itch::cross(2, "BBB", 0, 7, 2, b'O'));
    assert_eq!(day.market().security(FIRST).opening_price(), None);
    day.take(itch::cross(1, "AAA", 500, 90, 3, b'H')).take(itch::cross(1, "AAA", 10, 80, 4, b'H'));
    day.take(itch::cross(2, "BBB", 500, 90, 5, b'H'));
    let security = day.market().security(FIRST);
    assert_eq!(security.opening_price(), Some(price(90)), "the first release opens it");
    assert_eq!(security.reopening.map(|cross| cross.price), Some(price(80)));
    assert_eq!(day.market().security(BookIndex(1)).opening_price(), None);
    assert_eq!(day.market().sales(FIRST).volume, 510);
}

#[test]
fn executions_of_displayed_orders_count_and_what_is_not_printed_does_not() {
    let mut day = Day::begun();
    day.take(itch::add(1, "AAA", 1, b'B', 100, 10)).take(itch::executed(1, 1, 30, 5));
    let mut hidden = itch::executed(1, 1, 20, 6);
    hidden[0] = b'C';
    hidden.push(b'N');
    hidden.extend(11_u32.to_be_bytes());
    day.take(hidden);
    let sales = *day.market().sales(FIRST);
    assert_eq!((sales.volume, sales.trades), (30, 1));
    assert_eq!(sales.last.map(|s| (s.price, s.shares)), Some((price(10), 30)));
    day.take(itch::broken(1, 5)).take(itch::broken(1, 5)).take(itch::broken(1, 6));
    assert_eq!(*day.market().sales(FIRST), postern::feed::market_state::Sales::default());
    let counts = day.market().counts();
    assert_eq!((counts.breaks, counts.unknown_breaks), (3, 2));
    assert_eq!(day.channel.books().order_count_total(), 1, "the book is as it was");
}

#[test]
fn a_trade_that_newer_ones_overwrote_is_not_known_any_more() {
    let kept = u64::try_from(trades_kept(64)).expect("it fits");
    let mut day = Day::begun();
    for number in [7, 8, 7 + kept] {
        day.take(itch::trade(1, "AAA", 10, 100, number));
    }
    day.take(itch::broken(1, 7));
    assert_eq!(day.market().counts().unknown_breaks, 1);
    assert_eq!(day.market().sales(FIRST).volume, 30);
    // Back from the last one to 8, and from there to one that is not known.
    day.take(itch::broken(1, 7 + kept));
    assert_eq!(day.market().sales(FIRST).last.map(|s| s.match_number), Some(8));
    day.take(itch::broken(1, 8));
    assert_eq!(day.market().sales(FIRST).last, None);
    assert_eq!(day.market().sales(FIRST).volume, 10);
}

#[test]
fn as_many_trades_are_kept_as_the_market_is_busy() {
    for (orders, trades) in [(0, 1_024), (9_000, 2_048), (1 << 20, 1 << 17), (usize::MAX, 1 << 20)]
    {
        assert_eq!(trades_kept(orders), trades, "of {orders} orders");
    }
}

#[test]
fn a_number_that_comes_again_and_again_does_not_lead_in_a_circle() {
    let mut day = Day::begun();
    for _ in 0..3 {
        day.take(itch::trade(1, "AAA", 10, 100, 7));
    }
    day.take(itch::broken(1, 7));
    assert_eq!(day.market().sales(FIRST).last, None);
}

#[test]
fn a_symbol_that_is_not_its_locates_is_left_out() {
    let mut day = Day::begun();
    day.take(itch::reg_sho(1, "BBB", b'1')).take(itch::cross(1, "BBB", 10, 10, 1, b'O'));
    assert_eq!(day.market().counts().misfits, 2);
    let security = day.market().security(FIRST);
    assert_eq!(security.short_sale, ShortSaleRestriction::Unknown);
    assert_eq!((security.opening, day.market().sales(FIRST).volume), (None, 0));
}

#[test]
fn imbalances_are_told_with_what_they_leave_out() {
    let mut day = Day::begun();
    day.take(itch::imbalance(1, "AAA", [500, 70], b'S', [0, 101, 102], b'O'));
    let auction = day.market().security(FIRST).auction.expect("one is ahead");
    assert_eq!((auction.paired_shares, auction.imbalance_shares), (500, 70));
    assert_eq!((auction.kind, auction.side), (CrossType::Opening, ImbalanceSide::Sell));
    let prices = (auction.far_price, auction.near_price, auction.reference_price);
    assert_eq!(prices, (None, Some(price(101)), Some(price(102))));
    day.take(itch::imbalance(1, "AAA", [0, 0], b'?', [0, 0, 0], b'?'));
    let auction = day.market().security(FIRST).auction.expect("one is ahead");
    assert_eq!((auction.kind, auction.side), (CrossType::Unknown, ImbalanceSide::Unknown));
}

#[test]
fn the_circuit_breaker_keeps_its_highest_level() {
    let mut day = Day::new();
    day.take(itch::decline_levels([3, 2, 1])).take(itch::breached(b'2')).take(itch::breached(b'1'));
    assert_eq!(day.market().decline_levels(), Some([3, 2, 1]));
    assert_eq!(day.market().breached_level(), 2);
    day.take(itch::breached(b'?'));
    assert_eq!(day.market().breached_level(), 3, "what is not known may be the worst");
}

#[test]
fn ticks_are_those_of_the_rule() {
    for (at, tick) in [(1, 1), (9_999, 1), (10_000, 100), (10_001, 100), (2_000_000_000, 100)] {
        assert_eq!(tick_of(price(at)), price(tick), "at {at}");
    }
}

#[test]
fn a_new_session_begins_with_nothing() {
    let mut day = Day::begun();
    day.take(itch::trade(1, "AAA", 10, 100, 7)).take(itch::breached(b'1'));
    day.take(itch::imbalance(1, "AAA", [1, 1], b'N', [1, 1, 1], b'O'));
    let packet = itch::packet(b"SESSION002", 1, &[itch::system(b'O')]);
    day.channel.on_datagram(&packet, Nanos(1_000), &mut NoSink);
    let market = day.market();
    assert_eq!(*market.security(FIRST), postern::feed::market_state::Security::UNKNOWN);
    assert_eq!(*market.sales(FIRST), postern::feed::market_state::Sales::default());
    assert_eq!((market.phase(), market.breached_level()), (SessionPhase::BeforeSystemHours, 0));
}

/// A snapshot server that has its whole answer ready.
#[derive(Debug)]
struct Canned {
    answer: Vec<u8>,
    sent: usize,
    is_asked: bool,
    was_connected: bool,
}

impl RecoveryLink for Canned {
    fn request(&mut self, _: &[u8]) {}

    fn reply(&mut self, _: &mut [u8]) -> Option<usize> {
        None
    }

    fn connect(&mut self) {
        self.is_asked = true;
    }

    fn stream(&mut self, room: &mut [u8]) -> StreamState {
        if self.is_asked && !std::mem::replace(&mut self.was_connected, true) {
            return StreamState::Connected;
        }
        let left = &self.answer[self.sent..];
        let bytes = left.len().min(room.len()).min(7);
        room[..bytes].copy_from_slice(&left[..bytes]);
        self.sent += bytes;
        if bytes == 0 { StreamState::Idle } else { StreamState::Received(bytes) }
    }

    fn send(&mut self, _: &[u8]) -> bool {
        true
    }

    fn close(&mut self) {}
}

/// What a GLIMPSE server sends that knows the books before message `sequence`.
fn glimpse(messages: &[Vec<u8>], sequence: u64) -> Canned {
    let mut answer = Vec::new();
    let mut packet = |kind: u8, payload: &[u8]| {
        answer.extend(u16::try_from(payload.len() + 1).expect("short").to_be_bytes());
        answer.push(kind);
        answer.extend_from_slice(payload);
    };
    packet(b'A', format!("{:>10}{:>20}", "GLIMPSE", 1).as_bytes());
    messages.iter().for_each(|message| packet(b'S', message));
    packet(b'S', format!("G{sequence:>20}").as_bytes());
    Canned { answer, sent: 0, is_asked: false, was_connected: false }
}

#[test]
fn a_snapshot_brings_the_statuses_it_tells_and_no_others() {
    let mut day = Day::new().recovering();
    day.take(itch::system(b'O'));
    for locate in [1, 2] {
        day.take(itch::directory(locate, name(locate), 100, b'N', b'N'));
        day.take(itch::action(locate, name(locate), b'T', *b"    "));
    }
    day.take(itch::reg_sho(1, "AAA", b'1')).take(itch::trade(1, "AAA", 10, 100, 7));
    // What is lost: system hours, a halt, market hours.
    day.sequence += 3;
    day.take(itch::trade(2, "BBB", 20, 100, 8));
    let told = [
        itch::system(b'Q'),
        itch::directory(1, "AAA", 100, b'N', b'N'),
        itch::directory(2, "BBB", 40, b'Y', b'N'),
        itch::action(1, "AAA", b'H', *b"T1  "),
        itch::halt(1, "AAA", b'Q', b'H'),
        itch::add(2, "BBB", 1, b'B', 100, 10),
    ];
    let mut link = glimpse(&told, day.sequence - 1);
    for step in 0..1_000 {
        day.channel.recover(&mut link, Nanos(1_000 + step), &mut NoSink);
    }
    assert_eq!(day.channel.check(Nanos(3_000)), FeedState::Current);
    let market = day.market();
    assert_eq!((market.phase(), market.is_since_start()), (SessionPhase::MarketHours, false));
    let (first, second) = (*market.security(FIRST), *market.security(BookIndex(1)));
    assert_eq!((first.trading, first.reason), (TradingStatus::Halted, *b"T1  "));
    assert!(first.halts.at(b'Q'));
    assert_eq!(first.short_sale, ShortSaleRestriction::Unknown, "it may have changed meanwhile");
    // "firms may assume that the issue was placed in an operational or regulatory trading halt"
    assert_eq!(second.status(), TradingStatus::Halted);
    assert_eq!((second.round_lot(), second.is_round_lots_only()), (Some(40), true));
    assert_eq!(market.sales(FIRST).volume, 0, "what was before is not whole");
    assert_eq!(market.sales(BookIndex(1)).volume, 20, "what comes after the snapshot counts");
    assert_eq!(day.channel.books().order_count_total(), 1);
}

/// A channel with room for four orders that lost something and is told so by a snapshot.
fn told_by_snapshot(orders: &[Vec<u8>]) -> Day {
    let books =
        BooksConfig { orders_max: 4, levels_max: 2, books_max: 2, follow_all_symbols: true };
    let mut day = Day::with(books, &[]).recovering();
    day.take(itch::directory(1, name(1), 100, b'N', b'N'));
    day.sequence += 3;
    day.take(itch::trade(1, "AAA", 20, 100, 8));
    let mut told: Vec<_> =
        [1, 2].map(|locate| itch::directory(locate, name(locate), 100, b'N', b'N')).to_vec();
    told.extend_from_slice(orders);
    let mut link = glimpse(&told, day.sequence - 1);
    for step in 0..1_000 {
        day.channel.recover(&mut link, Nanos(1_000 + step), &mut NoSink);
    }
    day
}

#[test]
fn a_snapshot_that_does_not_fit_itself_is_none() {
    let add = |number| itch::add(1, "AAA", number, b'B', 100, 10);
    let misfits = [
        vec![add(1), add(1)],
        vec![add(1), itch::deleted(1, 2)],
        vec![add(1), itch::executed(1, 1, 101, 1)],
        vec![add(1), itch::executed(1, 1, 0, 1)],
        vec![add(1), itch::deleted(2, 1)],
        vec![itch::add(1, "AAA", 1, b'B', 0, 10)],
        // Full, and still an order twice.
        vec![add(1), add(2), add(3), add(4), add(5), add(1)],
    ];
    for (place, orders) in misfits.iter().enumerate() {
        let mut day = told_by_snapshot(orders);
        let counts = day.channel.recovery_counts().snapshot;
        assert!(counts.completed == 0 && counts.failures > 0, "misfit {place}: {counts:?}");
        assert_eq!(day.channel.check(Nanos(3_000)), FeedState::Stale, "misfit {place}");
    }
}

#[test]
fn a_snapshot_that_only_lacks_room_is_one() {
    let add = |number| itch::add(1, "AAA", number, b'B', 100, 10);
    let fits: Vec<_> = (1..=4).map(add).collect();
    let mut overflows = fits.clone();
    overflows.extend([itch::add(2, "BBB", 5, b'B', 100, 10), itch::deleted(2, 5)]);
    overflows
        .extend([itch::directory(3, "CCC", 100, b'N', b'N'), itch::add(3, "CCC", 6, b'B', 1, 1)]);
    for (orders, is_stale) in [(fits, false), (overflows, true)] {
        let mut day = told_by_snapshot(&orders);
        let counts = day.channel.recovery_counts().snapshot;
        assert_eq!((counts.completed, counts.failures), (1, 0));
        assert_eq!(day.channel.check(Nanos(3_000)), FeedState::Current);
        let books = day.channel.books();
        assert_eq!((books.is_stale(FIRST), books.is_stale(BookIndex(1))), (false, is_stale));
        assert_eq!(books.order_count_total(), 4);
    }
}

/// Books of which at most two have room, with room for four orders and two levels a side.
fn small() -> Day {
    let books =
        BooksConfig { orders_max: 4, levels_max: 2, books_max: 2, follow_all_symbols: true };
    let mut day = Day::with(books, &[]);
    for locate in [1, 2] {
        day.take(itch::directory(locate, name(locate), 100, b'N', b'N'));
    }
    day
}

#[test]
fn a_full_order_table_makes_its_book_stale_and_no_other() {
    let mut day = small();
    for number in 1..=4 {
        day.take(itch::add(2, "BBB", number, b'B', 100, 10));
    }
    day.take(itch::add(1, "AAA", 5, b'B', 100, 10));
    let (books, faults) = (day.channel.books(), day.channel.faults());
    assert!(books.is_stale(FIRST) && !books.is_stale(BookIndex(1)));
    assert_eq!((faults.of(FIRST), faults.of(BookIndex(1))), (Some(Misfit::OrdersFull), None));
    assert_eq!(books.best(BookIndex(1)).bid, Some((price(10), 400)));
    // What comes of it later does not hide what it began with.
    day.take(itch::deleted(1, 5));
    assert_eq!(day.channel.faults().of(FIRST), Some(Misfit::OrdersFull));
    let counts = day.channel.faults().counts();
    assert_eq!((counts.orders_full, counts.unknown_orders), (1, 1));
}

#[test]
fn more_levels_than_are_kept_are_right_all_the_same() {
    let books =
        BooksConfig { orders_max: 64, levels_max: 2, books_max: 2, follow_all_symbols: true };
    let mut day = Day::with(books, &[]);
    day.take(itch::directory(1, name(1), 100, b'N', b'N'));
    let count = 40_u32;
    for number in 1..=count {
        day.take(itch::add(1, "AAA", u64::from(number), b'B', 100, number));
    }
    for number in (1..=count).rev() {
        day.take(itch::deleted(1, u64::from(number)));
        let best = (number > 1).then(|| (price(number - 1), 100));
        assert_eq!(day.channel.books().best(FIRST), Best { bid: best, ask: None });
    }
    assert!(day.channel.books().spills_and_refills().0 > 0);
    assert!(!day.channel.books().is_stale(FIRST));
}

#[test]
fn securities_beyond_the_books_are_named_and_the_others_stay_right() {
    let mut day = small();
    day.take(itch::add(1, "AAA", 1, b'B', 100, 10));
    day.take(itch::directory(3, "CCC", 100, b'N', b'N')).take(itch::add(3, "CCC", 2, b'S', 1, 5));
    day.take(itch::deleted(3, 2)).take(itch::directory(4, "DDD", 100, b'N', b'N'));
    let faults = day.channel.faults();
    assert_eq!(faults.without_book(), [symbol(3), Symbol::new("DDD").expect("a symbol")]);
    assert_eq!(faults.without_book_count(), 2);
    assert_eq!((faults.counts().books_full, faults.counts().unknown_orders), (4, 0));
    let books = day.channel.books();
    assert!(books.indices().all(|book| !books.is_stale(book)));
    assert_eq!(books.best(FIRST).bid, Some((price(10), 100)));
}
