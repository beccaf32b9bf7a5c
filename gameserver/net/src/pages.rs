//! Page-aligned memory that the kernel may write while no Rust reference to it exists.

use std::io;
use std::ptr::NonNull;

/// Anonymous private pages, zeroed, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

#[expect(
    unsafe_code,
    reason = "memory shared with the kernel must be page aligned and outside the allocator"
)]
impl Pages {
    pub(crate) fn map(len: usize) -> io::Result<Self> {
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Self { start, len })
    }

    /// Address of byte `offset`.
    ///
    /// Panics beyond the end: an offset is computed from a buffer number that the kernel returned, and a wrong
    /// one must never become a wild pointer.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len, "offset {offset} of {} bytes", self.len);
        // SAFETY: `offset` is within the mapping that `self` owns, as just asserted.
        unsafe { self.start.add(offset) }
    }
}

#[expect(unsafe_code, reason = "the counterpart of mmap")]
impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are the mapping that `map` made and `self` alone owns. Whoever lent it to
        // the kernel has taken it back before dropping it (see `Uring::drop`).
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}
