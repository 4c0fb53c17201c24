//! Conversions between our types and what the generated codecs store.

use crate::codec::message::DecodeError;
use crate::types::{
    AccountId, BookState, CancelRejectTo, ChannelId, ClOrdId, CrossType, EstablishmentRejectCode,
    ExecId, ExecType, FeedState, FlowType, ImbalanceSide, InstrumentId, KillAction, KillScope,
    LinkState, MassScope, Nanos, NegotiationRejectCode, OrdStatus, OrdType, OrderId, Price,
    RequestKind, RetransmitRejectCode, SeqNum, SessionId, SessionPhase, ShortSaleRestriction, Side,
    TerminationCode, TimeInForce, TradingStatus, UpdateAction, UtcNanos, VenueId,
};

/// A value as the generated encoder takes it.
pub(super) trait ToWire<Raw> {
    fn to_raw(self) -> Raw;
}

/// A value from what the generated decoder gives.
pub(super) trait FromWire<Raw>: Sized {
    fn from_raw(raw: Raw) -> Result<Self, DecodeError>;
}

macro_rules! wire_ids {
    ($($name:ident($raw:ty)),+ $(,)?) => {$(
        impl ToWire<$raw> for $name {
            #[inline]
            fn to_raw(self) -> $raw {
                self.0
            }
        }
        impl FromWire<$raw> for $name {
            #[inline]
            fn from_raw(raw: $raw) -> Result<$name, DecodeError> {
                Ok($name(raw))
            }
        }
    )+};
}

wire_ids!(
    SessionId(u32),
    AccountId(u32),
    InstrumentId(u32),
    VenueId(u32),
    ChannelId(u32),
    SeqNum(u32),
    ClOrdId(u64),
    OrderId(u64),
    ExecId(u64),
    Nanos(u64),
    UtcNanos(u64),
);

macro_rules! wire_plain {
    ($($raw:ty),+) => {$(
        impl ToWire<$raw> for $raw {
            #[inline]
            fn to_raw(self) -> $raw {
                self
            }
        }
        impl FromWire<$raw> for $raw {
            #[inline]
            fn from_raw(raw: $raw) -> Result<$raw, DecodeError> {
                Ok(raw)
            }
        }
    )+};
}

wire_plain!(u8, u16, u32, u64);

impl ToWire<i64> for Price {
    #[inline]
    fn to_raw(self) -> i64 {
        self.units()
    }
}

impl FromWire<i64> for Price {
    #[inline]
    fn from_raw(raw: i64) -> Result<Price, DecodeError> {
        Ok(Price::from_units(raw))
    }
}

impl ToWire<i64> for Option<Price> {
    #[inline]
    fn to_raw(self) -> i64 {
        self.map_or(i64::MAX, Price::units)
    }
}

impl FromWire<Option<i64>> for Option<Price> {
    #[inline]
    fn from_raw(raw: Option<i64>) -> Result<Option<Price>, DecodeError> {
        Ok(raw.map(Price::from_units))
    }
}

macro_rules! wire_enums {
    ($($schema:ident :: $module:ident :: $raw:ident => $name:ident),+ $(,)?) => {$(
        impl ToWire<$schema::$module::$raw> for $name {
            #[inline]
            fn to_raw(self) -> $schema::$module::$raw {
                $schema::$module::$raw::from(self.wire())
            }
        }
        impl FromWire<$schema::$module::$raw> for $name {
            #[inline]
            fn from_raw(raw: $schema::$module::$raw) -> Result<$name, DecodeError> {
                $name::from_wire(u8::from(raw)).ok_or(DecodeError::BadEnum)
            }
        }
    )+};
}

