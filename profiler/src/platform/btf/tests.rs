//! The reader against hand-made types, against the real kernel with a second reader as the judge, and against garbage.

use proptest::prelude::*;

use super::*;

/// Builds BTF, one record at a time.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    next: u32,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn add(
        &mut self,
        kind: u32,
        flag: bool,
        name: &str,
        size_or_ref: u32,
        count: usize,
        trailer: &[u32],
    ) -> u32 {
        let name = self.name(name);
        self.words(&[name, u32::from(flag) << 31 | kind << 24 | u32::try_from(count).unwrap(), size_or_ref]);
        self.words(trailer);
        self.next += 1;
        self.next
    }

    fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(1, false, name, bytes, 0, &[bytes * 8])
    }

    /// Members are (name, type, offset word).
    fn composite(
        &mut self,
        kind: u32,
        flag: bool,
        name: &str,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let words: Vec<_> =
            members.iter().flat_map(|&(name, id, offset)| [self.name(name), id, offset]).collect();
        self.add(kind, flag, name, size, members.len(), &words)
    }

    fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(4, false, name, size, members)
    }

    fn bytes(mut self) -> Vec<u8> {
        self.name("");
        let (types, strings) =
            (u32::try_from(self.types.len()).unwrap(), u32::try_from(self.strings.len()).unwrap());
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types, types, strings] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }

    fn parse(self) -> Btf {
        Btf::parse(self.bytes()).unwrap()
    }
}

/// The offset word of a bitfield in a structure with the flag.
fn field(bit: u32, width: u32) -> u32 {
    (width << 24) + bit
}

fn plain(bytes: u32, size: u32) -> MemberOffset {
    MemberOffset { bytes, size, bitfield: None }
}

fn bits(bytes: u32, size: u32, shift: u8, width: u8) -> MemberOffset {
    MemberOffset { bytes, size, bitfield: Some(Bitfield { shift, width }) }
}

/// Members are found through named and anonymous structures and unions, typedefs, qualifiers and arrays.
#[test]
fn members_of_nested_types() {
    let mut b = Builder::default();
    let int = b.int("int", 4);
    let pointer = b.add(2, false, "", int, 0, &[]);
    let array = b.add(3, false, "", 0, 0, &[pointer, int, 3]);
    let inner = b.structure("inner", 8, &[("a", int, 0), ("b", int, 32)]);
    let alias = b.add(8, false, "inner_t", inner, 0, &[]);
    let constant = b.add(10, false, "", alias, 0, &[]);
    let anonymous = b.composite(5, false, "", 8, &[("whole", constant, 0), ("part", int, 0)]);
    let wrapper = b.structure("", 32, &[("", anonymous, 64), ("list", array, 64 * 2)]);
    b.structure("outer", 64, &[("first", int, 0), ("next", pointer, 64), ("", wrapper, 128)]);
    let btf = b.parse();

    assert_eq!(btf.member_offset("outer", "next").unwrap(), plain(8, 8));
    assert_eq!(btf.member_offset("outer", "part").unwrap(), plain(24, 4));
    assert_eq!(btf.member_offset("outer", "whole.b").unwrap(), plain(28, 4));
    assert_eq!(btf.member_offset("outer", "list").unwrap(), plain(32, 24));
    assert_eq!(btf.member_offset("inner_t", "b").unwrap(), plain(4, 4));
    assert_eq!(btf.struct_size("outer").unwrap(), 64);
    assert!(btf.has_struct("inner_t") && !btf.has_struct("int"));
}

