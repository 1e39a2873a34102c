//! The fuzz target `seal`: see `src/seal.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flip_net_fuzz::seal::run(data));
