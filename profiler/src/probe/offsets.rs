//! Offsets of kernel structures, from the running kernel's BTF.

use whywait_ebpf::offsets::{IN_IOWAIT_MASK, OFFSETS};

use crate::platform::btf::{Btf, BtfError};

/// Constants of the programs with their values.
///
/// # Errors
/// When the kernel's BTF lacks one of the members.
pub fn constants(btf: &Btf) -> Result<Vec<(&'static str, u32)>, BtfError> {
    let mut constants = Vec::with_capacity(OFFSETS.len() + 1);
    for offset in OFFSETS {
        let found = btf.member_offset(offset.structure, offset.member)?;
        let mut bytes = found.bytes;
        if let Some(bits) = found.bitfield {
            // The programs load one byte; the mask is that of the bit in it.
            bytes += u32::from(bits.shift) / 8;
            constants.push((IN_IOWAIT_MASK, 1 << (bits.shift % 8)));
        }
        constants.push((offset.global, bytes));
    }
    Ok(constants)
}
