//! Every request that whywait finds, one by one: its reports only have sums.

use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use whywait::clock::Request;
use whywait::observe::{Plan, observe};
use whywait::platform::signals::StopFlag;
use whywait::platform::target::{TargetSpec, resolve};
use whywait::probe::Options;

use crate::settings::patience;

/// How long attaching may take.
const ATTACH: Duration = Duration::from_secs(20);
/// How long a record may be on its way: the client has its answer before the server's write has returned.
const SETTLE: Duration = Duration::from_millis(100);

/// A run of whywait in this process.
#[derive(Debug)]
pub struct RequestLog {
    stop: StopFlagOnDrop,
    requests: Receiver<Request>,
    thread: JoinHandle<u64>,
}

/// Ends the run also when the test fails.
struct StopFlagOnDrop(StopFlag);

impl std::fmt::Debug for StopFlagOnDrop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StopFlag({})", self.0.is_set())
    }
}

impl Drop for StopFlagOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl RequestLog {
    /// Watches a process and its children, and returns when it is attached.
    pub fn on(pid: u32) -> Self {
        let stop = StopFlag::new();
        let (sender, requests) = mpsc::channel();
        let (tell, attached) = mpsc::channel();
        let until = stop.clone();
        let thread = thread::spawn(move || {
            let spec = TargetSpec { pids: vec![pid], children: true, ..TargetSpec::default() };
            let target = resolve(&spec).expect("finding the server");
            let plan = Plan {
                spec,
                options: Options::default(),
                duration: None,
                busy: None,
                attached: Box::new(move |_| tell.send(()).expect("the test waits for this")),
                // The test has ended early only when it has failed.
                sink: Some(Box::new(move |request: &Request| drop(sender.send(request.clone())))),
                record: None,
                outlets: None,
            };
            observe(target, plan, &until).expect("attaching").facts.loss.total()
        });
        let log = Self { stop: StopFlagOnDrop(stop), requests, thread };
        attached.recv_timeout(patience(ATTACH)).expect("whywait attaches in time");
        log
    }

    /// Ends the run, in which nothing may have been lost, and returns the requests in the order in which they were finished.
    pub fn stop(self) -> Vec<Request> {
        thread::sleep(patience(SETTLE));
        self.stop.0.set();
        let lost = self.thread.join().expect("whywait measures");
        assert_eq!(lost, 0, "lost records");
        self.requests.into_iter().collect()
    }
}