/// Each way to ask for what is not there is told apart, and names what was asked for.
#[test]
fn questions_without_an_answer() {
    let mut b = Builder::default();
    let int = b.int("int", 4);
    let pointer = b.add(2, false, "", int, 0, &[]);
    b.structure("s", 16, &[("a", int, 0), ("p", pointer, 64)]);
    b.add(6, false, "e", 4, 0, &[]);
    let btf = b.parse();

    let text = |result: Result<MemberOffset, BtfError>| result.unwrap_err().to_string();
    assert!(matches!(btf.member_offset("t", "a"), Err(BtfError::NoType { kind: "struct", .. })));
    assert!(text(btf.member_offset("s", "nope")).contains("`s` has no member `nope`"));
    assert!(text(btf.member_offset("s", "p.x")).contains("`s.p` is not a structure"));
    for path in ["", ".", "a.", ".a"] {
        assert!(btf.member_offset("s", path).is_err(), "{path:?}");
    }
    assert!(matches!(btf.enum_value("s", "A"), Err(BtfError::NoType { kind: "enum", .. })));
    assert!(matches!(btf.enum_value("e", "A"), Err(BtfError::NoEnumerator { .. })));
    assert!(matches!(btf.tracepoint_args("x"), Err(BtfError::NoType { kind: "tracepoint", .. })));
}

/// Both ways to write a bitfield give the same place, and the value is cut out of it.
#[test]
fn bitfields() {
    let mut b = Builder::default();
    let int = b.int("unsigned int", 4);
    let narrow = b.add(1, false, "unsigned int", 4, 0, &[3]);
    let old_style = b.add(1, false, "unsigned int", 4, 0, &[2 << 16 | 3]);
    b.composite(4, true, "new", 8, &[("x", int, 0), ("y", int, field(37, 3)), ("z", int, field(44, 7))]);
    b.structure("old", 8, &[("y", narrow, 37), ("o", old_style, 32)]);
    let btf = b.parse();

    assert_eq!(btf.member_offset("new", "x").unwrap(), plain(0, 4));
    assert_eq!(btf.member_offset("new", "y").unwrap(), bits(4, 1, 5, 3));
    assert_eq!(btf.member_offset("new", "z").unwrap(), bits(5, 2, 4, 7));
    assert_eq!(btf.member_offset("old", "y").unwrap(), bits(4, 1, 5, 3));
    assert_eq!(btf.member_offset("old", "o").unwrap(), bits(4, 1, 2, 3));
    assert_eq!(bits(5, 2, 4, 7).extract(0b1010_0101_1111_1010), 0b101_1111);
    assert_eq!(plain(0, 8).extract(u64::MAX), u64::MAX);
}

/// A name with two layouts is refused; the same layout twice is not.
#[test]
fn duplicate_names() {
    let mut b = Builder::default();
    let int = b.int("int", 4);
    let other_int = b.int("int", 4);
    let long = b.int("long", 8);
    b.structure("same", 4, &[("a", int, 0)]);
    b.structure("same", 4, &[("a", other_int, 0)]);
    b.structure("different", 8, &[("a", int, 0), ("b", int, 32)]);
    b.structure("different", 8, &[("a", long, 0)]);
    b.add(8, false, "clash_t", int, 0, &[]);
    b.add(8, false, "clash_t", long, 0, &[]);
    let btf = b.parse();

    assert_eq!(btf.member_offset("same", "a").unwrap(), plain(0, 4));
    let error = btf.member_offset("different", "a").unwrap_err();
    assert!(matches!(&error, BtfError::Ambiguous { name } if name == "different"), "{error}");
    assert!(matches!(btf.struct_size("clash_t"), Err(BtfError::Ambiguous { .. })));
}

/// Signed, unsigned and 64-bit enumerators keep their values.
#[test]
fn enumerators() {
    let mut b = Builder::default();
    let (plus, minus) = (b.name("PLUS"), b.name("MINUS"));
    let signed = b.add(6, true, "signed", 4, 2, &[plus, 7, minus, u32::MAX]);
    b.add(6, false, "unsigned", 4, 1, &[plus, u32::MAX]);
    b.add(19, false, "wide", 8, 2, &[plus, 1, 2, minus, u32::MAX, u32::MAX]);
    b.add(8, false, "alias", signed, 0, &[]);
    let btf = b.parse();

    assert_eq!(btf.enum_value("signed", "MINUS").unwrap(), -1);
    assert_eq!(btf.enum_value("alias", "PLUS").unwrap(), 7);
    assert_eq!(btf.enum_value("unsigned", "PLUS").unwrap(), i64::from(u32::MAX));
    assert_eq!(btf.enum_value("wide", "PLUS").unwrap(), (2 << 32) + 1);
    assert_eq!(btf.enum_value("wide", "MINUS").unwrap(), -1);
}

