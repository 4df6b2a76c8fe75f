//! The listening socket.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use socket2::{Domain, Socket, Type};

use crate::config::Config;

/// Opens the listening socket on 127.0.0.1 and prints `listening 127.0.0.1:PORT` on standard output, for whoever
/// started the server with port 0.
pub fn listen(config: &Config) -> anyhow::Result<TcpListener> {
    let listener = open(config.port, config.backlog, false)?;
    announce(&listener)?;
    Ok(listener)
}

/// Opens one of several sockets that listen on the same port: the kernel gives each new connection to one of them, by
/// a hash of its addresses (`SO_REUSEPORT`). Prints nothing.
pub fn listen_beside_others(port: u16, backlog: i32) -> anyhow::Result<TcpListener> {
    open(port, backlog, true)
}

/// Prints where clients find this socket.
pub fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening {}", listener.local_addr()?)?;
    Ok(stdout.flush()?)
}

fn open(port: u16, backlog: i32, reuse_port: bool) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restarted server must not wait for the TIME_WAIT of its predecessor's connections.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        // On Linux an accepted socket inherits this: one system call for the server instead of one for each connection.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        std::io::Result::Ok(socket.into())
    };
    open().with_context(|| format!("cannot listen on {address}: choose a free --port, or 0 for any"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn accepted_sockets_inherit_nodelay() {
        let listener = open(0, 16, false).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(listener.accept().unwrap().0.nodelay().unwrap());
    }
}
