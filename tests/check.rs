//! `postern check` over machines made of files, and over this one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use postern::cmd::check::{CheckOutput, EXIT_UNFIT, run, run_under};
use postern::host::{Finding, Grade, HotThread, Wants, check, check_ids};
use postern::runtime::layout::{DriverPlace, Layout, plan};
use postern::runtime::{CoreSet, Cores};

/// A machine: its files by path. An empty name ending in `/` is a folder.
#[derive(Clone, Debug)]
struct Machine {
    files: BTreeMap<String, String>,
    wants: Wants,
}

impl Machine {
    /// Four cores, of which 2 and 3 are hot and all is as it should be.
    fn perfect() -> Machine {
        let cpu = "sys/devices/system/cpu";
        let clock = "sys/devices/system/clocksource/clocksource0";
        let mut machine = Machine { files: BTreeMap::new(), wants: wants() };
        for (file, text) in [
            ("proc/cmdline", "quiet isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3"),
            ("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu constant_tsc nonstop_tsc\n"),
            ("proc/meminfo", "MemTotal:       16000000 kB\n"),
            ("proc/mounts", "tmpfs /dev/shm tmpfs rw,nosuid,size=1048576k 0 0\n"),
            ("proc/swaps", "Filename\t\tType\t\tSize\n"),
            ("proc/self/cgroup", "0::/system.slice/postern.service\n"),
            ("proc/self/status", "Name:\tpostern\nCapEff:\t0000000000000000\n"),
            ("proc/self/limits", LIMITS),
            ("proc/irq/9/smp_affinity_list", "0-1"),
            ("proc/irq/9/effective_affinity_list", "0"),
            ("proc/irq/9/acpi/", ""),
            ("proc/irq/10/smp_affinity_list", "0-3"),
            ("proc/sys/kernel/numa_balancing", "0"),
            ("proc/sys/kernel/osrelease", "6.8.0-45-generic"),
            ("proc/sys/kernel/sched_rt_runtime_us", "950000"),
            ("proc/sys/kernel/watchdog", "0"),
            ("proc/sys/net/core/rmem_max", "16777216"),
            ("proc/sys/net/core/wmem_max", "16777216"),
            ("proc/sys/vm/stat_interval", "120"),
            ("proc/sys/vm/swappiness", "60"),
            ("sys/fs/cgroup/system.slice/cpuset.cpus.effective", "0-3"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "64"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
        ] {
            machine.set(file, text);
        }
        machine.set(&format!("{cpu}/online"), "0-3");
        machine.set(&format!("{cpu}/isolated"), "2-3");
        machine.set(&format!("{cpu}/nohz_full"), "2-3");
        machine.set(&format!("{clock}/current_clocksource"), "tsc");
        machine.set(&format!("{clock}/available_clocksource"), "tsc hpet acpi_pm");
        for core in 0..4 {
            machine
                .set(&format!("{cpu}/cpu{core}/topology/thread_siblings_list"), &core.to_string());
            machine.set(&format!("{cpu}/cpu{core}/cpufreq/scaling_governor"), "performance");
            for (state, name, latency) in [("state0", "POLL", "0"), ("state1", "C1", "1")] {
                let folder = format!("{cpu}/cpu{core}/cpuidle/{state}");
                machine.set(&format!("{folder}/name"), name);
                machine.set(&format!("{folder}/latency"), latency);
                machine.set(&format!("{folder}/disable"), "0");
            }
        }
        machine
    }

    fn set(&mut self, file: &str, text: &str) {
        self.files.insert(file.to_owned(), text.to_owned());
    }

    fn build(&self) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in &self.files {
            let path = root.path().join(name);
            if name.ends_with('/') {
                std::fs::create_dir_all(path).expect("a folder");
                continue;
            }
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, format!("{text}\n")).expect("a file");
        }
        root
    }

    fn findings(&self) -> Vec<Finding> {
        check(self.build().path(), &self.wants)
    }

    /// The checks that are not ok.
    fn faults(&self) -> BTreeMap<&'static str, Finding> {
        let faults = self.findings().into_iter().filter(|finding| finding.grade != Grade::Ok);
        faults.map(|finding| (finding.id, finding)).collect()
    }
}

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max open files            65536                65536                files
Max locked memory         unlimited            unlimited            bytes";

