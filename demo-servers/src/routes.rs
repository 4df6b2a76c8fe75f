//! The routes that every model serves: what a request asks for, with every parameter checked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::http::{Request, Response, Status};
use crate::rng::SplitMix64;

/// Longest `/cpu?us=` and `/lock?us=`: 10 s.
pub const MAX_MICROS: u64 = 10_000_000;
/// Longest `/sleep?ms=` and `/downstream?ms=`: 60 s.
pub const MAX_MILLIS: u64 = 60_000;
/// Largest `/disk?bytes=`: 64 MiB.
pub const MAX_DISK: u64 = 64 << 20;
/// Largest `/alloc?bytes=`: 1 GiB.
pub const MAX_ALLOC: u64 = 1 << 30;
/// Longest `/cached?key=`.
pub const MAX_KEY: usize = 128;

/// The work that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// `/plaintext`: the `TechEmpower` text.
    Plaintext,
    /// `/json`: the `TechEmpower` object.
    Json,
    /// `/cpu?us=`: compute for this much CPU time.
    Cpu(Duration),
    /// `/sleep?ms=`: wait in a timer.
    Sleep(Duration),
    /// `/lock?us=`: wait for a mutex that another thread holds for about that long.
    Lock(Duration),
    /// `/disk?bytes=`: write that much to a file and wait until it is on the device.
    Disk(u64),
    /// `/downstream?ms=`: wait for another server, which sleeps for that long.
    Downstream(Duration),
    /// `/alloc?bytes=`: touch that much fresh memory.
    Alloc(u64),
    /// `/cached?key=`: compute an answer once, then serve it from memory.
    Cached(String),
}

/// A request's route and what is to be done for it.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The path without parameters, as the truth file names it.
    pub route: &'static str,
    /// The work, or the response that refuses it.
    pub work: Result<Work, Response>,
}

/// Finds the work for a request. `mix` decides what `/mix` stands for this time.
pub fn route(request: &Request, mix: &Mix) -> Routed {
    let query = Query(&request.query);
    let (route, work) = match request.path.as_str() {
        "/plaintext" => ("/plaintext", Ok(Work::Plaintext)),
        "/json" => ("/json", Ok(Work::Json)),
        "/cpu" => ("/cpu", query.micros().map(Work::Cpu)),
        "/sleep" => ("/sleep", query.millis().map(Work::Sleep)),
        "/lock" => ("/lock", query.micros().map(Work::Lock)),
        "/disk" => ("/disk", query.number("bytes", MAX_DISK).map(Work::Disk)),
        "/downstream" => ("/downstream", query.millis().map(Work::Downstream)),
        "/alloc" => ("/alloc", query.number("bytes", MAX_ALLOC).map(Work::Alloc)),
        "/mix" => ("/mix", Ok(mix.draw())),
        "/cached" => ("/cached", query.key().map(Work::Cached)),
        _ => ("unknown", Err(Response::error(Status::NotFound, "no such route"))),
    };
    Routed { route, work }
}

/// The parameters of a request.
struct Query<'r>(&'r str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|&(key, _)| key == name)
            .map(|(_, value)| value)
    }

    fn number(&self, name: &str, max: u64) -> Result<u64, Response> {
        match self.get(name).map(str::parse) {
            Some(Ok(value)) if value <= max => Ok(value),
            _ => Err(Response::error(
                Status::BadRequest,
                &format!("this route needs a parameter {name}=N with N from 0 to {max}"),
            )),
        }
    }

    fn micros(&self) -> Result<Duration, Response> {
        self.number("us", MAX_MICROS).map(Duration::from_micros)
    }

    fn millis(&self) -> Result<Duration, Response> {
        self.number("ms", MAX_MILLIS).map(Duration::from_millis)
    }

    fn key(&self) -> Result<String, Response> {
        match self.get("key") {
            Some(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(key.to_owned()),
            _ => Err(Response::error(
                Status::BadRequest,
                &format!("this route needs a parameter key=K of 1 to {MAX_KEY} bytes"),
            )),
        }
    }
}

/// `/mix`: the n-th request of a process always stands for the same work, whoever serves it.
#[derive(Debug)]
pub struct Mix {
    seed: u64,
    drawn: AtomicU64,
    upstream: bool,
}

impl Mix {
    /// A mixture from `seed`, with calls to an upstream if there is one.
    pub fn new(seed: u64, upstream: bool) -> Self {
        Self { seed, drawn: AtomicU64::new(0), upstream }
    }

    fn draw(&self) -> Work {
        self.nth(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Shares and sizes of a plain web application: mostly quick answers, some work, a few waits of each kind.
    fn nth(&self, n: u64) -> Work {
        let mut rng = SplitMix64::new(self.seed.wrapping_add(n.wrapping_mul(0xA076_1D64_78BD_642F)));
        let mut between = |low, high| low + rng.below(high - low + 1);
        match between(0, 99) {
            0..40 => Work::Plaintext,
            40..55 => Work::Json,
            55..75 => Work::Cpu(Duration::from_micros(between(100, 1000))),
            75..83 => Work::Sleep(Duration::from_millis(between(1, 5))),
            83..88 => Work::Lock(Duration::from_micros(between(200, 1000))),
            88..91 => Work::Disk(between(4, 64) << 10),
            91..94 => Work::Alloc(between(64, 1024) << 10),
            94..97 => Work::Cached(format!("mix-{}", between(0, 15))),
            _ if self.upstream => Work::Downstream(Duration::from_millis(between(1, 5))),
            _ => Work::Plaintext,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;

    fn ask(path: &str, query: &str) -> Result<Work, Status> {
        let request = Request {
            method: Method::Get,
            path: path.to_owned(),
            query: query.to_owned(),
            keep_alive: true,
            http_1_0: false,
            body_bytes: 0,
        };
        route(&request, &Mix::new(1, false)).work.map_err(|response| response.status)
    }

    #[test]
    fn parameters_are_found_among_others() {
        assert_eq!(ask("/cpu", "a=1&us=250&b"), Ok(Work::Cpu(Duration::from_micros(250))));
        assert_eq!(ask("/cached", "key=k"), Ok(Work::Cached("k".to_owned())));
    }

    #[test]
    fn parameters_out_of_bounds_are_refused() {
        for (path, query) in [
            ("/cpu", "us=10000001"),
            ("/cpu", ""),
            ("/cpu", "us=-1"),
            ("/sleep", "ms=60001"),
            ("/lock", "us=x"),
            ("/disk", "bytes=67108865"),
            ("/alloc", "bytes=1073741825"),
            ("/downstream", "us=1"),
            ("/cached", "key="),
        ] {
            assert_eq!(ask(path, query), Err(Status::BadRequest), "{path}?{query}");
        }
        assert_eq!(ask("/cpu", "us=10000000"), Ok(Work::Cpu(Duration::from_secs(10))));
        assert_eq!(ask("/", ""), Err(Status::NotFound));
    }

    /// The same seed gives the same mixture; without an upstream nothing in it calls one.
    #[test]
    fn the_mixture_is_deterministic() {
        let draw = |seed, upstream| {
            let mix = Mix::new(seed, upstream);
            (0..1000).map(|_| mix.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, true), draw(7, true));
        assert_ne!(draw(7, true), draw(8, true));
        let calls =
            |works: Vec<Work>| works.iter().filter(|work| matches!(work, Work::Downstream(_))).count();
        assert_eq!(calls(draw(7, false)), 0);
        assert!(calls(draw(7, true)) > 10);
    }
}
