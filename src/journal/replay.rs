//! Replay: recorded inputs into a fresh state machine, compared with recorded decisions, or believing them.

use std::fmt;
use std::path::Path;

use crate::codec::journal::{Decision, Journal};
use crate::codec::{DecodeError, Message};
use crate::gate::{Belief, CannotRestore, Input, Mark, StateMachine};
use crate::journal::reader::{JournalError, JournalReader, Record, Tail};
use crate::types::Nanos;

/// What a replay went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Records read.
    pub records: u64,
    /// Number of the last one; 0 is none.
    pub last_record: u64,
    /// Inputs applied.
    pub inputs: u64,
    /// Decisions recorded.
    pub decisions: u64,
    /// Requests at the end of a run whose decision was not recorded any more: never acted upon, and so left out.
    pub undecided: u64,
    /// Digests of the configurations in force, each where it changed.
    pub config_digests: Vec<[u8; 32]>,
    /// Runs of the process.
    pub runs: u64,
    /// How the journal ends.
    pub tail: Tail,
}

/// Why a replay stopped.
#[derive(Debug)]
pub enum ReplayError {
    /// The journal is damaged.
    Journal(JournalError),
    /// A record holds no message of this build's schema.
    Undecodable {
        /// The record.
        record: u64,
        /// Why.
        source: DecodeError,
    },
    /// A decision was recorded where no input is to decide on.
    Misplaced {
        /// The record.
        record: u64,
    },
    /// The state machine decided otherwise.
    Differs {
        /// The record of the input.
        record: u64,
        /// What was decided then.
        recorded: Vec<Decision>,
        /// What is decided now.
        decided: Vec<Decision>,
    },
    /// The state cannot be held under the present configuration.
    CannotRestore {
        /// The record of the input.
        record: u64,
        /// What is missing.
        source: CannotRestore,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Journal(error) => error.fmt(f),
            ReplayError::Undecodable { record, source } => write!(f, "record {record}: {source}"),
            ReplayError::Misplaced { record } => {
                write!(f, "record {record}: a decision that belongs to no input")
            }
            ReplayError::Differs { record, recorded, decided } => {
                write!(f, "record {record}: decided otherwise: then {recorded:?}, now {decided:?}")
            }
            ReplayError::CannotRestore { record, source } => {
                write!(f, "record {record}: {source}")
            }
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<JournalError> for ReplayError {
    fn from(error: JournalError) -> ReplayError {
        ReplayError::Journal(error)
    }
}

/// Recovery: brings a fresh `machine` to the state in which the journal in `directory` ends, whatever the limits are now.
/// A directory that does not exist is an empty journal. To be done before [`open`](crate::journal::open()).
///
/// # Errors
/// Where the journal is damaged, or holds what the present configuration has no place for.
pub fn recover(directory: &Path, machine: &mut impl StateMachine) -> Result<Replayed, ReplayError> {
    if !directory.exists() {
        return Ok(Replay::new(machine, Belief::Recorded).done);
    }
    replay(&mut JournalReader::open(directory)?, machine, Belief::Recorded)
}

/// Applies every input to `machine`. With [`Belief::Recompute`] every decision must come out as it was recorded, byte for
/// byte; that needs the configuration that was in force.
///
/// # Errors
/// The first thing that is wrong.
pub fn replay(
    reader: &mut JournalReader,
    machine: &mut impl StateMachine,
    belief: Belief,
) -> Result<Replayed, ReplayError> {
    let mut replay = Replay::new(machine, belief);
    while let Some(record) = reader.next()? {
        replay.record(&record)?;
    }
    replay.apply_pending(true)?;
    replay.done.tail = reader.tail().clone();
    Ok(replay.done)
}

struct Replay<'a, M> {
    machine: &'a mut M,
    belief: Belief,
    /// The last input, until all decisions on it were read.
    pending: Option<(u64, Nanos, Input)>,
    recorded: Vec<Decision>,
    decided: Vec<Decision>,
    done: Replayed,
}

impl<'a, M: StateMachine> Replay<'a, M> {
    fn new(machine: &'a mut M, belief: Belief) -> Replay<'a, M> {
        let done = Replayed {
            records: 0,
            last_record: 0,
            inputs: 0,
            decisions: 0,
            undecided: 0,
            config_digests: Vec::new(),
            runs: 0,
            tail: Tail::Clean,
        };
        Replay { machine, belief, pending: None, recorded: Vec::new(), decided: Vec::new(), done }
    }

    fn record(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        self.done.records += 1;
        self.done.last_record = record.number;
        let input = match record.kind.mark() {
            Some(mark) => Input::Mark(mark),
            None => match Journal::decode(record.payload) {
                Ok(Journal::SegmentStart(start)) => {
                    if self.done.config_digests.last() != Some(&start.config_digest) {
                        self.done.config_digests.push(start.config_digest);
                    }
                    return Ok(());
                }
                Ok(Journal::Decision(decision)) => {
                    if self.pending.is_none() {
                        return Err(ReplayError::Misplaced { record: record.number });
                    }
                    self.done.decisions += 1;
                    self.recorded.push(decision);
                    return Ok(());
                }
                Ok(message) => Input::Message(message),
                Err(source) => {
                    return Err(ReplayError::Undecodable { record: record.number, source });
                }
            },
        };
        let is_run_start = input == Input::Mark(Mark::RunStart);
        self.apply_pending(is_run_start)?;
        self.done.runs += u64::from(is_run_start);
        self.pending = Some((record.number, record.now, input));
        Ok(())
    }

    /// Applies the input whose decisions are all read. At the end of a run some may never have been recorded.
    fn apply_pending(&mut self, is_run_end: bool) -> Result<(), ReplayError> {
        let Some((record, now, input)) = self.pending.take() else { return Ok(()) };
        let is_request =
            matches!(&input, Input::Message(message) if self.machine.decides_on(message));
        if is_request && self.recorded.is_empty() && is_run_end {
            self.done.undecided += 1;
            return Ok(());
        }
        self.done.inputs += 1;
        let decided = &mut self.decided;
        decided.clear();
        let outcome =
            self.machine.replay(now, &input, self.belief, &self.recorded, &mut |decision| {
                decided.push(decision);
            });
        if let Err(source) = outcome {
            return Err(ReplayError::CannotRestore { record, source });
        }
        // What a sweep sends follows from the configuration too; where records are believed, the venue's answers to it are.
        let is_free = self.belief == Belief::Recorded && matches!(input, Input::Mark(_));
        if !is_free && !self.agrees(is_run_end && !is_request) {
            return Err(ReplayError::Differs {
                record,
                recorded: std::mem::take(&mut self.recorded),
                decided: std::mem::take(&mut self.decided),
            });
        }
        self.recorded.clear();
        Ok(())
    }

    /// Whether what is decided is what was recorded: byte for byte, or, where what was recorded is believed, about the
    /// same orders with the same outcome.
    fn agrees(&self, may_lack_records: bool) -> bool {
        let (recorded, decided) = (&self.recorded, &self.decided);
        let is_complete =
            recorded.len() == decided.len() || (may_lack_records && recorded.len() < decided.len());
        is_complete
            && recorded.iter().zip(decided).all(|(then, now)| match self.belief {
                Belief::Recompute => bytes_of(then) == bytes_of(now),
                Belief::Recorded => {
                    (then.order_id, then.deny_reason == 0) == (now.order_id, now.deny_reason == 0)
                }
            })
    }
}

fn bytes_of(decision: &Decision) -> [u8; Decision::BYTES] {
    let mut bytes = [0; Decision::BYTES];
    decision.encode(&mut bytes);
    bytes
}
