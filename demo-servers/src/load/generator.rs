//! The loop that sends what is due and takes the answers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::client::{Call, Client, Failure, Outcome, Target};
use super::epoll::Epoll;
use super::report::{Latencies, LoadErrors, LoadReport};
use super::schedule::Schedule;
use super::{LoadConfig, Url};
use crate::clock::MonotonicNs;
use crate::rng::SplitMix64;

/// How long answers may still come after the last request.
const GRACE: Duration = Duration::from_secs(2);
/// How often the stop flag is looked at.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// How long a connection that has failed is not tried again: a server that refuses must not be hammered.
const REST: Duration = Duration::from_millis(10);

pub(super) fn run(config: &LoadConfig, stop: &AtomicBool) -> Result<LoadReport> {
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
    tally: Tally,
    in_flight: u64,
}

/// Which request is next.
enum Picker {
    InTurn(usize),
    Random(SplitMix64),
}

struct Tally {
    answered: u64,
    unsent: u64,
    errors: LoadErrors,
    latency: Latencies,
    service: Latencies,
    max_in_flight: u64,
}

impl Generator {
    fn new(config: &LoadConfig) -> Result<Self> {
        let Some(first) = config.urls.first() else { bail!("no URL was given: name one with --url") };
        if let Some(other) = config.urls.iter().find(|url| url.authority() != first.authority()) {
            bail!("{first} and {other} are on different servers: run one generator for each");
        }
        let address = first.resolve().with_context(|| format!("cannot find the host of {first}"))?;
        let requests = config.urls.iter().map(|url: &Url| url.request(config.close)).collect();
        let picker =
            if config.poisson { Picker::Random(SplitMix64::new(!config.seed)) } else { Picker::InTurn(0) };
        Ok(Self {
            epoll: Epoll::new().context("cannot create an epoll instance")?,
            target: Target { address, requests, close: config.close },
            clients: (0..u64::from(config.connections)).map(Client::new).collect(),
            free: (0..usize::from(config.connections)).collect(),
            resting: VecDeque::new(),
            queue: VecDeque::new(),
            picker,
            tally: Tally {
                answered: 0,
                unsent: 0,
                errors: LoadErrors::default(),
                latency: Latencies::new()?,
                service: Latencies::new()?,
                max_in_flight: 0,
            },
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

    fn run(mut self, config: &LoadConfig, stop: &AtomicBool) -> Result<LoadReport> {
        let warmup = config.warmup.unwrap_or_default();
        let started = MonotonicNs::now();
        let measured_from = started + warmup;
        let end = measured_from + config.duration;
        let open_loop = config.rate > 0.0;
        let seed = config.poisson.then_some(config.seed);
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

        self.tally.unsent = self.queue.iter().filter(|call| call.measured).count() as u64;
        let deadline = MonotonicNs::now() + GRACE;
        while self.in_flight > 0 && MonotonicNs::now() < deadline {
            self.wait(deadline, &mut keys, &mut buffer)?;
        }
        Ok(self.report(stopped_at.since(measured_from)))
    }

    fn call(&mut self, due: MonotonicNs, measured_from: MonotonicNs) -> Call {
        let requests = self.target.requests.len();
        let request = match &mut self.picker {
            Picker::InTurn(next) => {
                *next = (*next + 1) % requests;
                (*next + requests - 1) % requests
            }
            // The remainder is below the number of requests, so it fits.
            Picker::Random(rng) => usize::try_from(rng.below(requests as u64)).unwrap_or_default(),
        };
        Call { due, request, measured: due >= measured_from }
    }

    fn begin(&mut self, client: usize, call: Call) {
        self.in_flight += 1;
        if call.measured {
            self.tally.max_in_flight = self.tally.max_in_flight.max(self.in_flight);
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
        let errors = &mut self.tally.errors;
        match result {
            Ok((sent_at, status)) => {
                self.tally.answered += 1;
                self.tally.latency.record(now.since(call.due));
                self.tally.service.record(now.since(sent_at));
                errors.status += u64::from(status != 200);
            }
            Err(Failure::Connect) => errors.connect += 1,
            Err(Failure::Write) => errors.write += 1,
            Err(Failure::Read) => errors.read += 1,
        }
    }

    fn report(self, duration: Duration) -> LoadReport {
        let Tally { answered, unsent, mut errors, latency, service, max_in_flight } = self.tally;
        let unanswered = self.clients.iter().filter_map(Client::call).filter(|call| call.measured).count();
        errors.timeout = unanswered as u64;
        let seconds = duration.as_secs_f64();
        LoadReport {
            requests: answered,
            sent: answered + errors.read + errors.write + errors.timeout,
            unsent,
            errors,
            duration_s: seconds,
            per_second: if seconds > 0.0 { answered as f64 / seconds } else { 0.0 },
            latency_us: latency.summary(),
            service_us: service.summary(),
            max_in_flight,
        }
    }
}
