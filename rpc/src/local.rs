//! Transactions between a client and a server of the same endpoint: no messages, the same outcomes.
//!
//! Implements: [Amoeba5] §2.6, local servers.

use bytes::Bytes;
use capability::Port;

use crate::client::Phase;
use crate::endpoint::Endpoint;
use crate::error::{Failure, LostReason, ReplyOutcome};
use crate::id::{ServerId, TransactionId};
use crate::server::Client;
use crate::stats::Mark;
use crate::timers::Timer;

impl Endpoint {
    /// Gives a transaction to a server that waits here, if one does.
    pub(crate) fn serve_locally(&mut self, index: u16) -> bool {
        let serial = self.transactions.serial(index).expect("it is under way");
        let port = self.transactions.get(index).expect("it is under way").port;
        let Some(server) = self.take_waiting(port) else {
            return false;
        };
        self.stats.mark(Mark::LocalTransaction);
        self.timers.clear(Timer::AskServer(index));
        let server_serial = self.servers.serial(server).expect("it waited");
        let address = self.address;
        let transaction = self.transactions.get_mut(index).expect("it is under way");
        transaction.server = address;
        transaction.phase = Phase::Local {
            server: ServerId {
                index: server,
                serial: server_serial,
            },
        };
        let message = transaction.message.clone();
        let client = Client::Local(TransactionId { index, serial });
        self.execute(server, client, address, &message);
        true
    }

    /// A server began to wait on a port that a transaction here looks for.
    pub(crate) fn serve_searching(&mut self, port: Port) {
        let search = self.searches.get(&port);
        let Some(&index) = search.and_then(|search| search.waiting.first()) else {
            return;
        };
        self.leave_search(port, index);
        let is_served = self.serve_locally(index);
        assert!(is_served, "a server waits");
    }

    pub(crate) fn reply_locally(
        &mut self,
        server: ServerId,
        transaction: TransactionId,
        message: &Bytes,
    ) {
        if self.transactions.serial(transaction.index) == Some(transaction.serial) {
            self.finish(transaction.index, message);
        }
        self.end_turn(server.index, ReplyOutcome::Acknowledged);
    }

    pub(crate) fn fail_locally(&mut self, transaction: TransactionId) {
        if self.transactions.serial(transaction.index) != Some(transaction.serial) {
            return;
        }
        let lost = self.transactions.get(transaction.index);
        let port = lost.expect("it has a serial").port;
        self.stats.mark(Mark::ContactLost);
        let failure = Failure::ContactLost {
            port,
            server: self.address,
            why: LostReason::Failed,
        };
        self.fail(transaction.index, failure);
    }
}
