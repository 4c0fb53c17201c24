//! Normalised market data (`sbe-schemas/market-data.xml`).

use crate::codec::message::messages;
use crate::types::{ChannelId, FeedState, InstrumentId, Price, Side, TradingStatus, UtcNanos};

messages! {
    schema market_data;
    /// Any message of the schema.
    enum MarketData;

    /// Best bid and offer of one instrument after a change.
    TopOfBook = top_of_book_codec::TopOfBookEncoder / TopOfBookDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// Best bid (tag 132).
        bid_px: Option<Price>,
        /// Best offer (tag 133).
        offer_px: Option<Price>,
        /// Quantity at the best bid (tag 134).
        bid_size: u64,
        /// Quantity at the best offer (tag 135).
        offer_size: u64,
        /// Instrument (tag 48).
        security_id: InstrumentId,
    }
    /// A trade.
    Trade = trade_codec::TradeEncoder / TradeDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// Price of this trade (tag 31).
        last_px: Price,
        /// Match number (tag 1003).
        trade_id: u64,
        /// Quantity of this trade (tag 32); 0 is none.
        last_qty: u32,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Side of the resting order as the feed gives it (tag 2446).
        aggressor_side: Side,
    }
    /// FIX `SecurityStatus` (MsgType f).
    SecurityStatus = security_status_codec::SecurityStatusEncoder / SecurityStatusDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Trading status (tag 326).
        security_trading_status: TradingStatus,
    }
    /// FIX `SecurityDefinition` (MsgType d).
    SecurityDefinition = security_definition_codec::SecurityDefinitionEncoder / SecurityDefinitionDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// Tick (tag 969).
        min_price_increment: Price,
        /// Lot (tag 561).
        round_lot: u32,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        ;
        /// Symbol (tag 55).
        symbol: [u8; 8],
    }
    /// Whether what comes from a feed channel can be relied on.
    ChannelStatus = channel_status_codec::ChannelStatusEncoder / ChannelStatusDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// Feed channel.
        channel_id: ChannelId,
        /// Whether it can be relied on.
        channel_state: FeedState,
    }
}
