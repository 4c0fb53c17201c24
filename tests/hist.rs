//! `postern hist` on whole and on damaged logs.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag,
};
use hdrhistogram::serialization::{V2DeflateSerializer, V2Serializer};
use postern::cmd::hist;
use postern::telemetry::hlog::{Environment, LogWriter};
use postern::telemetry::hlog_reader::{LogFault, LogReader};
use postern::types::UtcNanos;
use serde_json::Value;
use tempfile::TempDir;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: hist::Args,
}

/// Runs the command with `arguments`, of which those that begin with `@` name files in `directory`.
fn run(directory: &TempDir, arguments: &[&str]) -> Result<String, String> {
    let expanded = arguments.iter().map(|argument| match argument.strip_prefix('@') {
        Some(name) => directory.path().join(name).display().to_string(),
        None => (*argument).to_owned(),
    });
    let cli = Cli::try_parse_from(std::iter::once("hist".to_owned()).chain(expanded))
        .map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    hist::run(&cli.args, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).expect("text"))
}

fn json(directory: &TempDir, arguments: &[&str]) -> Value {
    let with_output = [arguments, &["--output", "json"]].concat();
    let text = run(directory, &with_output).expect("a good log");
    serde_json::from_str(&text).expect("one JSON object")
}

fn ramp(to: u64) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
    (1..=to).for_each(|value| histogram.record(value).expect("in range"));
    histogram
}

/// A log as the crate writes it: for each entry of `intervals` a tag, a start in seconds and the top of a ramp.
fn crate_log(intervals: &[(Option<&str>, u64, u64)], start: Option<SystemTime>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[Layout: fused]");
    if let Some(start) = start {
        builder.with_start_time(start).with_base_time(start);
    }
    let mut log = builder.begin_log_with(&mut bytes, &mut serializer).expect("memory");
    for (tag, start, to) in intervals {
        let tag = tag.map(|tag| Tag::new(tag).expect("a tag"));
        let (start, length) = (Duration::from_secs(*start), Duration::from_secs(1));
        log.write_histogram(&ramp(*to), start, length, tag).expect("memory");
    }
    bytes
}

fn write(directory: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    path
}

#[test]
fn summary_adds_the_intervals_of_a_tag() {
    let directory = TempDir::new().expect("a directory");
    let log = crate_log(
        &[(Some("gateway"), 0, 1_000), (Some("x"), 0, 10), (Some("gateway"), 1, 1_000)],
        None,
    );
    write(&directory, "a.hlog", &log);
    let answer = json(&directory, &["@a.hlog"]);
    assert_eq!(answer["intervals"], 3);
    let gateway = &answer["latency_ns"]["gateway"];
    for (key, value) in [
        ("p50", 500),
        ("p90", 900),
        ("p99", 990),
        ("p99_9", 999),
        ("p99_99", 1_000),
        ("max", 1_000),
        ("count", 2_000),
    ] {
        assert_eq!(gateway[key], value, "{key}");
    }
    let text = run(&directory, &["@a.hlog"]).expect("a good log");
    assert!(text.contains("Layout: fused"), "{text}");
    let row = text.lines().find(|line| line.starts_with("gateway")).expect("a row");
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>().join(" "),
        "gateway 500 ns 900 ns 990 ns 999 ns 1.00 µs 1.00 µs 2000"
    );
}

#[test]
fn tag_chooses_and_an_unknown_one_is_an_error() {
    let directory = TempDir::new().expect("a directory");
    write(&directory, "a.hlog", &crate_log(&[(Some("x"), 0, 10), (None, 0, 20)], None));
    let answer = json(&directory, &["@a.hlog", "--tag", "x"]);
    assert_eq!(answer["latency_ns"].as_object().map(|tags| tags.len()), Some(1));
    let error = run(&directory, &["@a.hlog", "--tag", "y"]).expect_err("no such tag");
    assert!(error.contains("no histogram of tag `y`") && error.contains("a.hlog"), "{error}");
    let text = run(&directory, &["@a.hlog"]).expect("a good log");
    assert!(text.contains("(no tag)"), "{text}");
}

