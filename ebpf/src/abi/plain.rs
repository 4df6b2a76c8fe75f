//! Records as bytes, and back.

use super::{Conn, Header, OffCpu, SockHead, SockOp, SockState, Stack, Thread, ThreadEnd};

/// A record whose every byte pattern is a value, and that has no padding: its memory is its wire format.
///
/// # Safety
/// The type must be `repr(C)`, consist of integers and arrays of integers, and leave no byte between its members.
#[expect(unsafe_code, reason = "only the type itself knows that its bytes are its value")]
pub unsafe trait Plain: Copy {
    /// The value whose bytes begin the slice; `None` when the slice is shorter.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < size_of::<Self>() {
            return None;
        }
        // SAFETY: the slice is long enough, the read asks for no alignment, and every pattern is a value.
        Some(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }

    /// The value's bytes.
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: the value has no padding, so that each of its bytes is initialised.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast::<u8>(), size_of::<Self>()) }
    }
}

macro_rules! plain {
    ($($record:ty),*) => {
        $(
            // SAFETY: `repr(C)`, integers and arrays of integers; the assertion beside the type proves that there is no padding.
            #[expect(unsafe_code, reason = "see the comment above")]
            unsafe impl Plain for $record {}
        )*
    };
}

plain!(Header, OffCpu, Thread, ThreadEnd, SockOp, SockHead, Conn, SockState, Stack);
