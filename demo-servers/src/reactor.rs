//! What an event loop needs besides the kernel's readiness events: timers, buffered connections, calls to another
//! server that do not block, a mailbox for other threads. The loops themselves are models.

pub mod connection;
pub mod mailbox;
pub mod timers;
pub mod upstream;
