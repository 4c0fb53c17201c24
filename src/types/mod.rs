//! The words of the trade as types: price, quantity, identifiers, time.
//!
//! Two integers that could be swapped are two types here. This module imports nothing of the crate, does no input or
//! output, and holds no state.

mod control;
mod deny;
mod id;
mod market;
mod price;
mod time;
mod trade;
mod wire_enum;

pub use control::{
    EstablishmentRejectCode, FeedState, FlowType, KillAction, KillScope, LinkState, MassScope,
    NegotiationRejectCode, RequestKind, RetransmitRejectCode, TerminationCode,
};
pub use deny::DenyReason;
pub use id::{
    AccountId, ChannelId, ClOrdId, ExecId, InstrumentId, OrderId, SeqNum, SessionId, Symbol,
    VenueId,
};
pub use market::{
    BookState, CrossType, ImbalanceSide, SessionPhase, ShortSaleRestriction, UpdateAction,
};
pub use price::{ParsePriceError, Price, PriceOrNone, Qty};
pub use time::{Nanos, UtcNanos};
pub use trade::{CancelRejectTo, ExecType, OrdStatus, OrdType, Side, TimeInForce, TradingStatus};
