-- Wireshark dissector for FLIP and what travels in it here: groups, RPC, the run-time system.
--
--   amflow    flow-control header     2 bytes, Ethernet type 0x8146 and link type USER1
--   amudp     FLIP over UDP           by a heuristic or "Decode As"; nothing in front of most packets
--   amseal    sealed frame           in place of one of the others, on networks with a key
--   amflip    FLIP                   40 bytes, behind one of the above, or link type USER0
--   amgroup   group message          20 bytes and a body
--   amrpc     RPC message            24 bytes and a body
--   amheader  capability header      32 bytes, in front of the data of the last two
--   orcarts   message of the run-time system of Orca, in the broadcasts of a group
--
-- Each header says itself in which order its integers are. What a unicast or multicast carries is
-- not said anywhere: it is guessed from what is consistent, or fixed by the preference
-- `amflip.payload`. Only the first fragment of a message has headers; later ones are marked.
--
-- The info column is that of the project's own traces; bytes that the codec would refuse get an
-- expert info "malformed" with the codec's reason. `tests/dissector.rs` compares all of it with the
-- codec, the tables below as well. See README.md beside this file.

--------------------------------------------------------------------------------------------------
-- Tables. One line an entry: the test reads them.

local FLIP_TYPES = {
    [1] = "LOCATE",
    [2] = "HEREIS",
    [3] = "UNIDATA",
    [4] = "MULTIDATA",
    [5] = "NOTHERE",
    [6] = "UNTRUSTED",
    [7] = "AGAIN",
}

local FLIP_FLAGS = {
    [0x01] = "big_endian",
    [0x02] = "variable",
    [0x04] = "security",
    [0x10] = "unreachable",
    [0x20] = "unsafe",
}

local FLOW_TYPES = {
    [0] = "DATA",
    [1] = "CREDIT-REQUEST",
    [2] = "CREDIT",
    [3] = "MULTICAST-REQUEST",
    [4] = "MULTICAST-ACK",
    [5] = "MULTICAST-NAK",
    [6] = "CREDIT-ABSOLUTE",
}

local UDP_KINDS = {
    [1] = "PROBE",
    [2] = "HEARD",
}

local SEAL_KINDS = {
    [1] = "DATA",
    [2] = "CHALLENGE",
    [3] = "INTRODUCTION",
}

local SELECTORS = {
    [1] = "RPC",
    [2] = "group",
}

local GROUP_TYPES = {
    [0] = "LOCATE",
    [1] = "HEREIS",
    [2] = "JOINREQ",
    [3] = "JOIN",
    [4] = "LEAVEREQ",
    [5] = "LEAVE",
    [6] = "BCASTREQ",
    [7] = "BCAST",
    [8] = "ACK",
    [9] = "RETRANS",
    [10] = "SYNC",
    [11] = "STATE",
    [12] = "REFORMREQ",
    [13] = "VOTE",
    [14] = "RESULT",
    [15] = "RESULTACK",
    [16] = "ALIVE",
    [17] = "ALIVEREQ",
    [18] = "DEAD",
}

local SLOT_STATES = {
    [0] = "unused",
    [1] = "member",
    [2] = "joining",
    [3] = "leaving",
    [4] = "left sequencer",
}

local RPC_TYPES = {
    [1] = "LOCATE",
    [2] = "HEREIS",
    [3] = "REQUEST",
    [4] = "REPLY",
    [5] = "ACK",
    [6] = "NAK",
    [7] = "ENQUIRE",
    [8] = "ALIVE",
    [9] = "RECEIVED",
    [10] = "FORWARD",
    [11] = "FAIL",
}

local RPC_FLAGS = {
    [0x01] = "big_endian",
    [0x02] = "retrans",
    [0x04] = "request",
    [0x08] = "reply",
    [0x10] = "sigtrans",
}

local RTS_KINDS = {
    [1] = "Write",
    [2] = "Fork",
    [3] = "Exit",
    [4] = "Release",
    [5] = "DataHash",
    [6] = "Idle",
    [7] = "Trap",
    [8] = "ReplicaHash",
    [255] = "Introduction",
}

local FLOW_HEADER_LEN = 2
local FLIP_HEADER_LEN = 40
local FLIP_VERSION = 1
local VARIABLE_LEN_MAX = 256
local AGAIN_PARTS_MAX = 64
local GROUP_HEADER_LEN = 20
local GROUP_SLOTS_MAX = 4096
local GROUP_PARAMETERS_LEN = 32
local GROUP_TABLE_FIXED_LEN = 64
local GROUP_SLOT_LEN = 28
local GROUP_RESULT_FIXED_LEN = 58
local GROUP_RESULT_SLOT_LEN = 8
local RPC_HEADER_LEN = 24
local HEADER_LEN = 32
local RTS_HEADER_LEN = 16
local RTS_VERSION = 1
local INTRODUCTION = 255
local INTRODUCTION_LEN = 5
local SEAL_MAGIC = 0xe5
local SEAL_HEADER_LEN = 30
local SEAL_TAG_LEN = 16
local UDP_PROBE = 0xf1
local UDP_EXCEPT = 0xf2
local UDP_PROBE_LEN = 10
local UDP_EXCEPT_MAX = 16
local ETHERTYPE_FLIP = 0x8146
local NULL_ADDRESS = "0000000000000000"

--------------------------------------------------------------------------------------------------
-- Protocols and their fields.

local amflow = Proto("amflow", "Amoeba Flow Control")
local amudp = Proto("amudp", "FLIP over UDP")
local amseal = Proto("amseal", "Sealed Frame")
local amflip = Proto("amflip", "Amoeba FLIP")
local amgroup = Proto("amgroup", "Amoeba Group Communication")
local amrpc = Proto("amrpc", "Amoeba RPC")
local amheader = Proto("amheader", "Amoeba Capability Header")
local orcarts = Proto("orcarts", "Orca Run-Time System")

