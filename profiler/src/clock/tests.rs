//! The rules of ownership on small histories, and the identity on random ones.

use std::collections::HashMap;

use proptest::prelude::*;
use whywait_ebpf::{
    abi::{
        Conn, OffCpu, SockOp, SockState, Thread, born, file_kind, off_cpu, op, role, sock_flag, task_state,
    },
    syscalls as call,
};

use super::*;
use crate::decode::{Event, Routes, What};

/// A history, written event by event.
#[derive(Default)]
struct History {
    clock: RequestClock,
    done: Vec<Request>,
    seqs: HashMap<u32, u32>,
    ops: HashMap<u64, u32>,
    routes: Routes,
}

impl History {
    fn event(&mut self, at: u64, tid: u32, what: What) -> &mut Self {
        let seq = self.seqs.entry(tid).or_default();
        let event =
            Event { at: Ns(at), tid: Tid(tid), pid: Pid(1), seq: *seq, missing: 0, cpu: 0, spun: 0, what };
        *seq += 1;
        self.clock.apply(&event, &mut self.done);
        self
    }

    fn runs(&mut self, at: u64, tid: u32) -> &mut Self {
        self.event(at, tid, What::Thread(Thread { how: born::FOUND, running: 1, ..Thread::default() }))
    }

    fn conn(&mut self, at: u64, id: u64, role: u8) -> &mut Self {
        let conn = Conn { id, sock: id + 1000, established: 1, role, ..Conn::default() };
        self.event(at, 1, What::Conn(conn))
    }

    fn op(&mut self, at: u64, tid: u32, conn: u64, op: u8, ret: i64, arrival: u64) -> &mut Self {
        self.head(at, tid, conn, op, ret, arrival, b"")
    }

    #[expect(clippy::too_many_arguments, reason = "one event with all that matters of it")]
    fn head(
        &mut self,
        at: u64,
        tid: u32,
        conn: u64,
        op: u8,
        ret: i64,
        arrival: u64,
        head: &[u8],
    ) -> &mut Self {
        let conn_seq = self.ops.entry(conn).or_default();
        let record = SockOp { conn, op, ret, arrival, conn_seq: *conn_seq, ..SockOp::default() };
        *conn_seq += 1;
        let route = self.routes.of(head);
        self.event(at, tid, What::Socket { op: record, route })
    }

    /// Off the CPU from `left`, woken, back at `at`.
    fn off(&mut self, tid: u32, syscall: i32, left: u64, woken: u64, at: u64) -> &mut Self {
        self.event(at, tid, What::OffCpu(blocked(syscall, left, woken)))
    }

    fn finish(&mut self, at: u64) -> &[Request] {
        self.clock.finish(Ns(at), &mut self.done);
        &self.done
    }
}

fn blocked(syscall: i32, left: u64, woken: u64) -> OffCpu {
    OffCpu {
        left,
        woken,
        queued: woken,
        args: [5, 1, 1],
        timeout: -1,
        syscall,
        waker_syscall: -1,
        flags: off_cpu::VOLUNTARY,
        state: task_state::INTERRUPTIBLE,
        ..OffCpu::default()
    }
}

/// Times of a request by the states that are not zero.
fn split(request: &Request) -> Vec<(State, u64)> {
    request.times.iter().filter(|(_, time)| *time > 0).collect()
}

#[test]
fn a_thread_that_reads_works_and_writes_owns_the_request() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER);
    history.off(1, call::EPOLL_WAIT, 10, 100, 110);
    history.head(120, 1, 1, op::RECV, 50, 90, b"GET /a?b HTTP/1.1").off(1, call::FUTEX, 150, 180, 185);
    let requests = history.op(200, 1, 1, op::SEND, 9, 0).finish(300);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].route.as_deref(), Some("GET /a"));
    let expected =
        [(State::RecvQueue, 10), (State::OnCpu, 10 + 30 + 15), (State::RunQueue, 10 + 5), (State::Lock, 30)];
    assert_eq!(split(&requests[0]), expected);
    assert_eq!(requests[0].latency(), 110);
}

