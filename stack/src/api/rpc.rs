//! Transactions: trans; get_request, put_reply, forward_request.
//!
//! Implements: [Thesis §2.5]; [Amoeba5] §2.4, §2.9.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use capability::{Header, Port};
use flip_net::address::FlipAddress;
use flip_net::driver::Device;
use flip_net::time::Instant;
use group::{MemberIndex, Payload};
use rpc::{Event, Pending, ReplyOutcome, ServerId, TransOptions, TransactionId, Who};

use super::desk::{Desk, Interest, Turn};
use super::error::{End, EnterError, ServeError, TransError};
#[cfg(feature = "async")]
use super::operation::task::Task;
use super::operation::{Operation, OutOfPatience, Patience, Processor};
use crate::config::Config;
use crate::driver::seed;

/// The transactions of a processor, as client and as server; any number of threads may use it. See
/// the [module](crate::api). Cloning gives another handle of the same processor.
#[derive(Clone)]
pub struct Rpc {
    processor: Arc<Processor>,
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The header.
    pub header: Header,
    /// The user's bytes.
    pub data: Payload,
}

/// A request that a server executes. It is answered once, by [`Rpc::put_reply`] or
/// [`Rpc::forward_request`]; if it is dropped before, the client is told that the result is not
/// known.
pub struct Request {
    /// The header; its port is the put-port.
    pub header: Header,
    /// The user's bytes.
    pub data: Payload,
    /// The client's FLIP address.
    pub client: FlipAddress,
    server: ServerId,
    processor: Arc<Processor>,
}

impl Request {
    /// Whether the client wants to end: it waits for an answer all the same.
    pub fn is_signalled(&self) -> bool {
        self.processor.with(|desk, _| {
            let turn = desk.turns.get(&self.server);
            matches!(turn, Some(Turn::Serving { is_signalled: true }))
        })
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.processor.with(|desk, now| {
            let server = self.server;
            if let Some(Turn::Serving { .. }) = desk.turns.get(&server) {
                desk.turns.remove(&server);
                desk.stack.rpc(now, |rpc, now| rpc.cancel(now, server));
            }
        });
    }
}

const NO_ENDPOINT: &str = "a handle is only made for a processor with an endpoint";

impl Rpc {
    /// Starts a processor for transactions alone, in a group of its own. Processors in a group have
    /// theirs by [`Group::rpc`](super::Group::rpc).
    ///
    /// # Errors
    /// [`EnterError`]; then nothing runs.
    pub fn start(devices: Vec<Arc<dyn Device>>) -> Result<Rpc, EnterError> {
        let [.., a, b, c, d, e, f] = seed().to_be_bytes();
        // Never null.
        let port = Port::new([a | 1, b, c, d, e, f]);
        let config = Config::of(&devices, port).with_rpc();
        let processor = Processor::start(config, devices)?;
        Ok(Rpc { processor })
    }

    pub(crate) fn on(processor: &Arc<Processor>) -> Option<Rpc> {
        let has_endpoint = processor.with(|desk, now| desk.stack.rpc(now, |_, _| ()).is_some());
        has_endpoint.then(|| Rpc {
            processor: Arc::clone(processor),
        })
    }

    /// Sends a request to a server of the service whose put-port is in the header, and blocks until
    /// its reply is here. The request is executed at most once.
    ///
    /// # Errors
    /// [`TransError`], which says whether the request may have been executed.
    pub fn trans(&self, header: Header, data: &[u8]) -> Result<Reply, TransError> {
        self.trans_with(header, data, TransOptions::default())
    }

    /// The same with options: how long a server is looked for, and sizes.
    ///
    /// # Errors
    /// [`TransError`].
    pub fn trans_with(
        &self,
        header: Header,
        data: &[u8],
        options: TransOptions,
    ) -> Result<Reply, TransError> {
        self.processor.run(Trans::new(header, data, options, None))
    }

    /// The same, for at most this long: a server that lives and does not answer is waited for as
    /// long as it takes otherwise. The server is told that nobody waits any more.
    ///
    /// # Errors
    /// [`TransError`].
    pub fn trans_within(
        &self,
        header: Header,
        data: &[u8],
        within: Duration,
    ) -> Result<Reply, TransError> {
        let options = TransOptions::default();
        let trans = Trans::new(header, data, options, Some(within));
        self.processor.run(trans)
    }

