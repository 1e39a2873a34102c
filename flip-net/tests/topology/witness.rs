//! Who sees every frame: cables that are pulled carry nothing, and no box sends a fragment of a
//! message on twice.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use flip_net::address::{FlipAddress, LinkAddress};
use flip_net::wire::{Flow, Kind, Packet, Repr};
use sim::{CableId, Flight, MachineId, Rule, Verdict};

/// A fragment that a box sent to somebody.
type Sent = (MachineId, CableId, LinkAddress, MachineId, Fragment);
type Fragment = (u8, FlipAddress, FlipAddress, u32, u32);

/// What is known from outside.
#[derive(Default)]
pub(crate) struct Facts {
    /// Whose cable is pulled.
    pub(crate) pulled: BTreeSet<(CableId, MachineId)>,
    /// Where addresses live: what they send is not forwarded.
    pub(crate) homes: BTreeMap<FlipAddress, BTreeSet<MachineId>>,
    /// Which cables have the flow-control header.
    pub(crate) flow: BTreeSet<CableId>,
    sent: BTreeMap<Sent, u32>,
    /// The first rule that was broken.
    pub(crate) broken: Option<String>,
}

impl Facts {
    /// A box has lost its memory, of what it has passed on, too.
    pub(crate) fn forget_sent_by(&mut self, machine: MachineId) {
        self.sent.retain(|(by, ..), _| *by != machine);
    }

    /// A new stretch of time, in which message numbers of restarted boxes may come again.
    pub(crate) fn forget_sent(&mut self) {
        self.sent.clear();
    }
}

/// The rule of a world that looks at every frame.
pub(crate) struct Witness(pub(crate) Rc<RefCell<Facts>>);

impl Rule for Witness {
    fn judge(&mut self, flight: &Flight<'_>) -> Option<Verdict> {
        let mut facts = self.0.borrow_mut();
        let pulled = |machine| facts.pulled.contains(&(flight.cable, machine));
        if pulled(flight.from) || pulled(flight.to) {
            return Some(Verdict::Drop);
        }
        let packet = match facts.flow.contains(&flight.cable) {
            true => match Flow::parse(flight.bytes) {
                Ok((Flow::Data { .. }, packet)) => packet,
                _ => return Some(Verdict::Pass),
            },
            false => flight.bytes,
        };
        facts.look(flight, packet);
        Some(Verdict::Pass)
    }
}

impl Facts {
    fn look(&mut self, flight: &Flight<'_>, packet: &[u8]) {
        let view = Packet::new_checked(packet).expect("boxes send packets");
        let repr = Repr::parse(&view).expect("boxes send packets that make sense");
        let forwarded = match repr.kind {
            Kind::Locate | Kind::UniData | Kind::MultiData => {
                let homes = self.homes.get(&repr.source);
                !homes.is_some_and(|homes| homes.contains(&flight.from))
            }
            // Answers may be many to one question.
            _ => false,
        };
        if !forwarded {
            return;
        }
        let kind = repr.kind.number();
        let fragment = (
            kind,
            repr.source,
            repr.destination,
            repr.message,
            repr.offset,
        );
        let key = (
            flight.from,
            flight.cable,
            flight.addressed,
            flight.to,
            fragment,
        );
        let count = self.sent.entry(key).or_default();
        *count += 1;
        if *count > 1 && self.broken.is_none() {
            self.broken = Some(format!("{} sent twice by {}: {repr}", count, flight.from));
        }
    }
}
