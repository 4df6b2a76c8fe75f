//! Apache's HTTP server.

use std::path::Path;
use std::process::Command;

use super::{RealServer, free_port, on_path, skip_server, write};
use crate::user::open_dir;

const MODULES: &str = "/usr/lib/apache2/modules";

/// How Apache divides its work (its "multi-processing module").
#[derive(Clone, Copy, Debug)]
pub enum Mpm {
    /// A process for each connection, made in advance.
    Prefork,
    /// Processes with threads, each of which serves one connection.
    Worker,
    /// Processes with threads, and a listener that keeps idle connections.
    Event,
}

impl Mpm {
    fn name(self) -> &'static str {
        match self {
            Self::Prefork => "prefork",
            Self::Worker => "worker",
            Self::Event => "event",
        }
    }

    /// As many processes or threads as the tests have connections, all there from the beginning.
    fn size(self) -> &'static str {
        match self {
            Self::Prefork => "StartServers 16\nMinSpareServers 8\nMaxSpareServers 32\nMaxRequestWorkers 32\n",
            Self::Worker | Self::Event => {
                "StartServers 2\nThreadsPerChild 16\nMinSpareThreads 16\nMaxSpareThreads 32\nMaxRequestWorkers 32\n"
            }
        }
    }
}

/// Apache with a file to send.
pub fn apache(mpm: Mpm) -> Option<RealServer> {
    let program = on_path("apache2")?;
    let name = mpm.name();
    let module = format!("{MODULES}/mod_mpm_{name}.so");
    if !Path::new(&module).exists() {
        skip_server("apache2", &format!("{module} is not there"));
        return None;
    }
    let (dir, port) = (open_dir(), free_port());
    let root = dir.path().display();
    let config = format!(
        "ServerRoot {root}\nServerName localhost\nListen 127.0.0.1:{port}\n\
         PidFile {root}/pid\nDefaultRuntimeDir {root}\nErrorLog {root}/error.log\n\
         LoadModule mpm_{name}_module {module}\n\
         LoadModule authz_core_module {MODULES}/mod_authz_core.so\n\
         LoadModule dir_module {MODULES}/mod_dir.so\n\
         User www-data\nGroup www-data\nDocumentRoot {root}\nDirectoryIndex index.txt\n\
         <Directory {root}>\nRequire all granted\n</Directory>\n\
         KeepAlive On\nMaxKeepAliveRequests 0\n{size}",
        size = mpm.size(),
    );
    let path = dir.path().join("apache2.conf");
    write(&path, &config);
    write(&dir.path().join("index.txt"), "hello\n");
    let mut command = Command::new(program);
    command.args(["-D", "FOREGROUND", "-f"]).arg(&path);
    Some(RealServer::start_http(&mut command, port, dir))
}
