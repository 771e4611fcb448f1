//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the test that counts: the counters are the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes that were allocated since the process began.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

/// Bytes that are held, each block as large as glibc makes it.
static HELD: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: each call is the system's allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as u64, Ordering::Relaxed);
        HELD.fetch_add(block(layout), Ordering::Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(block(layout), Ordering::Relaxed);
        // SAFETY: as the caller has promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// A block has a head of eight bytes, is at least 32 bytes long, and longer by sixteens (glibc's malloc.c).
fn block(layout: Layout) -> u64 {
    (layout.size() as u64 + 8).next_multiple_of(16).max(32)
}

/// Bytes that were allocated since the process began.
pub(crate) fn allocated() -> u64 {
    ALLOCATED.load(Ordering::Relaxed)
}

/// Bytes that are held now.
pub(crate) fn held() -> u64 {
    HELD.load(Ordering::Relaxed)
}

/// Nobody else counts while this is held.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    // A test that has failed has left nothing behind.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