    /// Blocks until a client asks for something on the put-port of this get-port. Every thread in
    /// here is a server; clients find only services that somebody waits for.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn get_request(&self, get_port: Port) -> Result<Request, ServeError> {
        self.processor.run(GetRequest::new(self, get_port, None))
    }

    /// The same, for at most this long.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn get_request_within(
        &self,
        get_port: Port,
        within: Duration,
    ) -> Result<Request, ServeError> {
        let operation = GetRequest::new(self, get_port, Some(within));
        self.processor.run(operation)
    }

    /// Answers a request, and blocks until the client has the answer, or does not want it any more.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn put_reply(
        &self,
        request: &Request,
        header: Header,
        data: &[u8],
    ) -> Result<(), ServeError> {
        self.processor.run(EndTurn::reply(request, header, data))
    }

    /// Hands a request on to a member of this processor's group, before it is executed here, and
    /// blocks until the client knows: that sends its request there.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn forward_request(
        &self,
        request: &Request,
        member: MemberIndex,
    ) -> Result<(), ServeError> {
        self.processor.run(EndTurn::forward(request, member))
    }

    /// Everything that waits at this endpoint, and for whom.
    pub fn pending(&self) -> Vec<Pending> {
        let pending = self
            .processor
            .with(|desk, now| desk.stack.rpc(now, |rpc, _| rpc.pending().collect()));
        pending.expect(NO_ENDPOINT)
    }
}

/// The same as futures, for any executor; they do what their namesakes do. Dropping a transaction
/// aborts it, dropping a `get_request` ends the wait.
#[cfg(feature = "async")]
impl Rpc {
    /// As [`Rpc::trans_with`], or [`Rpc::trans_within`].
    pub fn trans_async(
        &self,
        header: Header,
        data: &[u8],
        options: TransOptions,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<Reply, TransError>> + use<> {
        let trans = Trans::new(header, data, options, within);
        Task::new(&self.processor, trans)
    }

    /// As [`Rpc::get_request`], or [`Rpc::get_request_within`].
    pub fn get_request_async(
        &self,
        get_port: Port,
        within: Option<Duration>,
    ) -> impl Future<Output = Result<Request, ServeError>> + use<> {
        let operation = GetRequest::new(self, get_port, within);
        Task::new(&self.processor, operation)
    }

    /// As [`Rpc::put_reply`].
    pub fn put_reply_async(
        &self,
        request: &Request,
        header: Header,
        data: &[u8],
    ) -> impl Future<Output = Result<(), ServeError>> + use<> {
        Task::new(&self.processor, EndTurn::reply(request, header, data))
    }

    /// As [`Rpc::forward_request`].
    pub fn forward_request_async(
        &self,
        request: &Request,
        member: MemberIndex,
    ) -> impl Future<Output = Result<(), ServeError>> + use<> {
        Task::new(&self.processor, EndTurn::forward(request, member))
    }
}

/// A transaction.
struct Trans {
    header: Header,
    data: Vec<u8>,
    options: TransOptions,
    begun: Option<TransactionId>,
    patience: Patience,
}

impl Trans {
    fn new(header: Header, data: &[u8], options: TransOptions, within: Option<Duration>) -> Trans {
        Trans {
            header,
            data: data.to_vec(),
            options,
            begun: None,
            patience: Patience::new(within),
        }
    }

    fn begin(&mut self, desk: &mut Desk, now: Instant) -> Result<TransactionId, TransError> {
        let data = std::mem::take(&mut self.data);
        let (header, options) = (self.header, self.options);
        let begin = |rpc: &mut rpc::Endpoint, now| rpc.trans_with(now, header, &data, options);
        let begun = desk.stack.rpc(now, begin).expect(NO_ENDPOINT)?;
        // Before anybody looks at what the stack has to tell.
        desk.transactions.insert(begun, None);
        self.begun = Some(begun);
        Ok(begun)
    }
}

impl Operation for Trans {
    type Output = Result<Reply, TransError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if desk.end == Some(End::Stopped) {
            return Poll::Ready(Err(TransError::Stopped));
        }
        let begun = match self.begun {
            Some(begun) => begun,
            None => match self.begin(desk, now) {
                Ok(begun) => begun,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let Some(event) = desk.transactions.get_mut(&begun).and_then(Option::take) else {
            let interest = Interest::Transaction(begun);
            let waited = self.patience.wait(desk, now, waker, interest);
            return waited.unwrap_or_else(|OutOfPatience| {
                let who = Who::Transaction(begun);
                let find = |rpc: &mut rpc::Endpoint, _| rpc.pending().find(|wait| wait.who == who);
                let pending = desk.stack.rpc(now, find).flatten();
                self.forget(desk, now);
                Poll::Ready(Err(TransError::TimedOut { pending }))
            });
        };
        desk.transactions.remove(&begun);
        self.patience.end(desk);
        Poll::Ready(match event {
            Event::Replied { header, data, .. } => Ok(Reply {
                header,
                data: Payload::from(&data[..]),
            }),
            Event::Failed { error, .. } => Err(TransError::Failed(error)),
            other => unreachable!("{other:?} ends no transaction"),
        })
    }

    fn forget(&mut self, desk: &mut Desk, now: Instant) {
        self.patience.end(desk);
        if let Some(begun) = self.begun {
            desk.transactions.remove(&begun);
            desk.stack.rpc(now, |rpc, now| rpc.abort(now, begun));
        }
    }
}

/// A server that waits.
struct GetRequest {
    processor: Arc<Processor>,
    get_port: Port,
    begun: Option<ServerId>,
    patience: Patience,
}

impl GetRequest {
    fn new(rpc: &Rpc, get_port: Port, within: Option<Duration>) -> GetRequest {
        GetRequest {
            processor: Arc::clone(&rpc.processor),
            get_port,
            begun: None,
            patience: Patience::new(within),
        }
    }

