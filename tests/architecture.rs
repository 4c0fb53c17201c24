//! Which module may import which (`ARCHITECTURE.md`), and what every source file has to look like.
//!
//! The rules are held against `src/` as text: every `use crate::…`, also with braces, and every `crate::…` or `postern::…` in the
//! code itself counts. Each rule has a test that it refuses what it is there to refuse.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer: a module may import from its own layer's `within` and from every layer below.
const VOCABULARY: &[&str] = &["types", "codec"];
const MECHANISM: &[&str] =
    &["ring", "gate", "runtime", "telemetry", "mirror", "net", "transport", "session"];
const AGENTS: &[&str] = &["feed", "entry", "risk", "router", "journal", "control"];
const WIRING: &[&str] = &["config", "host", "topology"];
const TOP: &[&str] = &["client", "sim", "cmd"];
const LAYERS: &[&[&str]] = &[VOCABULARY, MECHANISM, AGENTS, WIRING, TOP];

/// What a module may not reach although its layer would let it: the invariants of absence.
const ABSENT: &[(&str, &[&str])] = &[
    ("types", &["codec"]),
    ("risk", &["net", "transport"]),
    ("config", &["topology", "host"]),
    ("host", &["topology"]),
    // What a strategy knows of the gateway is its messages.
    (
        "client",
        &[
            "feed",
            "entry",
            "risk",
            "router",
            "journal",
            "control",
            "config",
            "host",
            "topology",
            "sim",
            "cmd",
            "gate",
            "ring",
            "net",
            "telemetry",
        ],
    ),
];

/// Crates that one module alone names: crate, module.
const FENCED: &[(&str, &str)] = &[
    ("rusteron_client", "transport"),
    ("rusteron_media_driver", "transport"),
    ("order_entry", "codec"),
    ("market_data", "codec"),
    ("journal", "codec"),
];

/// The one function that makes a ring for approved orders, and the one file that may call it.
const APPROVED_RING: &str = "approved_ring(";

const LINES_MAX: usize = 800;

/// A source file: its path below `src/`, with `/`, and its text.
struct Source<'t> {
    path: &'t str,
    text: &'t str,
}

