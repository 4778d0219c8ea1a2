//! How much memory a piece of code holds at most: nothing may allocate from a length that it has
//! not compared with what is there.
//!
//! The allocator of the process counts, thread by thread, so that tests can run side by side. What
//! one thread allocates and another one frees is counted wrongly; no target does that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a decoder may hold beyond a multiple of its input.
pub const MARGIN_BYTES: usize = 1 << 20;
/// How many times its input a decoder may hold.
pub const TIMES: usize = 16;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a count.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts `bytes` more, or fewer.
fn count(bytes: isize) {
    // A thread that ends frees memory when its count is gone already.
    let counted = HELD.try_with(|held| {
        held.set(held.get().wrapping_add(bytes));
        held.get()
    });
    if let Ok(held) = counted {
        // Both are plain cells without destructors: if the one is there, so is the other.
        PEAK.try_with(|peak| peak.set(peak.get().max(held))).ok();
    }
}

/// The size of a layout, which is below the largest signed number.
fn size(layout: Layout) -> isize {
    layout.size().cast_signed()
}

// SAFETY: every call is handed to the system's allocator as it is, and its answer is handed back;
// counting neither allocates nor unwinds.
#[expect(unsafe_code, reason = "an allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - size(layout));
        // SAFETY: as above; the pointer came from the system's allocator.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// Runs `run`, and says how many bytes this thread held meanwhile beyond what it held before.
pub fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    let outer = PEAK.replace(before);
    let answer = run();
    let peak = PEAK.get();
    PEAK.set(outer.max(peak));
    (answer, (peak - before).max(0).cast_unsigned())
}

/// Runs `run` over an input of so many bytes.
///
/// # Panics
/// When it held more memory at once than [`TIMES`] its input and [`MARGIN_BYTES`].
pub fn bounded<T>(input_bytes: usize, run: impl FnOnce() -> T) -> T {
    bounded_by(TIMES.saturating_mul(input_bytes) + MARGIN_BYTES, run)
}

/// Runs `run`.
///
/// # Panics
/// When it held more than `max` bytes at once.
pub fn bounded_by<T>(max: usize, run: impl FnOnce() -> T) -> T {
    let (answer, held) = peak(run);
    assert!(held <= max, "{held} bytes were held at once, and {max} are allowed");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_at_once_is_counted_and_what_was_freed_before_is_not() {
        let (_, held) = peak(|| {
            drop(std::hint::black_box(vec![0u8; 5_000]));
            let mut kept = std::hint::black_box(vec![1u8; 3_000]);
            kept.reserve_exact(4_000);
            std::hint::black_box(kept).len()
        });
        assert_eq!(held, 7_000);
    }

    #[test]
    fn an_inner_peak_is_part_of_the_outer_one() {
        let inner = || peak(|| std::hint::black_box(vec![0u8; 9_000]).len()).1;
        assert_eq!(peak(|| assert_eq!(inner(), 9_000)).1, 9_000);
    }

    #[test]
    #[should_panic(expected = "bytes were held at once")]
    fn memory_that_does_not_follow_the_input_is_noticed() {
        bounded(10, || std::hint::black_box(vec![0u8; MARGIN_BYTES + 161]).len());
    }
}
