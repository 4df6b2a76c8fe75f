//! One run of one server.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context, Result};
use demo_servers::{Config, Model};

use crate::{
    cli::{
        driven::{self, Driven, Measure},
        helper::Helper,
        reference,
    },
    platform::{proc, signals::StopFlag, sockets::listening_ports},
    race::{
        Conditions, Knob, Measured, OwnServer, PerfCounters, PerfCounts, Placeholders, Row, Setting,
        usage::{self, Machine, Memory, Usage},
    },
    report::explain,
    units::Pid,
};

/// How long a server of the user's own may take to listen: some compile, or fill caches.
const START: Duration = Duration::from_mins(1);
/// Memory is looked at every so many times that the load generator is: each time all processes of the machine are read…
const RSS_EVERY: u32 = 5;
/// …and the dear part of it even less often.
const PSS_EVERY: u32 = 25;

/// Who runs.
#[derive(Clone, Debug)]
pub enum Contender {
    /// A reference server.
    Model(Model),
    /// A server of the user's own.
    Own(OwnServer),
}

impl Contender {
    /// What the table calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::Model(model) => model.id(),
            Self::Own(server) => &server.name,
        }
    }

    /// Whether a sweep of this can make a difference to it.
    pub fn follows(&self, knob: Knob) -> bool {
        match self {
            Self::Model(_) => true,
            Self::Own(server) => server.follows(knob),
        }
    }
}

/// A run.
#[derive(Debug)]
pub struct Heat {
    /// Who runs.
    pub contender: Contender,
    /// What is different in this run.
    pub setting: Option<Setting>,
}

impl Heat {
    /// What it is called, with its setting.
    pub fn label(&self) -> String {
        let setting = self.setting.map(|setting| format!(" {setting}"));
        format!("{}{}", self.contender.name(), setting.unwrap_or_default())
    }
}

/// What came of a run.
pub struct Ran {
    /// Its figures.
    pub row: Row,
    /// Why there are no hardware counters, where there are none.
    pub hardware_absent: Option<String>,
}

/// What is the same for all runs.
pub struct Track {
    /// The load.
    pub conditions: Conditions,
    /// The server that `/downstream` asks.
    pub upstream: Option<String>,
    /// Where servers of the user's own listen.
    pub port: Option<u16>,
    /// Whether performance counters are wanted.
    pub perf: bool,
    /// How long the load lasts.
    pub duration: Duration,
}

impl Track {
    /// Starts the server, tells its process once it listens, puts it under load, watches it, and ends it.
    ///
    /// # Errors
    /// When the server does not listen or ends under load, or whywait cannot attach.
    pub fn run(&self, heat: &Heat, stop: &StopFlag, listens: &mut dyn FnMut(Pid)) -> Result<Ran> {
        let what = match &heat.contender {
            Contender::Model(model) => format!("the reference server {model}"),
            Contender::Own(server) => format!("the server {}", server.name),
        };
        let (mut server, perf, address) = match &heat.contender {
            Contender::Model(model) => {
                let mut server = Helper::prepare(&what, &self.serve_arguments(*model, heat.setting))?;
                let perf = self.counters(server.pid());
                server.go()?;
                let address = server.says_where(stop)?;
                (server, perf, address)
            }
            Contender::Own(own) => self.start_own(&what, own, heat.setting, stop)?,
        };
        listens(server.pid());
        let load = Helper::prepare("the load generator", &self.load_arguments(&address, heat.setting))?;
        let mut meter = Meter::new(server.pid(), perf);
        let Driven { observation, load } =
            driven::watch(&mut server, load, self.duration, stop, (&mut meter, None))?;
        let created = observation.pipeline.window().threads();
        let created = created.created() + created.processes_created();
        let hardware_absent =
            meter.perf.as_ref().ok().and_then(|perf| perf.hardware_absent().map(str::to_owned));
        let procfs = meter.after.since(&meter.before, created);
        let measured = Measured {
            explanation: explain(&observation),
            observation: &observation,
            load,
            perf: meter.counted(),
            others: meter.others(procfs.cpu_us()),
            procfs,
            peak: meter.peak,
        };
        let row = Row::new(heat.contender.name().to_owned(), heat.setting, measured);
        Ok(Ran { row, hardware_absent })
    }

    /// Counters of a process that is not the server yet.
    fn counters(&self, pid: Pid) -> Result<PerfCounters, String> {
        if self.perf { PerfCounters::open(pid) } else { Err("they were not wanted".to_owned()) }
    }

    /// The value of an option in a run.
    fn option(&self, knob: Knob, setting: Option<Setting>) -> Option<u16> {
        let swept = setting.filter(|setting| setting.option == knob).map(|setting| setting.value);
        swept.or(match knob {
            Knob::Threads => self.conditions.threads,
            Knob::Workers => self.conditions.workers,
            Knob::Connections => Some(self.conditions.connections),
        })
    }