fn wants() -> Wants {
    let hot = |name: &str, core| HotThread { name: name.to_owned(), core, spins: true };
    Wants {
        hot: vec![hot("gateway", 3), hot("feed", 2)],
        housekeeping: CoreSet::first(2),
        receive_buffer_bytes: 8 << 20,
        send_buffer_bytes: 4 << 20,
        huge_page_count: 64,
        lock_memory: true,
        real_time: false,
        aeron_dir: PathBuf::from("/dev/shm/aeron-postern"),
        aeron_bytes: 512 << 20,
        open_file_count: 4096,
    }
}

#[test]
fn a_machine_that_is_tuned_passes_every_check() {
    let findings = Machine::perfect().findings();
    for finding in &findings {
        assert_eq!(finding.grade, Grade::Ok, "{finding}");
        assert!(finding.remedy.is_empty(), "{finding}");
    }
    assert_eq!(findings.len(), check_ids().count());
}

type Break = fn(&mut Machine);

/// One way to get each check wrong: its id, its grade, a word of what is found, a word of the remedy.
const FAULTS: &[(&str, Grade, &str, &str, Break)] = &[
    ("cores-available", Grade::Fail, "core 3 is not there", "auto", |m| {
        m.set("sys/devices/system/cpu/online", "0-2");
    }),
    ("cores-available", Grade::Fail, "core 3 is outside", "AllowedCPUs=", |m| {
        m.set("sys/fs/cgroup/system.slice/cpuset.cpus.effective", "0-2");
    }),
    ("cores-shared", Grade::Warn, "gateway and feed on core 3", "yield", |m| {
        m.wants.hot[1].core = 3;
    }),
    ("cores-shared", Grade::Warn, "gateway and everything else", "yield", |m| {
        m.wants.housekeeping = CoreSet::first(4);
        m.wants.hot[1].spins = false;
    }),
    (
        "receive-buffer",
        Grade::Fail,
        "208 KiB allowed, 8 MiB wanted",
        "net.core.rmem_max=8388608",
        |m| {
            m.set("proc/sys/net/core/rmem_max", "212992");
        },
    ),
    (
        "send-buffer",
        Grade::Fail,
        "208 KiB allowed, 4 MiB wanted",
        "net.core.wmem_max=4194304",
        |m| {
            m.set("proc/sys/net/core/wmem_max", "212992");
        },
    ),
    ("aeron-space", Grade::Fail, "/dev/shm: 64 MiB, 512 MiB wanted", "--shm-size=536870912", |m| {
        m.set("proc/mounts", "/dev/sda / ext4 rw 0 0\nshm /dev/shm tmpfs rw,size=65536k 0 0");
    }),
    ("aeron-space", Grade::Fail, "/dev/shm: 250 MiB", "remount", |m| {
        m.set("proc/mounts", "tmpfs /dev/shm tmpfs rw 0 0");
        m.set("proc/meminfo", "MemTotal:         512000 kB");
    }),
    ("aeron-space", Grade::Warn, "is on ext4", "/dev/shm", |m| {
        m.set("proc/mounts", "/dev/sda / ext4 rw 0 0");
    }),
    ("open-files", Grade::Fail, "1024, 4096 wanted", "LimitNOFILE=4096", |m| {
        m.set("proc/self/limits", &LIMITS.replace("65536", "1024 "));
    }),
    ("memory-lock", Grade::Warn, "limit 8 MiB", "LimitMEMLOCK=infinity", |m| {
        m.set("proc/self/limits", &LIMITS.replace("unlimited", "8388608  "));
    }),
    ("huge-pages", Grade::Warn, "3 of 2 MiB free, 64 wanted", "vm.nr_hugepages=64", |m| {
        m.set("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "3");
    }),
    (
        "cores-isolated",
        Grade::Warn,
        "hot core 3 is not isolated",
        "isolcpus=managed_irq,domain,2-3",
        |m| {
            m.set("sys/devices/system/cpu/isolated", "2");
        },
    ),
    ("nohz-full", Grade::Warn, "hot core 2", "nohz_full=2-3", |m| {
        m.set("sys/devices/system/cpu/nohz_full", "3");
    }),
    ("rcu-nocbs", Grade::Warn, "hot core 2-3", "rcu_nocbs=2-3", |m| {
        m.set("proc/cmdline", "quiet");
    }),
    ("irq-affinity", Grade::Warn, "interrupts 24 (eth0) on 2", "irq-affinity.sh apply 2-3", |m| {
        m.set("proc/irq/24/effective_affinity_list", "2");
        m.set("proc/irq/24/eth0/", "");
    }),
    ("smt-siblings", Grade::Warn, "1,3", "nosmt", |m| {
        m.set("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,3");
        m.set("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "1,3");
    }),
    ("cpu-governor", Grade::Warn, "core 3: powersave", "cpupower", |m| {
        m.set("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave");
    }),
    ("cpu-idle-states", Grade::Warn, "core 2 may sleep in C6, 133 us", "cpupower idle-set", |m| {
        m.set("sys/devices/system/cpu/cpu2/cpuidle/state2/name", "C6");
        m.set("sys/devices/system/cpu/cpu2/cpuidle/state2/latency", "133");
        m.set("sys/devices/system/cpu/cpu2/cpuidle/state2/disable", "0");
    }),
    ("clock-source", Grade::Warn, "hpet", "current_clocksource", |m| {
        m.set("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
    }),
    ("clock-source", Grade::Warn, "unstable", "tsc=reliable", |m| {
        m.set("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
        m.set("sys/devices/system/clocksource/clocksource0/available_clocksource", "hpet");
    }),
    ("tsc-invariant", Grade::Warn, "no nonstop_tsc", "invtsc", |m| {
        m.set("proc/cpuinfo", "flags\t\t: fpu constant_tsc");
    }),
    ("transparent-huge-pages", Grade::Warn, "always", "madvise", |m| {
        m.set("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never");
    }),
    ("swappiness", Grade::Warn, "60", "vm.swappiness=10", |m| {
        m.set("proc/swaps", "Filename\t\tType\n/swapfile\tfile");
    }),
    ("numa-balancing", Grade::Warn, "on", "numa_balancing=0", |m| {
        m.set("proc/sys/kernel/numa_balancing", "1");
    }),
    ("watchdog", Grade::Warn, "hot core 2-3", "kernel.watchdog=0", |m| {
        m.set("proc/sys/kernel/watchdog", "1");
        m.set("proc/sys/kernel/watchdog_cpumask", "0-3");
    }),
    ("rt-throttling", Grade::Warn, "950000 us", "sched_rt_runtime_us=-1", |m| {
        m.wants.real_time = true;
    }),
    ("stat-interval", Grade::Warn, "1 s", "vm.stat_interval=120", |m| {
        m.set("proc/sys/vm/stat_interval", "1");
    }),
    ("kernel-version", Grade::Warn, "5.10.0-8-amd64", "Linux 5.11", |m| {
        m.set("proc/sys/kernel/osrelease", "5.10.0-8-amd64");
    }),
];

#[test]
fn each_fault_is_found_alone_with_its_remedy() {
    for (id, grade, found, remedy, break_it) in FAULTS {
        let mut machine = Machine::perfect();
        break_it(&mut machine);
        let faults = machine.faults();
        let ids: Vec<_> = faults.keys().collect();
        assert_eq!(ids, [id], "{faults:#?}");
        let finding = &faults[id];
        assert_eq!(finding.grade, *grade, "{finding}");
        assert!(finding.found.contains(found), "{finding}");
        assert!(finding.remedy.contains(remedy), "{finding}");
    }
    let broken: BTreeSet<_> = FAULTS.iter().map(|(id, ..)| *id).collect();
    assert_eq!(broken, check_ids().collect(), "every check has a fault");
}

#[test]
fn other_ways_of_being_right_are_right() {
    let ways: &[(&str, Break)] = &[
        ("the capability to lock", |m| {
            m.set("proc/self/limits", &LIMITS.replace("unlimited", "8388608  "));
            m.set("proc/self/status", "CapEff:\t0000000000004000");
        }),
        ("no frequency scaling, as in most guests", |m| {
            m.files.retain(|file, _| !file.contains("cpufreq") && !file.contains("cpuidle"));
        }),
        ("an isolated partition of control groups", |m| {
            m.set("sys/devices/system/cpu/isolated", "");
            m.set("sys/fs/cgroup/cpuset.cpus.isolated", "2-3");
        }),
        ("nohz_full from the boot line, and what it implies", |m| {
            m.files.remove("sys/devices/system/cpu/nohz_full");
            m.set("proc/cmdline", "nohz_full=1-3");
        }),
        ("an idle state that is switched off", |m| {
            m.set("sys/devices/system/cpu/cpu2/cpuidle/state2/latency", "133");
            m.set("sys/devices/system/cpu/cpu2/cpuidle/state2/disable", "1");
        }),
        ("a watchdog kept off the hot cores", |m| {
            m.set("proc/sys/kernel/watchdog", "1");
            m.set("proc/sys/kernel/watchdog_cpumask", "0-1");
        }),
        ("siblings of which one is isolated and left idle", |m| {
            m.wants.hot.truncate(1);
            m.set("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3");
        }),
        ("a processor that is no x86", |m| {
            m.set("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd");
            m.set(
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
                "arch_sys_counter",
            );
        }),
        ("control groups of version 1", |m| m.set("proc/self/cgroup", "3:cpuset:/\n")),
        ("threads that share a core and yield", |m| {
            m.wants.hot.iter_mut().for_each(|thread| thread.spins = false);
            m.wants.hot[1].core = 3;
        }),
    ];
    for (way, change) in ways {
        let mut machine = Machine::perfect();
        change(&mut machine);
        assert!(machine.faults().is_empty(), "{way}: {:#?}", machine.faults());
    }
}

#[test]
fn an_empty_machine_is_answered_and_not_called_fit() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let findings = check(root.path(), &wants());
    assert_eq!(findings.len(), check_ids().count());
    assert!(findings.iter().any(|finding| finding.grade == Grade::Fail), "no core is online");
}

#[test]
fn rubbish_in_every_file_is_survived() {
    for rubbish in ["", "\u{0}", "-", "99999999999999999999999", "[[[", "a:b:c,,,\n\n= =", "0-1023"]
    {
        let mut machine = Machine::perfect();
        machine.files.values_mut().for_each(|text| *text = rubbish.to_owned());
        assert_eq!(machine.findings().len(), check_ids().count());
    }
}

#[test]
fn a_line_reads_id_grade_finding_remedy_and_a_failure_is_the_exit_status() {
    let mut machine = Machine::perfect();
    let print = |machine: &Machine, output| {
        let mut out = Vec::new();
        let root = machine.build();
        let status = run_under(root.path(), &machine.wants, output, &mut out).expect("a buffer");
        (status, String::from_utf8(out).expect("text"))
    };
    let (status, text) = print(&machine, CheckOutput::Text);
    assert_eq!(status, 0);
    assert!(text.contains("24 ok, 0 warn, 0 fail"), "{text}");
    machine.set("proc/sys/vm/stat_interval", "1");
    assert_eq!(print(&machine, CheckOutput::Text).0, 0, "a warning does not fail");
    machine.set("proc/sys/net/core/rmem_max", "4096");
    let (status, text) = print(&machine, CheckOutput::Text);
    assert_eq!(status, EXIT_UNFIT);
    let line = "receive-buffer          fail  4 KiB allowed, 8 MiB wanted  — sudo sysctl net.core.rmem_max=8388608";
    assert!(text.lines().any(|found| found == line), "{text}");

    let (status, text) = print(&machine, CheckOutput::Json);
    assert_eq!(status, EXIT_UNFIT);
    let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&object["ok"], &object["warn"], &object["fail"]),
        (&22.into(), &1.into(), &1.into())
    );
    let findings = object["findings"].as_array().expect("an array");
    let finding = findings.iter().find(|row| row["id"] == "receive-buffer").expect("a row");
    assert_eq!(finding["grade"], "fail");
    assert_eq!(finding["remedy"], "sudo sysctl net.core.rmem_max=8388608");
}

#[test]
fn this_machine_can_run_the_layout_chosen_for_it() {
    let plan = plan(Layout::Auto, &Cores::of_this_machine(), DriverPlace::Invoked);
    let wants = Wants { aeron_bytes: 1 << 20, open_file_count: 64, ..Wants::of_plan(&plan) };
    let mut out = Vec::new();
    let status = run(&wants, CheckOutput::Text, &mut out).expect("a buffer");
    let text = String::from_utf8(out).expect("text");
    assert_eq!(text.lines().count(), check_ids().count() + 1, "{text}");
    let cores = text.lines().find(|line| line.starts_with("cores-available")).expect("a line");
    assert!(cores.contains("  ok  "), "{cores}");
    assert!(status == 0 || text.contains("  fail  "), "{text}");
}
