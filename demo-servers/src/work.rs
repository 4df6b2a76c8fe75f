//! The work behind the routes, done by the thread that calls: what blocks here blocks that thread.
//!
//! Each kind plants a known amount of one kind of time into the request and reports how much it really was. Models
//! that can wait without blocking do `/sleep` and `/downstream` their own way and everything else here.

mod cpu;
mod disk;
pub mod downstream;
mod lock;
mod memory;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, MonotonicNs};
use crate::http::{CacheOutcome, Request, Response, Status};
use crate::routes::{self, Routed, Work};
use crate::server::Server;
use crate::truth::{Kind, Planted, Recorder};

pub use lock::LockHolder;

/// CPU time that an answer of `/cached` costs when it is not in memory.
pub const CACHE_MISS_COST: Duration = Duration::from_millis(2);

/// A finished piece of work.
#[derive(Debug, Clone)]
pub struct Done {
    /// What to answer.
    pub response: Response,
    /// What it took.
    pub planted: Planted,
}

impl Done {
    /// Work of one kind that took `time`.
    pub fn after(kind: Kind, time: Duration) -> Self {
        Self { response: Response::text(&b"done\n"[..]), planted: Planted { kind, time } }
    }

    /// An answer that needed no work.
    pub fn at_once(response: Response) -> Self {
        Self { response, planted: Planted::NOTHING }
    }

    /// A call to the upstream that took `time` and was answered with `status`, or failed.
    pub fn downstream(time: Duration, status: io::Result<u16>) -> Self {
        let mut done = Self::after(Kind::Downstream, time);
        match status {
            Ok(200) => {}
            Ok(status) => {
                let message = format!("the upstream answered with status {status}");
                done.response = Response::error(Status::BadGateway, &message);
            }
            Err(error) => {
                let message = format!(
                    "the upstream did not answer ({error}): check that --upstream names a running one"
                );
                done.response = Response::error(Status::BadGateway, &message);
            }
        }
        done
    }

    fn failed(what: &str, error: &io::Error) -> Self {
        Self::at_once(Response::error(Status::InternalServerError, &format!("{what} failed: {error}")))
    }
}

/// What one thread needs to work on requests: its scratch file, its connection to the upstream, its part of the
/// truth. Made by the thread that uses it.
#[derive(Debug)]
pub struct Worker {
    server: Arc<Server>,
    recorder: Recorder,
    scratch: disk::Scratch,
    upstream: Option<downstream::Client>,
}

impl Worker {
    /// For the calling thread.
    pub fn new(server: &Arc<Server>) -> Self {
        let config = server.config();
        Self {
            recorder: Recorder::new(server.truth()),
            scratch: disk::Scratch::new(config.scratch_dir()),
            upstream: config.upstream.map(downstream::Client::new),
            server: Arc::clone(server),
        }
    }

    /// Where this thread's finished requests are recorded.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// What a request asks for.
    pub fn route(&self, request: &Request) -> Routed {
        routes::route(request, self.server.mix())
    }

    /// Does the work and returns when it is done.
    pub fn perform(&mut self, work: &Work) -> Done {
        self.perform_in_steps(work, &mut || ())
    }

    /// As [`Self::perform`], and calls `between` all the time while it computes: where an interpreter would look whether
    /// it is to let another thread run.
    pub fn perform_in_steps(&mut self, work: &Work, between: &mut dyn FnMut()) -> Done {
        match *work {
            Work::Plaintext => Done::at_once(Response::text(&b"Hello, World!"[..])),
            Work::Json => Done::at_once(json()),
            Work::Cpu(time) => Done::after(Kind::OnCpu, cpu::burn(time, between)),
            Work::Sleep(time) => Done::after(Kind::Sleep, sleep(time)),
            Work::Lock(time) => match self.server.lock_holder().wait(time) {
                Ok(waited) => Done::after(Kind::Lock, waited),
                Err(error) => Done::failed("starting the lock holder", &error),
            },
            Work::Disk(bytes) => match off_cpu(|| self.scratch.write(bytes)) {
                (blocked, Ok(())) => Done::after(Kind::Disk, blocked),
                (_, Err(error)) => Done::failed("writing the scratch file in --dir", &error),
            },
            Work::Downstream(pause) => match &mut self.upstream {
                Some(upstream) => {
                    let began = MonotonicNs::now();
                    let status = upstream.sleep(pause);
                    Done::downstream(MonotonicNs::now().since(began), status)
                }
                None => Done::at_once(no_upstream()),
            },
            Work::Alloc(bytes) => match off_cpu(|| memory::touch(bytes)) {
                (blocked, Ok(())) => Done::after(Kind::PageFault, blocked),
                (_, Err(error)) => Done::failed("mapping memory", &error),
            },
            Work::Cached(ref key) => self.cached(key, between),
        }
    }

    fn cached(&self, key: &str, between: &mut dyn FnMut()) -> Done {
        let cache = self.server.cache();
        if let Some(answer) = cache.get(key) {
            let response = Response { cache: Some(CacheOutcome::Hit), ..Response::text(answer.to_vec()) };
            return Done::at_once(response);
        }
        let mut done = Done::after(Kind::OnCpu, cpu::burn(CACHE_MISS_COST, between));
        let answer = format!("answer for {key}\n").into_bytes();
        cache.put(key, &answer);
        done.response = Response { cache: Some(CacheOutcome::Miss), ..Response::text(answer) };
        done
    }
}

/// The response of `/downstream` to a server that was given no upstream.
pub fn no_upstream() -> Response {
    Response::error(Status::BadGateway, "this server has no upstream: start it with --upstream HOST:PORT")
}

/// Serialised for each request, as the `TechEmpower` rules want it.
fn json() -> Response {
    #[derive(serde::Serialize)]
    struct Message {
        message: &'static str,
    }
    match serde_json::to_vec(&Message { message: "Hello, World!" }) {
        Ok(body) => Response::json(body),
        Err(error) => Response::error(Status::InternalServerError, &format!("serialising failed: {error}")),
    }
}

/// Sleeps in `clock_nanosleep` and returns how long it really was.
fn sleep(time: Duration) -> Duration {
    let began = MonotonicNs::now();
    std::thread::sleep(time);
    MonotonicNs::now().since(began)
}

/// Runs `work` and returns the part of its wall time that the thread was not on a CPU.
fn off_cpu<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let (wall, cpu) = (MonotonicNs::now(), clock::thread_cpu());
    let result = work();
    let cpu = clock::thread_cpu().saturating_sub(cpu);
    (MonotonicNs::now().since(wall).saturating_sub(cpu), result)
}
