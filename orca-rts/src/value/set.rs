//! Sets and bags: elements in the order of insertion, found by a hash index.
//!
//! The storage is one block: a header, a note per slot, an index (only beyond [`UNINDEXED_MAX`] slots), and the elements. New elements go to the end;
//! a deleted one leaves a gap, which vanishes when the storage is rebuilt. `FROM` takes the oldest element. The index is a
//! table with linear probing of the *oldest* slot of each value; equal elements of a bag form a chain from it. Nothing
//! depends on addresses, so replicas with the same history agree on every order.
//!
//! Implements: ORCA 4.8, 5.6.

use orca_abi::types::{Kind, Type};
use orca_abi::value::SetHandle;

use super::compare::{equal as equal_value, hash as hash_value};
use super::describe::Describe;
use super::place::Place;
use super::{Scratch, fill as fill_value, free_parts as free_value, move_value};
use crate::heap::{Heap, OutOfMemory};

const CAPACITY_FIRST: u32 = 4;
/// Up to so many slots are searched without an index.
const UNINDEXED_MAX: u32 = 8;
/// No set has more elements.
const COUNT_MAX: u32 = i32::MAX as u32;

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    /// Of the whole block.
    bytes: u64,
    /// Elements.
    live: u32,
    /// All slots before this one are gaps.
    first: u32,
    /// Slots used so far, gaps included.
    end: u32,
    /// Slots.
    capacity: u32,
    /// Entries of the index, a power of two; zero if there is none.
    index_len: u32,
    reserved: u32,
}

/// What is known about a slot.
#[repr(C)]
#[derive(Clone, Copy)]
struct Note {
    /// The element's hash, odd; zero for a gap.
    hash: u32,
    /// In a bag: one more than the next newer slot with an equal element.
    next: u32,
    /// In the oldest slot of a value: the newest slot with an equal element.
    tail: u32,
}

const HEADER_BYTES: u64 = size_of::<Header>() as u64;
const NOTE_BYTES: u64 = size_of::<Note>() as u64;

/// Where the parts of a storage lie.
#[derive(Clone, Copy)]
struct Storage {
    at: Place,
    header: Header,
    element_bytes: u64,
}

impl Storage {
    /// The storage of a set; nothing if it is empty.
    fn of(kind: &Type, set: Place) -> Option<Storage> {
        let at = set.follow();
        (!at.is_null()).then(|| Storage {
            at,
            header: at.get(),
            element_bytes: kind.element_type().size,
        })
    }

    fn layout(capacity: u32, index_len: u32, element_bytes: u64) -> (u64, u64) {
        let notes = HEADER_BYTES + NOTE_BYTES * u64::from(capacity);
        let elements = (notes + 4 * u64::from(index_len)).next_multiple_of(16);
        (elements, elements + element_bytes * u64::from(capacity))
    }

    fn make(heap: Heap, kind: &Type, capacity: u32) -> Result<Storage, OutOfMemory> {
        let index_len = if capacity > UNINDEXED_MAX {
            capacity
                .checked_mul(2)
                .and_then(u32::checked_next_power_of_two)
                .ok_or(OutOfMemory)?
        } else {
            0
        };
        let element_bytes = kind.element_type().size;
        let (_, bytes) = Storage::layout(capacity, index_len, element_bytes);
        let at = heap.allocate(bytes)?;
        let header = Header {
            bytes,
            live: 0,
            first: 0,
            end: 0,
            capacity,
            index_len,
            reserved: 0,
        };
        at.set(header);
        Ok(Storage { at, header, element_bytes })
    }

    fn save(&self) {
        self.at.set(self.header);
    }

    fn note_place(&self, slot: u32) -> Place {
        self.at.add(HEADER_BYTES).element(u64::from(slot), NOTE_BYTES)
    }

    fn note(&self, slot: u32) -> Note {
        self.note_place(slot).get()
    }

    fn set_note(&self, slot: u32, note: Note) {
        self.note_place(slot).set(note);
    }

    fn index_place(&self, position: u32) -> Place {
        let notes = HEADER_BYTES + NOTE_BYTES * u64::from(self.header.capacity);
        self.at.add(notes).element(u64::from(position), 4)
    }

    fn element(&self, slot: u32) -> Place {
        let (elements, _) = Storage::layout(
            self.header.capacity,
            self.header.index_len,
            self.element_bytes,
        );
        self.at.add(elements).element(u64::from(slot), self.element_bytes)
    }

    fn home(&self, hash: u32) -> u32 {
        (hash >> 1) & (self.header.index_len - 1)
    }