#[test]
fn percentiles_are_in_the_classic_form() {
    let directory = TempDir::new().expect("a directory");
    write(&directory, "a.hlog", &crate_log(&[(Some("x"), 0, 1_000)], None));
    let text = run(&directory, &["@a.hlog", "--percentiles"]).expect("a good log");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "#[Tag: x, unit: nanoseconds]");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    );
    let rows: Vec<Vec<f64>> = lines[3..]
        .iter()
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|n| n.parse().expect("a number")).collect())
        .collect();
    assert!(rows.windows(2).all(|pair| pair[0][1] <= pair[1][1] && pair[0][2] <= pair[1][2]));
    let median = rows.iter().find(|row| row[1] >= 0.5).expect("a median");
    assert_eq!(median[..3], [500.0, 0.5, 500.0]);
    let last = rows.last().expect("a last row");
    assert_eq!(last[..], [1_000.0, 1.0, 1_000.0]);
    assert!(text.contains("#[Max     =     1000.000, Total count    =         1000]"), "{text}");
    assert!(text.contains("SubBuckets     =         2048]"), "{text}");
    let all = json(&directory, &["@a.hlog", "--percentiles"]);
    let steps = all["percentiles"]["x"].as_array().expect("steps");
    assert_eq!(steps.last().expect("a step")["count"], 1_000);
}

#[test]
fn merge_writes_one_interval_for_each_tag_and_keeps_the_time() {
    let directory = TempDir::new().expect("a directory");
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let first = crate_log(&[(Some("x"), 5, 100), (Some("y"), 6, 7)], Some(at(1_000)));
    let second = crate_log(&[(Some("x"), 2, 300)], Some(at(2_000)));
    write(&directory, "a.hlog", &first);
    write(&directory, "b.hlog", &second);
    run(&directory, &["@a.hlog", "@b.hlog", "--merge", "@c.hlog"]).expect("two good logs");
    let merged = fs::read(directory.path().join("c.hlog")).expect("the merged log");
    let entries: Vec<_> = IntervalLogIterator::new(&merged).map(|e| e.expect("a line")).collect();
    let [
        LogEntry::StartTime(start),
        LogEntry::BaseTime(base),
        LogEntry::Interval(x),
        LogEntry::Interval(y),
    ] = entries.as_slice()
    else {
        panic!("{entries:?}");
    };
    assert_eq!((start.as_secs(), base.as_secs()), (1_005, 1_005));
    assert_eq!((x.start_timestamp().as_secs(), x.duration().as_secs()), (0, 998));
    assert_eq!((y.start_timestamp().as_secs(), y.duration().as_secs()), (1, 1));
    assert_eq!(
        json(&directory, &["@c.hlog"])["latency_ns"],
        json(&directory, &["@a.hlog", "@b.hlog"])["latency_ns"]
    );
    let error = run(&directory, &["@a.hlog", "--merge", "@c.hlog"]).expect_err("it is there");
    assert!(error.contains("c.hlog") && error.contains("exists"), "{error}");
}

#[test]
fn compare_gives_a_ratio_for_each_percentile() {
    let directory = TempDir::new().expect("a directory");
    write(&directory, "a.hlog", &crate_log(&[(Some("x"), 0, 1_000), (Some("old"), 0, 1)], None));
    write(&directory, "b.hlog", &crate_log(&[(Some("x"), 0, 2_000), (Some("new"), 0, 1)], None));
    let answer = json(&directory, &["--compare", "@a.hlog", "@b.hlog"]);
    assert_eq!(answer["tags"]["x"]["ratio"]["p50"], 2.0);
    assert_eq!(answer["tags"]["x"]["ratio"]["p99_9"], 2.0);
    assert_eq!(answer["tags"]["x"]["before"]["count"], 1_000);
    assert_eq!(answer["only_before"], serde_json::json!(["old"]));
    assert_eq!(answer["only_after"], serde_json::json!(["new"]));
    let text = run(&directory, &["--compare", "@a.hlog", "@b.hlog"]).expect("two good logs");
    assert!(text.contains("2.000") && text.contains("only in the second file: new"), "{text}");
    let error = run(&directory, &["--compare", "@a.hlog"]).expect_err("one file");
    assert!(error.contains("exactly two files"), "{error}");
}

#[test]
fn other_tools_logs_are_read() {
    let directory = TempDir::new().expect("a directory");
    // Windows line ends, no fraction, a plain (not deflated) histogram, no line end at the end, other bounds.
    let mut bytes = Vec::new();
    let mut serializer = V2Serializer::new();
    let mut wide = Histogram::<u64>::new_with_bounds(1_000, u64::MAX, 2).expect("bounds");
    wide.record(5_000_000_000_000).expect("in range");
    let mut log = IntervalLogWriterBuilder::new()
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("memory");
    log.write_histogram(&wide, Duration::ZERO, Duration::ZERO, Tag::new("x")).expect("memory");
    let line = String::from_utf8(bytes).expect("text");
    let small = String::from_utf8(crate_log(&[(Some("x"), 0, 10)], None)).expect("text");
    let small = small.lines().last().expect("an interval");
    let text = format!(
        "#[StartTime: 1441812279.474 (seconds since epoch), Wed Sep 09 08:24:39 PDT 2015]\r\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\r\n\
         {small}\r\n\r\n{}",
        line.trim_end().replace("0.000,0.000,", "0,1,")
    );
    write(&directory, "a.hlog", text.as_bytes());
    let x = &json(&directory, &["@a.hlog"])["latency_ns"]["x"];
    assert_eq!(x["count"], 11);
    assert!(x["max"].as_u64().is_some_and(|max| max >= 4_900_000_000_000), "{x}");
}

