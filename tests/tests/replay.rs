//! A recording in the dashboard, by a user who may do nothing but read the file: every key of the time cursor, and what is to be seen.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use whywait_tests::{
    DemoServer, Load, Screen, Signal, User, Whywait, kernel_test, open_dir, whywait_command,
};

const SIZE: (u16, u16) = (120, 40);
const SOON: Duration = Duration::from_secs(15);

/// A recording of a server: five seconds without a cause, then eight of a lock that everybody waits for.
fn record(dir: &TempDir) -> String {
    let file = dir.path().join("burst").to_str().expect("a path in text").to_owned();
    let server = DemoServer::start("thread-pool", &[]);
    let recording = Whywait::attach(&["record", "--pid", &server.pid().to_string(), "-o", &file]);
    Load::new(server.url("/plaintext"), 100, 5).connections(4).close().run();
    Load::new(server.url("/lock?us=5000"), 60, 8).connections(8).close().run();
    recording.signal(Signal::INT);
    let ended = recording.end(Duration::ZERO);
    assert!(ended.status.success(), "recording: {}", ended.stderr);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("opening the file to all");
    file
}

/// `whywait replay ARGS` by a user without capabilities, as a line for a shell.
fn line(user: &User, args: &[&str]) -> String {
    let args: Vec<&str> = ["replay"].iter().chain(args).copied().collect();
    let command = user.command(&[], &args);
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_str().expect("text")).collect::<Vec<_>>().join(" ")
}

fn bar(screen: &Screen) -> String {
    screen.text().lines().nth(2).unwrap_or_default().to_owned()
}

#[test]
fn a_recording_in_the_dashboard() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("replay", SIZE) else { return };
    let (dir, user) = (open_dir(), User::new());
    let file = record(&dir);

    screen.command(&line(&user, &[&file, "--paused", "--at", "2"]));
    screen.wait_for("‖ paused 1×", SOON);
    screen.wait_for("0:02.0 / ", SOON);
    assert!(screen.text().starts_with("whywait replay: "), "{}", screen.text());

    // The time goes on, and stops.
    screen.key("Space");
    screen.wait_for("▶ playing 1×", SOON);
    screen.wait_for("0:03.", SOON);
    screen.key("Space");
    screen.wait_for("‖ paused 1×", SOON);
    screen.key(">");
    screen.wait_for("paused 2×", SOON);
    screen.key("<");
    screen.key("<");
    screen.wait_for("paused 0.5×", SOON);

    // To moments.
    screen.key("g");
    screen.wait_for("go to: ", SOON);
    for key in ["0", ":", "0", "4", "Enter"] {
        screen.key(key);
    }
    screen.wait_for("0:04.0 / ", SOON);
    screen.key("g");
    for key in ["x", "Enter"] {
        screen.key(key);
    }
    screen.wait_for("`x` is no time", SOON);
    screen.key("End");
    screen.wait_for("■ end", SOON);
    screen.key("Home");
    screen.wait_for("0:00.0 / ", SOON);
    screen.wait_for("No request was answered", SOON);

    // To what there is to be seen: the lock, and the slowest request, which waited for it.
    screen.wait_for("◆", SOON);
    for _ in 0..5 {
        screen.key("n");
        screen.wait_for("not found earlier", SOON);
        if screen.text().contains("lock_contention") {
            break;
        }
    }
    screen.wait_for("lock_contention", SOON);
    screen.key("e");
    screen.wait_for("lock_contention explains", SOON);
    screen.key("Escape");
    screen.key("w");
    screen.wait_for("the slowest request: ", SOON);
    screen.wait_for("read by", SOON);
    screen.key("Escape");
    screen.key("End");
    screen.wait_for("■ end", SOON);
    screen.key("p");
    screen.wait_for("‖ paused", SOON);
    screen.wait_for("not found earlier", SOON);

    // Every screen has what it has on a live server.
    screen.key("End");
    screen.wait_for("■ end", SOON);
    for (key, text) in [
        ("2", "GET /lock"),
        ("3", "worker-0"),
        ("4", "in line"),
        ("5", "futex"),
        ("6", "Waits for a CPU"),
        ("7", "is not in a recording"),
        ("8", "Where in the code"),
        ("9", "Models side by side"),
        ("0", "while it was recorded"),
        ("?", "stop the time"),
        ("1", "Where request time goes"),
    ] {
        screen.key(key);
        screen.wait_for(text, SOON);
    }
    screen.key("r");
    screen.wait_for("this is a recording", SOON);

    press_everything(&screen);
    screen.key("q");
    screen.assert_whole();
}

/// Presses every key on every screen; the header stays, and so does the bar.
fn press_everything(screen: &Screen) {
    const KEYS: [&str; 24] = [
        "Space", "<", ">", "n", "p", "w", "Home", "End", "[", "]", "Left", "Right", "+", "-", "Up", "Down",
        "o", "Enter", "e", "Escape", "?", "BSpace", "r", "Tab",
    ];
    for number in '0'..='9' {
        for key in KEYS {
            screen.key(&number.to_string());
            screen.key(key);
        }
        screen.key("Escape");
        screen.key("Escape");
        assert!(screen.text().starts_with("whywait replay: "), "screen {number}:\n{}", screen.text());
        assert!(bar(screen).contains(" / "), "screen {number}:\n{}", screen.text());
    }
}

/// A recording that was cut off plays, and the screen says that something is missing.
#[test]
fn a_recording_that_was_cut_off_is_played() {
    let Some(_serial) = kernel_test() else { return };
    let Some(screen) = Screen::open("cut", SIZE) else { return };
    let (dir, user) = (open_dir(), User::new());
    let file = record(&dir);
    let length = fs::metadata(&file).expect("its length").len();
    let cut = fs::File::options().write(true).open(&file).expect("opening the file");
    cut.set_len(length * 7 / 10).expect("cutting the file");
    screen.command(&line(&user, &[&file, "--speed", "100"]));
    screen.wait_for("■ end", SOON);
    screen.wait_for("not all is in this recording", SOON);
    screen.key("0");
    screen.wait_for("MISSING", SOON);
    screen.key("q");
    screen.assert_whole();
}

/// What is wrong is told in a sentence on the ordinary screen.
#[test]
fn what_cannot_be_replayed_is_refused() {
    let dir = open_dir();
    let file = dir.path().join("other");
    fs::write(&file, "PK and so on").expect("writing a file");
    let text = |path: &Path| path.to_str().expect("a path in text").to_owned();
    let (other, none) = (text(&file), text(&dir.path().join("none")));
    for (args, code, why) in [
        (vec![other.as_str()], 1, "no recording of whywait"),
        (vec![none.as_str()], 1, "No such file"),
        (vec![other.as_str(), "--at", "noon"], 2, "`noon` is no time"),
        (vec![other.as_str(), "--speed", "1000"], 2, "not between 0.1 and 100"),
    ] {
        let args: Vec<&str> = ["replay"].into_iter().chain(args).collect();
        let output = whywait_command(&args).output().expect("starting whywait");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(why), "{error}");
    }
}