    fn serve_arguments(&self, model: Model, setting: Option<Setting>) -> Vec<String> {
        let mut arguments = vec![reference::SERVE.to_owned(), model.id().to_owned()];
        for knob in [Knob::Threads, Knob::Workers] {
            arguments.extend(self.option(knob, setting).map(|value| format!("--{}={value}", knob.id())));
        }
        arguments.extend(self.upstream.as_ref().map(|upstream| format!("--upstream={upstream}")));
        arguments
    }

    fn load_arguments(&self, address: &str, setting: Option<Setting>) -> Vec<String> {
        let load = &self.conditions;
        let connections = self.option(Knob::Connections, setting).unwrap_or(load.connections);
        let mut arguments = vec![
            reference::LOAD.to_owned(),
            "--json".to_owned(),
            format!("--rate={}", load.rate),
            format!("--duration={}", load.duration_s),
            format!("--connections={connections}"),
        ];
        if load.rate > 0.0 {
            arguments.push("--arrivals=poisson".to_owned());
        }
        if !load.keep_alive {
            arguments.push("--close".to_owned());
        }
        arguments.extend(load.paths.iter().map(|path| format!("--url=http://{address}{path}")));
        arguments
    }

    fn start_own(
        &self,
        what: &str,
        own: &OwnServer,
        setting: Option<Setting>,
        stop: &StopFlag,
    ) -> Result<(Helper, Result<PerfCounters, String>, String)> {
        let told = if self.port.is_none() && own.takes_port() { Some(free_port()?) } else { self.port };
        let defaults = Config::default();
        let words = own.words(Placeholders {
            port: told.unwrap_or_default(),
            threads: self.option(Knob::Threads, setting).unwrap_or(defaults.threads),
            workers: self.option(Knob::Workers, setting).unwrap_or(defaults.workers),
        });
        let mut server = Helper::command(what, words.iter().map(String::as_str))?;
        let perf = self.counters(server.pid());
        server.go()?;
        let port = server.listens(START, stop, |server| {
            let pid = server.pid();
            let all: Vec<Pid> = std::iter::once(pid).chain(proc::descendants(pid)).collect();
            let ports = listening_ports(&all).unwrap_or_default();
            ports.into_iter().find(|port| told.is_none_or(|told| told == *port))
        })?;
        Ok((server, perf, format!("127.0.0.1:{port}")))
    }
}

/// A port that nobody has at the moment.
fn free_port() -> Result<u16> {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    Ok(port.context("cannot find a free port; give one with --port")?.port())
}

/// Measures a server by other means than probes.
struct Meter {
    pid: Pid,
    perf: Result<PerfCounters, String>,
    counts: Result<[PerfCounts; 2], String>,
    before: Usage,
    after: Usage,
    machine: [Option<Machine>; 2],
    peak: Memory,
    looks: u32,
}

impl Meter {
    fn new(pid: Pid, perf: Result<PerfCounters, String>) -> Self {
        Self {
            pid,
            counts: Ok([PerfCounts::default(); 2]),
            perf,
            before: Usage::default(),
            after: Usage::default(),
            machine: [None; 2],
            peak: Memory::default(),
            looks: 0,
        }
    }

    fn count(&mut self, at: usize) {
        let read = match &mut self.perf {
            Ok(perf) => perf.read().map_err(|error| format!("they cannot be read ({error})")),
            Err(why) => Err(why.clone()),
        };
        match (read, &mut self.counts) {
            (Ok(read), Ok(counts)) => counts[at] = read,
            (Err(why), counts) => *counts = Err(why),
            (Ok(_), Err(_)) => {}
        }
    }

    fn counted(&self) -> Result<PerfCounts, String> {
        let [before, after] = self.counts.clone()?;
        Ok(after.since(before))
    }

    /// The share of the CPUs' time that neither the server (this many microseconds) nor we had.
    fn others(&self, server_us: f64) -> Option<f64> {
        let [before, after] = self.machine;
        Some(after?.others_since(before?, server_us))
    }

    fn look(&mut self) {
        if self.looks.is_multiple_of(RSS_EVERY) {
            self.peak.rss = self.peak.rss.max(usage::rss(self.pid));
        }
        if self.looks.is_multiple_of(PSS_EVERY) {
            self.peak.pss = self.peak.pss.max(usage::pss(self.pid));
        }
        self.looks += 1;
    }
}

impl Measure for Meter {
    fn begin(&mut self) {
        self.machine[0] = Machine::now();
        self.before = Usage::of(self.pid);
        self.count(0);
    }

    fn during(&mut self) {
        self.look();
    }

    fn end(&mut self) {
        self.count(1);
        self.after = Usage::of(self.pid);
        self.machine[1] = Machine::now();
        // Memory that is seldom looked at is not missed altogether.
        self.looks = 0;
        self.look();
    }
}