    /// The oldest slot with an equal element.
    fn find(&self, kind: &Type, hash: u32, element: Place) -> Option<u32> {
        let same = |slot: u32| {
            self.note(slot).hash == hash
                && equal_value(kind.element_type(), self.element(slot), element)
        };
        if self.header.index_len == 0 {
            return (self.header.first..self.header.end).find(|&slot| same(slot));
        }
        let mut position = self.home(hash);
        loop {
            let entry: u32 = self.index_place(position).get();
            if entry == 0 {
                return None;
            }
            if same(entry - 1) {
                return Some(entry - 1);
            }
            position = (position + 1) & (self.header.index_len - 1);
        }
    }

    /// The position in the index of a slot that is the oldest of its value.
    fn position_of(&self, slot: u32) -> u32 {
        let mut position = self.home(self.note(slot).hash);
        while self.index_place(position).get::<u32>() != slot + 1 {
            position = (position + 1) & (self.header.index_len - 1);
        }
        position
    }

    /// Enters a slot that holds its element and hash already. `oldest`: the oldest slot of an equal element, if any.
    fn enter(&self, slot: u32, hash: u32, oldest: Option<u32>) {
        self.set_note(slot, Note { hash, next: 0, tail: slot });
        if self.header.index_len == 0 {
            return;
        }
        if let Some(oldest) = oldest {
            let mut head = self.note(oldest);
            let mut tail = self.note(head.tail);
            tail.next = slot + 1;
            self.set_note(head.tail, tail);
            head = self.note(oldest);
            head.tail = slot;
            self.set_note(oldest, head);
            return;
        }
        let mut position = self.home(hash);
        while self.index_place(position).get::<u32>() != 0 {
            position = (position + 1) & (self.header.index_len - 1);
        }
        self.index_place(position).set(slot + 1);
    }

    /// Makes the oldest slot of its value a gap; its element has been moved away or freed.
    fn remove(&mut self, slot: u32) {
        let note = self.note(slot);
        if self.header.index_len != 0 {
            let position = self.position_of(slot);
            if note.next != 0 {
                let mut heir = self.note(note.next - 1);
                heir.tail = note.tail;
                self.set_note(note.next - 1, heir);
                self.index_place(position).set(note.next);
            } else {
                self.close_gap(position);
            }
        }
        self.set_note(slot, Note { hash: 0, next: 0, tail: 0 });
        self.header.live -= 1;
        while self.header.first < self.header.end && self.note(self.header.first).hash == 0 {
            self.header.first += 1;
        }
        self.save();
    }

    /// Empties a position of the index and moves up what was pushed behind it.
    fn close_gap(&self, position: u32) {
        let mask = self.header.index_len - 1;
        let mut gap = position;
        let mut next = (gap + 1) & mask;
        loop {
            let entry: u32 = self.index_place(next).get();
            if entry == 0 {
                break;
            }
            let home = self.home(self.note(entry - 1).hash);
            // The entry may move to the gap unless its home lies cyclically after the gap.
            let distance_home = next.wrapping_sub(home) & mask;
            let distance_gap = next.wrapping_sub(gap) & mask;
            if distance_home >= distance_gap {
                self.index_place(gap).set(entry);
                gap = next;
            }
            next = (next + 1) & mask;
        }
        self.index_place(gap).set(0u32);
    }

    fn live_slots(&self) -> impl Iterator<Item = u32> + use<> {
        let storage = *self;
        (storage.header.first..storage.header.end).filter(move |&slot| storage.note(slot).hash != 0)
    }
}

fn short_hash(kind: &Type, element: Place) -> u32 {
    hash_value(kind.element_type(), element) as u32 | 1
}

/// Number of elements.
pub(crate) fn count(set: Place) -> u32 {
    let at = set.follow();
    if at.is_null() { 0 } else { at.get::<Header>().live }
}

/// The elements, oldest first.
pub(crate) fn places(kind: &Type, set: Place) -> impl Iterator<Item = Place> {
    Storage::of(kind, set)
        .into_iter()
        .flat_map(|storage| storage.live_slots().map(move |slot| storage.element(slot)))
}

/// An equal element is in it.
pub(crate) fn contains(kind: &Type, set: Place, element: Place) -> bool {
    Storage::of(kind, set)
        .is_some_and(|storage| storage.find(kind, short_hash(kind, element), element).is_some())
}

/// The element that was inserted `index` elements after the oldest one.
pub(crate) fn element(
    heap: Heap,
    kind: &Type,
    set: Place,
    index: u32,
) -> Result<Option<Place>, OutOfMemory> {
    let Some(mut storage) = Storage::of(kind, set) else {
        return Ok(None);
    };
    if index >= storage.header.live {
        return Ok(None);
    }
    if storage.header.end - storage.header.first != storage.header.live {
        storage = rebuild(heap, kind, set, storage.header.capacity)?;
    }
    Ok(Some(storage.element(storage.header.first + index)))
}