/// The error for a file with these bytes.
fn error_of(bytes: &[u8]) -> String {
    let directory = TempDir::new().expect("a directory");
    let path = write(&directory, "bad.hlog", bytes);
    let error = run(&directory, &["@bad.hlog"]).expect_err("a bad log");
    error.replace(&path.display().to_string(), "bad.hlog")
}

#[test]
fn damage_is_named_with_file_and_line() {
    let good = String::from_utf8(crate_log(&[(Some("x"), 0, 50), (Some("x"), 1, 50)], None))
        .expect("text");
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(lines.len(), 3);
    let with_line_2 = |line: &str| format!("{}\n{line}\n{}\n", lines[0], lines[2]);
    let cut = |line: &str, bytes: usize| line[..line.len() - bytes].to_owned();
    let payload = |text: &str| with_line_2(&format!("Tag=x,0.000,1.000,50.000,{text}"));
    let cases = [
        (String::new(), "bad.hlog:1: the file is empty"),
        ("\u{1}\u{2}binary".to_owned(), "bad.hlog:1: not an HdrHistogram interval log"),
        ("{\"json\": true}\n".to_owned(), "bad.hlog:1: not an HdrHistogram interval log"),
        ("#only a comment\n".to_owned(), "no histogram in bad.hlog"),
        ("#[Histogram log format version 2.0]\n".to_owned(), "bad.hlog:1: log format version 2.0"),
        ("#x\n#[BaseTime: soon]\n".to_owned(), "bad.hlog:2: the interval's BaseTime is not"),
        (with_line_2("Tag=x,0.000,1.000"), "bad.hlog:2: cut short"),
        (with_line_2("Tag=x"), "bad.hlog:2: cut short"),
        (with_line_2("Tag=x,zero,1.000,50.000,AAAA"), "bad.hlog:2: the interval's start is not"),
        (with_line_2("Tag=x,0.0,-1.0,50.000,AAAA"), "bad.hlog:2: the interval's length is not"),
        (with_line_2("Tag=x,0.0,1.0,most,AAAA"), "bad.hlog:2: the interval's maximum is not"),
        (payload(""), "bad.hlog:2: the histogram is not whole base64"),
        (payload("HIST*AAA"), "bad.hlog:2: the histogram is not whole base64"),
        (payload("AAA"), "bad.hlog:2: the histogram is not whole base64"),
        (payload("AA=="), "bad.hlog:2: the histogram is cut short"),
        (payload("AAAAAAAA"), "bad.hlog:2: the histogram cannot be: it does not begin with"),
        (payload("HISTAQAAAAA="), "bad.hlog:2: the histogram is encoded as V1"),
        (payload("HISTCQAAAAA="), "bad.hlog:2: the histogram is encoded as V0"),
        (payload("DHISTgAAAAA="), "bad.hlog:2: the histogram is encoded as a histogram of doubles"),
        (with_line_2(&cut(lines[1], 4)), "bad.hlog:2: the histogram is cut short"),
        (with_line_2(&cut(lines[1], 1)), "bad.hlog:2: the histogram is not whole base64"),
        (good[..good.len() - 9].to_owned(), "bad.hlog:3: the histogram is cut short"),
    ];
    for (text, expected) in cases {
        let error = error_of(text.as_bytes());
        assert!(error.starts_with(expected), "{error}\nfor {text}");
    }
    let error = error_of(&[lines[0].as_bytes(), b"\n\xff\xfe\n"].concat());
    assert!(error.starts_with("bad.hlog:2: bytes that are not text"), "{error}");
    let missing = run(&TempDir::new().expect("a directory"), &["@none.hlog"]).expect_err("missing");
    assert!(missing.contains("none.hlog: No such file"), "{missing}");
}

