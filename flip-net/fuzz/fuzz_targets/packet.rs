//! The fuzz target `packet`: see `src/packet.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flip_net_fuzz::packet::run(data));
