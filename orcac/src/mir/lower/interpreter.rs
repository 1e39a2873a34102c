//! Runs MIR without machine code and without the run-time system, in simulated memory: to test what lowering means.
//!
//! One processor, nothing shared: a forked process runs when the ones before it have ended, so nothing may wait for it. Memory that is
//! leaked, freed twice, or read before it is written (frames start with garbage) fails the test.

use std::collections::{BTreeMap, VecDeque};

use orca_abi::descriptor::Mode;
use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;
use orca_abi::types::{BITWISE_EQUAL, Kind, PLAIN};

use crate::mir::{
    Binary, Compare, CompareReal, ControlField, FunctionId, Local, Op, Program, Target, Terminator,
    Ty, TypeId, Unary, Value,
};

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) output: String,
    /// What went wrong, and on which line.
    pub(super) trap: Option<(Trap, u32)>,
}

enum Stop {
    Exit,
    Trap(Trap, u32),
}

type Step<T> = Result<T, Stop>;

const TYPES: u64 = 1 << 40;
const GARBAGE: u8 = 0xA5;
const STEPS_MAX: u64 = 50_000_000;

#[derive(Clone, Default)]
struct Nodes {
    /// Age and address of each slot's record.
    slots: Vec<(u32, u64)>,
    free: Vec<usize>,
}

struct Machine<'p> {
    program: &'p Program,
    memory: Vec<u8>,
    live: BTreeMap<u64, u64>,
    sets: Vec<Option<Vec<u64>>>,
    graphs: Vec<Option<Nodes>>,
    blobs: Vec<u64>,
    data: u64,
    output: String,
    line: String,
    forked: VecDeque<(usize, u64)>,
    /// How many processes hold each shared cell, and whether its variable is gone.
    shared: BTreeMap<u64, (u32, bool)>,
    steps: u64,
}

/// Runs the data modules, OrcaMain and whatever it forks.
pub(super) fn run(program: &Program) -> Run {
    let mut machine = Machine::new(program);
    let trap = machine.start().err().and_then(|stop| match stop {
        Stop::Exit => None,
        Stop::Trap(trap, site) => {
            let site = program.sites[site as usize];
            Some((trap, site.line))
        }
    });
    if trap.is_none() {
        for variable in &program.data_variables {
            machine.free_parts(variable.ty, machine.data + variable.offset);
        }
        assert!(machine.live.is_empty(), "leaked: {:?}", machine.live);
        assert!(machine.sets.iter().all(Option::is_none), "leaked a set");
        assert!(machine.graphs.iter().all(Option::is_none), "leaked a graph");
    }
    Run {
        output: machine.output,
        trap,
    }
}

