//! The codecs against all that may be in front of them: every message there and back, and every way bytes are not a message.

#[allow(dead_code, reason = "each test uses its part of it")]
mod sbe_support;

use std::collections::BTreeSet;

use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::OrderEntry;
use postern::codec::{DecodeError, HEADER_BYTES, template_of};
use postern::sim::prng::SplitMix;
use proptest::prelude::{any, prop_assert_eq, proptest};
use sbe_support::Schema;

/// Payload of a ring slot, which every message of the journal's schema has to fit in, header included.
const SLOT_PAYLOAD_BYTES: usize = 120;

/// One message of each template, all fields from `number`.
fn all_of<S: Schema>(number: u64) -> Vec<S> {
    S::TEMPLATES.iter().map(|&(template, _)| S::drawn(template, &mut || number)).collect()
}

/// Runs a check on the three schemas.
macro_rules! for_every_schema {
    ($check:ident $(, $argument:expr)*) => {
        $check::<OrderEntry>($($argument),*);
        $check::<MarketData>($($argument),*);
        $check::<Journal>($($argument),*);
    };
}

fn headers_are_exact<S: Schema>() {
    let mut seen = BTreeSet::new();
    for (message, &(template, name)) in all_of::<S>(1).into_iter().zip(S::TEMPLATES) {
        let bytes = message.to_bytes();
        let block = u16::try_from(bytes.len() - HEADER_BYTES).expect("short");
        let header = [block, template, S::SCHEMA_ID, 0].map(u16::to_le_bytes).concat();
        assert_eq!(bytes[..HEADER_BYTES], header[..], "{name}");
        assert_eq!(template_of(&bytes), Some(template));
        assert!(seen.insert(template), "{name} has a number of its own");
        assert!(
            format!("{message:?}").starts_with(&format!("{name}(")),
            "{message:?} is listed as {name}"
        );
    }
}

#[test]
fn every_header_is_exact() {
    for_every_schema!(headers_are_exact);
}

/// Every message in the schema's text has a struct here, under the same name and number.
fn all_are_listed<S: Schema>(file: &str) {
    let path = format!("{}/sbe-schemas/{file}.xml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the schema");
    let value = |line: &str, key: &str| {
        line.split_once(&format!("{key}=\""))
            .map(|(_, rest)| rest.split('"').next().unwrap_or("").to_owned())
    };
    let written: Vec<(String, String)> = text
        .lines()
        .filter(|line| line.contains("<sbe:message "))
        .filter_map(|line| Some((value(line, " id")?, value(line, "name")?)))
        .collect();
    let listed: Vec<(String, String)> =
        S::TEMPLATES.iter().map(|(id, name)| (id.to_string(), (*name).to_owned())).collect();
    assert_eq!(written, listed);
}

#[test]
fn every_template_is_listed() {
    all_are_listed::<OrderEntry>("order-entry");
    all_are_listed::<MarketData>("market-data");
    all_are_listed::<Journal>("journal");
}

#[test]
fn what_travels_in_rings_fits_a_slot() {
    for message in all_of::<Journal>(0) {
        let bytes = message.to_bytes().len();
        assert!(bytes <= SLOT_PAYLOAD_BYTES, "{message:?} has {bytes} bytes");
    }
}

fn nothing_of_the_buffer_survives<S: Schema>() {
    for message in all_of::<S>(1) {
        let [over_zeros, over_ones] = [0x00, 0xff].map(|stale| {
            let mut buffer = [stale; 2 * SLOT_PAYLOAD_BYTES + HEADER_BYTES];
            let length = message.encode(&mut buffer);
            assert!(buffer[length..].iter().all(|&byte| byte == stale), "{message:?} keeps within");
            buffer[..length].to_vec()
        });
        assert_eq!(over_zeros, over_ones, "{message:?}");
    }
}

#[test]
fn no_stale_byte_of_the_buffer_is_sent() {
    for_every_schema!(nothing_of_the_buffer_survives);
}

fn extremes_round_trip<S: Schema>() {
    let i64_max = u64::try_from(i64::MAX).expect("positive");
    for number in [0, 1, u64::MAX, i64_max, i64_max + 1, i64_max - 1, u64::from(u32::MAX)] {
        for message in all_of::<S>(number) {
            assert_eq!(S::decode(&message.to_bytes()), Ok(message));
        }
    }
}

#[test]
fn extremes_and_nulls_come_back() {
    for_every_schema!(extremes_round_trip);
}

fn refuses_what_is_no_message<S: Schema>() {
    for message in all_of::<S>(3) {
        let bytes = message.to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(
                S::decode(&bytes[..length]),
                Err(DecodeError::Truncated),
                "{message:?} cut to {length}"
            );
        }
        for more in [1, 8, 100] {
            let mut longer = bytes.clone();
            longer.resize(bytes.len() + more, 0);
            assert_eq!(S::decode(&longer), Err(DecodeError::TrailingBytes));
        }
        let with = |at: usize, value: u16| {
            let mut changed = bytes.clone();
            changed[at..at + 2].copy_from_slice(&value.to_le_bytes());
            S::decode(&changed)
        };
        let block = u16::try_from(bytes.len() - HEADER_BYTES).expect("short");
        for wrong in [0, block - 1, block + 1, u16::MAX] {
            assert_eq!(
                with(0, wrong),
                Err(DecodeError::BlockLength),
                "{message:?} with block {wrong}"
            );
        }
        for unknown in [0, 999, u16::MAX] {
            assert_eq!(with(2, unknown), Err(DecodeError::UnknownTemplate));
        }
        for other in [0, S::SCHEMA_ID - 1, S::SCHEMA_ID + 1, u16::MAX] {
            assert_eq!(with(4, other), Err(DecodeError::WrongSchema));
        }
        for newer in [1, 2, u16::MAX] {
            assert_eq!(with(6, newer), Err(DecodeError::FutureVersion));
        }
    }
}