/// Inserts a copy of the element: into a set only if it is not in yet.
pub(crate) fn insert(heap: Heap, kind: &Type, set: Place, element: Place) -> Result<(), OutOfMemory> {
    let hash = short_hash(kind, element);
    if kind.kind == Kind::Set
        && Storage::of(kind, set).is_some_and(|storage| storage.find(kind, hash, element).is_some())
    {
        return Ok(());
    }
    let scratch = Scratch::new(heap, kind.element_type())?;
    fill_value(heap, kind.element_type(), scratch.place, element)?;
    append(heap, kind, set, hash, scratch.place)
}

/// Inserts an element by moving it, unless it is a second one in a set.
pub(crate) fn insert_moved(
    heap: Heap,
    kind: &Type,
    set: Place,
    element: Place,
) -> Result<(), OutOfMemory> {
    let hash = short_hash(kind, element);
    if kind.kind == Kind::Set
        && Storage::of(kind, set).is_some_and(|storage| storage.find(kind, hash, element).is_some())
    {
        return Ok(());
    }
    append(heap, kind, set, hash, element)
}

/// Moves the element to the end.
fn append(
    heap: Heap,
    kind: &Type,
    set: Place,
    hash: u32,
    element: Place,
) -> Result<(), OutOfMemory> {
    let mut storage = match Storage::of(kind, set) {
        None => {
            let storage = Storage::make(heap, kind, CAPACITY_FIRST)?;
            set.refer_to(storage.at);
            storage
        }
        Some(storage) if storage.header.end == storage.header.capacity => {
            let live = storage.header.live;
            let capacity = if live <= storage.header.capacity / 2 {
                storage.header.capacity
            } else {
                storage
                    .header
                    .capacity
                    .checked_mul(2)
                    .filter(|&capacity| capacity <= COUNT_MAX)
                    .ok_or(OutOfMemory)?
            };
            rebuild(heap, kind, set, capacity)?
        }
        Some(storage) => storage,
    };
    let oldest = match kind.kind {
        Kind::Bag if storage.header.index_len != 0 => storage.find(kind, hash, element),
        _ => None,
    };
    let slot = storage.header.end;
    storage.element(slot).copy_from(element, storage.element_bytes);
    element.zero(storage.element_bytes);
    storage.header.end += 1;
    storage.header.live += 1;
    storage.save();
    storage.enter(slot, hash, oldest);
    Ok(())
}

/// Moves all elements, without gaps, to new storage of this capacity.
fn rebuild(heap: Heap, kind: &Type, set: Place, capacity: u32) -> Result<Storage, OutOfMemory> {
    let old = Storage::of(kind, set).expect("there is something to rebuild");
    let mut new = Storage::make(heap, kind, capacity)?;
    for slot in old.live_slots() {
        let hash = old.note(slot).hash;
        let to = new.header.end;
        let from = old.element(slot);
        let oldest = match kind.kind {
            Kind::Bag if new.header.index_len != 0 => new.find(kind, hash, from),
            _ => None,
        };
        new.element(to).copy_from(from, new.element_bytes);
        new.header.end += 1;
        new.header.live += 1;
        new.enter(to, hash, oldest);
    }
    new.save();
    heap.release(old.at, old.header.bytes);
    set.refer_to(new.at);
    Ok(new)
}

/// Removes one equal element, the oldest, if there is one.
pub(crate) fn delete(heap: Heap, kind: &Type, set: Place, element: Place) -> bool {
    let Some(mut storage) = Storage::of(kind, set) else {
        return false;
    };
    let Some(slot) = storage.find(kind, short_hash(kind, element), element) else {
        return false;
    };
    free_value(heap, kind.element_type(), storage.element(slot));
    storage.remove(slot);
    release_if_empty(heap, set, &storage);
    true
}

fn release_if_empty(heap: Heap, set: Place, storage: &Storage) {
    if storage.header.live == 0 {
        heap.release(storage.at, storage.header.bytes);
        set.set(SetHandle { storage: std::ptr::null_mut() });
    }
}

/// `FROM`: moves the oldest element into a live value; false if there is none.
pub(crate) fn take_oldest(heap: Heap, kind: &Type, set: Place, destination: Place) -> bool {
    let Some(mut storage) = Storage::of(kind, set) else {
        return false;
    };
    // The oldest element of all is the oldest of its value.
    let slot = storage.header.first;
    move_value(heap, kind.element_type(), destination, storage.element(slot));
    storage.remove(slot);
    release_if_empty(heap, set, &storage);
    true
}

