//! Turns a captured ITCH 5.0 feed into orders at the simulated exchange.
//!
//! An added order becomes a new order, a cancel a smaller one, a delete a cancel, a replace a replace, a hidden trade a
//! print. An execution becomes an order of the other side that takes as much at that price, after which the captured
//! order is cut down to what the capture left of it. Where nobody else trades, the exchange's book is the captured one
//! after every step. Where strategies trade too, captured orders are never larger than in the capture, and steps about
//! orders that a strategy took are passed over.

use std::collections::BTreeMap;
use std::fmt;

use crate::sim::background::{BACKGROUND, Schedule};
use crate::sim::matching::Exchange;
use crate::sim::order::{EventSink, NewOrder, Replace};
use crate::types::{ClOrdId, InstrumentId, Nanos, OrdType, Price, Side, Symbol, TimeInForce};

/// Identifiers of orders that stand for captured takers; reference numbers of captures are far below.
const TAKER_BIT: u64 = 1 << 63;

/// Why a captured message cannot be part of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// The message or packet is shorter than its type or header says.
    Truncated,
    /// A message names an order that is not there.
    UnknownReference(u64),
    /// A message adds an order that is there, or takes more from one than it has.
    Contradiction(u64),
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScriptError::Truncated => f.write_str("a captured message is cut short"),
            ScriptError::UnknownReference(reference) => {
                write!(f, "captured order {reference} was never added")
            }
            ScriptError::Contradiction(reference) => {
                write!(f, "captured order {reference} is added twice or taken from too much")
            }
        }
    }
}

impl std::error::Error for ScriptError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Add { reference: u64, side: Side, qty: u32, price: Price },
    Execute { reference: u64, side: Side, qty: u32, price: Price, leaves: u32 },
    Shrink { reference: u64, leaves: u32 },
    Replace { old: u64, new: u64, qty: u32, price: Price },
    Print { qty: u32, price: Price },
}

#[derive(Clone, Copy, Debug)]
struct Step {
    stamp_ns: u64,
    locate: u16,
    action: Action,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    side: Side,
    price: Price,
    leaves: u32,
}

/// A capture as steps, checked to be consistent in itself. Built before the start; allocates.
#[derive(Debug, Default)]
pub struct CaptureScript {
    steps: Vec<Step>,
    symbols: BTreeMap<u16, Symbol>,
    live: BTreeMap<u64, Live>,
}

impl CaptureScript {
    /// An empty script.
    pub fn new() -> CaptureScript {
        CaptureScript::default()
    }

    /// A script of a BinaryFILE capture: messages, each behind its length in two bytes, big-endian.
    ///
    /// # Errors
    /// A [`ScriptError`].
    pub fn from_binary_file(bytes: &[u8]) -> Result<CaptureScript, ScriptError> {
        let mut script = CaptureScript::new();
        script.push_blocks(bytes)?;
        Ok(script)
    }

    /// Adds the messages of a MoldUDP64 packet. Heartbeats and the end of the session hold none.
    ///
    /// # Errors
    /// A [`ScriptError`]; the messages before it were added.
    pub fn push_packet(&mut self, packet: &[u8]) -> Result<(), ScriptError> {
        let blocks = packet.get(20..).ok_or(ScriptError::Truncated)?;
        self.push_blocks(blocks)
    }

