//! The end of a session, as its lines tell it: believed of both, or of one that repeats it while nobody says otherwise.

use crate::feed::arbiter::LINES_MAX;
use crate::feed::arbiter::claims::Standing;
use crate::types::Nanos;

#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// The number that would follow the last message.
    sequence: u64,
    packets: u32,
    since: Nanos,
    /// What the other line had brought by then.
    other_heard: u64,
}

/// What each line said of the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    of: [Word; LINES_MAX],
}

impl Ending {
    /// Takes note of an end that `line` told, with the number behind the last message; whether it is to be believed now.
    pub(super) fn weigh(
        &mut self,
        line: usize,
        sequence: u64,
        confirm_packets: u32,
        standing: &Standing,
    ) -> bool {
        let other = LINES_MAX - 1 - line;
        let other_heard = standing.heard[other];
        let word = self.of[line];
        let is_same = word.packets > 0
            && word.sequence == sequence
            && (word.other_heard == other_heard || !standing.other_is_alive);
        let word = if is_same {
            Word { packets: word.packets + 1, ..word }
        } else {
            Word { sequence, packets: 1, since: standing.now, other_heard }
        };
        self.of[line] = word;
        let others = self.of[other];
        let is_agreed = others.packets > 0 && others.sequence == sequence;
        let wait_ns = if standing.other_is_alive { standing.line_wait_ns } else { 0 };
        let stands_alone =
            word.packets >= confirm_packets && standing.now.since(word.since) >= wait_ns;
        is_agreed || stands_alone
    }
}
