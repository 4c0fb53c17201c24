//! A small strategy: connects to a gateway that runs as `postern run` on this machine, waits for a price, buys at the best bid,
//! prints what it is told, cancels what did not trade, and says goodbye.
//!
//! `cargo run --release --example strategy -- --help`

#![allow(clippy::print_stdout, reason = "a program that talks to a person")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::{
    ExecutionReport, NewOrderSingle, OrderCancelRequest, OrderEntry,
};
use postern::runtime::Clock;
use postern::session::{ClientAction, ClientConfig, ClientSession, ClientState, session_of};
use postern::transport::{
    AeronConfig, Client, DriverMode, Inbound, OfferError, Outbound, Publication, StreamEvent,
    Subscription,
};
use postern::types::{
    AccountId, ClOrdId, DenyReason, ExecType, InstrumentId, Nanos, OrdType, Price, SessionId, Side,
    TerminationCode, TimeInForce,
};

/// Buys one lot at the best bid through a running gateway, and cancels it after a while.
///
/// The defaults are those of examples/quickstart.toml. All of it is what a strategy in any language does with
/// an Aeron client and the codecs of sbe-schemas/.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gateway's Aeron directory (aeron.directory).
    #[arg(long, default_value = "/dev/shm/postern-quickstart")]
    directory: PathBuf,
    /// The session's number ([[session]] id).
    #[arg(long, default_value_t = 1)]
    session: u32,
    /// The session's key ([[session]] key_file). The default is one under the repository's root.
    #[arg(long, default_value = "target/quickstart/alpha.key")]
    key: PathBuf,
    /// Where orders go (entry.channel) …
    #[arg(long, default_value = "aeron:ipc")]
    order_channel: String,
    /// … and their stream (entry.stream_id).
    #[arg(long, default_value_t = 1001)]
    order_stream: i32,
    /// Where reports come from ([[session]] report_channel) …
    #[arg(long, default_value = "aeron:ipc")]
    report_channel: String,
    /// … and their stream ([[session]] report_stream_id).
    #[arg(long, default_value_t = 2001)]
    report_stream: i32,
    /// Where market data comes from (market_data.channel) …
    #[arg(long, default_value = "aeron:ipc")]
    market_channel: String,
    /// … and its stream (market_data.stream_id).
    #[arg(long, default_value_t = 1002)]
    market_stream: i32,
    /// The account to trade for ([[account]] id).
    #[arg(long, default_value_t = 1)]
    account: u32,
    /// What to buy ([[instrument]] id).
    #[arg(long, default_value_t = 1)]
    instrument: u32,
    /// How much.
    #[arg(long, default_value_t = 100)]
    qty: u32,
    /// How long the order may rest before it is cancelled, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    rest_ms: u64,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 30)]
    patience_s: u64,
}

/// Where our order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Not sent: the session is not up, or there is no price.
    Waiting,
    /// Sent, and to be cancelled at this time unless it ended before.
    Working(Nanos),
    /// A cancel was sent.
    Cancelling,
    /// The order ended.
    Done,
}

struct Strategy {
    arguments: Arguments,
    clock: Clock,
    session: ClientSession,
    orders: Publication,
    reports: Subscription,
    market: Subscription,
    best_bid: Option<Price>,
    cl_ord_id: ClOrdId,
    step: Step,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strategy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    let give_up = clock.now().plus(Nanos::of(Duration::from_secs(arguments.patience_s)));
    let mut client = Client::connect(&AeronConfig {
        mode: DriverMode::External,
        driver_timeout_ms: 10_000,
        ..AeronConfig::in_directory(&arguments.directory)
    })?;
    let mut strategy = Strategy::connect(arguments, &mut client, clock)?;
    while strategy.step != Step::Done {
        let now = clock.now();
        if now > give_up {
            return Err(format!("no end in time: {:?}", strategy.session.state()).into());
        }
        client.service(now)?;
        strategy.poll(now)?;
        // A real strategy spins here, on a core of its own.
        std::thread::park_timeout(Duration::from_micros(50));
    }
    let goodbye = strategy.session.terminate(TerminationCode::Finished);
    strategy.send(&goodbye)?;
    println!("session: terminated");
    Ok(())
}

