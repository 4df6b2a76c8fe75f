//! A terminal that a test looks at: tmux, with a server of its own.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::binaries::whywait;
use crate::guard::wait_until;
use crate::rules::skip;

/// What the shell in it says when it waits for a command.
const PROMPT: &str = "ready>";
/// How long a shell may take to start.
const START: Duration = Duration::from_secs(10);

/// A terminal with a shell. Dropping it ends both.
#[derive(Debug)]
pub struct Screen {
    server: String,
}

impl Screen {
    /// A terminal of this size; `None`, said aloud, where there is no tmux.
    pub fn open(name: &str, (width, height): (u16, u16)) -> Option<Self> {
        let exists = Command::new("tmux").arg("-V").stdout(Stdio::null()).status().is_ok();
        if !exists {
            skip("dashboard", "tmux is not installed");
            return None;
        }
        let screen = Self { server: format!("whywait-{name}-{}", std::process::id()) };
        let (width, height) = (width.to_string(), height.to_string());
        let shell = format!("env PS1='{PROMPT} ' bash --norc --noprofile");
        let args = ["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, &shell];
        // tmux's server ends now and then while it starts ("server exited unexpectedly").
        let started = wait_until(START, || screen.run(&args).status.success());
        assert!(started, "tmux does not start");
        screen.wait_for(PROMPT, START);
        Some(screen)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new("tmux").args(["-L", &self.server]).args(args).output().expect("running tmux")
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is to be seen.
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Presses a key, by tmux's name for it.
    pub fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Types a command and Enter.
    pub fn command(&self, command: &str) {
        self.tmux(&["send-keys", "-l", command]);
        self.key("Enter");
    }

    /// Starts the dashboard, `whywait top ARGS`.
    pub fn top(&self, args: &str) {
        self.command(&format!("{} top {args}", whywait().display()));
    }

    /// Makes it larger or smaller.
    pub fn resize(&self, (width, height): (u16, u16)) {
        self.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()]);
    }

    /// Waits until a text is to be seen.
    pub fn wait_for(&self, text: &str, limit: Duration) {
        let mut seen = String::new();
        let found = wait_until(limit, || {
            seen = self.text();
            seen.contains(text)
        });
        assert!(found, "`{text}` is not to be seen within {limit:?}, but:\n{seen}");
    }

    /// The process that was started from the shell.
    pub fn child(&self) -> u32 {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", shell.trim()));
        let children = children.expect("reading the shell's children");
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("the shell has a child")
    }

    /// Takes the terminal away, with nobody asked.
    pub fn disappear(&self) {
        self.tmux(&["kill-server"]);
    }

    /// Checks that the shell has the terminal again, as it was: its screen, its cursor, no mouse, echo and lines.
    pub fn assert_whole(&self) {
        self.wait_for(PROMPT, START);
        let flags = "#{alternate_on} #{cursor_flag} #{mouse_any_flag}";
        let is = || self.tmux(&["display-message", "-p", flags]);
        wait_until(START, || is().trim() == "0 1 0");
        assert_eq!(is().trim(), "0 1 0", "alternate screen, cursor, mouse");
        self.command("clear; stty -a | tr ' ' '\\n' | grep -cE '^(icanon|echo|isig|icrnl|opost);?$'");
        let mut seen = String::new();
        let whole = wait_until(START, || {
            seen = self.text();
            seen.lines().any(|line| line.trim() == "5")
        });
        assert!(whole, "the terminal's settings are not what they were:\n{seen}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // There may be none any more.
        let _ended = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}
