//! The member table: who belongs to the group, in which state, and what each expects next.
//!
//! Changed only by JOIN and LEAVE in the total order, so every member has the same table between
//! the same two numbers; `expect` and what the sequencer reserves are its own knowledge.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.9 `struct member`; [Amoeba5] §3.6 member states.

use flip_net::address::FlipAddress;
use flip_net::time::Instant;

use crate::seq::{MemberIndex, MessageId, SeqNo};
use crate::wire::{JoinTable, SlotState, TableSlot};

/// What a slot's owner is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerState {
    Member,
    /// Reserved for a joiner; free again after the instant.
    Joining {
        until: Instant,
    },
    /// Its LEAVE has this number; it may still ask for it until the instant. Sequencer only.
    Leaving {
        seq: SeqNo,
        until: Instant,
    },
    /// The sequencer after its own LEAVE.
    LeftSequencer,
}

/// One slot of the table.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: FlipAddress,
    pub(crate) rpc_address: FlipAddress,
    pub(crate) state: PeerState,
    /// The next number its delivery queue waits for, as far as known here.
    pub(crate) expect: SeqNo,
    /// The first number that it has not told to have stored; the sequencer's knowledge.
    pub(crate) stored: SeqNo,
    /// The first number that it was there for.
    pub(crate) since: SeqNo,
    /// The last message id of it that was numbered.
    pub(crate) id: MessageId,
}

impl Peer {
    /// Somebody with these addresses, its own and its RPC's, there from number `expect` on.
    pub(crate) fn new(
        (address, rpc_address): (FlipAddress, FlipAddress),
        state: PeerState,
        expect: SeqNo,
    ) -> Peer {
        Peer {
            address,
            rpc_address,
            state,
            expect,
            stored: expect,
            since: expect,
            id: MessageId::NONE,
        }
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct View {
    slots: Vec<Option<Peer>>,
    pub(crate) sequencer: MemberIndex,
}

impl View {
    pub(crate) fn new(slots: usize, sequencer: MemberIndex) -> View {
        View {
            slots: vec![None; slots],
            sequencer,
        }
    }

    /// The table that a joiner takes over from its JOIN.
    pub(crate) fn from_table(table: &JoinTable) -> View {
        let slots = table.slots.iter().map(|slot| {
            let state = match slot.state {
                SlotState::Member => PeerState::Member,
                SlotState::LeftSequencer => PeerState::LeftSequencer,
                SlotState::Unused | SlotState::Joining | SlotState::Leaving => return None,
            };
            let peer = Peer::new((slot.address, slot.rpc_address), state, slot.expect);
            Some(Peer {
                id: slot.id,
                ..peer
            })
        });
        View {
            slots: slots.collect(),
            sequencer: table.sequencer,
        }
    }

    /// The table as JOIN carries it.
    pub(crate) fn to_slots(&self) -> Vec<TableSlot> {
        let slot = |peer: &Option<Peer>| {
            peer.as_ref().map_or(TableSlot::UNUSED, |peer| TableSlot {
                address: peer.address,
                rpc_address: peer.rpc_address,
                state: match peer.state {
                    PeerState::Member => SlotState::Member,
                    PeerState::Joining { .. } => SlotState::Joining,
                    PeerState::Leaving { .. } => SlotState::Leaving,
                    PeerState::LeftSequencer => SlotState::LeftSequencer,
                },
                expect: peer.expect,
                id: peer.id,
            })
        };
        self.slots.iter().map(slot).collect()
    }

    pub(crate) fn get(&self, member: MemberIndex) -> Option<&Peer> {
        self.slots.get(member.slot())?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, member: MemberIndex) -> Option<&mut Peer> {
        self.slots.get_mut(member.slot())?.as_mut()
    }

    pub(crate) fn set(&mut self, member: MemberIndex, peer: Peer) {
        if let Some(slot) = self.slots.get_mut(member.slot()) {
            *slot = Some(peer);
        }
    }

    pub(crate) fn free(&mut self, member: MemberIndex) {
        if let Some(slot) = self.slots.get_mut(member.slot()) {
            *slot = None;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (MemberIndex, &Peer)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(slot, peer)| Some((MemberIndex::new(slot as u16), peer.as_ref()?)))
    }

    /// Those whose applications take part.
    pub(crate) fn members(&self) -> impl Iterator<Item = MemberIndex> {
        self.iter()
            .filter(|(_, peer)| peer.state == PeerState::Member)
            .map(|(member, _)| member)
    }

    /// How many applications take part.
    pub(crate) fn total(&self) -> usize {
        self.members().count()
    }

    /// Who has this member address.
    pub(crate) fn by_address(&self, address: FlipAddress) -> Option<MemberIndex> {
        self.iter()
            .find(|(_, peer)| peer.address == address)
            .map(|(member, _)| member)
    }

    /// The slots that are free, or whose reservation has run out before the joiner's request got its
    /// number.
    pub(crate) fn free_slots(&self, now: Instant) -> impl Iterator<Item = MemberIndex> {
        let slots = self.slots.iter().enumerate();
        let free = slots.filter(move |(_, peer)| match peer {
            None => true,
            Some(peer) => {
                let ran_out = matches!(peer.state, PeerState::Joining { until } if until <= now);
                ran_out && peer.id == MessageId::NONE
            }
        });
        free.map(|(slot, _)| MemberIndex::new(slot as u16))
    }

    /// The lowest number that somebody may still ask for; none if nobody counts.
    pub(crate) fn lowest_expect(&self) -> Option<SeqNo> {
        self.iter()
            .filter(|(_, peer)| !matches!(peer.state, PeerState::Joining { .. }))
            .map(|(_, peer)| peer.expect)
            .reduce(SeqNo::earliest)
    }
}
