//! The records of the format, as they lie in the bytes.

use std::ops::Range;

use super::BtfError;

/// `BTF_MAGIC`, read in the byte order of its machine.
const MAGIC: u16 = 0xeb9f;
/// `sizeof(struct btf_header)`; newer ones may be longer.
const HEADER_SIZE: usize = 24;
/// `sizeof(struct btf_type)`.
const TYPE_SIZE: usize = 12;

/// Where the two parts of the data are.
#[derive(Clone, Debug)]
pub(super) struct Sections {
    pub(super) types: Range<usize>,
    pub(super) strings: Range<usize>,
}

impl Sections {
    /// Reads and checks `struct btf_header`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BtfError> {
        let magic = bytes.first_chunk().map(|&magic| u16::from_le_bytes(magic));
        match magic {
            Some(MAGIC) => {}
            Some(magic) if magic.swap_bytes() == MAGIC => return Err(BtfError::ByteOrder),
            _ => return Err(BtfError::Malformed { what: "no BTF magic number", at: 0 }),
        }
        if bytes.get(2) != Some(&1) {
            return Err(BtfError::Malformed { what: "an unknown version of BTF", at: 2 });
        }
        let header = u32_at(bytes, 4)? as usize;
        if header < HEADER_SIZE {
            return Err(BtfError::Malformed { what: "a header that is too short", at: 4 });
        }
        let section = |at: usize| -> Result<Range<usize>, BtfError> {
            let start = header.checked_add(u32_at(bytes, at)? as usize);
            let end = start
                .zip(Some(u32_at(bytes, at + 4)? as usize))
                .and_then(|(start, len)| start.checked_add(len));
            match start.zip(end) {
                Some((start, end)) if end <= bytes.len() => Ok(start..end),
                _ => Err(BtfError::Malformed { what: "a section outside the data", at }),
            }
        };
        let (types, strings) = (section(8)?, section(16)?);
        let text = &bytes[strings.clone()];
        if text.first() != Some(&0) || text.last() != Some(&0) {
            return Err(BtfError::Malformed { what: "strings without a terminator", at: strings.start });
        }
        Ok(Self { types, strings })
    }
}

/// `BTF_KIND_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Void,
    Int,
    Ptr,
    Array,
    Struct,
    Union,
    Enum,
    Fwd,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Func,
    FuncProto,
    Var,
    Datasec,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

impl Kind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Int,
            2 => Self::Ptr,
            3 => Self::Array,
            4 => Self::Struct,
            5 => Self::Union,
            6 => Self::Enum,
            7 => Self::Fwd,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Func,
            13 => Self::FuncProto,
            14 => Self::Var,
            15 => Self::Datasec,
            16 => Self::Float,
            17 => Self::DeclTag,
            18 => Self::TypeTag,
            19 => Self::Enum64,
            _ => return None,
        })
    }

    /// Whether types of this kind can be asked for by name.
    pub(super) fn is_indexed(self) -> bool {
        matches!(self, Self::Struct | Self::Union | Self::Enum | Self::Enum64 | Self::Typedef)
    }

    /// Whether types of this kind have members.
    pub(super) fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// Whether types of this kind have enumerators.
    pub(super) fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }

    /// Bytes that follow the record once, and bytes that follow it for each of its elements.
    fn trailer(self) -> (usize, usize) {
        match self {
            Self::Int | Self::Var | Self::DeclTag => (4, 0),
            Self::Array => (12, 0),
            Self::Struct | Self::Union | Self::Datasec | Self::Enum64 => (0, 12),
            Self::Enum | Self::FuncProto => (0, 8),
            _ => (0, 0),
        }
    }
}

/// `struct btf_type`, and where what follows it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub(super) id: u32,
    pub(super) kind: Kind,
    /// Offset in the string section.
    pub(super) name: u32,
    /// Number of members, enumerators or parameters.
    pub(super) count: u32,
    /// For structures: the members' offsets carry bitfield sizes. For enumerations: the values are signed.
    pub(super) flag: bool,
    /// The size in bytes, or the id of the type that this one refers to, by kind.
    pub(super) size_or_ref: u32,
    data: usize,
}

