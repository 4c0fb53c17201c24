//! What strategies, operators and networks do on a bad day, by a seed.

use postern::session::ClientState;
use postern::types::{AccountId, KillAction, KillScope, Price, Side, TerminationCode, TimeInForce};

use super::strategy::{Line, Strategy};
use super::wire::State;
use super::{MS, Random, World, cents};

/// Which kinds of trouble there are beside strange orders.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub kills: bool,
    pub disconnects: bool,
    pub wire: bool,
    pub feed: bool,
    pub garbage: bool,
    /// Bursts of orders, more than there is room for.
    pub floods: bool,
}

impl Trouble {
    pub const ALL: Trouble = Trouble {
        kills: true,
        disconnects: true,
        wire: true,
        feed: true,
        garbage: true,
        floods: true,
    };
    pub const NONE: Trouble = Trouble {
        kills: false,
        disconnects: false,
        wire: false,
        feed: false,
        garbage: false,
        floods: false,
    };
}

/// A source of trouble.
pub struct Mischief {
    pub random: Random,
    pub trouble: Trouble,
    /// Cycles until the wire is whole, the feed speaks and kill switches are off again.
    wire_until: u64,
    feed_until: u64,
    kill_until: u64,
    cycle: u64,
}

impl Mischief {
    pub fn new(seed: u64, trouble: Trouble) -> Mischief {
        Mischief {
            random: Random::new(seed),
            trouble,
            wire_until: 0,
            feed_until: 0,
            kill_until: 0,
            cycle: 0,
        }
    }

    fn side(&mut self) -> Side {
        if self.random.one_in(2) { Side::Buy } else { Side::Sell }
    }

    fn price(&mut self, instrument: u32) -> Price {
        let middle = if instrument == 2 { 5_000 } else { 10_000 };
        match self.random.small(40) {
            0 => Price::MAX,
            1 => Price::from_units(-1),
            2 => Price::from_units(i64::MIN),
            3 => Price::from_units(0),
            4 => Price::from_units(cents(middle).units() + 1),
            5 => cents(middle * 3),
            _ => cents(middle - 15 + i64::from(self.random.small(31))),
        }
    }

    fn qty(&mut self) -> u32 {
        match self.random.small(30) {
            0 => 0,
            1 => u32::MAX,
            2 => u32::MAX - 1,
            3 => 501,
            _ => 1 + self.random.small(450),
        }
    }

    /// One request of a strategy.
    pub fn request(&mut self, world: &mut World, index: usize) {
        let now = world.now;
        let dice = self.random.small(100);
        let instrument = 1 + self.random.small(2) + 7 * u32::from(self.random.one_in(60));
        let (side, price, qty) = (self.side(), self.price(instrument), self.qty());
        let strategy = &mut world.strategies[index];
        if !strategy.session.is_established() {
            return;
        }
        match dice {
            0..=69 => {
                strategy.limit(now, (instrument, side), price, qty);
            }
            70..=73 => {
                let account = AccountId(self.random.small(4));
                let terms = (qty, TimeInForce::ImmediateOrCancel);
                strategy.order(now, account, (instrument, side), Some(price), terms);
            }
            74..=75 => {
                let account = AccountId(strategy.session.id().0);
                let terms = (qty, TimeInForce::ImmediateOrCancel);
                strategy.order(now, account, (instrument, side), None, terms);
            }
            76..=86 => {
                let orig = self.open_or_strange(strategy);
                strategy.cancel(now, orig);
            }
            87..=96 => {
                let orig = self.open_or_strange(strategy);
                strategy.replace(now, orig, price, qty);
            }
            97 => {
                // The same number again: a ClOrdID that is not larger.
                let id = strategy.next_id - 1;
                if let Some(before) = strategy.lines.get(&id).copied() {
                    strategy.next_id = id;
                    let sent = strategy.limit(now, (instrument, side), price, qty);
                    strategy.next_id = id + 1;
                    let reused = before.reused + u32::from(sent > 0);
                    strategy.lines.insert(id, Line { reused, ..before });
                }
            }
            98 => {
                strategy.mass_cancel(now);
            }
            _ if self.trouble.floods => self.flood(world, index),
            _ => {}
        }
    }

