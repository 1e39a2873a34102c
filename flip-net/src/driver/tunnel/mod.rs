//! Tunnels: two boxes joined through a network that knows nothing of FLIP. A tunnel has two
//! stations, this one and the peer, and costs more than anything near (`Link::tunnel`).
//!
//! Over TCP it is one connection with packets back to back, cut apart by `wire::stream`. Over UDP
//! there is nothing to write: it is a `UdpDevice` with one peer.
//!
//! Nothing here protects: sealing is done by whoever wraps the device, with `Framing::Length`.
//!
//! Implements: [Amoeba5 §FLIP over TCP]; facts sheet 1.10.
//! Differs: one connection carries both directions, where Amoeba 5 had one for each; a station is
//! a small number, not an address and port.

mod dial;
mod outgoing;
mod tcp;

pub use tcp::{End, TcpTunnelConfig, TcpTunnelDevice, TunnelState};
