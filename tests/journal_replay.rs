//! The agent with real rings and a real journal: what it did replays to the same bytes, and survives its process.

mod risk_support;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use postern::codec::journal::{Decision, Journal, VenueExecution};
use postern::gate::{Approved, Belief, StateMachine};
use postern::journal::{
    JournalAgent, JournalConfig, JournalReader, JournalWriter, ReplayError, Tail, open, recover,
    replay,
};
use postern::risk::{Engine, RiskAgent, RiskConfig};
use postern::runtime::{Agent, Clock, Phase};
use postern::telemetry::Registry;
use postern::types::{ExecId, ExecType, Nanos, OrdStatus, OrderId, UtcNanos};
use risk_support::rings::{OtherEnds, rings};
use risk_support::{Script, config, opening};

/// Risk and the journal, with the other ends of the rings.
struct Bench {
    risk: RiskAgent<JournalWriter>,
    journal: JournalAgent,
    ends: OtherEnds,
    now: u64,
}

fn test_config() -> RiskConfig {
    let mut config = config();
    // Wide enough for the script to go on trading.
    for session in &mut config.sessions {
        session.rate.window_messages = 10_000;
    }
    config
}

impl Bench {
    /// Recovers from `directory` and goes on in it.
    fn start(directory: &Path, config: &RiskConfig) -> Bench {
        let registry = Registry::new();
        let mut engine = Engine::new(config).expect("valid");
        recover(directory, &mut engine).expect("recovers");
        let journal_config = JournalConfig {
            segment_bytes: 256 * 1024,
            ..JournalConfig::new(directory.to_path_buf(), config.digest())
        };
        let (writer, journal) =
            open(&journal_config, Nanos(1), UtcNanos(0), &registry).expect("opens");
        let (rings, ends) = rings(64, 64);
        let mut risk =
            RiskAgent::new(engine, writer, rings, Clock::start(), &registry, Arc::default());
        risk.on_start(Nanos(1)).expect("starts");
        Bench { risk, journal, ends, now: 1 }
    }

    /// A duty cycle of both agents; what reached the router is handed to `sent`.
    fn cycle(&mut self, mut sent: impl FnMut(Approved)) {
        self.now += 40_000;
        self.risk.poll(Nanos(self.now)).expect("runs");
        self.journal.poll(Nanos(self.now)).expect("runs");
        self.ends.sent().into_iter().for_each(&mut sent);
        self.ends.told();
    }

    /// Plays `steps` of a script, and tells it of approvals. The venue does what it is asked to cancel.
    fn play(&mut self, script: &mut Script, steps: u64, mut sent: impl FnMut(OrderId)) {
        let mut inputs = opening();
        inputs.reverse();
        let mut cancels: Vec<OrderId> = Vec::new();
        let mut step = 0;
        while step < steps {
            let input = match inputs.pop() {
                Some(input) => input,
                None => {
                    step += 1;
                    script.next()
                }
            };
            for order_id in cancels.drain(..) {
                script.next_exec += 1;
                self.ends.put(&canceled(order_id, script.next_exec).into());
            }
            self.ends.put(&input);
            let mut approved = None;
            self.cycle(|message| match message {
                Approved::Order(order) => {
                    sent(order.order_id);
                    approved = Some(order.order_id);
                }
                Approved::Replace(replace) => approved = Some(replace.order_id),
                Approved::Cancel(cancel) => cancels.push(cancel.order_id),
                Approved::Kill(_) => {}
            });
            if let Some(id) = approved {
                script.approved(&input, id);
            }
        }
    }
}

fn canceled(order_id: OrderId, number: u64) -> VenueExecution {
    VenueExecution {
        order_id,
        exec_id: ExecId(number),
        ingress_time: Nanos(0),
        price: None,
        last_px: None,
        order_qty: 0,
        last_qty: 0,
        cum_qty: 0,
        leaves_qty: 0,
        sent_delta: 0,
        ord_rej_reason: 0,
        exec_type: ExecType::Canceled,
        ord_status: OrdStatus::Canceled,
    }
}

fn replayed(
    directory: &Path,
    config: &RiskConfig,
    belief: Belief,
) -> (postern::journal::Replayed, u64) {
    let mut engine = Engine::new(config).expect("valid");
    let mut reader = JournalReader::open(directory).expect("opens");
    let done = replay(&mut reader, &mut engine, belief).expect("replays");
    (done, StateMachine::digest(&engine))
}

#[test]
fn long_runs_replay_to_the_same_decisions_and_the_same_state() {
    let (directory, config) = (tempfile::tempdir().expect("a directory"), test_config());
    let mut script = Script::new(1);
    for run in 0..3 {
        let mut bench = Bench::start(directory.path(), &config);
        bench.play(&mut script, 20_000, |_| ());
        let live = bench.risk.engine().digest();
        let (recomputed, digest) = replayed(directory.path(), &config, Belief::Recompute);
        assert_eq!(digest, live, "run {run}, decided again");
        assert_eq!(
            replayed(directory.path(), &config, Belief::Recorded).1,
            live,
            "run {run}, believed"
        );
        assert_eq!((recomputed.undecided, recomputed.runs), (0, run + 1));
        assert!(recomputed.decisions > 5_000 * (run + 1));
        assert_eq!(recomputed.tail, Tail::Clean);
        if run == 1 {
            bench.risk.on_phase(Phase::Draining, Nanos(bench.now));
            bench.cycle(|_| ());
        }
    }
}

