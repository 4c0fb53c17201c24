//! The documents agree with the tree: tables that repeat the code, links, and the files they name.

use std::fs;
use std::path::{Path, PathBuf};

use postern::types::DenyReason;

/// The pages of the project. Those below `sbe-schemas/` and `tuning/` have links held here too.
const PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "benches/README.md",
    "sbe-schemas/README.md",
    "src/risk/README.md",
    "tuning/README.md",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Every target of `[text](target)` that is a file of the tree, without the part behind `#`.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or("").to_owned())
        .collect()
}

/// Everything between single backticks that looks like a file below one of the tree's folders.
fn named_files(text: &str) -> Vec<String> {
    let folders = ["src/", "tests/", "benches/", "examples/", "fuzz/", "scripts/", "tuning/"];
    let is_path = |word: &&str| {
        folders.iter().any(|folder| word.starts_with(folder))
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "/_.-".contains(c))
    };
    text.split('`').skip(1).step_by(2).filter(is_path).map(str::to_owned).collect()
}

fn missing(base: PathBuf, names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| !base.join(name).exists()).collect()
}

#[test]
fn the_reason_codes_are_those_of_the_code() {
    let page = read("src/risk/README.md");
    assert!(
        page.ends_with(&DenyReason::table()),
        "the table in src/risk/README.md should be:\n{}",
        DenyReason::table()
    );
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for page in PAGES {
        let base = root().join(page).parent().expect("a page is in a folder").to_owned();
        let targets = links(&read(page));
        count += targets.len();
        let missing = missing(base, targets);
        assert!(missing.is_empty(), "{page} links to {missing:?}");
    }
    assert!(count > 10, "{count} links: are these the pages?");
}

#[test]
fn files_that_are_named_exist() {
    let mut count = 0;
    for page in PAGES {
        let names = named_files(&read(page));
        count += names.len();
        let missing = missing(root().to_owned(), names);
        assert!(missing.is_empty(), "{page} names {missing:?}");
    }
    assert!(count > 50, "{count} files: are these the pages?");
}

#[test]
fn the_map_has_every_module() {
    let map = read("ARCHITECTURE.md");
    for module in read("src/lib.rs")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'))
    {
        let has = ["`", ".rs`", "/`"].iter().any(|end| {
            map.contains(&format!("`{module}{end}")) || map.contains(&format!("`src/{module}{end}"))
        });
        assert!(has, "ARCHITECTURE.md does not name {module}");
    }
}
