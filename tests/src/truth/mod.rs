//! What the reference servers say happened in each request, held against what whywait found.
//!
//! A server that is started with `--truth` writes one record for each request; [`RequestLog`] has whywait's side. [`join`]
//! brings the two together, [`Accuracy`] says how well they agree, [`measure`] does all of it for one model, and
//! [`tables`] prints it.

mod accuracy;
mod join;
mod log;
mod measure;
mod tables;

pub use accuracy::{Accuracy, LEAST_PLANTED, Off};
pub use join::{Joined, Pair, join};
pub use log::RequestLog;
pub use measure::{Cell, PlantedRoute, ROUTES, measure};
pub use tables::tables;
