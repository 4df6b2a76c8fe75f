//! Small servers in several languages, each with one cause planted into it, or with none.

mod golang;

use std::path::Path;
use std::process::Command;

use super::{RealServer, free_port, java::java_source, on_path, scratch_on_disk, write};

/// In what a server is written, and so how it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Python's `ThreadingHTTPServer`: a thread for each connection, under the interpreter's lock.
    Python,
    /// C: a thread for each connection.
    C,
    /// Java's `HttpServer` on a pool of so many threads.
    Java(u16),
    /// Node.js: one event loop.
    Node,
    /// Go's `net/http`: a goroutine for each connection, on as many threads as there are CPUs.
    Go,
    /// Ruby: a thread for each connection, under the interpreter's lock.
    Ruby,
}

/// Starts a server with this cause, as its source names it. `None`, said aloud, where its language is not installed.
pub fn caused(written: Written, cause: &str) -> Option<RealServer> {
    let (dir, port) = (scratch_on_disk(), free_port());
    let mut command = match written {
        Written::Python => script(dir.path(), "python3", "server.py", include_str!("server.py")),
        Written::Node => script(dir.path(), "node", "server.js", include_str!("server.js")),
        Written::Java(_) => java_source(dir.path(), include_str!("Server.java")),
        Written::C => compiled(dir.path()),
        Written::Go => golang::compiled(include_str!("server.go")),
        Written::Ruby => script(dir.path(), "ruby", "server.rb", include_str!("server.rb")),
    }?;
    command.arg(port.to_string()).arg(cause).arg(dir.path());
    if let Written::Java(threads) = written {
        command.arg(threads.to_string());
    }
    Some(RealServer::start_http(&mut command, port, dir))
}

fn script(dir: &Path, interpreter: &str, name: &str, source: &str) -> Option<Command> {
    let program = on_path(interpreter)?;
    let path = dir.join(name);
    write(&path, source);
    let mut command = Command::new(program);
    command.arg(path);
    Some(command)
}

fn compiled(dir: &Path) -> Option<Command> {
    let compiler = on_path("gcc")?;
    let (source, program) = (dir.join("server.c"), dir.join("server"));
    write(&source, include_str!("server.c"));
    let status = Command::new(compiler).args(["-O2", "-pthread", "-o"]).arg(&program).arg(&source).status();
    assert!(status.is_ok_and(|status| status.success()), "compiling {}", source.display());
    Some(Command::new(program))
}
