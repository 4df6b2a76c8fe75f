//! Names of the concurrency models.

use serde::{Serialize, Serializer};

/// A concurrency model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ModelId {
    /// One thread serves one connection after the other, and blocks in it.
    Iterative,
    /// A thread serves a connection from beginning to end.
    ThreadPerConnection,
    /// A thread is created for each request.
    ThreadPerRequest,
    /// A fixed set of threads takes connections, or requests, from a queue.
    ThreadPool,
    /// One thread waits for events of all connections and serves them without blocking.
    EventLoop,
    /// An event loop that hands work to a pool of threads.
    EventLoopWithPool,
    /// Several threads of one process each wait for events, and tasks move between them.
    AsyncMultiThread,
    /// Several processes, started beforehand, share the listening socket, one thread each.
    Prefork,
    /// The same with several threads in each process.
    PreforkThreads,
    /// A process is created for each connection.
    ProcessPerConnection,
    /// A process is created for each request.
    ProcessPerRequest,
    /// Several instances, each with a listening socket of its own on the same port.
    ReuseportShards,
    /// Many stacks on one thread, switched in user space where blocking calls would be.
    GreenThreads,
    /// Nothing that was seen fits a model, or there was too little of it.
    #[default]
    Unknown,
}

impl ModelId {
    /// Its name in the JSON.
    pub fn id(self) -> &'static str {
        match self {
            Self::Iterative => "iterative",
            Self::ThreadPerConnection => "thread_per_connection",
            Self::ThreadPerRequest => "thread_per_request",
            Self::ThreadPool => "thread_pool",
            Self::EventLoop => "event_loop",
            Self::EventLoopWithPool => "event_loop_with_pool",
            Self::AsyncMultiThread => "async_multi_thread",
            Self::Prefork => "prefork",
            Self::PreforkThreads => "prefork_threads",
            Self::ProcessPerConnection => "process_per_connection",
            Self::ProcessPerRequest => "process_per_request",
            Self::ReuseportShards => "reuseport_shards",
            Self::GreenThreads => "green_threads",
            Self::Unknown => "unknown",
        }
    }

    /// Its name for people, as the object of "it is".
    pub fn words(self) -> &'static str {
        match self {
            Self::Iterative => "one blocking thread, one connection at a time",
            Self::ThreadPerConnection => "a thread for each connection",
            Self::ThreadPerRequest => "a thread for each request",
            Self::ThreadPool => "a pool of threads",
            Self::EventLoop => "an event loop",
            Self::EventLoopWithPool => "an event loop with a pool of threads",
            Self::AsyncMultiThread => "tasks over several threads",
            Self::Prefork => "processes that share the listening socket",
            Self::PreforkThreads => "processes with threads that share the listening socket",
            Self::ProcessPerConnection => "a process for each connection",
            Self::ProcessPerRequest => "a process for each request",
            Self::ReuseportShards => "instances with a listening socket each",
            Self::GreenThreads => "green threads over an event loop",
            Self::Unknown => "a model that is not known",
        }
    }
}

impl Serialize for ModelId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
