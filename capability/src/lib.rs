//! Plain values that travel in every message of the system: ports and the 32-byte header.
//!
//! A *port* names a service or a group. It comes in two forms: the get-port, known only to those
//! who may receive on it, and the put-port, its image under a one-way function, known to everybody.
//! The *header* is the fixed part in front of the user's data in each request, reply and broadcast;
//! the protocols read nothing of it but the port.
//!
//! Nothing here knows networks, transactions or groups.
//!
//! Implements: [Thesis §3.3] header parameter of the primitives; [Amoeba5] §2.3 and §4.

#![warn(missing_docs)]

mod header;
mod one_way;
mod port;

pub use header::{HEADER_SIZE, Header, HeaderView, Order, ShortHeader};
pub use port::{PORT_SIZE, ParsePortError, Port};
