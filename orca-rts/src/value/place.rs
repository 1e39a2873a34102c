//! Addresses of program memory.
//!
//! A [`Place`] is made only from an address that compiled code or the heap handed out, together with a type that says what
//! lies there; all other modules work on places and need no raw pointers. Whether a place is right for the type it is used
//! with is the compiler's promise, as everywhere in the contract with compiled code.
#![allow(unsafe_code, reason = "reads and writes the memory of the program")]

/// An address in the memory of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u64);

impl Place {
    /// No place.
    pub(crate) const NULL: Place = Place(0);

    /// # Safety
    ///
    /// What is read or written through this place, and places derived from it, must be mapped memory of the program.
    pub(crate) unsafe fn new(address: *mut u8) -> Place {
        Place(address as u64)
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn address(self) -> u64 {
        self.0
    }

    pub(crate) fn pointer(self) -> *mut u8 {
        self.0 as *mut u8
    }

    /// So many bytes further on.
    pub(crate) fn add(self, bytes: u64) -> Place {
        Place(self.0.wrapping_add(bytes))
    }

    /// Element `index` of an array of such elements.
    pub(crate) fn element(self, index: u64, size: u64) -> Place {
        self.add(index.wrapping_mul(size))
    }

    /// The place whose address lies here.
    pub(crate) fn follow(self) -> Place {
        Place(self.get())
    }

    /// Stores the address of another place here.
    pub(crate) fn refer_to(self, target: Place) {
        self.set(target.0);
    }

    pub(crate) fn get<T: Copy>(self) -> T {
        debug_assert!(!self.is_null());
        // SAFETY: the place was made from memory of the program, and T is plain data.
        unsafe { (self.0 as *const T).read_unaligned() }
    }

    pub(crate) fn set<T: Copy>(self, value: T) {
        debug_assert!(!self.is_null());
        // SAFETY: as in `get`.
        unsafe { (self.0 as *mut T).write_unaligned(value) }
    }

    /// The bytes here; nobody writes them while the slice lives.
    pub(crate) fn bytes<'a>(self, count: u64) -> &'a [u8] {
        if count == 0 {
            return &[];
        }
        // SAFETY: as in `get`; callers drop the slice before anything runs that could write.
        unsafe { std::slice::from_raw_parts(self.0 as *const u8, count as usize) }
    }

    /// The bytes here, to be written; nobody else uses them while the slice lives.
    pub(crate) fn bytes_mut<'a>(self, count: u64) -> &'a mut [u8] {
        if count == 0 {
            return &mut [];
        }
        // SAFETY: as in `bytes`.
        unsafe { std::slice::from_raw_parts_mut(self.0 as *mut u8, count as usize) }
    }

    pub(crate) fn zero(self, count: u64) {
        self.bytes_mut(count).fill(0);
    }

    /// Copies bytes; the two may overlap.
    pub(crate) fn copy_from(self, source: Place, count: u64) {
        if count == 0 {
            return;
        }
        // SAFETY: as in `get`, for both.
        unsafe {
            std::ptr::copy(source.0 as *const u8, self.0 as *mut u8, count as usize);
        }
    }
}
