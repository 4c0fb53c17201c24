//! From TOML to single checked values: two texts laid over each other, and a list of all that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::ConfigError;

/// A text as it was read.
pub(super) struct Layer<'t> {
    file: &'t str,
    text: &'t str,
}

impl Layer<'_> {
    /// The line of a byte, counted from 1.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.bytes().filter(|&byte| byte == b'\n').count() + 1
    }
}

/// Where something stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    layer: usize,
    offset: usize,
}

/// The layers, the later over the earlier, and what was found wrong so far.
pub(super) struct Reader<'t> {
    layers: Vec<Layer<'t>>,
    errors: Vec<ConfigError>,
    known: BTreeSet<String>,
}

/// A table, or the same table of several layers laid over each other.
pub(super) struct Section<'r> {
    /// As it is written: `risk`, `session`.
    name: &'static str,
    tables: Vec<(usize, &'r DeTable<'r>)>,
    place: Place,
    asked: BTreeMap<&'static str, Place>,
}

impl<'t> Reader<'t> {
    /// Reads each of `texts`, a file's name and its content; the later lie over the earlier.
    pub(super) fn new(texts: &[(&'t str, &'t str)]) -> (Reader<'t>, Vec<Spanned<DeTable<'t>>>) {
        let mut reader = Reader { layers: Vec::new(), errors: Vec::new(), known: BTreeSet::new() };
        let mut roots = Vec::new();
        for &(file, text) in texts {
            let (root, faults) = DeTable::parse_recoverable(text);
            let layer = reader.layers.len();
            reader.layers.push(Layer { file, text });
            roots.push(root);
            for fault in faults {
                let offset = fault.span().map_or(0, |span| span.start);
                let message = format!("not TOML: {}", fault.message().replace('\n', "; "));
                reader.refuse(Place { layer, offset }, "", message);
            }
        }
        (reader, roots)
    }

    /// Every fault, by file and line, and every key that was asked for.
    pub(super) fn finish(mut self) -> (Vec<ConfigError>, BTreeSet<String>) {
        self.errors.sort_by(|a, b| (&a.file, a.line, &a.key).cmp(&(&b.file, b.line, &b.key)));
        self.errors.dedup();
        (self.errors, self.known)
    }

    /// Whether anything was found wrong.
    pub(super) fn has_faults(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Notes a fault.
    pub(super) fn refuse(&mut self, place: Place, key: &str, message: impl fmt::Display) {
        let layer = &self.layers[place.layer];
        let line = layer.line(place.offset);
        let file = layer.file.to_owned();
        self.errors.push(ConfigError {
            file,
            line,
            key: key.to_owned(),
            message: message.to_string(),
        });
    }

    /// The line of a place, for a fault that is about two of them; with the file where it is not the last.
    pub(super) fn line_of(&self, place: Place) -> String {
        let layer = &self.layers[place.layer];
        let line = layer.line(place.offset);
        if place.layer + 1 == self.layers.len() {
            format!("line {line}")
        } else {
            format!("{}:{line}", layer.file)
        }
    }
}

/// Borrows of the layers' tables, apart from the reader so that faults can be noted while they are held.
pub(super) struct Tables<'r> {
    roots: Vec<&'r DeTable<'r>>,
    asked: BTreeSet<&'static str>,
}

impl<'r> Tables<'r> {
    pub(super) fn new(roots: &'r [Spanned<DeTable<'r>>]) -> Tables<'r> {
        Tables { roots: roots.iter().map(Spanned::get_ref).collect(), asked: BTreeSet::new() }
    }

    /// The section `[name]`, laid over each other; absent is the same as empty.
    pub(super) fn section(&mut self, reader: &mut Reader<'_>, name: &'static str) -> Section<'r> {
        self.asked.insert(name);
        let mut section = Section {
            name,
            tables: Vec::new(),
            place: Place { layer: 0, offset: 0 },
            asked: BTreeMap::new(),
        };
        for (layer, root) in self.roots.iter().enumerate() {
            let Some((key, value)) = root.iter().find(|(key, _)| key.get_ref() == name) else {
                continue;
            };
            let place = Place { layer, offset: key.span().start };
            match value.get_ref() {
                DeValue::Table(table) => {
                    section.tables.insert(0, (layer, table));
                    section.place = place;
                }
                DeValue::Array(_) => {
                    reader.refuse(
                        place,
                        name,
                        format_args!("there is one of it: write [{name}], not [[{name}]]"),
                    );
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => {
                    reader.refuse(place, name, format_args!("is a section: write [{name}]"));
                }
            }
        }
        section
    }

    /// The tables `[[name]]` of the topmost layer that has any.
    pub(super) fn list(&mut self, reader: &mut Reader<'_>, name: &'static str) -> Vec<Section<'r>> {
        self.asked.insert(name);
        for (layer, root) in self.roots.iter().enumerate().rev() {
            let Some((key, value)) = root.iter().find(|(key, _)| key.get_ref() == name) else {
                continue;
            };
            let place = Place { layer, offset: key.span().start };
            let DeValue::Array(items) = value.get_ref() else {
                reader.refuse(place, name, format_args!("there may be several: write [[{name}]]"));
                return Vec::new();
            };
            let mut sections = Vec::new();
            for item in items.iter() {
                let place = Place { layer, offset: item.span().start };
                match item.get_ref().as_table() {
                    Some(table) => sections.push(Section {
                        name,
                        tables: vec![(layer, table)],
                        place,
                        asked: BTreeMap::new(),
                    }),
                    None => reader.refuse(place, name, "is a list of tables"),
                }
            }
            return sections;
        }
        Vec::new()
    }

    /// Refuses every section that was never asked for.
    pub(super) fn finish(&self, reader: &mut Reader<'_>) {
        for (layer, root) in self.roots.iter().enumerate() {
            for (key, _) in root.iter() {
                let name: &str = key.get_ref();
                if !self.asked.contains(name) {
                    let message =
                        format!("no such section{}", suggestion(name, self.asked.iter().copied()));
                    reader.refuse(Place { layer, offset: key.span().start }, name, message);
                }
            }
        }
    }
}

