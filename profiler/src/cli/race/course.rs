//! The runs of a race, one after the other.

use super::heat::{Heat, Track};
use crate::{
    platform::signals::StopFlag,
    race::{Failed, Race},
    units::Pid,
};

/// Somebody who is told how far a race is.
pub trait Spectator {
    /// The run at this place begins.
    fn begins(&mut self, race: &Race, at: usize);
    /// Its server listens.
    fn listens(&mut self, at: usize, pid: Pid);
    /// It is over: the race has one row more, or one failure.
    fn ended(&mut self, race: &Race, at: usize);
    /// Somebody has stopped it.
    fn stopped(&mut self, at: usize);
}

/// Runs one after the other, until somebody stops it; returns what came of it.
pub fn hold(
    mut race: Race,
    track: &Track,
    heats: &[Heat],
    stop: &StopFlag,
    spectator: &mut dyn Spectator,
) -> Race {
    for (at, heat) in heats.iter().enumerate() {
        spectator.begins(&race, at);
        let run = track.run(heat, stop, &mut |pid| spectator.listens(at, pid));
        if stop.is_set() {
            spectator.stopped(at);
            break;
        }
        match run {
            Ok(ran) => {
                race.hardware_absent = race.hardware_absent.take().or(ran.hardware_absent);
                race.rows.push(ran.row);
            }
            Err(error) => race.failed.push(Failed { label: heat.label(), why: format!("{error:#}") }),
        }
        spectator.ended(&race, at);
    }
    race
}
