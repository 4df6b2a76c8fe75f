//! The concurrency model, from behaviour alone: who accepts, who reads and writes which connection, what threads wait in, who hands work to
//! whom, which threads and processes are born when. Pure; the rules are those of `docs/fingerprint.md`.

mod behaviour;
mod model;
mod outside;
mod verdict;

pub use behaviour::Behaviour;
pub use model::ModelId;
pub use outside::Outside;
pub use verdict::{Fingerprint, Lag, Little, Loop, Point, Pool, Role, ThreadRole, Worker};
