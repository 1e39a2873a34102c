//! The fuzz target `flipd_config`: see `src/flipd_config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flip_net_fuzz::flipd_config::run(data));
