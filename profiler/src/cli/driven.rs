//! A server that is watched while it is under load.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result, bail};
use demo_servers::load::LoadReport;

use super::helper::Helper;
use crate::{
    observe::{Observation, Plan, observe},
    outlet::Outlets,
    platform::{
        signals::StopFlag,
        target::{TargetSpec, resolve},
    },
    probe::Options,
};

/// Time for the load generator to start, and for the last answers, for which it waits two seconds. The run ends with the load,
/// so that this only bounds one that does not come to an end.
const GRACE: Duration = Duration::from_secs(10);
/// The last records are in the kernel's buffer for no longer than this.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the load generator is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What came of it.
pub struct Driven {
    /// From inside.
    pub observation: Observation,
    /// From outside.
    pub load: LoadReport,
}

/// Somebody who measures the server as well.
pub trait Measure: Send {
    /// Called when everything is attached, before the load.
    fn begin(&mut self);
    /// Called now and then during the load.
    fn during(&mut self);
    /// Called after the last answer.
    fn end(&mut self);
}

impl Measure for () {
    fn begin(&mut self) {}
    fn during(&mut self) {}
    fn end(&mut self) {}
}

/// Watches the server while the load lasts: from before the first request until after the last answer. Others may measure it, or hear of it.
///
/// # Errors
/// When whywait cannot attach, the server ends, or the load generator does not report.
pub fn watch(
    server: &mut Helper,
    load: Helper,
    duration: Duration,
    stop: &StopFlag,
    (measure, outlets): (&mut dyn Measure, Option<Outlets>),
) -> Result<Driven> {
    let spec = TargetSpec { pids: vec![server.pid().0], children: true, ..TargetSpec::default() };
    let target = resolve(&spec)?;
    let over = StopFlag::new();
    let (tell, attached) = mpsc::channel();
    let plan = Plan {
        spec,
        options: Options::default(),
        duration: Some(duration + GRACE),
        // The slice in which system calls are counted (`observe/slice.rs`) must be well within the load.
        busy: Some(duration),
        attached: Box::new(move |_| {
            // Nobody listens any more only when the load's thread has failed, which is told when it is joined.
            let _sent = tell.send(());
        }),
        sink: None,
        record: None,
        outlets,
    };
    thread::scope(|scope| {
        let over = &over;
        let driver = scope.spawn(move || drive(load, server, &attached, (stop, over), measure));
        let observed = observe(target, plan, over);
        // Nothing is watched any more, so the load need not go on.
        over.set();
        let output =
            driver.join().unwrap_or_else(|_| bail!("the thread that watches the load generator failed"));
        Ok(Driven { observation: observed?, load: report(&output?)? })
    })
}

/// Lets the load run once whywait is attached, and ends the run when the load is over or somebody stops it.
fn drive(
    mut load: Helper,
    server: &mut Helper,
    attached: &mpsc::Receiver<()>,
    (stop, over): (&StopFlag, &StopFlag),
    measure: &mut dyn Measure,
) -> Result<String> {
    if attached.recv().is_err() {
        return Ok(String::new());
    }
    measure.begin();
    let started = load.go();
    let mut failed = false;
    if started.is_ok() {
        while !load.has_ended() && !over.is_set() && !failed && !stop.wait_timeout(POLL) {
            measure.during();
            failed = server.has_ended();
        }
    }
    let output = load.finish();
    measure.end();
    thread::sleep(SETTLE);
    over.set();
    started?;
    if failed {
        bail!("{server} ended in the middle of the load");
    }
    Ok(output)
}

fn report(output: &str) -> Result<LoadReport> {
    serde_json::from_str(output).with_context(|| {
        format!("the load generator did not report what it measured, but said: {}", output.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_shown() {
        let error = report("cannot connect\n").unwrap_err();
        assert!(format!("{error:#}").contains("but said: cannot connect"), "{error:#}");
    }
}
