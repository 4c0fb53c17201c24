//! Captures of a real feed against what other people's decoders made of them. Skips, saying so, where they are absent.

#![allow(clippy::print_stdout, reason = "tests say what they compared and what they skipped")]

#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use postern::cmd::output::Output;
use postern::cmd::replay::{ReplayArgs, ReplayReport, replay};
use postern::feed::arbiter::Join;
use postern::feed::book::BooksConfig;
use postern::feed::channel::{Channel, ChannelSettings, NoSink};
use postern::feed::itch50::{self, Head, Message};
use postern::feed::market_state::MarketCounts;
use postern::feed::{capture, moldudp64};
use postern::types::{Nanos, Price, ShortSaleRestriction, Symbol, TradingStatus};
use serde_json::{Value, json};
use shared::shared;

const BINARY: &str = "captures/itch/aapl_20200130_10k.itch50.bin";
const PCAP: &str = "captures/itch/aapl_20200130_10k.moldudp64.ns.pcap";

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file that is there")
}

fn golden() -> Option<Vec<Value>> {
    let path = shared("golden/aapl_20200130_10k.itch50.jsonl.gz")?;
    let mut text = String::new();
    let file = File::open(path).expect("a file that is there");
    GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn letter(byte: u8) -> String {
    text(&[byte])
}

/// Adds to `object` the fields every message begins with.
fn with_head(mut object: Value, head: Head, kind: &str) -> Value {
    object["stock_locate"] = json!(head.locate);
    object["tracking_number"] = json!(head.tracking);
    object["timestamp"] = json!(head.time_ns);
    object["type"] = json!(kind);
    object
}

fn side(side: postern::types::Side) -> &'static str {
    match side {
        postern::types::Side::Buy => "B",
        postern::types::Side::Sell => "S",
    }
}

/// The message as the golden file has it.
fn as_golden(message: &Message) -> Value {
    let price = |price: postern::types::Price| json!(price.to_itch4().expect("a price of ITCH"));
    let stock = |symbol: postern::types::Symbol| json!(text(&symbol.wire()));
    match message {
        Message::StockDirectory(m) => with_head(
            json!({
                "stock": stock(m.symbol),
                "market_category": letter(m.market_category),
                "financial_status_indicator": letter(m.financial_status),
                "round_lot_size": m.round_lot,
                "round_lots_only": letter(m.round_lots_only),
                "issue_classification": letter(m.issue_classification),
                "issue_sub_type": text(&m.issue_sub_type),
                "authenticity": letter(m.authenticity),
                "short_sale_threshold_indicator": letter(m.short_sale_threshold),
                "ipo_flag": letter(m.ipo),
                "luld_ref": letter(m.luld_tier),
                "etp_flag": letter(m.etp),
                "etp_leverage_factor": m.etp_leverage,
                "inverse_indicator": letter(m.inverse),
            }),
            m.head,
            "R",
        ),
        Message::TradingAction(m) => with_head(
            json!({
                "stock": stock(m.symbol),
                "trading_state": letter(m.status.wire()),
                "reserved": " ",
                "reason": text(&m.reason),
            }),
            m.head,
            "H",
        ),
        Message::AddOrder(m) => {
            let mut object = json!({
                "order_reference_number": m.reference,
                "buy_sell_indicator": side(m.side),
                "shares": m.shares,
                "stock": stock(m.symbol),
                "price": price(m.price),
            });
            if let Some(attribution) = m.attribution {
                object["attribution"] = json!(text(&attribution));
            }
            with_head(object, m.head, if m.attribution.is_some() { "F" } else { "A" })
        }
        Message::OrderExecuted(m) => with_head(
            json!({
                "order_reference_number": m.reference,
                "executed_shares": m.shares,
                "match_number": m.match_number,
            }),
            m.head,
            "E",
        ),
        Message::OrderCancel(m) => with_head(
            json!({ "order_reference_number": m.reference, "cancelled_shares": m.shares }),
            m.head,
            "X",
        ),
        Message::OrderDelete(m) => {
            with_head(json!({ "order_reference_number": m.reference }), m.head, "D")
        }
        Message::OrderReplace(m) => with_head(
            json!({
                "order_reference_number": m.reference,
                "new_order_reference_number": m.new_reference,
                "shares": m.shares,
                "price": price(m.price),
            }),
            m.head,
            "U",
        ),
        Message::Trade(m) => with_head(
            json!({
                "order_reference_number": m.reference,
                "buy_sell_indicator": side(m.side),
                "shares": m.shares,
                "stock": stock(m.symbol),
                "price": price(m.price),
                "match_number": m.match_number,
            }),
            m.head,
            "P",
        ),
        Message::ParticipantPosition(m) => with_head(
            json!({
                "mpid": text(&m.mpid),
                "stock": stock(m.symbol),
                "primary_market_maker": letter(m.primary_market_maker),
                "market_maker_mode": letter(m.market_maker_mode),
                "market_participant_state": letter(m.state),
            }),
            m.head,
            "L",
        ),
        Message::RegShoRestriction(m) => with_head(
            json!({ "stock": stock(m.symbol), "reg_sho_action": letter(m.action) }),
            m.head,
            "Y",
        ),
        Message::SystemEvent(_)
        | Message::MwcbDeclineLevel(_)
        | Message::MwcbStatus(_)
        | Message::QuotingPeriod(_)
        | Message::LuldCollar(_)
        | Message::OperationalHalt(_)
        | Message::Imbalance(_)
        | Message::RetailInterest(_)
        | Message::CapitalRaise(_)
        | Message::OrderExecutedWithPrice(_)
        | Message::CrossTrade(_)
        | Message::BrokenTrade(_) => panic!("the capture holds none: {message:?}"),
    }
}

