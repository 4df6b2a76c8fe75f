//! Where in the code requests spend their time: profiles by state and by route, of what waits and of what runs. Pure.

mod folded;
mod frame;
mod known;
mod names;
mod profile;
mod report;
mod tree;

pub use folded::{folded_frames, write_folded};
pub use frame::{Frame, Place, brief};
pub use known::{KnownWait, known_wait};
pub use names::{Addresses, NameTable, Named};
pub use profile::{Counts, Profile};
pub use report::{Code, Hot, Stacks, StateStacks, Waiter, Waker};
pub use tree::{Placed, Tree};