    fn open_or_strange(&mut self, strategy: &Strategy) -> u64 {
        match self.random.small(8) {
            0 => self.random.next(),
            1 => 0,
            _ => {
                let open: Vec<u64> = strategy.open().take(20).collect();
                let count = u32::try_from(open.len()).expect("few");
                if count == 0 {
                    return u64::from(self.random.small(50));
                }
                open[usize::try_from(self.random.small(count)).expect("few")]
            }
        }
    }

    fn flood(&mut self, world: &mut World, index: usize) {
        let (now, side) = (world.now, self.side());
        for _ in 0..self.random.small(120) {
            let price = cents(9_995 + i64::from(self.random.small(11)));
            if world.strategies[index].limit(now, (1, side), price, 37) == 0 {
                return;
            }
        }
    }

    /// What may befall everybody.
    pub fn trouble(&mut self, world: &mut World) {
        self.cycle += 1;
        let Trouble { kills, disconnects, wire, feed, garbage, .. } = self.trouble;
        if kills {
            self.kills(world);
        }
        if wire && self.cycle >= self.wire_until {
            world.wire.state = State::Open;
            if self.random.one_in(400) {
                let states = [State::Held, State::Cut, State::Deaf, State::Cut];
                world.wire.state = states[usize::try_from(self.random.small(4)).expect("few")];
                self.wire_until = self.cycle + u64::from(self.random.small(700));
            }
        }
        if feed && self.cycle >= self.feed_until {
            world.feed_is_silent = false;
            if self.random.one_in(900) {
                world.feed_is_silent = true;
                self.feed_until = self.cycle + 1_000 + u64::from(self.random.small(1_000));
            }
        }
        let index = usize::try_from(self.random.small(2)).expect("few");
        if disconnects && self.random.one_in(500) {
            world.reconnect(index);
        }
        if disconnects && self.random.one_in(900) {
            let goodbye = world.strategies[index].session.terminate(TerminationCode::Finished);
            world.strategies[index].say(&goodbye);
        }
        if garbage && self.random.one_in(100) {
            let mut bytes = [0; 64];
            for byte in &mut bytes {
                *byte = u8::try_from(self.random.small(256)).expect("a byte");
            }
            let length = usize::try_from(self.random.small(65)).expect("few");
            world.strategies[index].send_bytes(&bytes[..length]);
        }
        let (now, utc) = (world.now, world.clock.utc(world.now));
        for strategy in &mut world.strategies {
            if strategy.session.state() == ClientState::Idle && self.random.one_in(30)
                || strategy.session.state() == ClientState::Refused
            {
                strategy.log_on(now, utc);
            }
        }
    }

    fn kills(&mut self, world: &mut World) {
        if self.cycle == self.kill_until {
            for scope in KillScope::ALL {
                for id in 0..=2 {
                    world.command(*scope, id, KillAction::Rearm);
                }
            }
        }
        if self.cycle > self.kill_until && self.random.one_in(150) {
            let scope = KillScope::ALL[usize::try_from(self.random.small(5)).expect("few")];
            let action =
                if self.random.one_in(2) { KillAction::Kill } else { KillAction::KillAndCancel };
            world.command(scope, 1, action);
            self.kill_until = self.cycle + 20 + u64::from(self.random.small(60));
        }
    }

    /// All is well again: ends every trouble and lets everybody log on.
    pub fn heal(&mut self, world: &mut World) {
        world.wire.state = State::Open;
        world.feed_is_silent = false;
        for scope in KillScope::ALL {
            for id in 0..=2 {
                while !world.command(*scope, id, KillAction::Rearm) {
                    world.cycle(MS);
                }
            }
        }
        for strategy in &mut world.strategies {
            strategy.reads = true;
        }
        for _ in 0..1_000 {
            world.cycle(MS);
        }
        world.log_on();
    }
}
