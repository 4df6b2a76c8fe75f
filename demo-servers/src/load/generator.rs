//! The loop that sends what is due and takes the answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::LoadConfig;
use super::client::{Call, Client, Failure, Outcome, Target};
use super::epoll::Epoll;
use super::mix::Picker;
use super::report::Measured;
use super::schedule::{Arrivals, Schedule};
use crate::clock::MonotonicNs;

/// How long answers may still come after the last request.
const GRACE: Duration = Duration::from_secs(2);
/// How often the stop flag is looked at.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// How long a connection that has failed is not tried again: a server that refuses must not be hammered.
const REST: Duration = Duration::from_millis(10);

pub(super) fn run(config: &LoadConfig, stop: &AtomicBool) -> Result<Measured> {
    let mut generator = Generator::new(config)?;
    generator.connect_all()?;
    generator.run(config, stop)
}

struct Generator {
    epoll: Epoll,
    target: Target,
    clients: Vec<Client>,
    /// In the order in which they became free, so that all connections take part equally.
    free: VecDeque<usize>,
    resting: VecDeque<(MonotonicNs, usize)>,
    /// Due requests for which no connection was free.
    queue: VecDeque<Call>,
    picker: Picker,
    measured: Measured,
    in_flight: u64,
}

impl Generator {
    fn new(config: &LoadConfig) -> Result<Self> {
        let Some(first) = config.urls.first().map(|weighted| &weighted.url) else {
            bail!("no URL was given: name one with --url")
        };
        if let Some(other) = config.urls.iter().find(|other| other.url.authority() != first.authority()) {
            bail!("{first} and {} are on different servers: run one generator for each", other.url);
        }
        let address = first.resolve().with_context(|| format!("cannot find the host of {first}"))?;
        let requests = config.urls.iter().map(|weighted| weighted.url.request(config.close)).collect();
        let at_random = config.arrivals() == Arrivals::Poisson;
        Ok(Self {
            epoll: Epoll::new().context("cannot create an epoll instance")?,
            target: Target { address, requests, close: config.close },
            clients: (0..u64::from(config.connections)).map(Client::new).collect(),
            free: (0..usize::from(config.connections)).collect(),
            resting: VecDeque::new(),
            queue: VecDeque::new(),
            picker: Picker::new(&config.urls, at_random, config.seed),
            measured: Measured::new(&config.urls)?,
            in_flight: 0,
        })
    }

    /// Opens the connections that will be kept. One that cannot be opened now is tried again when it is needed.
    fn connect_all(&mut self) -> Result<()> {
        if self.target.close {
            return Ok(());
        }
        let address = self.target.address;
        let mut failed = None;
        for (done, client) in self.clients.iter_mut().enumerate() {
            if let Err(error) = client.open_now(&self.epoll, &self.target) {
                failed = Some((done, error));
                break;
            }
        }
        match failed {
            Some((0, error)) => {
                Err(error).with_context(|| format!("cannot connect to {address}: is the server running?"))
            }
            // A full backlog makes each further attempt wait for its timeout: the rest opens when needed.
            _ => Ok(()),
        }
    }

    fn run(mut self, config: &LoadConfig, stop: &AtomicBool) -> Result<Measured> {
        let warmup = config.warmup.unwrap_or_default();
        let started = MonotonicNs::now();
        let measured_from = started + warmup;
        let end = measured_from + config.duration;
        let open_loop = config.rate > 0.0;
        let seed = (config.arrivals() == Arrivals::Poisson).then_some(config.seed);
        let mut schedule = Schedule::new(config.rate, warmup + config.duration, seed);
        let (mut keys, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);

        let stopped_at = loop {
            let now = MonotonicNs::now();
            while let Some((_, client)) = self.resting.pop_front_if(|&mut (until, _)| until <= now) {
                self.free.push_back(client);
            }
            if open_loop {
                while let Some(due) = schedule.peek().map(|offset| started + Duration::from_nanos(offset))
                    && due <= now
                {
                    schedule.step();
                    let call = self.call(due, measured_from);
                    self.queue.push_back(call);
                }
                while !self.queue.is_empty() && !self.free.is_empty() {
                    if let (Some(call), Some(client)) = (self.queue.pop_front(), self.free.pop_front()) {
                        self.begin(client, call);
                    }
                }
            } else if now < end {
                // Only those that are free now: one that fails at once must not keep this loop going.
                for _ in 0..self.free.len() {
                    if let Some(client) = self.free.pop_front() {
                        let call = self.call(MonotonicNs::now(), measured_from);
                        self.begin(client, call);
                    }
                }
            }
            if now >= end || stop.load(Ordering::Relaxed) {
                break now.min(end);
            }
            let due =
                schedule.peek().filter(|_| open_loop).map(|offset| started + Duration::from_nanos(offset));
            let rested = self.resting.front().map(|&(until, _)| until);
            let wake = due.into_iter().chain(rested).fold(end, MonotonicNs::min);
            self.wait(wake, &mut keys, &mut buffer)?;
        };

        for call in self.queue.iter().filter(|call| call.measured) {
            self.measured.by_url[call.request].unsent += 1;
        }
        let deadline = MonotonicNs::now() + GRACE;
        while self.in_flight > 0 && MonotonicNs::now() < deadline {
            self.wait(deadline, &mut keys, &mut buffer)?;
        }
        Ok(self.finish(stopped_at.since(measured_from)))
    }

    fn call(&mut self, due: MonotonicNs, measured_from: MonotonicNs) -> Call {
        Call { due, request: self.picker.next(), measured: due >= measured_from }
    }

    fn begin(&mut self, client: usize, call: Call) {
        self.in_flight += 1;
        if call.measured {
            self.measured.max_in_flight = self.measured.max_in_flight.max(self.in_flight);
        }
        let outcome = self.clients[client].begin(&self.epoll, &self.target, call);
        self.end(client, outcome);
    }

    /// Waits for events until `wake` at the latest, and takes the answers that have come.
    fn wait(&mut self, wake: MonotonicNs, keys: &mut Vec<u64>, buffer: &mut [u8]) -> Result<()> {
        self.epoll.wait(wake.remaining().min(STOP_CHECK), keys).context("waiting for answers failed")?;
        for &key in &*keys {
            let Ok(client) = usize::try_from(key) else { continue };
            let outcome = self.clients[client].on_event(&self.epoll, &self.target, buffer);
            self.end(client, outcome);
        }
        Ok(())
    }

    fn end(&mut self, client: usize, outcome: Option<Outcome>) {
        let Some(Outcome { call, result }) = outcome else { return };
        let now = MonotonicNs::now();
        self.in_flight -= 1;
        match result {
            Ok(_) => self.free.push_back(client),
            Err(_) => self.resting.push_back((now + REST, client)),
        }
        if !call.measured {
            return;
        }
        let tally = &mut self.measured.by_url[call.request];
        match result {
            Ok((sent_at, status)) => {
                tally.latency.record(now.since(call.due));
                tally.service.record(now.since(sent_at));
                tally.errors.status += u64::from(!(200..400).contains(&status));
            }
            Err(Failure::Connect) => tally.errors.connect += 1,
            Err(Failure::Write) => tally.errors.write += 1,
            Err(Failure::Read) => tally.errors.read += 1,
        }
    }

    fn finish(mut self, duration: Duration) -> Measured {
        for call in self.clients.iter().filter_map(Client::call).filter(|call| call.measured) {
            self.measured.by_url[call.request].errors.timeout += 1;
        }
        self.measured.finish(duration);
        self.measured
    }
}