/// One entry of the list behind a structure: `struct btf_member`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: u32,
    pub(super) type_id: u32,
    /// From the start of the structure, in bits.
    pub(super) bit_offset: u32,
    /// 0 if it is not a bitfield, as far as the structure says.
    pub(super) bitfield_size: u32,
}

impl Type {
    /// Type 0, which has no record.
    pub(super) const VOID: Self =
        Self { id: 0, kind: Kind::Void, name: 0, count: 0, flag: false, size_or_ref: 0, data: 0 };

    /// Reads the record at `at`, which must end inside the type section.
    pub(super) fn read(bytes: &[u8], sections: &Sections, id: u32, at: usize) -> Result<Self, BtfError> {
        let info = u32_at(bytes, at + 4)?;
        let kind = Kind::from_number((info >> 24) & 0x1f);
        let kind = kind.ok_or(BtfError::Malformed { what: "a kind of type that is not known", at })?;
        let found = Self {
            id,
            kind,
            name: u32_at(bytes, at)?,
            count: info & 0xffff,
            flag: info >> 31 == 1,
            size_or_ref: u32_at(bytes, at + 8)?,
            data: at + TYPE_SIZE,
        };
        if found.end() > sections.types.end {
            return Err(BtfError::Malformed { what: "a type that is cut short", at });
        }
        Ok(found)
    }

    /// Where the next record starts.
    pub(super) fn end(&self) -> usize {
        let (once, each) = self.kind.trailer();
        self.data + once + each * self.count as usize
    }

    /// The members of a structure or union; nothing for other kinds.
    pub(super) fn members<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = Result<Member, BtfError>> + 'a {
        let (data, flag) = (self.data, self.flag);
        let count = if self.kind.is_composite() { self.count as usize } else { 0 };
        (0..count).map(move |i| {
            let at = data + i * 12;
            let offset = u32_at(bytes, at + 8)?;
            // With the flag set, the upper 8 bits are the size of a bitfield.
            let (bit_offset, bitfield_size) =
                if flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            Ok(Member {
                name: u32_at(bytes, at)?,
                type_id: u32_at(bytes, at + 4)?,
                bit_offset,
                bitfield_size,
            })
        })
    }

    /// Name offset and value of each enumerator; nothing for other kinds.
    pub(super) fn enumerators<'a>(
        &self,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = Result<(u32, i64), BtfError>> + 'a {
        let (data, signed, wide) = (self.data, self.flag, self.kind == Kind::Enum64);
        let count = if self.kind.is_enum() { self.count as usize } else { 0 };
        let each = self.kind.trailer().1;
        (0..count).map(move |i| {
            let at = data + i * each;
            let low = u32_at(bytes, at + 4)?;
            let value = if wide {
                (u64::from(low) | (u64::from(u32_at(bytes, at + 8)?) << 32)).cast_signed()
            } else if signed {
                i64::from(low.cast_signed())
            } else {
                i64::from(low)
            };
            Ok((u32_at(bytes, at)?, value))
        })
    }

    /// The type of each parameter of a function prototype; nothing for other kinds.
    pub(super) fn parameters<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = Result<u32, BtfError>> + 'a {
        let data = self.data;
        let count = if self.kind == Kind::FuncProto { self.count as usize } else { 0 };
        (0..count).map(move |i| u32_at(bytes, data + i * 8 + 4))
    }

    /// Element type and number of elements of an array.
    pub(super) fn array(&self, bytes: &[u8]) -> Result<(u32, u32), BtfError> {
        Ok((u32_at(bytes, self.data)?, u32_at(bytes, self.data + 8)?))
    }

    /// Encoding word of an integer: its bit size in bits 0 to 7, its bit offset in bits 16 to 23.
    pub(super) fn int_encoding(&self, bytes: &[u8]) -> Result<u32, BtfError> {
        u32_at(bytes, self.data)
    }
}

/// The little-endian word at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BtfError> {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map(|&word| u32::from_le_bytes(word))
        .ok_or(BtfError::Malformed { what: "data that is cut short", at })
}