/// Every kind up to 19 is stepped over with its right length: a type behind all of them is still found.
#[test]
fn every_kind_is_stepped_over() {
    let mut b = Builder::default();
    let int = b.int("int", 4);
    b.add(2, false, "", int, 0, &[]);
    b.add(3, false, "", 0, 0, &[int, int, 2]);
    b.composite(5, false, "u", 4, &[("a", int, 0)]);
    b.add(6, false, "e", 4, 1, &[0, 1]);
    b.add(7, true, "fwd", 0, 0, &[]);
    for kind in [8, 9, 10, 11, 18] {
        b.add(kind, false, "", int, 0, &[]);
    }
    let proto = b.add(13, false, "", int, 2, &[0, int, 0, int]);
    b.add(12, false, "f", proto, 1, &[]);
    b.types.truncate(b.types.len() - 8);
    b.words(&[12 << 24, proto]);
    let variable = b.add(14, false, "v", int, 0, &[1]);
    b.add(15, false, ".data", 4, 1, &[variable, 0, 4]);
    b.add(16, false, "float", 4, 0, &[]);
    b.add(17, false, "tag", int, 0, &[u32::MAX]);
    b.add(19, false, "e64", 8, 1, &[0, 1, 0]);
    b.structure("last", 4, &[("a", int, 0)]);
    let btf = b.parse();
    assert_eq!(btf.type_count(), 19);
    assert_eq!(btf.member_offset("last", "a").unwrap(), plain(0, 4));
}

/// Types that contain or refer to themselves end in an error, not in an endless search.
#[test]
fn circular_types() {
    let mut b = Builder::default();
    b.add(8, false, "loop_t", 1, 0, &[]);
    b.structure("nest", 4, &[("", 2, 0)]);
    b.add(3, false, "", 0, 0, &[3, 3, 1]);
    b.structure("array", 4, &[("a", 3, 0)]);
    b.structure("twin", 4, &[("a", 5, 0)]);
    b.structure("twin", 4, &[("a", 6, 0)]);
    let btf = b.parse();
    assert!(btf.struct_size("loop_t").is_err());
    assert!(btf.member_offset("nest", "x").is_err());
    assert!(btf.member_offset("array", "a").is_err());
    assert!(btf.struct_size("twin").is_err());
}

/// A search whose work doubles with each level is given up.
#[test]
fn exponential_types() {
    let mut b = Builder::default();
    let mut inner = b.int("int", 4);
    for _ in 0..40 {
        inner = b.structure("", 4, &[("", inner, 0), ("", inner, 0)]);
    }
    b.structure("top", 4, &[("", inner, 0)]);
    assert!(b.parse().member_offset("top", "x").is_err());
}

/// Headers that lie are refused, with the reason.
#[test]
fn damaged_headers() {
    let good = Builder::default().bytes();
    assert!(Btf::parse(&good[..]).is_ok());
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        Btf::parse(bytes)
    };
    assert!(Btf::parse(&[][..]).is_err());
    assert!(with(0, 0).is_err());
    assert!(with(2, 2).is_err());
    assert!(with(4, 8).is_err());
    assert!(with(8, 200).is_err());
    assert!(with(15, 255).is_err());
    assert!(with(24, 1).is_err(), "the first string must be empty");
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert!(matches!(Btf::parse(swapped), Err(BtfError::ByteOrder)));
    let missing = Btf::from_file(Path::new("/nonexistent")).err().unwrap().to_string();
    assert!(missing.contains("/nonexistent") && missing.contains("CONFIG_DEBUG_INFO_BTF"), "{missing}");
}

