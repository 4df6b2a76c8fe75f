//! The listening socket.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use socket2::{Domain, Socket, Type};

use crate::config::Config;

/// Opens the listening socket on 127.0.0.1 and prints `listening 127.0.0.1:PORT` on standard output, for whoever
/// started the server with port 0.
pub fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
    let listener = open(address, config.backlog)
        .with_context(|| format!("cannot listen on {address}: choose a free --port, or 0 for any"))?;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening {}", listener.local_addr()?)?;
    stdout.flush()?;
    Ok(listener)
}

fn open(address: SocketAddr, backlog: i32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted server must not wait for the TIME_WAIT of its predecessor's connections.
    socket.set_reuse_address(true)?;
    // On Linux an accepted socket inherits this: one system call for the server instead of one for each connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_inherit_nodelay() {
        let listener = open(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 16).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }
}
