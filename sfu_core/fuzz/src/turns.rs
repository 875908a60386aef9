//! How time passes in a run that takes steps: a turn after each, and those that are waited for beside that.

use std::iter::RepeatN;
use std::time::Duration;

use crate::connected::honest::INTERVAL;

/// Most things that happen in one run.
pub(crate) const MAX_STEPS: usize = 64;
/// Between two steps.
pub(crate) const TURN: Duration = Duration::from_millis(5);
/// Turns after which all that was said has arrived.
pub(crate) const LAST_TURNS: usize = 8;
/// Most turns that one run may wait for beside its steps: half a minute, which is as long as consent lasts.
const MAX_TURNS: usize = 160;
/// A long wait goes by in turns of this length.
const LONG_TURN: Duration = Duration::from_millis(250);

/// How many turns may still be waited for.
#[derive(Debug)]
pub(crate) struct Turns(usize);

impl Turns {
    /// None has been waited for.
    pub(crate) const fn all() -> Self {
        Self(MAX_TURNS)
    }

    /// How long each turn of a wait is, as far as there are any left: some turns, or many long ones.
    pub(crate) fn wait(&mut self, choice: u8) -> RepeatN<Duration> {
        let (count, turn) = (usize::from(choice & 0x7f), if choice & 0x80 == 0 { INTERVAL } else { LONG_TURN });
        let count = count.min(self.0);
        self.0 -= count;
        std::iter::repeat_n(turn, count)
    }
}
