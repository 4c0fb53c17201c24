//! A trading day as Nasdaq TotalView-ITCH 5.0 messages, made from a seed: the same seed gives the same day everywhere.
//!
//! ```text
//! 03:00   S O   R H Y L of every security, V         fixed, by the number of securities
//! 04:00   S S   the mix, while the books fill        as many messages as orders may be open at once
//! 09:30   S Q   Q of every security
//!               the mix
//! 16:00   W   S M   Q of every security
//! 20:00   S E   S C
//! ```
//!
//! The mix is that of a Nasdaq day, in per cent: A 44, D 42, U 8, E 2, X 1, I 1, F 0.6, P 0.5, C 0.2, and all the others
//! now and then. Books are never crossed, every message fits what was sent before it, and reference and match numbers are
//! unique. It streams: memory is taken when the day is made and depends on securities and open orders alone.
//!
//! What is in message `n` does not depend on how many follow, so a shorter day is the beginning of a longer one, except
//! for two things: the times, which spread any number of messages over the same hours, and the closing messages.

mod clock;
mod market;
mod wire;

use std::fmt;

use crate::sim::day::clock::DayClock;
use crate::sim::day::market::Market;
use crate::sim::day::wire::{Head, Writer, is_nasdaq};
use crate::types::Side;

pub use crate::sim::day::wire::BUFFER_BYTES;

/// The most securities a day can have: as many as a stock locate can tell apart.
pub const SYMBOLS_MAX: u16 = u16::MAX;
/// The most orders that can be open at once: 2^27, 4 GiB of them.
pub const ORDERS_MAX: u32 = 1 << 27;
/// The most messages of a day: as many nanoseconds as there are between the opening and the closing bell.
pub const MESSAGES_MAX: u64 = 23_400_000_000_000;

/// What day is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayConfig {
    /// Messages, from the first to the last; at least [`DayConfig::messages_min`].
    pub messages: u64,
    /// Securities, at least one.
    pub symbols: u16,
    /// Orders open at once: their number levels off some per cent below this and never exceeds it. 1 to [`ORDERS_MAX`].
    pub orders: u32,
    /// What all is drawn from.
    pub seed: u64,
}

impl DayConfig {
    /// Orders open at once on a Nasdaq day with so many securities: 146,000 for 8,000.
    pub fn orders_of(symbols: u16) -> u32 {
        (u32::from(symbols) * 73).div_ceil(4)
    }

    /// The fewest messages a day of so many securities has: those about all of them, and the day's milestones.
    pub fn messages_min(symbols: u16) -> u64 {
        spin(symbols) + bell(symbols) + closing(symbols)
    }

    fn check(&self) -> Result<(), DayError> {
        let least = DayConfig::messages_min(self.symbols);
        if self.symbols == 0 {
            Err(DayError::NoSymbols)
        } else if !(1..=ORDERS_MAX).contains(&self.orders) {
            Err(DayError::Orders)
        } else if self.messages < least {
            Err(DayError::TooFewMessages { least })
        } else if self.messages > MESSAGES_MAX {
            Err(DayError::TooManyMessages)
        } else {
            Ok(())
        }
    }
}

/// Messages before orders are taken: `S`, `R H Y L` of every security, `V`, `S`.
fn spin(symbols: u16) -> u64 {
    4 * u64::from(symbols) + 3
}

/// Messages when the market opens: `S`, and `Q` of every security.
fn bell(symbols: u16) -> u64 {
    u64::from(symbols) + 1
}

/// Messages when it closes: `W`, `S`, `Q` of every security, `S`, `S`.
fn closing(symbols: u16) -> u64 {
    u64::from(symbols) + 4
}

/// Why there is no such day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayError {
    /// No securities.
    NoSymbols,
    /// No orders, or more than [`ORDERS_MAX`].
    Orders,
    /// Fewer messages than its securities alone need.
    TooFewMessages {
        /// So many are needed.
        least: u64,
    },
    /// More than [`MESSAGES_MAX`].
    TooManyMessages,
}