impl Source<'_> {
    /// The module at the top of the crate it belongs to: `risk` for `risk/check.rs`, `topology` for `topology.rs`.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or("").trim_end_matches(".rs")
    }

    /// The code without comments, texts and character literals, which are blanked; line breaks stay.
    fn code(&self) -> String {
        let mut code = String::new();
        let bytes: Vec<char> = self.text.chars().collect();
        let mut at = 0;
        let next = |at: usize| bytes.get(at).copied().unwrap_or('\0');
        while at < bytes.len() {
            let end = match (next(at), next(at + 1)) {
                ('/', '/') => (at..bytes.len()).find(|&i| bytes[i] == '\n').unwrap_or(bytes.len()),
                ('/', '*') => (at + 2..bytes.len())
                    .find(|&i| next(i) == '*' && next(i + 1) == '/')
                    .map_or(bytes.len(), |i| i + 2),
                ('r', '"') => {
                    (at + 2..bytes.len()).find(|&i| next(i) == '"').map_or(bytes.len(), |i| i + 1)
                }
                ('r', '#') if next(at + 2) == '"' => (at + 3..bytes.len())
                    .find(|&i| next(i) == '"' && next(i + 1) == '#')
                    .map_or(bytes.len(), |i| i + 2),
                ('"', _) => end_of_text(&bytes, at),
                ('\'', '\\') => {
                    (at + 3..bytes.len()).find(|&i| next(i) == '\'').map_or(bytes.len(), |i| i + 1)
                }
                ('\'', _) if next(at + 2) == '\'' => at + 3,
                (other, _) => {
                    code.push(other);
                    at += 1;
                    continue;
                }
            };
            code.extend(bytes[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
        code
    }

    /// Whether the file holds nothing but the tests of its module, which may reach further than what they test.
    fn is_tests(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The modules of the crate that the code names.
    fn imports(&self) -> BTreeSet<String> {
        let code: String = without_tests(&self.code());
        let mut found = BTreeSet::new();
        for root in ["crate::", "postern::"] {
            for (at, _) in code.match_indices(root) {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                    continue;
                }
                found.extend(first_names(&code[at + root.len()..]));
            }
        }
        found
    }
}

/// The end of a text in quotes that begins at `start`.
fn end_of_text(bytes: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != '"' {
        at += if bytes[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The code up to its `#[cfg(test)] mod … {` at the end of the file: tests may reach further than what they test.
fn without_tests(code: &str) -> String {
    match code.find("#[cfg(test)]\nmod ") {
        Some(at) => code[..at].to_owned(),
        None => code.to_owned(),
    }
}

/// What a path names first: `risk` of `risk::check`, `net` and `types` of `{net::Source, types}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(list) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut item) = (1, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.push(name(item.trim()));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// What `source` imports against the rules.
fn wrong_imports(source: &Source<'_>) -> Vec<String> {
    let own = source.module();
    if own == "lib" || own == "main" || source.is_tests() {
        return Vec::new();
    }
    let Some(own_layer) = layer(own) else {
        return vec![format!("{}: the module {own} is in no layer", source.path)];
    };
    let mut wrong = Vec::new();
    for other in source.imports() {
        let Some(other_layer) = layer(&other).filter(|_| other != own) else { continue };
        let absent =
            ABSENT.iter().any(|(module, list)| *module == own && list.contains(&other.as_str()));
        let agents = AGENTS.contains(&own) && AGENTS.contains(&other.as_str());
        if other_layer > own_layer || absent || agents {
            wrong.push(format!("{}: {own} must not reach {other}", source.path));
        }
    }
    wrong
}

/// Whether `code` names the crate: as the first name of a path.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].trim_end_matches(' ');
        let bare =
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_') || before.ends_with("use");
        bare && (!before.ends_with("::") || before.ends_with(" ::"))
    })
}

/// Crates that `source` names though they are another module's.
fn wrong_crates(source: &Source<'_>) -> Vec<String> {
    let code = source.code();
    FENCED
        .iter()
        .filter(|(_, owner)| source.module() != *owner)
        .filter(|(name, _)| {
            // A module of ours may bear a crate's name; then only its items are in question where the path begins with `::`.
            let ours = layer(name).is_some()
                || code.contains(&format!("::{name};"))
                || code.contains(&format!("mod {name};"));
            if ours { code.contains(&format!(" ::{name}::")) } else { brings_in(&code, name) }
        })
        .map(|(name, owner)| format!("{}: only {owner} names the crate {name}", source.path))
        .collect()
}

/// Whether `code` reaches the crate `name` itself and not a module of that name it imported in braces.
fn brings_in(code: &str, name: &str) -> bool {
    let imported = code.match_indices("use crate::").any(|(at, _)| {
        let statement = code[at..].split(';').next().unwrap_or("");
        statement.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
    });
    !imported
        && (names_crate(code, name)
            || code.contains(&format!("use {name};"))
            || code.contains(&format!("extern crate {name}")))
}

/// Calls of the function that makes the ring for approved orders, outside the wiring.
fn wrong_approvals(source: &Source<'_>) -> Vec<String> {
    let code = without_tests(&source.code());
    let called = code.match_indices(APPROVED_RING).any(|(at, _)| {
        !code[..at].ends_with("fn ")
            && !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
    });
    if called && source.module() != "topology" && source.module() != "gate" && !source.is_tests() {
        vec![format!("{}: only topology calls {APPROVED_RING}…)", source.path)]
    } else {
        Vec::new()
    }
}

/// What the form of `source` lacks.
fn wrong_form(source: &Source<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let code = source.code();
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        wrong.push(format!("{}: {lines} lines, more than {LINES_MAX}", source.path));
    }
    let first = source.text.lines().find(|line| !line.starts_with("#!")).unwrap_or("");
    if !first.starts_with("//! ") {
        wrong.push(format!("{}: does not open with //! and its one job", source.path));
    }
    for banned in ["#[ignore", "todo!", "unimplemented!", "cfg(any())", "super::super"] {
        if code.contains(banned) {
            wrong.push(format!("{}: has {banned}", source.path));
        }
    }
    wrong
}

/// Every Rust file below `folder`: path relative to it, and text.
fn files_below(folder: &Path) -> Vec<(String, String)> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for path in entries.map(|entry| entry.expect("listed").path()).collect::<Vec<PathBuf>>() {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(folder).expect("below").display().to_string();
                files.push((relative, fs::read_to_string(&path).expect("read")));
            }
        }
    }
    files.sort();
    files
}

fn hold(folders: &[&str], rule: impl Fn(&Source<'_>) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for folder in folders {
        for (path, text) in files_below(&root.join(folder)) {
            count += 1;
            wrong.extend(rule(&Source { path: &path, text: &text }));
        }
    }
    assert!(count > 10, "{count} files: is this the source?");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_point_one_way() {
    hold(&["src"], wrong_imports);
}

#[test]
fn a_crate_is_named_where_it_is_fenced_in() {
    hold(&["src"], wrong_crates);
}

#[test]
fn approvals_are_wired_in_one_place() {
    hold(&["src"], wrong_approvals);
}

#[test]
fn files_have_the_form() {
    hold(&["src", "tests", "benches", "examples"], wrong_form);
}

#[test]
fn every_module_is_in_a_layer() {
    let library =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("read");
    for module in
        library.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        assert!(layer(module).is_some(), "{module} is in no layer of this test");
    }
}

