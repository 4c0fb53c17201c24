//! Control over real sockets: HTTP, the unix socket, `postern ctl`, and systemd's notify socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::Parser;
use postern::cmd::ctl;
use postern::codec::journal::{Journal, KillCommand};
use postern::control::{ControlConfig, Reach, Server};
use postern::ring::{Backing, Consumer, RingConfig, ring};
use postern::runtime::{Clock, Lifecycle, Phase};
use postern::telemetry::{Need, Registry};
use postern::types::{KillAction, KillScope};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A control thread, and what it talks to.
struct Rig {
    directory: TempDir,
    registry: Registry,
    lifecycle: Lifecycle,
    http: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Rig {
    /// Control over `slots` of control_risk, whose other end is given back.
    fn start(slots: usize, http_commands: bool, confirm_ms: u64) -> (Rig, Consumer) {
        let directory = TempDir::new().expect("a directory");
        let (registry, lifecycle) = (Registry::new(), Lifecycle::new());
        let config = RingConfig { name: "control_risk", slots, backing: Backing::Heap };
        let (producer, consumer) = ring(&config).expect("a ring");
        let config = ControlConfig {
            http: Some("127.0.0.1:0".parse().expect("an address")),
            http_commands,
            socket: Some(directory.path().join("control.sock")),
            confirm_timeout: Duration::from_millis(confirm_ms),
        };
        let reach = Reach {
            registry: registry.clone(),
            lifecycle: lifecycle.clone(),
            clock: Clock::start(),
            control_risk: Some(producer),
        };
        let server = Server::bind(&config, reach).expect("free sockets");
        let http = server.http_address().expect("a port");
        let thread = spawn("control", move || server.run().expect("control runs"));
        (Rig { directory, registry, lifecycle, http, thread: Some(thread) }, consumer)
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Sends bytes to the unix socket and reads the answers until the server closes or `count` lines came.
    fn lines(&self, bytes: &[u8], count: usize) -> Vec<Value> {
        let mut stream = UnixStream::connect(self.socket()).expect("a socket");
        stream.write_all(bytes).expect("sent");
        let lines = BufReader::new(stream).lines().take(count);
        lines.map(|line| serde_json::from_str(&line.expect("a line")).expect("JSON")).collect()
    }

    /// One HTTP exchange: status and body.
    fn http(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.http).expect("a port");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        let status = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a status");
        let (_, body) = text.split_once("\r\n\r\n").expect("a body");
        (status, body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.http(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    fn get_json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path);
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    fn post(&self, body: &str, headers: &str) -> (u16, Value) {
        let length = body.len();
        let (status, body) = self.http(&format!(
            "POST /command HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        ));
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Runs `postern ctl` with these arguments against the rig.
    fn ctl(&self, arguments: &[&str]) -> Result<String, ctl::CtlError> {
        let socket = self.socket().display().to_string();
        ctl(&[&["--socket", &socket], arguments].concat())
    }

    /// Asks until `is_so`; each round is a whole exchange with the server.
    fn until(&self, path: &str, is_so: impl Fn(u16, &Value) -> bool) -> Value {
        loop {
            let (status, body) = self.get_json(path);
            if is_so(status, &body) {
                return body;
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.lifecycle.advance(Phase::Stopping);
        let ended = self.thread.take().expect("joined once").join();
        if !thread::panicking() {
            ended.expect("control ended well");
            assert!(!self.directory.path().join("control.sock").exists(), "the socket is removed");
        }
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread")
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ctl::Args,
}

fn ctl(arguments: &[&str]) -> Result<String, ctl::CtlError> {
    let cli = Cli::try_parse_from([&["ctl"], arguments].concat()).expect("right arguments");
    let mut out = Vec::new();
    ctl::report(&cli.args, &mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

/// Plays risk: reads commands from the ring and says that it took them, until dropped. It knows no number above 9.
struct Risk {
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    seen: std::sync::mpsc::Receiver<KillCommand>,
}

impl Risk {
    fn start(mut consumer: Consumer, registry: &Registry) -> Risk {
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let taken = registry.counter("risk_kill_command_id");
        let refused = registry.counter("risk_kill_refused_id");
        let (sender, seen) = std::sync::mpsc::channel();
        let thread = spawn("risk", move || {
            while !ended.load(Ordering::Relaxed) {
                if let Some(bytes) = consumer.peek() {
                    let Ok(Journal::KillCommand(command)) = Journal::decode(bytes) else {
                        panic!("control_risk carries kill commands only");
                    };
                    consumer.release();
                    sender.send(command).expect("the test waits");
                    if command.id > 9 {
                        refused.set(command.command_id);
                    }
                    fence(Ordering::Release);
                    taken.set(command.command_id);
                }
                thread::yield_now();
            }
        });
        Risk { has_ended, thread: Some(thread), seen }
    }

    fn next(&self) -> KillCommand {
        self.seen.recv_timeout(Duration::from_secs(20)).expect("a command")
    }
}

impl Drop for Risk {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
        let ended = self.thread.take().expect("joined once").join();
        assert!(thread::panicking() || ended.is_ok());
    }
}

const JSON: &str = "Host: localhost\r\nContent-Type: application/json\r\n";

#[test]
fn a_kill_goes_through_the_ring_and_is_confirmed() {
    let (rig, consumer) = Rig::start(8, true, 20_000);
    let risk = Risk::start(consumer, &rig.registry);
    let text = rig
        .ctl(&[
            "kill",
            "account",
            "7",
            "--cancel",
            "yes",
            "--operator",
            "ann",
            "--reason",
            "runaway",
        ])
        .expect("confirmed");
    let kill = risk.next();
    assert_eq!((kill.kill_scope, kill.id), (KillScope::Account, 7));
    assert_eq!(kill.kill_action, KillAction::KillAndCancel);
    assert!(kill.operator_name.starts_with(b"ann\0") && kill.reason.starts_with(b"runaway\0"));
    assert_eq!(text, format!("done: risk applied command {}\n", kill.command_id));
    let text = rig
        .ctl(&["rearm", "account", "7", "--operator", "bob", "--reason", "ok", "--output", "json"])
        .expect("confirmed");
    let rearm = risk.next();
    assert_eq!(rearm.kill_action, KillAction::Rearm);
    assert!(rearm.command_id > kill.command_id, "numbers grow");
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer, json!({ "ok": true, "command_id": rearm.command_id }));
    let body = r#"{"verb":"kill","scope":"firm","cancel":false,"operator":"cy","reason":"drill"}"#;
    let (status, answer) = rig.post(body, JSON);
    let kill = risk.next();
    assert_eq!((status, &answer["command_id"]), (200, &json!(kill.command_id)));
    assert_eq!((kill.kill_scope, kill.kill_action), (KillScope::Firm, KillAction::Kill));
    let status = rig.ctl(&["status"]).expect("status");
    assert!(status.contains(&format!("last kill switch command: {}", kill.command_id)), "{status}");
}

#[test]
fn a_kill_of_what_is_not_configured_is_never_called_done() {
    let (rig, consumer) = Rig::start(8, true, 20_000);
    let risk = Risk::start(consumer, &rig.registry);
    let words = ["--operator", "ann", "--reason", "typo"];
    let kill = [&["kill", "account", "77", "--cancel", "yes"][..], &words].concat();
    let error = rig.ctl(&kill).expect_err("refused");
    let id = risk.next().command_id;
    assert_eq!(error.exit_status(), 1);
    let expected =
        format!("no such account 77 in the configuration; nothing was stopped (command {id})");
    assert_eq!(error.to_string(), expected);
    let rearm = [&["rearm", "venue", "10"][..], &words].concat();
    let error = rig.ctl(&rearm).expect_err("refused").to_string();
    assert!(error.contains("no such venue 10") && error.contains("let pass"), "{error}");
    risk.next();
    let kill =
        r#"{"verb":"kill","scope":"session","id":10,"cancel":false,"operator":"a","reason":"b"}"#;
    let (status, answer) = rig.post(kill, JSON);
    let id = risk.next().command_id;
    assert_eq!(
        (status, &answer["code"], &answer["ok"]),
        (422, &json!("not_configured"), &json!(false))
    );
    assert_eq!(answer["command_id"], id);
    // A refusal before it does not spoil the next one.
    let kill = [&["kill", "account", "7", "--cancel", "yes"][..], &words].concat();
    rig.ctl(&kill).expect("applied");
}

/// Risk shows only its last refusal: of a command before it control cannot say that it was applied.
#[test]
fn a_later_refusal_leaves_an_earlier_command_unconfirmed() {
    let (rig, mut consumer) = Rig::start(8, true, 20_000);
    let taken = rig.registry.counter("risk_kill_command_id");
    let refused = rig.registry.counter("risk_kill_refused_id");
    // Numbers of commands are microseconds of UTC: these two are of a time to come.
    let later = u64::MAX / 2;
    let kill = ["kill", "firm", "--cancel", "yes", "--operator", "ann", "--reason", "drill"];
    let error = thread::scope(|scope| {
        let asked = scope.spawn(|| rig.ctl(&kill));
        while consumer.peek().is_none() {
            thread::yield_now();
        }
        refused.set(later);
        fence(Ordering::Release);
        taken.set(later);
        asked.join().expect("asked").expect_err("unknown")
    });
    assert_eq!(error.exit_status(), 3);
    assert!(error.to_string().contains("send it again"), "{error}");
}

#[test]
fn without_risk_a_kill_is_never_called_done() {
    let (rig, mut consumer) = Rig::start(2, false, 30);
    let kill = ["kill", "firm", "--cancel", "yes", "--operator", "ann", "--reason", "drill"];
    for _ in 0..2 {
        let error = rig.ctl(&kill).expect_err("nobody confirms");
        assert_eq!(error.exit_status(), 3);
        assert!(error.to_string().contains("may still apply"), "{error}");
    }
    let error = rig.ctl(&kill).expect_err("the ring is full");
    assert_eq!(error.exit_status(), 1);
    assert!(error.to_string().contains("control_risk is full"), "{error}");
    // What was sent before is still there, once each and in order.
    let mut ids = Vec::new();
    while let Some(bytes) = consumer.peek() {
        let Ok(Journal::KillCommand(command)) = Journal::decode(bytes) else { panic!("a kill") };
        ids.push(command.command_id);
        consumer.release();
    }
    assert!(ids.len() == 2 && ids[0] < ids[1], "{ids:?}");
}

#[test]
fn bad_lines_are_answered_and_the_conversation_goes_on() {
    let (rig, _consumer) = Rig::start(2, false, 30);
    let bytes = b"nonsense\n{\"verb\":\"explode\"}\n\xff\xfe\n\n{\"verb\":\"status\"}\n";
    let answers = rig.lines(bytes, 5);
    for answer in &answers[..4] {
        assert_eq!((&answer["ok"], &answer["code"]), (&json!(false), &json!("bad_request")));
    }
    assert!(answers[1]["error"].as_str().is_some_and(|error| error.contains("explode")));
    assert_eq!(answers[4]["ok"], true);
    assert_eq!(answers[4]["status"]["phase"], "starting");
    // One line that never ends: refused at the limit, and the server closes.
    let answers = rig.lines(&[b'x'; 5_000], 9);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["code"], "too_long");
    // A line cut short by the peer's end is answered as what it is: no request.
    let mut stream = UnixStream::connect(rig.socket()).expect("a socket");
    stream.write_all(b"{\"verb\":\"sta").expect("sent");
    stream.shutdown(std::net::Shutdown::Write).expect("half closed");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.contains("bad_request"), "{text}");
}

#[test]
fn http_reads_are_open_and_commands_are_not() {
    let (rig, mut consumer) = Rig::start(2, false, 30);
    rig.registry.counter("feed_packet_count").add(5);
    let recorder = rig.registry.recorder("gateway");
    (1..=100).for_each(|ns| recorder.record(ns));
    rig.registry.agent_metrics("risk").work_count.add(9);
    let (status, text) = rig.get("/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("\npostern_feed_packet_count 5\n"), "{text}");
    let (_, counters) = rig.get_json("/counters");
    assert_eq!(counters["counters"]["feed_packet_count"], 5);
    assert_eq!(counters["agents"]["risk"]["agent_work_count"], 9);
    let (_, histograms) = rig.get_json("/histograms");
    let gateway = &histograms["latency_ns"]["gateway"];
    assert_eq!((&gateway["p50"], &gateway["count"]), (&json!(50), &json!(100)));
    assert_eq!(rig.get("/nothing").0, 404);
    assert_eq!(rig.get("/command").0, 405);
    let kill = r#"{"verb":"kill","scope":"firm","cancel":true,"operator":"a","reason":"b"}"#;
    let (status, answer) = rig.post(kill, JSON);
    assert_eq!((status, &answer["code"]), (403, &json!("not_allowed")));
    assert!(consumer.peek().is_none(), "nothing was sent");
}

#[test]
fn http_survives_what_is_no_http() {
    let (rig, _consumer) = Rig::start(2, true, 30);
    let long = [b"GET /".as_slice(), &[b'a'; 100_000]].concat();
    let cut = b"POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{\"verb\"";
    for bytes in [&b"\0\xff\r\n\r\n"[..], b"GET", b"GET / HTTP/9.9\r\n\r\n", cut, &long] {
        let mut stream = TcpStream::connect(rig.http).expect("a port");
        // The server may refuse and close before it has taken everything.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
        assert_eq!(rig.get("/counters").0, 200);
    }
}

#[test]
fn http_commands_want_a_json_body_for_this_host() {
    let (rig, mut consumer) = Rig::start(2, true, 30);
    let kill = r#"{"verb":"kill","scope":"firm","cancel":true,"operator":"a","reason":"b"}"#;
    let cases = [
        (kill, "Host: localhost\r\nContent-Type: text/plain\r\n", 403),
        (kill, "Host: evil.example\r\nContent-Type: application/json\r\n", 403),
        ("{}", JSON, 400),
        (&"x".repeat(5_000), JSON, 413),
        (kill, JSON, 504),
    ];
    for (body, headers, expected) in cases {
        assert_eq!(rig.post(body, headers).0, expected, "{headers}{body}");
    }
    assert!(consumer.peek().is_some(), "only the last was sent");
    consumer.release();
    assert!(consumer.peek().is_none());
}

#[test]
fn health_follows_phase_links_and_agents() {
    let (rig, _consumer) = Rig::start(2, false, 30);
    let (status, body) = rig.get_json("/health");
    assert_eq!((status, &body["phase"]), (503, &json!("starting")));
    let venue = rig.registry.link("venue sim", Need::Required);
    rig.registry.link("session 1", Need::Optional);
    rig.lifecycle.advance(Phase::Running);
    assert_eq!(rig.get_json("/health").0, 503, "a required link is down");
    venue.set(true);
    let (status, body) = rig.get_json("/health");
    assert_eq!((status, &body["healthy"]), (200, &json!(true)), "{body}");
    assert_eq!(body["links"][1], json!({ "name": "session 1", "required": false, "up": false }));
    // An agent that never moves is found out; one that does is not.
    rig.registry.agent_metrics("risk");
    let entry = rig.registry.agent_metrics("entry");
    let expected = json!([{ "name": "risk", "alive": false }, { "name": "entry", "alive": true }]);
    rig.until("/health", |status, body| {
        entry.cycle_count.increment();
        status == 503 && body["agents"] == expected
    });
    let text = rig.ctl(&["status"]).expect("status");
    assert!(text.contains("NOT healthy") && text.contains("STALLED"), "{text}");
    assert_eq!(rig.ctl(&["stop"]).expect("done"), "done\n");
    assert_eq!(rig.lifecycle.phase(), Phase::Draining);
    rig.until("/health", |_, body| body["phase"] == "draining");
    rig.ctl(&["stop", "--now"]).expect("done");
    assert_eq!(rig.lifecycle.phase(), Phase::Stopping);
}

#[test]
fn the_socket_is_private_and_takes_a_dead_ones_place() {
    let (rig, _consumer) = Rig::start(2, false, 30);
    let mode = std::fs::metadata(rig.socket()).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let bind = |path: PathBuf| {
        let config = ControlConfig { socket: Some(path), ..ControlConfig::default() };
        let reach = Reach {
            registry: Registry::new(),
            lifecycle: Lifecycle::new(),
            clock: Clock::start(),
            control_risk: None,
        };
        Server::bind(&config, reach).map_err(|error| error.to_string())
    };
    let error = bind(rig.socket()).expect_err("another runs");
    assert!(error.contains("control.sock") && error.contains("running already"), "{error}");
    let dead = rig.directory.path().join("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    drop(bind(dead.clone()).expect("the dead one's place"));
    assert!(!dead.exists());
    let file = rig.directory.path().join("file");
    std::fs::write(&file, "precious").expect("a file");
    let error = bind(file.clone()).expect_err("a file is there");
    assert!(error.contains("not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(file).expect("still there"), "precious");
    let error = bind("/proc/nowhere/control.sock".into()).expect_err("no such directory");
    assert!(error.contains("/proc/nowhere/control.sock"), "{error}");
}

#[test]
fn ctl_says_what_to_do_where_nobody_answers() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("none.sock").display().to_string();
    let error = ctl(&["--socket", &path, "status"]).expect_err("nobody there");
    assert_eq!(error.exit_status(), 1);
    let text = error.to_string();
    assert!(text.contains("none.sock") && text.contains("systemctl start postern"), "{text}");
    drop(UnixListener::bind(&path).expect("a socket"));
    let text = ctl(&["status", "--socket", &path]).expect_err("a dead socket").to_string();
    assert!(text.contains("is gone"), "{text}");
    std::fs::remove_file(&path).expect("removed");
    for (answer, expected) in
        [("", "did not answer"), ("hello\n", "no answer"), ("{\"ok\":", "did not")]
    {
        let listener = UnixListener::bind(&path).expect("a socket");
        let peer = spawn("peer", move || {
            let (mut stream, _) = listener.accept().expect("ctl comes");
            let mut line = String::new();
            BufReader::new(stream.try_clone().expect("a copy"))
                .read_line(&mut line)
                .expect("a request");
            stream.write_all(answer.as_bytes()).expect("sent");
        });
        let error = ctl(&["--socket", &path, "status"]).expect_err("no answer");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.exit_status(), 3);
        peer.join().expect("the peer ended well");
        std::fs::remove_file(&path).expect("removed");
    }
    for wrong in [
        &["ctl", "kill", "firm", "--operator", "a", "--reason", "b"][..],
        &["ctl", "rearm", "firm", "--operator", "a"],
        &["ctl", "kill", "planet", "--cancel", "no", "--operator", "a", "--reason", "b"],
    ] {
        assert!(Cli::try_parse_from(wrong).is_err(), "{wrong:?}");
    }
}

/// The other half of the next test, in a process of its own: systemd's variables are the process's.
#[test]
fn systemd_child() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (registry, lifecycle) = (Registry::new(), Lifecycle::new());
    let reach = Reach {
        registry: registry.clone(),
        lifecycle: lifecycle.clone(),
        clock: Clock::start(),
        control_risk: None,
    };
    let server = Server::bind(&ControlConfig::default(), reach).expect("nothing to bind");
    let control = spawn("control", move || server.run().expect("control runs"));
    let agent = registry.agent_metrics("risk");
    let mut commands = std::io::stdin().lines().map(|line| line.expect("a line"));
    assert_eq!(commands.next().as_deref(), Some("run"));
    lifecycle.advance(Phase::Running);
    let is_still = Arc::new(AtomicBool::new(false));
    let stop_moving = Arc::clone(&is_still);
    let mover = spawn("risk", move || {
        while !stop_moving.load(Ordering::Relaxed) {
            agent.cycle_count.increment();
            thread::yield_now();
        }
    });
    assert_eq!(commands.next().as_deref(), Some("hang"));
    is_still.store(true, Ordering::Relaxed);
    mover.join().expect("moved");
    assert_eq!(commands.next().as_deref(), Some("stop"));
    lifecycle.advance(Phase::Draining);
    assert_eq!(commands.next().as_deref(), Some("end"));
    lifecycle.advance(Phase::Stopping);
    control.join().expect("control ended well");
}

#[test]
fn systemd_hears_ready_watchdog_and_stopping() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "systemd_child"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a child");
    let mut stdin = child.stdin.take().expect("piped");
    let hear = || {
        let mut bytes = [0; 512];
        let count = socket.recv(&mut bytes).expect("a notification");
        String::from_utf8_lossy(&bytes[..count]).trim_end().to_owned()
    };
    // On a busy machine an agent may seem to hang for a moment, so what is waited for need not come next.
    let hear_until = |is_so: &dyn Fn(&str) -> bool| {
        std::iter::repeat_with(hear).find(|text| is_so(text)).expect("the iterator is endless")
    };
    stdin.write_all(b"run\n").expect("sent");
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "STATUS=running; 0 of 0 links up");
    for _ in 0..3 {
        hear_until(&|text| text == "WATCHDOG=1");
    }
    stdin.write_all(b"hang\n").expect("sent");
    let told = hear_until(&|text| text.contains("do not move"));
    assert_eq!(told, "STATUS=running; 0 of 0 links up; agents that do not move: risk");
    stdin.write_all(b"stop\n").expect("sent");
    hear_until(&|text| text == "STOPPING=1");
    assert_eq!(hear(), "STATUS=draining; 0 of 0 links up");
    stdin.write_all(b"end\n").expect("sent");
    assert!(child.wait().expect("it ends").success());
}
