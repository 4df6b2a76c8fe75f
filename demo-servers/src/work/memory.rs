//! `/alloc`: fresh pages from the kernel, each touched once.

use std::io;
use std::ptr;

/// The smallest page of any machine that this runs on; on one with larger pages some touches fault no more.
const PAGE: usize = 4096;

/// Maps `bytes` of memory, writes to each page and unmaps it.
#[expect(unsafe_code, reason = "an allocator would hand out pages that have been touched before")]
pub fn touch(bytes: u64) -> io::Result<()> {
    let length = usize::try_from(bytes).map_err(io::Error::other)?;
    if length == 0 {
        return Ok(());
    }
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // A kernel without huge pages refuses, and then every page faults by itself anyway.
    // SAFETY: the range is the mapping made above, and the advice does not change its contents.
    unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
    for offset in (0..length).step_by(PAGE) {
        // SAFETY: offset < length, so this byte lies in the mapping made above, which is writable and which nobody
        // else knows of. Volatile, or the compiler would drop writes that nobody reads.
        unsafe { start.cast::<u8>().add(offset).write_volatile(1) };
    }
    // SAFETY: start and length are those of the mapping made above; no reference into it is left.
    match unsafe { libc::munmap(start, length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_can_be_touched() {
        for bytes in [0, 1, 4096, 4097, 8 << 20] {
            touch(bytes).unwrap();
        }
    }
}