/// Asks everything that can be asked; only that it returns matters.
fn ask_everything(btf: &Btf) {
    for name in ["task_struct", "sock", "outer", "inner_t", "fraction"] {
        let _ = btf.member_offset(name, "pid");
        let _ = btf.member_offset(name, "sched_info.run_delay");
        let _ = btf.struct_size(name);
        let _ = btf.enum_value(name, "X");
    }
    let _ = btf.tracepoint_args("sched_switch");
    let _ = btf.has_tracepoint("sys_enter");
}

fn small_but_complete() -> Vec<u8> {
    let mut b = Builder::default();
    let int = b.int("int", 4);
    let pointer = b.add(2, false, "", 0, 0, &[]);
    let inner = b.structure("", 8, &[("pid", int, 0), ("run_delay", int, 32)]);
    b.composite(4, true, "task_struct", 16, &[("sched_info", inner, 0), ("bit", int, field(65, 1))]);
    let (x, data) = (b.name("X"), b.name("__data"));
    b.add(6, true, "fraction", 4, 1, &[x, 1]);
    b.add(19, true, "fraction", 8, 1, &[x, 1, 0]);
    b.add(8, false, "inner_t", inner, 0, &[]);
    let proto = b.add(13, false, "", 0, 2, &[data, pointer, 0, int]);
    let function = b.add(2, false, "", proto, 0, &[]);
    b.add(8, false, "btf_trace_sched_switch", function, 0, &[]);
    b.bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Random bytes never make the reader panic.
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(btf) = Btf::parse(bytes) {
            ask_everything(&btf);
        }
    }

    /// Nor do random type records behind a good header, which get further.
    #[test]
    fn random_records_never_panic(
        records in proptest::collection::vec((0u32..64, 0u32..20, 0u32..4, any::<bool>(), 0u32..12), 0..60)
    ) {
        let mut b = Builder::default();
        for name in ["task_struct", "pid", "btf_trace_sched_switch", "sched_info", "X", "fraction"] {
            b.name(name);
        }
        for (name, kind, count, flag, reference) in records {
            b.words(&[name, u32::from(flag) << 31 | kind << 24 | count, reference]);
            let words = match kind { 1 | 14 | 17 => 1, 3 => 3, 4 | 5 | 15 | 19 => 3 * count, 6 | 13 => 2 * count, _ => 0 };
            b.words(&vec![reference; words as usize]);
        }
        if let Ok(btf) = Btf::parse(b.bytes()) {
            ask_everything(&btf);
        }
    }

    /// Nor do good types with any few bytes changed.
    #[test]
    fn mutated_bytes_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = small_but_complete();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(btf) = Btf::parse(bytes) {
            ask_everything(&btf);
        }
    }
}

/// The running kernel's BTF; a message and `None` where it has none.
fn kernel_bytes(test: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(KERNEL_BTF).ok();
    if bytes.is_none() {
        eprintln!("{test}: skipped, because {KERNEL_BTF} is missing");
    }
    bytes
}

/// The kernel's own types, cut off or changed anywhere, never make the reader panic.
#[test]
fn mutated_kernel_types_never_panic() {
    let Some(bytes) = kernel_bytes("mutated_kernel_types_never_panic") else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..200);
    let cut = prop_oneof![Just(None), any::<prop::sample::Index>().prop_map(Some)];
    let outcome = runner.run(&(changes, cut), |(changes, cut)| {
        let mut bytes = bytes.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(btf) = Btf::parse(bytes) {
            ask_everything(&btf);
        }
        Ok(())
    });
    outcome.unwrap();
}

