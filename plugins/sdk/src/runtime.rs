//! What the standard library would bring: memory, and an end for a panic. Used by plugins that call
//! [`no_std_runtime!`](crate::no_std_runtime), and only in WebAssembly, where there is one thread.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use alloc::alloc::{alloc, realloc};
use alloc::string::ToString;
use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::null_mut;

use crate::contract::akita::plugin::log;

/// WebAssembly's unit of memory, in bytes.
const PAGE: usize = 64 * 1024;
/// The smallest block: room for the pointer that a free one holds, and for the alignment of everything usual.
const SMALLEST: usize = 16;
/// One list of free blocks for each power of two.
const CLASSES: usize = usize::BITS as usize;

/// Blocks in powers of two: a freed block goes to the list of its size, and new ones come from the end of memory.
#[derive(Debug)]
pub struct Allocator;

struct State {
    /// The first free block of each size; each block starts with a pointer to the next.
    free: [*mut u8; CLASSES],
    /// The first byte never handed out; 0 before the first use.
    end: usize,
}

/// A cell that may be static because a guest has one thread.
struct OneThread(UnsafeCell<State>);

// SAFETY: guests are compiled without threads, and no host calls into a guest while it runs.
unsafe impl Sync for OneThread {}

static STATE: OneThread = OneThread(UnsafeCell::new(State { free: [null_mut(); CLASSES], end: 0 }));

// For `memcpy` and its like, which the compiler calls.
#[link(name = "c")]
unsafe extern "C" {
    /// Where the linker's data and stack end.
    static __heap_base: u8;
}

fn block_size(layout: Layout) -> Option<usize> {
    layout.size().max(layout.align()).max(SMALLEST).checked_next_power_of_two()
}

impl State {
    /// The alignment is at most the size of a block, and blocks lie at multiples of the smallest size at least.
    fn take(&mut self, size: usize, align: usize) -> *mut u8 {
        let list = &mut self.free[size.trailing_zeros() as usize];
        if !list.is_null() && list.addr().is_multiple_of(align) {
            let block = *list;
            // SAFETY: a block on a list is free, and its first bytes hold the next one.
            *list = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        if self.end == 0 {
            self.end = (&raw const __heap_base).addr();
        }
        let start = self.end.next_multiple_of(align.max(SMALLEST));
        let Some(end) = start.checked_add(size) else { return null_mut() };
        if self.reach(end) { core::ptr::with_exposed_provenance_mut(start) } else { null_mut() }
    }

    /// Moves the end of what has been handed out, with more memory if need be.
    fn reach(&mut self, end: usize) -> bool {
        let have = wasm32::memory_size(0) * PAGE;
        if end > have && wasm32::memory_grow(0, (end - have).div_ceil(PAGE)) == usize::MAX {
            return false;
        }
        self.end = end;
        true
    }
}

// SAFETY: blocks do not overlap, are as large and as aligned as asked, and are reused only after they were freed.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = block_size(layout) else { return null_mut() };
        // SAFETY: one thread, and nothing below calls back into the allocator.
        unsafe { &mut *STATE.0.get() }.take(size, layout.align())
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(size) = block_size(layout) else { return };
        // SAFETY: as above; the block is at least a pointer long and nobody uses it any more.
        unsafe {
            let list = &mut (&mut *STATE.0.get()).free[size.trailing_zeros() as usize];
            block.cast::<*mut u8>().write(*list);
            *list = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(new_size, layout.align()) else { return null_mut() };
        let (Some(old), Some(new)) = (block_size(layout), block_size(wanted)) else { return null_mut() };
        if new == old {
            return block;
        }
        // SAFETY: as above; the last block grows where it is, others move.
        unsafe {
            let state = &mut *STATE.0.get();
            if new > old && block.addr() + old == state.end {
                return if state.reach(block.addr() + new) { block } else { null_mut() };
            }
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Tells the operator, then traps.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    log::write(log::Level::Error, &info.to_string(), &[]);
    wasm32::unreachable()
}

/// Memory that the host asks for, to place arguments in.
///
/// # Safety
/// Called by the host alone, by the rules of the canonical ABI: `old` is null or a block of `old_size`.
pub unsafe fn reallocate(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    if size == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: by the canonical ABI the alignment is a small power of two and the old block is one of ours.
    let block = unsafe {
        if old_size == 0 {
            alloc(Layout::from_size_align_unchecked(size, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_size, align), size)
        }
    };
    if block.is_null() {
        wasm32::unreachable()
    }
    block
}
