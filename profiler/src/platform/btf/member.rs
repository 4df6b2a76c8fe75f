//! Where members lie, how large types are, and whether two types are laid out alike.

use serde::Serialize;

use super::raw::{Kind, Member, Type};
use super::{Btf, BtfError, MAX_DEPTH, MAX_STEPS};

/// Where a member lies in its outermost structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MemberOffset {
    /// Bytes from the start of the structure; for a bitfield, to the byte that holds its first bit.
    pub bytes: u32,
    /// Size in bytes; for a bitfield, of the bytes that hold it.
    pub size: u32,
    /// Which bits of those bytes, if it is a bitfield.
    pub bitfield: Option<Bitfield>,
}

/// Which bits of a little-endian integer a bitfield is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bitfield {
    /// How far to shift right.
    pub shift: u8,
    /// How many bits to keep.
    pub width: u8,
}

impl MemberOffset {
    /// The member's value, out of the (zero-extended) integer of [`size`](Self::size) bytes at
    /// [`bytes`](Self::bytes).
    pub fn extract(&self, raw: u64) -> u64 {
        match self.bitfield {
            Some(Bitfield { shift, width }) if width < 64 => (raw >> shift) & ((1 << width) - 1),
            _ => raw,
        }
    }
}

impl Btf {
    /// Where `path` (members separated by dots, through structures and unions, named and anonymous, but not through
    /// pointers and arrays) lies in the structure, union or typedef called `name`.
    ///
    /// # Errors
    /// When there is no such type or member, the name is ambiguous, or the path goes on behind something that has no
    /// members.
    pub fn member_offset(&self, name: &str, path: &str) -> Result<MemberOffset, BtfError> {
        let mut owner = self.composite(name)?;
        let mut walked = name.to_owned();
        let mut steps = MAX_STEPS;
        let mut bits = 0u64;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let found = if part.is_empty() { None } else { self.find_member(owner, part, 0, &mut steps)? };
            let Some((before, member)) = found else {
                return Err(BtfError::NoMember { owner: walked, member: part.to_owned() });
            };
            bits += before + u64::from(member.bit_offset);
            if parts.peek().is_none() {
                return self.locate(bits, member);
            }
            walked = format!("{walked}.{part}");
            owner = self.resolve(member.type_id)?;
            if !owner.kind.is_composite() {
                return Err(BtfError::NotAStruct { path: walked });
            }
        }
        Err(BtfError::NoMember { owner: walked, member: path.to_owned() })
    }

    /// The size in bytes of the structure, union or typedef of one called `name`.
    ///
    /// # Errors
    /// When there is no such type, or the name is ambiguous.
    pub fn struct_size(&self, name: &str) -> Result<u32, BtfError> {
        Ok(self.composite(name)?.size_or_ref)
    }

    /// Whether there is a structure, union or typedef of one called `name`.
    pub fn has_struct(&self, name: &str) -> bool {
        self.composite(name).is_ok()
    }

    /// The structure or union of that name; a typedef counts where there is none.
    fn composite(&self, name: &str) -> Result<Type, BtfError> {
        let found = match self.unique(name, Kind::is_composite)? {
            Some(found) => Some(found),
            None => self
                .unique(name, |kind| kind == Kind::Typedef)?
                .map(|found| self.resolve(found.id))
                .transpose()?,
        };
        let found = found.filter(|found| found.kind.is_composite());
        found.ok_or_else(|| BtfError::NoType { kind: "struct", name: name.to_owned() })
    }

    /// The member called `name`, looked for in anonymous members too, and the bits before the structure that it is a
    /// direct member of.
    fn find_member(
        &self,
        owner: Type,
        name: &str,
        depth: u32,
        steps: &mut u32,
    ) -> Result<Option<(u64, Member)>, BtfError> {
        check_depth(depth)?;
        for member in owner.members(&self.bytes) {
            spend(steps)?;
            let member = member?;
            let found = self.bytes_at_name(member.name)?;
            if found == name.as_bytes() {
                return Ok(Some((0, member)));
            }
            if !found.is_empty() {
                continue;
            }
            let inner = self.resolve(member.type_id)?;
            if inner.kind.is_composite()
                && let Some((before, found)) = self.find_member(inner, name, depth + 1, steps)?
            {
                return Ok(Some((before + u64::from(member.bit_offset), found)));
            }
        }
        Ok(None)
    }

    /// Turns a bit position into an offset.
    fn locate(&self, bits: u64, member: Member) -> Result<MemberOffset, BtfError> {
        let (bits, width) = match member.bitfield_size {
            0 => self.old_bitfield(bits, member.type_id)?,
            width => (bits, Some(width)),
        };
        let too_large = BtfError::Malformed { what: "a member beyond 4 GiB", at: 0 };
        let Ok(bytes) = u32::try_from(bits / 8) else { return Err(too_large) };
        let Some(width) = width else {
            if bits % 8 != 0 {
                return Err(BtfError::Malformed { what: "a member that starts inside a byte", at: 0 });
            }
            return Ok(MemberOffset { bytes, size: self.size_of(member.type_id)?, bitfield: None });
        };
        let shift = (bits % 8) as u8;
        match u8::try_from(width) {
            Ok(width) if width <= 64 - shift => {
                let size = u32::from(shift + width).div_ceil(8);
                Ok(MemberOffset { bytes, size, bitfield: Some(Bitfield { shift, width }) })
            }
            _ => Err(BtfError::Malformed { what: "a bitfield wider than a word", at: 0 }),
        }
    }

    /// Structures without the flag describe a bitfield by an integer type that is narrower than its bytes.
    fn old_bitfield(&self, bits: u64, type_id: u32) -> Result<(u64, Option<u32>), BtfError> {
        let inner = self.resolve(type_id)?;
        if inner.kind != Kind::Int {
            return Ok((bits, None));
        }
        let encoding = inner.int_encoding(&self.bytes)?;
        let (width, offset) = (encoding & 0xff, (encoding >> 16) & 0xff);
        if u64::from(width) == u64::from(inner.size_or_ref) * 8 && offset == 0 && bits.is_multiple_of(8) {
            return Ok((bits, None));
        }
        Ok((bits + u64::from(offset), Some(width)))
    }

    /// The size of a type in bytes.
    fn size_of(&self, id: u32) -> Result<u32, BtfError> {
        let mut id = id;
        let mut times = 1u32;
        for _ in 0..MAX_DEPTH {
            let found = self.resolve(id)?;
            let size = match found.kind {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float => {
                    found.size_or_ref
                }
                // Little-endian kernels that load our programs have 64-bit pointers.
                Kind::Ptr => 8,
                Kind::Array => {
                    let (element, count) = found.array(&self.bytes)?;
                    times = times
                        .checked_mul(count)
                        .ok_or(BtfError::Malformed { what: "an array beyond 4 GiB", at: 0 })?;
                    id = element;
                    continue;
                }
                _ => return Err(BtfError::Malformed { what: "a member of a type that has no size", at: 0 }),
            };
            return size
                .checked_mul(times)
                .ok_or(BtfError::Malformed { what: "an array beyond 4 GiB", at: 0 });
        }
        Err(BtfError::Malformed { what: "an array that contains itself", at: 0 })
    }

    /// Whether two types put the same members at the same places. What a pointer points to makes no difference to
    /// that, so pointers are not followed.
    pub(super) fn same_layout(&self, a: u32, b: u32, depth: u32, steps: &mut u32) -> Result<bool, BtfError> {
        check_depth(depth)?;
        spend(steps)?;
        let (a, b) = (self.resolve(a)?, self.resolve(b)?);
        if a.id == b.id {
            return Ok(true);
        }
        if a.kind != b.kind || a.count != b.count {
            return Ok(false);
        }
        match a.kind {
            Kind::Struct | Kind::Union => {
                if a.size_or_ref != b.size_or_ref {
                    return Ok(false);
                }
                for (a, b) in a.members(&self.bytes).zip(b.members(&self.bytes)) {
                    let (a, b) = (a?, b?);
                    let same = a.bit_offset == b.bit_offset
                        && a.bitfield_size == b.bitfield_size
                        && self.bytes_at_name(a.name)? == self.bytes_at_name(b.name)?
                        && self.same_layout(a.type_id, b.type_id, depth + 1, steps)?;
                    if !same {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Kind::Enum | Kind::Enum64 => {
                for (a, b) in a.enumerators(&self.bytes).zip(b.enumerators(&self.bytes)) {
                    let ((a, a_value), (b, b_value)) = (a?, b?);
                    if a_value != b_value || self.bytes_at_name(a)? != self.bytes_at_name(b)? {
                        return Ok(false);
                    }
                }
                Ok(a.size_or_ref == b.size_or_ref)
            }
            Kind::Array => {
                let ((a, a_count), (b, b_count)) = (a.array(&self.bytes)?, b.array(&self.bytes)?);
                Ok(a_count == b_count && self.same_layout(a, b, depth + 1, steps)?)
            }
            Kind::Int => Ok(a.size_or_ref == b.size_or_ref
                && a.int_encoding(&self.bytes)? == b.int_encoding(&self.bytes)?),
            Kind::Float => Ok(a.size_or_ref == b.size_or_ref),
            _ => Ok(true),
        }
    }
}

/// Refuses what is nested deeper than any real type.
pub(super) fn check_depth(depth: u32) -> Result<(), BtfError> {
    if depth < MAX_DEPTH {
        Ok(())
    } else {
        Err(BtfError::Malformed { what: "a type that contains itself", at: 0 })
    }
}

/// Refuses what takes more work than any real type.
fn spend(steps: &mut u32) -> Result<(), BtfError> {
    *steps = steps
        .checked_sub(1)
        .ok_or(BtfError::Malformed { what: "a type with far too many members", at: 0 })?;
    Ok(())
}
