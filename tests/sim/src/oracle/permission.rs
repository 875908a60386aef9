//! Who may receive what, and since when: the test's own book, kept beside the engine's.

use std::collections::BTreeMap;

/// Grants and revocations in the order of the datagrams that leave the server: the finest order there is, as several
/// datagrams and commands share an instant.
#[derive(Debug, Default)]
pub struct Permissions {
    /// By listener and track: from which departure on it is so.
    history: BTreeMap<(usize, u32), Vec<(u64, bool)>>,
    /// By track: from which departure on it is silent for everybody.
    silence: BTreeMap<u32, Vec<(u64, bool)>>,
}

/// What was so at `departure`; nothing is before the first entry.
fn at(history: Option<&Vec<(u64, bool)>>, departure: u64) -> bool {
    let history = history.map_or(&[][..], Vec::as_slice);
    let known = history.partition_point(|&(since, _)| since <= departure);
    known > 0 && history[known - 1].1
}

impl Permissions {
    /// From the datagram numbered `departures` on, `listener` may receive `source`.
    pub fn allow(&mut self, source: u32, listener: usize, departures: u64) {
        self.history.entry((listener, source)).or_default().push((departures, true));
    }

    /// From the datagram numbered `departures` on, it may not.
    pub fn revoke(&mut self, source: u32, listener: usize, departures: u64) {
        self.history.entry((listener, source)).or_default().push((departures, false));
    }

    /// From the datagram numbered `departures` on, nobody may receive `source`.
    pub fn revoke_all(&mut self, source: u32, departures: u64) {
        for ((_, of), history) in &mut self.history {
            if *of == source {
                history.push((departures, false));
            }
        }
    }

    /// From the datagram numbered `departures` on, `listener` may receive nothing.
    pub fn revoke_listener(&mut self, listener: usize, departures: u64) {
        for ((of, _), history) in &mut self.history {
            if *of == listener {
                history.push((departures, false));
            }
        }
    }

    /// `listener` is gone, and what it received is judged no more; another may take its place.
    pub fn forget_listener(&mut self, listener: usize) {
        self.history.retain(|&(of, _), _| of != listener);
    }

    /// From the datagram numbered `departures` on, `source` is silent, or no longer.
    pub fn mute(&mut self, source: u32, muted: bool, departures: u64) {
        self.silence.entry(source).or_default().push((departures, muted));
    }

    /// Whether the datagram numbered `departure` may carry `source` to `listener`.
    pub fn allowed(&self, source: u32, listener: usize, departure: u64) -> bool {
        at(self.history.get(&(listener, source)), departure) && !at(self.silence.get(&source), departure)
    }

    /// Whether any datagram from number `from` to number `until` might have carried it.
    pub fn allowed_between(&self, source: u32, listener: usize, from: u64, until: u64) -> bool {
        let history = self.history.get(&(listener, source));
        let granted = |&(since, allowed): &(u64, bool)| allowed && (from..=until).contains(&since);
        at(history, from) || history.is_some_and(|history| history.iter().any(granted))
    }
}