#[test]
fn recovery_believes_what_was_done_under_other_limits() {
    let (directory, config) = (tempfile::tempdir().expect("a directory"), test_config());
    let mut bench = Bench::start(directory.path(), &config);
    bench.play(&mut Script::new(2), 20_000, |_| ());
    let live: Vec<_> = bench.risk.engine().positions().collect();
    let open = bench.risk.engine().open_order_count();
    drop(bench);
    let mut tighter = config.clone();
    tighter.accounts[0].limits.qty_max = Some(20);
    tighter.accounts[1].instruments[0].1.long_max = Some(0);
    tighter.sessions[0].rate.burst = 1;
    let mut engine = Engine::new(&tighter).expect("valid");
    recover(directory.path(), &mut engine).expect("recovers");
    assert_eq!(engine.positions().collect::<Vec<_>>(), live);
    assert_eq!(engine.open_order_count(), open);
    // Deciding again by the new limits is told to differ.
    let mut engine = Engine::new(&tighter).expect("valid");
    let mut reader = JournalReader::open(directory.path()).expect("opens");
    let differs = replay(&mut reader, &mut engine, Belief::Recompute);
    assert!(matches!(differs, Err(ReplayError::Differs { .. })), "{differs:?}");
    // What has no place any more stops the start.
    let mut narrower = config;
    narrower.sessions.retain(|session| session.id.0 != 1);
    let mut engine = Engine::new(&narrower).expect("valid");
    let refused = recover(directory.path(), &mut engine);
    assert!(matches!(refused, Err(ReplayError::CannotRestore { .. })), "{refused:?}");
}

#[test]
fn an_empty_journal_recovers_to_nothing() {
    let mut engine = Engine::new(&config()).expect("valid");
    let fresh = engine.digest();
    let done = recover(Path::new("/nonexistent/journal"), &mut engine).expect("recovers");
    assert_eq!((done.records, engine.digest()), (0, fresh));
}

/// Set for the process that is to be killed: where its journal is.
const CHILD: &str = "POSTERN_TEST_JOURNAL_CHILD";
const CHILD_SEED: &str = "POSTERN_TEST_JOURNAL_SEED";

/// The child: trades until it is killed, and says each order it sent, after it sent it. Nothing to do in a normal run.
#[test]
fn child_trades_until_it_is_killed() {
    let Ok(directory) = env::var(CHILD) else { return };
    let seed = env::var(CHILD_SEED).expect("set beside it").parse().expect("a number");
    let mut bench = Bench::start(Path::new(&directory), &test_config());
    let mut script = Script::new(seed);
    script.ids = [seed * 1_000_000_000; 2];
    let mut pipe = fs::OpenOptions::new().write(true).open("/dev/stderr").expect("a pipe");
    bench.play(&mut script, u64::MAX, |id| pipe.write_all(&id.0.to_le_bytes()).expect("read"));
}

#[test]
fn a_process_killed_at_any_instant_loses_nothing_it_sent_and_repeats_nothing() {
    let (directory, config) = (tempfile::tempdir().expect("a directory"), test_config());
    let mut sent = Vec::new();
    for seed in 1..=6u64 {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "child_trades_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, directory.path())
            .env(CHILD_SEED, seed.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut pipe = child.stderr.take().expect("piped");
        // An odd number of orders, then at whatever it is doing.
        let mut bytes =
            vec![0; usize::try_from(8 * (seed * seed * 137 % 1_500 + 1)).expect("small")];
        pipe.read_exact(&mut bytes).expect("it trades");
        child.kill().expect("killed");
        child.wait().expect("dead");
        pipe.read_to_end(&mut bytes).expect("the rest");
        let (ids, _) = bytes.as_chunks::<8>();
        sent.extend(ids.iter().map(|&id| u64::from_le_bytes(id)));

        let mut reader = JournalReader::open(directory.path()).expect("opens");
        let mut approved = Vec::new();
        while let Some(record) = reader.next().expect("no damage") {
            if let Ok(Journal::Decision(Decision {
                order_id, deny_reason: 0, decision_kind, ..
            })) = Journal::decode(record.payload)
                && decision_kind == postern::types::RequestKind::New
            {
                approved.push(order_id.0);
            }
        }
        assert!(approved.is_sorted_by(|a, b| a < b), "no identifier is given twice");
        assert!(sent.is_sorted_by(|a, b| a < b), "nothing is sent twice");
        for id in &sent {
            assert!(approved.binary_search(id).is_ok(), "order {id} was sent and is not recorded");
        }
        let (done, recomputed) = replayed(directory.path(), &config, Belief::Recompute);
        assert_eq!(done.runs, seed);
        assert_eq!(replayed(directory.path(), &config, Belief::Recorded).1, recomputed);
    }
}
