//! The dashboard in a terminal: what is to be seen on a live server, and that the terminal is whole afterwards.

use std::thread;
use std::time::{Duration, Instant};

use whywait_tests::{
    DemoServer, Load, Screen, Signal, kernel_test, panicking_dashboard, patience, slow, whywait_path,
};

const SIZE: (u16, u16) = (120, 40);
/// How long the answer may take, from Enter on: two seconds on a quiet machine.
const ANSWER: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(10);

/// A load on a lock, in the background, for so many seconds.
fn lock_load(server: &DemoServer, seconds: u32) -> thread::JoinHandle<()> {
    let load = Load::new(server.url("/lock?us=5000"), 60, seconds).connections(8).close();
    thread::spawn(move || {
        load.run();
    })
}

fn start(screen: &Screen, args: &str) -> Instant {
    screen.command(&format!("{} top {args}", whywait_path().display()));
    Instant::now()
}

/// The answer comes by itself; every screen shows what it is for; any key can be pressed on any of them; sizes change; sleep and waking up;
/// the end.
#[test]
fn a_live_server_in_the_dashboard() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("live", SIZE) else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let load = lock_load(&server, 40);
    let begun = start(&screen, &format!("-p {}", server.pid()));
    screen.wait_for("waiting for a lock", ANSWER);
    println!("the answer was there after {:?}", begun.elapsed());
    assert!(slow() || begun.elapsed() < ANSWER);

    for (key, text) in [
        ("2", "GET /lock"),
        ("3", "worker-0"),
        ("4", "in line"),
        ("5", "futex"),
        ("6", "Waits for a CPU"),
        ("7", "127.0.0.1"),
        ("0", "nothing was lost"),
        ("?", "Letters in the charts"),
        ("1", "Where request time goes"),
    ] {
        screen.key(key);
        screen.wait_for(text, SOON);
    }
    screen.key("e");
    screen.wait_for("A request spends its time", SOON);
    screen.key("Escape");
    screen.key("2");
    screen.wait_for("Slowest requests", SOON);
    screen.key("Enter");
    screen.wait_for("read by", SOON);
    screen.key("Escape");

    for number in "12345670".chars() {
        for key in
            ["Space", "[", "]", "Left", "Right", "+", "-", "Up", "Down", "PageDown", "PageUp", "o", "Enter"]
        {
            screen.key(&number.to_string());
            screen.key(key);
        }
        for key in ["/", "x", "Escape", "Escape", "Tab", "BTab", "?", "Escape", "e", "Escape", "Escape"] {
            screen.key(key);
        }
    }
    screen.key("1");
    screen.wait_for("Where request time goes", SOON);

    screen.resize((60, 20));
    screen.wait_for("whywait needs 80", SOON);
    for size in [(80, 24), (200, 60), SIZE] {
        screen.resize(size);
        screen.wait_for("Where request time goes", SOON);
    }

    screen.key("C-z");
    screen.assert_whole();
    screen.command("clear; fg");
    screen.wait_for("Where request time goes", SOON);
    screen.key("q");
    screen.assert_whole();
    load.join().expect("the load");
}

/// The target is killed: the screen says so and stays. Somebody listens on its port again: the screen says that, too.
#[test]
fn the_target_ends_and_comes_back() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("restart", SIZE) else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let port = server.address().port();
    start(&screen, &format!("--port {port}"));
    screen.wait_for(&format!("port {port}"), ANSWER);
    screen.wait_for("No request was answered", SOON);
    server.kill();
    screen.wait_for("HAS ENDED, waiting for somebody on port", SOON);
    let server = DemoServer::start_on("thread-pool", port);
    let load = lock_load(&server, 8);
    screen.wait_for("waiting for a lock", patience(SOON));
    load.join().expect("the load");
    screen.key("q");
    screen.assert_whole();
}

/// `kill`, and the end of the terminal's line, end the dashboard, and the terminal is whole.
#[test]
fn a_signal_leaves_the_terminal_whole() {
    let Some(_serial) = kernel_test() else { return };
    let server = DemoServer::start("event-loop", &[]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let Some(screen) = Screen::open("signal", SIZE) else { return };
        start(&screen, &format!("-p {}", server.pid()));
        screen.wait_for("No request was answered", ANSWER);
        let pid = rustix::process::Pid::from_raw(screen.child() as i32).expect("a process");
        rustix::process::kill_process(pid, signal).expect("signalling the dashboard");
        screen.assert_whole();
    }
}

/// A panic of any of its threads is told on a terminal that is whole.
#[test]
fn a_panic_leaves_the_terminal_whole() {
    let Some(screen) = Screen::open("panic", SIZE) else { return };
    screen.command(&format!("{}", panicking_dashboard().display()));
    screen.wait_for("a planted panic", ANSWER);
    screen.assert_whole();
}

/// What cannot be done is said in a sentence, before the terminal is touched.
#[test]
fn a_wrong_target_is_told_on_the_ordinary_screen() {
    let Some(screen) = Screen::open("wrong", SIZE) else { return };
    start(&screen, "-p 4194304");
    screen.wait_for("there is no process 4194304", ANSWER);
    screen.assert_whole();
}