impl fmt::Display for DayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DayError::NoSymbols => f.write_str("a day has at least one symbol"),
            DayError::Orders => write!(f, "1 to {ORDERS_MAX} orders can be open at once"),
            DayError::TooFewMessages { least } => {
                write!(f, "a day of so many symbols has at least {least} messages")
            }
            DayError::TooManyMessages => {
                write!(f, "a day has at most {MESSAGES_MAX} messages")
            }
        }
    }
}

impl std::error::Error for DayError {}

/// The parts of the day, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Spin,
    /// Before the opening bell.
    Early,
    Bell,
    Open,
    Closing,
}

/// A day being made.
#[derive(Debug)]
pub struct Day {
    config: DayConfig,
    market: Market,
    clock: DayClock,
    part: Part,
    /// Messages made, in all and in this part.
    made: u64,
    made_of_part: u64,
    match_number: u64,
    /// How often a rare message was due.
    rare_count: u64,
    /// Trades that can be broken: stock locate and match number.
    trades: [(u16, u64); TRADES_KEPT],
    /// The security that is paused, and how far its pause is; one at a time.
    pause: Option<(u16, u8)>,
    /// The security that is halted at this market; one at a time.
    halt: Option<u16>,
}

/// Of so many of the last trades one may be broken.
const TRADES_KEPT: usize = 64;

/// Market participants (sections 1.2.4 and 1.3.2): letters of nobody in particular.
const PARTICIPANTS: [[u8; 4]; 8] =
    [*b"AAAA", *b"BBBB", *b"CCCC", *b"DDDD", *b"EEEE", *b"FFFF", *b"GGGG", *b"HHHH"];

/// What the dice of the mix are thrown for: the sum of all shares, in hundredths of a per cent.
const MIX: u32 = 10_000;

impl Day {
    /// The day of `config`, before its first message. All memory is allocated here: about 32 bytes an order and 2 KiB a
    /// security.
    ///
    /// # Errors
    /// A [`DayError`] where there is no such day.
    pub fn new(config: DayConfig) -> Result<Day, DayError> {
        config.check()?;
        Ok(Day {
            market: Market::new(config.symbols, config.orders, config.seed),
            clock: DayClock::new(),
            part: Part::Spin,
            made: 0,
            made_of_part: 0,
            match_number: 0,
            rare_count: 0,
            trades: [(0, 0); TRADES_KEPT],
            pause: None,
            halt: None,
            config,
        })
    }

    /// Messages made so far.
    #[inline]
    pub const fn made(&self) -> u64 {
        self.made
    }

    /// Orders open now.
    #[inline]
    pub fn order_count(&self) -> u32 {
        self.market.order_count()
    }

    /// Time of the last message, in nanoseconds since midnight.
    #[inline]
    pub const fn time_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Writes the next message to the start of `out` and returns its size in bytes, 12 to 50; `None`: the day is over. Some
    /// tens of nanoseconds; allocates nothing.
    #[inline]
    pub fn next_message(&mut self, out: &mut [u8; BUFFER_BYTES]) -> Option<usize> {
        while self.made_of_part == self.part_length() {
            self.part = match self.part {
                Part::Spin => Part::Early,
                Part::Early => Part::Bell,
                Part::Bell => Part::Open,
                Part::Open => Part::Closing,
                Part::Closing => return None,
            };
            self.made_of_part = 0;
        }
        let length = match self.part {
            Part::Spin => self.spin(out),
            Part::Bell => self.bell(out),
            Part::Closing => self.closing(out),
            Part::Early => {
                self.clock.early(self.made_of_part, self.part_length(), &mut self.market.random);
                self.mixed(out)
            }
            Part::Open => {
                self.clock.open(self.made_of_part, self.part_length(), &mut self.market.random);
                self.mixed(out)
            }
        };
        self.made += 1;
        self.made_of_part += 1;
        Some(length)
    }

    #[inline]
    fn part_length(&self) -> u64 {
        let DayConfig { messages, symbols, orders, .. } = self.config;
        // The bell rings even on a day that is over before the books are full.
        let mixed = || messages - DayConfig::messages_min(symbols);
        let early = || u64::from(orders).min(mixed());
        match self.part {
            Part::Spin => spin(symbols),
            Part::Early => early(),
            Part::Bell => bell(symbols),
            Part::Open => mixed() - early(),
            Part::Closing => closing(symbols),
        }
    }

