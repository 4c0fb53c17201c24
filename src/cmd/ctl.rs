//! `postern ctl`: talks to a running postern over its control socket.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::cmd::output::{Output, heard};
use crate::control::command::{Answer, Code, Request, Scope};
use crate::telemetry::{human_ns, plain_table};

/// Where the daemon's socket is unless the configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/postern/control.sock";

/// How long an answer may take: longer than the daemon waits for risk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  postern ctl status
  postern ctl kill firm --cancel yes --operator ann --reason 'runaway strategy'
  postern ctl kill account 7 --cancel no --operator ann --reason 'limit review'
  postern ctl rearm account 7 --operator ann --reason 'reviewed'
  postern ctl stop

Exit status: 0 done, 1 refused or no daemon there, 2 wrong arguments, 3 a kill or rearm was sent but not confirmed in
time and may still be applied.";

/// Commands a running postern: kill switch, status, stop.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The daemon's control socket
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, global = true)]
    socket: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    output: Output,
    /// What to do
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Verb {
    /// Refuse new orders and replaces in a scope; cancels always pass
    Kill {
        #[command(flatten)]
        target: Target,
        /// Whether to cancel the open orders in the scope too
        #[arg(long, value_enum)]
        cancel: YesNo,
    },
    /// Let orders pass again in a scope
    Rearm {
        #[command(flatten)]
        target: Target,
    },
    /// Show phase, agents and links
    Status,
    /// End the daemon: cancel open orders, read the last reports, exit
    #[command(alias = "drain")]
    Stop {
        /// Do not wait for orders to be cancelled
        #[arg(long)]
        now: bool,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Target {
    /// What is meant
    #[arg(value_enum)]
    scope: Scope,
    /// Which one, as numbered in the configuration; not for `firm`
    id: Option<u32>,
    /// Who does it: at most 16 bytes of ASCII, journalled
    #[arg(long)]
    operator: String,
    /// Why: at most 48 bytes of ASCII, journalled
    #[arg(long)]
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum YesNo {
    Yes,
    No,
}

/// Why it did not work.
#[derive(Debug)]
#[non_exhaustive]
pub enum CtlError {
    /// Nobody answers at the socket.
    NoDaemon {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The daemon went away or was silent before it answered.
    NoAnswer(io::Error),
    /// What came back is not an answer.
    BadAnswer(String),
    /// The daemon said no.
    Refused(Answer),
    /// The answer could not be printed.
    Output(io::Error),
}

impl CtlError {
    /// The process's exit status.
    pub fn exit_status(&self) -> u8 {
        match self {
            CtlError::Refused(Answer { code: Some(Code::NotConfirmed), .. })
            | CtlError::NoAnswer(_)
            | CtlError::BadAnswer(_) => 3,
            CtlError::NoDaemon { .. } | CtlError::Refused(_) | CtlError::Output(_) => 1,
        }
    }
}

impl fmt::Display for CtlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CtlError::NoDaemon { socket, error } => {
                writeln!(f, "no postern answers at {}: {error}", socket.display())?;
                let kind = error.kind();
                f.write_str(if kind == io::ErrorKind::PermissionDenied {
                    "run this as the user the daemon runs as, or as root"
                } else if kind == io::ErrorKind::ConnectionRefused {
                    "the daemon that made the socket is gone; start it with `systemctl start postern` \
                     or `postern run --config FILE`"
                } else {
                    "start the daemon with `systemctl start postern` or `postern run --config FILE`, \
                     or name its socket with --socket PATH"
                })
            }
            CtlError::NoAnswer(error) => {
                write!(f, "the daemon did not answer ({error}); the command may have been applied")
            }
            CtlError::BadAnswer(why) => write!(
                f,
                "what came back is no answer ({why}); is this postern's socket, and of this version?"
            ),
            CtlError::Refused(answer) => {
                f.write_str(answer.error.as_deref().unwrap_or("refused without a reason"))?;
                match answer.command_id {
                    Some(id) => write!(f, " (command {id})"),
                    None => Ok(()),
                }
            }
            CtlError::Output(error) => write!(f, "cannot print: {error}"),
        }
    }
}

impl std::error::Error for CtlError {}

/// Runs the command: the answer goes to standard output, what went wrong to standard error.
pub fn run(args: &Args) -> ExitCode {
    match report(args, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "postern ctl: {error}");
            error.exit_status().into()
        }
    }
}