#[test]
fn a_response_of_many_writes_ends_with_the_last_one_before_the_next_read() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 9);
    history.op(20, 1, 1, op::SEND, 5, 0).op(30, 1, 1, op::SEND, 5, 0).op(40, 1, 1, op::RECV, 5, 35);
    let requests = history.op(60, 1, 1, op::SEND, 5, 0).finish(100);
    let ends: Vec<u64> = requests.iter().map(|request| request.end.0).collect();
    assert_eq!(ends, [30, 60]);
    assert_eq!(requests[0].sent.0, 10);
}

#[test]
fn a_request_in_many_segments_begins_with_the_first() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 8).op(20, 1, 1, op::RECV, 5, 18);
    let requests = history.op(30, 1, 1, op::SEND, 5, 0).finish(100);
    assert_eq!((requests.len(), requests[0].start.0, requests[0].received.0), (1, 8, 10));
}

#[test]
fn a_pool_gets_its_work_by_a_wake_up() {
    // Thread 1 reads and wakes thread 2 by a futex; thread 2 computes and wakes thread 1, which writes.
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    let woken = OffCpu { waker_tid: 1, waker_syscall: call::FUTEX, ..blocked(call::FUTEX, 1, 20) };
    history.event(22, 2, What::OffCpu(woken));
    // Thread 1 waited for events from 25 to 92; thread 2 was idle again from 90 on.
    let back = OffCpu { waker_tid: 2, waker_syscall: call::WRITE, ..blocked(call::EPOLL_WAIT, 25, 90) };
    history.event(92, 1, What::OffCpu(back)).op(95, 1, 1, op::SEND, 5, 0);
    history.off(2, call::FUTEX, 91, 200, 201);
    let requests = history.finish(300);
    // 10..25 the loop, 25..90 the pool on its CPU, 90..92 the loop waits for a CPU, 92..95 it writes.
    assert_eq!(split(&requests[0]), [(State::OnCpu, 15 + 65 + 3), (State::RunQueue, 2)]);
}

/// A wait for a futex from `left` to `woken`, ended by `waker`.
fn woken_by(waker: u32, waker_syscall: i32, futex: u64, left: u64, woken: u64) -> What {
    let wait = blocked(call::FUTEX, left, woken);
    What::OffCpu(OffCpu { waker_tid: waker, waker_syscall, args: [futex, 0, 0], ..wait })
}

/// A loop's wait for events, ended by `waker`.
fn events_by(waker: u32, left: u64, woken: u64) -> What {
    let wait = blocked(call::EPOLL_WAIT, left, woken);
    What::OffCpu(OffCpu { waker_tid: waker, waker_syscall: call::WRITE, ..wait })
}

#[test]
fn a_pools_work_counts_when_the_pool_thread_is_not_heard_of_before_the_next_request() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 2, woken_by(1, call::FUTEX, 0x70, 1, 20)).event(90, 1, events_by(2, 25, 90));
    history.op(95, 1, 1, op::SEND, 5, 0).op(120, 1, 1, op::RECV, 5, 120).op(130, 1, 1, op::SEND, 5, 0);
    let requests = history.event(200, 2, woken_by(1, call::FUTEX, 0x70, 92, 200)).finish(300);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 85)]);
}

#[test]
fn a_pools_work_counts_when_the_loop_was_awake_and_the_pool_thread_comes_back_late() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 2, woken_by(1, call::FUTEX, 0x70, 1, 20)).event(80, 1, events_by(0, 25, 80));
    history.op(95, 1, 1, op::SEND, 5, 0).op(120, 1, 1, op::RECV, 5, 120).op(130, 1, 1, op::SEND, 5, 0);
    // It had finished at 90, while the loop was awake, so it woke nobody.
    assert!(history.done.is_empty());
    history.event(200, 2, woken_by(1, call::FUTEX, 0x70, 90, 200)).op(210, 1, 1, op::RECV, 5, 205);
    assert_eq!(split(&history.done[0]), [(State::OnCpu, 85)]);
}

#[test]
fn a_request_does_not_wait_for_a_pool_thread_for_ever() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 2, woken_by(1, call::FUTEX, 0x70, 1, 20)).event(90, 1, events_by(0, 25, 90));
    history.op(95, 1, 1, op::SEND, 5, 0).op(120, 1, 1, op::RECV, 5, 120);
    history.op(LINGER + 121, 1, 1, op::SEND, 5, 0);
    assert_eq!(history.done.len(), 1);
}

