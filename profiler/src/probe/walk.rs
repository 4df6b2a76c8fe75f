//! Walks over tasks and files: the iterators do their work while user space reads from them.

use std::io::Read;

use aya::{Ebpf, programs::Iter};

use super::session::AttachError;

/// Runs an iterator once.
pub(super) fn run(ebpf: &mut Ebpf, name: &'static str) -> Result<(), AttachError> {
    let failed = |why: String| AttachError::Walk { name, why };
    let program = ebpf.program_mut(name).ok_or_else(|| failed("the object does not have it".to_owned()))?;
    let program: &mut Iter = program.try_into().map_err(|error| failed(format!("{error}")))?;
    let id = program.attach().map_err(|error| failed(format!("{error}")))?;
    let link = program.take_link(id).map_err(|error| failed(format!("{error}")))?;
    let mut file = link.into_file().map_err(|error| failed(format!("{error}")))?;
    // The programs print nothing: the file is empty, and reading it to its end is the walk.
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).map_err(|error| failed(format!("{error}")))?;
    Ok(())
}
