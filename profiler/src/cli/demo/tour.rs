//! The tour: a load that changes, each part with a cause of waiting that the dashboard shows.

use std::{sync::mpsc::Sender, time::Duration};

use anyhow::Result;
use demo_servers::Model;

use super::super::{
    helper::Helper,
    race::{Contender, Heat, Live, Track, hold},
    reference,
};
use crate::{
    live::{Note, Told},
    platform::{clock::monotonic, proc::cpu_count, signals::StopFlag},
    race::{Conditions, Race},
    units::Pid,
};

/// Connections at once.
const CONNECTIONS: u16 = 32;
/// How often is looked whether the tour is over.
const POLL: Duration = Duration::from_millis(50);

/// A part of the tour.
pub struct Part {
    title: &'static str,
    text: &'static str,
    /// What is asked for, `WEIGHT@PATH`.
    routes: &'static [(u32, &'static str)],
    /// Share of the rate that the user asked for.
    share: f64,
    /// Another process takes the CPUs meanwhile.
    neighbour: bool,
}

const PARTS: &[Part] = &[
    Part {
        title: "steady",
        text: "Quick answers and a little computing: a request should spend its time on a CPU (C). Space freezes the \
               picture, ? lists the keys.",
        routes: &[(4, "/plaintext"), (3, "/json"), (2, "/cpu?us=2000")],
        share: 0.5,
        neighbour: false,
    },
    Part {
        title: "a lock convoy",
        text: "Every third request now takes the same lock for 7 ms. L grows in the chart: 4 shows the lock, 2 and \
               Enter a request that waited in line.",
        routes: &[(4, "/plaintext"), (2, "/json"), (3, "/lock?us=7000")],
        share: 0.5,
        neighbour: false,
    },
    Part {
        title: "a noisy neighbour",
        text: "Another process takes the CPUs. The server's threads could run and have none (R): 6 shows how long \
               they wait.",
        routes: &[(3, "/plaintext"), (2, "/json"), (3, "/cpu?us=2000")],
        share: 0.4,
        neighbour: true,
    },
    Part {
        title: "a slow service behind it",
        text: "A third of the requests asks another service, which takes 40 ms (S): 7 names it, with what it takes to \
               answer.",
        routes: &[(2, "/plaintext"), (1, "/json"), (1, "/downstream?ms=40")],
        share: 0.3,
        neighbour: false,
    },
    Part {
        title: "too few workers",
        text: "Some requests sleep in their worker until all workers are taken; the others wait before anybody reads \
               them (A, Q, q). 2 and Enter names the request in front.",
        routes: &[(3, "/plaintext"), (2, "/sleep?ms=50")],
        share: 0.42,
        neighbour: false,
    },
    Part {
        title: "the disk",
        text: "Requests write eight megabytes and wait until they are on the disk (D): 5 names the system call.",
        routes: &[(3, "/plaintext"), (1, "/disk?bytes=8388608")],
        share: 0.1,
        neighbour: false,
    },
];

/// What the last part is called, and what is to be seen in it.
const MODELS: (&str, &str) = (
    "models side by side",
    "Servers of other concurrency models now answer the same mixture of requests, one after the other, as fast as they can: 9 shows what \
     they make of it.",
);
/// For how long each of them is under load, at most.
const EACH: Duration = Duration::from_secs(3);
/// Connections at once in the last part.
const RIVALS: u16 = 16;

/// The tour of a server.
pub struct Tour {
    /// Where it listens.
    pub address: String,
    /// Its process, and what it is called.
    pub server: (Pid, String),
    /// The server that `/downstream` asks.
    pub upstream: String,
    /// Requests per second.
    pub rate: f64,
    /// How long each part takes.
    pub length: Duration,
    /// What stands side by side at the end.
    pub models: Vec<Model>,
}

impl Tour {
    /// Runs the parts one after the other, again and again, until it is told to stop.
    ///
    /// # Errors
    /// When the load generator does not start.
    pub fn run(&self, told: &Sender<Told>, stop: &StopFlag) -> Result<()> {
        while !stop.is_set() {
            for (number, part) in PARTS.iter().enumerate().take_while(|_| !stop.is_set()) {
                announce(told, number, (part.title, part.text));
                self.part(part, stop)?;
            }
            if !stop.is_set() {
                announce(told, PARTS.len(), MODELS);
                self.side_by_side(told, stop);
            }
        }
        Ok(())
    }

    fn part(&self, part: &Part, stop: &StopFlag) -> Result<()> {
        let arguments = load_arguments(part, &self.address, self.rate, self.length);
        let mut load = Helper::prepare("the load generator", &arguments)?;
        let neighbour = part.neighbour.then(neighbour).transpose()?;
        load.go()?;
        while !load.has_ended() && !stop.wait_timeout(POLL) {}
        drop(neighbour);
        Ok(())
    }

    /// Other models, each under the same load, as in a race.
    fn side_by_side(&self, told: &Sender<Told>, stop: &StopFlag) {
        let heats: Vec<Heat> = self
            .models
            .iter()
            .map(|model| Heat { contender: Contender::Model(*model), setting: None })
            .collect();
        let duration = EACH.min(self.length);
        let conditions = Conditions {
            connections: RIVALS,
            rate: 0.0,
            duration_s: duration.as_secs_f64(),
            keep_alive: false,
            threads: None,
            workers: None,
            cpus: cpu_count(),
            paths: vec!["/mix".to_owned()],
        };
        let track = Track {
            conditions: conditions.clone(),
            upstream: Some(self.upstream.clone()),
            port: None,
            perf: false,
            duration,
        };
        let race = Race::new(conditions, None, heats.len());
        hold(race, &track, &heats, stop, &mut Live::new(told.clone(), &heats));
        let (pid, command) = self.server.clone();
        tell(told, Told::Target { pid, command });
    }
}

fn announce(told: &Sender<Told>, number: usize, (title, text): (&str, &str)) {
    let title = format!("{}/{} {title}", number + 1, PARTS.len() + 1);
    tell(told, Told::Note(Note { at: monotonic(), title, text: text.to_owned() }));
}

fn tell(told: &Sender<Told>, what: Told) {
    // Nobody listens any more only when the dashboard has been ended, which sets the flag.
    let _sent = told.send(what);
}

fn neighbour() -> Result<Helper> {
    let threads = format!("--threads={}", 8 * cpu_count());
    let mut neighbour = Helper::prepare("the noisy neighbour", &[reference::BURN.to_owned(), threads])?;
    neighbour.go()?;
    Ok(neighbour)
}

fn load_arguments(part: &Part, address: &str, rate: f64, length: Duration) -> Vec<String> {
    let mut arguments = super::load_arguments(rate * part.share, length, CONNECTIONS);
    arguments
        .extend(part.routes.iter().map(|(weight, route)| format!("--url={weight}@http://{address}{route}")));
    arguments
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use demo_servers::load::LoadArgs;

    use super::*;

    #[derive(Parser)]
    struct Load {
        #[command(flatten)]
        args: LoadArgs,
    }

    /// What the tour asks of the load generator is what the load generator takes.
    #[test]
    fn the_load_generator_understands_every_part() {
        for part in PARTS {
            let arguments = load_arguments(part, "127.0.0.1:8000", 400.0, Duration::from_secs(20));
            let load = Load::parse_from(arguments).args;
            assert_eq!(load.config.urls.len(), part.routes.len());
            assert!(load.config.close && (load.config.rate - 400.0 * part.share).abs() < 1e-9);
        }
    }
}
