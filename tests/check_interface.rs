//! `postern check --interface`, over the loopback interface and, with the privilege for it, a pair of veth interfaces in a
//! network namespace.

use std::process::{Command, Output};

use postern::host::interface_check_ids;
use serde_json::Value;

fn postern(command: &mut Command, interfaces: &[&str]) -> Output {
    command.args(["check", "--output", "json"]);
    for interface in interfaces {
        command.args(["--interface", interface]);
    }
    command.output().expect("postern runs")
}

fn here(interfaces: &[&str]) -> Output {
    postern(&mut Command::new(env!("CARGO_BIN_EXE_postern")), interfaces)
}

/// The findings on one interface, by id: grade, found, remedy.
fn findings(output: &Output, interface: &str) -> Vec<(String, String, String, String)> {
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let field = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    let rows = report["findings"].as_array().expect("a list").iter();
    let rows = rows.map(|row| ["id", "grade", "found", "remedy"].map(|name| field(row, name)));
    let own = rows.filter(|[_, _, found, _]| found.starts_with(&format!("{interface}: ")));
    own.map(|[id, grade, found, remedy]| (id, grade, found, remedy)).collect()
}

fn finding(output: &Output, interface: &str, id: &str) -> (String, String) {
    let all = findings(output, interface);
    let found = all.iter().find(|row| row.0 == id).unwrap_or_else(|| panic!("{id}: {all:#?}"));
    (found.1.clone(), found.2.clone())
}

/// Says visibly what a test leaves out.
fn skipped(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

#[test]
fn every_check_is_told_once_for_each_interface_after_those_of_the_machine() {
    let output = here(&["lo", "lo"]);
    let ids: Vec<String> = findings(&output, "lo").into_iter().map(|row| row.0).collect();
    assert_eq!(ids, interface_check_ids().collect::<Vec<_>>());
    let (grade, found) = finding(&output, "lo", "interface-driver");
    assert_eq!(grade, "warn");
    assert!(found.contains("nothing to bypass"), "{found}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let machine = text.find("\"kernel-version\"").expect("the machine's");
    assert!(machine < text.find("\"interface-driver\"").expect("the interface's"));
    // Without an interface the report is the machine's alone.
    assert!(findings(&here(&[]), "lo").is_empty());
}

#[test]
fn an_interface_that_is_not_there_is_an_error_that_names_those_that_are() {
    for name in ["pst-none", "", "a-name-longer-than-the-kernel-takes"] {
        let output = here(&["lo", name]);
        assert_eq!(output.status.code(), Some(2), "{name:?}");
        assert!(output.stdout.is_empty(), "{name:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(&format!("no network interface `{name}`")), "{told}");
        let there = told.split("there are: ").nth(1).expect("a list");
        assert!(there.split_whitespace().any(|one| one == "lo"), "{told}");
    }
}

#[test]
fn it_needs_no_privilege_and_tells_the_same_without() {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]);
    command.args(["--bounding-set=-all", env!("CARGO_BIN_EXE_postern")]);
    let mut probe = Command::new("setpriv");
    if !probe.args(command.get_args()).arg("--version").output().is_ok_and(|o| o.status.success()) {
        return skipped("setpriv cannot start this program as another user: run it as root");
    }
    // Devices, and not what a test elsewhere makes and removes meanwhile.
    let all = std::fs::read_dir("/sys/class/net").expect("interfaces").map(|one| one.expect("one"));
    let devices = all.filter(|one| one.path().join("device").exists() || one.file_name() == "lo");
    for name in devices.map(|one| one.file_name().into_string().expect("plain")) {
        let mut unprivileged = Command::new(command.get_program());
        let without = postern(unprivileged.args(command.get_args()), &[&name]);
        let without = findings(&without, &name);
        assert_eq!(without, findings(&here(&[&name]), &name));
        assert_eq!(without.len(), interface_check_ids().count(), "{name}");
    }
}

