//! The arena of a processor: its range of addresses, and the heap in it.
//!
//! Everything that compiled code can reach lies in the arena of its processor: the control block, the data-module
//! variables, the heap, the stacks of its processes and the stack on which delivered operations run. Arenas lie at
//! fixed addresses, a range per processor, so that a copy of the used pages is a checkpoint. The heap's own state lies in
//! the arena too and holds no pointer to anything outside.
//!
//! Small blocks come from size classes (four a doubling) with a free list each; blocks beyond
//! [`SMALL_BYTES_MAX`] are runs of pages, kept in segregated lists and joined with their neighbours when freed. This is not a
//! general allocator: whoever frees a block says how large it is.
//!
//! Implements: [Thesis §4.3.3] run-time data of a processor.
#![allow(unsafe_code, reason = "maps memory and hands out raw blocks of it")]

use orca_abi::control::Control;

use crate::value::place::Place;

/// Where the arena of processor 0 starts.
const ARENA_BASE: u64 = 0x1000_0000_0000;
/// Bytes of an arena.
const ARENA_SIZE: u64 = 1 << 38;
/// No arena has a higher number: beyond it lie the mappings of the operating system.
pub(crate) const ARENA_NUMBER_MAX: u32 = 400;

const HEAP_STATE_OFFSET: u64 = 64 << 10;
const DATA_OFFSET: u64 = 1 << 20;
/// Bytes of data-module variables at most.
pub(crate) const DATA_BYTES_MAX: u64 = (1 << 30) - DATA_OFFSET;
const OPERATION_STACK_OFFSET: u64 = 1 << 30;
/// Bytes reserved for the stack of operations.
const OPERATION_STACK_RESERVED: u64 = 1 << 30;
const PAGE_MAP_OFFSET: u64 = 2 << 30;
const PAGES_OFFSET: u64 = 4 << 30;
const STACKS_OFFSET: u64 = 128 << 30;

const PAGE_BYTES: u64 = 4096;
const PAGES_MAX: u32 = ((STACKS_OFFSET - PAGES_OFFSET) / PAGE_BYTES) as u32;
/// The heap asks how much memory is left each time it has grown by so many pages.
const GRANT_PAGES: u32 = 16 << 10;

/// Larger blocks are runs of pages.
const SMALL_BYTES_MAX: u64 = 32 << 10;
const CLASS_COUNT: usize = 40;
const BIN_COUNT: usize = 108;
/// So many runs of the best bin are compared before a larger bin is taken.
const BIN_SEARCH_MAX: u32 = 32;

/// Marks the first and last page of a free run in the page map; the rest of the entry is its length.
const FREE_RUN: u32 = 1 << 31;

/// Why there is no arena.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// The range is in use, by another processor of this operating-system process.
    #[error("the addresses of processor {0} are in use")]
    Taken(u32),
    /// The number has no range.
    #[error("processor number {0} is out of range")]
    Number(u32),
    /// The operating system refused.
    #[error("cannot reserve the memory of processor {0}: {1}")]
    Refused(u32, std::io::Error),
}

/// The mapped range of one processor; unmapped when dropped.
pub(crate) struct Arena {
    base: u64,
}

