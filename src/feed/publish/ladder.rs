//! What was told of one side of a book, and by which changes it becomes what the book is now. Pure.

use crate::types::{Price, Side, UpdateAction};

/// All orders at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) price: Price,
    pub(super) shares: u64,
    pub(super) orders: u32,
}

/// One change of one level; a deleted one has no shares and no orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) action: UpdateAction,
    pub(super) side: Side,
    pub(super) level: Level,
}

/// Whether a level at `price` stands before one at `other`.
#[inline]
fn is_better(side: Side, price: Price, other: Price) -> bool {
    match side {
        Side::Buy => price > other,
        Side::Sell => price < other,
    }
}

/// Appends to `changes` what turns `told` into `now`, both best first. Levels that go come first, so that no reader ever
/// holds more than the longer of the two. Walks each list twice; nothing where they are equal.
#[inline]
pub(super) fn compare(side: Side, told: &[Level], now: &[Level], changes: &mut Vec<Change>) {
    if told == now {
        return;
    }
    let mut rest = now;
    for level in told {
        while let [first, after @ ..] = rest
            && is_better(side, first.price, level.price)
        {
            rest = after;
        }
        if rest.first().is_none_or(|first| first.price != level.price) {
            let level = Level { price: level.price, shares: 0, orders: 0 };
            changes.push(Change { action: UpdateAction::Delete, side, level });
        }
    }
    let mut rest = told;
    for &level in now {
        while let [first, after @ ..] = rest
            && is_better(side, first.price, level.price)
        {
            rest = after;
        }
        match rest.first() {
            Some(first) if *first == level => {}
            Some(first) if first.price == level.price => {
                changes.push(Change { action: UpdateAction::Change, side, level });
            }
            Some(_) | None => changes.push(Change { action: UpdateAction::New, side, level }),
        }
    }
}

/// Makes `told` what a reader has after `change`.
#[inline]
pub(super) fn apply(told: &mut Vec<Level>, change: &Change) {
    let Change { action, side, level } = *change;
    let at = told.iter().position(|other| !is_better(side, other.price, level.price));
    let at = at.unwrap_or(told.len());
    match action {
        UpdateAction::New => told.insert(at, level),
        UpdateAction::Change => told[at] = level,
        UpdateAction::Delete => {
            told.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(side: Side, mask: u32, salt: u64) -> Vec<Level> {
        let mut levels: Vec<Level> = (0..6)
            .filter(|bit| mask & (1 << bit) != 0)
            .map(|bit| Level {
                price: Price::from_units(i64::from(bit) - 2),
                shares: 1 + (salt >> bit) % 2,
                orders: 1,
            })
            .collect();
        if side == Side::Buy {
            levels.reverse();
        }
        levels
    }

    /// Every pair of ladders of up to six levels, whose quantities differ here and there.
    #[test]
    fn the_changes_lead_from_any_ladder_to_any_other() {
        for side in [Side::Buy, Side::Sell] {
            for told_mask in 0..64 {
                for now_mask in 0..64 {
                    let told = ladder(side, told_mask, 0b01_0101);
                    let now = ladder(side, now_mask, 0b01_1001);
                    let mut changes = Vec::new();
                    compare(side, &told, &now, &mut changes);
                    let mut reader = told.clone();
                    let most = told.len().max(now.len());
                    for change in &changes {
                        apply(&mut reader, change);
                        assert!(reader.len() <= most, "{changes:?}");
                    }
                    assert_eq!(reader, now, "{changes:?}");
                    assert_eq!(changes.is_empty(), told == now);
                    let prices: Vec<Price> = changes.iter().map(|c| c.level.price).collect();
                    let mut once = prices.clone();
                    once.sort();
                    once.dedup();
                    assert_eq!(once.len(), prices.len(), "a level changes once: {changes:?}");
                }
            }
        }
    }
}
