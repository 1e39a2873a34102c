//! The segment: one anonymous file in memory that holds the rings of all processors of a run.
//!
//! ```text
//!   offset 0              header, one page: what follows, and how large it is
//!   offset 4096           control blocks, one for each processor, then up to the next page
//!   offset P              rings, one for each processor, of equal size
//! ```
//! It has no name, so nothing is left of it once the last process that has it is gone, however
//! that ended. Its size is sealed: a mapped page cannot vanish under a process. Pages are taken
//! from the host when they are first written.
//!
//! Whatever a descriptor leads to is nonsense until `Mapping::open` has looked at it.

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::lock::Kind;
use super::ring::{Control, RECORD_LEN_MIN, Ring};
use crate::wire::HEADER_LEN;

/// What the kernel shows of the file, for instance in `/proc/PID/maps`.
const LABEL: &std::ffi::CStr = c"flip-rings";
const MAGIC: u64 = u64::from_be_bytes(*b"FLIPring");
/// Goes up with every change of the header, the control blocks or the records.
const VERSION: u32 = 1;
const PAGE: usize = 4_096;
const RING_BYTES_MIN: usize = PAGE;
const RING_BYTES_MAX: usize = 1 << 30;
const SEGMENT_BYTES_MAX: usize = 1 << 40;
/// Half of a ring must hold a packet that says something.
const _: () = assert!(RING_BYTES_MIN / 2 > HEADER_LEN + RECORD_LEN_MIN);

/// Why a processor has no ring.
#[derive(Debug, thiserror::Error)]
pub enum ShmOpenError {
    /// The system refused.
    #[error("cannot {what} the segment of shared memory: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The descriptor leads to something else.
    #[error("the descriptor is no segment of rings: {0}; it takes one that `ShmSegment` made")]
    NotASegment(&'static str),
    /// The segment was made by another version of this program.
    #[error("the segment has version {found}, this program {VERSION}; use one version in a run")]
    Version {
        /// What the segment says.
        found: u32,
    },
    /// There is no such processor.
    #[error("there is no processor {number}: the segment has rings for {processors}, from 0")]
    NoSuchProcessor {
        /// Which one was asked for.
        number: u16,
        /// How many there are.
        processors: u16,
    },
    /// The ring belongs, or belonged, to somebody else.
    #[error("the ring of processor {0} was opened before; a ring serves one process, once")]
    Opened(u16),
}

/// The rings of all processors of a run, before and while processes open them.
#[derive(Debug)]
pub struct ShmSegment {
    fd: OwnedFd,
}

/// What is where in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    processors: u16,
    ring_bytes: usize,
}

/// The first bytes of a segment.
#[repr(C)]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    processors: AtomicU32,
    ring_bytes: AtomicU64,
}

/// A segment as one process has it.
pub(super) struct Mapping {
    base: NonNull<u8>,
    len: usize,
    layout: Layout,
    kind: Kind,
}

// SAFETY: the memory stays mapped until the mapping is dropped, from whatever thread it is used.
unsafe impl Send for Mapping {}
// SAFETY: what several threads use in it are atomics, mutexes, and bytes that the ring hands from
// one to the other.
unsafe impl Sync for Mapping {}

impl ShmSegment {
    /// A size for rings that holds a burst of long frames, and small enough to stay in a cache.
    pub const RING_BYTES: usize = 1 << 20;

