//! The messages of the protocol as bytes: the 20-byte header, the bodies, one line of text for each.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | type |
//! | 1 | 1 | flags; bit 0: integers are big endian; other bits must be 0 |
//! | 2 | 2 | branch of the incarnation; 0 as long as the group never recovered |
//! | 4 | 2 | member that originated the message |
//! | 6 | 2 | incarnation |
//! | 8 | 4 | sequence number, 0 = none yet |
//! | 12 | 4 | message id |
//! | 16 | 4 | expect: the next number that the originator's delivery queue waits for |
//!
//! Data follows as the 32-byte header of `capability` and the user's bytes. A `BCAST` with nothing
//! behind it is an *accept*: the data came earlier. We send little endian and read both.
//!
//! Implements: [Thesis §3.4.2] Fig. 3.9 `bc_hdr`, Fig. 3.11; [Amoeba5] §3.2, §3.6.
//! Differs: `RETRANS` counts (message id = how many are missing, 0 = one), `RETRANS` from the
//! sequencer with sequence number 0 asks a member for one of its requests, `SYNC` tells the lowest
//! number the sequencer still keeps in its message id. A JOINREQ with a number carries the member
//! table. REFORMREQ, VOTE and RESULT carry the round of the invitation; DEAD may be about another
//! member. All listed in `docs/differences.md`.

use std::fmt;

use capability::{HEADER_SIZE, Header, HeaderView, Order};
use flip_net::address::FlipAddress;

use crate::seq::{Incarnation, MemberIndex, MessageId, SeqNo};

/// Bytes of the group header.
pub const GROUP_HEADER_SIZE: usize = 20;

/// The word in front of every group message that is a FLIP broadcast, big endian.
pub const BROADCAST_SELECTOR: u32 = 2;

/// Bytes of the body of `HEREIS`.
pub(crate) const PARAMETERS_SIZE: usize = 32;
/// Bytes of one slot of the table in `JOIN`.
const SLOT_SIZE: usize = 28;
/// Bytes of `JOIN` besides the slots.
const TABLE_FIXED_SIZE: usize = 64;
/// Most slots a table may have.
pub(crate) const TABLE_SLOTS_MAX: usize = 4096;

/// Bytes of `RESULT` besides the slots.
const RESULT_FIXED_SIZE: usize = 58;

/// What `VOTE` says instead of a number: somebody else's invitation goes first.
pub(crate) const VOTE_STOP: SeqNo = SeqNo::new(u32::MAX);
/// What `VOTE` says instead of a number: the sequencer lives and goes first. `Rules::Amoeba5`.
pub(crate) const VOTE_ABORT: SeqNo = SeqNo::new(u32::MAX - 1);

const FLAG_BIG_ENDIAN: u8 = 1;

