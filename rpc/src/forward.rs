//! Handing a request on to another server: the client sends it there itself.
//!
//! The server answers `FORWARD` instead of `REPLY`, which says two things: this server has not
//! executed the request, and that one should. The client acknowledges as it does a reply, and
//! begins anew with the other server; the data are not relayed.
//!
//! Implements: [Amoeba5] §2.9.

use bytes::Bytes;
use capability::Order;
use flip_net::address::FlipAddress;
use flip_net::step;
use flip_net::time::Instant;

use crate::cache::Known;
use crate::endpoint::Endpoint;
use crate::error::{ReplyOutcome, ServeError};
use crate::id::ServerId;
use crate::server::Client;
use crate::stats::Mark;
use crate::wire::{Kind, Repr};

impl Endpoint {
    /// A server that has not executed its request hands it on to the process with this public
    /// address. Its turn ends with [`Event::ReplyDone`](crate::Event::ReplyDone).
    ///
    /// # Errors
    /// [`ServeError::NotServing`], [`ServeError::BadAddress`].
    pub fn forward_request(
        &mut self,
        now: Instant,
        server: ServerId,
        to: FlipAddress,
    ) -> Result<(), ServeError> {
        step!(self.config.walk);
        self.tick(now);
        let client = self.client_of(server)?;
        if to.is_null() {
            return Err(ServeError::BadAddress);
        }
        if let Client::Local(transaction) = client {
            self.end_turn(server.index, ReplyOutcome::Acknowledged);
            if self.transactions.serial(transaction.index) == Some(transaction.serial) {
                self.stats.mark(Mark::RequestForwarded);
                self.turn_to(transaction.index, to);
            }
            return Ok(());
        }
        let repr = self.answer_repr(Kind::Forward, server.index, &client);
        let mut message = repr.emit(Order::Little).to_vec();
        message.extend(to.bytes());
        self.answer(server.index, client, repr, Bytes::from(message));
        Ok(())
    }

    /// The server names another one.
    pub(crate) fn on_forward(&mut self, source: FlipAddress, repr: &Repr, to: FlipAddress) {
        if to.is_null() {
            return self.stats.mark(Mark::Malformed);
        }
        let waiting = self.answered(source, repr);
        self.acknowledge(source, repr, waiting.is_none());
        let Some(index) = waiting else {
            return;
        };
        self.stats.mark(Mark::RequestForwarded);
        let transaction = self.transactions.get(index).expect("it is under way");
        let port = transaction.port;
        if to != self.address {
            let round_trip = self.config.timing.round_trip;
            let named = Known {
                address: to,
                round_trip,
            };
            self.cache.replace(self.now, port, source, named);
        }
        self.turn_to(index, to);
    }
}