impl<'r> Section<'r> {
    /// `section.key`, as faults name it.
    fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// Where `key` stands, or, where it is not written, its section.
    pub(super) fn place(&self, key: &'static str) -> Place {
        self.asked.get(key).copied().unwrap_or(self.place)
    }

    /// Notes a fault about `key`.
    pub(super) fn refuse(
        &self,
        reader: &mut Reader<'_>,
        key: &'static str,
        message: impl fmt::Display,
    ) {
        reader.refuse(self.place(key), &self.path(key), message);
    }

    /// Whether `key` is written anywhere.
    pub(super) fn has(&self, key: &str) -> bool {
        self.tables.iter().any(|(_, table)| table.iter().any(|(name, _)| name.get_ref() == key))
    }

    fn find(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'r DeValue<'r>> {
        reader.known.insert(self.path(key));
        self.asked.entry(key).or_insert(self.place);
        for &(layer, table) in &self.tables {
            if let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) {
                self.asked.insert(key, Place { layer, offset: name.span().start });
                return Some(value.get_ref());
            }
        }
        None
    }

    /// Lets `key` be there, whatever it holds.
    pub(super) fn look_at(&mut self, reader: &mut Reader<'_>, key: &'static str) {
        let _ = self.find(reader, key);
    }

    /// As [`Section::find`], and a fault where the key is not written.
    fn required(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'r DeValue<'r>> {
        let value = self.find(reader, key);
        if value.is_none() {
            self.refuse(reader, key, "is missing");
        }
        value
    }

    fn wrong_type(
        &self,
        reader: &mut Reader<'_>,
        key: &'static str,
        want: &str,
        value: &DeValue<'_>,
    ) {
        let (article, got) = match value.type_str() {
            "integer" => ("an", "integer"),
            "array" => ("a", "list"),
            other => ("a", other),
        };
        self.refuse(reader, key, format_args!("must be {want}, not {article} {got}"));
    }

    /// An integer in `range`.
    pub(super) fn integer<T: Copy + TryFrom<i128> + Into<i128>>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.required(reader, key)?;
        self.integer_of(reader, key, value, &range)
    }

    /// As [`Section::integer`], or `default` where the key is not written.
    pub(super) fn integer_or<T: Copy + TryFrom<i128> + Into<i128>>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> Option<T> {
        match self.find(reader, key) {
            Some(value) => self.integer_of(reader, key, value, &range),
            None => Some(default),
        }
    }

    fn integer_of<T: Copy + TryFrom<i128> + Into<i128>>(
        &self,
        reader: &mut Reader<'_>,
        key: &'static str,
        value: &DeValue<'_>,
        range: &RangeInclusive<T>,
    ) -> Option<T> {
        let Some(integer) = value.as_integer() else {
            self.wrong_type(reader, key, "an integer", value);
            return None;
        };
        let (low, high): (i128, i128) = ((*range.start()).into(), (*range.end()).into());
        let number = i128::from_str_radix(integer.as_str(), integer.radix());
        let found = number.ok().filter(|n| (low..=high).contains(n));
        if found.is_none() {
            self.refuse(reader, key, format_args!("{integer} is outside {low} to {high}"));
        }
        T::try_from(found?).ok()
    }

