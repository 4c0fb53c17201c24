//! `default.toml` against the code: every key of the one is known to the other, and the examples are sound.

use std::collections::BTreeSet;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::config::{Config, DEFAULT_NAME, DEFAULT_TOML};

/// `default.toml` with its examples in force, named as if it lay in `folder`, and all keys it has.
fn examples(folder: &Path) -> (String, String, BTreeSet<String>) {
    let mut text = String::new();
    let mut keys = BTreeSet::new();
    let mut section = String::new();
    for line in DEFAULT_TOML.lines() {
        let line = line
            .strip_prefix('#')
            .filter(|rest| !rest.is_empty() && !rest.starts_with(' '))
            .unwrap_or(line);
        text.push_str(line);
        text.push('\n');
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    for name in ["alpha.key", "venue.key"] {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(name))
            .expect("a key file");
        std::io::Write::write_all(&mut file, "0123456789abcdef".repeat(4).as_bytes())
            .expect("written");
    }
    let password = folder.join("glimpse.password");
    std::fs::write(&password, "0123456789").expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&password, private).expect("set");
    (folder.join("examples.toml").display().to_string(), text, keys)
}

#[test]
fn every_key_is_explained_and_every_explained_key_is_known() {
    let folder = tempfile::tempdir().expect("a folder");
    let (name, text, written) = examples(folder.path());
    let (config, known) = Config::from_layers(&[(&name, &text)]);
    let config = config.unwrap_or_else(|errors| panic!("the examples are sound:\n{errors}"));
    assert_eq!(written.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "not known");
    assert_eq!(
        known.difference(&written).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not explained"
    );
    assert_eq!((config.sessions.len(), config.channels.len(), config.venues.len()), (1, 3, 1));
}

#[test]
fn every_key_stands_below_an_explanation() {
    let mut explained = false;
    for (index, line) in DEFAULT_TOML.lines().enumerate() {
        let key = line
            .strip_prefix('#')
            .unwrap_or(line)
            .split_once(" = ")
            .filter(|(key, _)| !key.contains(' '));
        if line.starts_with("# ") {
            explained = true;
        } else if line.is_empty() {
            explained = false;
        } else if key.is_some() {
            assert!(explained, "default.toml:{}: {line}", index + 1);
        }
    }
}

#[test]
fn the_configuration_in_force_reads_back_the_same_and_tells_no_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let (name, text, _) = examples(folder.path());
    let config = Config::from_toml(&name, &text).expect("sound");
    let printed = config.to_toml();
    assert_eq!(Config::from_toml(&name, &printed).expect("sound"), config);
    let defaults = Config::default();
    assert_eq!(Config::from_toml("x.toml", &defaults.to_toml()).expect("sound"), defaults);
    for text in [printed, format!("{config:?}")] {
        assert!(!text.contains("0123456789abcdef") && !text.contains("[1, 35,"), "{text}");
    }
}

#[test]
fn what_is_written_is_printed() {
    let text = Config::default().to_toml();
    for line in DEFAULT_TOML.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        assert!(text.lines().any(|printed| printed == line), "{line}");
    }
}

#[test]
fn without_a_file_nothing_can_trade() {
    let config = Config::default();
    assert!(
        config.sessions.is_empty() && config.instruments.is_empty() && config.venues.is_empty()
    );
    assert_eq!(Config::from_toml(DEFAULT_NAME, DEFAULT_TOML).expect("sound"), config);
}
