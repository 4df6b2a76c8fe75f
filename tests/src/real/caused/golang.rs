//! Go programs, each compiled once for all checkouts.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use crate::real::{on_path, skip_server, write};
use crate::venv::cache_dir;

/// The program that this source gives. `None`, said aloud, where there is no Go, or it cannot compile.
pub fn compiled(source: &str) -> Option<Command> {
    let compiler = on_path("go")?;
    match kept(&compiler, source) {
        Ok(command) => Some(command),
        Err(reason) => {
            skip_server("go", &reason);
            None
        }
    }
}

fn kept(compiler: &Path, source: &str) -> Result<Command, String> {
    let mut hasher = DefaultHasher::new();
    source.hash(&mut hasher);
    let cache = cache_dir()?.join("go");
    let dir = cache.join(format!("{:016x}", hasher.finish()));
    let said =
        |what: &str, path: &Path, error: std::io::Error| format!("cannot {what} {}: {error}", path.display());
    fs::create_dir_all(&dir).map_err(|error| said("make", &dir, error))?;
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(|error| said("make", &lock_path, error))?;
    lock.lock().map_err(|error| said("lock", &lock_path, error))?;
    let (path, program, partial) = (dir.join("server.go"), dir.join("server"), dir.join("server.partial"));
    if !program.exists() {
        write(&path, source);
        let mut build = Command::new(compiler);
        // The standard library is all it needs: nothing is looked for outside of the folder.
        build.args(["build", "-o"]).arg(&partial).arg(&path).current_dir(&dir);
        build.env("GOCACHE", cache.join("objects")).env("GOPATH", cache.join("path"));
        build.env("GO111MODULE", "off").env("GOFLAGS", "");
        let output = build.output().map_err(|error| said("run", compiler, error))?;
        if !output.status.success() {
            return Err(format!("it cannot compile: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        fs::rename(&partial, &program).map_err(|error| said("rename", &partial, error))?;
    }
    Ok(Command::new(program))
}
