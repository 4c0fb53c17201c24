//! Which agent runs on which thread, on which core, and how it idles: a pure function of the layout and the machine.
//!
//! Why `fused` is what `auto` chooses on every machine: a ring hop between cores costs two cache-line transfers (tens of
//! nanoseconds on one die, hundreds across dies), and an order makes four of them; on one core the same rings stay in
//! its cache. `split` pays where one core cannot keep up with the orders, which starts at some hundred thousand a
//! second; that is for the operator to know, so it must be asked for. What `auto` does decide is how much shares the
//! gateway's core: the feed gets one of its own as soon as there are three.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::runtime::cores::{CoreSet, Cores};
use crate::runtime::idle::{Idle, PARK_DEFAULT};

/// How agents are grouped on threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `entry`, `risk` and `router`, and the Aeron driver where we invoke it, on one thread: no order leaves its core.
    Fused,
    /// A thread and, while they last, a core for each hot agent.
    Split,
    /// By the cores there are: see the module's head.
    Auto,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Fused => "fused",
            Layout::Split => "split",
            Layout::Auto => "auto",
        })
    }
}

/// A text that is no layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLayoutError {
    text: String,
}

impl fmt::Display for ParseLayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no layout: write fused, split or auto", self.text)
    }
}

impl std::error::Error for ParseLayoutError {}

impl FromStr for Layout {
    type Err = ParseLayoutError;

    fn from_str(text: &str) -> Result<Layout, ParseLayoutError> {
        match text {
            "fused" => Ok(Layout::Fused),
            "split" => Ok(Layout::Split),
            "auto" => Ok(Layout::Auto),
            _ => Err(ParseLayoutError { text: text.to_owned() }),
        }
    }
}

/// An agent of the gateway, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The Aeron media driver, where a thread of ours runs it.
    Driver,
    /// Strategies' sessions.
    Entry,
    /// The gate.
    Risk,
    /// Venue sessions.
    Router,
    /// Market data.
    Feed,
    /// Journal files.
    Journal,
    /// People and scripts.
    Control,
}

impl Role {
    /// The agent's name, and its thread's where it has one of its own.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Driver => "driver",
            Role::Entry => "entry",
            Role::Risk => "risk",
            Role::Router => "router",
            Role::Feed => "feed",
            Role::Journal => "journal",
            Role::Control => "control",
        }
    }
}

/// Who runs the Aeron driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverPlace {
    /// An agent of ours invokes it: it is part of the plan.
    Invoked,
    /// It has threads of its own, or is another process: it is no part of the plan.
    Elsewhere,
}

/// An agent on a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedAgent {
    /// Which.
    pub role: Role,
    /// Polled once in this many cycles.
    pub every: u32,
}

/// A thread of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedThread {
    /// Its name.
    pub name: &'static str,
    /// The core it is pinned to; none: the housekeeping cores.
    pub core: Option<usize>,
    /// How it idles.
    pub idle: Idle,
    /// Its agents, in the order they are polled.
    pub agents: Vec<PlannedAgent>,
}

impl PlannedThread {
    /// Whether orders or market data pass through it.
    pub fn is_hot(&self) -> bool {
        self.agents.iter().any(|agent| !matches!(agent.role, Role::Journal | Role::Control))
    }
}

/// Every thread of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What was asked for.
    pub asked: Layout,
    /// What it came to: never [`Layout::Auto`].
    pub layout: Layout,
    /// The threads, in the order they are started.
    pub threads: Vec<PlannedThread>,
    /// Where all else runs: the main thread, threads without a core, libraries' helpers.
    pub housekeeping: CoreSet,
    /// What the operator should know: what is shared, and why.
    pub remarks: Vec<String>,
}

impl Plan {
    /// The cores that hot threads are pinned to.
    pub fn hot_cores(&self) -> CoreSet {
        self.threads.iter().filter(|t| t.is_hot()).filter_map(|t| t.core).collect()
    }

    /// The thread that runs `role`.
    pub fn thread_of(&self, role: Role) -> Option<&PlannedThread> {
        self.threads.iter().find(|thread| thread.agents.iter().any(|agent| agent.role == role))
    }
}

