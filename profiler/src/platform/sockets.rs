//! Who listens on which TCP port, from `/proc/PID/net/tcp`, `/proc/PID/net/tcp6` and `/proc/PID/fd`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::caps::Privileges;
use super::error::{ProcError, SOCKET_CAPABILITIES, is_gone, proc_error};
use super::proc::all_processes;
use crate::units::Pid;

/// `TCP_LISTEN` of `include/net/tcp_states.h`, as the tables write it.
const LISTEN: &str = "0A";
/// `TCP_ESTABLISHED`, likewise.
const ESTABLISHED: &str = "01";

/// How many processes of a network namespace are tried, because the first ones may have ended meanwhile.
const TRIES: usize = 8;

/// A TCP socket that listens, or that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// Its local port.
    pub port: u16,
    /// The port at the other end; 0 for one that listens.
    pub peer_port: u16,
    /// Its local address, as the kernel's tables write it.
    pub address: String,
    /// Of the socket, unique on the host whatever the namespace.
    pub inode: u64,
    /// Whether it listens.
    pub listens: bool,
}

/// Every process that has a socket open that listens on this TCP port, over IPv4 or IPv6, in any network namespace, by
/// id. Workers that inherited the socket are among them, and so is a service manager that keeps it for its service.
///
/// # Errors
/// [`ProcError::Permission`] when nobody was found, but not every process could be looked at;
/// [`ProcError::HiddenListener`] when somebody listens who does not let even the privileged look.
pub fn tcp_listeners(port: u16) -> Result<Vec<Pid>, ProcError> {
    let mut denied = false;
    let mut inodes = HashSet::new();
    let all = all_processes();
    for members in by_network(&all, &mut denied).values() {
        let table = members.iter().take(TRIES).find_map(|&pid| listeners_seen_by(pid).ok());
        inodes
            .extend(table.into_iter().flatten().filter(|found| found.port == port).map(|found| found.inode));
    }
    let mut owners = Vec::new();
    if !inodes.is_empty() {
        for pid in all {
            match socket_inodes(pid) {
                Ok(sockets) if !sockets.is_disjoint(&inodes) => owners.push(pid),
                Err(ProcError::Permission { .. }) => denied = true,
                Ok(_) | Err(_) => {}
            }
        }
    }
    if owners.is_empty() && denied {
        // Some processes let nobody look, such as the first one of a machine that guards it. That hides nothing, as
        // long as no socket without an owner was seen.
        if !Privileges::read().is_ok_and(|own| own.missing_for_sockets().is_empty()) {
            let what = format!("the sockets of all processes, to find who listens on port {port}");
            return Err(ProcError::Permission { what, capability: SOCKET_CAPABILITIES });
        }
        if !inodes.is_empty() {
            return Err(ProcError::HiddenListener { port });
        }
    }
    Ok(owners)
}

/// The TCP ports that these processes listen on, ascending. Processes that have ended are passed over.
///
/// # Errors
/// [`ProcError::Permission`] when the sockets of one of them may not be looked at.
pub fn listening_ports(pids: &[Pid]) -> Result<Vec<u16>, ProcError> {
    let mut tables: HashMap<PathBuf, Vec<TcpSocket>> = HashMap::new();
    let mut ports = BTreeSet::new();
    for &pid in pids {
        let found = network_of(pid).and_then(|network| Ok((network, socket_inodes(pid)?)));
        let (network, sockets) = match found {
            Ok(found) => found,
            Err(ProcError::NoProcess(_)) => continue,
            Err(error) => return Err(error),
        };
        if sockets.is_empty() {
            continue;
        }
        if !tables.contains_key(&network) {
            match listeners_seen_by(pid) {
                Ok(table) => tables.insert(network.clone(), table),
                Err(ProcError::NoProcess(_)) => continue,
                Err(error) => return Err(error),
            };
        }
        let table = tables.get(&network).into_iter().flatten();
        ports.extend(table.filter(|found| sockets.contains(&found.inode)).map(|found| found.port));
    }
    Ok(ports.into_iter().collect())
}

/// The TCP sockets that processes have open and that listen or are connected, by process. Those that have ended, or may not be
/// looked at, are left out. The tables of a network namespace are read once for all of its processes.
pub fn open_tcp_sockets(pids: &[Pid]) -> BTreeMap<Pid, Vec<TcpSocket>> {
    let mut tables: HashMap<PathBuf, Vec<TcpSocket>> = HashMap::new();
    let mut found = BTreeMap::new();
    for &pid in pids {
        let Ok(network) = network_of(pid) else { continue };
        let Ok(open) = socket_inodes(pid) else { continue };
        let table =
            tables.entry(network).or_insert_with(|| seen_by(pid, &[LISTEN, ESTABLISHED]).unwrap_or_default());
        found.insert(pid, table.iter().filter(|socket| open.contains(&socket.inode)).cloned().collect());
    }
    found
}

/// Some processes of each network namespace; `denied` tells whether one would not say which it is in.
fn by_network(pids: &[Pid], denied: &mut bool) -> HashMap<PathBuf, Vec<Pid>> {
    let mut networks: HashMap<PathBuf, Vec<Pid>> = HashMap::new();
    for &pid in pids {
        match network_of(pid) {
            Ok(network) => networks.entry(network).or_default().push(pid),
            Err(ProcError::Permission { .. }) => *denied = true,
            Err(_) => {}
        }
    }
    networks
}