    /// An integer in `range` that is a power of two.
    pub(super) fn power_of_two<T: Copy + TryFrom<i128> + Into<i128>>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let value = self.integer(reader, key, range)?;
        let number: i128 = value.into();
        if number.count_ones() == 1 {
            return Some(value);
        }
        self.refuse(reader, key, format_args!("{number} is not a power of two"));
        None
    }

    /// A list of integers in `range`.
    pub(super) fn integers(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<Vec<u32>> {
        let value = self.required(reader, key)?;
        let Some(items) = value.as_array() else {
            self.wrong_type(reader, key, "a list of integers such as [1, 2]", value);
            return None;
        };
        let read =
            |item: &Spanned<DeValue<'_>>| self.integer_of(reader, key, item.get_ref(), &range);
        let values: Vec<Option<u32>> = items.iter().map(read).collect();
        values.into_iter().collect()
    }

    /// A text.
    pub(super) fn text(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<&'r str> {
        let value = self.required(reader, key)?;
        self.text_of(reader, key, value)
    }

    /// A text, or `None` inside where the key is not written.
    pub(super) fn text_or_none(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
    ) -> Option<Option<&'r str>> {
        match self.find(reader, key) {
            Some(value) => self.text_of(reader, key, value).map(Some),
            None => Some(None),
        }
    }

    fn text_of(
        &self,
        reader: &mut Reader<'_>,
        key: &'static str,
        value: &'r DeValue<'r>,
    ) -> Option<&'r str> {
        if value.as_str().is_none() {
            self.wrong_type(reader, key, "a text in quotes", value);
        }
        value.as_str()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(reader, key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let hint = suggestion(text, words.iter().map(|(word, _)| *word));
        self.refuse(reader, key, format_args!("\"{text}\" is none of {}{hint}", list.join(", ")));
        None
    }

    /// `true` or `false`, or `default` where the key is not written.
    pub(super) fn flag_or(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        default: bool,
    ) -> Option<bool> {
        let Some(value) = self.find(reader, key) else { return Some(default) };
        if value.as_bool().is_none() {
            self.wrong_type(reader, key, "true or false", value);
        }
        value.as_bool()
    }

    /// "auto" or a number up to `last`.
    pub(super) fn auto_or_number(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        last: u16,
    ) -> Option<Option<u16>> {
        let value = self.required(reader, key)?;
        match value.as_str() {
            Some("auto") => return Some(None),
            Some(text) => self.refuse(
                reader,
                key,
                format_args!("\"{text}\" is neither \"auto\" nor a number"),
            ),
            None => return self.integer_of(reader, key, value, &(0..=last)).map(Some),
        }
        None
    }

    /// A decimal number as it is written, in units of 1e-9; a bare number or a text.
    pub(super) fn decimal(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        whole_digits: usize,
    ) -> Option<i128> {
        let value = self.required(reader, key)?;
        let text = match value {
            DeValue::String(text) => &**text,
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
            DeValue::Float(float) => float.as_str(),
            DeValue::Integer(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_type(reader, key, "a decimal number such as 0.01", value);
                return None;
            }
        };
        match nano_units(text, whole_digits) {
            Ok(units) if units > 0 => return Some(units),
            Ok(_) => self.refuse(reader, key, format_args!("{text} is not above 0")),
            Err(reason) => self.refuse(reader, key, format_args!("{text} is {reason}")),
        }
        None
    }

    /// Refuses every key that was never asked for.
    pub(super) fn finish(&self, reader: &mut Reader<'_>) {
        for &(layer, table) in &self.tables {
            for (key, _) in table.iter() {
                let name: &str = key.get_ref();
                if !self.asked.contains_key(name) {
                    let message =
                        format!("no such key{}", suggestion(name, self.asked.keys().copied()));
                    reader.refuse(
                        Place { layer, offset: key.span().start },
                        &self.path(name),
                        message,
                    );
                }
            }
        }
    }
}

/// A decimal number as units of 1e-9, exactly.
fn nano_units(text: &str, whole_digits: usize) -> Result<i128, String> {
    let not_decimal = || "not a decimal number such as 0.01".to_owned();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) {
        return Err(not_decimal());
    }
    if part.len() > 9 {
        return Err("too precise: at most nine digits after the point".to_owned());
    }
    if whole.len() > whole_digits {
        return Err(format!("too large: at most {whole_digits} digits before the point"));
    }
    let units: i128 = format!("{whole}{part:0<9}").parse().map_err(|_| not_decimal())?;
    Ok(if negative { -units } else { units })
}

/// `, did you mean "…"?` where one of `words` is close to `word`.
fn suggestion(word: &str, words: impl Iterator<Item = &'static str>) -> String {
    let limit = (word.len() / 3).clamp(1, 3);
    words
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(far, _)| *far <= limit)
        .min()
        .map_or(String::new(), |(_, near)| format!(", did you mean \"{near}\"?"))
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(nano_units("0.01", 9), Ok(10_000_000));
        assert_eq!(nano_units("1000000", 9), Ok(1_000_000_000_000_000));
        assert_eq!(nano_units("-0.5", 9), Ok(-500_000_000));
        for bad in ["", ".5", "5.", "1e5", "nan", "inf", "+1", "1_0", "0.0000000001", "12345678901"]
        {
            assert!(nano_units(bad, 9).is_err(), "{bad}");
        }
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["max_open_orders", "duplicate_count"];
        let hint = |word| suggestion(word, words.iter().copied());
        assert_eq!(hint("max_open_order"), ", did you mean \"max_open_orders\"?");
        assert_eq!(hint("duplciate_count"), ", did you mean \"duplicate_count\"?");
        assert_eq!(hint("tick"), "");
    }
}
