//! Who may receive what, and since when: the test's own book, kept beside the engine's.

use std::collections::BTreeMap;

/// Grants and revocations in the order of the datagrams that leave the server: the finest order there is, as several
/// datagrams and commands share an instant.
#[derive(Debug, Default)]
pub struct Permissions {
    /// By track and listener: from which departure on it is so.
    history: BTreeMap<(u32, usize), Vec<(u64, bool)>>,
}

impl Permissions {
    /// From the datagram numbered `departures` on, `listener` may receive `source`.
    pub fn allow(&mut self, source: u32, listener: usize, departures: u64) {
        self.history.entry((source, listener)).or_default().push((departures, true));
    }

    /// From the datagram numbered `departures` on, it may not.
    pub fn revoke(&mut self, source: u32, listener: usize, departures: u64) {
        self.history.entry((source, listener)).or_default().push((departures, false));
    }

    /// From the datagram numbered `departures` on, nobody may receive `source`.
    pub fn revoke_all(&mut self, source: u32, departures: u64) {
        for (_, history) in self.history.range_mut((source, 0)..=(source, usize::MAX)) {
            history.push((departures, false));
        }
    }

    /// From the datagram numbered `departures` on, `listener` may receive nothing: it left, and another may take its place.
    pub fn revoke_listener(&mut self, listener: usize, departures: u64) {
        for ((_, of), history) in &mut self.history {
            if *of == listener {
                history.push((departures, false));
            }
        }
    }

    /// Whether the datagram numbered `departure` may carry `source` to `listener`.
    pub fn allowed(&self, source: u32, listener: usize, departure: u64) -> bool {
        let Some(history) = self.history.get(&(source, listener)) else {
            return false;
        };
        let known = history.partition_point(|&(since, _)| since <= departure);
        known > 0 && history[known - 1].1
    }
}
