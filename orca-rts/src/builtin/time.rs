//! Module Time: the clock of the processor, counted from the start of the program. (Sleep waits, so it is the worker's.)
//!
//! Implements: ORCA 11 (Time).
#![allow(unsafe_code, reason = "calls the C library for the date")]
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use super::local::Clock;
use crate::entry::{leaves, place};
use crate::value::array;
use crate::value::describe::text;

const STARS: &str = "***********************************************************";

leaves! {
    TimeGetTime(local) -> i32 {
        local.with(|state| (state.clock.micros() / 100_000) as i32)
    }
    TimeSysMilli(local) -> i32 {
        local.with(|state| (state.clock.micros() / 1000) as i32)
    }
    TimeSysMicro(local) -> f64 {
        local.with(|state| state.clock.micros() as f64)
    }
    TimePrintTime(local, name: u64, delta: i32) {
        let name = String::from_utf8_lossy(array::string_bytes(place(name)));
        let (date, ncpus, info) = local.with(|state| {
            let date = match state.clock {
                Clock::Real(_) => date(),
                Clock::Stepped(_) => "Thu Jan  1 00:00:00 1970".to_owned(),
            };
            (date, state.ncpus, compilation_info(text(&state.program.get().name)))
        });
        let line = format!(
            "Date: {date}; Application: {name}; #CPUs: {ncpus}; Time: {:.3} sec.\n\n{info}",
            f64::from(delta) / 1000.0
        );
        local.write(|out| out.extend_from_slice(line.as_bytes()));
        local.end_write(false);
    }
    TimePrintCompilationInfo(local) {
        let info = local.with(|state| compilation_info(text(&state.program.get().name)));
        local.write(|out| out.extend_from_slice(info.as_bytes()));
        local.end_write(false);
    }
}

fn compilation_info(program: &str) -> String {
    format!(
        "{STARS}\nCompilation date: unknown\nOrca compilation command: orcac build {program}\n\
         C compilation command: none\nLink command: none\n{STARS}\n"
    )
}

/// The date as C's `ctime` prints it, without the newline.
fn date() -> String {
    let mut buffer = [0u8; 64];
    // SAFETY: ctime_r writes 26 bytes at most, and reads a valid time.
    unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut broken_down = std::mem::zeroed();
        libc::localtime_r(&now, &mut broken_down);
        libc::strftime(
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            c"%a %b %e %H:%M:%S %Y".as_ptr(),
            &broken_down,
        );
    }
    let end = buffer.iter().position(|&byte| byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}
