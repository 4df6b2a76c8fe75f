//! nginx.

use std::process::Command;

use super::{RealServer, free_port, on_path, scratch, write};

/// nginx with two workers.
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
    write(&path, &config);
    let mut command = Command::new(program);
    command.arg("-e").arg("stderr").arg("-c").arg(&path);
    Some(RealServer::start_http(&mut command, port, dir))
}