#[test]
fn a_pool_thread_that_waits_for_its_next_piece_of_work_waits_for_no_lock() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 2, woken_by(1, call::FUTEX, 0x70, 1, 20));
    // It is done at 50, and gets other work at 80. The loop has a long turn and answers the first request at 100. The condition
    // variable has two futexes.
    history.op(60, 1, 2, op::RECV, 5, 60).event(80, 2, woken_by(1, call::FUTEX, 0x74, 50, 80));
    let requests = history.op(100, 1, 1, op::SEND, 5, 0).finish(300);
    assert_eq!(requests[0].times[State::Lock], 0);
}

#[test]
fn a_pool_threads_lock_is_a_lock_although_its_holder_was_woken_for_it_and_sleeps() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 2, woken_by(1, call::FUTEX, 0x70, 1, 20));
    // Thread 2 asks thread 3 at 30 and waits until 80; thread 3 sleeps meanwhile.
    history.event(30, 3, woken_by(2, call::FUTEX, 0x90, 2, 30)).off(3, call::NANOSLEEP, 35, 75, 75);
    history.event(80, 2, woken_by(3, call::FUTEX, 0xa0, 32, 80)).event(90, 1, events_by(2, 25, 90));
    history.event(250, 3, woken_by(9, call::FUTEX, 0x90, 85, 250));
    let requests = history.op(95, 1, 1, op::SEND, 5, 0).finish(300);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 10 + 5 + 7 + 15), (State::Lock, 48)]);
}

/// Two requests are read at once, and the thread waits for a lock for the first: what its holder waits for is not what the second waits for.
#[test]
fn the_holder_of_a_lock_works_for_none_of_the_requests_that_were_read_together() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::SERVER);
    history.op(10, 1, 1, op::RECV, 5, 10).op(10, 1, 2, op::RECV, 5, 10);
    // Thread 1 asks thread 3, is told that the lock is held, and waits for it; thread 3 sleeps, lets it go, and waits to be asked again.
    history.event(22, 3, woken_by(1, call::FUTEX, 0x90, 2, 20)).event(
        32,
        1,
        woken_by(3, call::FUTEX, 0xb0, 25, 30),
    );
    history.off(3, call::NANOSLEEP, 35, 75, 75).event(80, 1, woken_by(3, call::FUTEX, 0xa0, 36, 78));
    history.op(90, 1, 1, op::SEND, 5, 0).op(95, 1, 2, op::SEND, 5, 0);
    history.event(250, 3, woken_by(9, call::FUTEX, 0x90, 85, 250));
    let requests = history.finish(300);
    let sleep: Vec<u64> = requests.iter().map(|request| request.times[State::Sleep]).collect();
    assert_eq!(sleep, [0, 0]);
    assert!(requests[0].times[State::Lock] > 40, "{:?}", split(&requests[0]));
}

#[test]
fn an_owner_that_waits_for_work_again_leaves_the_request_to_the_pool() {
    // Thread 1 waits for work on a futex, reads, hands over to thread 2, waits for work again, and is woken by thread 2.
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).event(8, 1, woken_by(9, call::FUTEX, 0x50, 1, 8));
    history.op(10, 1, 1, op::RECV, 5, 10).event(20, 2, woken_by(1, call::FUTEX, 0x70, 1, 20));
    history.off(2, call::NANOSLEEP, 30, 70, 70).event(90, 1, woken_by(2, call::FUTEX, 0x50, 25, 90));
    let requests = history.op(95, 1, 1, op::SEND, 5, 0).finish(300);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 20 + 20 + 5), (State::Sleep, 40)]);
}

#[test]
fn work_that_a_pool_thread_took_without_having_slept_is_no_lock() {
    // As before, but thread 2 was woken for the request of thread 3, and then found that of thread 1 in the queue.
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::SERVER).event(
        8,
        1,
        woken_by(9, call::FUTEX, 0x50, 1, 8),
    );
    history.op(10, 1, 1, op::RECV, 5, 10).op(11, 3, 2, op::RECV, 5, 11);
    history.event(20, 2, woken_by(3, call::FUTEX, 0x70, 1, 20)).event(
        90,
        1,
        woken_by(2, call::FUTEX, 0x50, 25, 90),
    );
    let requests = history.op(95, 1, 1, op::SEND, 5, 0).finish(300);
    assert_eq!(split(&requests[0]), [(State::AppQueue, 65), (State::OnCpu, 20)]);
}

