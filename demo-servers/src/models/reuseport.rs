//! Several instances side by side: processes with an event loop and a listening socket each, all on the same port.
//!
//! With `SO_REUSEPORT` the kernel spreads new connections over the sockets by a hash of their addresses. Nothing at all
//! is shared between the instances: no accept lock, no queue, no memory.
//!
//! Who uses it: nginx with `listen … reuseport`, Envoy, `HAProxy`, "one shard for each core" servers such as `ScyllaDB`;
//! containers behind a load balancer are the same thing on several machines.
//!
//! Good at: using all CPUs for event loops, with the throughput of one instance times their number and not one lock in
//! between.
//!
//! Bad at: balance, again. The hash does not know who is busy: connections that were given to a blocked instance wait
//! for it although its neighbour idles, and those in the queue of one that dies are reset. A few long-lived connections
//! spread unevenly; each instance warms its own cache.

use anyhow::Result;

use super::event_loop;
use crate::config::Config;
use crate::net;
use crate::process::Notices;
use crate::server::Server;
use crate::supervisor::supervise;

/// Serves until SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<()> {
    let notices = Notices::hold()?;
    // The first socket picks the port, if that is free to choose, and is the first worker's.
    let first = net::listen_beside_others(config.port, config.backlog)?;
    net::announce(&first)?;
    let port = first.local_addr()?.port();
    let mut first = Some(first);
    supervise(
        notices,
        config,
        || first.take().map_or_else(|| net::listen_beside_others(port, config.backlog), Ok),
        |listener, config| event_loop::serve(&Server::start(listener, config)?),
    )
}
