//! A small simulation: requests of clients, that wait for workers, take turns on CPUs, and wait for what else they wait for.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Nanoseconds for which a thread keeps a CPU that others want as well: the base slice of the kernel's scheduler on a small machine.
const SLICE: u64 = 3_000_000;

/// A request to simulate. Times are nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Job {
    /// Time on a CPU.
    pub cpu: u64,
    /// Time that keeps its worker, but no CPU.
    pub held: u64,
    /// Time that keeps nobody.
    pub free: u64,
}

/// A client: its requests, each with how long after the answer to the one before it is sent; the first one from the beginning.
pub type Client = Vec<(u64, Job)>;

/// What there is to serve them.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// CPUs.
    pub cpus: usize,
    /// Workers; `None`: as many as are asked for.
    pub workers: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Then {
    /// The request is sent.
    Arrives,
    /// It leaves the CPU, with this much still to do.
    OffCpu(u64),
    /// It has waited for what keeps its worker.
    Waited,
    /// It is answered.
    Answered,
}

/// Latencies in nanoseconds, in the order of the answers.
pub fn simulate(server: Server, clients: &[Client]) -> Vec<u64> {
    Simulation::new(server, clients).run()
}

struct Simulation<'a> {
    clients: &'a [Client],
    /// Request that each client has sent last, and when.
    at: Vec<(usize, u64)>,
    due: BinaryHeap<Reverse<(u64, usize, Then)>>,
    free_cpus: usize,
    ready: VecDeque<(usize, u64)>,
    free_workers: Option<usize>,
    queue: VecDeque<usize>,
    latencies: Vec<u64>,
}

impl<'a> Simulation<'a> {
    fn new(server: Server, clients: &'a [Client]) -> Self {
        let first = |(client, jobs): (usize, &Client)| {
            jobs.first().map(|(at, _)| Reverse((*at, client, Then::Arrives)))
        };
        Self {
            clients,
            at: vec![(0, 0); clients.len()],
            due: clients.iter().enumerate().filter_map(first).collect(),
            free_cpus: server.cpus.max(1),
            ready: VecDeque::new(),
            free_workers: server.workers,
            queue: VecDeque::new(),
            latencies: Vec::new(),
        }
    }

    fn run(mut self) -> Vec<u64> {
        while let Some(Reverse((now, client, then))) = self.due.pop() {
            match then {
                Then::Arrives => {
                    self.at[client].1 = now;
                    self.take_up(now, client);
                }
                Then::OffCpu(left) => {
                    self.free_cpus += 1;
                    if left > 0 {
                        self.ready.push_back((client, left));
                    } else {
                        self.due.push(Reverse((now + self.job(client).held, client, Then::Waited)));
                    }
                    self.dispatch(now);
                }
                Then::Waited => {
                    if let Some(free) = &mut self.free_workers {
                        *free += 1;
                    }
                    self.due.push(Reverse((now + self.job(client).free, client, Then::Answered)));
                    if let Some(next) = self.queue.pop_front() {
                        self.take_up(now, next);
                    }
                }
                Then::Answered => self.answered(now, client),
            }
        }
        self.latencies
    }

    fn job(&self, client: usize) -> Job {
        self.clients[client].get(self.at[client].0).map_or_else(Job::default, |(_, job)| *job)
    }

    /// A worker takes the request up, or it waits for one.
    fn take_up(&mut self, now: u64, client: usize) {
        match &mut self.free_workers {
            Some(0) => return self.queue.push_back(client),
            Some(free) => *free -= 1,
            None => {}
        }
        let cpu = self.job(client).cpu;
        self.ready.push_back((client, cpu));
        self.dispatch(now);
    }

    /// Free CPUs take up who is ready.
    fn dispatch(&mut self, now: u64) {
        while self.free_cpus > 0
            && let Some((client, left)) = self.ready.pop_front()
        {
            self.free_cpus -= 1;
            let runs = left.min(SLICE);
            self.due.push(Reverse((now + runs, client, Then::OffCpu(left - runs))));
        }
    }

    fn answered(&mut self, now: u64, client: usize) {
        let (number, sent) = self.at[client];
        self.latencies.push(now - sent);
        self.at[client].0 = number + 1;
        if let Some((pause, _)) = self.clients[client].get(number + 1) {
            self.due.push(Reverse((now + pause, client, Then::Arrives)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn closed(clients: usize, requests: usize, job: Job) -> Vec<Client> {
        vec![vec![(0, job); requests]; clients]
    }

    fn mean(latencies: &[u64]) -> f64 {
        latencies.iter().sum::<u64>() as f64 / latencies.len() as f64
    }

    #[test]
    fn twelve_clients_on_two_cpus_wait_for_six_turns() {
        let latencies =
            simulate(Server { cpus: 2, workers: None }, &closed(12, 100, Job { cpu: MS, ..Job::default() }));
        assert_eq!(latencies.len(), 1_200);
        assert!((mean(&latencies) / MS as f64 - 6.0).abs() < 0.1);
    }

    #[test]
    fn two_workers_that_wait_make_requests_queue_and_many_do_not() {
        let clients = closed(32, 100, Job { held: 40 * MS, ..Job::default() });
        let few = simulate(Server { cpus: 2, workers: Some(2) }, &clients);
        assert!((mean(&few) / MS as f64 - 640.0).abs() < 30.0);
        let many = simulate(Server { cpus: 2, workers: None }, &clients);
        assert!((mean(&many) / MS as f64 - 40.0).abs() < 0.1);
    }

    #[test]
    fn a_client_that_pauses_leaves_the_server_alone() {
        let job = Job { cpu: MS, ..Job::default() };
        let latencies = simulate(
            Server { cpus: 1, workers: Some(1) },
            &[vec![(0, job), (9 * MS, job)], vec![(5 * MS, job)]],
        );
        assert_eq!(latencies, [MS, MS, MS]);
    }

    #[test]
    fn long_computing_takes_turns_with_short() {
        let long = vec![(0, Job { cpu: 300 * MS, ..Job::default() })];
        let short = vec![(MS, Job { cpu: MS, ..Job::default() })];
        let latencies = simulate(Server { cpus: 1, workers: None }, &[long, short]);
        assert!(latencies[0] <= 2 * SLICE, "{latencies:?}");
    }
}