impl Arena {
    /// Maps the range of this global processor number.
    pub(crate) fn reserve(number: u32) -> Result<Arena, ArenaError> {
        if number > ARENA_NUMBER_MAX {
            return Err(ArenaError::Number(number));
        }
        let base = ARENA_BASE + u64::from(number) * ARENA_SIZE;
        // SAFETY: a fresh anonymous mapping at an address where, with NOREPLACE, nothing else is.
        let mapped = unsafe {
            libc::mmap(
                base as *mut libc::c_void,
                ARENA_SIZE as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_NORESERVE
                    | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            let error = std::io::Error::last_os_error();
            return Err(if error.raw_os_error() == Some(libc::EEXIST) {
                ArenaError::Taken(number)
            } else {
                ArenaError::Refused(number, error)
            });
        }
        assert_eq!(
            mapped as u64, base,
            "the kernel honours MAP_FIXED_NOREPLACE"
        );
        // Stacks are many and touched in one page each: huge pages would multiply their memory.
        // SAFETY: the range was mapped just above.
        unsafe {
            libc::madvise(
                (base + STACKS_OFFSET) as *mut libc::c_void,
                (ARENA_SIZE - STACKS_OFFSET) as usize,
                libc::MADV_NOHUGEPAGE,
            );
        }
        Ok(Arena { base })
    }

    /// Maps the first free range from this number on, for several programs in one operating-system process.
    pub(crate) fn reserve_from(number: u32) -> Result<Arena, ArenaError> {
        let mut candidate = number;
        loop {
            match Arena::reserve(candidate) {
                Err(ArenaError::Taken(_)) if candidate < ARENA_NUMBER_MAX => candidate += 1,
                result => return result,
            }
        }
    }

    /// The control block.
    pub(crate) fn control(&self) -> *mut Control {
        self.base as *mut Control
    }

    /// The data-module variables.
    pub(crate) fn data(&self) -> Place {
        // SAFETY: lies in the mapping.
        unsafe { Place::new((self.base + DATA_OFFSET) as *mut u8) }
    }

    /// Where the stack of operations may lie, and how large it may be.
    pub(crate) fn operation_stack(&self) -> (u64, u64) {
        (self.base + OPERATION_STACK_OFFSET, OPERATION_STACK_RESERVED)
    }

    /// Where the stacks of processes lie, and how many bytes they have together.
    pub(crate) fn stacks(&self) -> (u64, u64) {
        (self.base + STACKS_OFFSET, ARENA_SIZE - STACKS_OFFSET)
    }

    /// Makes the empty heap, of at most `bytes_max` bytes.
    pub(crate) fn make_heap(&self, bytes_max: u64) -> Heap {
        let heap = heap_of(self.base);
        let pages = (bytes_max / PAGE_BYTES).min(u64::from(PAGES_MAX)) as u32;
        // SAFETY: the state lies in the fresh, zeroed mapping, and all zero is a valid state.
        unsafe {
            (*heap.0).pages_max = pages;
            (*heap.0).base = self.base;
        }
        heap
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: this range was mapped by `reserve` and belongs to this value alone.
        unsafe {
            libc::munmap(self.base as *mut libc::c_void, ARENA_SIZE as usize);
        }
    }
}

/// The base of the arena that this address lies in, if it can be one.
pub(crate) fn arena_base(address: u64) -> Option<u64> {
    let end = ARENA_BASE + (u64::from(ARENA_NUMBER_MAX) + 1) * ARENA_SIZE;
    (ARENA_BASE..end)
        .contains(&address)
        .then(|| address - (address - ARENA_BASE) % ARENA_SIZE)
}

/// The range of an arena in which stacks of any kind lie.
pub(crate) fn is_stack_address(base: u64, address: u64) -> bool {
    let offset = address.wrapping_sub(base);
    (OPERATION_STACK_OFFSET..OPERATION_STACK_OFFSET + OPERATION_STACK_RESERVED).contains(&offset)
        || (STACKS_OFFSET..ARENA_SIZE).contains(&offset)
}

/// The heap of the arena at this base.
fn heap_of(base: u64) -> Heap {
    Heap((base + HEAP_STATE_OFFSET) as *mut HeapState)
}

/// The heap that belongs to a control block.
pub(crate) fn heap_of_control(control: *mut Control) -> Heap {
    heap_of(control as u64)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Class {
    /// The first free block; each holds the address of the next.
    free: u64,
    /// Unused rest of the last span.
    fresh: u64,
    fresh_end: u64,
}

#[repr(C)]
struct HeapState {
    base: u64,
    /// Pages from here on were never used.
    top: u32,
    pages_max: u32,
    /// Up to here memory was asked for.
    granted: u32,
    reserved: u32,
    /// Blocks handed out and not yet freed.
    live: u64,
    /// Shared objects that their declarers dropped, chained through the word before their cells.
    released: u64,
    classes: [Class; CLASS_COUNT],
    /// One more than the first page of the first free run, by size.
    bins: [u32; BIN_COUNT],
    /// Which bins have runs.
    bins_used: [u64; 2],
}

const _: () = assert!(size_of::<HeapState>() as u64 <= DATA_OFFSET - HEAP_STATE_OFFSET);
const _: () = assert!(size_of::<Control>() as u64 <= HEAP_STATE_OFFSET);

/// The heap of a processor; a copyable handle.
#[derive(Clone, Copy)]
pub(crate) struct Heap(*mut HeapState);

/// There is no memory left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

fn class_of(bytes: u64) -> (usize, u64) {
    if bytes <= 128 {
        let index = bytes.max(1).div_ceil(16) as usize - 1;
        return (index, (index as u64 + 1) * 16);
    }
    let log = 63 - (bytes - 1).leading_zeros();
    let step = 1u64 << (log - 2);
    let quarter = (bytes - 1 - (1 << log)) / step;
    let index = 8 + (log as usize - 7) * 4 + quarter as usize;
    (index, (1 << log) + (quarter + 1) * step)
}

fn bin_of(pages: u32) -> usize {
    if pages < 4 {
        return pages as usize;
    }
    let log = 31 - pages.leading_zeros();
    (4 * log - 4 + ((pages >> (log - 2)) & 3)) as usize
}

impl Heap {
    /// A zeroed block, 16-aligned (64-aligned and more from [`SMALL_BYTES_MAX`] on).
    pub(crate) fn allocate(self, bytes: u64) -> Result<Place, OutOfMemory> {
        // SAFETY: the state lies in a live arena; only the processor's worker uses it, and no reference to it outlives this call.
        let state = unsafe { &mut *self.0 };
        let (address, dirty) = if bytes <= SMALL_BYTES_MAX {
            state.take_small(bytes)?
        } else {
            if bytes > u64::from(PAGES_MAX) * PAGE_BYTES {
                return Err(OutOfMemory);
            }
            state.take_run(bytes.div_ceil(PAGE_BYTES) as u32)?
        };
        state.live += 1;
        // SAFETY: the block lies in the mapped part of the arena and is nobody else's.
        let place = unsafe { Place::new(address as *mut u8) };
        if dirty {
            place.zero(bytes);
        }
        Ok(place)
    }

    /// Takes back a block of so many bytes.
    pub(crate) fn release(self, block: Place, bytes: u64) {
        // SAFETY: as in `allocate`.
        let state = unsafe { &mut *self.0 };
        state.live -= 1;
        if bytes <= SMALL_BYTES_MAX {
            let (index, _) = class_of(bytes);
            block.set(state.classes[index].free);
            state.classes[index].free = block.address();
        } else {
            let first = (block.address() - state.base - PAGES_OFFSET) / PAGE_BYTES;
            state.give_run(first as u32, bytes.div_ceil(PAGE_BYTES) as u32);
        }
    }

    /// Blocks handed out and not yet freed.
    pub(crate) fn live_blocks(self) -> u64 {
        // SAFETY: as in `allocate`.
        unsafe { (*self.0).live }
    }

    /// Notes that the declarer of a shared object dropped it; `link` is a word that belongs to the cell.
    pub(crate) fn note_released(self, link: Place) {
        // SAFETY: as in `allocate`.
        let state = unsafe { &mut *self.0 };
        link.set(state.released);
        state.released = link.address();
    }

    /// The link of the object released last, taken off the list.
    pub(crate) fn take_released(self) -> Option<Place> {
        // SAFETY: as in `allocate`; a link is a word of a live cell.
        unsafe {
            let state = &mut *self.0;
            if state.released == 0 {
                return None;
            }
            let link = Place::new(state.released as *mut u8);
            state.released = link.get();
            Some(link)
        }
    }
}

impl HeapState {
    /// Address of a block, and whether it may hold old bytes.
    fn take_small(&mut self, bytes: u64) -> Result<(u64, bool), OutOfMemory> {
        let (index, size) = class_of(bytes);
        let class = self.classes[index];
        if class.free != 0 {
            // SAFETY: a free block holds the address of the next.
            self.classes[index].free = unsafe { *(class.free as *const u64) };
            return Ok((class.free, true));
        }
        if class.fresh + size > class.fresh_end {
            let span_pages = if size <= 4096 { 16 } else { 64 };
            let (span, _) = self.take_run(span_pages)?;
            self.classes[index].fresh = span;
            self.classes[index].fresh_end = span + u64::from(span_pages) * PAGE_BYTES;
        }
        let block = self.classes[index].fresh;
        self.classes[index].fresh += size;
        Ok((block, true))
    }

    fn take_run(&mut self, pages: u32) -> Result<(u64, bool), OutOfMemory> {
        if let Some((first, length)) = self.find_run(pages) {
            self.unlink_run(first, length);
            if length > pages {
                self.link_run(first + pages, length - pages);
            }
            self.mark(first, pages, 0);
            return Ok((self.page_address(first), true));
        }
        self.grow(pages)?;
        let first = self.top;
        self.top += pages;
        self.mark(first, pages, 0);
        Ok((self.page_address(first), false))
    }

    /// Makes sure that `pages` never used ones may be taken.
    fn grow(&mut self, pages: u32) -> Result<(), OutOfMemory> {
        let end = self.top.checked_add(pages).ok_or(OutOfMemory)?;
        if end > self.pages_max {
            return Err(OutOfMemory);
        }
        if end > self.granted {
            let needed = u64::from(end - self.granted) * PAGE_BYTES;
            if let Some(available) = available_memory()
                && needed > available - available / 16
            {
                return Err(OutOfMemory);
            }
            self.granted = end.saturating_add(GRANT_PAGES);
        }
        Ok(())
    }

    fn give_run(&mut self, first: u32, pages: u32) {
        let (mut first, mut pages) = (first, pages);
        if first > 0 && self.map(first - 1) & FREE_RUN != 0 {
            let length = self.map(first - 1) & !FREE_RUN;
            first -= length;
            self.unlink_run(first, length);
            pages += length;
        }
        let next = first + pages;
        if next < self.top && self.map(next) & FREE_RUN != 0 {
            let length = self.map(next) & !FREE_RUN;
            self.unlink_run(next, length);
            pages += length;
        }
        self.link_run(first, pages);
    }

    /// First page and length of the best free run for so many pages.
    fn find_run(&self, pages: u32) -> Option<(u32, u32)> {
        let bin = bin_of(pages);
        let mut best: Option<(u32, u32)> = None;
        let mut at = self.bins[bin];
        for _ in 0..BIN_SEARCH_MAX {
            if at == 0 {
                break;
            }
            let length = self.map(at - 1) & !FREE_RUN;
            if length >= pages && best.is_none_or(|(_, found)| length < found) {
                best = Some((at - 1, length));
            }
            at = self.links(at - 1)[0];
        }
        if best.is_some() {
            return best;
        }
        let larger = (bin + 1..BIN_COUNT).find(|&b| self.bins_used[b / 64] >> (b % 64) & 1 != 0)?;
        let first = self.bins[larger] - 1;
        Some((first, self.map(first) & !FREE_RUN))
    }

    fn link_run(&mut self, first: u32, pages: u32) {
        self.mark(first, pages, FREE_RUN | pages);
        let bin = bin_of(pages);
        let next = self.bins[bin];
        self.set_links(first, [next, 0]);
        if next != 0 {
            let after = self.links(next - 1)[0];
            self.set_links(next - 1, [after, first + 1]);
        }
        self.bins[bin] = first + 1;
        self.bins_used[bin / 64] |= 1 << (bin % 64);
    }

    fn unlink_run(&mut self, first: u32, pages: u32) {
        let bin = bin_of(pages);
        let [next, previous] = self.links(first);
        if next != 0 {
            let after = self.links(next - 1)[0];
            self.set_links(next - 1, [after, previous]);
        }
        if previous != 0 {
            let before = self.links(previous - 1)[1];
            self.set_links(previous - 1, [next, before]);
        } else {
            self.bins[bin] = next;
            if next == 0 {
                self.bins_used[bin / 64] &= !(1 << (bin % 64));
            }
        }
    }

    fn page_address(&self, page: u32) -> u64 {
        self.base + PAGES_OFFSET + u64::from(page) * PAGE_BYTES
    }

    /// Next and previous run in the bin, each one more than its first page.
    fn links(&self, first: u32) -> [u32; 2] {
        // SAFETY: the page belongs to a free run of this heap.
        unsafe { *(self.page_address(first) as *const [u32; 2]) }
    }

    fn set_links(&mut self, first: u32, links: [u32; 2]) {
        // SAFETY: as in `links`.
        unsafe { *(self.page_address(first) as *mut [u32; 2]) = links }
    }

    fn map(&self, page: u32) -> u32 {
        debug_assert!(page < PAGES_MAX);
        // SAFETY: the page map lies in the arena and has an entry for each page.
        unsafe { *((self.base + PAGE_MAP_OFFSET) as *const u32).add(page as usize) }
    }

    /// Marks the ends of a run.
    fn mark(&mut self, first: u32, pages: u32, entry: u32) {
        debug_assert!(first + pages <= PAGES_MAX);
        let map = (self.base + PAGE_MAP_OFFSET) as *mut u32;
        // SAFETY: as in `map`.
        unsafe {
            *map.add(first as usize) = entry;
            *map.add((first + pages - 1) as usize) = entry;
        }
    }
}

/// Bytes of memory that the operating system can still give, if it says so.
fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_cover_every_small_size_with_little_waste() {
        let mut last = 0;
        for bytes in 1..=SMALL_BYTES_MAX {
            let (index, size) = class_of(bytes);
            assert!(size >= bytes && size % 16 == 0 && index < CLASS_COUNT);
            assert!(size - bytes < 16.max(bytes / 4 + 1), "{bytes} in {size}");
            assert!(index >= last);
            last = index;
        }
        assert_eq!(last, CLASS_COUNT - 1);
    }

    #[test]
    fn a_freed_block_comes_back_zeroed() {
        let arena = Arena::reserve_from(200).expect("a free range");
        let heap = arena.make_heap(1 << 30);
        for bytes in [1, 40, 5000, 40_000, 3 << 20] {
            let block = heap.allocate(bytes).expect("memory");
            block.bytes_mut(bytes).fill(0xa5);
            heap.release(block, bytes);
            let again = heap.allocate(bytes).expect("memory");
            assert!(again.bytes(bytes).iter().all(|&byte| byte == 0));
            heap.release(again, bytes);
        }
        assert_eq!(heap.live_blocks(), 0);
    }

    #[test]
    fn live_blocks_never_overlap_and_freed_runs_join() {
        let arena = Arena::reserve_from(200).expect("a free range");
        let heap = arena.make_heap(1 << 30);
        let mut random = 12345u64;
        let mut blocks: Vec<(Place, u64, u8)> = Vec::new();
        for round in 0..20_000u64 {
            random = random
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let draw = random >> 33;
            if !draw.is_multiple_of(3) || blocks.is_empty() {
                let bytes = match draw % 16 {
                    0 => 1 + draw % 300_000,
                    1..4 => 1 + draw % 20_000,
                    _ => 1 + draw % 200,
                };
                let block = heap.allocate(bytes).expect("memory");
                block.bytes_mut(bytes).fill(round as u8);
                blocks.push((block, bytes, round as u8));
            } else {
                let (block, bytes, mark) = blocks.swap_remove(draw as usize % blocks.len());
                assert!(block.bytes(bytes).iter().all(|&byte| byte == mark));
                heap.release(block, bytes);
            }
            if blocks.len() > 300 {
                for (block, bytes, mark) in blocks.drain(..) {
                    assert!(block.bytes(bytes).iter().all(|&byte| byte == mark));
                    heap.release(block, bytes);
                }
            }
        }
        for (block, bytes, _) in blocks {
            heap.release(block, bytes);
        }
        assert_eq!(heap.live_blocks(), 0);
        // Runs of pages join again: a block as large as all of them together finds room below the top.
        // SAFETY: the test is the only user of this heap.
        let top = unsafe { (*heap.0).top };
        let block = heap.allocate(10 * 40_000).expect("memory");
        // SAFETY: as above.
        assert_eq!(top, unsafe { (*heap.0).top });
        heap.release(block, 10 * 40_000);
    }

    #[test]
    fn a_full_heap_says_so() {
        let arena = Arena::reserve_from(200).expect("a free range");
        let heap = arena.make_heap(1 << 20);
        assert_eq!(heap.allocate(2 << 20).err(), Some(OutOfMemory));
        assert_eq!(heap.allocate(u64::MAX / 2).err(), Some(OutOfMemory));
        assert!(heap.allocate(512 << 10).is_ok());
        assert_eq!(heap.allocate(768 << 10).err(), Some(OutOfMemory));
    }
}
