//! The log, kept in memory for its screen.

use log::{LevelFilter, Log, Metadata, Record};
use tui_logger::Drain;

/// Hands records to the log view. The view's own logger wakes up a hundred times a second to look for them; here the screen
/// takes them with its ticks.
struct Keeper(Drain);

impl Log for Keeper {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= LevelFilter::Info
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {}
}

/// From now on what is logged is kept for the log view.
pub fn keep_log() {
    tui_logger::set_default_level(LevelFilter::Info);
    // A second dashboard in the same process uses the first one's log.
    let _set = log::set_boxed_logger(Box::new(Keeper(Drain::new())));
    log::set_max_level(LevelFilter::Info);
}