#[test]
fn an_owner_that_waits_for_a_lock_where_it_waits_for_work_waits_for_a_lock() {
    // A thread of Java parks at one address, whatever for; what it touches next tells what it was.
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).event(8, 1, woken_by(9, call::FUTEX, 0x50, 1, 8));
    history.op(10, 1, 1, op::RECV, 5, 10).event(60, 1, woken_by(3, call::FUTEX, 0x50, 20, 60));
    let requests = history.op(70, 1, 1, op::SEND, 5, 0).finish(300);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 20), (State::Lock, 40)]);
}

const MS: u64 = 1_000_000;

/// A wait for events with a time-out of so many milliseconds.
fn events_for(timeout: u64, left: u64, woken: u64) -> What {
    What::OffCpu(OffCpu { timeout: (timeout * MS).cast_signed(), ..blocked(call::EPOLL_WAIT, left, woken) })
}

#[test]
fn all_timers_of_one_turn_are_timers() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::SERVER);
    history.op(10, 1, 1, op::RECV, 5, 10).op(20, 1, 2, op::RECV, 5, 20);
    history.event(10 * MS + 50, 1, events_for(10, 40, 10 * MS + 45));
    history.op(10 * MS + 60, 1, 1, op::SEND, 5, 0).op(10 * MS + 70, 1, 2, op::SEND, 5, 0);
    let requests = history.finish(20 * MS);
    let slept: Vec<u64> = requests.iter().map(|request| request.times[State::Sleep]).collect();
    assert_eq!(slept, [10 * MS + 25, 10 * MS + 5]);
}

#[test]
fn a_timer_that_is_due_in_a_turn_that_an_event_began_is_a_timer() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(9 * MS + 500_010, 1, events_for(10, 10, 9 * MS + 500_000));
    history.op(9 * MS + 500_020, 1, 2, op::RECV, 5, 9 * MS + 500_000).op(
        9 * MS + 500_030,
        1,
        2,
        op::SEND,
        5,
        0,
    );
    let requests = history.op(9 * MS + 600_000, 1, 1, op::SEND, 5, 0).finish(20 * MS);
    assert!(requests[0].times[State::Sleep] >= 9 * MS + 500_000, "{:?}", split(&requests[0]));
}

#[test]
fn a_timer_that_is_far_off_brings_nothing_back() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(MS, 1, events_for(10, 10, MS));
    let requests = history.op(2 * MS, 1, 1, op::SEND, 5, 0).finish(20 * MS);
    assert_eq!(requests[0].times[State::Sleep], 0);
}

#[test]
fn the_thread_that_a_timer_woke_hands_it_on() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10).off(
        1,
        call::EPOLL_WAIT,
        15,
        20,
        20,
    );
    history.event(10 * MS, 2, events_for(10, 1, 10 * MS));
    history.event(10 * MS + 20, 1, woken_by(2, call::FUTEX, 0x50, 30, 10 * MS + 10));
    let requests = history.op(10 * MS + 30, 1, 1, op::SEND, 5, 0).finish(20 * MS);
    assert!(requests[0].times[State::Sleep] > 9 * MS, "{:?}", split(&requests[0]));
}

#[test]
fn a_call_to_another_service_is_downstream_until_its_answer_arrives() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::CLIENT).op(10, 1, 1, op::RECV, 5, 10);
    history.op(20, 1, 2, op::SEND, 5, 0).off(1, call::EPOLL_WAIT, 22, 80, 85);
    // The answer came at 80; the loop is back at 85 and reads it at 90.
    let requests = history.op(90, 1, 2, op::RECV, 5, 80).op(100, 1, 1, op::SEND, 5, 0).finish(200);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 12 + 15), (State::RunQueue, 5), (State::Downstream, 58)]);
}

