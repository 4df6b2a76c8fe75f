//! What is needed of a file to find the callers in a stack: its segments and its call-frame information.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use framehop::{ExplicitModuleSectionInfo, Module};
use object::{Object, ObjectSection, ObjectSegment, ReadCache, ReadRef};

use super::mappings::Mapping;
use crate::{platform::regular_file, units::Pid};

/// Bytes of a section that is read; that of the largest browsers has a tenth of it.
const LARGEST: u64 = 256 << 20;

/// Bytes of a section, shared by the processes that map the file.
pub type Bytes = Arc<[u8]>;

/// A section: its addresses as the file states them, and its bytes.
#[derive(Clone, Debug)]
struct Section {
    addresses: Range<u64>,
    bytes: Bytes,
}

/// What was read of a file.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Offset in the file, size, and address, of what is loaded.
    segments: Vec<(u64, u64, u64)>,
    eh_frame: Option<Section>,
    eh_frame_hdr: Option<Section>,
}

impl Image {
    /// Reads a file; an image without anything when it is not of a kind that is known.
    pub fn open(path: &Path) -> Self {
        regular_file::open(path).ok().and_then(|file| Self::read(&ReadCache::new(file))).unwrap_or_default()
    }

    /// Reads the image that is in a process's memory.
    pub fn in_memory(pid: Pid, mapping: &Mapping) -> Self {
        let length = usize::try_from(mapping.end - mapping.start).unwrap_or(0);
        let mut bytes = vec![0; length];
        let read = File::open(format!("/proc/{pid}/mem")).and_then(|mut memory| {
            memory.seek(SeekFrom::Start(mapping.start))?;
            memory.read_exact(&mut bytes)
        });
        read.ok().and_then(|()| Self::read(bytes.as_slice())).unwrap_or_default()
    }

    pub(super) fn read<'data, R: ReadRef<'data>>(data: R) -> Option<Self> {
        let file = object::File::parse(data).ok()?;
        let segments = file
            .segments()
            .map(|segment| {
                let (offset, size) = segment.file_range();
                (offset, size, segment.address())
            })
            .collect();
        let section = |name| {
            let section = file.section_by_name(name).filter(|section| section.size() <= LARGEST)?;
            let bytes = section.uncompressed_data().ok()?;
            Some(Section {
                addresses: section.address()..section.address().saturating_add(section.size()),
                bytes: bytes.as_ref().into(),
            })
        };
        Some(Self { segments, eh_frame: section(".eh_frame"), eh_frame_hdr: section(".eh_frame_hdr") })
    }

    /// What has to be added to the file's addresses where it is mapped like this.
    fn bias(&self, mapping: &Mapping) -> Option<u64> {
        // The kernel maps whole pages: in the first and the last of a mapping a neighbour of the segment may begin or end.
        let end = mapping.offset.saturating_add(mapping.end - mapping.start);
        let common = |(offset, size, _): &&(u64, u64, u64)| {
            offset.saturating_add(*size).min(end).saturating_sub(mapping.offset.max(*offset))
        };
        let (offset, _, address) =
            self.segments.iter().max_by_key(common).filter(|segment| common(segment) > 0)?;
        Some(mapping.start.wrapping_sub(mapping.offset).wrapping_add(*offset).wrapping_sub(*address))
    }

    /// The image where it is mapped, for the unwinder; `None` when it has no call-frame information.
    pub fn module(&self, name: &Path, mapping: &Mapping) -> Option<Module<Bytes>> {
        let eh_frame = self.eh_frame.clone()?;
        let base = self.bias(mapping)?;
        let header = self.eh_frame_hdr.clone();
        let sections = ExplicitModuleSectionInfo {
            base_svma: 0,
            eh_frame_svma: Some(eh_frame.addresses),
            eh_frame: Some(eh_frame.bytes),
            eh_frame_hdr_svma: header.as_ref().map(|header| header.addresses.clone()),
            eh_frame_hdr: header.map(|header| header.bytes),
            ..ExplicitModuleSectionInfo::default()
        };
        Some(Module::new(name.display().to_string(), mapping.start..mapping.end, base, sections))
    }
}

/// A path by which a process's file can be opened from here: as it sees it, for it may be in a container, and by the mapping itself
/// when the file has another name or none by now.
pub fn open_path(pid: Pid, mapping: &Mapping, path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let inside = PathBuf::from(format!("/proc/{pid}/root")).join(relative);
    let same = |candidate: &Path| {
        use std::os::unix::fs::MetadataExt;
        candidate.metadata().is_ok_and(|file| file.ino() == mapping.inode)
    };
    if same(&inside) {
        return inside;
    }
    let by_mapping = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end));
    if by_mapping.exists() { by_mapping } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::mappings::Source;

    /// A segment that begins in the last page of the code is not the code's, though it is mapped with it.
    #[test]
    fn the_segment_is_the_one_that_fills_the_mapping() {
        let image = Image {
            segments: vec![(0, 0x1200, 0), (0x1200, 0x5000, 0x2200), (0x6200, 0x100, 0x8200)],
            ..Image::default()
        };
        let mapping =
            Mapping { start: 0x50_2000, end: 0x50_8000, offset: 0x1000, inode: 1, source: Source::Memory };
        assert_eq!(image.bias(&mapping), Some(0x50_0000));
    }
}
