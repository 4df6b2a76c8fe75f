//! A process of this same program: a reference server or the load generator.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    platform::{launch::Launched, signals::StopFlag},
    units::Pid,
};

/// Where the kernel shows a process its own program, also after the file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// How long a server may take to listen.
const START: Duration = Duration::from_secs(10);
/// How often its output is looked at meanwhile.
const POLL: Duration = Duration::from_millis(10);
/// How long a helper may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(4);

/// A helper. It ends with this value, and with this process.
pub struct Helper {
    what: String,
    process: Launched,
}

impl Helper {
    /// Makes a helper ready to run one of the hidden commands; it does nothing before [`Helper::go`].
    pub fn prepare(what: &str, arguments: &[String]) -> Result<Self> {
        let parent = format!("--parent={}", std::process::id());
        let program = std::iter::once(OWN_PROGRAM);
        Self::command(what, program.chain(arguments.iter().map(String::as_str)).chain([parent.as_str()]))
    }

    /// The same for any program.
    pub fn command<'a>(what: &str, words: impl Iterator<Item = &'a str>) -> Result<Self> {
        let argv: Vec<OsString> = words.map(OsString::from).collect();
        Ok(Self { what: what.to_owned(), process: Launched::prepare(&argv, None)? })
    }

    /// Lets it run.
    pub fn go(&mut self) -> Result<()> {
        Ok(self.process.go()?)
    }

    /// Starts a server of this program and waits until it listens; tells where.
    pub fn serve(what: &str, arguments: &[String], stop: &StopFlag) -> Result<(Self, String)> {
        let mut server = Self::prepare(what, arguments)?;
        server.go()?;
        let address = server.says_where(stop)?;
        Ok((server, address))
    }

    /// Waits until it has said where it listens, as servers of this program do.
    pub fn says_where(&mut self, stop: &StopFlag) -> Result<String> {
        self.listens(START, stop, |server| listening(&server.output()))
    }

    /// Waits until `find` finds where the helper listens.
    pub fn listens<T>(
        &mut self,
        limit: Duration,
        stop: &StopFlag,
        find: impl Fn(&Self) -> Option<T>,
    ) -> Result<T> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(found) = find(self) {
                return Ok(found);
            }
            if self.has_ended() {
                bail!("{} ended before it listened, and said {}", self.what, self.said());
            }
            if stop.wait_timeout(POLL) {
                bail!("stopped before {} was ready", self.what);
            }
        }
        let (what, limit) = (&self.what, limit.as_secs());
        bail!("{what} did not listen within {limit} s, and said {}", self.said());
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.process.try_wait().is_some()
    }

    /// Tells it to end, waits for that, and tells what it has written.
    pub fn finish(mut self) -> String {
        self.process.terminate(GRACE);
        self.output()
    }

    /// What it has written so far, for a sentence.
    fn said(&self) -> String {
        match self.output().trim() {
            "" => "nothing".to_owned(),
            text => format!("\"{text}\""),
        }
    }

    /// What it has written so far.
    fn output(&self) -> String {
        fs::read_to_string(self.process.output_path()).unwrap_or_default()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.process.terminate(GRACE);
        let output: PathBuf = self.process.output_path().to_owned();
        // Nothing but what was read already is in it; a temporary folder that lost it has done this for us.
        let _gone = fs::remove_file(output);
    }
}

impl std::fmt::Display for Helper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.what, self.pid())
    }
}

/// The address in a server's first line, once it is complete.
fn listening(output: &str) -> Option<String> {
    let (line, _) = output.split_once('\n')?;
    line.strip_prefix("listening ").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_taken_from_a_whole_line_only() {
        assert_eq!(listening("listening 127.0.0.1:40"), None);
        assert_eq!(listening("listening 127.0.0.1:4000\n").as_deref(), Some("127.0.0.1:4000"));
        assert_eq!(listening("error\n"), None);
    }
}
