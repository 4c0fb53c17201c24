//! `postern journal`: what risk recorded, printed, checked, and decided again.

use std::fmt::{self, Debug, Write as _};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use comfy_table::Table;
use serde_json::{Map, Value, json};

use crate::codec::journal::Journal;
use crate::gate::{Belief, StateMachine};
use crate::journal::{JournalError, JournalReader, Record, ReplayError, Tail, replay};
use crate::risk::{Engine, RiskConfig};
use crate::types::DenyReason;

const EXAMPLES: &str = "\
Examples:
  postern journal dump /var/lib/postern/journal --from 1000 --count 20
  postern journal verify /var/lib/postern/journal
  postern journal replay /var/lib/postern/journal --config postern.toml
  postern journal dump DIR --output json | jq 'select(.type == \"Decision\" and .fields.deny_reason != 0)'";

/// Reads the journal: the record of every order, execution and command, and of what was decided on it.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Print records
    Dump {
        /// The journal
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// First record
        #[arg(long, default_value_t = 1, value_name = "NUMBER")]
        from: u64,
        /// How many records
        #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N")]
        count: u64,
        /// Print one JSON object a record
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Check every record: checksums, numbers without a gap, messages that can be read
    Verify {
        /// The journal
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// How to print
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
    /// Decide everything again by the given limits; every decision must come out byte for byte
    Replay {
        /// The journal
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The configuration that was in force
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How to print
        #[arg(long, value_enum, default_value_t = Format::Text)]
        output: Format,
    },
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Text and tables.
    Text,
    /// JSON.
    Json,
}

/// Why there is no answer, or a bad one.
#[derive(Debug)]
#[non_exhaustive]
pub enum JournalCommandError {
    /// The journal is damaged or cannot be read.
    Journal(JournalError),
    /// The replay stopped.
    Replay(ReplayError),
    /// The configuration cannot be used.
    Config(String),
    /// The answer could not be written.
    Output(io::Error),
}

impl fmt::Display for JournalCommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalCommandError::Journal(error) => write!(f, "{error}"),
            JournalCommandError::Replay(error) => write!(f, "{error}"),
            JournalCommandError::Config(what) => f.write_str(what),
            JournalCommandError::Output(error) => write!(f, "writing the answer: {error}"),
        }
    }
}

impl std::error::Error for JournalCommandError {}

impl From<JournalError> for JournalCommandError {
    fn from(error: JournalError) -> JournalCommandError {
        JournalCommandError::Journal(error)
    }
}

impl From<io::Error> for JournalCommandError {
    fn from(error: io::Error) -> JournalCommandError {
        JournalCommandError::Output(error)
    }
}

/// Runs the command. `limits` reads the limits from a configuration file, for a replay.
///
/// # Errors
/// Damage, a decision that comes out differently, or what stands in the way of looking.
pub fn run(
    args: &Args,
    out: &mut impl Write,
    limits: impl FnOnce(&Path) -> Result<RiskConfig, String>,
) -> Result<(), JournalCommandError> {
    match &args.command {
        Action::Dump { directory, from, count, output } => {
            dump(directory, *from, *count, *output, out)
        }
        Action::Verify { directory, output } => verify(directory, *output, out),
        Action::Replay { directory, config, output } => {
            let limits = limits(config).map_err(JournalCommandError::Config)?;
            decide_again(directory, &limits, *output, out)
        }
    }
}

fn dump(
    directory: &Path,
    from: u64,
    count: u64,
    output: Format,
    out: &mut impl Write,
) -> Result<(), JournalCommandError> {
    let mut reader = JournalReader::open(directory)?;
    let mut printed = 0;
    while let Some(record) = reader.next()? {
        if record.number < from {
            continue;
        }
        if printed == count {
            return Ok(());
        }
        printed += 1;
        match output {
            Format::Text => writeln!(
                out,
                "{:>10} {:>18} {}",
                record.number,
                format!("{}.{:09}", record.now.0 / 1_000_000_000, record.now.0 % 1_000_000_000),
                text_of(&record)
            )?,
            Format::Json => writeln!(out, "{}", json_of(&record))?,
        }
    }
    if output == Format::Text {
        tell_tail(reader.tail(), out)?;
    }
    Ok(())
}