macro_rules! kinds {
    ($($code:literal $name:ident $text:literal $doc:literal),* $(,)?) => {
        /// What a message is. The codes are those of the thesis' implementation; the kinds from
        /// `REFORMREQ` on belong to recovery, but for the two probes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = $doc] $name = $code,)*
        }

        impl Kind {
            /// Every kind, by code.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// The name that traces use.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$name => $text,)* }
            }

            /// The kind with this code.
            pub const fn from_code(code: u8) -> Option<Kind> {
                match code { $($code => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    0 Locate "LOCATE" "Joiner to everybody: who is the sequencer of this port?",
    1 HereIs "HEREIS" "Sequencer to joiner: parameters and a reserved slot.",
    2 JoinReq "JOINREQ" "Joiner to sequencer: let me in.",
    3 Join "JOIN" "Sequencer to all: numbered, with the member table.",
    4 LeaveReq "LEAVEREQ" "Member to sequencer: let me go.",
    5 Leave "LEAVE" "Sequencer to all: numbered.",
    6 BcastReq "BCASTREQ" "Member to sequencer (PB) or to all (BB): please number this.",
    7 Bcast "BCAST" "Sequencer to all: numbered, with data (PB) or as an accept (BB).",
    8 Ack "ACK" "Member to sequencer: stored; resilience above 0.",
    9 Retrans "RETRANS" "Member to sequencer: these numbers are missing here.",
    10 Sync "SYNC" "Sequencer to all: the listed members must tell how far they are.",
    11 State "STATE" "Member to sequencer: so far am I.",
    12 ReformReq "REFORMREQ" "Coordinator to members: recovery begins.",
    13 Vote "VOTE" "Member to coordinator.",
    14 Result "RESULT" "Coordinator to members: the group goes on like this.",
    15 ResultAck "RESULTACK" "Member to coordinator.",
    16 Alive "ALIVE" "Answer to the next one.",
    17 AliveReq "ALIVEREQ" "Are you there? Sequence number 1 point to point, 2 to the group.",
    18 Dead "DEAD" "Dying member to all.",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why bytes are no message of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than its kind needs.
    #[error("{found} bytes where at least {expected} were expected")]
    Short {
        /// Bytes there were.
        found: usize,
        /// Bytes needed.
        expected: usize,
    },
    /// A type code that nobody assigned.
    #[error("unknown type {0}")]
    Kind(u8),
    /// A flag that nobody assigned.
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    /// A body that contradicts itself.
    #[error("malformed {0} body")]
    Body(Kind),
}

/// A message as it lies in a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Packet<'a> {
    /// The message in `bytes`; after this no accessor panics.
    ///
    /// # Errors
    /// [`WireError::Short`] and [`WireError::Flags`].
    pub fn new_checked(bytes: &'a [u8]) -> Result<Packet<'a>, WireError> {
        if bytes.len() < GROUP_HEADER_SIZE {
            return Err(WireError::Short {
                found: bytes.len(),
                expected: GROUP_HEADER_SIZE,
            });
        }
        let flags = bytes[1];
        if flags & !FLAG_BIG_ENDIAN != 0 {
            return Err(WireError::Flags(flags));
        }
        let order = if flags & FLAG_BIG_ENDIAN == 0 {
            Order::Little
        } else {
            Order::Big
        };
        Ok(Packet { bytes, order })
    }

    /// The byte order of the integers, here and in the body.
    pub fn order(&self) -> Order {
        self.order
    }

    /// The type code, raw, so that nonsense can still be logged.
    pub fn code(&self) -> u8 {
        self.bytes[0]
    }

    /// What comes behind the header.
    pub fn body(&self) -> &'a [u8] {
        &self.bytes[GROUP_HEADER_SIZE..]
    }

    fn u16_at(&self, at: usize) -> u16 {
        self.order.u16([self.bytes[at], self.bytes[at + 1]])
    }

    fn u32_at(&self, at: usize) -> u32 {
        let b = &self.bytes[at..at + 4];
        self.order.u32([b[0], b[1], b[2], b[3]])
    }
}

/// The header as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repr {
    /// What the message is.
    pub kind: Kind,
    /// Who originated it.
    pub member: MemberIndex,
    /// The originator's incarnation; of a stored message, that of the sending member.
    pub incarnation: Incarnation,
    /// Its number, or the number it speaks about.
    pub seq: SeqNo,
    /// The originator's message id.
    pub id: MessageId,
    /// The next number that the originator's delivery queue waits for.
    pub expect: SeqNo,
}

impl Repr {
    /// The header of a message.
    ///
    /// # Errors
    /// [`WireError::Kind`].
    pub fn parse(packet: &Packet<'_>) -> Result<Repr, WireError> {
        let code = packet.code();
        Ok(Repr {
            kind: Kind::from_code(code).ok_or(WireError::Kind(code))?,
            member: MemberIndex::new(packet.u16_at(4)),
            incarnation: Incarnation::new(packet.u16_at(6), packet.u16_at(2)),
            seq: SeqNo::new(packet.u32_at(8)),
            id: MessageId::new(packet.u32_at(12)),
            expect: SeqNo::new(packet.u32_at(16)),
        })
    }

    /// The 20 bytes, integers in `order`.
    pub fn emit(&self, order: Order) -> [u8; GROUP_HEADER_SIZE] {
        let mut bytes = [0; GROUP_HEADER_SIZE];
        bytes[0] = self.kind as u8;
        bytes[1] = match order {
            Order::Little => 0,
            Order::Big => FLAG_BIG_ENDIAN,
        };
        bytes[2..4].copy_from_slice(&order.put_u16(self.incarnation.branch()));
        bytes[4..6].copy_from_slice(&order.put_u16(self.member.value()));
        bytes[6..8].copy_from_slice(&order.put_u16(self.incarnation.value()));
        bytes[8..12].copy_from_slice(&order.put_u32(self.seq.value()));
        bytes[12..16].copy_from_slice(&order.put_u32(self.id.value()));
        bytes[16..20].copy_from_slice(&order.put_u32(self.expect.value()));
        bytes
    }
}

/// The body of `LOCATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocateBody {
    /// The port in it names the group.
    pub(crate) header: Header,
    /// Where the joiner's RPC listens.
    pub(crate) rpc_address: FlipAddress,
    /// The joiner's public member address.
    pub(crate) address: FlipAddress,
}