    /// Adds one ITCH message, if it is of a type that concerns books or symbols.
    ///
    /// # Errors
    /// A [`ScriptError`]; nothing was added.
    pub fn push_message(&mut self, message: &[u8]) -> Result<(), ScriptError> {
        let locate = u16::from_be_bytes(field(message, 1)?);
        let [s0, s1, s2, s3, s4, s5] = field(message, 5)?;
        let stamp_ns = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
        let action = match message.first() {
            Some(b'R') => {
                self.symbols.insert(locate, Symbol::from_wire(field(message, 11)?));
                None
            }
            Some(b'A' | b'F') => Some(self.add(locate, message)?),
            Some(b'E' | b'C') => Some(self.execute(message)?),
            Some(b'X') => {
                let (reference, qty) = (long(message, 11)?, int(message, 19)?);
                let leaves = self.take_from(reference, qty)?.leaves;
                Some(Action::Shrink { reference, leaves })
            }
            Some(b'D') => {
                let reference = long(message, 11)?;
                self.live.remove(&reference).ok_or(ScriptError::UnknownReference(reference))?;
                Some(Action::Shrink { reference, leaves: 0 })
            }
            Some(b'U') => Some(self.replace(message)?),
            Some(b'P') => {
                let price = Price::from_itch4(int(message, 32)?);
                Some(Action::Print { qty: int(message, 20)?, price })
            }
            Some(_) | None => None,
        };
        self.steps.extend(action.map(|action| Step { stamp_ns, locate, action }));
        Ok(())
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many of the first steps are stamped before `stamp_ns`, nanoseconds since midnight.
    pub fn steps_before(&self, stamp_ns: u64) -> usize {
        self.steps.iter().take_while(|step| step.stamp_ns < stamp_ns).count()
    }

    /// The symbols in the capture, by stock locate.
    pub fn symbols(&self) -> impl Iterator<Item = (u16, Symbol)> {
        self.symbols.iter().map(|(&locate, &symbol)| (locate, symbol))
    }

    /// Orders left at the end.
    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    fn push_blocks(&mut self, mut bytes: &[u8]) -> Result<(), ScriptError> {
        while !bytes.is_empty() {
            let length = usize::from(u16::from_be_bytes(field(bytes, 0)?));
            let message = bytes.get(2..2 + length).ok_or(ScriptError::Truncated)?;
            self.push_message(message)?;
            bytes = &bytes[2 + length..];
        }
        Ok(())
    }

    fn add(&mut self, locate: u16, message: &[u8]) -> Result<Action, ScriptError> {
        let reference = long(message, 11)?;
        let [side] = field(message, 19)?;
        let side = if side == b'B' { Side::Buy } else { Side::Sell };
        let (qty, price) = (int(message, 20)?, Price::from_itch4(int(message, 32)?));
        if reference >= TAKER_BIT || qty == 0 || self.live.contains_key(&reference) {
            return Err(ScriptError::Contradiction(reference));
        }
        self.symbols.insert(locate, Symbol::from_wire(field(message, 24)?));
        self.live.insert(reference, Live { side, price, leaves: qty });
        Ok(Action::Add { reference, side, qty, price })
    }

    fn execute(&mut self, message: &[u8]) -> Result<Action, ScriptError> {
        let (reference, qty) = (long(message, 11)?, int(message, 19)?);
        let Live { side, price, leaves } = self.take_from(reference, qty)?;
        Ok(Action::Execute { reference, side, qty, price, leaves })
    }

    fn replace(&mut self, message: &[u8]) -> Result<Action, ScriptError> {
        let (old, new) = (long(message, 11)?, long(message, 19)?);
        let (qty, price) = (int(message, 27)?, Price::from_itch4(int(message, 31)?));
        if new >= TAKER_BIT || qty == 0 || (old != new && self.live.contains_key(&new)) {
            return Err(ScriptError::Contradiction(new));
        }
        let Live { side, .. } = self.live.remove(&old).ok_or(ScriptError::UnknownReference(old))?;
        self.live.insert(new, Live { side, price, leaves: qty });
        Ok(Action::Replace { old, new, qty, price })
    }

    fn take_from(&mut self, reference: u64, qty: u32) -> Result<Live, ScriptError> {
        let live = self.live.get_mut(&reference).ok_or(ScriptError::UnknownReference(reference))?;
        live.leaves = live
            .leaves
            .checked_sub(qty)
            .filter(|_| qty > 0)
            .ok_or(ScriptError::Contradiction(reference))?;
        let live = *live;
        if live.leaves == 0 {
            self.live.remove(&reference);
        }
        Ok(live)
    }
}

fn field<const N: usize>(message: &[u8], at: usize) -> Result<[u8; N], ScriptError> {
    message.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(ScriptError::Truncated)
}

fn int(message: &[u8], at: usize) -> Result<u32, ScriptError> {
    field(message, at).map(u32::from_be_bytes)
}

fn long(message: &[u8], at: usize) -> Result<u64, ScriptError> {
    field(message, at).map(u64::from_be_bytes)
}

/// A script on its way into an exchange. Allocates nothing after it is made.
#[derive(Debug)]
pub struct CaptureFlow {
    steps: Vec<Step>,
    security_of: Vec<Option<InstrumentId>>,
    schedule: Schedule,
    started: Option<Nanos>,
    done: usize,
    taker_count: u64,
    passed_over_count: u64,
}

impl CaptureFlow {
    /// A flow into `exchange`, whose instruments are matched by symbol; steps in others are passed over.
    pub fn new(script: CaptureScript, schedule: Schedule, exchange: &Exchange) -> CaptureFlow {
        let mut security_of = vec![None; usize::from(u16::MAX) + 1];
        for (locate, symbol) in script.symbols() {
            security_of[usize::from(locate)] =
                exchange.instruments().find(|i| i.symbol == symbol).map(|i| i.security_id);
        }
        CaptureFlow {
            steps: script.steps,
            security_of,
            schedule,
            started: None,
            done: 0,
            taker_count: 0,
            passed_over_count: 0,
        }
    }

