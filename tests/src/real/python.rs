//! Gunicorn, with its own workers and those of others.

use std::process::Command;

use super::{RealServer, free_port, scratch, skip_server, write};
use crate::venv;

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
    let program = match venv::install("gunicorn", REQUIREMENTS) {
        Ok(programs) => programs.join("gunicorn"),
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
