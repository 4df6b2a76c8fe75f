//! However whywait ends, nothing of it stays in the kernel and its target goes on undisturbed.

use std::thread;
use std::time::Duration;

use whywait_tests::{
    BpfKind, BpfObjects, Client, DemoServer, Signal, Whywait, kernel_test, thread_ids, wait_until,
};

/// A server under load, watched; what whywait has in the kernel meanwhile.
fn in_the_middle(end: impl FnOnce(Whywait)) {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let mut client = Client::connect(&server.address().to_string());
    // A server that answers has all its threads.
    client.ask("/plaintext");
    let threads = thread_ids(server.pid());
    let whywait = Whywait::on(server.pid());
    for _ in 0..200 {
        client.ask("/plaintext");
    }
    let objects = BpfObjects::held_by(whywait.pid());
    assert!(objects.count(BpfKind::Program) > 3, "programs of a running whywait: {objects:?}");
    assert!(objects.count(BpfKind::Link) > 3, "attached programs of a running whywait: {objects:?}");
    assert_eq!(objects.still_there(), objects, "the kernel knows what a running whywait holds");

    end(whywait);

    // The kernel frees programs and maps only after every CPU has left them.
    let gone = wait_until(Duration::from_secs(5), || objects.still_there().is_empty());
    assert!(gone, "left behind in the kernel: {:?}", objects.still_there());
    assert_eq!(client.ask("/plaintext"), b"Hello, World!", "the connection that whywait watched goes on");
    assert_eq!(Client::connect(&server.address().to_string()).ask("/plaintext"), b"Hello, World!");
    assert_eq!(thread_ids(server.pid()), threads, "the target's threads");
    assert!(server.stop().success(), "the target ends as it always does");
}

#[test]
fn sigkill_leaves_nothing() {
    in_the_middle(|whywait| {
        whywait.signal(Signal::KILL);
        let ended = whywait.end(Duration::ZERO);
        assert_eq!(ended.status.code(), None, "killed: {ended:?}");
        assert_eq!(ended.stdout, "", "no half report");
    });
}

/// Ctrl-C ends the watching early; the report is printed and whywait has done what it was asked for.
#[test]
fn sigint_prints_the_report() {
    in_the_middle(|whywait| whywait.stop().assert_exactly(200));
}

/// So does the signal by which a service manager stops it.
#[test]
fn sigterm_prints_the_report() {
    in_the_middle(|whywait| {
        thread::sleep(Duration::from_millis(100));
        whywait.signal(Signal::TERM);
        whywait.finish(Duration::ZERO).assert_exactly(200);
    });
}

/// A target that is killed while it is watched ends the watching, with a report.
#[test]
fn a_target_that_is_killed_is_reported() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("event-loop", &[]);
    let whywait = Whywait::on(server.pid());
    let mut client = Client::connect(&server.address().to_string());
    for _ in 0..50 {
        client.ask("/plaintext");
    }
    drop(client);
    server.stop();
    let report = whywait.finish(Duration::from_secs(5));
    assert!(report.target_ended, "the report says that the target ended");
    report.assert_exactly(50);
}