    #[inline]
    fn writer<'a>(&self, locate: u16, out: &'a mut [u8; BUFFER_BYTES]) -> Writer<'a> {
        let head = Head { locate, tracking: self.clock.tracking(), time_ns: self.clock.now_ns() };
        Writer { head, out }
    }

    /// The place of this message in a part that begins with one message and goes on with `each` for every security.
    fn turn(&self, each: u64) -> Option<(u16, u64)> {
        let place = self.made_of_part.checked_sub(1)?;
        let symbols = u64::from(self.config.symbols);
        let locate = u16::try_from(place % symbols + 1).ok()?;
        (place < each * symbols).then_some((locate, place / symbols))
    }

    fn spin(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        match self.turn(4) {
            None if self.made == 0 => {
                self.clock.at(clock::START_OF_MESSAGES);
                self.writer(0, out).system(b'O')
            }
            None if self.made + 1 == spin(self.config.symbols) => {
                self.clock.at(clock::START_OF_SYSTEM_HOURS);
                self.writer(0, out).system(b'S')
            }
            None => {
                self.clock.step(&mut self.market.random);
                // 7, 13 and 20 % below an index of 4,000 points (units of 1e-8).
                let levels = [3_720, 3_480, 3_200].map(|points: u64| points * 100_000_000);
                self.writer(0, out).decline_levels(levels)
            }
            Some((locate, round)) => {
                if self.made == 1 {
                    self.clock.at(clock::SPIN);
                }
                self.clock.step(&mut self.market.random);
                self.describe(locate, round, out)
            }
        }
    }

    /// What the spin tells of a security in its four rounds.
    fn describe(&mut self, locate: u16, round: u64, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let stock = *self.market.stock(locate);
        let participant = self.participant();
        let mut writer = self.writer(locate, out);
        match round {
            // Round lots are smaller from 250 dollars on (Regulation NMS, rule 600).
            0 if stock.middle() > 2_500_000 => writer.directory(stock.symbol, stock.market, 40),
            0 => writer.directory(stock.symbol, stock.market, 100),
            1 => writer.trading_action(stock.symbol, b'T', *b"    "),
            2 => writer.reg_sho(stock.symbol, b'0'),
            _ => writer.participant(participant, stock.symbol, true, b'A'),
        }
    }

    fn bell(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        match self.turn(1) {
            None => {
                self.clock.at(clock::START_OF_MARKET_HOURS);
                self.writer(0, out).system(b'Q')
            }
            Some((locate, _)) => {
                self.clock.step(&mut self.market.random);
                self.cross(locate, b'O', out)
            }
        }
    }

    fn closing(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let event = match self.made_of_part {
            0 => {
                // So late in the day it halts nothing.
                self.clock.at(clock::END_OF_MARKET_HOURS - 1);
                return self.writer(0, out).level_breached(b'1');
            }
            1 => (clock::END_OF_MARKET_HOURS, b'M'),
            n if n + 2 == closing(self.config.symbols) => (clock::END_OF_SYSTEM_HOURS, b'E'),
            n if n + 1 == closing(self.config.symbols) => (clock::END_OF_MESSAGES, b'C'),
            n => {
                self.clock.step(&mut self.market.random);
                let locate = u16::try_from(n - 1).expect("no more than there are securities");
                return self.cross(locate, b'C', out);
            }
        };
        self.clock.at(event.0);
        self.writer(0, out).system(event.1)
    }

    /// A message of the mix.
    #[inline]
    fn mixed(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        match self.market.random.below(MIX) {
            0..8_650 => {
                if self.market.wants_order() {
                    self.add(false, out)
                } else {
                    self.delete(out)
                }
            }
            8_650..9_450 => self.replace(out),
            9_450..9_650 => self.execute(false, out),
            9_650..9_750 => self.cancel(out),
            9_750..9_850 => self.imbalance(out),
            9_850..9_910 => self.add(true, out),
            9_910..9_960 => self.trade(out),
            9_960..9_980 => self.execute(true, out),
            _ => self.rare(out),
        }
    }

    #[inline]
    fn add(&mut self, is_attributed: bool, out: &mut [u8; BUFFER_BYTES]) -> usize {
        if !self.market.has_room() {
            return self.delete(out);
        }
        let locate = self.market.active();
        let (order, price) = self.market.enter(locate);
        let symbol = self.market.stock(locate).symbol;
        if !is_attributed {
            return self.writer(locate, out).add(
                order.reference,
                order.side,
                order.shares,
                symbol,
                price,
            );
        }
        let participant = self.participant();
        self.writer(locate, out).add_attributed(
            order.reference,
            order.side,
            order.shares,
            symbol,
            price,
            participant,
        )
    }

    #[inline]
    fn delete(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let Some(place) = self.market.pick_leaving() else { return self.add(false, out) };
        let order = self.market.remove(place);
        self.writer(order.locate, out).delete(order.reference)
    }

    #[inline]
    fn replace(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let Some(place) = self.market.pick() else { return self.add(false, out) };
        let old = self.market.order(place).reference;
        let (new, price) = self.market.replace(place);
        self.writer(new.locate, out).replace(old, new.reference, new.shares, price)
    }

    /// Takes a part of an order away.
    fn cancel(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let divisible = |market: &mut Market| {
            let place = market.pick()?;
            (market.order(place).shares > 1).then_some(place)
        };
        let Some(place) = (0..8).find_map(|_| divisible(&mut self.market)) else {
            return self.delete(out);
        };
        let shares = self.part_of(place);
        let order = *self.market.order(place);
        self.market.reduce(place, shares);
        self.writer(order.locate, out).cancel(order.reference, shares)
    }

    /// Some of the shares of an order that has more than one: round lots if it has several.
    fn part_of(&mut self, place: u32) -> u32 {
        let shares = self.market.order(place).shares;
        let lots = (shares - 1) / 100;
        match lots {
            0 => 1 + self.market.random.below(shares - 1),
            lots => 100 * (1 + self.market.random.below(lots)),
        }
    }

    /// The first order at the best price of some book trades: at its price, or, in a cross or against what is not shown,
    /// at another.
    fn execute(&mut self, is_elsewhere: bool, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let Some(place) = (0..8).find_map(|_| self.resting()) else {
            return self.delete(out);
        };
        let order = *self.market.order(place);
        let price = self.market.price(place);
        let is_whole = order.shares == 1 || self.market.random.below(4) > 0;
        let shares = if is_whole { order.shares } else { self.part_of(place) };
        if is_whole {
            self.market.remove(place);
        } else {
            self.market.reduce(place, shares);
        }
        let number = self.traded(order.locate);
        if !is_elsewhere {
            return self.writer(order.locate, out).executed(order.reference, shares, number);
        }
        let is_printable = self.market.random.below(2) == 0;
        let better = 100 * (1 + self.market.random.below(2));
        let price = match order.side {
            Side::Buy => price - better,
            Side::Sell => price + better,
        };
        let mut writer = self.writer(order.locate, out);
        writer.executed_with_price(order.reference, shares, number, is_printable, price)
    }

    /// The first order at the touch of some security that trades: of the side that retreats, if one does.
    #[inline]
    fn resting(&mut self) -> Option<u32> {
        let locate = self.market.active();
        let either = if self.market.random.below(2) == 0 { Side::Buy } else { Side::Sell };
        if self.market.stock(locate).is_paused {
            return None;
        }
        let side = self.market.retreating(locate).unwrap_or(either);
        self.market.touch(locate, side)
    }

    fn trade(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let locate = self.market.active();
        let stock = *self.market.stock(locate);
        if stock.is_paused {
            return self.imbalance_of(locate, out);
        }
        let shares = self.market.size();
        let number = self.traded(locate);
        self.writer(locate, out).trade(shares, stock.symbol, stock.middle(), number)
    }

    fn imbalance(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let locate = self.market.active();
        self.imbalance_of(locate, out)
    }

    /// Before the bell for the opening cross, after it for the closing one, unless the security is paused.
    fn imbalance_of(&mut self, locate: u16, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let stock = *self.market.stock(locate);
        let paired = u64::from(self.market.size()) * 10;
        let (imbalance, direction) = match self.market.random.below(4) {
            0 => (0, b'N'),
            1 => (u64::from(self.market.size()), b'B'),
            _ => (u64::from(self.market.size()), b'S'),
        };
        let kind = match self.part {
            _ if stock.is_paused => b'H',
            Part::Spin | Part::Early => b'O',
            Part::Bell | Part::Open | Part::Closing => b'C',
        };
        let price = stock.middle();
        let mut writer = self.writer(locate, out);
        writer.imbalance(paired, imbalance, direction, stock.symbol, price, kind)
    }

    fn cross(&mut self, locate: u16, kind: u8, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let stock = *self.market.stock(locate);
        let shares = u64::from(self.market.size() - 1) * 10;
        self.match_number += 1;
        let number = self.match_number;
        self.writer(locate, out).cross(shares, stock.symbol, stock.middle(), number, kind)
    }

    fn participant(&mut self) -> [u8; 4] {
        let place = self.market.random.below(8);
        PARTICIPANTS[usize::try_from(place).expect("one of eight")]
    }

    /// What is too rare for the dice comes in turn, so that it comes on every day of some length.
    fn rare(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let turn = self.rare_count;
        self.rare_count += 1;
        let locate = self.market.any();
        let stock = *self.market.stock(locate);
        let dice = usize::try_from(self.market.random.below(4)).expect("one of four");
        let participant = self.participant();
        match turn % 16 {
            0 | 3 | 10 => self.writer(locate, out).retail_interest(stock.symbol, b"BSAN"[dice]),
            1 | 12 => {
                let state = b"AEWA"[dice];
                let is_primary = dice == 0;
                self.writer(locate, out).participant(participant, stock.symbol, is_primary, state)
            }
            2 | 14 => self.break_trade(out),
            4 | 6 | 8 | 15 => self.pause(out),
            5 | 13 => self.halt(out),
            7 => self.writer(locate, out).reg_sho(stock.symbol, b"0112"[dice]),
            9 => {
                // Though it names a security, its stock locate is 0.
                let mut writer = self.writer(0, out);
                writer.quoting_period(stock.symbol, 36_000, stock.middle())
            }
            _ => self.writer(locate, out).direct_listing(stock.symbol, stock.middle()),
        }
    }

    /// The number of a trade in this security that happens now.
    #[inline]
    fn traded(&mut self, locate: u16) -> u64 {
        self.match_number += 1;
        let place = usize::try_from(self.match_number).unwrap_or(0) % TRADES_KEPT;
        self.trades[place] = (locate, self.match_number);
        self.match_number
    }

    /// Breaks one of the last trades, each at most once.
    fn break_trade(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let trade = self.trades.iter_mut().find(|&&mut (locate, _)| locate != 0);
        match trade.map(std::mem::take) {
            Some((locate, number)) => self.writer(locate, out).broken(number),
            None => self.imbalance(out),
        }
    }

    /// The next step of a trading pause (section 1.2.2, appendix C): paused, the collar of its auction, quoting, the cross,
    /// trading. Only securities listed here are paused here.
    fn pause(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let (locate, step) = match self.pause {
            Some(pause) => pause,
            None => {
                let listed = |market: &mut Market| {
                    let locate = market.active();
                    is_nasdaq(market.stock(locate).market).then_some(locate)
                };
                match (0..16).find_map(|_| listed(&mut self.market)) {
                    Some(locate) => (locate, 0),
                    None => return self.imbalance(out),
                }
            }
        };
        self.pause = (step < 4).then_some((locate, step + 1));
        self.market.stock_mut(locate).is_paused = step < 4;
        let stock = *self.market.stock(locate);
        let mut writer = self.writer(locate, out);
        match step {
            0 => writer.trading_action(stock.symbol, b'P', *b"LUDP"),
            1 => writer.auction_collar(stock.symbol, stock.middle()),
            2 => writer.trading_action(stock.symbol, b'Q', *b"T7  "),
            3 => self.cross(locate, b'H', out),
            _ => writer.trading_action(stock.symbol, b'T', *b"T7  "),
        }
    }

    /// A security is halted at this market alone, or trades there again.
    fn halt(&mut self, out: &mut [u8; BUFFER_BYTES]) -> usize {
        let (locate, action) = match self.halt.take() {
            Some(locate) => (locate, b'T'),
            None => {
                let locate = self.market.any();
                self.halt = Some(locate);
                (locate, b'H')
            }
        };
        let symbol = self.market.stock(locate).symbol;
        self.writer(locate, out).operational_halt(symbol, action)
    }
}
