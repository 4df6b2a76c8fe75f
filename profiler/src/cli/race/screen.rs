//! A race in the dashboard: the server that runs now is watched, and all stand side by side.

use std::{
    sync::{Arc, mpsc::Sender},
    thread,
};

use anyhow::{Result, bail};

use super::{
    course::{Spectator, hold},
    heat::{Heat, Track},
};
use crate::{
    cli::top::{self, ScreenArgs, nobody_yet},
    live::{Note, Told},
    platform::{clock::monotonic, signals::StopFlag, target::TargetSpec},
    probe::Options,
    race::{Race, standing},
    units::Pid,
};

/// Hands a race to the dashboard.
pub struct Live {
    told: Sender<Told>,
    labels: Vec<String>,
}

impl Live {
    /// For these runs.
    pub fn new(told: Sender<Told>, heats: &[Heat]) -> Self {
        Self { told, labels: heats.iter().map(Heat::label).collect() }
    }

    fn tell(&self, told: Told) {
        // Nobody listens any more only when the dashboard has been ended, which stops the race.
        let _sent = self.told.send(told);
    }

    /// How it stands when so many runs have begun, of which the last goes on if there is a `running` one.
    fn stands(&self, race: &Race, begun: usize, running: Option<String>) {
        let to_come = self.labels[begun.min(self.labels.len())..].to_vec();
        self.tell(Told::Models(Arc::new(standing(race, running, to_come))));
    }
}

impl Spectator for Live {
    fn begins(&mut self, race: &Race, at: usize) {
        self.stands(race, at + 1, Some(self.labels[at].clone()));
    }

    fn listens(&mut self, at: usize, pid: Pid) {
        let label = &self.labels[at];
        self.tell(Told::Target { pid, command: label.clone() });
        let title = format!("{}/{} {label}", at + 1, self.labels.len());
        self.tell(Told::Note(Note { at: monotonic(), title, text: String::new() }));
    }

    fn ended(&mut self, race: &Race, at: usize) {
        self.stands(race, at + 1, None);
    }

    fn stopped(&mut self, _at: usize) {}
}

/// Holds the race while the dashboard shows it; what had been measured when the user ended the dashboard is returned.
///
/// # Errors
/// Those of the dashboard.
pub fn dashboard(race: Race, track: Track, heats: Vec<Heat>, look: &ScreenArgs) -> Result<Race> {
    let stop = StopFlag::new();
    let (over, nothing) = (stop.clone(), race.clone());
    let guide = move |told| {
        thread::Builder::new().name("whywait-race".to_owned()).spawn(move || {
            let mut live = Live::new(told, &heats);
            hold(race, &track, &heats, &over, &mut live)
        })
    };
    let spec = TargetSpec { children: true, ..TargetSpec::default() };
    let next = Some("the next server".to_owned());
    let watch = top::Watch {
        target: nobody_yet("race"),
        spec,
        options: Options::default(),
        follow: None,
        next,
        outlets: None,
    };
    let shown = top::dashboard(watch, look, guide);
    stop.set();
    match shown?.map(thread::JoinHandle::join) {
        Some(Ok(race)) => Ok(race),
        Some(Err(_)) => bail!("the thread that runs the servers has failed"),
        None => Ok(nothing),
    }
}