/// How many faults a rule finds in a text at a path.
fn count(rule: impl Fn(&Source<'_>) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&Source { path, text }).len()
}

#[test]
fn wrong_imports_are_found() {
    for (path, text) in [
        ("risk/check.rs", "use crate::net::PacketSource;"),
        ("risk/check.rs", "use crate::config::Config;"),
        ("risk/check.rs", "use crate::{types::Price, transport};"),
        ("risk/check.rs", "fn f() { crate::transport::connect(); }"),
        ("entry/mod.rs", "use crate::risk::Limits;"),
        (
            "entry/mod.rs",
            "use crate::{\n    codec::{Message, order_entry},\n    router::Table,\n};",
        ),
        ("types/price.rs", "use crate::codec::Message;"),
        ("ring/spsc.rs", "pub(in crate::feed) fn f() {}"),
        ("feed/mod.rs", "use crate::topology::Plan;"),
        ("topology.rs", "use crate::cmd::run;"),
        ("unheard_of/mod.rs", ""),
    ] {
        assert_eq!(count(wrong_imports, path, text), 1, "{path}: {text}");
    }
}

#[test]
fn right_imports_pass() {
    for (path, text) in [
        ("risk/check.rs", "use crate::{ring::Producer, types::{Price, Qty}};"),
        ("risk/check.rs", "use crate::risk::limits; // not crate::net::x"),
        ("risk/check.rs", "const NAME: &str = \"crate::net::x\"; /* crate::net */"),
        (
            "risk/check.rs",
            "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use crate::net::Capture;\n}",
        ),
        ("topology.rs", "use crate::{config, feed, risk, transport};"),
        ("cmd/demo.rs", "use crate::{sim, topology};"),
        ("main.rs", "use postern::cmd;"),
        ("codec/message.rs", "use $crate::feed::x; other_crate::risk::y();"),
    ] {
        assert_eq!(count(wrong_imports, path, text), 0, "{path}: {text}");
    }
}

#[test]
fn fenced_crates_are_found() {
    for text in [
        "use rusteron_client::Aeron;",
        "fn f(a: &rusteron_client::Aeron) {}",
        "use ::journal::WriteBuf;",
        "use order_entry::WriteBuf;",
    ] {
        assert_eq!(count(wrong_crates, "feed/mod.rs", text), 1, "{text}");
    }
    for (path, text) in [
        ("transport/client.rs", "use rusteron_client::Aeron;"),
        ("codec/journal.rs", "use ::journal::WriteBuf;"),
        ("entry/mod.rs", "use crate::codec::order_entry;\nfn f() { order_entry::decode(); }"),
        (
            "entry/mod.rs",
            "use crate::codec::{Message, order_entry::{self, OrderEntry}};\nfn f() { order_entry::decode(); }",
        ),
        ("topology.rs", "use crate::journal::Writer;\nfn f() { journal::open(); }"),
        ("entry/mod.rs", "// rusteron_client::Aeron\nuse crate::codec::order_entry::OrderEntry;"),
    ] {
        assert_eq!(count(wrong_crates, path, text), 0, "{path}: {text}");
    }
}

#[test]
fn approvals_elsewhere_are_found() {
    assert_eq!(
        count(wrong_approvals, "sim/venue.rs", "let (a, b) = gate::approved_ring(&config)?;"),
        1
    );
    assert_eq!(
        count(wrong_approvals, "gate/mod.rs", "pub fn approved_ring(config: &RingConfig) {}"),
        0
    );
    assert_eq!(count(wrong_approvals, "risk/tests.rs", "let (a, b) = approved_ring(&config)?;"), 0);
    assert_eq!(count(wrong_approvals, "topology.rs", "let (a, b) = approved_ring(&config)?;"), 0);
}

#[test]
fn bad_forms_are_found() {
    let long = format!("//! One job.\n{}", "//\n".repeat(LINES_MAX));
    for text in [
        long.as_str(),
        "use std::fmt;\n",
        "",
        "//! One job.\n#[test]\n#[ignore]\nfn f() {}",
        "//! One job.\n#[ignore = \"slow\"]\nfn f() {}",
        "//! One job.\nfn f() { todo!() }",
        "//! One job.\n#[cfg(any())]\nmod x {}",
    ] {
        assert_eq!(
            count(wrong_form, "risk/check.rs", text),
            1,
            "{}",
            text.lines().take(3).collect::<String>()
        );
    }
    assert_eq!(
        count(
            wrong_form,
            "risk/check.rs",
            "//! One job.\n// todo!() was here\nconst A: char = '\"';\n"
        ),
        0
    );
}
