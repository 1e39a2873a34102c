//! The primitives of Amoeba for Rust programs: groups and transactions that block the thread that
//! calls them, on the engines and the driver of every other processor.
//!
//! | Amoeba | here | blocks until |
//! |---|---|---|
//! | `grp_create`, `grp_join` | [`Group::create`], [`Group::join`] | the processor is in the group |
//! | `grp_send` | [`Group::send`] | the message has its place in the order |
//! | `grp_receive` | [`Group::receive`] | there is something, in the order |
//! | `grp_reset` | [`Group::reset`] | the group is formed anew |
//! | `grp_leave` | [`Group::leave`] | the leave has its place in the order |
//! | `grp_info`, `grp_set` | [`Group::info`], [`Group::set`] | never |
//! | `grp_forward` | [`Rpc::forward_request`] | the client knows |
//! | `trans` | [`Rpc::trans`] | there is a reply |
//! | `getreq` | [`Rpc::get_request`] | there is a request |
//! | `putrep` | [`Rpc::put_reply`] | the client has the reply |
//!
//! Any number of threads may be in any of them at once, but for `receive`. Whoever waits receives
//! for itself, if nobody else does: there is no thread between the network and the caller. Nothing
//! waits for ever for somebody who is gone: a silent member breaks the group, a silent server or
//! client ends the transaction. What waits for the application of somebody alive (a request, a
//! message, room in the history of a group in which somebody does not receive) may take as long as
//! that takes; for these there are variants with a deadline, whose errors name who is waited for.
//!
//! Every failure has a type, and Amoeba's number for it (`code`):
//!
//! | Amoeba | here |
//! |---|---|
//! | BC_FAIL | `TimedOut`, `Expelled`, `SecondReceiver`, `ResetError::TooFew` |
//! | BC_ABORT | `SendError::Aborted`, `SendError::Failed`, `ReceiveError::Aborted` |
//! | BC_TOOBIG | `SendError::TooLarge` |
//! | BC_BADPORT, STD_ARGBAD, STD_NOMEM | `EnterError::Config`, `EnterError::Driver` |
//! | BC_NOEXIST | `EnterError::NotFound`, `NotMember` |
//! | BC_TOOMANY, STD_EXISTS | cannot be: there is no table of groups, and senders wait for room |
//! | BC_ILLRESET | cannot be: a group that is well is left as it is |
//! | RPC_FAILURE | `rpc::Failure::ContactLost`, `TooBig`, `NotServing`, `ServeError::NoSuchMember` |
//! | RPC_NOTFOUND, RPC_UNSAFE | `rpc::Failure::NotFound`, `rpc::Failure::Unsafe` |
//! | RPC_BADADDRESS | `rpc::ServeError::BadAddress` |
//! | RPC_ABORTED | `rpc::Failure::Aborted`, `ServeError::Unacknowledged` |
//! | RPC_TRYAGAIN | `rpc::TransError::TryAgain`, `rpc::ServeError::TryAgain`, `ServeError::TimedOut` |
//! | RPC_BADPORT | `rpc::TransError::BadPort`, `rpc::ServeError::BadPort` |
//!
//! With the feature `async` each that blocks has a twin that gives a future, for any executor.
//!
//! One processor is in one group; a process may hold many processors.
//!
//! Implements: [Thesis §3.3], [Thesis §2.5]; [Amoeba5] §2.4, §3.1.
//! Differs: blocked senders may be many; a message whose fate is open when the group breaks is told
//! of by `Group::outcome`; see `docs/differences.md`.

mod group;
mod membership;
mod receive;
mod rpc;
mod send;

mod desk;
mod error;
mod operation;

pub use self::group::{Departed, Group, GroupInfo, Received};
pub use self::rpc::{Reply, Request, Rpc};
pub use error::{
    EnterError, LeaveError, Lost, ReceiveError, ResetError, SendError, ServeError, TransError,
    Waits,
};
