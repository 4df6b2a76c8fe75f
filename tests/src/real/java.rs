//! Java's `com.sun.net.httpserver.HttpServer`.

use std::path::Path;
use std::process::Command;

use super::{RealServer, free_port, on_path, scratch, skip_server, write};

const SERVER: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;

public class Server {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 256);
        byte[] body = "hello\n".getBytes("US-ASCII");
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        Executor each = task -> new Thread(task).start();
        server.setExecutor(args[1].equals("pool") ? Executors.newFixedThreadPool(8) : each);
        server.start();
    }
}
"#;

/// Who handles an exchange.
#[derive(Clone, Copy, Debug)]
pub enum Executor {
    /// One of eight threads.
    FixedPool,
    /// A thread that is made for it.
    ThreadPerRequest,
}

/// A Java server.
pub fn java(executor: Executor) -> Option<RealServer> {
    let (dir, port) = (scratch(), free_port());
    let mut command = java_source(dir.path(), SERVER)?;
    command.arg(port.to_string()).arg(match executor {
        Executor::FixedPool => "pool",
        Executor::ThreadPerRequest => "each",
    });
    Some(RealServer::start_http(&mut command, port, dir))
}

/// Runs this source, which is written into a folder. Java compiles it itself, so a whole development kit is needed.
pub(super) fn java_source(dir: &Path, source: &str) -> Option<Command> {
    let program = on_path("java")?;
    let modules = Command::new(&program).arg("--list-modules").output().expect("running java");
    if !String::from_utf8_lossy(&modules.stdout).contains("jdk.compiler") {
        skip_server("java", "this Java has no compiler: a development kit (JDK) is needed");
        return None;
    }
    let path = dir.join("Server.java");
    write(&path, source);
    let mut command = Command::new(program);
    // Head and body are two writes, and Java 17 leaves Nagle's algorithm on: 40 ms for each request.
    command.arg("-Dsun.net.httpserver.nodelay=true").arg(path);
    Some(command)
}