#[test]
fn every_message_of_the_capture_is_what_other_decoders_say() {
    let (Some(path), Some(golden)) = (shared(BINARY), golden()) else { return };
    let bytes = read(&path);
    let mut rest = bytes.as_slice();
    let mut compared: BTreeMap<String, usize> = BTreeMap::new();
    for expected in &golden {
        let (message, after) = moldudp64::split_block(rest).expect("a message for each line");
        rest = after;
        let decoded = as_golden(&itch50::decode(message).expect("an ITCH message"));
        let kind = expected["type"].as_str().expect("a letter").to_owned();
        assert_eq!(&decoded, expected);
        *compared.entry(kind).or_default() += 1;
    }
    assert!(rest.is_empty(), "{} bytes behind the last line", rest.len());
    println!("compared {} messages: {compared:?}", golden.len());
    assert_eq!(golden.len(), 10_000);
    assert_eq!(compared["A"], 4_758);
}

fn args(file: &Path) -> ReplayArgs {
    ReplayArgs {
        output: Output::Json,
        orders_max: 100_000,
        symbols_max: 100,
        ..ReplayArgs::new(file)
    }
}

fn replayed(file: &Path) -> ReplayReport {
    let capture = capture::open(file).and_then(|capture| capture.whole()).expect("a capture");
    replay(capture, &args(file)).0
}

#[test]
fn both_forms_of_the_capture_give_the_same_books() {
    let (Some(binary), Some(pcap), Some(golden)) = (shared(BINARY), shared(PCAP), golden()) else {
        return;
    };
    let (binary, pcap) = (replayed(&binary), replayed(&pcap));
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for message in &golden {
        let letter = message["type"].as_str().and_then(|kind| kind.chars().next());
        *counts.entry(letter.expect("a letter")).or_default() += 1;
    }
    for report in [&binary, &pcap] {
        assert_eq!(report.messages, 10_000);
        assert_eq!(report.messages_by_type, counts);
        assert_eq!((report.errors, report.gaps), (0, 0));
        assert_eq!(report.books["AAPL"].orders, 215);
    }
    assert_eq!((binary.packets, pcap.packets), (10_000, 9_664));
    assert_eq!(binary.digest, pcap.digest);
    assert_eq!(binary.books, pcap.books);
    println!("{:?} digest {}", pcap.books["AAPL"], pcap.digest);
}

