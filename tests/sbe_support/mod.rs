//! Messages of every template with chosen field values: what the tests of the codecs go through.

use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::OrderEntry;
use postern::codec::{DecodeError, journal as j, market_data as m, order_entry as o};
use postern::types::{
    AccountId, BookState, CancelRejectTo, ChannelId, ClOrdId, CrossType, EstablishmentRejectCode,
    ExecId, ExecType, FeedState, FlowType, ImbalanceSide, InstrumentId, KillAction, KillScope,
    LinkState, MassScope, Nanos, NegotiationRejectCode, OrdStatus, OrdType, OrderId, Price,
    RequestKind, RetransmitRejectCode, SeqNum, SessionId, SessionPhase, ShortSaleRestriction, Side,
    TerminationCode, TimeInForce, TradingStatus, UpdateAction, UtcNanos, VenueId,
};

/// Where field values come from: a number for each field.
pub type Draw<'d> = &'d mut dyn FnMut() -> u64;

/// A field's value from a number. Every value of the field can come up.
pub trait Drawn {
    fn drawn(number: u64) -> Self;
}

macro_rules! plain {
    ($($raw:ty),+) => {$(
        impl Drawn for $raw {
            #[allow(clippy::as_conversions, reason = "the low bits are wanted")]
            fn drawn(number: u64) -> $raw {
                number as $raw
            }
        }
    )+};
}
plain!(u8, u16, u32, u64, i64);

macro_rules! numbers {
    ($($name:ident),+ $(,)?) => {$(
        impl Drawn for $name {
            fn drawn(number: u64) -> $name {
                $name(Drawn::drawn(number))
            }
        }
    )+};
}
numbers!(
    SessionId,
    AccountId,
    InstrumentId,
    VenueId,
    ChannelId,
    SeqNum,
    ClOrdId,
    OrderId,
    ExecId,
    Nanos,
    UtcNanos,
);

macro_rules! words {
    ($($name:ident),+ $(,)?) => {$(
        impl Drawn for $name {
            fn drawn(number: u64) -> $name {
                let count = u64::try_from($name::ALL.len()).expect("few");
                $name::ALL[usize::try_from(number % count).expect("few")]
            }
        }
    )+};
}
words!(
    Side,
    OrdType,
    TimeInForce,
    ExecType,
    OrdStatus,
    CancelRejectTo,
    FlowType,
    NegotiationRejectCode,
    EstablishmentRejectCode,
    RetransmitRejectCode,
    TerminationCode,
    MassScope,
    FeedState,
    TradingStatus,
    UpdateAction,
    BookState,
    SessionPhase,
    ShortSaleRestriction,
    ImbalanceSide,
    CrossType,
    LinkState,
    KillScope,
    KillAction,
    RequestKind,
);

impl Drawn for bool {
    fn drawn(number: u64) -> bool {
        number % 2 == 1
    }
}

impl Drawn for Price {
    fn drawn(number: u64) -> Price {
        Price::from_units(i64::drawn(number))
    }
}

impl Drawn for Option<Price> {
    fn drawn(number: u64) -> Option<Price> {
        Option::<i64>::drawn(number).map(Price::from_units)
    }
}

impl Drawn for Option<i64> {
    /// The null value is that of the wire.
    fn drawn(number: u64) -> Option<i64> {
        Some(i64::drawn(number)).filter(|&value| value != i64::MAX)
    }
}

fn next<T: Drawn>(draw: Draw<'_>) -> T {
    T::drawn(draw())
}

fn bytes<const N: usize>(draw: Draw<'_>) -> [u8; N] {
    std::array::from_fn(|_| next(draw))
}

/// Printable ASCII, which is what a `char` field holds.
fn ascii<const N: usize>(draw: Draw<'_>) -> [u8; N] {
    std::array::from_fn(|_| b' ' + next::<u8>(draw) % 95)
}

/// A schema: what the tests need of its enum of messages.
pub trait Schema: Copy + PartialEq + std::fmt::Debug + Sized {
    /// Package name, as generated code has it.
    const PACKAGE: &'static str;
    const SCHEMA_ID: u16;
    const TEMPLATES: &'static [(u16, &'static str)];
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
    fn encode(&self, buf: &mut [u8]) -> usize;
    /// A message of the template with the values that `draw` gives, field after field.
    fn drawn(template: u16, draw: Draw<'_>) -> Self;
    /// The message's own bytes.
    fn to_bytes(self) -> Vec<u8> {
        let mut buf = vec![0xee; 256];
        let size = self.encode(&mut buf);
        assert!(
            buf[size..].iter().all(|&byte| byte == 0xee),
            "nothing is written behind the message"
        );
        buf.truncate(size);
        buf
    }
}

macro_rules! schema {
    ($all:ident, $package:literal, $id:literal, $alias:ident, { $( $name:ident { $($field:ident)* $(; $($how:ident $array:ident)+)? } )+ }) => {
        impl Schema for $all {
            const PACKAGE: &'static str = $package;
            const SCHEMA_ID: u16 = $id;
            const TEMPLATES: &'static [(u16, &'static str)] = $all::TEMPLATES;
            fn decode(bytes: &[u8]) -> Result<$all, DecodeError> {
                $all::decode(bytes)
            }
            fn encode(&self, buf: &mut [u8]) -> usize {
                $all::encode(self, buf)
            }
            fn drawn(template: u16, draw: Draw<'_>) -> $all {
                use postern::codec::Message;
                match template {
                    $( $alias::$name::TEMPLATE => $all::$name($alias::$name {
                        $( $field: next(draw), )*
                        $( $( $array: $how(draw), )+ )?
                    }), )+
                    other => panic!("no fields are listed for template {other}"),
                }
            }
        }
    };
}

