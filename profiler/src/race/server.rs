//! A server of the user's own.

use std::str::FromStr;

use super::sweep::Knob;

/// A server that is started by a command: `name=CMD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnServer {
    /// What the table calls it.
    pub name: String,
    command: String,
}

/// The text is not a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name a server: write NAME=COMMAND, such as 'node=node server.js {{port}}'")]
pub struct BadServer(String);

/// What is put into the command for `{port}`, `{threads}` and `{workers}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placeholders {
    /// Where it is to listen.
    pub port: u16,
    /// Threads.
    pub threads: u16,
    /// Processes.
    pub workers: u16,
}

impl OwnServer {
    /// Whether the command says where the port goes.
    pub fn takes_port(&self) -> bool {
        self.command.contains("{port}")
    }

    /// Whether a sweep of this makes a difference to it.
    pub fn follows(&self, knob: Knob) -> bool {
        knob == Knob::Connections || self.command.contains(&format!("{{{}}}", knob.id()))
    }

    /// The words of the command: a shell's, so that it can be quoted as it is there.
    pub fn words(&self, values: Placeholders) -> [String; 3] {
        let Placeholders { port, threads, workers } = values;
        let command = self
            .command
            .replace("{port}", &port.to_string())
            .replace("{threads}", &threads.to_string())
            .replace("{workers}", &workers.to_string());
        ["sh".to_owned(), "-c".to_owned(), command]
    }
}

impl FromStr for OwnServer {
    type Err = BadServer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadServer(text.to_owned());
        let (name, command) = text.split_once('=').ok_or_else(bad)?;
        let (name, command) = (name.trim(), command.trim());
        // A command without a name, whose first `=` is in an argument, has a space before it.
        if name.is_empty() || command.is_empty() || name.contains(char::is_whitespace) {
            return Err(bad());
        }
        Ok(Self { name: name.to_owned(), command: command.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced() {
        let server: OwnServer =
            "gunicorn=gunicorn -w {workers} --threads={threads} -b 127.0.0.1:{port} app:app".parse().unwrap();
        assert!(server.takes_port() && server.follows(Knob::Workers) && server.follows(Knob::Connections));
        let words = server.words(Placeholders { port: 8123, threads: 4, workers: 2 });
        assert_eq!(words[2], "gunicorn -w 2 --threads=4 -b 127.0.0.1:8123 app:app");
        assert_eq!(server.name, "gunicorn");
    }

    #[test]
    fn a_command_without_placeholders_stays_as_it_is() {
        let server: OwnServer = "a=FLAG='x y' node server.js".parse().unwrap();
        assert!(!server.takes_port() && !server.follows(Knob::Threads));
        let words = server.words(Placeholders { port: 1, threads: 1, workers: 1 });
        assert_eq!(words, ["sh", "-c", "FLAG='x y' node server.js"]);
    }

    #[test]
    fn a_name_is_wanted() {
        for text in ["node server.js", "=node", "node=", "node --port=80", ""] {
            let error = text.parse::<OwnServer>().unwrap_err().to_string();
            assert!(error.contains("write NAME=COMMAND"), "{error}");
        }
    }
}
