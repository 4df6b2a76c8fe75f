//! The registry of concurrency models: one file each, all serving the same routes, so that what differs between two
//! servers is the model alone.

pub mod async_multi;
pub mod async_single;
pub mod event_loop;
pub mod event_loop_pool;
pub mod fork_per_connection;
pub mod gil;
pub mod green_threads;
pub mod io_uring;
pub mod iterative;
pub mod prefork;
pub mod prefork_threads;
pub mod reuseport;
pub mod thread_per_connection;
pub mod thread_per_request;
pub mod thread_pool;

use std::fmt;
use std::str::FromStr;

use crate::config::Config;
use crate::ring::Ring;

/// A way for a server to handle many requests at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// See [`iterative`].
    Iterative,
    /// See [`thread_per_connection`].
    ThreadPerConnection,
    /// See [`thread_pool`].
    ThreadPool,
    /// See [`event_loop`].
    EventLoop,
    /// See [`thread_per_request`].
    ThreadPerRequest,
    /// See [`event_loop_pool`].
    EventLoopPool,
    /// See [`prefork`].
    Prefork,
    /// See [`prefork_threads`].
    PreforkThreads,
    /// See [`fork_per_connection`].
    ForkPerConnection,
    /// See [`reuseport`].
    Reuseport,
    /// See [`gil`].
    Gil,
    /// See [`async_multi`].
    Async,
    /// See [`async_single`].
    AsyncSingle,
    /// See [`green_threads`].
    GreenThreads,
    /// See [`io_uring`].
    IoUring,
}

/// The name is not that of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no model {name:?}: choose one of {}", Model::ALL.map(Model::id).join(", "))]
pub struct UnknownModel {
    name: String,
}

impl Model {
    /// Every model, simplest first.
    pub const ALL: [Self; 15] = [
        Self::Iterative,
        Self::ThreadPerConnection,
        Self::ThreadPool,
        Self::EventLoop,
        Self::ThreadPerRequest,
        Self::EventLoopPool,
        Self::Prefork,
        Self::PreforkThreads,
        Self::ForkPerConnection,
        Self::Reuseport,
        Self::Gil,
        Self::Async,
        Self::AsyncSingle,
        Self::GreenThreads,
        Self::IoUring,
    ];

    /// The name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Iterative => "iterative",
            Self::ThreadPerConnection => "thread-per-connection",
            Self::ThreadPool => "thread-pool",
            Self::EventLoop => "event-loop",
            Self::ThreadPerRequest => "thread-per-request",
            Self::EventLoopPool => "event-loop-pool",
            Self::Prefork => "prefork",
            Self::PreforkThreads => "prefork-threads",
            Self::ForkPerConnection => "fork-per-connection",
            Self::Reuseport => "reuseport",
            Self::Gil => "gil",
            Self::Async => "async",
            Self::AsyncSingle => "async-single",
            Self::GreenThreads => "green-threads",
            Self::IoUring => "io-uring",
        }
    }

    /// What it is, in one line.
    pub fn description(self) -> &'static str {
        match self {
            Self::Iterative => "one blocking thread, one connection at a time (a Gunicorn sync worker)",
            Self::ThreadPerConnection => "a thread for each connection (classic Java, MySQL)",
            Self::ThreadPool => "an acceptor, a bounded queue, N worker threads (Java executors, Tomcat)",
            Self::EventLoop => "one thread with epoll that never waits for one client (Node.js, Redis)",
            Self::ThreadPerRequest => {
                "a thread for each request, kept connections or not (what pools were invented against)"
            }
            Self::EventLoopPool => {
                "an event loop that hands blocking work to a pool (Node.js with libuv's threads)"
            }
            Self::Prefork => {
                "N processes that share a socket, one connection each (Gunicorn sync, Apache prefork)"
            }
            Self::PreforkThreads => "N processes with M threads each (Gunicorn gthread, Apache worker)",
            Self::ForkPerConnection => "a process for each connection (PostgreSQL, inetd)",
            Self::Reuseport => {
                "N event loops in processes of their own, each with its socket (nginx reuseport)"
            }
            Self::Gil => "a thread for each connection, one of which may run at a time (CPython)",
            Self::Async => "a task for each connection, on a few threads that share them (tokio, Go)",
            Self::AsyncSingle => "a task for each connection, all on one thread (asyncio, uvicorn)",
            Self::GreenThreads => {
                "a coroutine with its own stack for each connection, on one thread (gevent)"
            }
            Self::IoUring => "one thread that queues whole operations and reaps their results (io_uring)",
        }
    }

    /// Whether this kernel, as it is set up, has what the model needs; an error says what is missing.
    pub fn check(self) -> anyhow::Result<()> {
        match self {
            Self::IoUring => Ring::<()>::new().map(drop),
            _ => Ok(()),
        }
    }

    /// Serves until SIGTERM or SIGINT.
    pub(crate) fn run(self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Iterative => iterative::run(config),
            Self::ThreadPerConnection => thread_per_connection::run(config),
            Self::ThreadPool => thread_pool::run(config),
            Self::EventLoop => event_loop::run(config),
            Self::ThreadPerRequest => thread_per_request::run(config),
            Self::EventLoopPool => event_loop_pool::run(config),
            Self::Prefork => prefork::run(config),
            Self::PreforkThreads => prefork_threads::run(config),
            Self::ForkPerConnection => fork_per_connection::run(config),
            Self::Reuseport => reuseport::run(config),
            Self::Gil => gil::run(config),
            Self::Async => async_multi::run(config),
            Self::AsyncSingle => async_single::run(config),
            Self::GreenThreads => green_threads::run(config),
            Self::IoUring => io_uring::run(config),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Model {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|model| model.id() == name)
            .ok_or_else(|| UnknownModel { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_models_belong_to_each_other() {
        for model in Model::ALL {
            assert_eq!(model.id().parse(), Ok(model));
        }
        let error = "threads".parse::<Model>().unwrap_err().to_string();
        assert!(error.contains("iterative, thread-per-connection"), "{error}");
    }
}
