//! Gunicorn, with its own workers and those of others.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{RealServer, free_port, scratch, skip_server, write};

/// What is installed, with what decides how it works.
const REQUIREMENTS: &[&str] = &[
    "gunicorn==27.0.1",
    "packaging==26.3",
    "gevent==26.9.0",
    "greenlet==3.5.6",
    "uvicorn==0.54.0",
    "uvicorn-worker==0.4.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
];

const APP: &str = "\
def wsgi(environ, start_response):
    body = b'hello\\n'
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope['type'] == 'http':
        headers = [(b'content-type', b'text/plain'), (b'content-length', b'6')]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        await send({'type': 'http.response.body', 'body': b'hello\\n'})
";

/// Gunicorn with these arguments, the last of which is `app:wsgi` or `app:asgi`.
pub fn gunicorn(args: &[&str]) -> Option<RealServer> {
    let program = match install() {
        Ok(program) => program,
        Err(reason) => {
            skip_server("gunicorn", &reason);
            return None;
        }
    };
    let (dir, port) = (scratch(), free_port());
    write(&dir.path().join("app.py"), APP);
    let mut command = Command::new(program);
    // Its heartbeat files would be on a disk: they are written with every request.
    command.args(["--worker-tmp-dir", "/dev/shm", "--log-level", "warning", "--bind"]);
    command.arg(format!("127.0.0.1:{port}")).args(args).current_dir(dir.path());
    Some(RealServer::start_http(&mut command, port, dir))
}

/// Installs Gunicorn and its workers, once for all checkouts; its program.
fn install() -> Result<PathBuf, String> {
    let cache = cache_dir()?;
    let said =
        |what: &str, path: &Path, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    fs::create_dir_all(&cache).map_err(|error| said("make", &cache, error))?;
    let (lock_path, venv) = (cache.join("lock"), cache.join("gunicorn"));
    let (complete, program) = (venv.join("complete"), venv.join("bin/gunicorn"));
    let lock = File::create(&lock_path).map_err(|error| said("make", &lock_path, error))?;
    lock.lock().map_err(|error| said("lock", &lock_path, error))?;
    let wanted = REQUIREMENTS.join("\n");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(program);
    }
    run(Command::new("python3.11").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(venv.join("bin/python")).args(pip).args(REQUIREMENTS))?;
    fs::write(&complete, wanted).map_err(|error| said("write", &complete, error))?;
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