/// Sends the command and prints the answer to `out`; with `--output json` also a refusal.
///
/// # Errors
/// No daemon, no answer, or a refusal.
pub fn report(args: &Args, out: &mut dyn Write) -> Result<(), CtlError> {
    let answer = ask(&args.socket, &request(&args.verb))?;
    let text = match (args.output, &answer) {
        (Output::Json, answer) => answer.line(),
        (Output::Text, Answer { ok: true, status: Some(status), .. }) => status_text(status),
        (Output::Text, Answer { ok: true, command_id: Some(id), .. }) => {
            format!("done: risk applied command {id}\n")
        }
        (Output::Text, Answer { ok: true, .. }) => "done\n".to_owned(),
        (Output::Text, Answer { ok: false, .. }) => String::new(),
    };
    heard(out.write_all(text.as_bytes())).map_err(CtlError::Output)?;
    if answer.ok { Ok(()) } else { Err(CtlError::Refused(answer)) }
}

fn request(verb: &Verb) -> Request {
    match verb.clone() {
        Verb::Kill { target: Target { scope, id, operator, reason }, cancel } => {
            Request::Kill { scope, id, cancel: cancel == YesNo::Yes, operator, reason }
        }
        Verb::Rearm { target: Target { scope, id, operator, reason } } => {
            Request::Rearm { scope, id, operator, reason }
        }
        Verb::Status => Request::Status {},
        Verb::Stop { now } => Request::Stop { now },
    }
}

/// Sends one request to the daemon at `socket` and waits for its answer.
///
/// # Errors
/// No daemon there, or no answer of it.
pub fn ask(socket: &Path, request: &Request) -> Result<Answer, CtlError> {
    let no_daemon = |error| CtlError::NoDaemon { socket: socket.to_owned(), error };
    let mut stream = UnixStream::connect(socket).map_err(no_daemon)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(no_daemon)?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(no_daemon)?;
    let line = serde_json::to_string(request).expect("a request holds nothing that JSON cannot");
    stream.write_all(format!("{line}\n").as_bytes()).map_err(CtlError::NoAnswer)?;
    let mut answer = String::new();
    let read = BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer);
    match read {
        Ok(_) if answer.ends_with('\n') => {}
        Ok(_) => return Err(CtlError::NoAnswer(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => return Err(CtlError::NoAnswer(error)),
    }
    serde_json::from_str(&answer).map_err(|error| CtlError::BadAnswer(error.to_string()))
}

fn status_text(status: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let yes_no = |value: &Value, yes, no| if value.as_bool() == Some(true) { yes } else { no };
    let health = yes_no(&status["healthy"], "healthy", "NOT healthy");
    let (phase, version) = (text(&status["phase"]), text(&status["version"]));
    let mut out = format!("postern {version}: {phase}, {health}\n");
    match status["kill_command_id"].as_u64() {
        Some(id @ 1..) => out += &format!("last kill switch command: {id}\n"),
        Some(0) | None => out += "no kill switch command yet\n",
    }
    let empty = Vec::new();
    let rows = |key: &str| status[key].as_array().unwrap_or(&empty).iter();
    if rows("agents").len() > 0 {
        let mut table = plain_table(&[
            "agent",
            "state",
            "cycles",
            "busy",
            "work",
            "stalls",
            "longest",
            "allocations",
        ]);
        for agent in rows("agents") {
            table.add_row([
                text(&agent["name"]),
                yes_no(&agent["alive"], "runs", "STALLED").to_owned(),
                text(&agent["cycle_count"]),
                text(&agent["busy_cycle_count"]),
                text(&agent["work_count"]),
                text(&agent["stall_count"]),
                human_ns(agent["cycle_ns_max"].as_u64().unwrap_or(0)),
                text(&agent["allocation_count"]),
            ]);
        }
        out += &format!("\n{}\n", table.trim_fmt());
    }
    if rows("links").len() > 0 {
        let mut table = plain_table(&["link", "state"]);
        for link in rows("links") {
            let down = yes_no(&link["required"], "DOWN", "down");
            table.add_row([text(&link["name"]), yes_no(&link["up"], "up", down).to_owned()]);
        }
        out += &format!("\n{}\n", table.trim_fmt());
    }
    out
}
