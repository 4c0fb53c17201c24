//! Normalised market data (`sbe-schemas/market-data.xml`).

use crate::codec::message::messages;
use crate::types::{
    BookState, ChannelId, CrossType, FeedState, ImbalanceSide, InstrumentId, Price, SessionPhase,
    ShortSaleRestriction, Side, TradingStatus, UpdateAction, UtcNanos,
};

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
        /// The short sale price test (tag 1687).
        short_sale_restriction: ShortSaleRestriction,
        ;
        /// The exchange's code for why (tag 327), padded with spaces; spaces where it gives none.
        halt_reason: [u8; 4],
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
        /// How far the exchange's day is, as it told last.
        session_phase: SessionPhase,
        /// Level of the market-wide circuit breaker that was breached today, 1 to 3; 0: none.
        circuit_breaker_level: u8,
    }
    /// FIX `MarketDataIncrementalRefresh` (MsgType X): one price level of one instrument changed.
    MarketDataIncrementalRefresh = market_data_incremental_refresh_codec::MarketDataIncrementalRefreshEncoder / MarketDataIncrementalRefreshDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// The level (tag 270).
        md_entry_px: Price,
        /// Quantity of all its orders (tag 271); 0 where it is deleted.
        md_entry_size: u64,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// How many orders those are (tag 346); 0 where it is deleted.
        number_of_orders: u32,
        /// What happened to it (tag 279).
        md_update_action: UpdateAction,
        /// Bids (`Buy`) or offers (`Sell`) (tag 269).
        md_entry_type: Side,
        /// Whether the book is whole after this one (tag 893).
        last_fragment: bool,
    }
    /// FIX `MarketDataSnapshotFullRefresh` (MsgType W): one price level of a snapshot of one instrument.
    MarketDataSnapshotFullRefresh = market_data_snapshot_full_refresh_codec::MarketDataSnapshotFullRefreshEncoder / MarketDataSnapshotFullRefreshDecoder {
        /// Place in the stream of snapshots (tag 83), from 1.
        rpt_seq: u64,
        /// The `rpt_seq` in the stream of `source_id` up to which the snapshot goes (tag 369).
        last_msg_seq_num_processed: u64,
        /// When the book changed last (tag 60).
        transact_time: UtcNanos,
        /// The level (tag 270); `None` in the one message of a book without levels.
        md_entry_px: Option<Price>,
        /// Quantity of all its orders (tag 271).
        md_entry_size: u64,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// How many orders those are (tag 346).
        number_of_orders: u32,
        /// The stream that the instrument's changes come by: its [`Fragment::source`](crate::transport::Fragment::source),
        /// bit for bit.
        source_id: u32,
        /// Feed channel of the instrument.
        channel_id: ChannelId,
        /// Place of this message in the snapshot (tag 290), 1 to `tot_num_reports`: bids first, best first.
        md_entry_position_no: u16,
        /// Messages of the snapshot (tag 911), at least 1.
        tot_num_reports: u16,
        /// Trading status (tag 326).
        security_trading_status: TradingStatus,
        /// Whether the book can be relied on; a stale one has no levels.
        book_state: BookState,
        /// Bids (`Buy`) or offers (`Sell`) (tag 269).
        md_entry_type: Side,
    }
    /// An instrument's book is emptied; while it is current, the changes that follow make it whole.
    BookStatus = book_status_codec::BookStatusEncoder / BookStatusDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When the book changed last (tag 60).
        transact_time: UtcNanos,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Whether it can be relied on.
        book_state: BookState,
    }
    /// The stream was full: what follows is the newest of the instrument, what was between was left out.
    ConflationNotice = conflation_notice_codec::ConflationNoticeEncoder / ConflationNoticeDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// States of the book that were left out.
        conflated_count: u32,
        /// Trades, results of auctions and broken trades that were left out.
        dropped_trade_count: u32,
    }
    /// What a coming cross would match, and what it would leave; the [`AuctionResult`] of its type ends it.
    AuctionImbalance = auction_imbalance_codec::AuctionImbalanceEncoder / AuctionImbalanceDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it was so (tag 60).
        transact_time: UtcNanos,
        /// Quantity that matches at `reference_px`.
        paired_qty: u64,
        /// Quantity that is left over there.
        imbalance_qty: u64,
        /// The price those are counted at.
        reference_px: Option<Price>,
        /// Where the orders of the cross and of the book would clear.
        near_px: Option<Price>,
        /// Where the orders of the cross alone would clear.
        far_px: Option<Price>,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// On which side something is left over.
        imbalance_side: ImbalanceSide,
        /// Which cross.
        cross_type: CrossType,
    }
    /// A cross took place: its official price. Its [`Trade`], if it matched any, comes before.
    AuctionResult = auction_result_codec::AuctionResultEncoder / AuctionResultDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it happened (tag 60).
        transact_time: UtcNanos,
        /// Match number (tag 1003); 0 where the exchange gives none.
        trade_id: u64,
        /// The price (tag 270).
        md_entry_px: Price,
        /// Quantity that was matched (tag 271); 0: none, or the exchange does not say.
        md_entry_size: u64,
        /// Instrument (tag 48).
        security_id: InstrumentId,
        /// Which cross.
        cross_type: CrossType,
    }
    /// A trade told before is void. The book is as it was.
    TradeBreak = trade_break_codec::TradeBreakEncoder / TradeBreakDecoder {
        /// Place in this stream (tag 83), from 1.
        rpt_seq: u64,
        /// When it was broken (tag 60).
        transact_time: UtcNanos,
        /// Match number of the trade (tag 1003).
        trade_id: u64,
        /// Its price (tag 270); `None`: the gateway does not know the trade any more.
        md_entry_px: Option<Price>,
        /// Its quantity (tag 271), where the price is known.
        md_entry_size: u64,
        /// Instrument (tag 48).
        security_id: InstrumentId,
    }
}