#[test]
fn a_loop_that_its_own_time_out_brings_back_had_a_timer() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    let timer = OffCpu { timeout: 10_000_000, ..blocked(call::EPOLL_WAIT, 20, 10_000_120) };
    history.event(10_000_200, 1, What::OffCpu(timer));
    let requests = history.op(10_000_300, 1, 1, op::SEND, 5, 0).finish(20_000_000);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 110), (State::RunQueue, 80), (State::Sleep, 10_000_100)]);
}

#[test]
fn the_wait_for_the_next_request_belongs_to_nobody() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10).op(20, 1, 1, op::SEND, 5, 0);
    let wait = OffCpu { file: file_kind::SOCKET, object: 1001, ..blocked(call::RECVFROM, 25, 100) };
    history.event(101, 1, What::OffCpu(wait));
    let requests = history.op(105, 1, 1, op::RECV, 5, 100).op(110, 1, 1, op::SEND, 5, 0).finish(200);
    assert_eq!(split(&requests[1]), [(State::OnCpu, 9), (State::RunQueue, 1)]);
}

#[test]
fn what_waits_while_its_reader_serves_another_waits_to_be_read() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).conn(5, 2, role::SERVER);
    history.op(10, 1, 1, op::RECV, 5, 10).op(50, 1, 1, op::SEND, 5, 0);
    let requests = history.op(52, 1, 2, op::RECV, 5, 12).op(60, 1, 2, op::SEND, 5, 0).finish(100);
    assert_eq!(split(&requests[1]), [(State::RecvQueue, 38), (State::OnCpu, 10)]);
}

#[test]
fn a_full_send_buffer_is_the_clients_doing() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.op(20, 1, 1, op::SEND, 5, 0).op(21, 1, 1, op::SEND, -11, 0).off(1, call::EPOLL_WAIT, 25, 90, 91);
    let requests = history.op(95, 1, 1, op::SEND, 5, 0).finish(200);
    assert_eq!(split(&requests[0]), [(State::OnCpu, 15 + 4), (State::RunQueue, 1), (State::Send, 65)]);
}

#[test]
fn a_client_that_goes_away_leaves_no_request() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 1, What::SockState(SockState { conn: 1, old: 1, new: 7, ..SockState::default() }));
    assert!(history.finish(100).is_empty());
    assert_eq!(history.clock.tally().unanswered, 1);
}

/// The kernel tells of no end of a Unix socket; `PostgreSQL`'s processes end with a farewell that nobody answers.
#[test]
fn a_unix_socket_ends_with_the_last_thread_of_its_process() {
    let mut history = History::default();
    history.runs(0, 1).runs(0, 2).conn(5, 1, role::SERVER).op(10, 1, 1, op::RECV, 5, 10);
    history.event(20, 1, What::ThreadEnd);
    assert_eq!(history.clock.tally().unanswered, 0);
    history.event(30, 2, What::ThreadEnd);
    assert_eq!(history.clock.tally().unanswered, 1);
    assert!(history.finish(100).is_empty());
    assert_eq!(history.clock.tally().in_flight, 0);
}

#[test]
fn a_connection_from_before_counts_from_its_first_whole_request() {
    let mut history = History::default();
    let old = Conn { id: 1, sock: 1001, role: role::SERVER, ..Conn::default() };
    history.runs(0, 1).event(5, 1, What::Conn(old)).op(10, 1, 1, op::RECV, 5, 10).op(
        20,
        1,
        1,
        op::SEND,
        5,
        0,
    );
    let requests = history.op(30, 1, 1, op::RECV, 5, 25).op(40, 1, 1, op::SEND, 5, 0).finish(100);
    assert_eq!(requests.iter().map(|request| request.start.0).collect::<Vec<_>>(), [25]);
}

#[test]
fn the_answer_to_half_a_request_is_not_its_end() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).head(10, 1, 1, op::RECV, 99, 10, b"POST /up HTTP/1.1");
    history.op(15, 1, 1, op::SEND, 25, 0).head(30, 1, 1, op::RECV, 99, 28, b"body");
    let requests = history.op(40, 1, 1, op::SEND, 70, 0).finish(100);
    assert_eq!((requests.len(), requests[0].latency(), requests[0].sent.0), (1, 30, 70));
}

