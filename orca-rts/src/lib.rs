//! The run-time system of Orca: one processor of a program, from the heap to the total order.
//!
//! Compiled code and this crate meet in `orca-abi`. A processor is, from below:
//!
//! - an arena with the heap and the stacks ([`heap`], [`process::stack`]), values in it ([`value`], [`marshal`]);
//! - the switch between the worker and compiled code, and the entries that compiled code calls ([`process::switch`], [`entry`], [`builtin`]);
//! - the [`kernel`]: objects, processes, what the total order does to them; pure and steppable;
//! - the worker, which runs processes and serves their requests ([`process::worker`]);
//! - a driver: [`run`] for real, [`Stepped`] for the simulator.
//!
//! The order in which to drain: after each call into a kernel or worker, take its commands and jobs until there are none.

mod builtin;
mod doorbell;
mod driver;
mod entry;
mod format;
mod heap;
mod kernel;
mod launched;
mod local_group;
mod marshal;
mod message;
mod object;
mod over_group;
mod placement;
mod process;
mod roster;
mod stepped;
mod traffic;
mod transport;
mod trap;
mod value;

pub mod control_channel;
pub mod networks;

pub use builtin::output::Sink;
pub use doorbell::Bell;
pub use driver::{
    MakeSink, Options, ReadMore, StandardInput, StandardOutput, join_outcomes, report, run,
    run_and_report, run_over, run_processor,
};
pub use heap::ArenaError;
pub use kernel::{Command, Delivery};
pub use over_group::{GroupError, OverGroup};
pub use process::stack::STACK_BYTES_DEFAULT;
pub use roster::Roster;
pub use stepped::{Progress, Stepped};
pub use traffic::{Counted, Traffic};
pub use transport::Transport;
pub use trap::{Outcome, STATUS_FINE, STATUS_INTERNAL, STATUS_LOST, STATUS_TRAP};
pub use value::describe::{ProgramError, ProgramRef};
