//! The registry of concurrency models: one file each, all serving the same routes, so that what differs between two
//! servers is the model alone.

pub mod async_multi;
pub mod async_single;
pub mod event_loop;
pub mod green_threads;
pub mod io_uring;
pub mod iterative;
pub mod thread_per_connection;
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
    pub const ALL: [Self; 8] = [
        Self::Iterative,
        Self::ThreadPerConnection,
        Self::ThreadPool,
        Self::EventLoop,
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