-- Makes the fields of a protocol: a list of { name, type, title, base, values, mask }.
local function make_fields(proto, prefix, list)
    local fields, by_name = {}, {}
    for _, entry in ipairs(list) do
        local name, kind, title = entry[1], entry[2], entry[3]
        local make = ProtoField[kind]
        local filter = prefix .. "." .. name
        local field
        if kind == "bytes" or kind == "none" or kind == "string" then
            field = make(filter, title)
        else
            field = make(filter, title, entry[4], entry[5], entry[6])
        end
        fields[#fields + 1] = field
        by_name[name] = field
    end
    proto.fields = fields
    return by_name
end

-- One boolean field for each flag of a table.
local function with_flags(list, flags)
    for bit = 0, 7 do
        local mask = 2 ^ bit
        local name = flags[mask]
        if name then
            list[#list + 1] = { "flags." .. name, "bool", name:gsub("_", " "), 8, nil, mask }
        end
    end
    return list
end

local function malformed_expert(prefix)
    return ProtoExpert.new(prefix .. ".malformed", "Malformed", expert.group.MALFORMED,
        expert.severity.ERROR)
end

local flow_malformed = malformed_expert("amflow")
local flip_malformed = malformed_expert("amflip")
local group_malformed = malformed_expert("amgroup")
local rpc_malformed = malformed_expert("amrpc")
local rts_malformed = malformed_expert("orcarts")
amflow.experts = { flow_malformed }
amflip.experts = { flip_malformed }
amgroup.experts = { group_malformed }
amrpc.experts = { rpc_malformed }
orcarts.experts = { rts_malformed }

local FLOW = make_fields(amflow, "amflow", {
    { "type", "uint8", "Type", base.DEC, FLOW_TYPES },
    { "credits", "uint8", "Credits", base.DEC },
    { "location", "ether", "Link address" },
    { "location.rest", "bytes", "Rest of the link address" },
    { "address", "bytes", "FLIP address" },
})

local UDP = make_fields(amudp, "amudp", {
    { "first", "uint8", "Not simply a packet", base.HEX },
    { "kind", "uint8", "Kind", base.DEC, UDP_KINDS },
    { "nonce", "bytes", "Nonce" },
    { "count", "uint8", "Stations that get a copy of their own", base.DEC },
    { "family", "uint8", "Version of IP", base.DEC },
    { "ipv4", "ipv4", "Address" },
    { "ipv6", "ipv6", "Address" },
    { "port", "uint16", "Port", base.DEC },
})

local SEAL = make_fields(amseal, "amseal", {
    { "magic", "uint8", "Magic", base.HEX },
    { "kind", "uint8", "Kind", base.DEC, SEAL_KINDS },
    { "epoch", "uint32", "Epoch of the key", base.DEC },
    { "sender", "bytes", "Sender" },
    { "counter", "uint64", "Counter", base.DEC },
    { "sealed", "bytes", "Sealed" },
    { "tag", "bytes", "Tag" },
})

local FLIP = make_fields(amflip, "amflip", with_flags({
    { "version", "uint8", "Version", base.DEC },
    { "type", "uint8", "Type", base.DEC, FLIP_TYPES },
    { "flags", "uint8", "Flags", base.HEX },
    { "reserved", "uint8", "Reserved", base.HEX },
    { "actual", "uint16", "Actual hop count", base.DEC },
    { "maximum", "uint16", "Maximum hop count", base.DEC },
    { "destination", "bytes", "Destination" },
    { "source", "bytes", "Source" },
    { "message", "uint32", "Message identifier", base.DEC },
    { "length", "uint32", "Length of the fragment", base.DEC },
    { "offset", "uint32", "Offset of the fragment", base.DEC },
    { "total", "uint32", "Length of the message", base.DEC },
    { "variable.length", "uint32", "Length of the variable part", base.DEC },
    { "variable.code", "uint8", "Parameter", base.DEC },
    { "variable.data", "bytes", "Data of the parameter" },
    { "hereis.count", "uint16", "Endpoints", base.DEC },
    { "hereis.trusted", "uint16", "Endpoints over trusted networks", base.DEC },
    { "again.start", "uint32", "Missing from", base.DEC },
    { "again.end", "uint32", "Missing up to", base.DEC },
    { "fragment", "bool", "Part of a longer message" },
    { "fragment.later", "bool", "Not the first part: no headers of other layers" },
    { "selector", "uint32", "Protocol", base.DEC, SELECTORS },
    { "payload", "bytes", "Payload" },
}, FLIP_FLAGS))

local GROUP = make_fields(amgroup, "amgroup", {
    { "type", "uint8", "Type", base.DEC, GROUP_TYPES },
    { "flags", "uint8", "Flags", base.HEX },
    { "flags.big_endian", "bool", "big endian", 8, nil, 0x01 },
    { "branch", "uint16", "Branch of the incarnation", base.HEX },
    { "member", "uint16", "Member", base.DEC },
    { "incarnation", "uint16", "Incarnation", base.DEC },
    { "seq", "uint32", "Sequence number", base.DEC },
    { "id", "uint32", "Message id", base.DEC },
    { "expect", "uint32", "Expect", base.DEC },
    { "accept", "bool", "Accept" },
    { "locate.rpc_address", "bytes", "RPC address of the joiner" },
    { "locate.address", "bytes", "Address of the joiner" },
    { "hereis.members_max", "uint16", "Most members", base.DEC },
    { "hereis.history_log2", "uint16", "Messages in the history, log2", base.DEC },
    { "hereis.message_log2", "uint16", "Longest message, log2", base.DEC },
    { "hereis.resilience", "uint16", "Resilience", base.DEC },
    { "hereis.large", "uint32", "Large messages from", base.DEC },
    { "hereis.assigned", "uint16", "Member that the joiner becomes", base.DEC },
    { "hereis.sequencer", "uint16", "Sequencer", base.DEC },
    { "hereis.private_a", "bytes", "Private address of the numbered broadcasts" },
    { "hereis.private_b", "bytes", "Private address of the requests" },
    { "reform.members_min", "uint16", "Fewest members", base.DEC },
    { "vote.last", "uint32", "Last message id", base.DEC },
    { "vote.round", "uint32", "Round of the invitation", base.DEC },
    { "vote.next", "uint32", "Next of its coordinator", base.DEC },
    { "vote.coordinator", "uint16", "Its coordinator", base.DEC },
    { "result.state", "uint32", "State", base.DEC, SLOT_STATES },
    { "result.private_a", "bytes", "Private address of the numbered broadcasts" },
    { "result.private_b", "bytes", "Private address of the requests" },
    { "result.total", "uint16", "Members", base.DEC },
    { "result.sequencer", "uint16", "Sequencer", base.DEC },
    { "result.incarnation", "uint16", "Incarnation", base.DEC },
    { "result.round", "uint32", "Round", base.DEC },
    { "result.last", "uint32", "Last message id", base.DEC },
    { "join.joiner", "bytes", "Address of the joiner" },
    { "join.slot", "bytes", "Slot" },
    { "join.slot.address", "bytes", "Address" },
    { "join.slot.rpc_address", "bytes", "RPC address" },
    { "join.slot.state", "uint32", "State", base.DEC, SLOT_STATES },
    { "join.slot.expect", "uint32", "Expect", base.DEC },
    { "join.slot.id", "uint32", "Message id", base.DEC },
    { "join.private_b", "bytes", "Private address of the requests" },
    { "join.total", "uint16", "Members", base.DEC },
    { "join.sequencer", "uint16", "Sequencer", base.DEC },
    { "join.next", "uint32", "Next sequence number", base.DEC },
    { "join.incarnation", "uint16", "Incarnation", base.DEC },
    { "join.resilience", "uint16", "Resilience", base.DEC },
    { "join.large", "uint32", "Large messages from", base.DEC },
    { "sync.member", "uint16", "Member that must tell", base.DEC },
    { "data", "bytes", "Data" },
})

local RPC = make_fields(amrpc, "amrpc", with_flags({
    { "kid", "bytes", "Kernel id of the client" },
    { "port", "bytes", "Port" },
    { "type", "uint8", "Type", base.DEC, RPC_TYPES },
    { "flags", "uint8", "Flags", base.HEX },
    { "tid", "uint32", "Transaction id", base.DEC },
    { "destination", "uint16", "Destination thread", base.DEC },
    { "estimate", "uint16", "Round trip as the client knows it, in ms", base.DEC },
    { "source", "uint16", "Source thread", base.DEC },
    { "forward.address", "bytes", "Server to ask instead" },
    { "data", "bytes", "Data" },
}, RPC_FLAGS))

local HEADER = make_fields(amheader, "amheader", {
    { "port", "bytes", "Port" },
    { "signature", "bytes", "Signature" },
    { "private", "bytes", "Private part" },
    { "object", "uint24", "Object", base.DEC },
    { "rights", "uint8", "Rights", base.HEX },
    { "check", "bytes", "Check field" },
    { "command", "uint16", "Command or status", base.DEC },
    { "offset", "int32", "Offset", base.DEC },
    { "size", "uint16", "Size", base.DEC },
    { "extra", "uint16", "Extra", base.DEC },
})

local RTS = make_fields(orcarts, "orcarts", {
    { "version", "uint8", "Version", base.DEC },
    { "kind", "uint8", "Kind", base.DEC, RTS_KINDS },
    { "epoch", "uint16", "Checkpoint epoch", base.DEC },
    { "reserved", "uint32", "Reserved", base.HEX },
    { "applied", "uint64", "Last broadcast applied by the sender", base.DEC },
    { "object", "uint32", "Object", base.DEC },
    { "operation", "uint32", "Operation", base.DEC },
    { "process", "uint32", "Process type", base.DEC },
    { "site", "uint32", "Site of the call", base.DEC },
    { "invocation", "uint64", "Invocation", base.DEC },
    { "cpu", "uint32", "CPU", base.DEC },
    { "forker", "uint32", "Forker", base.DEC },
    { "arguments", "bytes", "Arguments" },
    { "count", "uint32", "Count", base.DEC },
    { "hash", "uint64", "Hash of a data module", base.HEX },
    { "sent", "uint64", "Sent", base.DEC },
    { "received", "uint64", "Received", base.DEC },
    { "waiting", "uint32", "Processes that wait", base.DEC },
    { "waiting.process", "uint32", "Process type", base.DEC },
    { "waiting.site", "uint32", "Site of the call", base.DEC },
    { "waiting.object_type", "uint32", "Object type", base.DEC },
    { "waiting.operation", "uint32", "Operation", base.DEC },
    { "status", "uint32", "Status", base.DEC },
    { "line", "string", "Line" },
    { "writes", "uint64", "Writes on the object", base.DEC },
    { "digest", "uint64", "Hash of the replica", base.HEX },
    { "processor", "uint32", "Processor", base.DEC },
})

local GUESS, ALWAYS_GROUP, ALWAYS_RPC, ALWAYS_DATA = 0, 1, 2, 3
amflip.prefs.payload = Pref.enum("Payload of unicasts and multicasts", GUESS,
    "What a message is that does not say what it is", {
        { 1, "guess", GUESS },
        { 2, "group", ALWAYS_GROUP },
        { 3, "rpc", ALWAYS_RPC },
        { 4, "data", ALWAYS_DATA },
    }, false)
amgroup.prefs.rts = Pref.bool("Broadcasts of the run-time system of Orca", true,
    "Take data apart that looks like a message of the run-time system")

--------------------------------------------------------------------------------------------------
-- Reading.

local function has_bit(flags, mask)
    return math.floor(flags / mask) % 2 == 1
end

-- The flags that are in no table.
local function unknown_bits(flags, table)
    local unknown = 0
    for bit = 0, 7 do
        local mask = math.floor(2 ^ bit)
        if has_bit(flags, mask) and not table[mask] then
            unknown = unknown + mask
        end
    end
    return unknown
end

local function u16_at(tvb, at, little)
    local range = tvb:range(at, 2)
    return little and range:le_uint() or range:uint()
end

local function u32_at(tvb, at, little)
    local range = tvb:range(at, 4)
    return little and range:le_uint() or range:uint()
end

local function hex_at(tvb, at, len)
    return tvb:range(at, len):bytes():tohex():lower()
end

-- Takes bytes from the front and puts them into a tree. Once there are too few it gives nothing
-- more, and `short` is set.
local Reader = {}
Reader.__index = Reader

function Reader.new(tvb, at, tree, little)
    return setmetatable({ tvb = tvb, at = at, tree = tree, little = little, short = false }, Reader)
end

function Reader:left()
    return self.tvb:len() - self.at
end

function Reader:take(len)
    if self.short or self:left() < len then
        self.short = true
        return nil
    end
    local range = self.tvb:range(self.at, len)
    self.at = self.at + len
    return range
end

-- An integer of `len` bytes, or nil.
function Reader:number(field, len)
    local range = self:take(len)
    if not range then
        return nil
    end
    if self.little then
        self.tree:add_le(field, range)
        return range:le_uint()
    end
    self.tree:add(field, range)
    return range:uint()
end

-- An integer of eight bytes, or nil.
function Reader:long(field)
    local range = self:take(8)
    if not range then
        return nil
    end
    if self.little then
        self.tree:add_le(field, range)
        return range:le_uint64()
    end
    self.tree:add(field, range)
    return range:uint64()
end

-- Bytes as hexadecimal digits, or nil.
function Reader:bytes(field, len)
    local range = self:take(len)
    if not range then
        return nil
    end
    self.tree:add(field, range)
    return range:bytes():tohex():lower()
end

-- All that is left; how much that is.
function Reader:rest(field)
    local len = self:left()
    if len > 0 then
        self.tree:add(field, self:take(len))
    end
    return len
end

local function refuse(tree, expert_info, reason)
    tree:add_proto_expert_info(expert_info, "Malformed: " .. reason)
end

local function add_flags(reader, fields, field, table)
    local range = reader:take(1)
    local item = reader.tree:add(field, range)
    for bit = 0, 7 do
        local name = table[math.floor(2 ^ bit)]
        if name then
            item:add(fields["flags." .. name], range)
        end
    end
end

--------------------------------------------------------------------------------------------------
-- Text.

-- How many bytes the character at `at` has, and its number; nil if that is not UTF-8.
local function character(text, at)
    local a, b, c, d = text:byte(at, at + 3)
    local function follows(byte, low, high)
        return byte and byte >= (low or 0x80) and byte <= (high or 0xbf)
    end
    if a < 0x80 then
        return 1, a
    elseif a >= 0xc2 and a <= 0xdf and follows(b) then
        return 2, (a - 0xc0) * 64 + b - 0x80
    elseif a >= 0xe0 and a <= 0xef
        and follows(b, a == 0xe0 and 0xa0, a == 0xed and 0x9f) and follows(c) then
        return 3, ((a - 0xe0) * 64 + b - 0x80) * 64 + c - 0x80
    elseif a >= 0xf0 and a <= 0xf4
        and follows(b, a == 0xf0 and 0x90, a == 0xf4 and 0x8f) and follows(c) and follows(d) then
        return 4, 0x10000
    end
    return nil
end

local ESCAPES = { [0] = "\\0", [9] = "\\t", [10] = "\\n", [13] = "\\r", [34] = "\\\"", [92] = "\\\\" }

-- The text in quotes, and whether there are control characters in it; nil if it is not UTF-8.
local function quote(text)
    local parts, at, controls = { "\"" }, 1, false
    while at <= #text do
        local len, number = character(text, at)
        if not len then
            return nil
        end
        local control = number < 0x20 or (number >= 0x7f and number < 0xa0)
        controls = controls or control
        if ESCAPES[number] then
            parts[#parts + 1] = ESCAPES[number]
        elseif control then
            parts[#parts + 1] = string.format("\\u{%x}", number)
        else
            parts[#parts + 1] = text:sub(at, at + len - 1)
        end
        at = at + len
    end
    parts[#parts + 1] = "\""
    return table.concat(parts), controls
end

-- Short printable data as text, anything else by its size.
local function show_data(tvb, at, size)
    if size == 0 then
        return "\"\""
    end
    if size <= 16 and tvb:len() >= at + size then
        local quoted, controls = quote(tvb:range(at, size):raw())
        if quoted and not controls then
            return quoted
        end
    end
    return size .. " B"
end

--------------------------------------------------------------------------------------------------
-- The capability header.

-- Shows it if it is there; says whether it is.
local function dissect_header(tvb, at, root, little)
    if tvb:len() < at + HEADER_LEN then
        return false
    end
    local tree = root:add(amheader, tvb:range(at, HEADER_LEN))
    local reader = Reader.new(tvb, at, tree, little)
    reader:bytes(HEADER.port, 6)
    reader:bytes(HEADER.signature, 6)
    local private = tree:add(HEADER.private, reader:take(10))
    private:add_le(HEADER.object, tvb:range(at + 12, 3))
    private:add(HEADER.rights, tvb:range(at + 15, 1))
    private:add(HEADER.check, tvb:range(at + 16, 6))
    reader:number(HEADER.command, 2)
    reader:number(HEADER.offset, 4)
    reader:number(HEADER.size, 2)
    reader:number(HEADER.extra, 2)
    return true
end

--------------------------------------------------------------------------------------------------
-- Messages of the run-time system. Each function reads a body and gives its line.

-- A count and so many items; `read` gives the text of one, or nil.
local function read_many(reader, len, read)
    local count = reader:number(RTS.count, 4)
    if not count or count > math.floor(reader:left() / len) then
        reader.short = true
        return nil
    end
    local texts = {}
    for _ = 1, count do
        texts[#texts + 1] = read()
    end
    return texts
end

local function line_of(texts)
    if not texts then
        return nil
    end
    return #texts == 0 and "" or " " .. table.concat(texts, " ")
end

local function read_objects(reader)
    return line_of(read_many(reader, 4, function()
        return tostring(reader:number(RTS.object, 4))
    end))
end

local RTS_BODIES = {
    [1] = function(reader, missing)
        local object, operation = reader:number(RTS.object, 4), reader:number(RTS.operation, 4)
        local process, site = reader:number(RTS.process, 4), reader:number(RTS.site, 4)
        local invocation = reader:long(RTS.invocation)
        if not invocation then
            return nil
        end
        local len = reader:rest(RTS.arguments) + missing
        return string.format(" object %d operation %d process %d site %d invocation %s %d B",
            object, operation, process, site, tostring(invocation), len)
    end,
    [2] = function(reader, missing)
        local process, cpu = reader:number(RTS.process, 4), reader:number(RTS.cpu, 4)
        local forker, invocation = reader:number(RTS.forker, 4), reader:long(RTS.invocation)
        if not invocation then
            return nil
        end
        local len = reader:rest(RTS.arguments) + missing
        return string.format(" process %d cpu %d forker %d invocation %s %d B",
            process, cpu, forker, tostring(invocation), len)
    end,
    [3] = read_objects,
    [4] = read_objects,
    [5] = function(reader)
        return line_of(read_many(reader, 8, function()
            return reader:long(RTS.hash):tohex():lower()
        end))
    end,
    [6] = function(reader)
        local sent, received = reader:long(RTS.sent), reader:long(RTS.received)
        local waiting = reader:number(RTS.waiting, 4)
        local told = read_many(reader, 16, function()
            reader:number(RTS["waiting.process"], 4)
            reader:number(RTS["waiting.site"], 4)
            reader:number(RTS["waiting.object_type"], 4)
            reader:number(RTS["waiting.operation"], 4)
            return ""
        end)
        return told and string.format(" sent %s received %s waiting %d told %d",
            tostring(sent), tostring(received), waiting, #told)
    end,
    [7] = function(reader, missing)
        local status = reader:number(RTS.status, 4)
        if not status then
            return nil
        end
        if missing > 0 then
            return string.format(" status %d %d B", status, reader:rest(RTS.line) + missing)
        end
        local range = reader:left() > 0 and reader:take(reader:left())
        local quoted = quote(range and range:raw() or "")
        if not quoted then
            return nil
        end
        if range then
            reader.tree:add(RTS.line, range)
        end
        return string.format(" status %d ", status) .. quoted
    end,
    [8] = function(reader)
        local object, writes = reader:number(RTS.object, 4), reader:long(RTS.writes)
        local digest = reader:long(RTS.digest)
        return digest and string.format(" object %d writes %s digest %s",
            object, tostring(writes), digest:tohex():lower())
    end,
}
-- What ends with bytes of any number; all others end where they say.
local RTS_OPEN_ENDED = { [1] = true, [2] = true, [7] = true }

local function looks_like_rts(tvb, at)
    local len = tvb:len() - at
    if len == INTRODUCTION_LEN then
        return tvb:range(at, 1):uint() == INTRODUCTION
    end
    if len < RTS_HEADER_LEN or tvb:range(at, 1):uint() ~= RTS_VERSION then
        return false
    end
    return RTS_BODIES[tvb:range(at + 1, 1):uint()] ~= nil
end

-- Shows the message and gives its line; `missing` bytes of it are in later fragments.
local function dissect_rts(tvb, at, root, missing)
    local tree = root:add(orcarts, tvb:range(at))
    local reader = Reader.new(tvb, at, tree, true)
    if tvb:range(at, 1):uint() == INTRODUCTION then
        reader:number(RTS.kind, 1)
        return "Introduction processor " .. reader:number(RTS.processor, 4)
    end
    reader:number(RTS.version, 1)
    local kind = reader:number(RTS.kind, 1)
    local epoch = reader:number(RTS.epoch, 2)
    reader:number(RTS.reserved, 4)
    local applied = reader:long(RTS.applied)
    local body = RTS_BODIES[kind](reader, missing)
    if missing > 0 and not (body and RTS_OPEN_ENDED[kind]) then
        return RTS_KINDS[kind] .. " (cut)"
    end
    if not body or (not RTS_OPEN_ENDED[kind] and reader:left() > 0) then
        refuse(tree, rts_malformed, RTS_KINDS[kind] .. " body")
        return "? malformed"
    end
    local line = RTS_KINDS[kind] .. body .. " after " .. tostring(applied)
    return epoch == 0 and line or line .. " epoch " .. epoch
end

--------------------------------------------------------------------------------------------------
-- Group messages. Each function reads a body and gives what follows the type in the line. A message
-- is { tvb, root, tree, little, whole }: `whole` is its length, of which the tvb may have less.

-- What to say of a body that ended too early: it is malformed, or goes on in the next fragment.
local function group_body_error(message)
    if message.whole > message.tvb:len() then
        return " (cut)"
    end
    local reason = "malformed " .. GROUP_TYPES[message.kind] .. " body"
    refuse(message.tree, group_malformed, reason)
    return " ? " .. reason
end

local function group_reader(message, at)
    return Reader.new(message.tvb, at or GROUP_HEADER_LEN, message.tree, message.little)
end

local function read_locate(message)
    local tvb = message.tvb
    if not dissect_header(tvb, GROUP_HEADER_LEN, message.root, message.little) then
        return group_body_error(message)
    end
    local reader = group_reader(message, GROUP_HEADER_LEN + HEADER_LEN)
    reader:bytes(GROUP["locate.rpc_address"], 8)
    local address = reader:bytes(GROUP["locate.address"], 8)
    if not address then
        return group_body_error(message)
    end
    return " port " .. hex_at(tvb, GROUP_HEADER_LEN, 6) .. " for " .. address
end

local function read_here_is(message)
    local reader = group_reader(message)
    local members_max = reader:number(GROUP["hereis.members_max"], 2)
    local history_log2 = reader:number(GROUP["hereis.history_log2"], 2)
    local message_log2 = reader:number(GROUP["hereis.message_log2"], 2)
    reader:number(GROUP["hereis.resilience"], 2)
    reader:number(GROUP["hereis.large"], 4)
    local assigned = reader:number(GROUP["hereis.assigned"], 2)
    local sequencer = reader:number(GROUP["hereis.sequencer"], 2)
    local private_a = reader:bytes(GROUP["hereis.private_a"], 8)
    local private_b = reader:bytes(GROUP["hereis.private_b"], 8)
    local sane = private_b
        and members_max <= GROUP_SLOTS_MAX
        and assigned < members_max and sequencer < members_max and assigned ~= sequencer
        and message_log2 <= 30 and history_log2 <= 24
        and private_a ~= NULL_ADDRESS and private_b ~= NULL_ADDRESS
    if not sane then
        return group_body_error(message)
    end
    return " m" .. assigned .. " sequencer m" .. sequencer
end

-- Shows one slot; says whether its state is a known one.
local function read_slot(message, reader)
    local range = reader:take(GROUP_SLOT_LEN)
    if not range then
        return false
    end
    local item = message.tree:add(GROUP["join.slot"], range)
    local slot = Reader.new(message.tvb, reader.at - GROUP_SLOT_LEN, item, message.little)
    slot:bytes(GROUP["join.slot.address"], 8)
    slot:bytes(GROUP["join.slot.rpc_address"], 8)
    local state = slot:number(GROUP["join.slot.state"], 4)
    slot:number(GROUP["join.slot.expect"], 4)
    slot:number(GROUP["join.slot.id"], 4)
    return SLOT_STATES[state] ~= nil
end

local function read_table(message)
    local slots = (message.whole - GROUP_HEADER_LEN - GROUP_TABLE_FIXED_LEN) / GROUP_SLOT_LEN
    if slots < 0 or slots > GROUP_SLOTS_MAX or slots ~= math.floor(slots) then
        return nil
    end
    if not dissect_header(message.tvb, GROUP_HEADER_LEN, message.root, message.little) then
        return nil
    end
    local reader = group_reader(message, GROUP_HEADER_LEN + HEADER_LEN)
    reader:bytes(GROUP["join.joiner"], 8)
    local sane = true
    for _ = 1, slots do
        sane = read_slot(message, reader) and sane
    end
    reader:bytes(GROUP["join.private_b"], 8)
    local total = reader:number(GROUP["join.total"], 2)
    local sequencer = reader:number(GROUP["join.sequencer"], 2)
    reader:number(GROUP["join.next"], 4)
    reader:number(GROUP["join.incarnation"], 2)
    reader:number(GROUP["join.resilience"], 2)
    if not reader:number(GROUP["join.large"], 4) then
        return nil
    end
    return sane and sequencer < slots and " total " .. total or nil
end

local function read_join(message)
    return " #" .. message.seq .. message.from .. (read_table(message) or group_body_error(message))
end

local function read_sync(message)
    local line = " #" .. message.seq
    local body = message.whole - GROUP_HEADER_LEN
    if body % 2 ~= 0 or body / 2 > GROUP_SLOTS_MAX then
        return line .. group_body_error(message)
    end
    local reader = group_reader(message)
    while reader:left() >= 2 do
        line = line .. " m" .. reader:number(GROUP["sync.member"], 2)
    end
    return body > message.tvb:len() - GROUP_HEADER_LEN and line .. " (cut)" or line
end

-- The data of a broadcast, perhaps of the run-time system.
local function read_data(message)
    local tvb, at = message.tvb, GROUP_HEADER_LEN + HEADER_LEN
    local size = message.whole - at
    local text = " " .. show_data(tvb, at, size)
    if tvb:len() <= at then
        return text
    end
    if amgroup.prefs.rts and looks_like_rts(tvb, at) then
        message.above = dissect_rts(tvb, at, message.root, message.whole - tvb:len())
    else
        message.tree:add(GROUP.data, tvb:range(at))
    end
    return text
end

local function read_broadcast(message)
    local line = (message.seq ~= 0 and " #" .. message.seq or "") .. message.from
    local body = message.whole - GROUP_HEADER_LEN
    if body == 0 and message.kind == 6 then
        return line -- A tentative number for what its sender sent to all.
    end
    if body == 0 then
        message.tree:add(GROUP.accept, true):set_generated()
        return line .. " accept"
    end
    if body < HEADER_LEN then
        refuse(message.tree, group_malformed, "short body")
        return line .. " ? short body"
    end
    if not dissect_header(message.tvb, GROUP_HEADER_LEN, message.root, message.little) then
        return line .. " (cut)"
    end
    return line .. read_data(message)
end

local function read_request_header(message)
    dissect_header(message.tvb, GROUP_HEADER_LEN, message.root, message.little)
    return (message.seq ~= 0 and " #" .. message.seq or "") .. message.from
end

local function read_leave(message)
    dissect_header(message.tvb, GROUP_HEADER_LEN, message.root, message.little)
    return " #" .. message.seq .. message.from
end

local function read_retrans(message)
    if message.seq == 0 then
        return " request /" .. message.id
    elseif message.id > 1 then
        return " #" .. message.seq .. " and " .. (message.id - 1) .. " more"
    end
    return " #" .. message.seq
end

local function read_number(message)
    return " #" .. message.seq
end

local function read_state(message)
    return " m" .. message.member .. " next #" .. message.seq .. " expect #" .. message.expect
end

local function read_reform_request(message)
    local body = message.whole - GROUP_HEADER_LEN
    if body >= HEADER_LEN + 2 and dissect_header(message.tvb, GROUP_HEADER_LEN, message.root, message.little) then
        group_reader(message, GROUP_HEADER_LEN + HEADER_LEN):number(GROUP["reform.members_min"], 2)
    end
    return " m" .. message.member .. " round " .. message.id .. " next #" .. message.seq
end

local function read_vote(message)
    local line = " m" .. message.member .. " round " .. message.id
    local reader = group_reader(message)
    if message.seq == 0xfffffffe then
        return line .. " abort"
    end
    local last = reader:number(GROUP["vote.last"], 4)
    local has_ballot = message.whole > GROUP_HEADER_LEN + 4
    local round, coordinator
    if has_ballot then
        round = reader:number(GROUP["vote.round"], 4)
        reader:number(GROUP["vote.next"], 4)
        coordinator = reader:number(GROUP["vote.coordinator"], 2)
    end
    if not last or has_ballot and not coordinator then
        return line .. group_body_error(message)
    end
    local ballot = has_ballot and "round " .. round .. " of m" .. coordinator
    if message.seq == 0xffffffff and ballot then
        return line .. " stop: " .. ballot
    end
    return line .. " next #" .. message.seq .. (ballot and ", has the result of " .. ballot or "")
end

-- The new group as RESULT tells it; nil if the body is none.
local function read_result_table(message)
    local slots = (message.whole - GROUP_HEADER_LEN - GROUP_RESULT_FIXED_LEN) / GROUP_RESULT_SLOT_LEN
    if slots < 0 or slots > GROUP_SLOTS_MAX or slots ~= math.floor(slots) then
        return nil
    end
    if not dissect_header(message.tvb, GROUP_HEADER_LEN, message.root, message.little) then
        return " (cut)"
    end
    local reader = group_reader(message, GROUP_HEADER_LEN + HEADER_LEN)
    for _ = 1, slots do
        local state = reader:number(GROUP["result.state"], 4)
        if state and state > 4 then
            return nil
        end
    end
    reader:bytes(GROUP["result.private_a"], 8)
    reader:bytes(GROUP["result.private_b"], 8)
    local total = reader:number(GROUP["result.total"], 2)
    local sequencer = reader:number(GROUP["result.sequencer"], 2)
    local incarnation = reader:number(GROUP["result.incarnation"], 2)
    reader:number(GROUP["result.round"], 4)
    local last
    for _ = 1, slots do
        last = reader:number(GROUP["result.last"], 4)
    end
    if slots > 0 and not last then
        return " (cut)"
    elseif not sequencer or sequencer >= slots then
        return nil
    end
    return " incarnation " .. incarnation .. " total " .. total
end

local function read_result(message)
    if message.seq == 0 then
        return " m" .. message.member .. " failed"
    end
    local line = " #" .. message.seq .. " m" .. message.member
    return line .. (read_result_table(message) or group_body_error(message))
end

local function read_dead(message)
    local line = " m" .. message.member
    if message.id == 0 then
        return line
    elseif message.id == 0xffffffff then
        return line .. " recovers"
    end
    return line .. " about m" .. (message.id - 1) % 0x10000
end

local function read_member(message)
    return " m" .. message.member
end

local GROUP_BODIES = {
    [0] = read_locate,
    [1] = read_here_is,
    [2] = read_request_header,
    [3] = read_join,
    [4] = read_request_header,
    [5] = read_leave,
    [6] = read_broadcast,
    [7] = read_broadcast,
    [8] = read_number,
    [9] = read_retrans,
    [10] = read_sync,
    [11] = read_state,
    [12] = read_reform_request,
    [13] = read_vote,
    [14] = read_result,
    [15] = read_member,
    [16] = read_member,
    [17] = read_member,
    [18] = read_dead,
}

-- Why the header is none, or nil.
local function group_header_error(tvb, whole)
    if whole < GROUP_HEADER_LEN then
        return whole .. " bytes where at least " .. GROUP_HEADER_LEN .. " were expected"
    end
    local kind, flags = tvb:range(0, 1):uint(), tvb:range(1, 1):uint()
    if flags > 1 then
        return string.format("unknown flags 0x%02x", flags)
    elseif not GROUP_TYPES[kind] then
        return "unknown type " .. kind
    end
    return nil
end

-- Shows a group message and gives its line and that of what is in it.
local function dissect_group(tvb, pinfo, root, whole)
    pinfo.cols.protocol = "AMGROUP"
    local tree = root:add(amgroup, tvb:range(0))
    if whole > tvb:len() and tvb:len() < GROUP_HEADER_LEN then
        return "(cut)"
    end
    local reason = group_header_error(tvb, whole)
    if tvb:len() >= GROUP_HEADER_LEN then
        local little = not has_bit(tvb:range(1, 1):uint(), 1)
        local reader = Reader.new(tvb, 0, tree, little)
        local message = { tvb = tvb, root = root, tree = tree, little = little, whole = whole }
        message.kind = reader:number(GROUP.type, 1)
        add_flags(reader, GROUP, GROUP.flags, { [1] = "big_endian" })
        reader:number(GROUP.branch, 2)
        message.member = reader:number(GROUP.member, 2)
        local incarnation = reader:number(GROUP.incarnation, 2)
        message.seq = reader:number(GROUP.seq, 4)
        message.id = reader:number(GROUP.id, 4)
        message.expect = reader:number(GROUP.expect, 4)
        if not reason then
            message.from = " m" .. message.member .. "/" .. message.id
            local line = GROUP_TYPES[message.kind]
            if incarnation ~= 0 then
                line = line .. " [" .. incarnation .. "]"
            end
            line = line .. GROUP_BODIES[message.kind](message)
            tree:append_text(", " .. line)
            if message.above then
                pinfo.cols.protocol = "ORCARTS"
            end
            return line, message.above
        end
    end
    refuse(tree, group_malformed, reason)
    return "? " .. reason
end

-- Whether a unicast or multicast of `whole` bytes can be a group message: only what comes as a
-- broadcast is left out, and sizes that no message has.
local function plausible_group(tvb, whole)
    if tvb:len() < GROUP_HEADER_LEN or group_header_error(tvb, whole) then
        return false
    end
    local kind = tvb:range(0, 1):uint()
    local little = tvb:range(1, 1):uint() == 0
    local body = whole - GROUP_HEADER_LEN
    local branch, incarnation = u16_at(tvb, 2, little), u16_at(tvb, 6, little)
    if kind == 0 or branch ~= 0 and incarnation == 0 or u16_at(tvb, 4, little) >= GROUP_SLOTS_MAX then
        return false
    elseif kind == 1 then
        return body >= GROUP_PARAMETERS_LEN
    elseif kind == 3 then
        return body >= GROUP_TABLE_FIXED_LEN and (body - GROUP_TABLE_FIXED_LEN) % GROUP_SLOT_LEN == 0
    elseif kind == 6 or kind == 7 then
        return body == 0 or body >= HEADER_LEN
    elseif kind == 10 then
        return body % 2 == 0
    end
    return true
end

--------------------------------------------------------------------------------------------------
-- RPC messages.

local RPC_TYPE_AT, RPC_FLAGS_AT = 14, 15
local RPC_LOCATE, RPC_REQUEST, RPC_REPLY, RPC_FORWARD = 1, 3, 4, 10
-- Bytes behind the header at least.
local RPC_BODY_LEN = { [RPC_REQUEST] = HEADER_LEN, [RPC_REPLY] = HEADER_LEN, [RPC_FORWARD] = 8 }

local function rpc_header_error(tvb, whole)
    if whole < RPC_HEADER_LEN then
        return whole .. " bytes where at least " .. RPC_HEADER_LEN .. " were expected"
    end
    local kind, flags = tvb:range(RPC_TYPE_AT, 1):uint(), tvb:range(RPC_FLAGS_AT, 1):uint()
    if unknown_bits(flags, RPC_FLAGS) ~= 0 then
        return string.format("unknown flags 0x%02x", flags)
    elseif not RPC_TYPES[kind] then
        return "unknown type " .. kind
    elseif whole < RPC_HEADER_LEN + (RPC_BODY_LEN[kind] or 0) then
        return "short body"
    end
    return nil
end

local function plausible_rpc(tvb, whole)
    if tvb:len() < RPC_HEADER_LEN or rpc_header_error(tvb, whole) then
        return false
    end
    local kind = tvb:range(RPC_TYPE_AT, 1):uint()
    if kind == RPC_REQUEST or kind == RPC_REPLY then
        return true
    end
    return kind ~= RPC_LOCATE and whole == RPC_HEADER_LEN + (RPC_BODY_LEN[kind] or 0)
end

local function rpc_line(tvb, whole, kind, tid, destination, source)
    local line = RPC_TYPES[kind]
    if kind <= RPC_REQUEST then
        line = line .. " port " .. hex_at(tvb, 8, 6)
    end
    line = line .. " tid " .. tid
    if kind == RPC_REQUEST then
        line = line .. " thread " .. source .. " estimate " .. destination .. " ms"
    else
        line = line .. " thread " .. source .. " -> " .. destination
    end
    for bit = 1, 4 do
        local mask = math.floor(2 ^ bit)
        if has_bit(tvb:range(RPC_FLAGS_AT, 1):uint(), mask) then
            line = line .. " " .. RPC_FLAGS[mask]
        end
    end
    if kind == RPC_REQUEST or kind == RPC_REPLY then
        line = line .. " " .. (whole - RPC_HEADER_LEN - HEADER_LEN) .. " B"
    end
    return line
end

local function read_rpc_body(tvb, tree, root, kind, little)
    if kind == RPC_FORWARD then
        Reader.new(tvb, RPC_HEADER_LEN, tree, little):bytes(RPC["forward.address"], 8)
    elseif kind == RPC_REQUEST or kind == RPC_REPLY then
        local at = RPC_HEADER_LEN + HEADER_LEN
        if dissect_header(tvb, RPC_HEADER_LEN, root, little) and tvb:len() > at then
            tree:add(RPC.data, tvb:range(at))
        end
    end
end

local function dissect_rpc(tvb, pinfo, root, whole)
    pinfo.cols.protocol = "AMRPC"
    local tree = root:add(amrpc, tvb:range(0))
    if whole > tvb:len() and tvb:len() < RPC_HEADER_LEN then
        return "(cut)"
    end
    local reason = rpc_header_error(tvb, whole)
    if tvb:len() >= RPC_HEADER_LEN then
        local little = not has_bit(tvb:range(RPC_FLAGS_AT, 1):uint(), 1)
        local reader = Reader.new(tvb, 0, tree, little)
        reader:bytes(RPC.kid, 8)
        reader:bytes(RPC.port, 6)
        local kind = reader:number(RPC.type, 1)
        add_flags(reader, RPC, RPC.flags, RPC_FLAGS)
        local tid = reader:number(RPC.tid, 4)
        local field = kind == RPC_REQUEST and RPC.estimate or RPC.destination
        local destination = reader:number(field, 2)
        local source = reader:number(RPC.source, 2)
        if not reason then
            read_rpc_body(tvb, tree, root, kind, little)
            local line = rpc_line(tvb, whole, kind, tid, destination, source)
            tree:append_text(", " .. line)
            return line
        end
    end
    refuse(tree, rpc_malformed, reason)
    return "? " .. reason
end

--------------------------------------------------------------------------------------------------
-- FLIP.

-- The length of the variable part behind the header, its count included; nil if it is not well
-- formed.
local function variable_len(tvb, little)
    if tvb:len() < FLIP_HEADER_LEN + 4 then
        return nil
    end
    local count = u32_at(tvb, FLIP_HEADER_LEN, little)
    local start = FLIP_HEADER_LEN + 4
    if count > VARIABLE_LEN_MAX or count % 4 ~= 0 or count > tvb:len() - start then
        return nil
    end
    local at, stop = start, start + count
    while at < stop do
        local code = tvb:range(at, 1):uint()
        if code == 0 then
            -- Padding, to the end: less than a word of zeros.
            if stop - at > 4 or tvb:range(at, stop - at):bytes():tohex():find("[^0]") then
                return nil
            end
            return 4 + count
        end
        if at + 2 > stop then
            return nil
        end
        at = at + 2 + tvb:range(at + 1, 1):uint()
        if at > stop then
            return nil
        end
    end
    return 4 + count
end

local function show_variable(tvb, tree, little, len)
    local reader = Reader.new(tvb, FLIP_HEADER_LEN, tree, little)
    reader:number(FLIP["variable.length"], 4)
    local stop = FLIP_HEADER_LEN + len
    while reader.at < stop and tvb:range(reader.at, 1):uint() ~= 0 do
        reader:number(FLIP["variable.code"], 1)
        local size = reader:take(1):uint()
        if size > 0 then
            reader:bytes(FLIP["variable.data"], size)
        end
    end
end

-- Why the bytes are no packet, or nil; and where the payload starts. A HEREIS is looked at later.
local function flip_error(tvb)
    if tvb:len() < FLIP_HEADER_LEN then
        return "shorter than a header"
    elseif tvb:range(0, 1):uint() ~= FLIP_VERSION then
        return "unknown version"
    end
    local flags = tvb:range(2, 1):uint()
    local little = not has_bit(flags, 0x01)
    local start = FLIP_HEADER_LEN
    if has_bit(flags, 0x02) then
        local len = variable_len(tvb, little)
        if not len then
            return "bad variable part"
        end
        start = start + len
    end
    local length, offset = u32_at(tvb, 28, little), u32_at(tvb, 32, little)
    local total = u32_at(tvb, 36, little)
    if tvb:len() - start < length then
        return "shorter than its length says"
    elseif offset + length > total then
        return "fragment outside of its message"
    elseif not FLIP_TYPES[tvb:range(1, 1):uint()] then
        return "unknown type"
    end
    return nil, start
end

-- The fields of the fixed header, as a table by name.
local function show_flip_header(tvb, tree)
    local little = not has_bit(tvb:range(2, 1):uint(), 0x01)
    local reader = Reader.new(tvb, 0, tree, little)
    local header = { little = little }
    reader:number(FLIP.version, 1)
    header.kind = reader:number(FLIP.type, 1)
    header.flags = tvb:range(2, 1):uint()
    add_flags(reader, FLIP, FLIP.flags, FLIP_FLAGS)
    reader:number(FLIP.reserved, 1)
    header.actual = reader:number(FLIP.actual, 2)
    header.maximum = reader:number(FLIP.maximum, 2)
    header.destination = reader:bytes(FLIP.destination, 8)
    header.source = reader:bytes(FLIP.source, 8)
    header.message = reader:number(FLIP.message, 4)
    header.length = reader:number(FLIP.length, 4)
    header.offset = reader:number(FLIP.offset, 4)
    header.total = reader:number(FLIP.total, 4)
    return header
end

-- The counters of a HEREIS as text, or nil.
local function read_counters(tvb, tree, start, header)
    if header.length ~= 4 then
        return nil
    end
    local reader = Reader.new(tvb, start, tree, header.little)
    local count = reader:number(FLIP["hereis.count"], 2)
    local trusted = reader:number(FLIP["hereis.trusted"], 2)
    if count < 1 or trusted > count or header.total ~= 4 then
        return nil
    end
    return " count " .. count .. " trusted " .. trusted
end

-- The missing parts that an AGAIN names, always in little endian.
local function read_parts(tvb, tree, start, header)
    if header.length % 8 ~= 0 or header.length > AGAIN_PARTS_MAX * 8 then
        tree:add(FLIP.payload, tvb:range(start, header.length))
        return
    end
    local reader = Reader.new(tvb, start, tree, true)
    for _ = 1, header.length / 8 do
        reader:number(FLIP["again.start"], 4)
        reader:number(FLIP["again.end"], 4)
    end
end

local function flip_line(header, counters)
    local line = string.format("%s %s -> %s #%d %d/%d", FLIP_TYPES[header.kind], header.source,
        header.destination, header.message, header.actual, header.maximum)
    if header.kind == 2 then
        line = line .. counters
    elseif header.kind ~= 1 then
        line = line .. " @" .. header.offset .. " of " .. header.total
    end
    for bit = 2, 5 do
        local mask = math.floor(2 ^ bit)
        if FLIP_FLAGS[mask] and has_bit(header.flags, mask) then
            line = line .. " " .. FLIP_FLAGS[mask]
        end
    end
    return line
end

-- The payload of the first fragment of a message; gives the lines of what is in it.
local function dissect_payload(tvb, pinfo, root, tree, header)
    local whole = header.total
    if header.kind == 4 and header.destination == NULL_ADDRESS then
        local selector = tvb:len() >= 4 and tvb:range(0, 4):uint()
        if selector then
            tree:add(FLIP.selector, tvb:range(0, 4))
        end
        if (selector == 1 or selector == 2) and tvb:len() > 4 then
            local dissect = selector == 1 and dissect_rpc or dissect_group
            return dissect(tvb:range(4):tvb(), pinfo, root, whole - 4)
        end
        tree:add(FLIP.payload, tvb:range(0))
        return nil
    end
    local choice = amflip.prefs.payload
    if choice == ALWAYS_GROUP or (choice == GUESS and plausible_group(tvb, whole)) then
        return dissect_group(tvb, pinfo, root, whole)
    elseif choice == ALWAYS_RPC or (choice == GUESS and plausible_rpc(tvb, whole)) then
        return dissect_rpc(tvb, pinfo, root, whole)
    end
    tree:add(FLIP.payload, tvb:range(0))
    return nil
end

local function read_flip_body(tvb, pinfo, root, tree, start, header)
    if header.length < header.total then
        tree:add(FLIP.fragment, true):set_generated()
    end
    if header.length == 0 then
        return nil
    elseif header.kind == 7 then
        return read_parts(tvb, tree, start, header)
    elseif header.kind == 1 then
        tree:add(FLIP.payload, tvb:range(start, header.length))
        return nil
    elseif header.offset ~= 0 then
        tree:add(FLIP["fragment.later"], true):set_generated()
        tree:add(FLIP.payload, tvb:range(start, header.length))
        return nil
    end
    return dissect_payload(tvb:range(start, header.length):tvb(), pinfo, root, tree, header)
end

-- Networks without addresses leave the columns for them empty.
local function show_addresses(pinfo, header)
    if tostring(pinfo.net_src) == "NONE" and tostring(pinfo.dl_src) == "NONE" then
        pinfo.cols.src = header.source
        pinfo.cols.dst = header.destination
    end
end

local function show_info(pinfo, line, ...)
    for _, above in ipairs({ ... }) do
        line = line .. " | " .. above
    end
    pinfo.cols.info = line
end

-- Shows a packet; `flow` is what the flow-control header in front of it adds to the line.
local function dissect_flip(tvb, pinfo, root, flow)
    pinfo.cols.protocol = "AMFLIP"
    local reason, start = flip_error(tvb)
    local tree = root:add(amflip, tvb:range(0, start or math.min(tvb:len(), FLIP_HEADER_LEN)))
    local header = tvb:len() >= FLIP_HEADER_LEN and show_flip_header(tvb, tree)
    local counters
    if not reason then
        if start > FLIP_HEADER_LEN then
            show_variable(tvb, tree, header.little, start - FLIP_HEADER_LEN)
        end
        if header.kind == 2 then
            counters = read_counters(tvb, tree, start, header)
            reason = not counters and "counters of a HEREIS make no sense" or nil
        end
    end
    if reason then
        refuse(tree, flip_malformed, reason)
        show_info(pinfo, tvb:len() .. " B, no packet: " .. reason .. flow)
        return tvb:len()
    end
    show_addresses(pinfo, header)
    local line = flip_line(header, counters)
    tree:append_text(", " .. line)
    if header.kind == 2 then
        show_info(pinfo, line .. flow)
    else
        show_info(pinfo, line .. flow, read_flip_body(tvb, pinfo, root, tree, start, header))
    end
    return start + header.length
end

-- Whether this is a frame that only holders of the network's key can read.
local function is_sealed(tvb)
    return tvb:len() >= SEAL_HEADER_LEN + SEAL_TAG_LEN and tvb:range(0, 1):uint() == SEAL_MAGIC
        and SEAL_KINDS[tvb:range(1, 1):uint()] ~= nil
end

-- What everybody can read of it; `flow` as above.
local function dissect_sealed(tvb, pinfo, root, flow)
    pinfo.cols.protocol = "AMSEAL"
    local tree = root:add(amseal, tvb:range(0))
    local reader = Reader.new(tvb, 0, tree, false)
    reader:number(SEAL.magic, 1)
    local kind, epoch = reader:number(SEAL.kind, 1), reader:number(SEAL.epoch, 4)
    local sender, counter = reader:bytes(SEAL.sender, 16), reader:long(SEAL.counter)
    local size = reader:left() - SEAL_TAG_LEN
    if size > 0 then
        reader:bytes(SEAL.sealed, size)
    end
    reader:bytes(SEAL.tag, SEAL_TAG_LEN)
    show_info(pinfo, string.format("sealed %s %s #%s epoch %d %d B%s", SEAL_KINDS[kind],
        sender:sub(1, 8), tostring(counter), epoch, size, flow))
    return tvb:len()
end

-- A packet, sealed or not.
local function dissect_packet(tvb, pinfo, root, flow)
    return (is_sealed(tvb) and dissect_sealed or dissect_flip)(tvb, pinfo, root, flow)
end

function amflip.dissector(tvb, pinfo, root)
    if tvb:len() == 0 then
        return 0
    end
    return dissect_packet(tvb, pinfo, root, "")
end

--------------------------------------------------------------------------------------------------
-- Datagrams: packets as they are, and two that begin with a byte that no packet begins with.

-- Whether the bytes from `at` on are a packet, and nothing but one, beyond reasonable doubt.
local function looks_like_flip(tvb, at)
    if tvb:len() - at < FLIP_HEADER_LEN then
        return false
    end
    local packet = tvb:range(at):tvb()
    local reason, start = flip_error(packet)
    if reason then
        return false
    end
    local flags = packet:range(2, 1):uint()
    local length = u32_at(packet, 28, not has_bit(flags, 0x01))
    return unknown_bits(flags, FLIP_FLAGS) == 0 and packet:len() == start + length
end

-- The end of the list of an *except*, or nil: { count, and for each a 4 or 6, an address, a port }.
local function except_end(tvb)
    local count = tvb:len() >= 2 and tvb:range(1, 1):uint()
    if not count or count > UDP_EXCEPT_MAX then
        return nil
    end
    local at = 2
    for _ = 1, count do
        local family = at < tvb:len() and tvb:range(at, 1):uint()
        at = at + ((family == 4 and 7) or (family == 6 and 19) or tvb:len())
        if at >= tvb:len() then
            return nil
        end
    end
    local is_frame = at < tvb:len() and tvb:range(at, 1):uint() < UDP_PROBE
    return is_frame and at or nil
end

-- A frame for those who are not in the list; the list becomes part of the line.
local function dissect_except(tvb, pinfo, root, stop)
    local tree = root:add(amudp, tvb:range(0, stop))
    local reader = Reader.new(tvb, 0, tree, false)
    reader:number(UDP.first, 1)
    local texts = {}
    for _ = 1, reader:number(UDP.count, 1) do
        local is_v4 = reader:number(UDP.family, 1) == 4
        local range = reader:take(is_v4 and 4 or 16)
        tree:add(is_v4 and UDP.ipv4 or UDP.ipv6, range)
        local address = is_v4 and tostring(range:ipv4()) or "[" .. tostring(range:ipv6()) .. "]"
        texts[#texts + 1] = address .. ":" .. reader:number(UDP.port, 2)
    end
    tree:append_text(", not for " .. #texts .. " stations")
    local flow = " (except " .. table.concat(texts, " ") .. ")"
    return stop + dissect_packet(tvb:range(stop):tvb(), pinfo, root, flow)
end

function amudp.dissector(tvb, pinfo, root)
    local first = tvb:len() > 0 and tvb:range(0, 1):uint()
    if first == UDP_EXCEPT and except_end(tvb) then
        return dissect_except(tvb, pinfo, root, except_end(tvb))
    elseif first == UDP_PROBE and tvb:len() == UDP_PROBE_LEN
        and UDP_KINDS[tvb:range(1, 1):uint()] then
        pinfo.cols.protocol = "AMUDP"
        local reader = Reader.new(tvb, 0, root:add(amudp, tvb:range(0)), false)
        reader:number(UDP.first, 1)
        local name = UDP_KINDS[reader:number(UDP.kind, 1)]
        show_info(pinfo, name .. " " .. reader:bytes(UDP.nonce, 8))
        return tvb:len()
    elseif not first or first >= UDP_PROBE then
        return 0
    end
    return dissect_packet(tvb, pinfo, root, "")
end

amudp:register_heuristic("udp", function(tvb, pinfo, root)
    local at = 0
    if tvb:len() > 0 and tvb:range(0, 1):uint() == UDP_EXCEPT then
        at = except_end(tvb)
    end
    if not at or not looks_like_flip(tvb, at) then
        return false
    end
    amudp.dissector(tvb, pinfo, root)
    return true
end)

--------------------------------------------------------------------------------------------------
-- The flow-control header.

-- The address of a multicast message as text; nil if it is not all there.
local function read_flow_address(reader)
    return reader:bytes(FLOW.address, 8)
end

-- Shows the body and gives the line of everything but DATA; nil if the body makes no sense.
local function read_flow_body(reader, kind, credits)
    if kind == 1 then
        return ""
    elseif kind == 2 or kind == 6 then
        return " " .. credits
    elseif kind == 4 or kind == 5 then
        local address = read_flow_address(reader)
        return address and " " .. address
    end
    local location = reader:bytes(FLOW.location, 6)
    local rest = reader:bytes(FLOW["location.rest"], 2)
    local address = read_flow_address(reader)
    if not address or rest ~= "0000" then
        return nil
    end
    -- Without zeros in front, as numbers are.
    local number = location:gsub("^0+", "")
    return " m" .. (number == "" and "0" or number) .. " for " .. address
end

function amflow.dissector(tvb, pinfo, root)
    pinfo.cols.protocol = "AMFLOW"
    if tvb:len() == 0 then
        return 0
    elseif is_sealed(tvb) then
        return dissect_sealed(tvb, pinfo, root, "")
    end
    local tree = root:add(amflow, tvb:range(0, math.min(tvb:len(), FLOW_HEADER_LEN)))
    local reader = Reader.new(tvb, 0, tree, false)
    local function bad(reason)
        refuse(tree, flow_malformed, reason)
        show_info(pinfo, tvb:len() .. " B, no frame: " .. reason)
        return tvb:len()
    end
    local kind = reader:number(FLOW.type, 1)
    local credits = reader:number(FLOW.credits, 1)
    if not credits then
        return bad("bad flow-control header")
    elseif not FLOW_TYPES[kind] then
        return bad("unknown flow-control type")
    end
    if kind ~= 0 then
        local line = read_flow_body(reader, kind, credits)
        if not line then
            return bad("bad flow-control header")
        end
        show_info(pinfo, FLOW_TYPES[kind] .. line)
        return reader.at
    end
    local flow = credits ~= 0 and " (DATA credits " .. credits .. ")" or ""
    if tvb:len() == FLOW_HEADER_LEN then
        refuse(tree, flow_malformed, "shorter than a header")
        show_info(pinfo, "0 B, no packet: shorter than a header" .. flow)
        return FLOW_HEADER_LEN
    end
    return FLOW_HEADER_LEN + dissect_flip(tvb:range(FLOW_HEADER_LEN):tvb(), pinfo, root, flow)
end

--------------------------------------------------------------------------------------------------
-- Where they are found.

local encaps = wtap_encaps or wtap or {}
local by_encap = DissectorTable.get("wtap_encap")
-- The numbers are those of Wireshark's own list, should a later version not name them.
by_encap:add(encaps.USER0 or 45, amflip)
by_encap:add(encaps.USER1 or 46, amflow)
DissectorTable.get("ethertype"):add(ETHERTYPE_FLIP, amflow)
DissectorTable.get("udp.port"):add_for_decode_as(amudp)
