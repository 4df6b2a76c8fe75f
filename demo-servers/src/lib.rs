//! Reference servers, one for each way of handling many requests at once, and the load generator that drives them.
//!
//! All servers speak the same HTTP ([`http`]), serve the same routes ([`routes`]) and do the same work ([`work`]);
//! only the files under [`models`] differ. Each server can tell the truth about itself ([`truth`]): how much time it
//! really planted into each request, on what, on which thread.
//!
//! ```text
//!          models: one file for each ◀── supervisor, process (those that fork)
//!      │ blocking        │ coroutines   │ tasks    │ readiness   │ completion
//!      ▼                 ▼              ▼          ▼             ▼
//!  connection ◀──────  green          tasks     reactor         ring
//!      └─────────────┬──────────────────┴───────────┴────────────┘
//!                    ▼
//!      dialogue ▶ http ▶ routes ▶ work, truth (file, probes)
//! ```

pub mod cache;
pub mod clock;
pub mod config;
pub mod connection;
pub mod dialogue;
pub mod green;
pub mod http;
pub mod load;
pub mod models;
pub mod net;
pub mod process;
pub mod queue;
pub mod reactor;
pub mod ring;
pub mod rng;
pub mod routes;
pub mod server;
pub mod supervisor;
pub mod tasks;
pub mod truth;
pub mod upstream;
pub mod work;

pub use config::Config;
pub use models::Model;

/// What to serve and how: the arguments of the command `serve`.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct ServeArgs {
    /// The concurrency model (see the command `list`)
    pub model: Model,
    /// The options, the same for every model.
    #[command(flatten)]
    pub config: Config,
}

/// Runs a reference server until SIGTERM or SIGINT.
///
/// Prints `listening 127.0.0.1:PORT` on standard output once it accepts connections. Takes over both signals for the
/// process. Threads that are still busy half a second after the signal are left behind: the caller is expected to exit.
///
/// # Errors
/// When the port cannot be had, the truth file not be written, or threads not be started.
pub fn serve(model: Model, config: &Config) -> anyhow::Result<()> {
    model.run(config)
}