schema!(OrderEntry, "order_entry", 7101, o, {
    Negotiate { session_id client_flow session_ver_id timestamp ; bytes credentials }
    NegotiationResponse { session_id server_flow session_ver_id request_timestamp }
    NegotiationReject { session_id code session_ver_id request_timestamp }
    Establish { session_id keepalive_interval session_ver_id timestamp next_seq_no ; bytes credentials }
    EstablishmentAck { session_id keepalive_interval session_ver_id request_timestamp next_seq_no expected_seq_no last_cl_ord_id }
    EstablishmentReject { session_id code session_ver_id request_timestamp }
    Sequence { session_id next_seq_no }
    NotApplied { session_id from_seq_no count }
    RetransmitRequest { session_id from_seq_no timestamp count }
    Retransmission { session_id next_seq_no request_timestamp count }
    RetransmitReject { session_id code request_timestamp }
    Terminate { session_id code session_ver_id }
    NewOrderSingle { session_id msg_seq_num cl_ord_id sending_time price order_qty security_id account side ord_type time_in_force }
    OrderCancelRequest { session_id msg_seq_num cl_ord_id sending_time orig_cl_ord_id }
    OrderCancelReplaceRequest { session_id msg_seq_num cl_ord_id sending_time orig_cl_ord_id price order_qty }
    OrderMassActionRequest { session_id msg_seq_num cl_ord_id sending_time security_id mass_action_scope }
    ExecutionReport { session_id msg_seq_num order_id cl_ord_id orig_cl_ord_id exec_id transact_time price last_px order_qty last_qty cum_qty leaves_qty security_id account ord_rej_reason deny_reason exec_type ord_status side }
    OrderCancelReject { session_id msg_seq_num order_id cl_ord_id orig_cl_ord_id transact_time cxl_rej_reason deny_reason ord_status cxl_rej_response_to }
    BusinessMessageReject { session_id msg_seq_num ref_seq_num ref_template_id business_reject_reason }
    OrderMassActionReport { session_id msg_seq_num cl_ord_id transact_time total_affected_orders }
});

schema!(MarketData, "market_data", 7102, m, {
    TopOfBook { rpt_seq transact_time bid_px offer_px bid_size offer_size security_id }
    Trade { rpt_seq transact_time last_px trade_id last_qty security_id aggressor_side }
    SecurityStatus { rpt_seq transact_time security_id security_trading_status short_sale_restriction ; ascii halt_reason }
    SecurityDefinition { rpt_seq min_price_increment round_lot security_id ; ascii symbol }
    ChannelStatus { rpt_seq channel_id channel_state session_phase circuit_breaker_level }
    MarketDataIncrementalRefresh { rpt_seq transact_time md_entry_px md_entry_size security_id number_of_orders md_update_action md_entry_type last_fragment }
    MarketDataSnapshotFullRefresh { rpt_seq last_msg_seq_num_processed transact_time md_entry_px md_entry_size security_id number_of_orders source_id channel_id md_entry_position_no tot_num_reports security_trading_status book_state md_entry_type }
    BookStatus { rpt_seq transact_time security_id book_state }
    ConflationNotice { rpt_seq security_id conflated_count dropped_trade_count }
    AuctionImbalance { rpt_seq transact_time paired_qty imbalance_qty reference_px near_px far_px security_id imbalance_side cross_type }
    AuctionResult { rpt_seq transact_time trade_id md_entry_px md_entry_size security_id cross_type }
    TradeBreak { rpt_seq transact_time trade_id md_entry_px md_entry_size security_id }
});

schema!(Journal, "journal", 7103, j, {
    OrderRequest { cl_ord_id ingress_time price session_id order_qty security_id account sent_delta side ord_type time_in_force }
    CancelRequest { cl_ord_id orig_cl_ord_id ingress_time session_id sent_delta }
    ReplaceRequest { cl_ord_id orig_cl_ord_id ingress_time price session_id order_qty sent_delta }
    MassCancelRequest { cl_ord_id ingress_time session_id security_id sent_delta mass_scope }
    SessionLink { session_id link_state }
    ApprovedOrder { order_id ingress_time price session_id order_qty security_id account sent_delta side ord_type time_in_force }
    ApprovedCancel { order_id ingress_time security_id sent_delta }
    ApprovedReplace { order_id ingress_time price order_qty sent_delta }
    KillNotice { id kill_scope kill_action }
    VenueExecution { order_id exec_id ingress_time price last_px order_qty last_qty cum_qty leaves_qty sent_delta ord_rej_reason exec_type ord_status }
    VenueCancelReject { order_id ingress_time sent_delta cxl_rej_reason ord_status cxl_rej_response_to }
    VenueLink { venue_id link_state }
    RouterRefusal { order_id ingress_time sent_delta deny_reason decision_kind }
    OrderReport { order_id cl_ord_id orig_cl_ord_id exec_id ingress_time price last_px session_id order_qty last_qty cum_qty leaves_qty security_id account sent_delta ord_rej_reason deny_reason exec_type ord_status side }
    CancelRejectReport { order_id cl_ord_id orig_cl_ord_id ingress_time session_id sent_delta cxl_rej_reason deny_reason ord_status cxl_rej_response_to }
    MassCancelReport { cl_ord_id ingress_time session_id total_affected_orders sent_delta }
    ReferencePrice { bid_px offer_px ingress_time security_id channel_id }
    FeedStatus { ingress_time channel_id feed_state }
    KillCommand { command_id id kill_scope kill_action ; ascii operator_name ascii reason }
    SegmentStart { segment_number first_record utc_time monotonic_time ; bytes config_digest }
    Decision { order_id cl_ord_id reference_px limit_value value session_id deny_reason decision_kind }
});