impl Strategy {
    fn connect(
        arguments: Arguments,
        client: &mut Client,
        clock: Clock,
    ) -> Result<Strategy, Box<dyn Error>> {
        let text = std::fs::read_to_string(&arguments.key).map_err(|error| {
            format!("{}: {error}; name the key with --key", arguments.key.display())
        })?;
        let session = ClientSession::new(ClientConfig {
            session: SessionId(arguments.session),
            key: text.trim().parse()?,
            keepalive_ms: 500,
            retry_ns: 500_000_000,
        });
        Ok(Strategy {
            orders: client.add_publication(&arguments.order_channel, arguments.order_stream)?,
            reports: client.add_subscription(&arguments.report_channel, arguments.report_stream)?,
            market: client.add_subscription(&arguments.market_channel, arguments.market_stream)?,
            arguments,
            clock,
            session,
            best_bid: None,
            cl_ord_id: ClOrdId(0),
            step: Step::Waiting,
        })
    }

    /// One turn: what came in, then what is due.
    fn poll(&mut self, now: Nanos) -> Result<(), Box<dyn Error>> {
        let instrument = InstrumentId(self.arguments.instrument);
        let best_bid = &mut self.best_bid;
        self.market.poll(16, &mut |fragment| {
            // Lenient on purpose: what a newer gateway adds is skipped.
            if let Ok(MarketData::TopOfBook(top)) = MarketData::decode(fragment.bytes)
                && top.security_id == instrument
            {
                *best_bid = top.bid_px;
            }
        })?;
        while let Some(event) = self.reports.next_event() {
            if let StreamEvent::SourceDown(_) = event {
                self.session.on_disconnect();
            }
        }
        // Copied out, since a reply may have to be sent while the stream is read.
        let mut messages = Vec::new();
        self.reports.poll(16, &mut |fragment| messages.push(OrderEntry::decode(fragment.bytes)))?;
        for message in messages {
            self.on_message(now, &message.map_err(|error| format!("a report: {error:?}"))?)?;
        }
        self.on_time(now)
    }

    /// The session says what each message means for us: only what it lets through is applied.
    fn on_message(&mut self, now: Nanos, message: &OrderEntry) -> Result<(), Box<dyn Error>> {
        if session_of(message) != self.session.id() {
            return Ok(());
        }
        let response = self.session.on_message(now, self.clock.utc(now), message);
        if let Some(reply) = response.reply {
            self.send(&reply)?;
        }
        match response.action {
            ClientAction::Up => {
                // ClOrdIDs only ever grow, also over sessions.
                self.cl_ord_id = self.session.server_cl_ord_id();
                println!("session: established; the last ClOrdID was {}", self.cl_ord_id.0);
            }
            ClientAction::Apply => self.on_report(message),
            ClientAction::NotApplied { from, count } => {
                return Err(format!("{count} of our messages from {} were lost", from.0).into());
            }
            ClientAction::Lost { from, count } => {
                return Err(format!("{count} reports from {} are lost for good", from.0).into());
            }
            ClientAction::Down(code) => return Err(format!("session: ended, {code:?}").into()),
            ClientAction::NegotiationRefused(code) => {
                return Err(format!("session: refused, {code:?}").into());
            }
            ClientAction::EstablishmentRefused(code) => {
                return Err(format!("session: refused, {code:?}").into());
            }
            ClientAction::None | ClientAction::Ignore => {}
        }
        Ok(())
    }