impl LocateBody {
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<LocateBody, WireError> {
        let mut reader = Reader::new(packet, Kind::Locate);
        Ok(LocateBody {
            header: reader.header()?,
            rpc_address: reader.address()?,
            address: reader.address()?,
        })
    }

    pub(crate) fn emit(&self, order: Order) -> Vec<u8> {
        let mut bytes = self.header.emit(order).to_vec();
        bytes.extend(self.rpc_address.bytes());
        bytes.extend(self.address.bytes());
        bytes
    }
}

/// The body of `HEREIS`: what a joiner must know before it can listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) members_max: u16,
    pub(crate) history_log2: u16,
    pub(crate) message_log2: u16,
    pub(crate) resilience: u16,
    pub(crate) large: u32,
    pub(crate) assigned: MemberIndex,
    pub(crate) sequencer: MemberIndex,
    pub(crate) private_a: FlipAddress,
    pub(crate) private_b: FlipAddress,
}

impl Parameters {
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<Parameters, WireError> {
        let mut reader = Reader::new(packet, Kind::HereIs);
        let parameters = Parameters {
            members_max: reader.u16()?,
            history_log2: reader.u16()?,
            message_log2: reader.u16()?,
            resilience: reader.u16()?,
            large: reader.u32()?,
            assigned: MemberIndex::new(reader.u16()?),
            sequencer: MemberIndex::new(reader.u16()?),
            private_a: reader.address()?,
            private_b: reader.address()?,
        };
        let slots = parameters.members_max;
        let sane = usize::from(slots) <= TABLE_SLOTS_MAX
            && parameters.assigned.value() < slots
            && parameters.sequencer.value() < slots
            && parameters.assigned != parameters.sequencer
            && parameters.message_log2 <= 30
            && parameters.history_log2 <= 24
            && !parameters.private_a.is_null()
            && !parameters.private_b.is_null();
        sane.then_some(parameters)
            .ok_or(WireError::Body(Kind::HereIs))
    }

    pub(crate) fn emit(&self, order: Order) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PARAMETERS_SIZE);
        bytes.extend(order.put_u16(self.members_max));
        bytes.extend(order.put_u16(self.history_log2));
        bytes.extend(order.put_u16(self.message_log2));
        bytes.extend(order.put_u16(self.resilience));
        bytes.extend(order.put_u32(self.large));
        bytes.extend(order.put_u16(self.assigned.value()));
        bytes.extend(order.put_u16(self.sequencer.value()));
        bytes.extend(self.private_a.bytes());
        bytes.extend(self.private_b.bytes());
        bytes
    }
}

/// What a slot of the member table holds, as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SlotState {
    #[default]
    Unused,
    Member,
    Joining,
    Leaving,
    /// Its application has left; it numbers on.
    LeftSequencer,
}

/// One slot of the member table in `JOIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableSlot {
    pub(crate) address: FlipAddress,
    pub(crate) rpc_address: FlipAddress,
    pub(crate) state: SlotState,
    pub(crate) expect: SeqNo,
    pub(crate) id: MessageId,
}

impl TableSlot {
    pub(crate) const UNUSED: TableSlot = TableSlot {
        address: FlipAddress::NULL,
        rpc_address: FlipAddress::NULL,
        state: SlotState::Unused,
        expect: SeqNo::NONE,
        id: MessageId::NONE,
    };
}

/// The body of `JOIN`: the group as it is from this number on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinTable {
    pub(crate) header: Header,
    pub(crate) joiner: FlipAddress,
    pub(crate) slots: Vec<TableSlot>,
    pub(crate) private_b: FlipAddress,
    pub(crate) total: u16,
    pub(crate) sequencer: MemberIndex,
    pub(crate) next: SeqNo,
    /// The number alone: the branch is in the message's header.
    pub(crate) incarnation: u16,
    pub(crate) resilience: u16,
    pub(crate) large: u32,
}

