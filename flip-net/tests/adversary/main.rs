//! What a hostile neighbour can do to boxes in a conversation, in virtual time: packets with a bit
//! turned over, packets that come again, floods; and the same where the networks have a key, and it
//! has not.
//!
//! Without a key a neighbour can do harm: it can lie about routes, take credits back and break
//! messages. What must hold is that no box panics, that tables and queues keep their bounds, that
//! deadlines move on, and that a sender who repeats gets through once it is quiet again. With a key
//! nothing of it reaches a box.

mod bits;
mod flood;
mod keyed;
mod lab;
mod pair;
mod queues;
mod replay;