/// A record in one line; a denial with its meaning.
fn text_of(record: &Record<'_>) -> String {
    if record.kind.mark().is_some() {
        return format!("{:?}", record.kind);
    }
    match Journal::decode(record.payload) {
        Ok(Journal::KillCommand(command)) => {
            let text =
                |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
            format!(
                "KillCommand {{ {:?} {:?} {}, command {}, by {:?}: {:?} }}",
                command.kill_action,
                command.kill_scope,
                command.id,
                command.command_id,
                text(&command.operator_name),
                text(&command.reason)
            )
        }
        Ok(Journal::Decision(decision)) => match DenyReason::from_code(decision.deny_reason) {
            Some(reason) => format!("{decision:?} {reason}"),
            None => format!("{decision:?}"),
        },
        Ok(message) => {
            // Without the name of the enumeration around it.
            let text = format!("{message:?}");
            let inner = text.split_once('(').map_or("", |(_, inner)| inner);
            inner.strip_suffix(')').unwrap_or(inner).to_owned()
        }
        Err(error) => format!("undecodable: {error}"),
    }
}

fn json_of(record: &Record<'_>) -> Value {
    let (name, fields) = match (record.kind.mark(), Journal::decode(record.payload)) {
        (Some(mark), _) => (format!("{mark:?}"), Value::Object(Map::new())),
        (None, Ok(message)) => fields_of(&message),
        (None, Err(error)) => ("Undecodable".to_owned(), json!({ "error": error.to_string() })),
    };
    json!({
        "record": record.number,
        "now_ns": record.now.0,
        "segment": record.segment,
        "offset": record.offset,
        "type": name,
        "fields": fields,
    })
}

/// Name and fields of a message. They are taken from its derived `Debug` text, whose grammar is fixed, so that no message
/// and no field can be forgotten here.
fn fields_of(message: &impl Debug) -> (String, Value) {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(text, "{message:?}");
    let mut parser = DebugText { rest: text.as_str() };
    let _ = parser.word();
    parser.skip("(");
    let name = parser.word().to_owned();
    (name, parser.fields())
}

/// Reads what `#[derive(Debug)]` writes of structs, newtypes, unit variants, options, arrays and integers.
struct DebugText<'a> {
    rest: &'a str,
}

impl<'a> DebugText<'a> {
    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(text) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    fn fields(&mut self) -> Value {
        let mut fields = Map::new();
        if self.skip("{") {
            while !self.skip("}") && !self.rest.is_empty() {
                let name = self.word().to_owned();
                self.skip(":");
                fields.insert(name, self.value());
                self.skip(",");
            }
        }
        Value::Object(fields)
    }

    fn value(&mut self) -> Value {
        if self.skip("[") {
            let mut items = Vec::new();
            while !self.skip("]") && !self.rest.is_empty() {
                items.push(self.value());
                self.skip(",");
            }
            return Value::Array(items);
        }
        let word = self.word();
        if self.skip("(") {
            let inner = self.value();
            self.skip(")");
            return inner;
        }
        match (word, word.parse::<i64>(), word.parse::<u64>()) {
            ("None", _, _) => Value::Null,
            (_, Ok(number), _) => number.into(),
            (_, _, Ok(number)) => number.into(),
            (word, _, _) => word.into(),
        }
    }
}

fn verify(
    directory: &Path,
    output: Format,
    out: &mut impl Write,
) -> Result<(), JournalCommandError> {
    let mut reader = JournalReader::open(directory)?;
    let (mut records, mut last, mut undecodable) = (0u64, 0, 0u64);
    while let Some(record) = reader.next()? {
        (records, last) = (records + 1, record.number);
        let is_message = record.kind.mark().is_none();
        undecodable += u64::from(is_message && Journal::decode(record.payload).is_err());
    }
    match output {
        Format::Text => {
            let mut table = Table::new();
            table.set_header(["segments", "records", "last record", "undecodable"]);
            table.add_row([
                reader.segment_count().to_string(),
                records.to_string(),
                last.to_string(),
                undecodable.to_string(),
            ]);
            writeln!(out, "{table}")?;
            tell_tail(reader.tail(), out)?;
        }
        Format::Json => writeln!(
            out,
            "{}",
            json!({
                "segments": reader.segment_count(),
                "records": records,
                "last_record": last,
                "undecodable": undecodable,
                "tail": tail_json(reader.tail()),
            })
        )?,
    }
    Ok(())
}

