//! The fuzz target `join`: see `src/join.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flip_net_fuzz::join::run(data));
