//! A table whose ids stay valid for one inhabitant only: slot and generation. Iteration is in slot order, so that a run
//! with the same seed makes the same decisions.

use std::mem::offset_of;

use crate::prefetch::{prefetch, prefetch_start};

/// An id that [`Slots`] can hand out.
pub trait SlotId: Copy {
    /// Makes the id of the `generation`-th inhabitant of `slot`.
    fn new(slot: u32, generation: u32) -> Self;
    /// Which place.
    fn slot(self) -> u32;
    /// Which inhabitant.
    fn generation(self) -> u32;
}

/// Whoever looks for a value looks at these words first: they lie in one cache line with the first fields of the value.
#[derive(Debug)]
#[repr(C)]
struct Slot<T> {
    generation: u32,
    place: Place<T>,
}

/// An option that keeps its tag to itself: the compiler would hide that of `Option` somewhere in the middle of `T`, one more
/// cache line away.
#[derive(Debug)]
#[repr(u32)]
enum Place<T> {
    Vacant,
    Taken(T),
}

impl<T> Place<T> {
    #[inline]
    fn as_ref(&self) -> Option<&T> {
        match self {
            Self::Vacant => None,
            Self::Taken(value) => Some(value),
        }
    }

    #[inline]
    fn as_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Vacant => None,
            Self::Taken(value) => Some(value),
        }
    }

    fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Vacant) {
            Self::Vacant => None,
            Self::Taken(value) => Some(value),
        }
    }
}

/// A capped table of `T`, found by slot and checked by generation.
#[derive(Debug)]
pub struct Slots<I, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
    cap: usize,
    id: std::marker::PhantomData<I>,
}

impl<I: SlotId, T> Slots<I, T> {
    /// An empty table that never holds more than `cap` values.
    pub fn with_cap(cap: usize) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0, cap, id: std::marker::PhantomData }
    }

    /// Puts in the value that `make` returns for its id; `None` when the table is full.
    pub fn insert_with(&mut self, make: impl FnOnce(I) -> T) -> Option<I> {
        if self.len >= self.cap {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, place: Place::Vacant });
            (self.slots.len() - 1) as u32
        });
        let free = &mut self.slots[slot as usize];
        let id = I::new(slot, free.generation);
        free.place = Place::Taken(make(id));
        self.len += 1;
        Some(id)
    }

    /// Takes the value out; its id never finds anything again.
    pub fn remove(&mut self, id: I) -> Option<T> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        if slot.generation != id.generation() {
            return None;
        }
        let value = slot.place.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot());
        self.len -= 1;
        Some(value)
    }

    /// Fetches where [`find`](Self::find) looks first.
    #[inline]
    pub fn prefetch(&self, id: I) {
        if let Some(slot) = self.slots.get(id.slot() as usize) {
            prefetch(&slot.generation);
        }
    }

    /// Fetches the first `bytes` of a value, without a look at whether it is still there.
    #[inline]
    pub fn prefetch_start(&self, id: I, bytes: usize) {
        if let Some(slot) = self.slots.get(id.slot() as usize) {
            prefetch_start(slot, bytes + offset_of!(Slot<T>, place));
        }
    }

    /// The value of this id.
    #[inline]
    pub fn find(&self, id: I) -> Option<&T> {
        let slot = self.slots.get(id.slot() as usize)?;
        if slot.generation == id.generation() { slot.place.as_ref() } else { None }
    }

    /// The value of this id, to change.
    #[inline]
    pub fn find_mut(&mut self, id: I) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot() as usize)?;
        if slot.generation == id.generation() { slot.place.as_mut() } else { None }
    }

    /// All values with their ids, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (I, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| {
            place.place.as_ref().map(|value| (I::new(slot as u32, place.generation), value))
        })
    }

    /// All values with their ids, in slot order, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (I, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, place)| {
            let generation = place.generation;
            place.place.as_mut().map(|value| (I::new(slot as u32, generation), value))
        })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RoomId;

    #[test]
    fn an_old_id_does_not_find_the_next_inhabitant() {
        let mut rooms: Slots<RoomId, &str> = Slots::with_cap(2);
        let first = rooms.insert_with(|_| "first").expect("room for one");
        assert_eq!(rooms.remove(first), Some("first"));
        let second = rooms.insert_with(|_| "second").expect("room for one");
        assert_eq!(second.slot(), first.slot());
        assert_eq!(rooms.find(first), None);
        assert_eq!(rooms.find(second), Some(&"second"));
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut rooms: Slots<RoomId, u8> = Slots::with_cap(1);
        assert!(rooms.insert_with(|_| 1).is_some());
        assert!(rooms.insert_with(|_| 2).is_none());
        assert_eq!(rooms.len(), 1);
    }
}
