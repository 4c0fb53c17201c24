//! Carries out what was asked for, and leaves an audit line for each command.

use std::cmp::Ordering;
use std::sync::atomic::{self, fence};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::codec::journal::KillCommand;
use crate::control::command::{Answer, Code, Request};
use crate::ring::Producer;
use crate::runtime::{Clock, Lifecycle, Phase};
use crate::telemetry::{Latency, Registry};
use crate::types::{KillAction, KillScope};

/// How often a full ring is tried again and risk's confirmation is looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// The gauge in which risk says which command it took last, applied or refused.
const TAKEN_GAUGE: &str = "risk_kill_command_id";

/// The gauge in which risk says which command it refused last; set before [`TAKEN_GAUGE`].
const REFUSED_GAUGE: &str = "risk_kill_refused_id";

/// Everything a request may touch.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) registry: Registry,
    pub(super) lifecycle: Lifecycle,
    pub(super) clock: Clock,
    /// The ring control_risk, and the number of the last command; absent in a process without risk.
    kill: Option<Mutex<(Producer, u64)>>,
    confirm_timeout: Duration,
    /// Agents that did not move when they were last looked at.
    stalled: watch::Receiver<Vec<&'static str>>,
}

impl Desk {
    pub(super) fn new(
        registry: Registry,
        lifecycle: Lifecycle,
        clock: Clock,
        kill: Option<Producer>,
        confirm_timeout: Duration,
        stalled: watch::Receiver<Vec<&'static str>>,
    ) -> Desk {
        let kill = kill.map(|producer| Mutex::new((producer, 0)));
        Desk { registry, lifecycle, clock, kill, confirm_timeout, stalled }
    }

    /// Carries out `request` of `from`, a text that says which way and whose it is.
    pub(super) async fn execute(&self, request: &Request, from: &str) -> Answer {
        if *request == (Request::Status {}) {
            return Answer { status: Some(self.status()), ..Answer::done() };
        }
        // Told before it is carried out too: a peer that goes away meanwhile ends this without an answer.
        tracing::info!(target: "audit", from, ?request, "command received");
        let answer = match request {
            Request::Status {} => Answer::done(),
            Request::Stop { now } => {
                self.lifecycle.advance(if *now { Phase::Stopping } else { Phase::Draining });
                Answer::done()
            }
            Request::Kill { .. } | Request::Rearm { .. } => match request.kill_command() {
                Ok(Some(command)) => self.kill(command).await,
                Ok(None) => Answer::refused(Code::BadRequest, "not a kill switch command"),
                Err(refusal) => refusal,
            },
        };
        let Answer { ok, command_id, code, error, .. } = &answer;
        tracing::info!(target: "audit", from, ?request, ok, command_id, ?code, error, "command answered");
        answer
    }

