//! Node.js.

use std::process::Command;
use std::time::Duration;

use super::{RealServer, free_port, on_path, scratch, write};
use crate::settings::patience;

/// How long a request computes in [`NodeApp::Named`].
const TURNING: Duration = Duration::from_millis(10);

/// How a Node.js server does its work.
#[derive(Clone, Copy, Debug)]
pub enum NodeApp {
    /// On its loop.
    Plain,
    /// In the thread pool, by `crypto.pbkdf2`.
    Pool,
    /// On the loops of two workers, which get their connections from the first process.
    Cluster,
    /// On its loop, in a function whose name it writes for `perf`.
    Named,
}

impl NodeApp {
    /// Options of the interpreter.
    fn options(self) -> &'static [&'static str] {
        if matches!(self, Self::Named) { &["--perf-basic-prof"] } else { &[] }
    }

    fn source(self) -> &'static str {
        match self {
            Self::Plain => {
                "\
const http = require('http');
const head = {'content-type': 'text/plain', 'content-length': 6};
http.createServer((request, response) => { response.writeHead(200, head); response.end('hello\\n'); })
  .listen(+process.argv[2], '127.0.0.1');
"
            }
            Self::Pool => {
                "\
const crypto = require('crypto'), http = require('http');
http.createServer((request, response) => {
  crypto.pbkdf2('password', 'salt', 500, 64, 'sha512', (error, key) => response.end(key.toString('hex')));
}).listen(+process.argv[2], '127.0.0.1');
"
            }
            Self::Named => {
                "\
const http = require('http');
function turnTheCrank(until) { let turns = 0; while (performance.now() < until) turns++; return turns; }
http.createServer((request, response) => {
  turnTheCrank(performance.now() + Number(process.argv[3]));
  response.writeHead(200, {'content-length': 6});
  response.end('hello\\n');
}).listen(+process.argv[2], '127.0.0.1');
"
            }
            Self::Cluster => {
                "\
const cluster = require('cluster'), http = require('http');
const head = {'content-type': 'text/plain', 'content-length': 6};
if (cluster.isPrimary) { cluster.fork(); cluster.fork(); }
else http.createServer((request, response) => { response.writeHead(200, head); response.end('hello\\n'); })
  .listen(+process.argv[2], '127.0.0.1');
"
            }
        }
    }
}

/// Node.js with this application.
pub fn node(app: NodeApp) -> Option<RealServer> {
    let program = on_path("node")?;
    let (dir, port) = (scratch(), free_port());
    let path = dir.path().join("server.js");
    write(&path, app.source());
    let mut command = Command::new(program);
    // With names it writes a log into the folder in which it runs.
    command.current_dir(dir.path()).args(app.options()).arg(&path).arg(port.to_string());
    // Most of a request's time, also where all that the interpreter does beside takes long.
    command.arg(patience(TURNING).as_millis().to_string());
    Some(RealServer::start_http(&mut command, port, dir))
}
