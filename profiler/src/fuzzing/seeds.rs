//! Inputs to begin with, one of each kind: what a fuzzer would take long to come upon.

use std::io::Cursor;

use demo_servers::rng::SplitMix64;

use super::server::records_of;
use crate::{
    recording::{Preamble, Recording, Writer},
    stacks::{Frame, Named, Place},
    units::Pid,
};

/// The seeds of a door: names and bytes.
pub fn seeds(door: &str) -> Vec<(&'static str, Vec<u8>)> {
    match door {
        "records" => vec![("few", records_of(&choices(1, 400))), ("many", records_of(&choices(2, 3_000)))],
        "requests" => vec![("few", choices(3, 300)), ("many", choices(4, 2_000)), ("served", served())],
        "recording" => {
            let file = recording(&records_of(&choices(5, 1_500)));
            vec![
                ("cut", file[..file.len() - 300].to_vec()),
                ("stored", stored(&file)),
                ("whole", file),
                ("without_records", recording(&[])),
            ]
        }
        "export" => (0..9).zip(FORMATS).map(|(format, name)| (name, export(format))).collect(),
        "route" => vec![("lines", lines(&HEADS))],
        "http" => vec![
            ("request", http(b"GET /cpu?us=5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
            ("body", http(b"POST /a HTTP/1.0\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n")),
            ("response", http(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")),
            ("chunked", http(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n")),
        ],
        "proc" => PROC.iter().map(|(name, text)| (*name, text.as_bytes().to_vec())).collect(),
        "options" => vec![("lines", lines(&OPTIONS))],
        "perf_map" => vec![(
            "functions",
            lines(&["7f0000001000 20 LazyCompile:*serve /srv/app.js:3", "0x7f0000001100 8 Stub", "100 10 old", "100 20 new"]),
        )],
        "elf" => vec![("program", elf())],
        "btf" => vec![("types", btf())],
        "sock_diag" => vec![("listener", listener()), ("error", message(2, &(-1_i32).to_ne_bytes()))],
        _ => Vec::new(),
    }
}

const FORMATS: [&str; 9] =
    ["perfetto", "firefox", "pprof", "folded", "svg", "parquet", "csv", "jsonl", "otlp"];

const HEADS: [&str; 6] = [
    "GET /cpu?us=5 HTTP/1.1\r",
    "DELETE /a/b#c HTTP/1.0\r",
    "POST http://host/absolute HTTP/1.1\r",
    "OPTIONS * HTTP/1.1\r",
    "*1\r",
    "GET /gr\u{f6}\u{df}e HTTP/1.1\r",
];

const OPTIONS: [&str; 17] = [
    "p99>+10%",
    "p99.9 > +1.5 %",
    "sleep<-250us",
    "rate<-100",
    "p99>20ms",
    "request>500ms",
    "finding=lock_contention",
    "node=node server.js {port}",
    "threads=1,2,4",
    "http://127.0.0.1:8000/cpu?us=5",
    "3@http://h/a",
    "1.5 s",
    "record -p 1 -o f --ring 60s --ring-size 64M --on p99>20ms",
    "race --sweep connections=8,32 --url /lock?us=100",
    "compare a b --fail-if p99>+10%",
    "export f --to parquet --table requests --route /a",
    "top --port 8000 --cgroup /a",
];

const PROC: [(&str, &str); 12] = [
    (
        "stat",
        "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 7 8 0 0 20 0 3 0 99 1000 10 18446744073709551615 1 1 0 0 0",
    ),
    (
        "status",
        "Name:\ta\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t42\nPid:\t42\nNSpid:\t42\t1\nThreads:\t3\nCpus_allowed_list:\t0-1,8\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n",
    ),
    ("schedstat", "1000 2000 3\n"),
    ("syscall", "202 0x7f00 0x80 0x0 0x0 0x0 0x0 0x7ffc 0x7f01\n"),
    ("cmdline", "server\0--port\080\0"),
    ("cpus", "0-3,8\n"),
    (
        "maps",
        "55d0c0000000-55d0c0001000 r-xp 00001000 fe:00 12                         /usr/bin/a server\n7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n7f0000001000-7f0000801000 rw-p 00000000 00:00 0 \n7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]\n",
    ),
    (
        "net_tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n",
    ),
    ("cgroup", "2:cpu,cpuacct:/a/b\n1:name=systemd:/\n0::/a/b\n"),
    ("cpu_stat", "usage_usec 5\nnr_periods 9\nnr_throttled 7\nthrottled_usec 1234\n"),
    ("cpu_max", "200000 100000\n"),
    ("mountinfo", "36 35 98:0 / /sys/fs/cgroup rw,noatime master:1 - cgroup2 none rw\n"),
];

/// Bytes that a fuzzer could have chosen.
fn choices(seed: u64, length: usize) -> Vec<u8> {
    let mut numbers = SplitMix64::new(seed);
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| numbers.next_u64().to_le_bytes()).collect();
    bytes.truncate(length);
    bytes
}

/// Choices by which a thread reads a request and writes its answer, five times.
fn served() -> Vec<u8> {
    let mut bytes = Vec::new();
    // A connection to port 8080 that the server accepted.
    bytes.extend([2, 10, 1, 1, 1, 60, 2, 1, 0, 0, 1]);
    for _ in 0..5 {
        // Read with a head, then a wait for a lock, then written.
        bytes.extend([5, 200, 1, 1, 120, 0, 40, 0, 0, 0]);
        bytes.extend([8, 200, 1, 100, 60, 50, 0, 0, 0, 0, 0, 0, 1, 2, 1, 4, 4, 1, 0, 1, 0, 0]);
        bytes.extend([4, 200, 1, 1, 121, 0, 0, 0]);
    }
    bytes
}

fn export(format: u8) -> Vec<u8> {
    [vec![format], choices(6 + u64::from(format), 400), served()].concat()
}

/// A file with everything that a recording can hold.
fn recording(records: &[u8]) -> Vec<u8> {
    let preamble =
        Preamble { command: "server".to_owned(), pids: vec![1], ports: vec![8080], ..Preamble::default() };
    let facts = serde_json::json!({
        "begin": 1_000_000_000_u64,
        "end": 3_000_000_000_u64,
        "pids": [1],
        "command": "server",
        "machine_cpus": 2,
        "futexes": [{"pid": 1, "address": 0x1000, "count": 3, "total_ns": 9_000, "max_ns": 5_000}],
        "run_queue": [4, 0, 1],
        "own_cpu_ns": 1_000,
    });
    let frames = vec![Frame { name: Some("serve".to_owned()), place: Place::File("server".to_owned()) }];
    let mut writer = Writer::begin(Vec::new(), &preamble).unwrap();
    writer.records(records).unwrap();
    writer.dropped(3);
    writer.facts(&facts).unwrap();
    writer.names(&[Named { pid: Pid(1), address: 0x40_0001, frames }]).unwrap();
    writer.finish().unwrap().0
}

/// The same file without its index, and its blocks as they are before compression, so that each byte of them is one of a record.
fn stored(file: &[u8]) -> Vec<u8> {
    let mut recording = Recording::open(Cursor::new(file)).unwrap();
    let entries = recording.entries().to_vec();
    let mut bytes = file[..usize::try_from(entries[0].offset).unwrap()].to_vec();
    for entry in &entries {
        let content = recording.block(entry).unwrap().content;
        let at = usize::try_from(entry.offset).unwrap();
        let mut header = file[at..at + 64].to_vec();
        header[6] = 0;
        header[16..20].copy_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend(header);
        bytes.extend(content);
    }
    assert!(crate::recording::repaired(&mut bytes));
    bytes
}

fn http(text: &[u8]) -> Vec<u8> {
    [&[15], text].concat()
}

fn lines(lines: &[&str]) -> Vec<u8> {
    lines.join("\n").into_bytes()
}

/// A program for x86-64 with one segment, two symbols and call-frame information, as small as can be, and a stack.
fn elf() -> Vec<u8> {
    let names = b"\0.text\0.symtab\0.strtab\0.eh_frame\0.shstrtab\0";
    let strings = b"\0serve\0queue\0";
    let symbols = [vec![0; 24], symbol(1, 0x12, 1, 0x1000, 0x20), symbol(7, 0x11, 1, 0x2000, 0x40)].concat();
    // A CIE (version 1, "zR", pc-relative 4-byte pointers), an FDE of 32 bytes of code, and the end.
    let mut frames =
        vec![20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0];
    frames.extend([16, 0, 0, 0, 28, 0, 0, 0, 0xe0, 0xff, 0xff, 0xff, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let (mut bytes, mut places) = (vec![0; 64 + 56], Vec::new());
    for content in [&symbols[..], strings, &frames, names] {
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        places.push((bytes.len() as u64, content.len() as u64));
        bytes.extend_from_slice(content);
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let table = bytes.len() as u64;
    let [symtab, strtab, eh_frame, shstrtab] = places[..] else { panic!("four sections") };
    bytes.extend([0; 64]);
    bytes.extend(section(1, 1, 6, 0x1000, (0, 0x20), (0, 0, 0)));
    bytes.extend(section(7, 2, 0, 0, symtab, (3, 1, 24)));
    bytes.extend(section(15, 3, 0, 0, strtab, (0, 0, 0)));
    bytes.extend(section(23, 1, 2, 0x1020, eh_frame, (0, 0, 0)));
    bytes.extend(section(33, 3, 0, 0, shstrtab, (0, 0, 0)));
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    header.extend([0x1000_u64, 64, table].iter().flat_map(|word| word.to_le_bytes()));
    header.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 6, 0, 5, 0]);
    header.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    header.extend([0_u64, 0x1000, 0x1000, 0x2000, 0x2000, 0x1000].iter().flat_map(|word| word.to_le_bytes()));
    bytes[..120].copy_from_slice(&header);
    bytes.extend(choices(16, 64));
    bytes
}

fn symbol(name: u32, info: u8, section: u16, address: u64, size: u64) -> Vec<u8> {
    let mut bytes = name.to_le_bytes().to_vec();
    bytes.extend([info, 0]);
    bytes.extend(section.to_le_bytes());
    bytes.extend(address.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes
}

fn section(
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    (offset, size): (u64, u64),
    (link, info, entry): (u32, u32, u64),
) -> Vec<u8> {
    let mut bytes = [name.to_le_bytes(), kind.to_le_bytes()].concat();
    bytes.extend([flags, address, offset, size].iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend([link.to_le_bytes(), info.to_le_bytes()].concat());
    bytes.extend([8, entry].iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

/// An integer, a structure of two of them, one that holds it, and an enumeration.
fn btf() -> Vec<u8> {
    let strings = b"\0int\0s\0a\0b\0u\0A\0e\0";
    let words: [u32; 23] = [
        1,
        1 << 24,
        4,
        32, // int
        5,
        4 << 24 | 2,
        8,
        7,
        1,
        0,
        9,
        1,
        32, // struct s { int a; int b; }
        11,
        4 << 24 | 1,
        8,
        7,
        2,
        0, // struct u { struct s a; }
        15,
        6 << 24,
        4,
        0, // an enumeration of nothing, and a word that is too many
    ];
    let types: Vec<u8> = words[..22].iter().flat_map(|word| word.to_le_bytes()).collect();
    let (types_len, strings_len) =
        (u32::try_from(types.len()).unwrap(), u32::try_from(strings.len()).unwrap());
    let mut bytes = vec![0x9f, 0xeb, 1, 0];
    bytes.extend([24, 0, types_len, types_len, strings_len].iter().flat_map(|word: &u32| word.to_le_bytes()));
    bytes.extend(types);
    bytes.extend(strings);
    bytes
}

/// A listening socket with three connections in its queue, and the end of the answer.
fn listener() -> Vec<u8> {
    let mut socket = vec![0; 72];
    socket[..2].copy_from_slice(&[2, 10]);
    socket[4..6].copy_from_slice(&8080_u16.to_be_bytes());
    socket[56] = 3;
    socket[60] = 128;
    socket[68] = 99;
    let mut memory = vec![40, 0, 7, 0];
    memory.resize(40, 1);
    [message(20, &[socket, memory].concat()), message(3, &[0; 4])].concat()
}

fn message(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + content.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend_from_slice(content);
    bytes
}

/// The choices do make every kind of record.
#[test]
fn seeds_have_records_of_every_kind() {
    use crate::{
        decode::{DecodeError, Routes, decode},
        recording::records,
    };
    let batch = records_of(&choices(2, 3_000));
    let mut kinds: Vec<u16> = records(&batch).map(|(header, _)| header.kind).collect();
    assert!(records(&batch).all(|(_, record)| {
        let read = decode(record, &mut Routes::default());
        matches!(read, Ok(_) | Err(DecodeError::Time { .. }))
    }));
    kinds.sort_unstable();
    kinds.dedup();
    // The stacks' callers have been found already, as in a recording.
    assert_eq!(kinds, [1, 2, 3, 4, 5, 6, 7, 0x100]);
}
