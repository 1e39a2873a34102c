//! What an endpoint waits for: for people who ask why nothing happens.

use std::fmt;

use capability::Port;
use flip_net::address::FlipAddress;
use flip_net::time::Instant;

use crate::client::Phase;
use crate::endpoint::Endpoint;
use crate::id::{ServerId, TransactionId};
use crate::server::{Client, Turn};
use crate::timers::Timer;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A transaction of a client.
    Transaction(TransactionId),
    /// A server.
    Server(ServerId),
}

/// For what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A transaction: for a server to be found.
    Locate,
    /// A transaction: for a sign that the request came.
    Request,
    /// A transaction: for the reply of a server that has the request.
    Reply,
    /// A server: for a request.
    GetRequest,
    /// A server: for its own application to answer.
    Execution,
    /// A server: for the acknowledgement of its answer.
    Acknowledgement,
}

/// One wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Who waits.
    pub who: Who,
    /// On which put-port.
    pub port: Port,
    /// For what.
    pub step: Step,
    /// From whom; none while that is not known.
    pub peer: Option<FlipAddress>,
    /// When something is done about it at the latest; none where only the application can.
    pub deadline: Option<Instant>,
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Transaction(transaction) => write!(f, "{transaction}")?,
            Who::Server(server) => write!(f, "{server}")?,
        }
        let what = match self.step {
            Step::Locate => "for a server to be located",
            Step::Request => "for a sign that the request came",
            Step::Reply => "for the reply",
            Step::GetRequest => "for a request",
            Step::Execution => "for its own answer",
            Step::Acknowledgement => "for the acknowledgement of its answer",
        };
        write!(f, " on port {} waits {what}", self.port)?;
        if let Some(peer) = self.peer {
            write!(f, ", peer {peer}")?;
        }
        match self.deadline {
            Some(deadline) => write!(f, ", next step at {deadline}"),
            None => Ok(()),
        }
    }
}

impl Endpoint {
    /// Everything that waits here: transactions first, then servers.
    pub fn pending(&self) -> impl Iterator<Item = Pending> + '_ {
        let transactions = self.transactions.iter();
        let servers = self.servers.iter();
        let transactions = transactions.map(|(index, serial, transaction)| {
            let (step, timer) = match transaction.phase {
                Phase::Locating => (Step::Locate, Timer::LocateAgain(transaction.port)),
                Phase::Requested | Phase::Asked | Phase::Held => {
                    (Step::Request, Timer::AskServer(index))
                }
                Phase::Accepted { .. } | Phase::Local { .. } => {
                    (Step::Reply, Timer::AskServer(index))
                }
            };
            let server = transaction.server;
            Pending {
                who: Who::Transaction(TransactionId { index, serial }),
                port: transaction.port,
                step,
                peer: (step != Step::Locate && !server.is_null()).then_some(server),
                deadline: self.timers.at(timer),
            }
        });
        let servers = servers.map(|(index, serial, server)| {
            let (step, peer) = match &server.turn {
                Turn::Waiting => (Step::GetRequest, None),
                Turn::Executing { client, .. } => match client {
                    Client::Local(_) => (Step::Execution, Some(self.address)),
                    Client::Remote { address, .. } => (Step::Execution, Some(*address)),
                },
                Turn::Answered { address, .. } => (Step::Acknowledgement, Some(*address)),
            };
            Pending {
                who: Who::Server(ServerId { index, serial }),
                port: server.port,
                step,
                peer,
                deadline: self.timers.at(Timer::AskClient(index)),
            }
        });
        transactions.chain(servers)
    }
}
