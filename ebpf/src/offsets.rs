//! The members of kernel structures that the programs read, in one list for both sides.
//!
//! Each is a constant of the programs (`.rodata`) that the loader sets from the running kernel's BTF before
//! the programs are verified. Loads through trusted pointers are checked by the verifier against the same BTF, so that a
//! wrong offset is refused at load.

/// Calls `$call!` with the list `NAME: "struct" "member",…`.
#[macro_export]
macro_rules! for_each_offset {
    ($call:ident) => {
        $call! {
            TASK_PID: "task_struct" "pid",
            TASK_TGID: "task_struct" "tgid",
            TASK_COMM: "task_struct" "comm",
            TASK_STATE: "task_struct" "__state",
            TASK_ON_CPU: "task_struct" "on_cpu",
            TASK_FLAGS: "task_struct" "flags",
            TASK_NVCSW: "task_struct" "nvcsw",
            TASK_START_TIME: "task_struct" "start_time",
            TASK_RAN: "task_struct" "se.sum_exec_runtime",
            TASK_WAITED: "task_struct" "sched_info.run_delay",
            TASK_LAST_ARRIVAL: "task_struct" "sched_info.last_arrival",
            TASK_MM: "task_struct" "mm",
            MM_MMAP_LOCK: "mm_struct" "mmap_lock",
            TASK_IN_IOWAIT: "task_struct" "in_iowait",
            TASK_FILES: "task_struct" "files",
            TASK_STORAGE: "task_struct" "bpf_storage",
            FILES_FDT: "files_struct" "fdt",
            FDT_FD: "fdtable" "fd",
            FDT_MAX_FDS: "fdtable" "max_fds",
            FILE_INODE: "file" "f_inode",
            FILE_PRIVATE: "file" "private_data",
            INODE_MODE: "inode" "i_mode",
            INODE_INO: "inode" "i_ino",
            SOCKET_SK: "socket" "sk",
            SOCKET_INODE: "socket_alloc" "vfs_inode",
            SOCK_SOCKET: "sock" "sk_socket",
            SOCK_PROTOCOL: "sock" "sk_protocol",
            SOCK_WMEM_QUEUED: "sock" "sk_wmem_queued",
            SOCK_SNDBUF: "sock" "sk_sndbuf",
            SKC_FAMILY: "sock_common" "skc_family",
            SKC_STATE: "sock_common" "skc_state",
            SKC_NUM: "sock_common" "skc_num",
            SKC_DPORT: "sock_common" "skc_dport",
            SKC_DADDR: "sock_common" "skc_daddr",
            SKC_SADDR: "sock_common" "skc_rcv_saddr",
            SKC_V6_DADDR: "sock_common" "skc_v6_daddr",
            SKC_V6_SADDR: "sock_common" "skc_v6_rcv_saddr",
            TCP_RCV_NXT: "tcp_sock" "rcv_nxt",
            TCP_COPIED_SEQ: "tcp_sock" "copied_seq",
            UNIX_ADDR: "unix_sock" "addr",
            UNIX_PEER: "unix_sock" "peer",
            SKB_LEN: "sk_buff" "len",
            SKB_HEAD: "sk_buff" "head",
            SKB_TRANSPORT: "sk_buff" "transport_header",
            REGS_NR: "pt_regs" "orig_ax",
            REGS_ARG0: "pt_regs" "di",
            REGS_ARG1: "pt_regs" "si",
            REGS_ARG2: "pt_regs" "dx",
            REGS_ARG3: "pt_regs" "r10",
            REGS_ARG4: "pt_regs" "r8",
            REGS_IP: "pt_regs" "ip",
            REGS_SP: "pt_regs" "sp",
            REGS_BP: "pt_regs" "bp",
        }
    };
}

/// One member whose offset the programs need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Name of the constant in the programs.
    pub global: &'static str,
    /// The kernel's structure.
    pub structure: &'static str,
    /// Its member.
    pub member: &'static str,
}

macro_rules! list {
    ($($name:ident: $structure:literal $member:literal,)*) => {
        /// Every offset that the programs need.
        pub const OFFSETS: &[Offset] = &[
            $(Offset { global: stringify!($name), structure: $structure, member: $member },)*
        ];
    };
}
for_each_offset!(list);

/// Shift and mask of `task_struct.in_iowait` in the byte at `TASK_IN_IOWAIT`.
pub const IN_IOWAIT_MASK: &str = "TASK_IN_IOWAIT_MASK";