/// For every listed member, a second, independent reader finds the same place.
#[test]
fn kernel_members_agree_with_btfparse() {
    struct File(Vec<u8>);
    impl btfparse::Readable for File {
        fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
            let start = usize::try_from(offset).unwrap();
            match self.0.get(start..start + buffer.len()) {
                Some(bytes) => buffer.copy_from_slice(bytes),
                None => return Err(btfparse::Error::new(btfparse::ErrorKind::IOError, "short")),
            }
            Ok(())
        }
    }
    let Some(bytes) = kernel_bytes("kernel_members_agree_with_btfparse") else { return };
    let ours = Btf::parse(&bytes[..]).unwrap();
    let oracle = btfparse::TypeInformation::new(&File(bytes)).unwrap();
    let mut compared = 0;
    for (owner, paths) in [
        (
            "task_struct",
            "pid tgid comm __state flags sched_info.run_delay sched_info.pcount se.sum_exec_runtime nvcsw \
                         nivcsw in_iowait in_execve real_parent group_leader mm files start_time thread_info.flags \
                         thread.fsbase sched_reset_on_fork no_cgroup_migration exit_code",
        ),
        (
            "sock",
            "__sk_common.skc_family __sk_common.skc_dport __sk_common.skc_num __sk_common.skc_daddr \
                  __sk_common.skc_v6_daddr __sk_common.skc_net sk_type sk_protocol sk_receive_queue.qlen sk_socket \
                  __sk_common.skc_reuse __sk_common.skc_state sk_userlocks",
        ),
        ("tcp_sock", "inet_conn.icsk_inet.sk rcv_nxt srtt_us"),
        ("request_sock", "__req_common.skc_family num_timeout"),
        ("file", "f_inode f_mode f_op f_pos"),
        ("inode", "i_ino i_mode i_sb i_rdev"),
        ("super_block", "s_dev s_magic"),
        ("dentry", "d_name.len d_name.name d_inode"),
        ("mm_struct", "arg_start exe_file"),
        ("pt_regs", "di si dx ip sp orig_ax"),
        ("sk_buff", "len data tstamp pkt_type nohdr protocol"),
        ("request", "rq_flags q __sector start_time_ns"),
        ("cgroup", "kn self.id"),
        ("page", "flags mapping _refcount"),
    ] {
        let id = oracle.id_of(owner).unwrap_or_else(|| panic!("{owner}"));
        for path in paths.split_whitespace() {
            let (Ok(mine), Ok((_, theirs))) = (ours.member_offset(owner, path), oracle.offset_of(id, path))
            else {
                let (mine, theirs) = (ours.member_offset(owner, path), oracle.offset_of(id, path));
                assert_eq!(mine.is_ok(), theirs.is_ok(), "{owner}.{path}: {mine:?} {theirs:?}");
                eprintln!("{owner}.{path}: not in this kernel");
                continue;
            };
            match theirs {
                btfparse::Offset::ByteOffset(bytes) => {
                    assert_eq!((mine.bytes, mine.bitfield), (bytes, None), "{owner}.{path}");
                }
                btfparse::Offset::BitOffsetAndSize(bit, size) => {
                    let field = mine.bitfield.unwrap_or_else(|| panic!("{owner}.{path} is a bitfield"));
                    assert_eq!(
                        (mine.bytes * 8 + u32::from(field.shift), u32::from(field.width)),
                        (bit, size)
                    );
                }
            }
            compared += 1;
        }
    }
    assert!(compared >= 40, "only {compared} members compared");
}

/// What the probes rely on is there, with the shapes that the kernel's sources give.
#[test]
fn kernel_facts() {
    let Some(bytes) = kernel_bytes("kernel_facts") else { return };
    let started = std::time::Instant::now();
    let btf = Btf::parse(bytes).unwrap();
    eprintln!("{} types in {:?}", btf.type_count(), started.elapsed());
    let switch = btf.tracepoint_args("sched_switch").unwrap();
    assert_eq!(switch[..3], ["bool", "struct task_struct *", "struct task_struct *"]);
    assert_eq!(btf.tracepoint_args("sys_enter").unwrap(), ["struct pt_regs *", "long int"]);
    assert!(btf.has_tracepoint("sched_wakeup") && !btf.has_tracepoint("sched_nonsense"));
    assert_eq!(btf.enum_value("bpf_map_type", "BPF_MAP_TYPE_HASH").unwrap(), 1);
    assert_eq!(btf.struct_size("list_head").unwrap(), 16);
    assert_eq!(btf.member_offset("task_struct", "comm").unwrap().size, 16);
    assert!(
        btf.member_offset("task_struct", "in_iowait").unwrap().bitfield.is_some_and(|field| field.width == 1)
    );
}
