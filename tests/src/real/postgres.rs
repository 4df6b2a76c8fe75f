//! `PostgreSQL`, and `pgbench`.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{RealServer, START, free_port, run_client, skip_server};
use crate::guard::wait_until;
use crate::user::open_dir;

/// Where Debian keeps the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// `PostgreSQL` refuses to run as root.
const USER: &str = "postgres";

/// A cluster of its own, with pgbench's tables.
#[derive(Debug)]
pub struct Postgres {
    server: RealServer,
    programs: PathBuf,
    /// Where its Unix socket is.
    sockets: PathBuf,
}

/// `PostgreSQL` that does not wait for the disk.
pub fn postgres() -> Option<Postgres> {
    let Some(programs) = newest_version() else {
        skip_server("postgresql", &format!("PostgreSQL is not installed under {VERSIONS}"));
        return None;
    };
    let Some((uid, gid)) = ids(USER) else {
        skip_server("postgresql", &format!("there is no user {USER}"));
        return None;
    };
    let (dir, port) = (open_dir(), free_port());
    chown(dir.path(), Some(uid), Some(gid)).expect("giving PostgreSQL its folder");
    let data = dir.path().join("data");
    let as_user = |name: &str| {
        let mut command = Command::new(programs.join(name));
        command.uid(uid).gid(gid).current_dir(dir.path());
        command
    };
    run_client(
        as_user("initdb")
            .args(["--auth", "trust", "--username", USER, "--no-locale", "--no-sync", "--no-instructions"])
            .arg("--pgdata")
            .arg(&data),
    );
    let mut command = as_user("postgres");
    command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "fsync=off", "-c", "autovacuum=off", "-c", "log_min_messages=fatal"]);
    command.arg("-c").arg(format!("unix_socket_directories={}", dir.path().display()));
    let sockets = dir.path().to_owned();
    let postgres = Postgres { server: RealServer::start(&mut command, port, dir), programs, sockets };
    let ready = wait_until(START, || {
        let status = postgres.client("pg_isready").stdout(Stdio::null()).status();
        status.expect("running pg_isready").success()
    });
    assert!(ready, "PostgreSQL has not come up: see its messages above");
    run_client(postgres.client("pgbench").args(["--initialize", "--quiet"]).stderr(Stdio::null()));
    Some(postgres)
}

impl Postgres {
    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// A client, without encryption by Kerberos, for which it would ask or not ask by what lies on the machine.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.env_clear().env("PGGSSENCMODE", "disable").env("PGDATABASE", USER);
        command.args(["-h", "127.0.0.1", "-p", &self.server.port().to_string(), "-U", USER]);
        command
    }

    /// Runs pgbench; how many transactions it says were processed.
    pub fn run(&self, load: &Pgbench) -> u64 {
        let text = run_client(
            self.client("pgbench")
                .args(load.unix_socket.then_some("-h"))
                .args(load.unix_socket.then_some(&self.sockets))
                .args(["--select-only", "--no-vacuum"])
                .args(["--client", &load.clients.to_string(), "--jobs", "1"])
                .args(["--transactions", &load.transactions.to_string()])
                .args(load.reconnect.then_some("--connect")),
        );
        processed(&text).unwrap_or_else(|| panic!("pgbench does not say what it did: {text}"))
    }
}

/// A run of pgbench that only reads.
#[derive(Clone, Copy, Debug)]
pub struct Pgbench {
    /// Connections.
    pub clients: u64,
    /// Transactions of each, of one statement.
    pub transactions: u64,
    /// A connection for each transaction.
    pub reconnect: bool,
    /// Over the Unix socket, not over TCP.
    pub unix_socket: bool,
}

/// Reads `number of transactions actually processed: 3000/3000`.
fn processed(text: &str) -> Option<u64> {
    let counts =
        text.lines().find_map(|line| line.strip_prefix("number of transactions actually processed: "))?;
    counts.split('/').next()?.trim().parse().ok()
}

/// The programs of the newest version that is installed.
fn newest_version() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    let programs = |version: u32| Path::new(VERSIONS).join(version.to_string()).join("bin");
    versions.filter(|version| programs(*version).join("postgres").exists()).max().map(programs)
}

/// User and group of a name.
fn ids(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> =
        users.lines().map(|line| line.split(':').collect()).find(|fields: &Vec<&str>| fields[0] == name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}
