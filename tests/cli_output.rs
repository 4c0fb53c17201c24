//! Every subcommand into a pipe whose reader went away, and onto a full disk: the first is no fault of the command, the
//! second is told.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use postern::codec::journal::Decision;
use postern::gate::{DecisionLog, Room};
use postern::journal::{JournalConfig, open};
use postern::sim::day::{BUFFER_BYTES, Day, DayConfig};
use postern::sim::day_file::BinaryFile;
use postern::telemetry::Registry;
use postern::types::{ClOrdId, Nanos, OrderId, RequestKind, SessionId, UtcNanos};
use tempfile::TempDir;

fn postern(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The exit status and what was said, with nobody at the other end of standard output.
fn into_a_closed_pipe(arguments: &[&str]) -> (ExitStatus, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = postern(arguments).stdout(writer).output().expect("it runs");
    (output.status, String::from_utf8(output.stderr).expect("text"))
}

fn onto_a_full_disk(arguments: &[&str]) -> (ExitStatus, String) {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = postern(arguments).stdout(full).output().expect("it runs");
    (output.status, String::from_utf8(output.stderr).expect("text"))
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn day(&self) -> String {
        let config = DayConfig { messages: 500, symbols: 4, orders: 60, seed: 5 };
        let mut day = Day::new(config).expect("enough messages");
        let mut file = BinaryFile::new(File::create(self.path("day.itch")).expect("created"));
        let mut buffer = [0; BUFFER_BYTES];
        while let Some(length) = day.next_message(&mut buffer) {
            file.push(&buffer[..length]).expect("written");
        }
        file.finish().expect("written");
        self.name("day.itch")
    }

    fn log(&self) -> String {
        let (day, log) = (self.day(), self.name("day.hlog"));
        let made = postern(&["replay", &day, "--hlog", &log]).output().expect("it runs");
        assert!(made.status.success(), "{made:?}");
        log
    }

    fn journal(&self) -> String {
        let directory = self.path("journal");
        let config =
            JournalConfig { segment_bytes: 64 << 10, ..JournalConfig::new(directory, [7; 32]) };
        let (mut writer, _agent) =
            open(&config, Nanos(1), UtcNanos(2), &Registry::new()).expect("opens");
        for number in 1..200 {
            assert!(writer.has_room(1, Room::Ordinary));
            let decision = Decision {
                order_id: OrderId(number),
                cl_ord_id: ClOrdId(number),
                reference_px: None,
                limit_value: None,
                value: None,
                session_id: SessionId(1),
                deny_reason: 0,
                decision_kind: RequestKind::New,
            };
            writer.record(Nanos(number), &decision);
        }
        self.name("journal")
    }

    fn config(&self) -> String {
        std::fs::write(self.path("postern.toml"), "[gateway]\nlayout = \"fused\"\n")
            .expect("written");
        self.name("postern.toml")
    }
}

/// Whatever prints an answer from files alone, with that answer's own exit status.
fn answers(folder: &Folder) -> Vec<Vec<String>> {
    let (day, log) = (folder.day(), folder.log());
    let (journal, config) = (folder.journal(), folder.config());
    let json = ["--output", "json"];
    let all: [&[&str]; 12] = [
        &["replay", &day],
        &["replay", &day, json[0], json[1]],
        &["hist", &log],
        &["hist", &log, "--percentiles"],
        &["hist", &log, json[0], json[1]],
        &["journal", "dump", &journal],
        &["journal", "dump", &journal, json[0], json[1]],
        &["journal", "verify", &journal],
        &["check", "--config", &config],
        &["check", json[0], json[1]],
        &["run", "--print-default"],
        &["run", "--check", "--config", &config],
    ];
    all.iter().map(|one| one.iter().map(|&word| word.to_owned()).collect()).collect()
}

#[test]
fn a_reader_that_went_away_is_no_fault() {
    let folder = Folder::new();
    for arguments in answers(&folder) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // `check` says by its status whether the machine is fit, read or not.
        let read = postern(&arguments).output().expect("it runs");
        let (status, told) = into_a_closed_pipe(&arguments);
        assert_eq!((status.code(), told.as_str()), (read.status.code(), ""), "{arguments:?}");
    }
    let (status, told) = into_a_closed_pipe(&["generate", "itch", "--messages", "1000000"]);
    assert_eq!((status.code(), told.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_told_by_every_answer() {
    let folder = Folder::new();
    for arguments in answers(&folder) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (status, told) = onto_a_full_disk(&arguments);
        assert_eq!(status.code(), Some(1), "{arguments:?}: {told}");
        assert!(told.contains("No space left on device"), "{arguments:?}: {told}");
    }
    let (status, told) = onto_a_full_disk(&["generate", "itch", "--messages", "100000"]);
    assert_eq!(status.code(), Some(1));
    assert!(told.starts_with("postern generate: standard output: No space left"), "{told}");
}

/// One answer, to one command, as a daemon gives it.
fn daemon(socket: &Path, answer: &'static str) -> impl FnOnce() {
    let listener = UnixListener::bind(socket).expect("a socket");
    move || {
        let (stream, _) = listener.accept().expect("a command");
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).expect("a line");
        (&stream).write_all(answer.as_bytes()).expect("answered");
    }
}

#[test]
fn a_command_to_the_daemon_was_given_whoever_reads_of_it() {
    for (answer, code) in
        [("{\"ok\":true}\n", 0), ("{\"ok\":false,\"error\":\"no such account\"}\n", 1)]
    {
        for output in ["text", "json"] {
            let folder = Folder::new();
            let socket = folder.path("control.sock");
            let serve = daemon(&socket, answer);
            let (status, told) = std::thread::scope(|scope| {
                let served = std::thread::Builder::new().spawn_scoped(scope, serve);
                served.expect("a thread");
                into_a_closed_pipe(&[
                    "ctl",
                    "stop",
                    "--socket",
                    &folder.name("control.sock"),
                    "--output",
                    output,
                ])
            });
            assert_eq!(status.code(), Some(code), "{told}");
            assert_eq!(told.is_empty(), code == 0, "{told}");
        }
    }
}
