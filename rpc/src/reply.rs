//! Answering a request: the reply is kept, and asked about, until the client has it.
//!
//! Implements: [Amoeba5] §2.5, §2.7.

use bytes::Bytes;
use flip_net::Undelivered;
use flip_net::address::FlipAddress;
use flip_net::time::Duration;

use crate::config::sabotaged;
use crate::endpoint::{Care, Endpoint, recompose};
use crate::error::ReplyOutcome;
use crate::event::Event;
use crate::id::ServerId;
use crate::server::{Client, Turn};
use crate::stats::Mark;
use crate::timers::Timer;
use crate::wire::{Flags, Kind, Repr};

impl Endpoint {
    /// Sends an answer to a client elsewhere and keeps it until it is acknowledged.
    pub(crate) fn answer(&mut self, index: u16, client: Client, repr: Repr, message: Bytes) {
        let Client::Remote {
            address,
            kid,
            round_trip,
            ..
        } = client
        else {
            unreachable!("local clients get their answers without messages");
        };
        let timing = self.config.timing;
        let told = Duration::from_millis(u64::from(round_trip));
        let first_wait = match round_trip {
            1..=30_000 => told
                .times(timing.ack_round_trips)
                .max(timing.ack_min)
                .min(timing.ack_max),
            _ => timing.ack_max,
        };
        let server = self.servers.get_mut(index).expect("it executes");
        server.turn = Turn::Answered {
            address,
            repr,
            kid,
            message: message.clone(),
            first_wait,
            retries: timing.ack_retries,
            losses: 0,
        };
        self.executed.touch(self.now, kid);
        let len = message.len();
        self.send_message(address, repr.kind, message, Care::Full);
        let due = self.now + first_wait + timing.transfer(len);
        self.timers.set(Timer::AskClient(index), due);
        if sabotaged!(self.config, DropReplyEarly) {
            self.end_turn(index, ReplyOutcome::Acknowledged);
        }
    }

    /// `NAK` of a client: the reply did not come. `NAK` of a server: the request will never be
    /// executed.
    pub(crate) fn on_nak(&mut self, source: FlipAddress, repr: &Repr) {
        let Some(index) = self.answered_by(source, repr) else {
            return self.on_request_refused(source, repr);
        };
        let server = self.servers.get_mut(index).expect("it answered");
        let Turn::Answered {
            repr,
            message,
            first_wait,
            losses,
            ..
        } = &mut server.turn
        else {
            unreachable!("only who answered is found");
        };
        *losses += 1;
        repr.flags = Flags::RETRANS;
        let again = recompose(std::mem::take(message), repr);
        *message = again.clone();
        let transfer = self.config.timing.transfer_after(again.len(), *losses);
        let due = self.now + *first_wait + transfer;
        let kind = repr.kind;
        self.stats.mark(Mark::ReplyResent);
        self.timers.set(Timer::AskClient(index), due);
        self.send_message(source, kind, again, Care::Full);
    }

    /// The client has the reply. Says whether the word was for a server here.
    pub(crate) fn on_reply_acked(&mut self, source: FlipAddress, repr: &Repr) -> bool {
        let Some(index) = self.answered_by(source, repr) else {
            return false;
        };
        self.stats.mark(Mark::ReplyAcked);
        self.end_turn(index, ReplyOutcome::Acknowledged);
        true
    }

    /// The server whose answer a client speaks about.
    fn answered_by(&self, source: FlipAddress, repr: &Repr) -> Option<u16> {
        let server = self.servers.get(repr.dest)?;
        let Turn::Answered {
            address,
            repr: answer,
            ..
        } = &server.turn
        else {
            return None;
        };
        let any = sabotaged!(self.config, AckOfAnything) && repr.kind == Kind::Ack;
        let is_same = answer.tid == repr.tid && answer.dest == repr.from;
        (*address == source && (is_same || any)).then_some(repr.dest)
    }

    /// Nobody acknowledged: ask, or give up.
    pub(crate) fn ask_client(&mut self, index: u16) {
        self.ask_client_with(index, false);
    }

    fn ask_client_with(&mut self, index: u16, relocate: bool) {
        let timing = self.config.timing;
        let Some(server) = self.servers.get_mut(index) else {
            return;
        };
        let Turn::Answered {
            address,
            repr,
            message,
            first_wait,
            retries,
            losses,
            ..
        } = &mut server.turn
        else {
            return;
        };
        if *retries == 0 {
            self.stats.mark(Mark::ReplyGivenUp);
            return self.end_turn(index, ReplyOutcome::GivenUp);
        }
        *retries -= 1;
        let asked = timing.ack_retries - *retries;
        let wait = timing.wait(*first_wait, asked, timing.ack_max.max(*first_wait));
        let due = self.now + wait + timing.transfer_after(message.len(), *losses);
        let question = Repr {
            flags: Flags::REPLY,
            ..Repr::new(Kind::Received, repr.tid, index, repr.dest)
        };
        let care = match relocate || *retries <= timing.ack_retries / 2 {
            true => Care::Relocate,
            false => Care::Full,
        };
        let to = *address;
        self.stats.mark(Mark::ReplyDoubted);
        self.timers.set(Timer::AskClient(index), due);
        self.send(to, &question, care);
    }

    /// FLIP gave a reply back, or a question about one.
    pub(crate) fn on_reply_bounced(&mut self, to: FlipAddress, repr: &Repr, reason: Undelivered) {
        let index = repr.from;
        let Some(server) = self.servers.get(index) else {
            return;
        };
        match &server.turn {
            Turn::Answered {
                address,
                repr: answer,
                ..
            } if *address == to && answer.tid == repr.tid => {}
            _ => return,
        }
        match reason {
            Undelivered::NotHere => self.ask_client_with(index, true),
            Undelivered::NotLocated | Undelivered::Untrusted => {
                self.stats.mark(Mark::ClientGone);
                self.end_turn(index, ReplyOutcome::ClientGone);
            }
        }
    }

    /// The turn is over and the reply is not kept any longer.
    pub(crate) fn end_turn(&mut self, index: u16, outcome: ReplyOutcome) {
        let (serial, server) = self.servers.remove(index).expect("it had a turn");
        self.timers.clear(Timer::AskClient(index));
        if let Turn::Answered {
            address, repr, kid, ..
        } = server.turn
        {
            self.serving.remove(&(address, repr.tid));
            self.executed.touch(self.now, kid);
        }
        let server = ServerId { index, serial };
        self.tell(Event::ReplyDone { server, outcome });
    }
}
