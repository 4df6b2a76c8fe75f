//! Exactness: what whywait finds is what the client counts.

use crate::demo::Load;
use crate::report::Report;
use crate::settings::slow;
use crate::whywait::Whywait;

/// Watches a process while a load runs on it, and checks that exactly what was answered was found, with nothing lost. Half of
/// what the load offers must be answered, or that would prove little.
pub fn measure(pid: u32, load: &Load) -> Report {
    let whywait = Whywait::on(pid);
    let answered = load.run().requests;
    let offered = load.offered();
    let least = if slow() { offered / 10 } else { offered / 2 };
    assert!(answered >= least, "only {answered} of {offered} requests were answered");
    let report = whywait.stop();
    println!("{answered} of {offered} requests answered, {} found", report.requests.count);
    report.assert_exactly(answered);
    report
}