    /// Makes a segment with a ring of `ring_bytes` (a power of two) for each processor.
    pub fn create(processors: u16, ring_bytes: usize) -> io::Result<ShmSegment> {
        let layout = Layout::new(processors, ring_bytes).ok_or_else(|| {
            let text = format!(
                "{processors} rings of {ring_bytes} bytes make no segment: it takes one or more, each a \
                 power of two from {RING_BYTES_MIN} to {RING_BYTES_MAX}, {SEGMENT_BYTES_MAX} in all"
            );
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the label is a string that ends in zero; the result is checked before it is owned.
        let fd = unsafe { libc::memfd_create(LABEL.as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let file = File::from(fd);
        file.set_len(layout.segment_bytes() as u64)?;
        let fd = OwnedFd::from(file);
        let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: the descriptor is open; the call takes no pointers.
        if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Mapping::map(fd.as_fd(), layout.segment_bytes(), layout)?.format()?;
        Ok(ShmSegment { fd })
    }
}

impl AsFd for ShmSegment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<ShmSegment> for OwnedFd {
    fn from(segment: ShmSegment) -> OwnedFd {
        segment.fd
    }
}

impl Layout {
    fn new(processors: u16, ring_bytes: usize) -> Option<Layout> {
        let fits = processors > 0
            && ring_bytes.is_power_of_two()
            && (RING_BYTES_MIN..=RING_BYTES_MAX).contains(&ring_bytes);
        let layout = Layout {
            processors,
            ring_bytes,
        };
        // The product cannot overflow: 2^16 rings of 2^30 bytes, and small change.
        (fits && layout.segment_bytes() <= SEGMENT_BYTES_MAX).then_some(layout)
    }

    fn control_at(self, number: u16) -> usize {
        PAGE + usize::from(number) * mem::size_of::<Control>()
    }

    fn ring_at(self, number: u16) -> usize {
        self.control_at(self.processors).next_multiple_of(PAGE)
            + usize::from(number) * self.ring_bytes
    }

    fn segment_bytes(self) -> usize {
        self.ring_at(self.processors)
    }
}

impl Mapping {
    /// Maps what the descriptor leads to, if it is a segment.
    pub(super) fn open(fd: BorrowedFd<'_>) -> Result<Mapping, ShmOpenError> {
        let system = |what| move |source| ShmOpenError::System { what, source };
        let file = File::from(fd.try_clone_to_owned().map_err(system("duplicate"))?);
        let metadata = file.metadata().map_err(system("look at"))?;
        let len = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if !metadata.is_file() || !(PAGE..=SEGMENT_BYTES_MAX).contains(&len) {
            return Err(ShmOpenError::NotASegment("its size is wrong"));
        }
        // SAFETY: the descriptor is open; the call takes no pointers. An error is negative.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & libc::F_SEAL_SHRINK == 0 {
            return Err(ShmOpenError::NotASegment("its size is not sealed"));
        }
        // Until the header is read, this mapping has no ring.
        let nothing = Layout {
            processors: 0,
            ring_bytes: 0,
        };
        let mut mapping = Mapping::map(file.as_fd(), len, nothing).map_err(system("map"))?;
        mapping.layout = mapping.read_header()?;
        Ok(mapping)
    }

    fn map(fd: BorrowedFd<'_>, len: usize, layout: Layout) -> io::Result<Mapping> {
        let kind = Kind::find()?;
        // SAFETY: a new mapping at a place that the kernel chooses touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).expect("the kernel maps nothing at address zero");
        Ok(Mapping {
            base,
            len,
            layout,
            kind,
        })
    }

    /// Makes an empty segment of zeros.
    fn format(&self) -> io::Result<()> {
        for number in 0..self.layout.processors {
            // SAFETY: the segment is new: nobody else has it yet.
            unsafe { self.ring(number).control().init()? };
        }
        let header = self.header();
        header
            .processors
            .store(self.layout.processors.into(), Ordering::Relaxed);
        header
            .ring_bytes
            .store(self.layout.ring_bytes as u64, Ordering::Relaxed);
        header.version.store(VERSION, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok(())
    }

    fn header(&self) -> &Header {
        assert!(self.len >= PAGE, "a mapping has a header");
        // SAFETY: the header lies in the first page, which is mapped as long as `self` lives and
        // aligned as pages are; all its fields are atomics, of which every value is valid.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// Each field is read once: what was checked is what is used.
    fn read_header(&self) -> Result<Layout, ShmOpenError> {
        let header = self.header();
        if header.magic.load(Ordering::Acquire) != MAGIC {
            return Err(ShmOpenError::NotASegment("it begins with something else"));
        }
        let found = header.version.load(Ordering::Relaxed);
        if found != VERSION {
            return Err(ShmOpenError::Version { found });
        }
        let processors = u16::try_from(header.processors.load(Ordering::Relaxed)).ok();
        let ring_bytes = usize::try_from(header.ring_bytes.load(Ordering::Relaxed)).ok();
        processors
            .zip(ring_bytes)
            .and_then(|(processors, ring_bytes)| Layout::new(processors, ring_bytes))
            .filter(|layout| layout.segment_bytes() == self.len)
            .ok_or(ShmOpenError::NotASegment("its sizes contradict each other"))
    }

    pub(super) fn processors(&self) -> u16 {
        self.layout.processors
    }

    pub(super) fn ring_bytes(&self) -> usize {
        self.layout.ring_bytes
    }

    /// The first word of a ring, for who uses the segment as words and never as rings.
    pub(super) fn first_word(&self, number: u16) -> &AtomicU32 {
        let at = self.layout.ring_at(number);
        assert!(number < self.layout.processors && at + self.layout.ring_bytes <= self.len);
        // SAFETY: the word lies within the mapping, as was asserted, and a ring begins at a page.
        // Everybody uses it as an atomic.
        unsafe { self.base.add(at).cast::<AtomicU32>().as_ref() }
    }

    /// The ring that processor `number` receives from.
    pub(super) fn ring(&self, number: u16) -> Ring<'_> {
        let Layout {
            processors,
            ring_bytes,
        } = self.layout;
        assert!(number < processors, "{number} is one of {processors}");
        assert!(self.layout.ring_at(number) + ring_bytes <= self.len);
        // SAFETY: both places lie within the mapping, as was asserted (control blocks come before
        // rings). Control blocks consist of atomics and mutexes and are aligned, since the page is
        // and their size is a multiple of their alignment.
        unsafe {
            let control = self.base.add(self.layout.control_at(number)).cast();
            let bytes = self.base.add(self.layout.ring_at(number));
            Ring::new(control.as_ref(), bytes, ring_bytes, self.kind)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the memory was mapped by us with this length, and rings borrow the mapping.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
