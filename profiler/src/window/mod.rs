//! What a span of time adds up to: requests by latency, route and process; threads and their switches. Pure.

mod book;
mod books;
mod overlap;
mod series;
mod threads;

use whywait_ebpf::abi::born;

pub use book::{Book, Bucket, GROUPING, index, lower};
pub use series::Point;
pub use threads::{Threads, Usage};

use books::Books;
use series::Series;

use crate::{
    clock::{Request, StartedAt},
    decode::{Event, Taken, What},
    units::{Ns, Pid},
};
pub(crate) use overlap::Overlap;

/// Name of the routes that are not kept apart.
pub const OTHER_ROUTES: &str = "(other routes)";

/// A span of time, and what happened in it.
#[derive(Debug)]
pub struct Window {
    begin: Ns,
    end: Ns,
    books: Books,
    in_flight: Overlap,
    in_flight_over_time: Series,
    ended_over_time: Series,
    threads: Threads,
    touched_by_loss: u64,
    without_arrival: u64,
    events: u64,
}

impl Window {
    /// A window that begins at `begin` and has no end yet.
    pub fn new(begin: Ns) -> Self {
        Self {
            begin,
            end: begin,
            books: Books::default(),
            in_flight: Overlap::default(),
            in_flight_over_time: Series::new(begin),
            ended_over_time: Series::new(begin),
            threads: Threads::new(begin),
            touched_by_loss: 0,
            without_arrival: 0,
            events: 0,
        }
    }

    /// Ends the window, and begins the one that follows at once.
    #[must_use]
    pub fn turn(&mut self, at: Ns) -> Self {
        let next = Self { threads: self.threads.renewed(at), ..Self::new(at) };
        let mut past = std::mem::replace(self, next);
        past.end = at.max(past.begin);
        past.threads.turn(past.end);
        past
    }

    /// Takes an event.
    pub fn event(&mut self, event: &Event) {
        self.events += 1;
        self.end = self.end.max(event.at);
        match &event.what {
            What::OffCpu(interval) => self.threads.off_cpu(event, interval),
            What::Thread(thread) => self.threads.named(event, thread, thread.how == born::NEW),
            What::ThreadEnd => self.threads.ended(event),
            What::Stack(stack) if stack.taken == Taken::OnCpu => self.threads.sampled(event),
            What::Socket { .. } | What::Conn(_) | What::SockState(_) | What::Stack(_) => {}
        }
    }

    /// Takes a finished request. One that began before the window counts: it was seen whole.
    pub fn request(&mut self, request: &Request) {
        self.books.add(request.pid, request.route.as_ref(), request.latency(), &request.times);
        let start = request.start.max(self.begin);
        self.in_flight.add(start, request.end);
        self.in_flight_over_time.add(start, request.end);
        self.ended_over_time.count(request.end);
        self.touched_by_loss += u64::from(request.touched_by_loss);
        self.without_arrival += u64::from(request.started_at == StartedAt::Read);
    }

    /// Ends the window.
    pub fn close(&mut self, end: Ns) {
        self.end = end.max(self.begin);
        self.threads.close(self.end);
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        self.end.since(self.begin) as f64 / 1e9
    }

    /// When it began and ended.
    pub fn span(&self) -> (Ns, Ns) {
        (self.begin, self.end)
    }

    /// How many requests there are.
    pub fn count(&self) -> u64 {
        self.books.count()
    }

    /// All requests.
    pub fn all(&self) -> Book {
        self.books.all()
    }

    /// Requests by route, where they have one, in no order.
    pub fn routes(&self) -> impl Iterator<Item = (&str, Book)> {
        self.books.routes()
    }

    /// Requests by the process that read them, in no order.
    pub fn processes(&self) -> impl ExactSizeIterator<Item = (Pid, Book)> {
        self.books.processes()
    }

    /// Threads and their time.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Requests in flight: mean over the window, and the most at once.
    pub fn concurrency(&self) -> (f64, usize) {
        self.in_flight.mean_and_max(self.begin, self.end)
    }

    /// Threads of the target on a CPU at once: mean over the window, and the most.
    pub fn parallelism(&self) -> (f64, usize) {
        self.threads.running().mean_and_max(self.begin, self.end)
    }

    /// Both over time, in at most 60 parts.
    pub fn over_time(&self) -> Vec<Point> {
        let running = self.threads.running_over_time();
        series::points(&self.in_flight_over_time, running, &self.ended_over_time, self.end)
    }

    /// Requests that a lost record may have been about.
    pub fn touched_by_loss(&self) -> u64 {
        self.touched_by_loss
    }

    /// Requests whose arrival is not known, so that they begin with their first read.
    pub fn without_arrival(&self) -> u64 {
        self.without_arrival
    }

    /// Events taken.
    pub fn events(&self) -> u64 {
        self.events
    }
}