impl MarketData {
    /// Place in its stream (tag 83), from 1.
    #[inline]
    pub const fn rpt_seq(&self) -> u64 {
        match self {
            MarketData::TopOfBook(m) => m.rpt_seq,
            MarketData::Trade(m) => m.rpt_seq,
            MarketData::SecurityStatus(m) => m.rpt_seq,
            MarketData::SecurityDefinition(m) => m.rpt_seq,
            MarketData::ChannelStatus(m) => m.rpt_seq,
            MarketData::MarketDataIncrementalRefresh(m) => m.rpt_seq,
            MarketData::MarketDataSnapshotFullRefresh(m) => m.rpt_seq,
            MarketData::BookStatus(m) => m.rpt_seq,
            MarketData::ConflationNotice(m) => m.rpt_seq,
            MarketData::AuctionImbalance(m) => m.rpt_seq,
            MarketData::AuctionResult(m) => m.rpt_seq,
            MarketData::TradeBreak(m) => m.rpt_seq,
        }
    }

    /// The instrument it is about; `None` for a channel's status.
    #[inline]
    pub const fn security_id(&self) -> Option<InstrumentId> {
        match self {
            MarketData::TopOfBook(m) => Some(m.security_id),
            MarketData::Trade(m) => Some(m.security_id),
            MarketData::SecurityStatus(m) => Some(m.security_id),
            MarketData::SecurityDefinition(m) => Some(m.security_id),
            MarketData::ChannelStatus(_) => None,
            MarketData::MarketDataIncrementalRefresh(m) => Some(m.security_id),
            MarketData::MarketDataSnapshotFullRefresh(m) => Some(m.security_id),
            MarketData::BookStatus(m) => Some(m.security_id),
            MarketData::ConflationNotice(m) => Some(m.security_id),
            MarketData::AuctionImbalance(m) => Some(m.security_id),
            MarketData::AuctionResult(m) => Some(m.security_id),
            MarketData::TradeBreak(m) => Some(m.security_id),
        }
    }
}