fn base64(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for symbol in 0..4 {
            if symbol <= three.len() {
                let index = usize::try_from(word >> (18 - 6 * symbol) & 63).expect("six bits");
                text.push(char::from(SYMBOLS[index]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// A V2 histogram with this header and these counts, not deflated and so without a checksum.
fn plain(length: u32, digits: u32, low: u64, high: u64, counts: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0x1c84_9313, length, 0, digits] {
        bytes.extend_from_slice(&u32::to_be_bytes(word));
    }
    for long in [low, high, 1.0_f64.to_bits()] {
        bytes.extend_from_slice(&long.to_be_bytes());
    }
    bytes.extend_from_slice(counts);
    bytes
}

#[test]
fn hostile_histograms_are_refused_before_memory_is_spent_on_them() {
    let log = |bytes: &[u8]| format!("#x\n0.0,1.0,1.0,{}\n", base64(bytes));
    let fault = |bytes: &[u8]| {
        let text = log(bytes);
        match LogReader::new(text.as_bytes()).next() {
            Some(Err(error)) => Some(error.fault),
            Some(Ok(_)) | None => None,
        }
    };
    assert_eq!(fault(&plain(2, 3, 1, 100_000, &[2, 4])), None);
    assert_eq!(fault(&plain(u32::MAX, 3, 1, 100_000, &[2, 4])), Some(LogFault::Truncated));
    let cases: [(Vec<u8>, &str); 8] = [
        (plain(1, 3, 1, 100_000, &[2, 4]), "longer than its length"),
        (plain(2, 6, 1, 100_000, &[2, 4]), "significant digits"),
        (plain(2, 3, 0, 100_000, &[2, 4]), "bounds"),
        (plain(2, 3, 9, 8, &[2, 4]), "bounds"),
        (plain(9, 3, 1, 100_000, &[0xff; 9]), "a run of zeros"),
        (plain(10, 3, 1, 100_000, &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), ""),
        (plain(4, 3, 1, 2, &[0xff, 0xff, 2, 2]), "more counts than its bounds"),
        (plain(5, 3, 1, 2, &[0xff, 0xff, 0x7f, 2, 0xff]), ""),
    ];
    for (bytes, expected) in cases {
        let fault = fault(&bytes).unwrap_or_else(|| panic!("{expected} passed: {bytes:?}"));
        assert!(fault.to_string().contains(expected), "{fault} instead of {expected}");
    }
    // Deflated zeros: 100 MiB in 100 KiB.
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0_u8; 1024 * 1024];
    (0..100).for_each(|_| std::io::Write::write_all(&mut encoder, &zeros).expect("memory"));
    let deflated = encoder.finish().expect("memory");
    let mut bomb = 0x1c84_9314_u32.to_be_bytes().to_vec();
    bomb.extend_from_slice(&u32::try_from(deflated.len()).expect("small").to_be_bytes());
    bomb.extend_from_slice(&deflated);
    let fault = fault(&bomb).expect("refused");
    assert!(fault.to_string().contains("inflates to more than"), "{fault}");
}

/// Flips bits and cuts everywhere: each outcome is histograms or an error with a line, never a panic; and no flipped
/// bit inside the deflated bytes goes unnoticed.
#[test]
fn damage_anywhere_is_an_error_or_harmless() {
    let good = crate_log(&[(Some("x"), 0, 300), (None, 1, 40)], Some(UNIX_EPOCH));
    let lines = good.iter().filter(|&&byte| byte == b'\n').count();
    let read = |bytes: &[u8]| {
        let mut count = 0;
        for interval in LogReader::new(bytes) {
            match interval {
                Ok(interval) => count += interval.histogram.len(),
                Err(error) => {
                    assert!((1..=lines + 1).contains(&usize::try_from(error.line).expect("small")));
                    assert!(!error.to_string().is_empty());
                    return None;
                }
            }
        }
        Some(count)
    };
    assert_eq!(read(&good), Some(340));
    for cut in 0..good.len() {
        read(&good[..cut]);
    }
    for place in 0..good.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= flip;
            read(&bad);
        }
    }
    let text = String::from_utf8(good).expect("text");
    let payload = text.find("HIST").expect("a histogram") + 16;
    let end = payload + text[payload..].find('\n').expect("a line end") - 4;
    for place in payload..end {
        let mut bad = text.clone().into_bytes();
        bad[place] = if bad[place] == b'A' { b'B' } else { b'A' };
        if bad != text.as_bytes() {
            assert_eq!(read(&bad), None, "a changed byte at {place} went unnoticed");
        }
    }
}

#[test]
fn what_postern_writes_it_reads() {
    let mut log =
        LogWriter::begin(Vec::new(), &Environment::here("split"), UtcNanos(7_000_000_000))
            .expect("memory");
    log.write("gateway", &ramp(1_000), Duration::from_millis(250), Duration::from_secs(2))
        .expect("memory");
    let bytes = log.finish().expect("memory");
    let mut reader = LogReader::new(bytes.as_slice());
    let interval = reader.next().expect("an interval").expect("a good one");
    assert_eq!(interval.tag, "gateway");
    assert_eq!(interval.start, Duration::from_millis(7_250));
    assert_eq!(interval.length, Duration::from_secs(2));
    assert_eq!(interval.histogram, ramp(1_000));
    assert!(reader.next().is_none());
    assert!(reader.comments().iter().any(|comment| comment == "[Layout: split]"));
}
