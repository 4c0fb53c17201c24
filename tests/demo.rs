//! `postern demo` as a whole: the real binary, every layout, and every way in which a run can end.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const PERCENTILES: [&str; 7] = ["p50", "p90", "p99", "p99_9", "p99_99", "max", "count"];
const COUNTS: [&str; 7] = ["sent", "accepted", "denied", "rejected", "filled", "canceled", "open"];
const HOPS: [&str; 9] = [
    "round_trip",
    "gateway",
    "hop_entry",
    "hop_entry_risk",
    "hop_risk",
    "hop_risk_router",
    "hop_router",
    "hop_venue",
    "hop_report",
];

/// A place for a run: its temporary folder and its histograms.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder in it");
        Place { folder }
    }

    fn hlog(&self) -> PathBuf {
        self.folder.path().join("run.hlog")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
        command.arg("demo").args(arguments).args(["--output", "json", "--hlog"]).arg(self.hlog());
        command.env("TMPDIR", self.folder.path().join("tmp")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A whole run, after which nothing of it may be left.
    fn run(&self, arguments: &[&str]) -> Output {
        let child = self.command(arguments).spawn().expect("the binary");
        let id = child.id();
        let output = child.wait_with_output().expect("it ends");
        self.assert_clean(id);
        output
    }

    fn assert_clean(&self, process: u32) {
        let left = names(&self.folder.path().join("tmp"));
        assert!(left.is_empty(), "left in the temporary folder: {left:?}");
        self.assert_clean_but(process, process);
    }

    /// Nothing of the run of `process` is left, whatever is there of that of `other`.
    fn assert_clean_but(&self, process: u32, other: u32) {
        let theirs = format!("postern-demo-{other}");
        let mut left = names(&self.folder.path().join("tmp"));
        left.retain(|name| name != &theirs && name != &format!("{theirs}-0.owner"));
        assert!(left.is_empty(), "left in the temporary folder: {left:?}");
        let own = format!("postern-demo-{process}");
        let left: Vec<String> =
            names(Path::new("/dev/shm")).into_iter().filter(|n| n.starts_with(&own)).collect();
        assert!(left.is_empty(), "left in shared memory: {left:?}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The report of a run, which must be one line of JSON on standard output.
fn report(output: &Output) -> Value {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(out.lines().count(), 1, "{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

fn assert_latency(value: &Value) {
    let of = |key: &str| number(&value[key]);
    assert_eq!(value.as_object().expect("an object").len(), PERCENTILES.len());
    assert!(of("count") > 0, "{value}");
    let rising: Vec<u64> = PERCENTILES[..6].iter().map(|key| of(key)).collect();
    assert!(rising.is_sorted() && rising[0] > 0, "{value}");
}

/// Everything that is promised of a run that sent all its orders.
fn assert_balanced(place: &Place, output: &Output, orders: u64, layout: &str) {
    let report = report(output);
    assert!(output.status.success(), "{}: {report}\n{}", output.status, text(&output.stderr));
    let count = |key: &str| number(&report["orders"][key]);
    assert_eq!(report["orders"].as_object().expect("an object").len(), COUNTS.len());
    assert_eq!(count("sent"), orders);
    assert_eq!(count("sent"), count("accepted") + count("denied") + count("rejected"));
    assert_eq!(count("accepted"), count("filled") + count("canceled") + count("open"));
    assert!(count("denied") > 0 && count("filled") > 0 && count("canceled") > 0, "{report}");
    for hop in HOPS {
        assert_latency(&report["latency_ns"][hop]);
    }
    assert_eq!(number(&report["latency_ns"]["gateway"]["count"]), count("accepted"));
    assert_latency(&report["relay_floor_ns"]);
    assert!(report["ratio_p50"].is_f64() && report["ratio_p99"].is_f64(), "{report}");
    assert_eq!(report["hot_path_allocations"], 0);
    assert_eq!(report["layout"], layout);
    assert_eq!(report["balanced"], true);
    assert_eq!(report["interrupted"], false);
    assert_histograms(place, &report);
}

/// The log has one tag for each hop of the report, with the same numbers.
fn assert_histograms(place: &Place, report: &Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    let output = command.arg("hist").arg(place.hlog()).args(["--output", "json"]).output();
    let output = output.expect("the binary");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let log: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tags = log["latency_ns"].as_object().expect("an object of tags");
    let hops = report["latency_ns"].as_object().expect("an object of hops");
    for (hop, latency) in hops {
        assert_eq!(tags[hop]["count"], latency["count"], "{hop}");
        assert_eq!(tags[hop]["p50"], latency["p50"], "{hop}");
    }
    assert_eq!(tags["relay_round_trip"]["count"], report["relay_floor_ns"]["count"]);
    let content = fs::read_to_string(place.hlog()).expect("text");
    let lines: Vec<&str> =
        content.lines().filter_map(|line| line.strip_prefix("Tag=")?.split(',').next()).collect();
    let unique: BTreeSet<&str> = lines.iter().copied().collect();
    assert_eq!(lines.len(), unique.len(), "one interval a hop: {lines:?}");
}

fn generated(layout: &str, shown_as: &str) {
    let place = Place::new();
    let output = place.run(&["--orders", "2000", "--rate", "2000", "--layout", layout]);
    assert_balanced(&place, &output, 2_000, shown_as);
}

#[test]
fn a_generated_market_balances_in_the_layout_of_this_machine() {
    generated("auto", "fused");
}

#[test]
fn a_generated_market_balances_fused() {
    generated("fused", "fused");
}

#[test]
fn a_generated_market_balances_split() {
    generated("split", "split");
}

#[test]
fn a_generated_market_balances_in_two_processes() {
    generated("processes", "processes");
}

fn captured(name: &str, layout: &str, shown_as: &str) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/captures/itch"));
    let path = path.join(name);
    if !path.exists() {
        #[allow(
            clippy::print_stdout,
            reason = "whoever reads the test log must see what did not run"
        )]
        {
            println!("skipped: {} is not there", path.display());
        }
        return;
    }
    let place = Place::new();
    let path = path.to_str().expect("text");
    let output =
        place.run(&["--orders", "2000", "--rate", "2000", "--capture", path, "--layout", layout]);
    assert_balanced(&place, &output, 2_000, shown_as);
}

#[test]
fn a_captured_market_balances() {
    captured("aapl_20200130_10k.moldudp64.ns.pcap", "fused", "fused");
}

#[test]
fn a_captured_market_balances_in_two_processes() {
    captured("aapl_20200130_10k.moldudp64.ns.pcap", "processes", "processes");
}

#[test]
fn a_market_from_a_binary_file_balances() {
    captured("aapl_20200130_10k.itch50.bin", "fused", "fused");
}

#[test]
fn a_market_by_two_lines_that_send_packets_twice_and_stall_balances() {
    let place = Place::new();
    let faults = ["--duplicate", "20.5", "--delay", "5", "--seed", "3"];
    let size = ["--orders", "2000", "--rate", "2000", "--layout", "fused"];
    let output = place.run(&[&faults[..], &size].concat());
    assert_balanced(&place, &output, 2_000, "fused");
}

#[test]
fn faults_of_more_than_all_packets_are_refused() {
    let place = Place::new();
    assert_refused(&place, &["--reorder", "60", "--delay", "60"], &["reordered or delayed"]);
    for percent in ["100.1", "-1", "5%", "1.00001", "much"] {
        let loss = format!("--loss={percent}");
        let output = place.command(&[&loss]).output().expect("the binary");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("no percentage from 0 to 100"), "{percent}");
    }
}

/// What both lines lost is asked for again, and the gateway's books equal the exchange's.
#[test]
fn a_market_by_two_lines_that_lose_packets_balances() {
    for layout in ["fused", "processes"] {
        let place = Place::new();
        let faults = ["--loss", "10", "--duplicate", "2", "--reorder", "2", "--seed", "5"];
        let size = ["--orders", "2000", "--rate", "2000", "--layout", layout];
        let output = place.run(&[&faults[..], &size].concat());
        assert!(output.status.success(), "{layout}: {}", text(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["balanced"], true, "{layout}: {report}");
        assert_eq!(report["orders"]["sent"], 2_000, "{layout}: {report}");
    }
}

/// More than either line brings alone: a third is lost of a market of thousands of messages a second.
#[test]
fn a_recorded_market_of_which_both_lines_lose_a_third_is_current_in_the_end() {
    let place = Place::new();
    let day = place.folder.path().join("day.itch");
    let day = day.to_str().expect("text");
    let made = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["generate", "itch", "--messages", "30000", "--symbols", "10", "--output", day])
        .status();
    assert!(made.expect("the binary").success());
    let output =
        place.run(&["--orders", "2000", "--rate", "1000", "--loss", "30", "--capture", day]);
    let report = report(&output);
    assert!(output.status.success(), "{report}\n{}", text(&output.stderr));
    assert_eq!(report["balanced"], true, "{report}");
    assert!(number(&report["orders"]["accepted"]) > 0, "{report}");
}

#[test]
fn a_market_that_does_not_arrive_at_all_is_told_in_one_sentence() {
    let place = Place::new();
    let output = place.run(&["--orders", "100", "--loss", "100"]);
    let report = report(&output);
    assert!(!output.status.success());
    let faults = report["faults"].as_array().expect("an array");
    assert_eq!(faults.len(), 1, "{report}");
    assert!(faults[0].as_str().expect("text").starts_with("no market data arrived"), "{report}");
}

/// Refused with this on standard error, nothing on standard output, and no file made.
fn assert_refused(place: &Place, arguments: &[&str], why: &[&str]) {
    let output = place.run(arguments);
    let err = text(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(text(&output.stdout), "");
    for why in why {
        assert!(err.contains(why), "`{why}` is not in: {err}");
    }
    assert!(!place.hlog().exists(), "a failed run leaves no histograms");
}

#[test]
fn what_cannot_be_read_or_written_is_refused_before_anything_runs() {
    let place = Place::new();
    let missing = place.folder.path().join("none.pcap");
    let missing = missing.to_str().expect("text");
    assert_refused(&place, &["--capture", missing], &["none.pcap", "No such file"]);

    let corrupt = place.folder.path().join("corrupt.pcap");
    let mut bytes = vec![0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0];
    bytes.resize(200, 0xa5);
    fs::write(&corrupt, bytes).expect("written");
    let corrupt = corrupt.to_str().expect("text");
    assert_refused(&place, &["--capture", corrupt, "--layout", "processes"], &["corrupt.pcap"]);

    let output = Command::new(env!("CARGO_BIN_EXE_postern"))
        .args(["demo", "--orders", "10", "--hlog", "/proc/none/run.hlog"])
        .env("TMPDIR", place.folder.path().join("tmp"))
        .output()
        .expect("the binary");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("/proc/none/run.hlog"), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "");
    assert!(names(&place.folder.path().join("tmp")).is_empty());
}

/// Waits until the run's drivers are there: the gateway's, and the world's.
fn await_start(child: &mut Child) {
    await_drivers(child, "postern-demo");
}

/// The same, of a run whose folder has such a name.
fn await_drivers(child: &mut Child, folder: &str) {
    let own = format!(".{}-", child.id());
    let cnc = |name: &str| name.starts_with(folder) && name.contains(&own);
    while names(Path::new("/dev/shm")).iter().filter(|name| cnc(name)).count() < 2 {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended before it had started: {ended:?}");
        std::thread::yield_now();
    }
}

/// A run that would take minutes, told to end by a signal to its main process, as `kill` and a service manager do.
fn signalled(layout: &str, signal: &str) {
    let place = Place::new();
    let arguments = ["--orders", "1000000", "--rate", "2000", "--layout", layout];
    let mut child = place.command(&arguments).spawn().expect("the binary");
    await_start(&mut child);
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-s", signal, &id]).status().expect("kill");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    place.assert_clean(id.parse().expect("a number"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    if output.stdout.is_empty() {
        // It was told before it had started: then that is what it says.
        assert!(text(&output.stderr).contains("signal"), "{}", text(&output.stderr));
        return;
    }
    let report = report(&output);
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["balanced"], true, "{report}");
    assert!(number(&report["orders"]["sent"]) < 1_000_000);
    assert_eq!(report["orders"]["open"], 0);
}