    fn on_report(&mut self, message: &OrderEntry) {
        if let OrderEntry::ExecutionReport(report) = message {
            print_report(report);
            if report.ord_status.is_final() {
                self.step = Step::Done;
            }
        } else {
            // OrderCancelReject, most likely: the order ended before the cancel arrived, and its report says how.
            println!("report: {message:?}");
        }
    }

    /// What is due: the session's own messages, the order, its cancel.
    fn on_time(&mut self, now: Nanos) -> Result<(), Box<dyn Error>> {
        let utc = self.clock.utc(now);
        if self.session.state() == ClientState::Idle && self.orders.is_connected() {
            let first = self.session.resume(now, utc);
            return self.send(&first);
        }
        let response = self.session.on_time(now, utc);
        if let Some(reply) = response.reply {
            self.send(&reply)?;
        }
        if let ClientAction::Down(code) = response.action {
            return Err(format!("session: ended, {code:?}").into());
        }
        match (self.step, self.best_bid) {
            (Step::Waiting, Some(bid)) if self.session.is_established() => self.buy(now, bid),
            (Step::Working(until), _) if now >= until => self.cancel(now),
            (Step::Waiting | Step::Working(_) | Step::Cancelling | Step::Done, _) => Ok(()),
        }
    }

    fn buy(&mut self, now: Nanos, price: Price) -> Result<(), Box<dyn Error>> {
        self.cl_ord_id = ClOrdId(self.cl_ord_id.0 + 1);
        let order = NewOrderSingle {
            session_id: self.session.id(),
            msg_seq_num: self.session.take_number(now),
            cl_ord_id: self.cl_ord_id,
            sending_time: self.clock.utc(now),
            price: Some(price),
            order_qty: self.arguments.qty,
            security_id: InstrumentId(self.arguments.instrument),
            account: AccountId(self.arguments.account),
            side: Side::Buy,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        };
        println!("order {}: buy {} at {price}", order.cl_ord_id.0, order.order_qty);
        self.send(&order.into())?;
        self.step = Step::Working(now.plus(self.arguments.rest_ms * 1_000_000));
        Ok(())
    }

    fn cancel(&mut self, now: Nanos) -> Result<(), Box<dyn Error>> {
        let orig_cl_ord_id = self.cl_ord_id;
        self.cl_ord_id = ClOrdId(self.cl_ord_id.0 + 1);
        let cancel = OrderCancelRequest {
            session_id: self.session.id(),
            msg_seq_num: self.session.take_number(now),
            cl_ord_id: self.cl_ord_id,
            sending_time: self.clock.utc(now),
            orig_cl_ord_id,
        };
        println!("order {}: cancel {}", cancel.cl_ord_id.0, orig_cl_ord_id.0);
        self.send(&cancel.into())?;
        self.step = Step::Cancelling;
        Ok(())
    }

    /// Sends a message. A real strategy decides here what an order is worth that could not leave at once.
    fn send(&mut self, message: &OrderEntry) -> Result<(), Box<dyn Error>> {
        let mut bytes = [0; 128];
        let length = message.encode(&mut bytes);
        loop {
            match self.orders.offer(length, |slot| slot.copy_from_slice(&bytes[..length])) {
                Err(OfferError::AdminAction) => {}
                done => return done.map_err(|error| format!("orders: {error}").into()),
            }
        }
    }
}

fn print_report(report: &ExecutionReport) {
    let number = report.cl_ord_id.0;
    match (report.exec_type, DenyReason::from_code(report.deny_reason)) {
        (ExecType::Rejected, Some(reason)) => println!("order {number}: denied, {reason}"),
        (ExecType::Rejected, None) => {
            println!("order {number}: rejected by the venue, reason {}", report.ord_rej_reason);
        }
        (ExecType::Trade, _) => {
            let price = report.last_px.map_or_else(String::new, |price| format!(" at {price}"));
            println!("order {number}: traded {}{price}, {:?}", report.last_qty, report.ord_status);
        }
        (exec_type, _) => println!("order {number}: {exec_type:?}, {:?}", report.ord_status),
    }
}
