//! The dashboard with nothing in it, and a thread that panics: what becomes of the terminal?

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use whywait::live::Snapshot;
use whywait::top::{Theme, run};

fn main() -> std::io::Result<()> {
    let (publisher, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    thread::spawn(move || {
        let _alive = publisher;
        thread::sleep(Duration::from_secs(1));
        panic!("a planted panic");
    });
    run(snapshots, Theme::of_terminal(None), 10, &mut |_| None)
}