#[test]
fn a_lost_operation_marks_the_request_and_loses_no_later_one() {
    let mut history = History::default();
    history.runs(0, 1).conn(5, 1, role::SERVER).head(10, 1, 1, op::RECV, 9, 10, b"GET / HTTP/1.1");
    history.op(20, 1, 1, op::SEND, 5, 0);
    *history.ops.entry(1).or_default() += 2;
    history.head(50, 1, 1, op::RECV, 9, 45, b"GET / HTTP/1.1");
    let requests = history.op(60, 1, 1, op::SEND, 5, 0).finish(100);
    assert_eq!(requests.iter().map(|request| request.touched_by_loss).collect::<Vec<_>>(), [true, false]);
}

/// A random event: thread, connection, kind and two lengths.
fn random() -> impl Strategy<Value = Vec<(u32, u64, u8, u64, u64, bool)>> {
    proptest::collection::vec(
        (1_u32..5, 1_u64..5, 0_u8..12, 0_u64..200, 0_u64..200, prop::bool::weighted(0.05)),
        0..300,
    )
}

proptest! {
    #[test]
    fn the_states_of_every_request_sum_to_its_latency(events in random()) {
        let mut history = History::default();
        for id in 1..5 {
            history.conn(1, id, if id < 4 { role::SERVER } else { role::CLIENT });
        }
        let mut now = 10;
        for (tid, conn, kind, a, b, lost) in events {
            let left = now + a / 3;
            let woken = left + b / 2;
            now += a + b;
            if lost {
                *history.seqs.entry(tid).or_default() += 1;
                *history.ops.entry(conn).or_default() += 1;
                history.clock.loss();
            }
            let waker = OffCpu { waker_tid: (tid % 4) + 1, waker_syscall: call::FUTEX, ..OffCpu::default() };
            let mut interval = |syscall, flags| {
                let wait = OffCpu { waker_tid: waker.waker_tid, waker_syscall: waker.waker_syscall, ..blocked(syscall, left, woken) };
                history.event(now, tid, What::OffCpu(OffCpu { flags, object: conn + 1000, file: file_kind::SOCKET, ..wait }));
            };
            match kind {
                0 => interval(call::EPOLL_WAIT, off_cpu::VOLUNTARY),
                1 => interval(call::FUTEX, off_cpu::VOLUNTARY),
                2 => interval(call::READ, off_cpu::VOLUNTARY),
                3 => interval(call::SENDTO, off_cpu::VOLUNTARY | off_cpu::KERNEL_LOCK),
                4 => interval(-1, 0),
                5 => interval(call::NANOSLEEP, off_cpu::VOLUNTARY | off_cpu::CLIPPED),
                6..=8 => { history.op(now, tid, conn, op::RECV, 5, now.saturating_sub(b)); }
                9 => { history.op(now, tid, conn, op::SEND, -11, 0); }
                10 => { history.op(now, tid, conn, op::SEND, 5, 0); }
                _ => {
                    let change = SockState { conn, old: 1, new: if a % 2 == 0 { 7 } else { 1 }, ..SockState::default() };
                    history.event(now, tid, What::SockState(change));
                    history.conn(now, conn, if conn < 4 { role::SERVER } else { role::CLIENT });
                    history.ops.remove(&conn);
                }
            }
        }
        let end = now + 10;
        for request in history.finish(end) {
            prop_assert_eq!(request.times.total(), request.latency());
            prop_assert!(request.start <= request.end && request.end.0 <= end);
        }
    }

    #[test]
    fn a_read_before_the_accept_parts_the_two_queues(accept in 0_u64..50, read in 50_u64..100) {
        let mut history = History::default();
        history.runs(0, 1).conn(5, 1, role::SERVER).op(100 + accept, 1, 1, op::ACCEPT, 0, 0);
        history.off(1, call::EPOLL_WAIT, 100 + accept, 100 + read, 100 + read);
        let op = SockOp { conn: 1, op: op::RECV, ret: 5, arrival: 100, conn_seq: 1, flags: sock_flag::BEFORE_ACCEPT, ..SockOp::default() };
        history.ops.insert(1, 2);
        history.event(100 + read, 1, What::Socket { op, route: None });
        let requests = history.op(200, 1, 1, op::SEND, 5, 0).finish(300);
        prop_assert_eq!(requests[0].times[State::AcceptQueue], accept);
        prop_assert_eq!(requests[0].times[State::RecvQueue], read - accept);
    }
}
