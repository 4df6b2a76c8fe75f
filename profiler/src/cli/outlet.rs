//! Options by which a run tells other programs what it measures while it goes on.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use super::duration::seconds;
use crate::outlet::{ListenAddress, OutletPlan, Outlets, ReceiverUrl};

/// Outlets of a live run.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Outlets")]
pub struct OutletArgs {
    /// Serve metrics for Prometheus at `http://ADDR/metrics` (docs/outlets.md); HOST:PORT, or :9464 for the loopback interface
    #[arg(long, value_name = "ADDR")]
    prometheus: Option<ListenAddress>,
    /// Send metrics, and spans of the slowest and some other requests, to this receiver of OTLP by HTTP, such as `http://localhost:4318`
    #[arg(long, value_name = "URL")]
    otlp: Option<ReceiverUrl>,
    /// How often
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10", requires = "otlp")]
    otlp_interval: Duration,
}

impl OutletArgs {
    /// Opens the outlets that are asked for, if any are. What a user should know of them goes to standard error.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn open(self) -> Result<Option<Outlets>> {
        self.open_with(|what| eprintln!("{what}"))
    }

    /// The same where standard error is the screen: what a user should know goes to the log.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn open_behind_the_screen(self) -> Result<Option<Outlets>> {
        self.open_with(|what| log::info!("{what}"))
    }

    fn open_with(self, tell: impl Fn(String) + Send + Sync + 'static) -> Result<Option<Outlets>> {
        let interval = self.otlp_interval;
        let plan = OutletPlan { prometheus: self.prometheus, otlp: self.otlp.map(|url| (url, interval)) };
        Ok(Outlets::open(plan, Arc::new(tell))?)
    }
}