#[test]
fn a_signal_ends_a_run_in_good_order() {
    signalled("fused", "INT");
}

#[test]
fn a_signal_ends_both_processes_in_good_order() {
    signalled("processes", "TERM");
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> Vec<String> {
    let is_child = |name: &String| {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default().to_owned();
        after_name.split(' ').nth(1) == Some(parent.to_string().as_str())
    };
    let numbers = names(Path::new("/proc")).into_iter();
    numbers.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).filter(is_child).collect()
}

#[test]
fn the_death_of_the_gateways_process_ends_the_run() {
    let place = Place::new();
    let arguments = ["--orders", "1000000", "--rate", "2000", "--layout", "processes"];
    let mut child = place.command(&arguments).spawn().expect("the binary");
    await_start(&mut child);
    let gateway = children(child.id());
    assert_eq!(gateway.len(), 1, "the gateway's process");
    let killed = Command::new("kill").args(["-s", "KILL", &gateway[0]]).status().expect("kill");
    assert!(killed.success());
    let id = child.id();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("gateway's process died") || err.contains("could not start"), "{err}");
    place.assert_clean(id);
    assert!(!place.hlog().exists());
}

fn kill(process: &str) {
    let killed = Command::new("kill").args(["-s", "KILL", process]).status().expect("kill");
    assert!(killed.success());
}

