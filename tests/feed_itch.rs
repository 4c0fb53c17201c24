//! The ITCH 5.0 decoder against a plain reading of the specification's tables.

#![allow(clippy::wildcard_enum_match_arm, reason = "a side is looked for in three types")]

use postern::feed::itch50::{Message, TYPES, decode};
use postern::types::{Price, Side, Symbol};
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

/// Letter, and offset and length of each field behind the timestamp: "Nasdaq TotalView-ITCH 5.0", section "Message Formats".
const FIELDS: [(u8, &[(usize, usize)]); 23] = [
    (b'S', &[(11, 1)]),
    (
        b'R',
        &[
            (11, 8),
            (19, 1),
            (20, 1),
            (21, 4),
            (25, 1),
            (26, 1),
            (27, 2),
            (29, 1),
            (30, 1),
            (31, 1),
            (32, 1),
            (33, 1),
            (34, 4),
            (38, 1),
        ],
    ),
    (b'H', &[(11, 8), (19, 1), (21, 4)]),
    (b'Y', &[(11, 8), (19, 1)]),
    (b'L', &[(11, 4), (15, 8), (23, 1), (24, 1), (25, 1)]),
    (b'V', &[(11, 8), (19, 8), (27, 8)]),
    (b'W', &[(11, 1)]),
    (b'K', &[(11, 8), (19, 4), (23, 1), (24, 4)]),
    (b'J', &[(11, 8), (19, 4), (23, 4), (27, 4), (31, 4)]),
    (b'h', &[(11, 8), (19, 1), (20, 1)]),
    (b'A', &[(11, 8), (19, 1), (20, 4), (24, 8), (32, 4)]),
    (b'F', &[(11, 8), (19, 1), (20, 4), (24, 8), (32, 4), (36, 4)]),
    (b'E', &[(11, 8), (19, 4), (23, 8)]),
    (b'C', &[(11, 8), (19, 4), (23, 8), (31, 1), (32, 4)]),
    (b'X', &[(11, 8), (19, 4)]),
    (b'D', &[(11, 8)]),
    (b'U', &[(11, 8), (19, 8), (27, 4), (31, 4)]),
    (b'P', &[(11, 8), (19, 1), (20, 4), (24, 8), (32, 4), (36, 8)]),
    (b'Q', &[(11, 8), (19, 8), (27, 4), (31, 8), (39, 1)]),
    (b'B', &[(11, 8)]),
    (b'I', &[(11, 8), (19, 8), (27, 1), (28, 8), (36, 4), (40, 4), (44, 4), (48, 1), (49, 1)]),
    (b'N', &[(11, 8), (19, 1)]),
    (b'O', &[(11, 8), (19, 1), (20, 4), (24, 4), (28, 4), (32, 8), (40, 4), (44, 4)]),
];