wire_enums!(
    order_entry::side::Side => Side,
    order_entry::ord_type::OrdType => OrdType,
    order_entry::time_in_force::TimeInForce => TimeInForce,
    order_entry::exec_type::ExecType => ExecType,
    order_entry::ord_status::OrdStatus => OrdStatus,
    order_entry::cxl_rej_response_to::CxlRejResponseTo => CancelRejectTo,
    order_entry::flow_type::FlowType => FlowType,
    order_entry::negotiation_reject_code::NegotiationRejectCode => NegotiationRejectCode,
    order_entry::establishment_reject_code::EstablishmentRejectCode => EstablishmentRejectCode,
    order_entry::retransmit_reject_code::RetransmitRejectCode => RetransmitRejectCode,
    order_entry::termination_code::TerminationCode => TerminationCode,
    order_entry::mass_action_scope::MassActionScope => MassScope,
    market_data::side::Side => Side,
    market_data::channel_state::ChannelState => FeedState,
    market_data::security_trading_status::SecurityTradingStatus => TradingStatus,
    market_data::md_update_action::MDUpdateAction => UpdateAction,
    market_data::book_state::BookState => BookState,
    market_data::session_phase::SessionPhase => SessionPhase,
    market_data::short_sale_restriction::ShortSaleRestriction => ShortSaleRestriction,
    market_data::imbalance_side::ImbalanceSide => ImbalanceSide,
    market_data::cross_type::CrossType => CrossType,
    journal::side::Side => Side,
    journal::ord_type::OrdType => OrdType,
    journal::time_in_force::TimeInForce => TimeInForce,
    journal::exec_type::ExecType => ExecType,
    journal::ord_status::OrdStatus => OrdStatus,
    journal::cxl_rej_response_to::CxlRejResponseTo => CancelRejectTo,
    journal::link_state::LinkState => LinkState,
    journal::feed_state::FeedState => FeedState,
    journal::kill_scope::KillScope => KillScope,
    journal::kill_action::KillAction => KillAction,
    journal::mass_scope::MassScope => MassScope,
    journal::decision_kind::DecisionKind => RequestKind,
);

// A side of a book: the word for it is another here than in orders.
impl ToWire<market_data::md_entry_type::MDEntryType> for Side {
    #[inline]
    fn to_raw(self) -> market_data::md_entry_type::MDEntryType {
        match self {
            Side::Buy => market_data::md_entry_type::MDEntryType::Bid,
            Side::Sell => market_data::md_entry_type::MDEntryType::Offer,
        }
    }
}

impl FromWire<market_data::md_entry_type::MDEntryType> for Side {
    #[inline]
    fn from_raw(raw: market_data::md_entry_type::MDEntryType) -> Result<Side, DecodeError> {
        match raw {
            market_data::md_entry_type::MDEntryType::Bid => Ok(Side::Buy),
            market_data::md_entry_type::MDEntryType::Offer => Ok(Side::Sell),
            market_data::md_entry_type::MDEntryType::NullVal => Err(DecodeError::BadEnum),
        }
    }
}

impl ToWire<market_data::yes_no::YesNo> for bool {
    #[inline]
    fn to_raw(self) -> market_data::yes_no::YesNo {
        if self { market_data::yes_no::YesNo::Yes } else { market_data::yes_no::YesNo::No }
    }
}

impl FromWire<market_data::yes_no::YesNo> for bool {
    #[inline]
    fn from_raw(raw: market_data::yes_no::YesNo) -> Result<bool, DecodeError> {
        match raw {
            market_data::yes_no::YesNo::No => Ok(false),
            market_data::yes_no::YesNo::Yes => Ok(true),
            market_data::yes_no::YesNo::NullVal => Err(DecodeError::BadEnum),
        }
    }
}

impl ToWire<i64> for Option<i64> {
    #[inline]
    fn to_raw(self) -> i64 {
        self.unwrap_or(i64::MAX)
    }
}

impl FromWire<Option<i64>> for Option<i64> {
    #[inline]
    fn from_raw(raw: Option<i64>) -> Result<Option<i64>, DecodeError> {
        Ok(raw)
    }
}