impl fmt::Display for Plan {
    /// One line a thread.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "layout {} (asked for: {})", self.layout, self.asked)?;
        for thread in &self.threads {
            let place = thread.core.map_or_else(
                || format!("cores {}", self.housekeeping),
                |core| format!("core {core}"),
            );
            write!(f, "  {:<12} {place:<12} {:<12}", thread.name, thread.idle.to_string())?;
            for agent in &thread.agents {
                write!(f, " {}", agent.role.name())?;
                if agent.every > 1 {
                    write!(f, "/{}", agent.every)?;
                }
            }
            writeln!(f)?;
        }
        self.remarks.iter().try_for_each(|remark| writeln!(f, "  note: {remark}"))
    }
}

/// The longest a thread sleeps that shares its core with another hot one: a hop between them waits for it.
const SHARED_PARK: Duration = Duration::from_micros(50);
/// The longest a lingering thread sleeps: what the first message after a quiet time waits at most.
const LINGER_PARK: Duration = Duration::from_micros(100);

/// An idle feed costs a system call a poll; on the gateway's thread that delays an order that just came. So it is polled
/// this seldom there.
const FEED_EVERY_ON_GATEWAY: u32 = 4;

/// Places every agent. Never fails: where cores are missing, threads share and idle so that they can.
///
/// # Panics
/// If no core is usable: a process always has one.
pub fn plan(asked: Layout, cores: &Cores, driver: DriverPlace) -> Plan {
    assert!(!cores.usable.is_empty(), "a process runs on some core");
    let layout = if asked == Layout::Split { Layout::Split } else { Layout::Fused };
    let groups = group(layout, cores, driver);
    let hot = Hot::choose(cores, groups.len());
    let mut threads: Vec<PlannedThread> = groups
        .into_iter()
        .enumerate()
        .map(|(index, (name, agents))| {
            let core = hot.cores[index % hot.cores.len()];
            PlannedThread { name, core: Some(core), idle: Idle::Pause, agents }
        })
        .collect();
    let mut remarks = Vec::new();
    for index in 0..threads.len() {
        let (idle, remark) = idle_of(&threads, index, cores, &hot);
        threads[index].idle = idle;
        remarks.extend(remark);
    }
    remarks.extend(hot.remark(cores));
    let slow = |role: Role| PlannedThread {
        name: role.name(),
        core: None,
        idle: Idle::Park(PARK_DEFAULT),
        agents: vec![PlannedAgent { role, every: 1 }],
    };
    threads.extend([slow(Role::Journal), slow(Role::Control)]);
    Plan { asked, layout, threads, housekeeping: hot.housekeeping, remarks }
}

