//! The reference servers and the load generator inside this program: hidden commands, which `demo` starts as processes of
//! their own.

use std::{ffi::CString, process::ExitCode};

use anyhow::{Context, Result};
use demo_servers::{
    ServeArgs,
    load::{self, LoadArgs},
    serve,
    upstream::{self, UpstreamConfig},
};

use crate::{
    platform::{launch, signals::StopFlag},
    units::Pid,
};

/// Name of the hidden command that runs a reference server.
pub const SERVE: &str = "__serve";
/// Name of the hidden command that runs the server which `/downstream` asks.
pub const UPSTREAM: &str = "__upstream";
/// Name of the hidden command that makes load.
pub const LOAD: &str = "__load";

/// Name of the hidden command that takes CPU time.
pub const BURN: &str = "__burn";

/// How much CPU time to take.
#[derive(Debug, clap::Args)]
pub struct BurnArgs {
    /// Threads that do nothing else
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Arguments of a hidden command.
#[derive(Debug, clap::Args)]
pub struct Args<A: clap::Args> {
    /// The process that it belongs to, and ends with
    #[arg(long, value_name = "PID")]
    parent: u32,
    #[command(flatten)]
    own: A,
}

impl<A: clap::Args> Args<A> {
    fn end_with_parent(&self) -> Result<()> {
        launch::end_with(Pid(self.parent)).context("cannot see to it that this process ends with whywait")
    }
}

/// Gives this process a name that tells what it does: started through `/proc`, it would be called `exe` wherever it is shown.
fn call_it(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // It has a worse name then, and does the same.
    let _unnamed = rustix::thread::set_name(&name);
}

/// Serves until SIGTERM.
///
/// # Errors
/// Those of [`serve`].
pub fn run_server(args: &Args<ServeArgs>) -> Result<ExitCode> {
    args.end_with_parent()?;
    call_it(args.own.model.id());
    serve(args.own.model, &args.own.config)?;
    Ok(ExitCode::SUCCESS)
}

/// Serves until SIGTERM.
///
/// # Errors
/// Those of [`upstream::serve`].
pub fn run_upstream(args: &Args<UpstreamConfig>) -> Result<ExitCode> {
    args.end_with_parent()?;
    call_it("upstream");
    upstream::serve(&args.own)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes CPU time until SIGTERM.
///
/// # Errors
/// When the signal cannot be watched for.
pub fn run_burn(args: &Args<BurnArgs>) -> Result<ExitCode> {
    args.end_with_parent()?;
    call_it("noisy-neighbour");
    let stop = StopFlag::install().context("cannot watch for SIGTERM")?;
    let flag = &stop.flag();
    std::thread::scope(|scope| {
        for _ in 0..args.own.threads {
            scope.spawn(|| {
                while !flag.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
    });
    Ok(ExitCode::SUCCESS)
}

/// Makes load until it is over, or SIGTERM ends it early.
///
/// # Errors
/// Those of [`load::run_and_print`].
pub fn run_load(args: &Args<LoadArgs>) -> Result<ExitCode> {
    args.end_with_parent()?;
    call_it("load");
    let stop = StopFlag::install().context("cannot watch for SIGTERM")?;
    load::run_and_print(&args.own, &stop.flag())?;
    Ok(ExitCode::SUCCESS)
}