/// The fields in the order of the table, as the decoder read them.
fn read(message: &Message) -> Vec<u64> {
    let one = |byte: u8| u64::from(byte);
    let text = |symbol: Symbol| u64::from_be_bytes(symbol.wire());
    let four = |bytes: [u8; 4]| u64::from(u32::from_be_bytes(bytes));
    let price = |price: Price| u64::from(price.to_itch4().expect("a price of ITCH"));
    let side = |side: Side| u64::from(if side == Side::Buy { b'B' } else { b'S' });
    match *message {
        Message::SystemEvent(m) => vec![one(m.event)],
        Message::StockDirectory(m) => vec![
            text(m.symbol),
            one(m.market_category),
            one(m.financial_status),
            u64::from(m.round_lot),
            one(m.round_lots_only),
            one(m.issue_classification),
            u64::from(u16::from_be_bytes(m.issue_sub_type)),
            one(m.authenticity),
            one(m.short_sale_threshold),
            one(m.ipo),
            one(m.luld_tier),
            one(m.etp),
            u64::from(m.etp_leverage),
            one(m.inverse),
        ],
        Message::TradingAction(m) => vec![text(m.symbol), one(m.status.wire()), four(m.reason)],
        Message::RegShoRestriction(m) => vec![text(m.symbol), one(m.action)],
        Message::ParticipantPosition(m) => vec![
            four(m.mpid),
            text(m.symbol),
            one(m.primary_market_maker),
            one(m.market_maker_mode),
            one(m.state),
        ],
        Message::MwcbDeclineLevel(m) => m.levels.to_vec(),
        Message::MwcbStatus(m) => vec![one(m.breached_level)],
        Message::QuotingPeriod(m) => {
            vec![text(m.symbol), u64::from(m.release_time_s), one(m.qualifier), price(m.price)]
        }
        Message::LuldCollar(m) => vec![
            text(m.symbol),
            price(m.reference_price),
            price(m.upper_price),
            price(m.lower_price),
            u64::from(m.extension),
        ],
        Message::OperationalHalt(m) => vec![text(m.symbol), one(m.market), one(m.action)],
        Message::AddOrder(m) => {
            let mut all = vec![
                m.reference,
                side(m.side),
                u64::from(m.shares),
                text(m.symbol),
                price(m.price),
            ];
            all.extend(m.attribution.map(four));
            all
        }
        Message::OrderExecuted(m) => vec![m.reference, u64::from(m.shares), m.match_number],
        Message::OrderExecutedWithPrice(m) => vec![
            m.reference,
            u64::from(m.shares),
            m.match_number,
            one(if m.printable { b'Y' } else { b'N' }),
            price(m.price),
        ],
        Message::OrderCancel(m) => vec![m.reference, u64::from(m.shares)],
        Message::OrderDelete(m) => vec![m.reference],
        Message::OrderReplace(m) => {
            vec![m.reference, m.new_reference, u64::from(m.shares), price(m.price)]
        }
        Message::Trade(m) => vec![
            m.reference,
            side(m.side),
            u64::from(m.shares),
            text(m.symbol),
            price(m.price),
            m.match_number,
        ],
        Message::CrossTrade(m) => {
            vec![m.shares, text(m.symbol), price(m.price), m.match_number, one(m.cross)]
        }
        Message::BrokenTrade(m) => vec![m.match_number],
        Message::Imbalance(m) => vec![
            m.paired_shares,
            m.imbalance_shares,
            one(m.direction),
            text(m.symbol),
            price(m.far_price),
            price(m.near_price),
            price(m.reference_price),
            one(m.cross),
            one(m.variation),
        ],
        Message::RetailInterest(m) => vec![text(m.symbol), one(m.interest)],
        Message::CapitalRaise(m) => vec![
            text(m.symbol),
            one(m.is_eligible),
            price(m.lowest_price),
            price(m.highest_price),
            price(m.near_price),
            m.near_time_ns,
            price(m.lower_collar),
            price(m.upper_collar),
        ],
    }
}

fn plain(bytes: &[u8], (offset, length): (usize, usize)) -> u64 {
    bytes[offset..offset + length].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A message of each type with random fields, those with few values among them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let all = proptest::collection::vec(any::<u8>(), 50);
    (all, 0..TYPES.len(), any::<bool>()).prop_map(|(mut bytes, of, first)| {
        let (letter, length) = TYPES[of];
        bytes.truncate(usize::from(length));
        bytes[0] = letter;
        let two = |bytes: &mut Vec<u8>, at: usize, values: [u8; 2]| {
            bytes[at] = values[usize::from(first)];
        };
        match letter {
            b'A' | b'F' | b'P' => two(&mut bytes, 19, [b'B', b'S']),
            b'C' => two(&mut bytes, 31, [b'Y', b'N']),
            b'H' => two(&mut bytes, 19, [b'H', b'T']),
            _ => {}
        }
        bytes
    })
}

proptest! {
    #[test]
    fn every_field_is_where_the_specification_has_it(bytes in message()) {
        let message = decode(&bytes).expect("a message");
        let (letter, fields) = FIELDS.iter().find(|(letter, _)| *letter == bytes[0]).expect("a type");
        let expected: Vec<u64> = fields.iter().map(|&field| plain(&bytes, field)).collect();
        prop_assert_eq!(read(&message), expected, "{}", char::from(*letter));
        let head = message.head();
        let read = [u64::from(head.locate), u64::from(head.tracking), head.time_ns];
        prop_assert_eq!(read, [(1, 2), (3, 2), (5, 6)].map(|field| plain(&bytes, field)));
    }
}

#[test]
fn the_tables_fill_every_message() {
    for ((letter, fields), (of, length)) in FIELDS.iter().zip(TYPES) {
        assert_eq!(*letter, of);
        let mut end = 11;
        for &(offset, bytes) in *fields {
            // A trading action has one byte that is reserved.
            let reserved = usize::from(of == b'H' && offset == 21);
            assert_eq!(offset, end + reserved, "{}", char::from(of));
            end = offset + bytes;
        }
        assert_eq!(end, usize::from(length), "{}", char::from(of));
    }
}