impl JoinTable {
    /// From a JOIN, or from a JOINREQ with a number.
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<JoinTable, WireError> {
        let len = packet.body().len();
        let slots = len
            .checked_sub(TABLE_FIXED_SIZE)
            .filter(|rest| rest % SLOT_SIZE == 0 && rest / SLOT_SIZE <= TABLE_SLOTS_MAX)
            .ok_or(WireError::Body(Kind::Join))?
            / SLOT_SIZE;
        let mut reader = Reader::new(packet, Kind::Join);
        let header = reader.header()?;
        let joiner = reader.address()?;
        let slots = (0..slots)
            .map(|_| reader.slot())
            .collect::<Result<Vec<_>, _>>()?;
        let table = JoinTable {
            header,
            joiner,
            slots,
            private_b: reader.address()?,
            total: reader.u16()?,
            sequencer: MemberIndex::new(reader.u16()?),
            next: SeqNo::new(reader.u32()?),
            incarnation: reader.u16()?,
            resilience: reader.u16()?,
            large: reader.u32()?,
        };
        if table.sequencer.slot() >= table.slots.len() {
            return Err(WireError::Body(Kind::Join));
        }
        Ok(table)
    }

    pub(crate) fn emit(&self, order: Order) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend(self.header.emit(order));
        bytes.extend(self.joiner.bytes());
        for slot in &self.slots {
            bytes.extend(slot.address.bytes());
            bytes.extend(slot.rpc_address.bytes());
            bytes.extend(order.put_u32(slot.state as u32));
            bytes.extend(order.put_u32(slot.expect.value()));
            bytes.extend(order.put_u32(slot.id.value()));
        }
        bytes.extend(self.private_b.bytes());
        bytes.extend(order.put_u16(self.total));
        bytes.extend(order.put_u16(self.sequencer.value()));
        bytes.extend(order.put_u32(self.next.value()));
        bytes.extend(order.put_u16(self.incarnation));
        bytes.extend(order.put_u16(self.resilience));
        bytes.extend(order.put_u32(self.large));
        bytes
    }

    pub(crate) fn size(&self) -> usize {
        JoinTable::size_of(self.slots.len())
    }

    /// Bytes of a table with so many slots.
    pub(crate) fn size_of(slots: usize) -> usize {
        TABLE_FIXED_SIZE + SLOT_SIZE * slots
    }
}

/// The body of `RESULT`: the group as it goes on from this number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResultTable {
    /// What whoever reset the group has to say to all.
    pub(crate) header: Header,
    /// By slot: who is in, and as leaving who is taken for crashed; and the last id that it has used.
    pub(crate) slots: Vec<(SlotState, MessageId)>,
    pub(crate) private_a: FlipAddress,
    pub(crate) private_b: FlipAddress,
    pub(crate) total: u16,
    pub(crate) sequencer: MemberIndex,
    /// The number alone.
    pub(crate) incarnation: u16,
    /// The round of the ballot that this is the result of.
    pub(crate) round: u32,
}

impl ResultTable {
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<ResultTable, WireError> {
        let len = packet.body().len();
        let slots = len
            .checked_sub(RESULT_FIXED_SIZE)
            .filter(|rest| rest % 8 == 0 && rest / 8 <= TABLE_SLOTS_MAX)
            .ok_or(WireError::Body(Kind::Result))?
            / 8;
        let mut reader = Reader::new(packet, Kind::Result);
        let header = reader.header()?;
        let states = (0..slots)
            .map(|_| reader.slot_state())
            .collect::<Result<Vec<_>, _>>()?;
        let mut table = ResultTable {
            header,
            slots: Vec::with_capacity(slots),
            private_a: reader.address()?,
            private_b: reader.address()?,
            total: reader.u16()?,
            sequencer: MemberIndex::new(reader.u16()?),
            incarnation: reader.u16()?,
            round: reader.u32()?,
        };
        for state in states {
            table.slots.push((state, MessageId::new(reader.u32()?)));
        }
        if table.sequencer.slot() >= table.slots.len() {
            return Err(WireError::Body(Kind::Result));
        }
        Ok(table)
    }

