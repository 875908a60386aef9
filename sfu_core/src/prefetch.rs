//! Fetching memory before it is needed. In hundreds of small rooms nearly every packet belongs to people whose state has
//! left the caches since their last one; fetched one after the other, that costs more than the encryption. Fetched for
//! several packets at once, it costs little more than for one.
//!
//! Nothing here changes what is computed.

/// Bytes of a cache line on every processor we know of; where it is more, some lines are asked for twice.
const LINE: usize = 64;

/// Asks for the lines in which `value` lies, and does not wait for them.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    let (start, size) = (std::ptr::from_ref(value).cast::<u8>(), size_of_val(value));
    let mut offset = 0;
    while offset < size {
        prefetch_line(start.wrapping_add(offset));
        offset += LINE;
    }
    // The last byte may lie one line further, but not of what is aligned to its size.
    if size > align_of_val(value) {
        prefetch_line(start.wrapping_add(size - 1));
    }
}

/// Asks for the lines of the first `bytes` of `value`.
#[inline]
pub fn prefetch_start<T>(value: &T, bytes: usize) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    for offset in (0..bytes.min(size_of::<T>())).step_by(LINE) {
        prefetch_line(start.wrapping_add(offset));
    }
}

/// Asks for all lines of the `T` that is at `place`, or would be: nothing is read that the program could see.
#[inline]
pub fn prefetch_bytes<T>(place: *const T) {
    for offset in (0..size_of::<T>()).step_by(LINE) {
        prefetch_line(place.cast::<u8>().wrapping_add(offset));
    }
    prefetch_place(place);
}

/// Asks for the lines of the `T` that is at `place`, or would be: nothing is read that the program could see.
#[inline]
pub fn prefetch_place<T>(place: *const T) {
    prefetch_line(place.cast());
    prefetch_line(place.cast::<u8>().wrapping_add(size_of::<T>().saturating_sub(1)));
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint to the processor: it reads nothing that the program could see, and never faults.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

/// Stable Rust has no such hint elsewhere yet.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_line: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_may_be_asked_for_even_nothing() {
        prefetch::<[u8]>(&[]);
        prefetch(&[0_u8; 1_000][13..]);
        prefetch(&());
    }
}