/// destination := destination + right.
pub(crate) fn union(heap: Heap, kind: &Type, destination: Place, right: Place) -> Result<(), OutOfMemory> {
    if destination == right && kind.kind == Kind::Set {
        return Ok(());
    }
    if destination == right {
        let copy = Scratch::new(heap, kind)?;
        fill(heap, kind, copy.place, right)?;
        return union(heap, kind, destination, copy.place);
    }
    for element in places(kind, right) {
        insert(heap, kind, destination, element)?;
    }
    Ok(())
}

/// destination := destination - right.
pub(crate) fn difference(heap: Heap, kind: &Type, destination: Place, right: Place) {
    if destination == right {
        super::free(heap, kind, destination);
        return;
    }
    for element in places(kind, right) {
        delete(heap, kind, destination, element);
    }
}

/// destination := destination * right.
pub(crate) fn intersection(
    heap: Heap,
    kind: &Type,
    destination: Place,
    right: Place,
) -> Result<(), OutOfMemory> {
    if destination == right {
        return Ok(());
    }
    let rest = Scratch::new(heap, kind)?;
    fill(heap, kind, rest.place, right)?;
    let result = Scratch::new(heap, kind)?;
    for element in places(kind, destination) {
        if delete(heap, kind, rest.place, element) {
            insert(heap, kind, result.place, element)?;
        }
    }
    move_value(heap, kind, destination, result.place);
    Ok(())
}

/// destination := (destination - right) + (right - destination).
pub(crate) fn symmetric(
    heap: Heap,
    kind: &Type,
    destination: Place,
    right: Place,
) -> Result<(), OutOfMemory> {
    let others = Scratch::new(heap, kind)?;
    fill(heap, kind, others.place, right)?;
    difference(heap, kind, others.place, destination);
    difference(heap, kind, destination, right);
    union(heap, kind, destination, others.place)
}

pub(super) fn equal(kind: &Type, a: Place, b: Place) -> bool {
    if count(a) != count(b) {
        return false;
    }
    let (Some(left), Some(right)) = (Storage::of(kind, a), Storage::of(kind, b)) else {
        return true;
    };
    left.live_slots().all(|slot| {
        let (hash, element) = (left.note(slot).hash, left.element(slot));
        if kind.kind == Kind::Set {
            return right.find(kind, hash, element).is_some();
        }
        // Each value once: at its oldest slot.
        left.find(kind, hash, element) != Some(slot)
            || left.multiplicity(kind, hash, element) == right.multiplicity(kind, hash, element)
    })
}

impl Storage {
    /// How many equal elements there are.
    fn multiplicity(&self, kind: &Type, hash: u32, element: Place) -> u32 {
        if self.header.index_len == 0 {
            let same = |slot: &u32| {
                self.note(*slot).hash == hash
                    && equal_value(kind.element_type(), self.element(*slot), element)
            };
            return self.live_slots().filter(same).count() as u32;
        }
        let mut next = self.find(kind, hash, element).map(|slot| slot + 1).unwrap_or(0);
        let mut count = 0;
        while next != 0 {
            count += 1;
            next = self.note(next - 1).next;
        }
        count
    }
}

pub(super) fn free_parts(heap: Heap, kind: &Type, set: Place) {
    let Some(storage) = Storage::of(kind, set) else {
        return;
    };
    if !kind.element_type().is_plain() {
        for slot in storage.live_slots() {
            free_value(heap, kind.element_type(), storage.element(slot));
        }
    }
    heap.release(storage.at, storage.header.bytes);
}

pub(crate) fn fill(heap: Heap, kind: &Type, destination: Place, source: Place) -> Result<(), OutOfMemory> {
    let Some(from) = Storage::of(kind, source) else {
        return Ok(());
    };
    let mut to = Storage::make(heap, kind, from.header.live.max(CAPACITY_FIRST))?;
    destination.refer_to(to.at);
    for slot in from.live_slots() {
        let at = to.header.end;
        let hash = from.note(slot).hash;
        let oldest = match kind.kind {
            Kind::Bag if to.header.index_len != 0 => to.find(kind, hash, from.element(slot)),
            _ => None,
        };
        // Counted first, so that a half-filled element is freed with the rest.
        to.header.end += 1;
        to.header.live += 1;
        to.save();
        to.set_note(at, Note { hash, next: 0, tail: at });
        fill_value(heap, kind.element_type(), to.element(at), from.element(slot))?;
        to.enter(at, hash, oldest);
    }
    Ok(())
}