    pub(crate) fn emit(&self, order: Order) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend(self.header.emit(order));
        for &(state, _) in &self.slots {
            bytes.extend(order.put_u32(state as u32));
        }
        bytes.extend(self.private_a.bytes());
        bytes.extend(self.private_b.bytes());
        bytes.extend(order.put_u16(self.total));
        bytes.extend(order.put_u16(self.sequencer.value()));
        bytes.extend(order.put_u16(self.incarnation));
        bytes.extend(order.put_u32(self.round));
        for &(_, id) in &self.slots {
            bytes.extend(order.put_u32(id.value()));
        }
        bytes
    }

    pub(crate) fn size(&self) -> usize {
        RESULT_FIXED_SIZE + 8 * self.slots.len()
    }

    /// The number that tells this result from all others of the same life: rounds and coordinators
    /// differ. [`Incarnation::next`]
    pub(crate) fn number(&self) -> u16 {
        let slots = self.slots.len() as u32;
        let before = self.round.wrapping_sub(1).wrapping_mul(slots);
        before.wrapping_add(u32::from(self.sequencer.value())) as u16
    }

    /// Who is in this state.
    pub(crate) fn all(&self, state: SlotState) -> impl Iterator<Item = MemberIndex> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(move |&(_, found)| found.0 == state)
            .map(|(slot, _)| MemberIndex::new(slot as u16))
    }

    /// The last id that a member has used.
    pub(crate) fn last_id(&self, member: MemberIndex) -> MessageId {
        let slot = self.slots.get(member.slot());
        slot.map_or(MessageId::NONE, |(_, last)| *last)
    }

    /// Whether the group goes on with this member.
    pub(crate) fn has(&self, member: MemberIndex) -> bool {
        let slot = self.slots.get(member.slot());
        slot.is_some_and(|(state, _)| *state == SlotState::Member)
    }
}

/// The body of `REFORMREQ`: what a member needs to go on if the coordinator crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReformBody {
    pub(crate) header: Header,
    /// Fewest members that the new group may have.
    pub(crate) members_min: u16,
}

impl ReformBody {
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<ReformBody, WireError> {
        let mut reader = Reader::new(packet, Kind::ReformReq);
        Ok(ReformBody {
            header: reader.header()?,
            members_min: reader.u16()?,
        })
    }

    pub(crate) fn emit(&self, order: Order) -> Vec<u8> {
        let mut bytes = self.header.emit(order).to_vec();
        bytes.extend(order.put_u16(self.members_min));
        bytes
    }
}

/// Which invitation: the higher round wins, then who has more, then the lower index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ballot {
    pub(crate) round: u32,
    /// The first number that the coordinator had not stored when it began.
    pub(crate) stored: SeqNo,
    pub(crate) coordinator: MemberIndex,
}

impl Ballot {
    /// Whether this invitation goes before `other`. [Thesis §3.4.3]
    pub(crate) fn beats(self, other: Ballot) -> bool {
        if self.round != other.round {
            return self.round > other.round;
        }
        if self.stored != other.stored {
            return self.stored.is_after(other.stored);
        }
        self.coordinator < other.coordinator
    }
}

/// The body of `VOTE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VoteBody {
    /// The last id that the voter has used.
    pub(crate) last: MessageId,
    /// The invitation that the voter has acknowledged the result of, or the one that it prefers.
    pub(crate) ballot: Option<Ballot>,
}

impl VoteBody {
    pub(crate) fn parse(packet: &Packet<'_>) -> Result<VoteBody, WireError> {
        let mut reader = Reader::new(packet, Kind::Vote);
        let last = MessageId::new(reader.u32()?);
        if reader.rest.is_empty() {
            return Ok(VoteBody { last, ballot: None });
        }
        let ballot = Ballot {
            round: reader.u32()?,
            stored: SeqNo::new(reader.u32()?),
            coordinator: MemberIndex::new(reader.u16()?),
        };
        let ballot = Some(ballot);
        Ok(VoteBody { last, ballot })
    }

    pub(crate) fn emit(&self, order: Order) -> Vec<u8> {
        let mut bytes = order.put_u32(self.last.value()).to_vec();
        if let Some(ballot) = self.ballot {
            bytes.extend(order.put_u32(ballot.round));
            bytes.extend(order.put_u32(ballot.stored.value()));
            bytes.extend(order.put_u16(ballot.coordinator.value()));
        }
        bytes
    }
}