/// Whether a process is still there, and not only to be waited for.
fn is_alive(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|after| !after.is_empty() && !after.starts_with('Z'))
}

#[test]
fn the_gateways_process_tidies_up_after_a_run_that_was_killed() {
    let place = Place::new();
    let arguments = ["--orders", "1000000", "--rate", "2000", "--layout", "processes"];
    let mut child = place.command(&arguments).spawn().expect("the binary");
    await_start(&mut child);
    let gateway = children(child.id());
    kill(&child.id().to_string());
    // Not waited for: whether it is dead is told without.
    while is_alive(&gateway[0]) {
        std::thread::yield_now();
    }
    place.assert_clean(child.id());
    child.wait().expect("killed");
}

/// A run that does not outlive its test.
struct Running(Child);

impl Running {
    fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_next_run_tidies_up_after_those_that_were_killed() {
    let place = Place::new();
    let kept = place.folder.path().join("kept");
    let long = |arguments: &[&str]| {
        let all = [&["--orders", "1000000", "--rate", "2000"], arguments].concat();
        let mut child = place.command(&all).spawn().expect("the binary");
        await_drivers(
            &mut child,
            if arguments.contains(&"--keep") { "kept" } else { "postern-demo" },
        );
        Running(child)
    };
    let mut both = long(&["--layout", "processes"]);
    let gateway = children(both.id());
    let mut keeping = long(&["--layout", "fused", "--keep", kept.to_str().expect("text")]);
    let mut alive = long(&["--layout", "fused"]);
    // Stopped, so that it cannot tidy up after its gateway before it is killed too.
    let parent = both.id().to_string();
    let stop = Command::new("kill").args(["-s", "STOP", &parent]).status();
    assert!(stop.expect("kill").success());
    kill(&gateway[0]);
    while is_alive(&gateway[0]) {
        std::thread::yield_now();
    }
    for child in [&mut both, &mut keeping] {
        kill(&child.id().to_string());
        child.0.wait().expect("killed");
    }
    let left = names(&place.folder.path().join("tmp"));
    let ours = format!("postern-demo-{}", both.id());
    assert!(left.contains(&ours), "{left:?}");
    let memory = |id: u32| {
        let part = format!(".{id}-");
        names(Path::new("/dev/shm")).into_iter().filter(|name| name.contains(&part)).count()
    };
    assert_eq!((memory(both.id()), memory(keeping.id()), memory(alive.id())), (2, 2, 2));
    let output = place.command(&["--orders", "100", "--layout", "fused"]).output();
    let output = output.expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!((memory(both.id()), memory(keeping.id()), memory(alive.id())), (0, 0, 2));
    assert!(kept.join("demo.toml").exists(), "what was to be kept is");
    place.assert_clean_but(both.id(), alive.id());
    let sent = Command::new("kill").args(["-s", "TERM", &alive.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    alive.0.wait().expect("it ends");
    place.assert_clean(alive.id());
}

#[test]
fn two_runs_at_once_do_not_disturb_each_other() {
    let places = [Place::new(), Place::new()];
    let layouts = ["fused", "processes"];
    let run = |(place, layout): (&Place, &str)| {
        let arguments = ["--orders", "1000", "--rate", "1000", "--layout", layout];
        place.command(&arguments).spawn().expect("the binary")
    };
    let children: Vec<Child> = places.iter().zip(layouts).map(run).collect();
    for ((place, child), layout) in places.iter().zip(children).zip(layouts) {
        let id = child.id();
        let output = child.wait_with_output().expect("it ends");
        assert_balanced(place, &output, 1_000, layout);
        place.assert_clean(id);
    }
}

#[test]
fn a_kept_folder_has_what_the_run_was_made_of() {
    let place = Place::new();
    let kept = place.folder.path().join("kept");
    let keep = kept.to_str().expect("text");
    let output = place.run(&["--orders", "200", "--rate", "2000", "--keep", keep]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut config = String::new();
    let mut file = fs::File::open(kept.join("demo.toml")).expect("the configuration");
    file.read_to_string(&mut config).expect("text");
    assert!(config.contains("[gateway]"));
    let again = place.command(&["--orders", "200", "--keep", keep]).output().expect("the binary");
    assert!(!again.status.success() && text(&again.stderr).contains("kept"), "it must not exist");
}
