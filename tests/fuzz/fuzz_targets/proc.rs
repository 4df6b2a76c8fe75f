#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| whywait::fuzzing::proc(bytes));
