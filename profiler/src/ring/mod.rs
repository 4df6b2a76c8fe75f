//! From the kernel's ring to batches of records.

mod reader;

pub use reader::{Batch, Reader, ReaderError};
