//! The dashboard in a terminal: what is to be seen on a live server, and that the terminal is whole afterwards.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use whywait_tests::{
    DemoServer, Load, Screen, Signal, kernel_test, panicking_dashboard, slow, wait_until, whywait_path,
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

/// The answer comes by itself; every screen shows what it is for; any key can be pressed on any of them; sizes change; sleep and waking up;
/// the end.
#[test]
fn a_live_server_in_the_dashboard() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("live", SIZE) else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let load = lock_load(&server, 60);
    screen.top(&format!("-p {}", server.pid()));
    let begun = Instant::now();
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
        ("8", "Where in the code"),
        ("9", "Models side by side"),
        ("0", "whywait itself"),
        ("?", "Letters in the charts"),
        ("1", "Where request time goes"),
    ] {
        screen.key(key);
        screen.wait_for(text, SOON);
    }
    screen.key("e");
    screen.wait_for("A request spends its time", SOON);
    screen.key("Escape");
    screen.key("4");
    screen.wait_for("in line", SOON);
    screen.key("Enter");
    screen.wait_for("Who held it", SOON);
    screen.key("Escape");
    screen.key("2");
    screen.wait_for("Slowest requests", SOON);
    screen.key("Enter");
    screen.wait_for("read by", SOON);
    screen.key("Escape");

    let pressed = press_everything(&screen);
    println!("{pressed} keys were pressed");
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

/// Presses every key of the table on every screen; the header stays. Returns how many.
fn press_everything(screen: &Screen) -> usize {
    const KEYS: [&str; 30] = [
        "Space", "Space", "[", "]", "Left", "Right", "+", "=", "-", "Up", "Down", "k", "j", "PageDown",
        "PageUp", "o", "Enter", "e", "Escape", "?", "BSpace", "/", "x", "Enter", "Escape", "Tab", "BTab",
        "F5", "Home", "End",
    ];
    let mut pressed = 0;
    for number in '0'..='9' {
        for key in KEYS {
            screen.key(&number.to_string());
            screen.key(key);
            pressed += 1;
        }
        screen.key("Escape");
        screen.key("Escape");
        let seen = screen.text();
        assert!(seen.starts_with("whywait "), "the header has gone on screen {number}:\n{seen}");
    }
    pressed
}

/// The tour's last part, and `race --screen`: servers side by side, the one that runs in the header, and the tables afterwards.
#[test]
fn models_stand_side_by_side() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("models", SIZE) else { return };
    let whywait = whywait_path().display();
    screen.command(&format!("{whywait} race --screen --model event-loop --model gil -d 1 --url /cpu?us=200"));
    screen.wait_for("event-loop (", ANSWER);
    screen.key("9");
    screen.wait_for("all have run", 3 * SOON);
    let seen = screen.text();
    assert!(seen.contains("is the fastest") && seen.contains("+ best"), "{seen}");
    screen.key("q");
    screen.wait_for("Do the sources agree?", SOON);
    screen.assert_whole();

    screen.command(&format!("clear; {whywait} demo -d 1 --model iterative,event-loop"));
    // The part's own title makes way for that of its first server within a moment.
    screen.wait_for("1/2 iterative", 4 * SOON);
    screen.key("9");
    screen.wait_for("all have run", 3 * SOON);
    screen.wait_for("iterative demo (", SOON);
    screen.key("q");
    screen.assert_whole();
}

/// A server that does not accept: what waits is told against its limit, and what found no room.
#[test]
fn a_full_accept_queue_is_told() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("backlog", SIZE) else { return };
    let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    rustix::net::bind(&listener, &any).expect("binding");
    rustix::net::listen(&listener, 2).expect("listening");
    let address = TcpListener::from(listener.try_clone().expect("a second descriptor"))
        .local_addr()
        .expect("where it listens");
    let connect = || TcpStream::connect_timeout(&address, SOON).expect("connecting");
    // The kernel lets one more in than the limit says.
    let _waiting = [connect(), connect(), connect()];
    screen.top(&format!("-p {}", std::process::id()));
    screen.wait_for("No request was answered", ANSWER);
    screen.key("7");
    screen.wait_for("FULL 3 of 2", SOON);
    let refused = TcpStream::connect_timeout(&address, Duration::from_millis(500));
    assert!(refused.is_err());
    screen.wait_for("most in 10 s 3", SOON);
    let told = || screen.text().lines().any(|line| line.contains("FULL") && !line.contains(" 0 refused"));
    assert!(wait_until(SOON, told), "no connection was refused:\n{}", screen.text());
    screen.key("q");
    screen.assert_whole();
}

/// The target is killed: the screen says so and stays. Somebody listens on its port again: the screen says that, too.
#[test]
fn the_target_ends_and_comes_back() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("restart", SIZE) else { return };
    let server = DemoServer::start("thread-pool", &[]);
    let port = server.address().port();
    screen.top(&format!("--port {port}"));
    screen.wait_for(&format!("port {port}"), ANSWER);
    screen.wait_for("No request was answered", SOON);
    server.kill();
    screen.wait_for("HAS ENDED, waiting for somebody on port", SOON);
    let server = DemoServer::start_on("thread-pool", port);
    let load = lock_load(&server, 8);
    screen.wait_for("waiting for a lock", SOON);
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
        screen.top(&format!("-p {}", server.pid()));
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
    screen.top("-p 4194304");
    screen.wait_for("there is no process 4194304", ANSWER);
    screen.assert_whole();
}
