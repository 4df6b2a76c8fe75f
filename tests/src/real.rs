//! Servers of other people: Gunicorn, Node.js and nginx.

use std::env;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::Client;
use crate::guard::{Guard, wait_until};
use crate::rules::skip;

const GUNICORN: &str = "gunicorn==27.0.1";
const PACKAGING: &str = "packaging==26.3";

const WSGI: &str = "\
def app(environ, start_response):
    body = b'hello\\n'
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
";

const NODE: &str = "\
const http = require('http');
const head = {'content-type': 'text/plain', 'content-length': 6};
http.createServer((request, response) => { response.writeHead(200, head); response.end('hello\\n'); })
  .listen(+process.argv[2], '127.0.0.1');
";

/// A server that answers `/` on a free port.
#[derive(Debug)]
pub struct RealServer {
    guard: Guard,
    port: u16,
    _dir: TempDir,
}

impl RealServer {
    fn start(command: &mut Command, port: u16, dir: TempDir) -> Self {
        let guard = Guard::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()));
        let server = Self { guard, port, _dir: dir };
        let address = format!("127.0.0.1:{port}");
        let answers = wait_until(Duration::from_secs(20), || TcpStream::connect(&address).is_ok());
        assert!(answers && !server.guard.has_ended(), "the server has not come up: see its messages above");
        // What a server does once only, at its first request, is over before it is measured.
        Client::connect(&address).ask("/");
        server
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL of it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// Gunicorn with these arguments; `None`, said aloud, where it cannot be installed.
pub fn gunicorn(args: &[&str]) -> Option<RealServer> {
    let program = match install_gunicorn() {
        Ok(program) => program,
        Err(reason) => {
            skip("real servers (gunicorn)", &reason);
            return None;
        }
    };
    let (dir, port) = (scratch(), free_port());
    fs::write(dir.path().join("wsgi.py"), WSGI).expect("writing the application");
    let mut command = Command::new(program);
    // Its heartbeat files would be on a disk: they are written with every request.
    command.args(["--worker-tmp-dir", "/dev/shm", "--log-level", "warning", "--bind"]);
    command.arg(format!("127.0.0.1:{port}")).args(args).arg("wsgi:app").current_dir(dir.path());
    Some(RealServer::start(&mut command, port, dir))
}

/// nginx with two workers; `None`, said aloud, where it is not installed.
pub fn nginx() -> Option<RealServer> {
    let program = on_path("nginx")?;
    let (dir, port) = (scratch(), free_port());
    let root = dir.path().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {root}/{name};\n"))
        .concat();
    let config = format!(
        "user root; worker_processes 2; pid {root}/pid; error_log stderr warn; daemon off;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; default_type text/plain;\n{temporary}\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"hello\\n\"; }} }} }}\n"
    );
    let path = dir.path().join("nginx.conf");
    fs::write(&path, config).expect("writing the configuration");
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-c").arg(&path);
    Some(RealServer::start(&mut command, port, dir))
}

/// Node.js, one process; `None`, said aloud, where it is not installed.
pub fn node() -> Option<RealServer> {
    let program = on_path("node")?;
    let (dir, port) = (scratch(), free_port());
    let path = dir.path().join("server.js");
    fs::write(&path, NODE).expect("writing the application");
    Some(RealServer::start(Command::new(program).arg(&path).arg(port.to_string()), port, dir))
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("making a temporary directory")
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("finding a free port");
    listener.local_addr().expect("a local address").port()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("real servers ({name})"), &format!("{name} is not installed"));
    }
    found
}

/// Installs Gunicorn, once for all checkouts; its program.
fn install_gunicorn() -> Result<PathBuf, String> {
    let cache = cache_dir()?;
    let said =
        |what: &str, path: &Path, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    fs::create_dir_all(&cache).map_err(|error| said("make", &cache, error))?;
    let (lock_path, venv) = (cache.join("lock"), cache.join(GUNICORN.replace("==", "-")));
    let (complete, program) = (venv.join("complete"), venv.join("bin/gunicorn"));
    let lock = File::create(&lock_path).map_err(|error| said("make", &lock_path, error))?;
    lock.lock().map_err(|error| said("lock", &lock_path, error))?;
    if complete.exists() {
        return Ok(program);
    }
    run(Command::new("python3.11").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", GUNICORN, PACKAGING];
    run(Command::new(venv.join("bin/python")).args(pip))?;
    File::create(&complete).map_err(|error| said("make", &complete, error))?;
    Ok(program)
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let output = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed: {}", told.lines().last().unwrap_or("it gave no reason")))
}

fn cache_dir() -> Result<PathBuf, String> {
    let under = |variable: &str, path: &str| env::var_os(variable).map(|dir| Path::new(&dir).join(path));
    under("WHYWAIT_TEST_CACHE", "")
        .or_else(|| under("XDG_CACHE_HOME", "whywait"))
        .or_else(|| under("HOME", ".cache/whywait"))
        .ok_or_else(|| "no place for the cache: set WHYWAIT_TEST_CACHE".to_owned())
}