/// The member list of `SYNC`.
pub(crate) fn parse_sync_list(packet: &Packet<'_>) -> Result<Vec<MemberIndex>, WireError> {
    let body = packet.body();
    if !body.len().is_multiple_of(2) || body.len() / 2 > TABLE_SLOTS_MAX {
        return Err(WireError::Body(Kind::Sync));
    }
    let order = packet.order();
    Ok(body
        .chunks_exact(2)
        .map(|pair| MemberIndex::new(order.u16([pair[0], pair[1]])))
        .collect())
}

pub(crate) fn emit_sync_list(list: &[MemberIndex], order: Order) -> Vec<u8> {
    list.iter()
        .flat_map(|member| order.put_u16(member.value()))
        .collect()
}

/// Whom `DEAD` is about, in its message id: 0 for its sender, else this much above the index.
const DEAD_BASE: u32 = 1;
/// `DEAD` about nobody in particular: its sender recovers.
const DEAD_UNKNOWN: MessageId = MessageId::new(u32::MAX);

/// Whom a `DEAD` is about; none if it only says that its sender recovers.
pub(crate) fn told_dead(repr: &Repr) -> Option<MemberIndex> {
    match repr.id {
        MessageId::NONE => Some(repr.member),
        DEAD_UNKNOWN => None,
        id => Some(MemberIndex::new((id.value() - DEAD_BASE) as u16)),
    }
}

/// The message id of a `DEAD` that is not about its sender.
pub(crate) fn dead_id(dead: Option<MemberIndex>) -> MessageId {
    dead.map_or(DEAD_UNKNOWN, |dead| {
        MessageId::new(u32::from(dead.value()) + DEAD_BASE)
    })
}

/// The 32-byte header at the start of a body.
pub(crate) fn parse_header(packet: &Packet<'_>, kind: Kind) -> Result<Header, WireError> {
    Reader::new(packet, kind).header()
}

/// Takes a body apart from the front.
struct Reader<'a> {
    rest: &'a [u8],
    order: Order,
    kind: Kind,
}

