//! Our codecs against those that sbe-tool generates for Java: what one writes the other reads, field by field, and back.
//!
//! Needs Java, javac and Maven; where one is missing the test says "skipped" and why.

#[allow(dead_code, reason = "each test uses its part of it")]
mod sbe_support;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use postern::codec::journal::Journal;
use postern::codec::market_data::MarketData;
use postern::codec::order_entry::OrderEntry;
use sbe_support::Schema;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OPENS: &str = "java.base/jdk.internal.misc=ALL-UNNAMED";

/// Runs a command to its end; its output, or what it said against it.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The tool's jar; `Err` says what is missing.
fn tool() -> Result<PathBuf, String> {
    for program in ["java", "javac"] {
        run(Command::new(program).arg("-version")).map_err(|_| format!("{program} is missing"))?;
    }
    run(&mut Command::new(format!("{ROOT}/scripts/sbe-tool"))).map(PathBuf::from)
}

/// Generates the Java codecs of all schemas into `folder` and compiles them with the bridge.
fn build_bridge(jar: &Path, folder: &Path) {
    for schema in ["order-entry", "market-data", "journal"] {
        let mut generate = Command::new("java");
        generate.current_dir(format!("{ROOT}/sbe-schemas")).args(["--add-opens", OPENS]);
        generate.args([
            "-Dsbe.xinclude.aware=true",
            "-Dsbe.validation.stop.on.error=true",
            "-Dsbe.target.language=Java",
        ]);
        generate.arg(format!("-Dsbe.output.dir={}", folder.join("src").display()));
        generate.arg("-jar").arg(jar).arg(format!("{schema}.xml"));
        run(&mut generate).expect("codecs generated");
    }
    let mut compile = Command::new("javac");
    compile
        .args(["-nowarn", "-proc:none", "-cp"])
        .arg(jar)
        .arg("-sourcepath")
        .arg(folder.join("src"));
    compile.arg("-d").arg(folder.join("classes")).arg(format!("{ROOT}/tests/java/Bridge.java"));
    for package in ["order_entry", "market_data", "journal"] {
        for file in std::fs::read_dir(folder.join("src").join(package)).expect("generated") {
            compile.arg(file.expect("listed").path());
        }
    }
    run(&mut compile).expect("codecs compiled");
}

/// What the bridge answers to `lines`, line for line.
fn ask(jar: &Path, folder: &Path, lines: &str) -> Vec<String> {
    let questions = folder.join("questions");
    std::fs::write(&questions, lines).expect("written");
    let class_path = format!("{}:{}", jar.display(), folder.join("classes").display());
    let mut bridge = Command::new("java");
    bridge.args(["--add-opens", OPENS, "-cp", &class_path, "Bridge"]);
    bridge.stdin(Stdio::from(File::open(&questions).expect("written")));
    run(&mut bridge).expect("answers").lines().map(str::to_owned).collect()
}

/// A message's fields as the bridge writes them, from how it prints itself: `Order(Order { id: OrderId(7), side: Buy })`
/// becomes `id=7 side=Buy`.
fn fields<S: Schema>(message: &S) -> String {
    let text = format!("{message:?}");
    let body = text
        .split_once(" { ")
        .and_then(|(_, rest)| rest.strip_suffix(" })"))
        .expect("a struct in an enum");
    let mut fields = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (name, after) = rest.split_once(": ").expect("a name");
        let end =
            if after.starts_with('[') { after.find(']').map(|at| at + 1) } else { after.find(',') };
        let (value, after) = after.split_at(end.unwrap_or(after.len()));
        fields.push(format!("{}={}", name.replace('_', ""), plain(name, value)));
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    fields.join(" ")
}

/// A value without its types.
fn plain(name: &str, value: &str) -> String {
    let inner = value.rsplit('(').next().unwrap_or(value).trim_end_matches(')');
    match (name, inner) {
        (_, "None") => "null".to_owned(),
        ("cxl_rej_response_to", "Cancel") => "OrderCancelRequest".to_owned(),
        ("md_entry_type", "Buy") => "Bid".to_owned(),
        ("md_entry_type", "Sell") => "Offer".to_owned(),
        ("last_fragment", "true") => "Yes".to_owned(),
        ("last_fragment", "false") => "No".to_owned(),
        ("cxl_rej_response_to", "Replace") => "OrderCancelReplaceRequest".to_owned(),
        _ => inner.trim_matches(['[', ']']).replace(", ", ","),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text");
        text
    })
}