/// A network namespace with a pair of veth interfaces, gone at the end.
struct Namespace(String);

impl Namespace {
    fn ip(arguments: &[&str]) -> bool {
        Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
    }

    /// None where this process may not make one, which it says.
    fn new() -> Option<Namespace> {
        let namespace = Namespace(format!("pstchk{}", std::process::id()));
        if !Namespace::ip(&["netns", "add", &namespace.0]) {
            skipped("no network namespace can be made: run it as root, with iproute2");
            return None;
        }
        let made = namespace.set(&["link", "add", "pst0", "type", "veth", "peer", "name", "pst1"]);
        if !made {
            skipped("no veth interface can be made");
        }
        made.then_some(namespace)
    }

    fn set(&self, arguments: &[&str]) -> bool {
        Namespace::ip(&[&["-n", &self.0][..], arguments].concat())
    }

    fn check(&self, interface: &str) -> Output {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, env!("CARGO_BIN_EXE_postern")]);
        postern(&mut command, &[interface])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        Namespace::ip(&["netns", "del", &self.0]);
    }
}

#[test]
fn a_veth_interface_is_told_as_it_changes() {
    let Some(namespace) = Namespace::new() else { return };
    let output = namespace.check("pst0");
    assert_eq!(finding(&output, "pst0", "interface-link").0, "fail", "it is down");
    assert_eq!(output.status.code(), Some(1));
    let (_, driver) = finding(&output, "pst0", "interface-driver");
    assert!(driver.starts_with("pst0: veth, Linux "), "{driver}");

    assert!(namespace.set(&["link", "set", "dev", "pst0", "up"]));
    let (grade, found) = finding(&namespace.check("pst0"), "pst0", "interface-link");
    assert_eq!(grade, "fail", "{found}");
    assert!(found.contains("without a carrier"), "the other end is down: {found}");
    assert!(namespace.set(&["link", "set", "dev", "pst1", "up"]));
    assert!(namespace.set(&["link", "set", "dev", "pst0", "mtu", "9000"]));
    let output = namespace.check("pst0");
    assert_eq!(finding(&output, "pst0", "interface-link").0, "ok");
    let (grade, found) = finding(&output, "pst0", "interface-mtu");
    assert_eq!(grade, "warn", "{found}");
    assert!(found.contains("9000"), "{found}");
    let (_, mode) = finding(&output, "pst0", "interface-xdp-mode");
    assert!(
        mode.contains("native, but each packet is copied") || mode.contains("unknown"),
        "{mode}"
    );
    let (_, queues) = finding(&output, "pst0", "interface-queues");
    assert!(queues.contains("rx of "), "{queues}");
    assert_eq!(finding(&output, "pst0", "interface-xdp-program").0, "ok");
    // Interfaces of other namespaces are not there.
    assert_eq!(here(&["pst0"]).status.code(), Some(2));
}

#[test]
fn queues_that_are_asked_for_and_cannot_be_had_are_told_with_every_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("postern.toml");
    let queue = |interface: &str, more: &str| {
        format!("[[af_xdp]]\ninterface = \"{interface}\"\nused_by = \"aeron\"\n{more}\n")
    };
    let text =
        [queue("lo", ""), queue("pst-none", "fallback = \"refuse\""), queue("lo", "queue = 7")];
    std::fs::write(&file, text.concat()).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_postern"));
    command.args(["check", "--output", "json", "--config"]).arg(&file);
    let output = command.output().expect("postern runs");
    let (grade, found) = finding(&output, "lo queue 0", "af-xdp");
    assert_eq!(grade, "warn", "the kernel's sockets do instead: {found}");
    assert!(found.contains("loopback"), "{found}");
    let (grade, found) = finding(&output, "pst-none queue 0", "af-xdp");
    assert_eq!(grade, "fail", "the gateway would not start: {found}");
    assert!(found.contains("no network interface"), "{found}");
    assert_eq!(output.status.code(), Some(1));
}