impl<'p> Machine<'p> {
    fn new(program: &'p Program) -> Machine<'p> {
        let mut machine = Machine {
            program,
            memory: vec![GARBAGE; 4096],
            live: BTreeMap::new(),
            sets: Vec::new(),
            graphs: Vec::new(),
            blobs: Vec::new(),
            data: 0,
            output: String::new(),
            line: String::new(),
            forked: VecDeque::new(),
            shared: BTreeMap::new(),
            steps: 0,
        };
        for blob in &program.blobs {
            let at = machine.bump(blob.len() as u64);
            machine.memory[at as usize..][..blob.len()].copy_from_slice(blob);
            machine.blobs.push(at);
        }
        machine.data = machine.bump(program.data_size);
        machine.zero(machine.data, program.data_size);
        machine
    }

    fn start(&mut self) -> Step<()> {
        let program = self.program;
        for init in program.data_modules.iter().filter_map(|module| module.init) {
            self.process(init, 0)?;
        }
        self.forked.push_back((program.main as usize, 0));
        while let Some((process, arguments)) = self.forked.pop_front() {
            let process = &program.processes[process];
            self.process(process.code, arguments)?;
            for (index, parameter) in process.parameters.iter().enumerate() {
                let value = self.word(arguments + 8 * index as u64);
                let of = &program.types[parameter.ty.index()];
                match (parameter.mode, of.kind) {
                    (Mode::In, Kind::Object) => self.drop_cell(value),
                    (Mode::Shared, Kind::Object) => self.unshare(value),
                    (Mode::Shared, _) => {
                        let first = self.array_elements(8, value);
                        for index in 0..self.array_count(value) {
                            self.unshare(self.word(first + 8 * index));
                        }
                        self.release(first);
                    }
                    _ => self.free_parts(parameter.ty, value),
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, code: FunctionId, arguments: u64) -> Step<()> {
        match self.call(code, vec![arguments]) {
            Err(Stop::Exit) => Ok(()),
            Err(stop) => Err(stop),
            Ok(_) => panic!("a process ends in exit"),
        }
    }

    // Memory.

    fn bump(&mut self, size: u64) -> u64 {
        let at = (self.memory.len() as u64).next_multiple_of(16);
        self.memory.resize((at + size) as usize, GARBAGE);
        at
    }

    fn allocate(&mut self, size: u64) -> u64 {
        let at = self.bump(size.max(1));
        self.zero(at, size);
        self.live.insert(at, size);
        at
    }

    fn release(&mut self, at: u64) {
        let size = self.live.remove(&at);
        let size = size.unwrap_or_else(|| panic!("{at} is freed, but not allocated"));
        self.memory[at as usize..][..size as usize].fill(GARBAGE);
    }

    fn zero(&mut self, at: u64, size: u64) {
        self.memory[at as usize..][..size as usize].fill(0);
    }

    fn copy(&mut self, to: u64, from: u64, size: u64) {
        let from = from as usize;
        self.memory
            .copy_within(from..from + size as usize, to as usize);
    }

    fn load(&self, at: u64, bytes: usize) -> i64 {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(&self.memory[at as usize..][..bytes]);
        let shift = 64 - 8 * bytes as u32;
        i64::from_le_bytes(word) << shift >> shift
    }

    fn store(&mut self, at: u64, value: i64, bytes: usize) {
        self.memory[at as usize..][..bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    }

    fn word(&self, at: u64) -> u64 {
        self.load(at, 8) as u64
    }

    // Values.

    fn array_count(&self, at: u64) -> u64 {
        self.load(at + 12, 4) as u64
    }

    fn array_elements(&self, element: u64, at: u64) -> u64 {
        let offset = self.load(at + 8, 4);
        self.word(at).wrapping_add((offset * element as i64) as u64)
    }

    fn new_array(&mut self, ty: TypeId, at: u64, bounds: &[(i64, i64)]) -> Option<()> {
        let of = &self.program.types[ty.index()];
        let element = self.program.types[of.element.unwrap().index()].size;
        let mut count = 1i64;
        let mut offset = 0i64;
        for (index, &(lower, upper)) in bounds.iter().enumerate() {
            let number = (upper - lower + 1).max(0);
            self.store(at + 16 + 8 * index as u64, lower, 4);
            self.store(at + 20 + 8 * index as u64, number, 4);
            count = count.checked_mul(number)?;
            offset = offset * number + lower;
        }
        if count > 100_000_000 {
            return None;
        }
        let block = match count {
            0 => 0,
            _ => self.allocate(count as u64 * element),
        };
        self.store(at, block as i64 - offset * element as i64, 8);
        self.store(at + 8, offset, 4);
        self.store(at + 12, count, 4);
        Some(())
    }

    fn free_parts(&mut self, ty: TypeId, at: u64) {
        let of = &self.program.types[ty.index()];
        if of.flags & PLAIN != 0 {
            return;
        }
        match of.kind {
            Kind::Array => {
                let element = of.element.unwrap();
                let size = self.program.types[element.index()].size;
                let count = self.array_count(at);
                let first = self.array_elements(size, at);
                for index in 0..count {
                    self.free_parts(element, first + index * size);
                }
                if count > 0 {
                    self.release(first);
                }
            }
            Kind::FixedArray => {
                let element = of.element.unwrap();
                let size = self.program.types[element.index()].size;
                for index in 0..of.size / size.max(1) {
                    self.free_parts(element, at + index * size);
                }
            }
            Kind::Record => {
                for field in &of.fields {
                    self.free_parts(field.ty, at + field.offset);
                }
            }
            Kind::Set | Kind::Bag => {
                let handle = self.word(at);
                if handle != 0 {
                    let elements = self.sets[handle as usize - 1].take();
                    for element in elements.expect("a set is freed once") {
                        self.free_parts(of.element.unwrap(), element);
                        self.release(element);
                    }
                }
            }
            Kind::Graph => {
                let handle = self.word(at);
                if handle != 0 {
                    let nodes = self.graphs[handle as usize - 1].take();
                    for (age, node) in nodes.expect("a graph is freed once").slots {
                        if age % 2 == 1 {
                            self.free_parts(of.element.unwrap(), node);
                            self.release(node);
                        }
                    }
                }
                self.free_parts(of.root.unwrap(), at + 24);
            }
            Kind::Object => self.drop_cell(self.word(at)),
            _ => unreachable!("plain"),
        }
    }

    fn free(&mut self, ty: TypeId, at: u64) {
        self.free_parts(ty, at);
        self.zero(at, self.program.types[ty.index()].size);
    }

    fn drop_cell(&mut self, cell: u64) {
        assert_ne!(cell, 0, "every object has a cell");
        if let Some((_, gone)) = self.shared.get_mut(&cell) {
            *gone = true;
            return;
        }
        let object = self.load(cell + 8, 8) as usize;
        self.free_parts(self.program.objects[object].state, cell + 16);
        self.release(cell);
    }

    fn share(&mut self, cell: u64) {
        self.shared.entry(cell).or_default().0 += 1;
    }

    fn unshare(&mut self, cell: u64) {
        let (processes, gone) = self.shared.get_mut(&cell).expect("it is shared");
        *processes -= 1;
        if *processes == 0 && std::mem::take(gone) {
            self.shared.remove(&cell);
            self.drop_cell(cell);
        } else if *processes == 0 {
            self.shared.remove(&cell);
        }
    }

    fn new_cell(&mut self, object: usize) -> u64 {
        let state = self.program.objects[object].state;
        let cell = self.allocate(16 + self.program.types[state.index()].size);
        self.store(cell + 8, object as i64, 8);
        cell
    }

    /// Makes zeroed bytes a deep copy.
    fn fill(&mut self, ty: TypeId, to: u64, from: u64) {
        let of = &self.program.types[ty.index()];
        if of.flags & PLAIN != 0 {
            return self.copy(to, from, of.size);
        }
        match of.kind {
            Kind::Array => {
                let element = of.element.unwrap();
                let size = self.program.types[element.index()].size;
                let count = self.array_count(from);
                let offset = self.load(from + 8, 4);
                self.copy(to, from, of.size);
                let first = self.array_elements(size, from);
                let block = match count {
                    0 => 0,
                    _ => self.allocate(count * size),
                };
                self.store(to, block as i64 - offset * size as i64, 8);
                for index in 0..count {
                    self.fill(element, block + index * size, first + index * size);
                }
            }
            Kind::FixedArray => {
                let element = of.element.unwrap();
                let size = self.program.types[element.index()].size;
                for index in 0..of.size / size.max(1) {
                    self.fill(element, to + index * size, from + index * size);
                }
            }
            Kind::Record => {
                for field in &of.fields {
                    self.fill(field.ty, to + field.offset, from + field.offset);
                }
            }
            Kind::Set | Kind::Bag => {
                for element in self.elements(from) {
                    self.insert(ty, to, element);
                }
            }
            Kind::Graph => {
                let handle = self.word(from);
                if handle != 0 {
                    let mut nodes = self.graphs[handle as usize - 1].clone().unwrap();
                    let record = of.element.unwrap();
                    for (age, node) in &mut nodes.slots {
                        if *age % 2 == 1 {
                            let copy = self.allocate(self.program.types[record.index()].size);
                            self.fill(record, copy, *node);
                            *node = copy;
                        }
                    }
                    self.graphs.push(Some(nodes));
                    self.store(to, self.graphs.len() as i64, 8);
                }
                self.fill(of.root.unwrap(), to + 24, from + 24);
            }
            Kind::Object => {
                let source = self.word(from);
                let object = self.load(source + 8, 8) as usize;
                let cell = self.new_cell(object);
                self.store(to, cell as i64, 8);
                self.fill(self.program.objects[object].state, cell + 16, source + 16);
            }
            _ => unreachable!("plain"),
        }
    }

    /// Makes a live value a deep copy; objects outside arrays, sets and graphs keep their cells.
    fn assign(&mut self, ty: TypeId, to: u64, from: u64) {
        let of = &self.program.types[ty.index()];
        if to == from {
            return;
        }
        match of.kind {
            Kind::Object => {
                let (to, from) = (self.word(to), self.word(from));
                assert_ne!(to, 0, "the destination is live");
                let object = self.load(from + 8, 8) as usize;
                self.assign(self.program.objects[object].state, to + 16, from + 16);
            }
            Kind::Record if of.flags & PLAIN == 0 => {
                for field in &of.fields {
                    self.assign(field.ty, to + field.offset, from + field.offset);
                }
            }
            _ => {
                let scratch = self.bump(of.size);
                self.zero(scratch, of.size);
                self.fill(ty, scratch, from);
                self.free_parts(ty, to);
                self.copy(to, scratch, of.size);
            }
        }
    }

    fn equal(&self, ty: TypeId, a: u64, b: u64) -> bool {
        let of = &self.program.types[ty.index()];
        let size = of.size as usize;
        if of.flags & BITWISE_EQUAL != 0 {
            return self.memory[a as usize..][..size] == self.memory[b as usize..][..size];
        }
        match of.kind {
            Kind::Real => self.load(a, 8) == self.load(b, 8),
            Kind::ShortReal => self.load(a, 4) == self.load(b, 4),
            Kind::Array => {
                let element = of.element.unwrap();
                let size = self.program.types[element.index()].size;
                let count = self.array_count(a);
                if count == 0 && self.array_count(b) == 0 {
                    return true;
                }
                let words = 8 * u64::from(of.dimensions);
                let same = (0..words / 4)
                    .all(|i| self.load(a + 16 + 4 * i, 4) == self.load(b + 16 + 4 * i, 4));
                let (a, b) = (self.array_elements(size, a), self.array_elements(size, b));
                same && (0..count).all(|i| self.equal(element, a + i * size, b + i * size))
            }
            Kind::FixedArray => {
                let element = of.element.unwrap();
                let size = self.program.types[element.index()].size;
                (0..of.size / size).all(|i| self.equal(element, a + i * size, b + i * size))
            }
            Kind::Record => of
                .fields
                .iter()
                .all(|field| self.equal(field.ty, a + field.offset, b + field.offset)),
            Kind::Set => {
                let (a, b) = (self.elements(a), self.elements(b));
                let element = of.element.unwrap();
                a.len() == b.len()
                    && a.iter()
                        .all(|&x| b.iter().any(|&y| self.equal(element, x, y)))
            }
            _ => unreachable!("not comparable"),
        }
    }

    fn elements(&self, set: u64) -> Vec<u64> {
        match self.word(set) {
            0 => Vec::new(),
            handle => self.sets[handle as usize - 1].clone().unwrap(),
        }
    }

    fn find(&self, ty: TypeId, set: u64, element: u64) -> Option<usize> {
        let of = self.program.types[ty.index()].element.unwrap();
        let elements = self.elements(set);
        elements.iter().position(|&at| self.equal(of, at, element))
    }

    fn insert(&mut self, ty: TypeId, set: u64, element: u64) {
        if self.find(ty, set, element).is_some() {
            return;
        }
        let of = self.program.types[ty.index()].element.unwrap();
        let copy = self.allocate(self.program.types[of.index()].size);
        self.fill(of, copy, element);
        if self.word(set) == 0 {
            self.sets.push(Some(Vec::new()));
            self.store(set, self.sets.len() as i64, 8);
        }
        let handle = self.word(set) as usize - 1;
        self.sets[handle].as_mut().unwrap().push(copy);
    }

    fn remove(&mut self, set: u64, position: usize) -> u64 {
        let handle = self.word(set) as usize - 1;
        let elements = self.sets[handle].as_mut().unwrap();
        let element = elements.remove(position);
        if elements.is_empty() {
            self.sets[handle] = None;
            self.store(set, 0, 8);
        }
        element
    }

    fn node(&mut self, graph: u64, name: u64) -> Option<(usize, u64)> {
        let (age, index) = (name as u32, (name >> 32) as usize);
        let handle = self.word(graph) as usize;
        let nodes = self.graphs.get(handle.checked_sub(1)?)?.as_ref()?;
        let &(current, at) = nodes.slots.get(index)?;
        (age % 2 == 1 && age == current).then_some((index, at))
    }

    // Code.

    fn call(&mut self, id: FunctionId, arguments: Vec<u64>) -> Step<Option<u64>> {
        let function = &self.program.functions[id.index()];
        let mut values = vec![0u64; function.values.len()];
        let mut locals = vec![0u64; function.locals.len()];
        let slots: Vec<u64> = function
            .slots
            .iter()
            .map(|slot| self.bump(u64::from(slot.size)))
            .collect();
        let mut block = 0;
        let mut incoming = arguments;
        loop {
            let data = &function.blocks[block];
            for (&parameter, &value) in data.parameters.iter().zip(&incoming) {
                values[parameter.index()] = value;
            }
            for inst in &data.insts {
                self.steps += 1;
                assert!(self.steps < STEPS_MAX, "the program runs for ever");
                let ty = inst.result.map(|result| function.values[result.index()]);
                let get = |value: Value| values[value.index()];
                let result = match &inst.op {
                    Op::Get(local) => Some(locals[local.index()]),
                    &Op::Set(Local(local), value) => {
                        locals[local as usize] = get(value);
                        None
                    }
                    Op::SlotAddress(slot) => Some(slots[slot.index()]),
                    Op::Call(callee, arguments) => {
                        let arguments = arguments.iter().map(|&value| get(value)).collect();
                        self.call(*callee, arguments)?
                    }
                    Op::CallEntry(entry, arguments) => {
                        let arguments: Vec<u64> =
                            arguments.iter().map(|&value| get(value)).collect();
                        self.entry(*entry, &arguments)?
                    }
                    Op::Check {
                        condition,
                        trap,
                        site,
                    } => {
                        if get(*condition) & 1 != 0 {
                            return Err(Stop::Trap(*trap, site.0));
                        }
                        None
                    }
                    op => self.operate(op, ty, &get, &function.values),
                };
                if let (Some(id), Some(value)) = (inst.result, result) {
                    values[id.index()] = value;
                }
            }
            let get = |value: &Value| values[value.index()];
            let target = |target: &Target| {
                let arguments = target.arguments.iter().map(get).collect();
                (target.block.index(), arguments)
            };
            (block, incoming) = match data.terminator.as_ref().expect("blocks end") {
                Terminator::Jump(to) => target(to),
                Terminator::Branch(condition, yes, no) => match get(condition) & 1 {
                    0 => target(no),
                    _ => target(yes),
                },
                Terminator::Switch(value, cases, otherwise) => {
                    let value = get(value) as i64;
                    let case = cases.iter().find(|&&(label, _)| label == value);
                    let block = case.map_or(*otherwise, |&(_, block)| block);
                    (block.index(), Vec::new())
                }
                Terminator::Return(value) => return Ok(value.as_ref().map(get)),
                Terminator::Trap(trap, site) => return Err(Stop::Trap(*trap, site.0)),
                Terminator::Unreachable => panic!("unreachable code runs"),
            };
        }
    }

    fn operate(
        &mut self,
        op: &Op,
        ty: Option<Ty>,
        get: &dyn Fn(Value) -> u64,
        types: &[Ty],
    ) -> Option<u64> {
        Some(match *op {
            Op::Integer(number) => number as u64,
            Op::Real(number) if ty == Some(Ty::F32) => u64::from((number as f32).to_bits()),
            Op::Real(number) => number.to_bits(),
            Op::BlobAddress(blob) => self.blobs[blob.index()],
            Op::TypeAddress(ty) => TYPES + u64::from(ty.0),
            Op::Control(ControlField::Ncpus) => 1,
            Op::Control(ControlField::Mycpu) => 0,
            Op::Control(ControlField::Data) => self.data,
            Op::Load {
                address, offset, ..
            } => {
                let at = get(address).wrapping_add(i64::from(offset) as u64);
                self.load(at, bytes(ty?)) as u64
            }
            Op::Store {
                value,
                address,
                offset,
                ..
            } => {
                let at = get(address).wrapping_add(i64::from(offset) as u64);
                self.store(at, get(value) as i64, bytes(types[value.index()]));
                return None;
            }
            Op::Copy { to, from, size } => {
                self.copy(get(to), get(from), size);
                return None;
            }
            Op::Zero { address, size } => {
                self.zero(get(address), size);
                return None;
            }
            Op::Unary(op, value) => unary(op, get(value), types[value.index()], ty?),
            Op::Binary(op, a, b) => binary(op, get(a), get(b), ty?),
            Op::Compare(op, a, b) => u64::from(compare(op, get(a), get(b))),
            Op::CompareReal(op, a, b) => {
                let (a, b) = (f64::from_bits(get(a)), f64::from_bits(get(b)));
                u64::from(match op {
                    CompareReal::Equal => a == b,
                    CompareReal::NotEqual => a != b,
                    CompareReal::Less => a < b,
                    CompareReal::LessEqual => a <= b,
                    CompareReal::Greater => a > b,
                    CompareReal::GreaterEqual => a >= b,
                })
            }
            Op::Select(condition, yes, no) => match get(condition) & 1 {
                0 => get(no),
                _ => get(yes),
            },
            Op::Poll => return None,
            _ => unreachable!("done by the caller"),
        })
    }

    fn entry(&mut self, entry: Entry, a: &[u64]) -> Step<Option<u64>> {
        let ty = |index: usize| TypeId((a[index] - TYPES) as u32);
        let trap = |trap, site: u64| Err(Stop::Trap(trap, site as u32));
        let result = match entry {
            Entry::Exit => return Err(Stop::Exit),
            Entry::Fork => {
                self.fork(a[0] as usize, a[1]);
                0
            }
            Entry::ValueCopy | Entry::AssignShared => {
                self.assign(ty(0), a[1], a[2]);
                0
            }
            Entry::ValueMove => {
                let size = self.program.types[ty(0).index()].size;
                self.free_parts(ty(0), a[1]);
                self.copy(a[1], a[2], size);
                self.zero(a[2], size);
                0
            }
            Entry::ValueFree => {
                self.free(ty(0), a[1]);
                0
            }
            Entry::ValueEqual => u64::from(self.equal(ty(0), a[1], a[2])),
            Entry::ArrayNew => {
                let dimensions = u64::from(self.program.types[ty(0).index()].dimensions);
                let bounds: Vec<(i64, i64)> = (0..dimensions)
                    .map(|i| (self.load(a[2] + 16 * i, 8), self.load(a[2] + 16 * i + 8, 8)))
                    .collect();
                self.free(ty(0), a[1]);
                if self.new_array(ty(0), a[1], &bounds).is_none() {
                    return trap(Trap::OutOfMemory, a[3]);
                }
                0
            }
            Entry::StringNew => {
                let count = self.array_count(a[0]);
                if count > 0 {
                    self.release(self.array_elements(1, a[0]));
                }
                let block = match a[2] {
                    0 => 0,
                    count => self.allocate(count),
                };
                self.copy(block, a[1], a[2]);
                self.store(a[0], block as i64 - 1, 8);
                self.store(a[0] + 8, 1, 4);
                self.store(a[0] + 12, a[2] as i64, 4);
                self.store(a[0] + 16, 1, 4);
                self.store(a[0] + 20, a[2] as i64, 4);
                0
            }
            Entry::ObjectNew => {
                let object = self.program.types[ty(0).index()].object.unwrap();
                self.new_cell(object.index())
            }
            Entry::BlockNew => self.allocate(a[0]),
            Entry::BlockFree => {
                self.release(a[0]);
                0
            }
            Entry::SetInsert => {
                self.insert(ty(0), a[1], a[2]);
                0
            }
            Entry::SetDelete => {
                if let Some(position) = self.find(ty(0), a[1], a[2]) {
                    self.drop_element(ty(0), a[1], position);
                }
                0
            }
            Entry::SetContains => u64::from(self.find(ty(0), a[1], a[2]).is_some()),
            Entry::SetFrom => {
                if self.word(a[1]) == 0 {
                    return trap(Trap::FromEmpty, a[3]);
                }
                let of = self.program.types[ty(0).index()].element.unwrap();
                let element = self.remove(a[1], 0);
                if self.program.types[of.index()].flags & PLAIN == 0 {
                    self.free_parts(of, a[2]);
                }
                self.copy(a[2], element, self.program.types[of.index()].size);
                self.release(element);
                0
            }
            Entry::SetSize => self.elements(a[1]).len() as u64,
            Entry::SetElement => self.elements(a[1])[a[2] as usize],
            Entry::SetUnion => {
                for element in self.elements(a[2]) {
                    self.insert(ty(0), a[1], element);
                }
                0
            }
            Entry::SetDifference | Entry::SetIntersection => {
                let keep = entry == Entry::SetIntersection;
                for element in self.elements(a[1]) {
                    if self.find(ty(0), a[2], element).is_some() != keep {
                        let position = self.find(ty(0), a[1], element).unwrap();
                        self.drop_element(ty(0), a[1], position);
                    }
                }
                0
            }
            Entry::GraphAdd => {
                self.graph_add(ty(0), a[1], a[2]);
                0
            }
            Entry::GraphDelete => match self.node(a[1], a[2]) {
                None => return trap(Trap::BadNodename, a[3]),
                Some((index, at)) => {
                    let of = self.program.types[ty(0).index()].element.unwrap();
                    self.free_parts(of, at);
                    self.release(at);
                    let handle = self.word(a[1]) as usize - 1;
                    let nodes = self.graphs[handle].as_mut().unwrap();
                    nodes.slots[index].0 += 1;
                    nodes.free.push(index);
                    0
                }
            },
            Entry::GraphNode => match self.node(a[1], a[2]) {
                None => return trap(Trap::BadNodename, a[3]),
                Some((_, at)) => at,
            },
            Entry::WriteInteger => {
                self.line += &(a[0] as i64).to_string();
                0
            }
            Entry::WriteReal => {
                self.line += &f64::from_bits(a[0]).to_string();
                0
            }
            Entry::WriteChar => {
                self.line.push(a[0] as u8 as char);
                0
            }
            Entry::WriteString => {
                let first = self.array_elements(1, a[0]) as usize;
                let count = self.array_count(a[0]) as usize;
                self.line += &String::from_utf8_lossy(&self.memory[first..first + count]);
                0
            }
            Entry::WriteEnd => {
                self.output += &std::mem::take(&mut self.line);
                if a[0] != 0 {
                    self.output.push('\n');
                }
                0
            }
            Entry::Strategy => 0,
            Entry::MathSqrt => f64::from_bits(a[0]).sqrt().to_bits(),
            other => panic!("{other:?} is not simulated"),
        };
        Ok(entry.signature().result.map(|_| result))
    }

    fn drop_element(&mut self, ty: TypeId, set: u64, position: usize) {
        let of = self.program.types[ty.index()].element.unwrap();
        let element = self.remove(set, position);
        self.free_parts(of, element);
        self.release(element);
    }

    fn graph_add(&mut self, ty: TypeId, graph: u64, to: u64) {
        let of = self.program.types[ty.index()].element.unwrap();
        let node = self.allocate(self.program.types[of.index()].size);
        if self.word(graph) == 0 {
            self.graphs.push(Some(Nodes::default()));
            self.store(graph, self.graphs.len() as i64, 8);
        }
        let handle = self.word(graph) as usize - 1;
        let nodes = self.graphs[handle].as_mut().unwrap();
        let index = nodes.free.pop().unwrap_or_else(|| {
            nodes.slots.push((0, 0));
            nodes.slots.len() - 1
        });
        nodes.slots[index].0 += 1;
        nodes.slots[index].1 = node;
        let age = nodes.slots[index].0;
        self.store(to, i64::from(age), 4);
        self.store(to + 4, index as i64, 4);
    }

    fn fork(&mut self, process: usize, arguments: u64) {
        let parameters = &self.program.processes[process].parameters;
        let table = self.bump(8 * parameters.len() as u64);
        for (index, parameter) in parameters.iter().enumerate() {
            let at = 8 * index as u64;
            let given = self.word(arguments + at);
            let of = &self.program.types[parameter.ty.index()];
            let copy = self.bump(of.size);
            self.zero(copy, of.size);
            let value = match (parameter.mode, of.kind) {
                (Mode::In, Kind::Object) => {
                    let variable = self.bump(8);
                    self.store(variable, given as i64, 8);
                    self.fill(parameter.ty, copy, variable);
                    self.word(copy)
                }
                (Mode::Shared, Kind::Object) => {
                    self.share(given);
                    given
                }
                (Mode::Shared, _) => {
                    let count = self.array_count(given);
                    let first = self.array_elements(8, given);
                    self.copy(copy, given, of.size);
                    let block = self.allocate(8 * count);
                    self.copy(block, first, 8 * count);
                    let offset = self.load(given + 8, 4);
                    self.store(copy, block as i64 - 8 * offset, 8);
                    for index in 0..count {
                        self.share(self.word(block + 8 * index));
                    }
                    copy
                }
                _ => {
                    self.fill(parameter.ty, copy, given);
                    copy
                }
            };
            self.store(table + at, value as i64, 8);
        }
        self.forked.push_back((process, table));
    }
}

fn bytes(ty: Ty) -> usize {
    crate::mir::build::bits(ty) as usize / 8
}

fn wrap(value: i64, ty: Ty) -> u64 {
    let shift = 64 - 8 * bytes(ty) as u32;
    (value << shift >> shift) as u64
}

fn unary(op: Unary, value: u64, from: Ty, to: Ty) -> u64 {
    let real = f64::from_bits(value);
    match op {
        Unary::SignExtend | Unary::Truncate => wrap(value as i64, to),
        Unary::ZeroExtend => value & (u64::MAX >> (64 - 8 * bytes(from))),
        Unary::ToReal => (value as i64 as f64).to_bits(),
        Unary::ToInteger if to == Ty::I32 => i64::from(real as i32) as u64,
        Unary::ToInteger => real as i64 as u64,
        Unary::ConvertReal if to == Ty::F32 => u64::from((real as f32).to_bits()),
        Unary::ConvertReal => f64::from(f32::from_bits(value as u32)).to_bits(),
        Unary::Negate => wrap((value as i64).wrapping_neg(), to),
        Unary::NegateReal => (-real).to_bits(),
        Unary::AbsoluteReal => real.abs().to_bits(),
        Unary::Complement => wrap(!(value as i64), to),
        Unary::SquareRoot => real.sqrt().to_bits(),
    }
}

fn binary(op: Binary, a: u64, b: u64, ty: Ty) -> u64 {
    let (x, y) = (f64::from_bits(a), f64::from_bits(b));
    let (a, b) = (a as i64, b as i64);
    let number = match op {
        Binary::AddReal => return (x + y).to_bits(),
        Binary::SubtractReal => return (x - y).to_bits(),
        Binary::MultiplyReal => return (x * y).to_bits(),
        Binary::DivideReal => return (x / y).to_bits(),
        Binary::Add => a.wrapping_add(b),
        Binary::Subtract => a.wrapping_sub(b),
        Binary::Multiply => a.wrapping_mul(b),
        Binary::Divide => a.wrapping_div(b),
        Binary::Modulo => a.wrapping_rem(b),
        Binary::And => a & b,
        Binary::Or => a | b,
        Binary::Xor => a ^ b,
        Binary::ShiftLeft => a << b,
        Binary::ShiftRight => a >> b,
        Binary::Minimum => a.min(b),
        Binary::Maximum => a.max(b),
    };
    wrap(number, ty)
}

/// Integers are kept sign-extended, which keeps the unsigned order too.
fn compare(op: Compare, a: u64, b: u64) -> bool {
    let (x, y) = (a as i64, b as i64);
    match op {
        Compare::Equal => a == b,
        Compare::NotEqual => a != b,
        Compare::Less => x < y,
        Compare::LessEqual => x <= y,
        Compare::Greater => x > y,
        Compare::GreaterEqual => x >= y,
        Compare::Below => a < b,
        Compare::BelowEqual => a <= b,
        Compare::Above => a > b,
        Compare::AboveEqual => a >= b,
    }
}