/// Messages of every template: all fields zero, one, the largest, each null value and its neighbours, every enumerated value, and
/// fields that all differ.
fn messages<S: Schema>() -> Vec<(&'static str, S)> {
    let i64_max = u64::MAX >> 1;
    let numbers = [
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        u64::MAX,
        u64::MAX - 1,
        i64_max,
        i64_max - 1,
        i64_max + 1,
        0x8000_0000_8000_8080,
    ];
    let mut all = Vec::new();
    for &(template, name) in S::TEMPLATES {
        all.extend(numbers.map(|number| (name, S::drawn(template, &mut || number))));
        for seed in 1..=8u64 {
            let mut state = seed;
            let mut draw = || {
                // Knuth's MMIX generator, its high bits mixed into the low ones.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                state ^ (state >> 29)
            };
            all.push((name, S::drawn(template, &mut draw)));
        }
    }
    all
}

fn compare<S: Schema>(jar: &Path, folder: &Path) -> usize {
    let messages = messages::<S>();
    let package = S::PACKAGE;
    let mut lines = String::new();
    // Bytes between fields belong to none: they are zero here as they are in Java.
    let bytes: Vec<Vec<u8>> = messages
        .iter()
        .map(|(_, message)| {
            let mut buf = [0; 256];
            let size = message.encode(&mut buf);
            buf[..size].to_vec()
        })
        .collect();
    for ((name, message), bytes) in messages.iter().zip(&bytes) {
        writeln!(lines, "decode {package} {name} {}", hex(bytes)).expect("text");
        writeln!(lines, "encode {package} {name} {}", fields(message)).expect("text");
    }
    let answers = ask(jar, folder, &lines);
    assert_eq!(answers.len(), 2 * messages.len());
    for (((name, message), bytes), answer) in
        messages.iter().zip(&bytes).zip(answers.chunks_exact(2))
    {
        let mut ours: Vec<String> = fields(message).split(' ').map(str::to_owned).collect();
        let mut theirs: Vec<String> = answer[0].split(' ').map(str::to_owned).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{name} as Java reads it");
        assert_eq!(hex(bytes), answer[1], "{name} as Java writes it");
        let theirs: Vec<u8> = (0..answer[1].len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&answer[1][at..at + 2], 16).expect("hexadecimal"))
            .collect();
        assert_eq!(S::decode(&theirs), Ok(*message), "{name} as we read what Java wrote");
    }
    messages.len()
}

#[test]
fn java_reads_what_we_write_and_we_read_what_java_writes() {
    let jar = match tool() {
        Ok(jar) => jar,
        Err(reason) => {
            eprintln!(
                "skipped: codecs not compared with Java's: {}",
                reason.lines().last().unwrap_or("")
            );
            return;
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("src")).expect("made");
    build_bridge(&jar, folder.path());
    let count = compare::<OrderEntry>(&jar, folder.path())
        + compare::<MarketData>(&jar, folder.path())
        + compare::<Journal>(&jar, folder.path());
    eprintln!(
        "{count} messages of {} templates compared",
        OrderEntry::TEMPLATES.len() + MarketData::TEMPLATES.len() + Journal::TEMPLATES.len()
    );
}

#[test]
fn fields_are_taken_from_how_a_message_prints() {
    use postern::codec::journal::{FeedStatus, KillCommand};
    use postern::types::{ChannelId, FeedState, KillAction, KillScope, Nanos};
    let status = FeedStatus {
        ingress_time: Nanos(5),
        channel_id: ChannelId(6),
        feed_state: FeedState::Ended,
    };
    assert_eq!(fields(&Journal::from(status)), "ingresstime=5 channelid=6 feedstate=Ended");
    let command = KillCommand {
        command_id: 1,
        id: 2,
        kill_scope: KillScope::Firm,
        kill_action: KillAction::Kill,
        operator_name: [7; 16],
        reason: [8; 48],
    };
    let text = fields(&Journal::from(command));
    assert!(
        text.starts_with("commandid=1 id=2 killscope=Firm killaction=Kill operatorname=7,7,7,"),
        "{text}"
    );
    assert!(text.ends_with(",8,8"), "{text}");
}
