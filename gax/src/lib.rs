//! The launcher: starts a parallel program, one operating-system process for each processor, and stays until all have ended.
//!
//! The way of a run: [`options`] says what was asked for, [`spawn`] starts the processors, [`session`] speaks with them
//! over their control channels until the verdict is clear, [`output`] puts what they wrote in order, [`report`] prints
//! what they counted. The rules of status and cleaning up are those of `CONTRACT.md`: whatever ends the run, no process is
//! left behind.
//!
//! [`flipd`] is a command of its own: the box that joins networks.
//!
//! It is not on the path of a message between processors: those talk to each other directly.

pub mod flipd;
pub mod options;
pub mod os;
pub mod output;
pub mod report;
pub mod session;
pub mod spawn;
pub mod writer;

/// Exit statuses that the launcher itself decides on.
pub mod status {
    pub const COMMAND_LINE: u8 = 2;
    pub const CANNOT_READ: u8 = 66;
    pub const IO_ERROR: u8 = 70;
    pub const LOST: u8 = 71;
    pub const INTERNAL: u8 = 75;
    pub const TIME_OUT: u8 = 124;
    pub const CANNOT_RUN: u8 = 126;
    pub const NOT_FOUND: u8 = 127;
    pub const INTERRUPTED: u8 = 130;
    pub const TERMINATED: u8 = 143;
}

/// Runs the command line `arguments` (with the command's own name first) and returns the exit status.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    let options = match options::parse(arguments) {
        Ok(options) => options,
        Err(stop) => return stop.report(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("gax: cannot start: {error}");
            return status::IO_ERROR;
        }
    };
    let status = runtime.block_on(session::run(options));
    // A thread may be waiting for standard input, perhaps for ever.
    runtime.shutdown_background();
    status
}