type Group = (&'static str, Vec<PlannedAgent>);

/// The hot threads by their agents. The driver comes first: the others are its clients.
fn group(layout: Layout, cores: &Cores, driver: DriverPlace) -> Vec<Group> {
    let agent = |role| PlannedAgent { role, every: 1 };
    let driver = (driver == DriverPlace::Invoked).then_some(agent(Role::Driver));
    let order_path = [Role::Entry, Role::Risk, Role::Router].map(agent);
    if layout == Layout::Split {
        let single = |agent: PlannedAgent| (agent.role.name(), vec![agent]);
        let all = driver.into_iter().chain(order_path).chain([agent(Role::Feed)]);
        return all.map(single).collect();
    }
    let mut gateway: Vec<PlannedAgent> = driver.into_iter().chain(order_path).collect();
    if cores.usable.count() >= 3 {
        return vec![("gateway", gateway), ("feed", vec![agent(Role::Feed)])];
    }
    gateway.push(PlannedAgent { role: Role::Feed, every: FEED_EVERY_ON_GATEWAY });
    vec![("gateway", gateway)]
}

/// The cores for hot threads, best first, and what is left.
struct Hot {
    cores: Vec<usize>,
    housekeeping: CoreSet,
}

impl Hot {
    /// Isolated cores first; among equals the highest, as interrupts and daemons gather on the lowest; one hardware
    /// thread of a physical core before the other. The lowest core is left to the rest of the system, unless it is the
    /// only one.
    fn choose(cores: &Cores, wanted: usize) -> Hot {
        let kept = cores.usable.without(&cores.isolated).iter().next();
        let kept = kept.or_else(|| cores.usable.iter().next());
        let mut candidates: Vec<usize> =
            cores.usable.iter().filter(|core| Some(*core) != kept).collect();
        candidates.extend(kept.filter(|_| candidates.is_empty()));
        let is_second = |core: usize| cores.is_second_sibling(core, kept);
        candidates.sort_by_key(|core| {
            (is_second(*core), !cores.isolated.contains(*core), std::cmp::Reverse(*core))
        });
        candidates.truncate(wanted.max(1));
        let taken: CoreSet = candidates.iter().copied().collect();
        let left = cores.usable.without(&taken).without(&cores.isolated);
        let housekeeping = match kept {
            Some(kept) if left.is_empty() => CoreSet::from_iter([kept]),
            Some(_) | None => left,
        };
        Hot { cores: candidates, housekeeping }
    }

    fn remark(&self, cores: &Cores) -> Option<String> {
        let bare: CoreSet =
            self.cores.iter().copied().filter(|core| !cores.isolated.contains(*core)).collect();
        (!bare.is_empty()).then(|| {
            format!("hot cores {bare} are not isolated: the kernel may run anything else there")
        })
    }
}

impl Cores {
    /// Whether `core` shares a physical core with a lower one that may be hot, or with the one kept for the system.
    fn is_second_sibling(&self, core: usize, kept: Option<usize>) -> bool {
        let group = self.siblings.iter().find(|group| group.contains(core));
        group.is_some_and(|group| {
            let mut others = group.iter().filter(|other| self.usable.contains(*other));
            others.any(|other| other < core || (other != core && Some(other) == kept))
        })
    }
}

/// How a hot thread idles: it burns its core only if it is the only one there and the machine has cores to spare.
fn idle_of(
    threads: &[PlannedThread],
    index: usize,
    cores: &Cores,
    hot: &Hot,
) -> (Idle, Option<String>) {
    let thread = &threads[index];
    let sharers: Vec<&str> = threads
        .iter()
        .filter(|other| other.core == thread.core && other.name != thread.name)
        .map(|other| other.name)
        .collect();
    if !sharers.is_empty() {
        let remark = format!("thread {} shares its core with {}", thread.name, sharers.join(", "));
        return (Idle::Park(SHARED_PARK), Some(remark));
    }
    let core = thread.core.unwrap_or_default();
    if cores.isolated.contains(core) {
        return (Idle::Pause, None);
    }
    match cores.usable.count() {
        1 => {
            let remark = format!("thread {} shares the only core with all else", thread.name);
            (Idle::Park(PARK_DEFAULT), Some(remark))
        }
        // Strategies, venue connections and the operator live on what is left; with less than two cores left, that
        // includes this one.
        _ if hot.housekeeping.count() < 2 => {
            let remark = format!(
                "thread {} rests on core {core} when nothing happens: too few cores are left for everything else",
                thread.name
            );
            (Idle::Linger(LINGER_PARK), Some(remark))
        }
        _ => (Idle::Pause, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(asked: Layout, cores: &Cores) -> Vec<String> {
        let plan = plan(asked, cores, DriverPlace::Invoked);
        let line = |thread: &PlannedThread| {
            let place = thread.core.map_or_else(|| "-".to_owned(), |core| core.to_string());
            let agents: Vec<&str> = thread.agents.iter().map(|agent| agent.role.name()).collect();
            format!("{} @{place} {} [{}]", thread.name, thread.idle, agents.join(" "))
        };
        let mut lines: Vec<String> = plan.threads.iter().map(line).collect();
        assert_eq!(lines.pop().as_deref(), Some("control @- park:200us [control]"));
        assert_eq!(lines.pop().as_deref(), Some("journal @- park:200us [journal]"));
        lines.push(format!("rest {}", plan.housekeeping));
        lines
    }

    const GATEWAY: &str = "[driver entry risk router]";

    #[test]
    fn fused_and_auto_fit_machines_of_1_to_16_cores() {
        let with_feed = "[driver entry risk router feed]";
        let table = [
            (1, vec![format!("gateway @0 park:200us {with_feed}"), "rest 0".into()]),
            (2, vec![format!("gateway @1 linger:100us {with_feed}"), "rest 0".into()]),
            (
                3,
                vec![
                    format!("gateway @2 linger:100us {GATEWAY}"),
                    "feed @1 linger:100us [feed]".into(),
                    "rest 0".into(),
                ],
            ),
            (
                4,
                vec![
                    format!("gateway @3 pause {GATEWAY}"),
                    "feed @2 pause [feed]".into(),
                    "rest 0-1".into(),
                ],
            ),
            (
                8,
                vec![
                    format!("gateway @7 pause {GATEWAY}"),
                    "feed @6 pause [feed]".into(),
                    "rest 0-5".into(),
                ],
            ),
            (
                16,
                vec![
                    format!("gateway @15 pause {GATEWAY}"),
                    "feed @14 pause [feed]".into(),
                    "rest 0-13".into(),
                ],
            ),
        ];
        for (count, expected) in table {
            for asked in [Layout::Fused, Layout::Auto] {
                assert_eq!(lines(asked, &Cores::plain(count)), expected, "{asked} on {count}");
            }
        }
    }

    #[test]
    fn split_gives_each_hot_agent_a_core_while_they_last() {
        let split = |count: usize| lines(Layout::Split, &Cores::plain(count));
        assert_eq!(
            split(8),
            [
                "driver @7 pause [driver]",
                "entry @6 pause [entry]",
                "risk @5 pause [risk]",
                "router @4 pause [router]",
                "feed @3 pause [feed]",
                "rest 0-2",
            ]
        );
        assert_eq!(
            split(4),
            [
                "driver @3 park:50us [driver]",
                "entry @2 park:50us [entry]",
                "risk @1 linger:100us [risk]",
                "router @3 park:50us [router]",
                "feed @2 park:50us [feed]",
                "rest 0",
            ]
        );
        assert_eq!(split(2)[0], "driver @1 park:50us [driver]");
        assert_eq!(split(2)[4], "feed @1 park:50us [feed]");
        assert_eq!(split(1)[5], "rest 0");
        assert_eq!(split(16)[0], "driver @15 pause [driver]");
    }

    #[test]
    fn isolated_cores_come_first_and_are_never_for_housekeeping() {
        let cores = Cores { isolated: "1-2".parse().expect("a list"), ..Cores::plain(8) };
        assert_eq!(
            lines(Layout::Auto, &cores),
            [
                format!("gateway @2 pause {GATEWAY}"),
                "feed @1 pause [feed]".to_owned(),
                "rest 0,3-7".to_owned(),
            ]
        );
        let cores = Cores { isolated: "1".parse().expect("a list"), ..Cores::plain(2) };
        assert_eq!(
            lines(Layout::Auto, &cores)[0],
            "gateway @1 pause [driver entry risk router feed]"
        );
        let all = Cores { isolated: CoreSet::first(4), ..Cores::plain(4) };
        assert_eq!(plan(Layout::Auto, &all, DriverPlace::Invoked).housekeeping, CoreSet::first(1));
    }

    #[test]
    fn two_hot_threads_do_not_meet_on_one_physical_core() {
        // Cores 0..8 as 4 physical ones: n and n + 4 are siblings.
        let siblings = (0..4).map(|core| CoreSet::from_iter([core, core + 4])).collect();
        let cores = Cores { siblings, ..Cores::plain(8) };
        let hot = plan(Layout::Auto, &cores, DriverPlace::Invoked).hot_cores();
        assert_eq!(hot.to_string(), "2-3");
        // More than there are physical cores: then the second hardware threads.
        let hot = plan(Layout::Split, &cores, DriverPlace::Invoked).hot_cores();
        assert_eq!(hot.to_string(), "1-3,6-7");
    }

    #[test]
    fn every_role_runs_exactly_once_in_every_plan() {
        for count in 1..=16 {
            for asked in [Layout::Fused, Layout::Split, Layout::Auto] {
                for driver in [DriverPlace::Invoked, DriverPlace::Elsewhere] {
                    let plan = plan(asked, &Cores::plain(count), driver);
                    let mut roles: Vec<Role> =
                        plan.threads.iter().flat_map(|t| &t.agents).map(|a| a.role).collect();
                    roles.sort_unstable();
                    let all = [
                        Role::Driver,
                        Role::Entry,
                        Role::Risk,
                        Role::Router,
                        Role::Feed,
                        Role::Journal,
                        Role::Control,
                    ];
                    let skipped = usize::from(driver == DriverPlace::Elsewhere);
                    assert_eq!(roles, all[skipped..], "{plan}");
                    assert!(plan.layout != Layout::Auto && !plan.housekeeping.is_empty());
                    let shared = plan.hot_cores().and(&plan.housekeeping);
                    assert!(count == 1 || shared.is_empty(), "{plan}");
                }
            }
        }
    }

    #[test]
    fn a_layout_reads_back_as_itself_and_others_are_refused() {
        for layout in [Layout::Fused, Layout::Split, Layout::Auto] {
            assert_eq!(layout.to_string().parse(), Ok(layout));
        }
        let error = "dense".parse::<Layout>().expect_err("no layout").to_string();
        assert!(error.contains("fused, split or auto"), "{error}");
    }
}
