//! The project's own tasks: `cargo xtask TASK`. One file for each.

mod ci;
mod dashboard;
mod detect;
mod ebpf;
mod fuzz;
mod load_ceiling;
mod matrix;
mod overhead;
mod process;
mod replay_speed;
mod setup;
mod test;
mod tree;
mod truth;

use std::process::ExitCode;

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
    /// Measure what attaching costs busy servers
    Overhead(overhead::Args),
    /// Measure what the dashboard takes in a long run, or take its pictures
    Dashboard(dashboard::Args),
    /// Compare the load generator with wrk, to know what it can measure
    LoadCeiling(load_ceiling::Args),
    /// Hold what whywait finds against what the reference servers say about themselves
    Truth(truth::Args),
    /// Measure what recordings weigh and how fast they are replayed
    ReplaySpeed(replay_speed::Args),
    /// Feed every reader of bytes with what nobody meant it for
    Fuzz(fuzz::Args),
    /// Run the tests on other kernels, in virtual machines
    Matrix(matrix::Args),
    /// Do what the continuous integration does
    Ci,
}

fn main() -> ExitCode {
    let done = ExitCode::SUCCESS;
    let result = match Cli::parse().task {
        Task::Setup(args) => setup::run(&args).map(|()| done),
        Task::Ebpf(args) => ebpf::run(&args).map(|()| done),
        Task::Test(args) => test::run(&args).map(|()| done),
        Task::Overhead(args) => overhead::run(&args).map(|()| done),
        Task::Dashboard(args) => dashboard::run(&args).map(|()| done),
        Task::LoadCeiling(args) => load_ceiling::run(&args).map(|()| done),
        Task::Truth(args) => truth::run(&args).map(|()| done),
        Task::ReplaySpeed(args) => replay_speed::run(&args).map(|()| done),
        Task::Fuzz(args) => fuzz::run(&args).map(|()| done),
        Task::Matrix(args) => matrix::run(&args),
        Task::Ci => ci::run().map(|()| done),
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}