    /// Takes at most `limit` of the steps that are due; returns how many.
    pub fn poll(
        &mut self,
        now: Nanos,
        limit: usize,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) -> usize {
        let total = self.steps.len();
        if self.done == total {
            return 0;
        }
        let elapsed = now.since(*self.started.get_or_insert(now));
        let count = u64::try_from(total).expect("a count");
        let due = usize::try_from(self.schedule.due(count, elapsed)).expect("at most the count");
        let end = due.min(self.done + limit);
        let before = self.done;
        while self.done < end {
            let step = self.steps[self.done];
            self.done += 1;
            if !self.take_step(&step, exchange, sink) {
                self.passed_over_count += 1;
            }
        }
        end - before
    }

    /// Whether no step is left.
    pub fn is_finished(&self) -> bool {
        self.done == self.steps.len()
    }

    /// Steps taken so far.
    pub fn done_count(&self) -> usize {
        self.done
    }

    /// Steps passed over or refused: their order had traded with somebody else, or the symbol is not traded here.
    pub fn passed_over_count(&self) -> u64 {
        self.passed_over_count
    }

    fn take_step(
        &mut self,
        step: &Step,
        exchange: &mut Exchange,
        sink: &mut impl EventSink,
    ) -> bool {
        let Some(security_id) = self.security_of[usize::from(step.locate)] else { return false };
        let order = NewOrder {
            owner: BACKGROUND,
            client_id: ClOrdId(0),
            tag: u32::MAX,
            security_id,
            side: Side::Buy,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
            price: None,
            qty: 0,
        };
        match step.action {
            Action::Add { reference, side, qty, price } => {
                let client_id = ClOrdId(reference);
                let new = NewOrder { client_id, side, price: Some(price), qty, ..order };
                exchange.submit(&new, sink).is_ok()
            }
            Action::Execute { reference, side, qty, price, leaves } => {
                self.taker_count += 1;
                let taker = NewOrder {
                    client_id: ClOrdId(TAKER_BIT | self.taker_count),
                    side: side.opposite(),
                    time_in_force: TimeInForce::ImmediateOrCancel,
                    price: Some(price),
                    qty,
                    ..order
                };
                let taken = exchange.submit(&taker, sink).is_ok();
                shrink(reference, leaves, exchange, sink);
                taken
            }
            Action::Shrink { reference, leaves } => shrink(reference, leaves, exchange, sink),
            Action::Replace { old, new, qty, price } => {
                let Some(order) = exchange.find(BACKGROUND, ClOrdId(old)) else { return false };
                let request = Replace {
                    owner: BACKGROUND,
                    client_id: ClOrdId(new),
                    orig_client_id: ClOrdId(old),
                    price,
                    qty: order.cum_qty.saturating_add(qty),
                };
                !order.status.is_final() && exchange.replace(&request, sink).is_ok()
            }
            Action::Print { qty, price } => exchange.print(security_id, price, qty, sink),
        }
    }
}

/// Cuts an order down to `leaves`, if it is open and has more. `false` where it has ended.
fn shrink(reference: u64, leaves: u32, exchange: &mut Exchange, sink: &mut impl EventSink) -> bool {
    let client_id = ClOrdId(reference);
    let Some(order) = exchange.find(BACKGROUND, client_id) else { return false };
    if order.status.is_final() {
        return false;
    }
    let Some(price) = order.price.filter(|_| leaves > 0) else {
        return exchange.cancel(BACKGROUND, client_id, client_id, sink).is_ok();
    };
    if order.leaves_qty <= leaves {
        return true;
    }
    let qty = order.cum_qty + leaves;
    let (owner, orig_client_id) = (BACKGROUND, client_id);
    exchange.replace(&Replace { owner, client_id, orig_client_id, price, qty }, sink).is_ok()
}
