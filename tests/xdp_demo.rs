//! `postern demo` across a lab: strategy, gateway and venue as hosts of their own, and nothing left of it, however it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

#[path = "support/lab.rs"]
mod lab;

use lab::{Lab, Namespace, labs, script};

const LINKS: [&str; 2] = ["strategy=gateway", "gateway=venue"];
const POSTERN: &str = env!("CARGO_BIN_EXE_postern");

/// A place for a run: its temporary folder and its histograms.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("tmp")).expect("a folder in it");
        Place(folder)
    }

    fn hlog(&self) -> PathBuf {
        self.0.path().join("run.hlog")
    }

    /// The demo's arguments behind those of `command`.
    fn prepared(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(arguments).args(["--output", "json", "--hlog"]).arg(self.hlog());
        command.env("TMPDIR", self.0.path().join("tmp")).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn on(&self, lab: &Lab, arguments: &[&str]) -> Command {
        let mut command = Command::new(POSTERN);
        command.args(["demo", "--lab", lab.name()]);
        self.prepared(command, arguments)
    }

    #[track_caller]
    fn assert_clean(&self, process: u32) {
        let own = format!(".{process}-");
        let in_memory = names(Path::new("/dev/shm")).into_iter().filter(|name| name.contains(&own));
        let left: Vec<String> = in_memory.chain(names(&self.0.path().join("tmp"))).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The processes on a host.
fn processes(host: &str) -> Vec<String> {
    let output = Command::new("ip").args(["netns", "pids", host]).output().expect("ip");
    text(&output.stdout).split_whitespace().map(str::to_owned).collect()
}

/// Packets that an interface has sent.
fn sent(host: &Namespace, interface: &str) -> u64 {
    let told = host.ip(&["-s", "-j", "link", "show", interface]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    told[0]["stats64"]["tx"]["packets"].as_u64().expect("a count")
}

#[track_caller]
fn balanced(output: &Output, orders: u64) -> Value {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let report: Value =
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"));
    assert!(output.status.success(), "{}: {report}\n{err}", output.status);
    assert_eq!(report["balanced"], true, "{report}");
    assert_eq!(report["orders"]["sent"], orders, "{report}");
    assert_eq!(report["layout"], "lab");
    assert_eq!(report["hot_path_allocations"], 0, "{report}");
    report
}

#[test]
fn a_run_across_three_hosts_balances_and_leaves_nothing() {
    let Some(lab) = Lab::of("demo", &LINKS) else { return };
    let place = Place::new();
    let hosts = ["strategy", "gateway", "venue"].map(|host| lab.namespace(host));
    let child = place.on(&lab, &["--orders", "500", "--rate", "1000"]).spawn();
    let child = child.expect("the binary");
    let id = child.id();
    let report = balanced(&child.wait_with_output().expect("it ends"), 500);
    for hop in ["round_trip", "gateway", "hop_venue", "hop_feed"] {
        assert!(report["latency_ns"][hop]["count"].as_u64() > Some(0), "{hop}: {report}");
    }
    assert!(report["relay_floor_ns"]["count"].as_u64() > Some(0), "the floor is there: {report}");
    let [strategy, gateway, venue] = &hosts;
    for (host, interface, least) in [
        (strategy, "veth1", 500),
        (gateway, "veth1", 500),
        (gateway, "veth2", 400),
        (venue, "veth2", 1_000),
    ] {
        let sent = sent(host, interface);
        assert!(sent >= least, "{} sent {sent} packets by {interface}", host.name());
    }
    for host in &hosts {
        assert_eq!(sent(host, "lo"), 0, "{}: all goes by the cables", host.name());
        assert_eq!(processes(host.name()), Vec::<String>::new());
    }
    place.assert_clean(id);
}

#[test]
fn a_run_past_the_kernel_balances_and_leaves_the_interfaces_clean() {
    let Some(lab) = Lab::of("bypass", &LINKS) else { return };
    let place = Place::new();
    let arguments = ["--orders", "500", "--rate", "1000", "--transport", "af_xdp"];
    let child = place.on(&lab, &arguments).spawn().expect("the binary");
    let id = child.id();
    let report = balanced(&child.wait_with_output().expect("it ends"), 500);
    assert_eq!(report["transport"], "af_xdp");
    for host in ["strategy", "gateway", "venue"] {
        let told = lab.namespace(host).ip(&["link", "show"]);
        assert!(!told.contains("xdp"), "{host}: {told}");
    }
    place.assert_clean(id);
}

#[test]
fn a_market_by_two_bad_lines_balances_across_hosts() {
    let Some(lab) = Lab::of("lines", &LINKS) else { return };
    let place = Place::new();
    let faults = ["--loss", "10", "--duplicate", "2", "--reorder", "2", "--seed", "5"];
    let size = ["--orders", "500", "--rate", "1000", "--layout", "processes"];
    let output = place.on(&lab, &[&faults[..], &size].concat()).output().expect("it ends");
    balanced(&output, 500);
}

#[test]
fn hosts_may_have_other_addresses() {
    let links =
        ["strategy:172.20.0.1/30=gateway:172.20.0.2/30", "venue:10.9.8.7/16=gateway:10.9.1.2/16"];
    let Some(lab) = Lab::of("other", &links) else { return };
    let place = Place::new();
    let kept = place.0.path().join("kept");
    let keep = kept.to_str().expect("text");
    let output = place.on(&lab, &["--orders", "200", "--rate", "1000", "--keep", keep]).output();
    balanced(&output.expect("it ends"), 200);
    let config = fs::read_to_string(kept.join("demo.toml")).expect("kept");
    for address in
        ["172.20.0.1:", "172.20.0.2:", "10.9.8.7:", "10.9.1.2:", "interface = \"10.9.1.2\""]
    {
        assert!(config.contains(address), "{address}: {config}");
    }
    assert!(!config.contains("127.0.0.1:"), "{config}");
}

#[test]
fn what_is_no_lab_for_it_is_refused_in_one_line() {
    let refused = |arguments: &[&str], why: &str| {
        let place = Place::new();
        let mut command = Command::new(POSTERN);
        command.arg("demo");
        let output = place.prepared(command, arguments).output().expect("the binary");
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains(why) && err.trim_end().lines().count() == 1, "{why}: {err}");
        assert!(!place.hlog().exists(), "a failed run leaves no histograms");
        assert!(names(&place.0.path().join("tmp")).is_empty());
    };
    refused(&["--lab", "nobody"], "lab nobody, host strategy");
    refused(&["--lab", "../../tmp"], "lab ../../tmp, host strategy");
    refused(&["--lab", "nobody", "--layout", "split"], "the layout is `processes`");
    let Some(lab) = Lab::of("lacks", &["strategy=gateway", "strategy=venue"]) else { return };
    refused(&["--lab", lab.name()], "venue and gateway have no network in common");
    let lab = Lab::new("pair").expect("the last one could be made");
    refused(&["--lab", lab.name()], "host strategy: No such file");
}

/// Waits until the gateway's process is on its host.
fn await_gateway(child: &mut Child, host: &str) -> String {
    loop {
        let is_gateway = |process: &String| {
            let command = fs::read_to_string(format!("/proc/{process}/cmdline"));
            command.is_ok_and(|command| command.contains("--gateway-of"))
        };
        if let Some(process) = processes(host).into_iter().find(is_gateway) {
            return process;
        }
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended before it had started: {ended:?}");
    }
}

fn signal(name: &str, process: &str) {
    let sent = Command::new("kill").args(["-s", name, process]).status().expect("kill");
    assert!(sent.success());
}

#[test]
fn a_killed_gateway_ends_the_run_and_the_lab_is_good_for_the_next() {
    let Some(lab) = Lab::of("killed", &LINKS) else { return };
    let place = Place::new();
    let mut child = place.on(&lab, &["--orders", "1000000"]).spawn().expect("the binary");
    let id = child.id();
    let gateway = await_gateway(&mut child, lab.namespace("gateway").name());
    signal("KILL", &gateway);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let err = text(&output.stderr);
    assert!(err.contains("gateway's process died") || err.contains("could not start"), "{err}");
    place.assert_clean(id);
    let again = place.on(&lab, &["--orders", "200", "--rate", "1000"]).output().expect("it ends");
    balanced(&again, 200);
}

#[test]
fn the_script_makes_a_lab_for_a_run_and_removes_it_also_after_a_signal() {
    if Lab::of("probe", &LINKS).is_none() {
        return;
    }
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let mut command = script();
        command.arg("demo").env("POSTERN", POSTERN);
        place.prepared(command, arguments).spawn().expect("the script")
    };
    let is_of = |id: u32| move |name: &String| name.starts_with(&format!("demo.{id}."));
    let child = run(&["--orders", "200", "--rate", "1000"]);
    let id = child.id();
    balanced(&child.wait_with_output().expect("it ends"), 200);
    assert!(!labs().iter().any(is_of(id)));

    let mut child = run(&["--orders", "1000000"]);
    let id = child.id();
    let name = loop {
        if let Some(name) = labs().into_iter().find(is_of(id)) {
            break name;
        }
        assert!(child.try_wait().expect("a child").is_none(), "it ended");
    };
    await_gateway(&mut child, &format!("pst-{name}-gateway"));
    signal("TERM", &id.to_string());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(!labs().iter().any(is_of(id)), "the lab is gone");
    assert!(names(&place.0.path().join("tmp")).is_empty());
}