impl<'a> Reader<'a> {
    fn new(packet: &Packet<'a>, kind: Kind) -> Reader<'a> {
        Reader {
            rest: packet.body(),
            order: packet.order(),
            kind,
        }
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (chunk, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(WireError::Body(self.kind))?;
        self.rest = rest;
        Ok(*chunk)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        Ok(self.order.u16(self.chunk()?))
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        Ok(self.order.u32(self.chunk()?))
    }

    fn address(&mut self) -> Result<FlipAddress, WireError> {
        Ok(FlipAddress::new(self.chunk()?))
    }

    fn header(&mut self) -> Result<Header, WireError> {
        let bytes: [u8; HEADER_SIZE] = self.chunk()?;
        HeaderView::new_checked(&bytes, self.order)
            .map(|view| Header::parse(&view))
            .map_err(|_| WireError::Body(self.kind))
    }

    fn slot_state(&mut self) -> Result<SlotState, WireError> {
        Ok(match self.u32()? {
            0 => SlotState::Unused,
            1 => SlotState::Member,
            2 => SlotState::Joining,
            3 => SlotState::Leaving,
            4 => SlotState::LeftSequencer,
            _ => return Err(WireError::Body(self.kind)),
        })
    }

    fn slot(&mut self) -> Result<TableSlot, WireError> {
        Ok(TableSlot {
            address: self.address()?,
            rpc_address: self.address()?,
            state: self.slot_state()?,
            expect: SeqNo::new(self.u32()?),
            id: MessageId::new(self.u32()?),
        })
    }
}

/// One line for any bytes that may be a group message; never fails.
#[derive(Clone, Copy, Debug)]
pub struct Pretty<'a>(pub &'a [u8]);

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match self.0.strip_prefix(&BROADCAST_SELECTOR.to_be_bytes()) {
            Some(rest) => rest,
            None => self.0,
        };
        match Packet::new_checked(bytes).and_then(|packet| Ok((packet, Repr::parse(&packet)?))) {
            Ok((packet, repr)) => write_line(f, &packet, &repr),
            Err(error) => write!(f, "? {error}"),
        }
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>, repr: &Repr) -> fmt::Result {
    let (member, id, seq) = (repr.member, repr.id, repr.seq);
    write!(f, "{}", repr.kind)?;
    if repr.incarnation.value() != 0 {
        write!(f, " [{}]", repr.incarnation.value())?;
    }
    match repr.kind {
        Kind::Locate => match LocateBody::parse(packet) {
            Ok(body) => write!(f, " port {} for {}", body.header.port, body.address),
            Err(error) => write!(f, " ? {error}"),
        },
        Kind::HereIs => match Parameters::parse(packet) {
            Ok(body) => write!(f, " {} sequencer {}", body.assigned, body.sequencer),
            Err(error) => write!(f, " ? {error}"),
        },
        Kind::JoinReq | Kind::LeaveReq if seq != SeqNo::NONE => {
            write!(f, " {seq} {member}{id}")
        }
        Kind::JoinReq | Kind::LeaveReq => write!(f, " {member}{id}"),
        Kind::Join => match JoinTable::parse(packet) {
            Ok(table) => write!(f, " {seq} {member}{id} total {}", table.total),
            Err(error) => write!(f, " {seq} {member}{id} ? {error}"),
        },
        Kind::Leave => write!(f, " {seq} {member}{id}"),
        Kind::BcastReq | Kind::Bcast => {
            if repr.seq != SeqNo::NONE {
                write!(f, " {seq}")?;
            }
            write!(f, " {member}{id}")?;
            match packet.body().get(HEADER_SIZE..) {
                Some(data) => {
                    f.write_str(" ")?;
                    write_data(f, data)
                }
                // A request without data gives a number to what its sender sent to all.
                None if packet.body().is_empty() && repr.kind == Kind::BcastReq => Ok(()),
                None if packet.body().is_empty() => f.write_str(" accept"),
                None => f.write_str(" ? short body"),
            }
        }
        Kind::Retrans if seq == SeqNo::NONE => write!(f, " request {id}"),
        Kind::Retrans if id.value() > 1 => write!(f, " {seq} and {} more", id.value() - 1),
        Kind::Retrans | Kind::Ack => write!(f, " {seq}"),
        Kind::Sync => {
            write!(f, " {seq}")?;
            match parse_sync_list(packet) {
                Ok(list) => list.iter().try_for_each(|member| write!(f, " {member}")),
                Err(error) => write!(f, " ? {error}"),
            }
        }
        Kind::State => write!(f, " {member} next {seq} expect {}", repr.expect),
        Kind::ReformReq => write!(f, " {member} round {} next {seq}", id.value()),
        Kind::Vote => write_vote(f, packet, repr),
        Kind::Result if seq == SeqNo::NONE => write!(f, " {member} failed"),
        Kind::Result => match ResultTable::parse(packet) {
            Ok(table) => {
                let incarnation = table.incarnation;
                write!(
                    f,
                    " {seq} {member} incarnation {incarnation} total {}",
                    table.total
                )
            }
            Err(error) => write!(f, " {seq} {member} ? {error}"),
        },
        Kind::Dead if id != MessageId::NONE => match told_dead(repr) {
            Some(dead) => write!(f, " {member} about {dead}"),
            None => write!(f, " {member} recovers"),
        },
        Kind::ResultAck | Kind::Alive | Kind::AliveReq | Kind::Dead => write!(f, " {member}"),
    }
}

fn write_vote(f: &mut fmt::Formatter<'_>, packet: &Packet<'_>, repr: &Repr) -> fmt::Result {
    write!(f, " {} round {} ", repr.member, repr.id.value())?;
    match (repr.seq, VoteBody::parse(packet).map(|body| body.ballot)) {
        (VOTE_ABORT, _) => f.write_str("abort"),
        (VOTE_STOP, Ok(Some(ballot))) => {
            write!(f, "stop: round {} of {}", ballot.round, ballot.coordinator)
        }
        (seq, Ok(None)) => write!(f, "next {seq}"),
        (seq, Ok(Some(ballot))) => {
            write!(
                f,
                "next {seq}, has the result of round {} of {}",
                ballot.round, ballot.coordinator
            )
        }
        (_, Err(error)) => write!(f, "? {error}"),
    }
}

/// Short printable data as text, anything else by its size.
pub(crate) fn write_data(f: &mut fmt::Formatter<'_>, data: &[u8]) -> fmt::Result {
    const TEXT_LEN_MAX: usize = 16;
    match std::str::from_utf8(data) {
        Ok(text) if data.len() <= TEXT_LEN_MAX && !text.chars().any(char::is_control) => {
            write!(f, "{text:?}")
        }
        _ => write!(f, "{} B", data.len()),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