#[test]
fn every_fault_has_its_own_error() {
    for_every_schema!(refuses_what_is_no_message);
}

/// Puts every byte value at every place of every message: it is read as some message that comes back, or refused where it
/// stands for an enumerated field that does not know it. Returns, for each place that refuses any, how many values it knows.
fn single_bytes<S: Schema>() -> Vec<(&'static str, Vec<usize>)> {
    let mut all = Vec::new();
    for (message, &(_, name)) in all_of::<S>(2).into_iter().zip(S::TEMPLATES) {
        let bytes = message.to_bytes();
        let mut enumerated = Vec::new();
        for at in HEADER_BYTES..bytes.len() {
            let mut known = 0;
            for value in 0..=u8::MAX {
                let mut changed = bytes.clone();
                changed[at] = value;
                match S::decode(&changed) {
                    Ok(read) => {
                        known += 1;
                        assert_eq!(S::decode(&read.to_bytes()), Ok(read));
                    }
                    Err(error) => {
                        assert_eq!(error, DecodeError::BadEnum, "{name} with {value} at {at}")
                    }
                }
            }
            if known < 256 {
                enumerated.push(known);
            }
        }
        if !enumerated.is_empty() {
            all.push((name, enumerated));
        }
    }
    all
}

#[test]
fn every_byte_is_taken_for_what_it_is_or_refused() {
    assert_eq!(
        single_bytes::<MarketData>(),
        [
            ("Trade", vec![2]),
            ("SecurityStatus", vec![5, 4]),
            ("ChannelStatus", vec![3, 7]),
            ("MarketDataIncrementalRefresh", vec![3, 2, 2]),
            ("MarketDataSnapshotFullRefresh", vec![5, 2, 2]),
            ("BookStatus", vec![2]),
            ("AuctionImbalance", vec![6, 7]),
            ("AuctionResult", vec![7]),
        ]
    );
    assert_eq!(
        single_bytes::<OrderEntry>(),
        [
            ("Negotiate", vec![4]),
            ("NegotiationResponse", vec![4]),
            ("NegotiationReject", vec![4]),
            ("EstablishmentReject", vec![6]),
            ("RetransmitReject", vec![3]),
            ("Terminate", vec![7]),
            ("NewOrderSingle", vec![2, 2, 2]),
            ("OrderMassActionRequest", vec![2]),
            ("ExecutionReport", vec![6, 9, 2]),
            ("OrderCancelReject", vec![9, 2]),
        ]
    );
    assert_eq!(
        single_bytes::<Journal>(),
        [
            ("OrderRequest", vec![2, 2, 2]),
            ("MassCancelRequest", vec![2]),
            ("SessionLink", vec![2]),
            ("ApprovedOrder", vec![2, 2, 2]),
            ("KillNotice", vec![5, 3]),
            ("VenueExecution", vec![6, 9]),
            ("VenueCancelReject", vec![9, 2]),
            ("VenueLink", vec![2]),
            ("RouterRefusal", vec![3]),
            ("OrderReport", vec![6, 9, 2]),
            ("CancelRejectReport", vec![9, 2]),
            ("FeedStatus", vec![3]),
            ("KillCommand", vec![5, 3]),
            ("Decision", vec![3]),
        ]
    );
}

/// Draws numbers of which every third is an extreme.
fn generator(seed: u64) -> impl FnMut() -> u64 {
    let mut numbers = SplitMix::new(seed);
    move || {
        let z = numbers.next_u64();
        match z % 12 {
            0 => 0,
            1 => u64::MAX,
            2 => u64::MAX >> 1,
            3 => (u64::MAX >> 1) + 1,
            _ => z,
        }
    }
}

fn round_trips<S: Schema>(seed: u64) {
    let mut draw = generator(seed);
    for &(template, _) in S::TEMPLATES {
        let message = S::drawn(template, &mut draw);
        assert_eq!(S::decode(&message.to_bytes()), Ok(message));
    }
}

proptest! {
    #[test]
    fn every_message_comes_back(seed in any::<u64>()) {
        for_every_schema!(round_trips, seed);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
        let _ = OrderEntry::decode(&bytes);
        let _ = MarketData::decode(&bytes);
        let _ = Journal::decode(&bytes);
    }

    /// Behind a sound header, bytes are refused for an enumerated field or are a message that comes back.
    #[test]
    fn no_block_panics(which in any::<u16>(), block in proptest::collection::vec(any::<u8>(), 120)) {
        let messages = all_of::<Journal>(0);
        let mut bytes = messages[usize::from(which) % messages.len()].to_bytes();
        let length = bytes.len() - HEADER_BYTES;
        bytes[HEADER_BYTES..].copy_from_slice(&block[..length]);
        match Journal::decode(&bytes) {
            Ok(message) => prop_assert_eq!(Journal::decode(&message.to_bytes()), Ok(message)),
            Err(error) => prop_assert_eq!(error, DecodeError::BadEnum),
        }
    }
}