#[test]
fn the_books_equal_a_plain_reading_of_the_golden_file() {
    let (Some(binary), Some(golden)) = (shared(BINARY), golden()) else { return };
    let mut orders: BTreeMap<u64, (bool, u64, u64)> = BTreeMap::new();
    for m in &golden {
        let field = |name: &str| m[name].as_u64().expect("a number");
        match m["type"].as_str().expect("a letter") {
            "A" | "F" => {
                let order = (m["buy_sell_indicator"] == "B", field("price"), field("shares"));
                orders.insert(field("order_reference_number"), order);
            }
            "D" => drop(orders.remove(&field("order_reference_number"))),
            kind @ ("E" | "X") => {
                let shares =
                    field(if kind == "E" { "executed_shares" } else { "cancelled_shares" });
                let reference = field("order_reference_number");
                let order = orders.get_mut(&reference).expect("an order");
                order.2 -= shares;
                if order.2 == 0 {
                    orders.remove(&reference);
                }
            }
            "U" => {
                let (buy, _, _) = orders.remove(&field("order_reference_number")).expect("one");
                let order = (buy, field("price"), field("shares"));
                orders.insert(field("new_order_reference_number"), order);
            }
            _ => {}
        }
    }
    let best = |buy: bool| {
        let prices = orders.values().filter(|order| order.0 == buy).map(|order| order.1);
        let price = if buy { prices.max() } else { prices.min() }.expect("orders on both sides");
        let same = orders.values().filter(|order| order.0 == buy && order.1 == price);
        let text = postern::types::Price::from_itch4(u32::try_from(price).expect("32 bits"));
        (Some(text.to_string()), Some(same.map(|order| order.2).sum::<u64>()))
    };
    let book = &replayed(&binary).books["AAPL"];
    assert_eq!(orders.len(), 215);
    assert_eq!((book.bid_price.clone(), book.bid_qty), best(true));
    assert_eq!((book.ask_price.clone(), book.ask_qty), best(false));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder that is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn every_single_packet_capture_of_the_exchange_decodes() {
    let Some(folder) = shared("captures/omi/Nasdaq") else { return };
    let folders = files(&folder);
    let itch = folders.iter().filter(|path| path.to_string_lossy().contains("Itch"));
    let mut seen = BTreeMap::new();
    for file in itch.flat_map(|folder| files(folder)) {
        let capture = capture::open(&file).and_then(|capture| capture.whole()).expect("a capture");
        assert!(!capture.is_empty(), "{}", file.display());
        for (_, _, payload) in capture.iter() {
            let packet = moldudp64::parse(payload)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let moldudp64::Packet::Data(_, messages) = packet else { continue };
            for message in messages {
                let decoded = itch50::decode(message)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                assert!(decoded.head().time_ns < 86_400_000_000_000, "{decoded:?}");
                *seen.entry(char::from(message[0])).or_insert(0) += 1;
            }
        }
    }
    println!("types in single packets: {seen:?}");
    assert!(seen.len() >= 15, "{seen:?}");
}

#[test]
fn a_packet_whose_last_message_is_cut_is_refused() {
    let Some(path) = shared("captures/negative/moldudp64_cut_5_bytes_short.dat") else { return };
    let bytes = read(&path);
    // The file is three packets one behind the other; as one packet it has bytes its count does not account for.
    assert_eq!(moldudp64::parse(&bytes).err(), Some(moldudp64::MoldError::TrailingBytes));
    assert!(moldudp64::parse(&bytes[..894]).is_ok());
    assert!(moldudp64::parse(&bytes[894..1_881]).is_ok());
    assert_eq!(moldudp64::parse(&bytes[1_881..]).err(), Some(moldudp64::MoldError::CutBlock));
    assert!(capture::open(&path).is_err(), "it is no capture either");
}

#[test]
fn statuses_and_sales_equal_a_plain_reading_of_the_golden_file() {
    let (Some(binary), Some(golden)) = (shared(BINARY), golden()) else { return };
    let settings = ChannelSettings {
        join: Join::First,
        stale_after_ns: u64::MAX,
        books: BooksConfig {
            orders_max: 10_000,
            levels_max: 64,
            books_max: 1,
            follow_all_symbols: true,
        },
    };
    let mut channel = Channel::new(&settings, &[]);
    let capture = capture::open(&binary).and_then(|capture| capture.whole()).expect("a capture");
    for (_, _, payload) in capture.iter() {
        channel.on_datagram(payload, Nanos(0), &mut NoSink);
    }
    let mut prices: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut volume, mut trades, mut last) = (0, 0, None);
    for m in &golden {
        let field = |name: &str| m[name].as_u64().expect("a number");
        let trade = match m["type"].as_str().expect("a letter") {
            "A" | "F" => {
                prices.insert(field("order_reference_number"), field("price"));
                continue;
            }
            "U" => {
                prices.insert(field("new_order_reference_number"), field("price"));
                continue;
            }
            "E" => (field("executed_shares"), prices[&field("order_reference_number")]),
            "P" => (field("shares"), field("price")),
            _ => continue,
        };
        volume += trade.0;
        trades += 1;
        last = Some((field("match_number"), trade.0, trade.1));
    }
    let market = channel.market();
    let book = channel.books().by_symbol(Symbol::new("AAPL").expect("a symbol")).expect("a book");
    let (security, sales) = (market.security(book), market.sales(book));
    assert_eq!((sales.volume, sales.trades), (volume, trades));
    let price4 = |price: Price| u64::from(price.to_itch4().expect("a price of the feed"));
    assert_eq!(sales.last.map(|s| (s.match_number, s.shares, price4(s.price))), last);
    assert_eq!(security.status(), TradingStatus::Trading);
    assert_eq!(security.short_sale, ShortSaleRestriction::NotRestricted);
    assert_eq!((security.round_lot(), security.is_round_lots_only()), (Some(100), false));
    assert_eq!(market.counts(), MarketCounts::default());
    println!("{trades} trades of {volume} shares compared");
}
