//! Small servers, each with one way of using sockets that a profiler must see through.
//!
//! `test-server MODE ADDRESS`, where the address is `HOST:PORT`, `[HOST]:PORT` or `unix:PATH`. It prints the address that it
//! listens on and serves until it is killed.

mod listen;
mod modes;
mod serve;
mod transfer;
mod uring;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, address] = arguments.as_slice() else {
        eprintln!("usage: test-server MODE ADDRESS");
        return ExitCode::from(2);
    };
    match modes::run(mode, address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("test-server {mode}: {error}");
            ExitCode::FAILURE
        }
    }
}
