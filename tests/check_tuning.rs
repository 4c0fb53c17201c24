//! `tuning/` says what `postern check` checks, and its files do what they say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use postern::host::{AF_XDP, check_ids, interface_check_ids};
use postern::runtime::{EXIT_NOT_DRAINED, Fatal};

fn tuning(file: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tuning")).join(file)
}

fn text(file: &str) -> String {
    fs::read_to_string(tuning(file)).expect(file)
}

/// Says visibly what a test leaves out.
fn skipped(what: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

#[test]
fn every_check_has_its_section_and_every_section_its_check() {
    let readme = text("README.md");
    let (_, checks) = readme.split_once("## The checks").expect("the chapter");
    let mut sections: BTreeMap<&str, &str> = BTreeMap::new();
    for section in checks.split("\n### `").skip(1) {
        let (id, body) = section.split_once('`').expect("an id");
        assert!(sections.insert(id, body).is_none(), "{id} twice");
    }
    let ids: Vec<&str> = sections.keys().copied().collect();
    let mut expected: Vec<&str> =
        check_ids().chain(interface_check_ids()).chain([AF_XDP]).collect();
    expected.sort_unstable();
    assert_eq!(ids, expected);
    for (id, body) in sections {
        for part in ["\n- What: ", "\n- Why: ", "\n- Set: ", "\n- Undo: ", "\n- Source: "] {
            assert!(body.contains(part), "{id} lacks {part:?}");
        }
    }
}

#[test]
fn every_file_is_in_the_index_and_is_there() {
    let readme = text("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut files: Vec<String> =
        rows.map(|(file, _)| file.trim_end_matches('/').to_owned()).collect();
    files.sort();
    for file in &files {
        assert!(tuning(file).exists(), "{file}");
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(tuning("")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let inner = if path.is_dir() {
            fs::read_dir(&path).expect("a folder").map(|e| e.expect("an entry").path()).collect()
        } else {
            vec![path]
        };
        let relative =
            |path: &PathBuf| path.strip_prefix(tuning("")).expect("inside").display().to_string();
        found.extend(inner.iter().map(relative).filter(|file| file != "README.md"));
    }
    found.sort();
    assert_eq!(files, found);
}

#[test]
fn ids_named_in_the_files_are_checks() {
    let ids: Vec<&str> = check_ids().collect();
    for file in ["sysctl.d/60-postern.conf", "tuned/postern/tuned.conf"] {
        let text = text(file);
        let mut named = 0;
        for line in text.lines().filter_map(|line| line.strip_prefix("# [")) {
            for id in line.split('[').filter_map(|part| part.split_once(']')) {
                assert!(ids.contains(&id.0), "{file}: {}", id.0);
                named += 1;
            }
        }
        assert!(named > 0, "{file}");
    }
}

#[test]
fn the_tuned_profile_sets_what_the_sysctl_file_sets() {
    let settings = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter(|line| !line.starts_with(['#', '[']));
        let pairs = lines.filter_map(|line| line.split_once('='));
        pairs
            .map(|(key, value)| {
                (key.trim().trim_start_matches('-').to_owned(), value.trim().to_owned())
            })
            .filter(|(key, _)| key.contains('.'))
            .collect()
    };
    let mut sysctl = settings(&text("sysctl.d/60-postern.conf"));
    // tuned has no say in it: pages are reserved at boot.
    assert_eq!(sysctl.remove("vm.nr_hugepages").as_deref(), Some("64"));
    let tuned = text("tuned/postern/tuned.conf");
    let (_, section) = tuned.split_once("[sysctl]").expect("a section");
    assert_eq!(settings(section), sysctl);
    // On a machine that has them, each key is one of the kernel's.
    for key in sysctl.keys() {
        let file = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
        if !file.exists() {
            skipped(&format!("{key}: not in this kernel"));
        }
    }
}

#[test]
fn the_unit_knows_the_exit_statuses() {
    let (unit, readme) = (text("postern.service"), text("README.md"));
    let line = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    let prevented: Vec<&str> = line.expect("the line").split_whitespace().collect();
    let final_ones = [
        Fatal::Panicked.exit_status(),
        Fatal::JournalFailed.exit_status(),
        Fatal::MaxPosition.exit_status(),
        Fatal::StartFailed.exit_status(),
        EXIT_NOT_DRAINED,
    ];
    for status in final_ones {
        assert!(prevented.contains(&status.to_string().as_str()), "{status}");
    }
    for status in [Fatal::TransportDown, Fatal::NetworkFailed].map(Fatal::exit_status) {
        assert!(!prevented.contains(&status.to_string().as_str()), "{status} may pass");
        assert!(readme.contains(&format!("\n| {status} | ")), "{status}");
    }
    for status in final_ones {
        assert!(readme.contains(&format!("\n| {status} | ")), "{status}");
    }
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let unit = text("postern.service").replace("/usr/bin/postern", "/bin/true");
    let drop_in = folder.path().join("postern.service.d");
    fs::create_dir(&drop_in).expect("a folder");
    fs::write(drop_in.join("af-xdp.conf"), text("postern.service.d/af-xdp.conf")).expect("a file");
    let file = folder.path().join("postern.service");
    fs::write(&file, unit).expect("a file");
    let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output();
    let Ok(output) = verify else { return skipped("systemd-analyze is not installed") };
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // Other units of the machine are loaded along: only what is said about ours counts.
    let ours: Vec<&str> = errors.lines().filter(|line| line.contains("postern")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    if !output.status.success() {
        skipped(&format!("systemd-analyze cannot judge here: {errors}"));
    }
}

/// A `/proc` and `/sys` with three interrupts, and the script run on it.
struct Interrupts {
    root: tempfile::TempDir,
}

impl Interrupts {
    fn new() -> Interrupts {
        let root = tempfile::tempdir().expect("a temporary directory");
        let machine = Interrupts { root };
        machine.write("sys/devices/system/cpu/online", "0-3");
        for (irq, cores) in [(9, "0-1"), (24, "0-3"), (25, "2")] {
            machine.write(&format!("proc/irq/{irq}/smp_affinity_list"), cores);
        }
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, format!("{text}\n")).expect("a file");
    }

    fn run(&self, args: &[&str]) -> Output {
        let path = |name| self.root.path().join(name);
        let mut command = Command::new("bash");
        command.arg(tuning("irq-affinity.sh")).args(args);
        command.env("POSTERN_PROC", path("proc")).env("POSTERN_SYS", path("sys"));
        command.env("POSTERN_SAVED", path("saved")).output().expect("bash")
    }

    fn affinities(&self) -> [String; 3] {
        [9, 24, 25].map(|irq| {
            let file = format!("proc/irq/{irq}/smp_affinity_list");
            fs::read_to_string(self.root.path().join(file)).expect("a file").trim().to_owned()
        })
    }
}

#[test]
fn interrupts_move_off_the_hot_cores_and_back() {
    let machine = Interrupts::new();
    let before = ["0-1", "0-3", "2"];
    let dry = machine.run(&["apply", "2-3", "--dry-run"]);
    assert!(dry.status.success());
    assert_eq!(String::from_utf8_lossy(&dry.stdout).matches("would write 0,1 to").count(), 2);
    assert_eq!(machine.affinities(), before);
    for _ in 0..2 {
        assert!(machine.run(&["apply", "2-3"]).status.success());
        assert_eq!(machine.affinities(), ["0-1", "0,1", "0,1"]);
    }
    // More hot cores later: what is undone is still the first state.
    assert!(machine.run(&["apply", "1-3"]).status.success());
    assert_eq!(machine.affinities(), ["0", "0", "0"]);
    assert!(machine.run(&["undo", "--dry-run"]).status.success());
    assert_eq!(machine.affinities(), ["0", "0", "0"]);
    assert!(machine.run(&["undo"]).status.success());
    assert_eq!(machine.affinities(), before);
    assert_eq!(machine.run(&["undo"]).status.code(), Some(1), "nothing is left to undo");
}

#[test]
fn the_interrupt_script_refuses_what_makes_no_sense() {
    let machine = Interrupts::new();
    for args in
        [&["apply"][..], &["apply", "x"], &["apply", "1", "2"], &["--force"], &[], &["undo", "1"]]
    {
        assert_eq!(machine.run(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(machine.run(&["apply", "0-3"]).status.code(), Some(1), "no core would be left");
    assert_eq!(machine.affinities(), ["0-1", "0-3", "2"]);
}