    fn begin(&mut self, desk: &mut Desk, now: Instant) -> Result<ServerId, ServeError> {
        let get_port = self.get_port;
        let begin = |rpc: &mut rpc::Endpoint, now| rpc.get_request(now, get_port);
        let server = desk.stack.rpc(now, begin).expect(NO_ENDPOINT)?;
        desk.turns.insert(server, Turn::Waiting);
        self.begun = Some(server);
        Ok(server)
    }
}

impl Operation for GetRequest {
    type Output = Result<Request, ServeError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if desk.end == Some(End::Stopped) {
            return Poll::Ready(Err(ServeError::Stopped));
        }
        let server = match self.begun {
            Some(server) => server,
            None => match self.begin(desk, now) {
                Ok(server) => server,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        if let Some(Turn::Requested(_)) = desk.turns.get(&server) {
            let is_signalled = false;
            let turn = desk.turns.insert(server, Turn::Serving { is_signalled });
            self.patience.end(desk);
            let Some(Turn::Requested(Event::Request {
                header,
                data,
                client,
                ..
            })) = turn
            else {
                unreachable!("{turn:?} is no request")
            };
            return Poll::Ready(Ok(Request {
                header,
                data: Payload::from(&data[..]),
                client,
                server,
                processor: Arc::clone(&self.processor),
            }));
        }
        let interest = Interest::Server(server);
        let waited = self.patience.wait(desk, now, waker, interest);
        waited.unwrap_or_else(|OutOfPatience| {
            self.forget(desk, now);
            let port = self.get_port.put_port();
            Poll::Ready(Err(ServeError::TimedOut { port }))
        })
    }

    fn forget(&mut self, desk: &mut Desk, now: Instant) {
        self.patience.end(desk);
        if let Some(server) = self.begun {
            desk.turns.remove(&server);
            desk.stack.rpc(now, |rpc, now| rpc.cancel(now, server));
        }
    }
}

/// A server's answer, until the client has it.
struct EndTurn {
    server: ServerId,
    client: FlipAddress,
    answer: Option<Ending>,
    patience: Patience,
}

enum Ending {
    Reply(Header, Vec<u8>),
    Forward(MemberIndex),
}

impl EndTurn {
    fn reply(request: &Request, header: Header, data: &[u8]) -> EndTurn {
        EndTurn::new(request, Ending::Reply(header, data.to_vec()))
    }

    fn forward(request: &Request, member: MemberIndex) -> EndTurn {
        EndTurn::new(request, Ending::Forward(member))
    }

    fn new(request: &Request, ending: Ending) -> EndTurn {
        EndTurn {
            server: request.server,
            client: request.client,
            answer: Some(ending),
            patience: Patience::new(None),
        }
    }

    fn begin(&mut self, desk: &mut Desk, now: Instant, ending: Ending) -> Result<(), ServeError> {
        let server = self.server;
        let done = match ending {
            Ending::Reply(header, data) => {
                let put = |rpc: &mut rpc::Endpoint, now| rpc.put_reply(now, server, header, &data);
                desk.stack.rpc(now, put)
            }
            Ending::Forward(member) => {
                let Some(to) = desk.stack.member().rpc_address_of(member) else {
                    return Err(ServeError::NoSuchMember { member });
                };
                let forward = |rpc: &mut rpc::Endpoint, now| rpc.forward_request(now, server, to);
                desk.stack.rpc(now, forward)
            }
        };
        done.expect(NO_ENDPOINT)?;
        Ok(())
    }
}

impl Operation for EndTurn {
    type Output = Result<(), ServeError>;

    fn poll(&mut self, desk: &mut Desk, now: Instant, waker: &Waker) -> Poll<Self::Output> {
        if desk.end == Some(End::Stopped) {
            return Poll::Ready(Err(ServeError::Stopped));
        }
        if let Some(ending) = self.answer.take()
            && let Err(error) = self.begin(desk, now, ending)
        {
            return Poll::Ready(Err(error));
        }
        let server = self.server;
        let Some(Turn::Done(outcome)) = desk.turns.get(&server) else {
            let interest = Interest::Server(server);
            let waited = self.patience.wait(desk, now, waker, interest);
            return waited
                .unwrap_or_else(|OutOfPatience| unreachable!("an answer has its own times"));
        };
        let outcome = *outcome;
        desk.turns.remove(&server);
        self.patience.end(desk);
        Poll::Ready(match outcome {
            ReplyOutcome::Acknowledged => Ok(()),
            ReplyOutcome::GivenUp | ReplyOutcome::ClientGone => Err(ServeError::Unacknowledged {
                outcome,
                client: self.client,
            }),
        })
    }

    fn forget(&mut self, desk: &mut Desk, _now: Instant) {
        self.patience.end(desk);
        // It was answered all the same; its end is nobody's news.
        if self.answer.is_none() {
            desk.turns.remove(&self.server);
        }
    }
}