    /// Puts `command` into control_risk and waits until risk says what became of it.
    async fn kill(&self, mut command: KillCommand) -> Answer {
        let Some(kill) = &self.kill else {
            return Answer::refused(Code::Unavailable, "this process has no risk agent");
        };
        let deadline = tokio::time::Instant::now() + self.confirm_timeout;
        // The lock is held only while the ring is full: commands go out one after another and in the order of their
        // numbers, but wait for their confirmations side by side.
        let mut sender = kill.lock().await;
        let (producer, last_id) = &mut *sender;
        command.command_id = self.next_id(*last_id);
        while producer.send(&command).is_err() {
            if tokio::time::Instant::now() >= deadline {
                let error = "risk reads no commands: the ring control_risk is full";
                return Answer::refused(Code::Unavailable, error);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        *last_id = command.command_id;
        drop(sender);
        let answer = loop {
            if let Some(answer) = self.outcome(&command) {
                break answer;
            }
            if tokio::time::Instant::now() >= deadline {
                let error = "sent, but risk did not confirm in time; it may still apply it";
                break Answer::refused(Code::NotConfirmed, error);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        Answer { command_id: Some(command.command_id), ..answer }
    }

    /// What risk made of `command`; `None` where it has not taken it yet. Numbers only grow, so a later one taken says that
    /// this one was taken too.
    fn outcome(&self, command: &KillCommand) -> Option<Answer> {
        if self.taken_id() < command.command_id {
            return None;
        }
        // Risk sets what it refused first.
        fence(atomic::Ordering::Acquire);
        let refused_id = self.registry.read(REFUSED_GAUGE).unwrap_or(0);
        Some(match refused_id.cmp(&command.command_id) {
            Ordering::Less => Answer::done(),
            Ordering::Equal => not_configured(command),
            Ordering::Greater => {
                let error = "risk took it, and refused a later one before this one's outcome was seen; send it again";
                Answer::refused(Code::NotConfirmed, error)
            }
        })
    }

    /// Microseconds of UTC, or one more than what was used before: grows across restarts too.
    fn next_id(&self, last_id: u64) -> u64 {
        let micros = self.clock.utc(self.clock.now()).0 / 1_000;
        micros.max(last_id + 1).max(self.taken_id() + 1)
    }

    fn taken_id(&self) -> u64 {
        self.registry.read(TAKEN_GAUGE).unwrap_or(0)
    }

    /// Whether all is well, and what it was judged by.
    pub(super) fn health(&self) -> (bool, Value) {
        let phase = self.lifecycle.phase();
        let stalled = self.stalled.borrow().clone();
        let links = self.registry.link_values();
        let are_links_up = links.iter().all(|link| link.up || !link.required);
        let is_healthy = phase == Phase::Running && stalled.is_empty() && are_links_up;
        let agents =
            self.registry.agent_values().into_iter().map(
                |agent| json!({ "name": agent.name, "alive": !stalled.contains(&agent.name) }),
            );
        let agents: Vec<Value> = agents.collect();
        let report = json!({
            "healthy": is_healthy, "phase": phase_name(phase), "agents": agents, "links": links,
        });
        (is_healthy, report)
    }

    pub(super) fn status(&self) -> Value {
        let (_, mut status) = self.health();
        status["version"] = env!("CARGO_PKG_VERSION").into();
        status["kill_command_id"] = self.taken_id().into();
        let agents = self.registry.agent_values().into_iter().map(|agent| {
            let mut numbers = serde_json::Map::new();
            numbers.insert("name".to_owned(), agent.name.into());
            numbers
                .insert("alive".to_owned(), (!self.stalled.borrow().contains(&agent.name)).into());
            for counter in &agent.counters {
                let name = counter.row.name.trim_start_matches("agent_");
                numbers.insert(name.to_owned(), counter.value.into());
            }
            Value::Object(numbers)
        });
        status["agents"] = agents.collect();
        status
    }

    pub(super) fn counters(&self) -> Value {
        let counters = self.registry.counter_values();
        let counters = counters.iter().map(|c| (c.row.name.to_owned(), json!(c.value)));
        let agents = self.registry.agent_values().into_iter().map(|agent| {
            let numbers = agent.counters.iter().map(|c| (c.row.name.to_owned(), json!(c.value)));
            (agent.name.to_owned(), Value::Object(numbers.collect()))
        });
        json!({
            "counters": Value::Object(counters.collect()),
            "agents": Value::Object(agents.collect()),
        })
    }

    pub(super) fn histograms(&self) -> Value {
        let snapshot = self.registry.snapshot();
        let latencies = snapshot.histograms.iter().map(|value| {
            let mut latency = json!(Latency::of(&value.histogram));
            latency["overflow_count"] = value.overflow_count.into();
            (value.row.name.to_owned(), latency)
        });
        json!({ "latency_ns": Value::Object(latencies.collect()) })
    }
}

/// The answer to a command for something risk does not know.
fn not_configured(command: &KillCommand) -> Answer {
    let scope = match command.kill_scope {
        KillScope::Firm => "firm",
        KillScope::Venue => "venue",
        KillScope::Account => "account",
        KillScope::Session => "session",
        KillScope::Instrument => "instrument",
    };
    let nothing = match command.kill_action {
        KillAction::Kill | KillAction::KillAndCancel => "nothing was stopped",
        KillAction::Rearm => "nothing was let pass",
    };
    let error = format!("no such {scope} {} in the configuration; {nothing}", command.id);
    Answer::refused(Code::NotConfigured, error)
}

/// The phase as people read it.
pub(super) fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
    }
}
