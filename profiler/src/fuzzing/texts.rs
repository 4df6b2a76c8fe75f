//! Texts: what clients send, what the kernel tells in `/proc`, what users write on the command line.

use std::{fmt::Display, str::FromStr};

use demo_servers::{
    http::{RequestBuffer, response::ResponseReader},
    load::{Url, WeightedUrl},
};
use procfs::FromBufRead;

use super::input::Input;
use crate::{
    cli,
    compare::Condition,
    decode::Routes,
    live::Trigger,
    platform::{cpu_limits, kernel, mappings, proc as processes, sockets},
    race::{OwnServer, Sweep},
    units::parse_time,
};

/// First bytes of requests, in lines.
pub fn route(bytes: &[u8]) {
    let mut routes = Routes::default();
    for head in bytes.split(|byte| *byte == b'\n').chain([bytes]) {
        if let Some(route) = routes.of(head) {
            assert!(!route.chars().any(char::is_control), "{route:?} has control characters");
            assert!(route.len() <= 3 * head.len(), "a route of {} bytes of {}", route.len(), head.len());
            assert_eq!(routes.of(head).as_ref(), Some(&route));
        }
    }
}

/// What clients send to the reference servers, and what servers send to the load generator, in pieces of any size: the first byte says how large.
pub fn http(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let size = 1 + usize::from(input.byte());
    let (mut requests, mut found) = (RequestBuffer::default(), 0);
    'requests: for piece in input.rest().chunks(size) {
        requests.push(piece);
        loop {
            match requests.next_request() {
                Ok(Some(_)) => found += 1,
                Ok(None) => break,
                Err(_) => break 'requests,
            }
        }
    }
    assert!(found <= bytes.len(), "{found} requests in {} bytes", bytes.len());
    let mut responses = ResponseReader::default();
    if input.rest().chunks(size).all(|piece| responses.push(piece).is_ok()) {
        let _last = responses.end_of_stream();
    }
}

/// The text as each of the kernel's files.
pub fn proc(bytes: &[u8]) {
    processes::read_any(bytes);
    mappings::read_any(bytes);
    sockets::read_any(bytes);
    cpu_limits::read_any(bytes);
    kernel::read_any(bytes);
    let _maps = procfs::process::MemoryMaps::from_buf_read(bytes);
    let _mounts = procfs::process::MountInfos::from_buf_read(bytes);
    let _status = procfs::process::Status::from_buf_read(bytes);
}

/// The lines as what users write: conditions, triggers, times, sizes, servers, URLs.
pub fn options(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines() {
        stays_what_it_is::<Url>(line);
        stays_what_it_is::<WeightedUrl>(line);
        let _condition = line.parse::<Condition>().map(|condition| condition.to_string());
        let _trigger = line.parse::<Trigger>().map(|trigger| trigger.to_string());
        let _server = line.parse::<OwnServer>();
        let _sweep = line.parse::<Sweep>();
        let _time = parse_time(line);
        let arguments = line.split(' ').filter(|word| !word.is_empty());
        let _understood = cli::understands(["whywait"].into_iter().chain(arguments));
    }
}

/// What is understood is written as something that is understood as the same.
fn stays_what_it_is<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        assert!(written.parse().is_ok_and(|again: T| again == value), "{text:?} became {written:?}");
    }
}
