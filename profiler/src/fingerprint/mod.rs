//! The concurrency model, from behaviour alone: who accepts, who reads and writes which connection, what threads wait in, who hands work to
//! whom, which threads and processes are born when. Pure; the rules are those of `docs/fingerprint.md`.

mod behaviour;
mod facts;
mod figures;
mod inner;
mod model;
mod outside;
mod summary;
#[cfg(test)]
mod tests;
mod topology;
mod verdict;
mod wait;

pub use behaviour::Behaviour;
pub use model::ModelId;
pub use outside::{Listener, Outside, ProcessOutside};
pub use verdict::{Fingerprint, Lag, Little, Loop, Pool, Role, ThreadRole, Worker};