/// The process's network namespace, as `net:[4026531840]`.
fn network_of(pid: Pid) -> Result<PathBuf, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
    fs::read_link(&path).map_err(|source| proc_error(pid, &path, source))
}

/// All listening sockets of the process's network namespace.
fn listeners_seen_by(pid: Pid) -> Result<Vec<TcpSocket>, ProcError> {
    seen_by(pid, &[LISTEN])
}

/// All sockets of the process's network namespace that are in one of these states.
fn seen_by(pid: Pid, states: &[&str]) -> Result<Vec<TcpSocket>, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/net/tcp"));
    let table = fs::read_to_string(&path).map_err(|source| proc_error(pid, &path, source))?;
    let mut found = parse_table(&table, states);
    // Missing where IPv6 is switched off.
    let six = fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap_or_default();
    found.extend(parse_table(&six, states));
    Ok(found)
}

/// The sockets of a table in the format of `/proc/net/tcp` that are in one of these states.
fn parse_table(table: &str, states: &[&str]) -> Vec<TcpSocket> {
    let socket = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, remote) = (fields.nth(1)?, fields.next()?);
        let state = fields.next().filter(|state| states.contains(state))?;
        let (address, port) = local.rsplit_once(':')?;
        let peer_port = u16::from_str_radix(remote.rsplit_once(':')?.1, 16).ok()?;
        let (port, inode) = (u16::from_str_radix(port, 16).ok()?, fields.nth(5)?.parse().ok()?);
        Some(TcpSocket { port, peer_port, address: address.to_owned(), inode, listens: state == LISTEN })
    };
    table.lines().filter_map(socket).collect()
}

/// The inodes of all sockets that the process has open.
fn socket_inodes(pid: Pid) -> Result<HashSet<u64>, ProcError> {
    let path = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = fs::read_dir(&path).map_err(|source| proc_error(pid, &path, source))?;
    let mut inodes = HashSet::new();
    for entry in entries {
        let link = entry.and_then(|entry| fs::read_link(entry.path()));
        match link {
            Ok(link) => inodes.extend(socket_inode(&link)),
            // The descriptor or the process was closed meanwhile.
            Err(error) if is_gone(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(proc_error(pid, &path, error));
            }
            Err(source) => return Err(ProcError::Read { path, source }),
        }
    }
    Ok(inodes)
}

/// The number in `socket:[4711]`.
fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Reads a text as `/proc/PID/net/tcp`, and as what a descriptor's link says.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_any(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let _sockets = parse_table(&text, &[LISTEN, ESTABLISHED]);
    let _inode = socket_inode(Path::new(&*text));
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::super::testing::Running;
    use super::*;

    fn own() -> Pid {
        Pid(std::process::id())
    }

    /// A table as the kernel writes it, with a listener, a connection, and lines that are damaged.
    #[test]
    fn tables_are_parsed() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0 100 0\n\
            1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0 20 4\n\
            2: 0100007F:XXXX 00000000:0000 0A 0 0 0 0 0 0\n 3: 0A\n\n";
        let listener = |port, address: &str, inode| TcpSocket {
            port,
            peer_port: 0,
            address: address.to_owned(),
            inode,
            listens: true,
        };
        assert_eq!(parse_table(table, &[LISTEN]), [listener(8080, "0100007F", 1234)]);
        let both = parse_table(table, &[LISTEN, ESTABLISHED]);
        assert_eq!(
            both.iter().map(|socket| (socket.inode, socket.peer_port, socket.listens)).collect::<Vec<_>>(),
            [(1234, 0, true), (1235, 50_000, false)]
        );
        let six = "0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A \
            00000000:00000000 00:00000000 00000000 0 0 99 1";
        assert_eq!(parse_table(six, &[LISTEN]), [listener(80, "00000000000000000000000000000000", 99)]);
        assert_eq!(socket_inode(Path::new("socket:[7]")), Some(7));
        for other in ["pipe:[7]", "socket:[x]", "/dev/null"] {
            assert_eq!(socket_inode(Path::new(other)), None);
        }
    }

    /// A listener is found while it listens, by its port, and the port by its process.
    #[test]
    fn a_listener_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                eprintln!("a_listener_is_found: {address} skipped, because IPv6 is off");
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert!(tcp_listeners(port).unwrap().contains(&own()), "{address}");
            assert!(listening_ports(&[own(), Pid(u32::MAX)]).unwrap().contains(&port));
            drop(listener);
            assert!(!listening_ports(&[own()]).unwrap().contains(&port));
        }
    }

    /// A listener in another network namespace is found too, though our own tables do not show it.
    #[test]
    fn a_listener_in_another_namespace_is_found() {
        let script =
            "import socket,time\ns=socket.socket()\ns.bind(('0.0.0.0',47123))\ns.listen()\ntime.sleep(30)";
        let child = Running::new(Command::new("unshare").args(["-n", "python3", "-c", script]));
        let started = std::time::Instant::now();
        while started.elapsed().as_secs() < 10 {
            if tcp_listeners(47123).is_ok_and(|pids| pids == [child.pid()]) {
                assert!(listeners_seen_by(own()).unwrap().iter().all(|found| found.port != 47123));
                assert_eq!(listening_ports(&[child.pid()]).unwrap(), [47123]);
                return;
            }
            if child.has_ended() {
                eprintln!(
                    "a_listener_in_another_namespace_is_found: skipped, because unshare needs root, and python3"
                );
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the listener was not found");
    }
}