fn decide_again(
    directory: &Path,
    limits: &RiskConfig,
    output: Format,
    out: &mut impl Write,
) -> Result<(), JournalCommandError> {
    let mut engine = Engine::new(limits).map_err(|errors| {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        JournalCommandError::Config(all.join("\n"))
    })?;
    let mut reader = JournalReader::open(directory)?;
    let done =
        replay(&mut reader, &mut engine, Belief::Recompute).map_err(JournalCommandError::Replay)?;
    let digest = format!("{:016x}", StateMachine::digest(&engine));
    let same_config = done.config_digests.iter().all(|digest| *digest == limits.digest());
    match output {
        Format::Text => {
            let mut table = Table::new();
            table.set_header([
                "runs",
                "inputs",
                "decisions",
                "undecided",
                "state",
                "configuration",
            ]);
            table.add_row([
                done.runs.to_string(),
                done.inputs.to_string(),
                done.decisions.to_string(),
                done.undecided.to_string(),
                digest,
                if same_config { "as recorded" } else { "differs" }.to_owned(),
            ]);
            writeln!(out, "{table}\nevery decision comes out as it was recorded")?;
            tell_tail(&done.tail, out)?;
        }
        Format::Json => writeln!(
            out,
            "{}",
            json!({
                "runs": done.runs,
                "records": done.records,
                "inputs": done.inputs,
                "decisions": done.decisions,
                "undecided": done.undecided,
                "digest": digest,
                "same_config": same_config,
                "tail": tail_json(&done.tail),
            })
        )?,
    }
    Ok(())
}

fn tell_tail(tail: &Tail, out: &mut impl Write) -> io::Result<()> {
    match tail {
        Tail::Clean => Ok(()),
        Tail::Torn { path, offset, what } => {
            writeln!(out, "torn tail: {} at byte {offset}: {what}", path.display())
        }
    }
}

fn tail_json(tail: &Tail) -> Value {
    match tail {
        Tail::Clean => "clean".into(),
        Tail::Torn { path, offset, what } => {
            json!({ "torn": path.display().to_string(), "offset": offset, "what": what })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::journal::{KillCommand, OrderRequest};
    use crate::types::{
        AccountId, ClOrdId, InstrumentId, KillAction, KillScope, Nanos, OrdType, Price, SessionId,
        Side, TimeInForce,
    };

    #[test]
    fn every_field_of_a_message_is_in_its_json() {
        let order = OrderRequest {
            cl_ord_id: ClOrdId(u64::MAX),
            ingress_time: Nanos(5),
            price: Some(Price::from_units(-7)),
            session_id: SessionId(1),
            order_qty: 100,
            security_id: InstrumentId(2),
            account: AccountId(3),
            sent_delta: 4,
            side: Side::Buy,
            ord_type: OrdType::Limit,
            time_in_force: TimeInForce::Day,
        };
        let expected = json!({
            "cl_ord_id": u64::MAX, "ingress_time": 5, "price": -7, "session_id": 1, "order_qty": 100,
            "security_id": 2, "account": 3, "sent_delta": 4, "side": "Buy", "ord_type": "Limit",
            "time_in_force": "Day",
        });
        assert_eq!(fields_of(&Journal::from(order)), ("OrderRequest".to_owned(), expected));
        let market = OrderRequest { price: None, ..order };
        assert_eq!(fields_of(&Journal::from(market)).1["price"], Value::Null);
        let kill = KillCommand {
            command_id: 1,
            id: 2,
            kill_scope: KillScope::Firm,
            kill_action: KillAction::Kill,
            operator_name: [b'a'; 16],
            reason: [b' '; 48],
        };
        let (_, fields) = fields_of(&Journal::from(kill));
        assert_eq!(fields["operator_name"].as_array().map(Vec::len), Some(16));
        assert_eq!(fields["kill_action"], "Kill");
    }
}
