//! The fuzz target `flip_box`: see `src/flip_box.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flip_net_fuzz::flip_box::run(data));
