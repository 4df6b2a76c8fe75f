//! The project's own tasks: `cargo xtask TASK`. One file for each.

mod ci;
mod ebpf;
mod process;
mod setup;
mod test;
mod tree;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks for developing whywait", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install everything that development and the tests need on Debian 12
    Setup(setup::Args),
    /// Build the eBPF object and check it in
    Ebpf(ebpf::Args),
    /// Run every test of the workspace
    Test(test::Args),
    /// Do what the continuous integration does
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Ebpf(args) => ebpf::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Ci => ci::run(),
    }
}
