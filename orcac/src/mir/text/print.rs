//! Program to text.

use std::fmt::{self, Display, Formatter, Write};

use super::names::{self, Names, name};
use crate::mir::{
    Block, Function, Inst, ObjectDescriptor, Op, ParameterDescriptor, Program, Target, Terminator,
    Ty, TypeDescriptor, Value,
};

/// The whole program as text.
pub fn print(program: &Program) -> String {
    Shown(|f: &mut Formatter<'_>| write_program(f, program)).to_string()
}

/// One function as text, under this id.
pub fn print_function(id: crate::mir::FunctionId, function: &Function) -> String {
    Shown(|f: &mut Formatter<'_>| write_function(f, id, function)).to_string()
}

struct Shown<F>(F);

impl<F: Fn(&mut Formatter<'_>) -> fmt::Result> Display for Shown<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// Bytes in quotes: printable ASCII as it is, everything else as two hexadecimal digits.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &byte in self.0 {
            match byte {
                b'"' | b'\\' => write!(f, "\\{byte:02x}")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\{byte:02x}")?,
            }
        }
        f.write_char('"')
    }
}

fn quoted(text: &str) -> Quoted<'_> {
    Quoted(text.as_bytes())
}

struct Flags(u32, Names<u32>);

impl Display for Flags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let set: Vec<&str> = self
            .1
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        write!(f, "({})", set.join(" "))
    }
}

struct Values<'a>(&'a [Value]);

impl Display for Values<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{value}")?;
        }
        Ok(())
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.arguments.as_slice() {
            [] => write!(f, "{}", self.block),
            arguments => write!(f, "{}({})", self.block, Values(arguments)),
        }
    }
}

impl Display for Ty {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(name(names::TYPES, *self))
    }
}

fn write_program(f: &mut Formatter<'_>, program: &Program) -> fmt::Result {
    writeln!(f, "program {} main {}", quoted(&program.name), program.main)?;
    writeln!(f, "data {}", program.data_size)?;
    for (index, routine) in program.routines.iter().enumerate() {
        writeln!(
            f,
            "routine r{index} = {} {}",
            quoted(&routine.title),
            quoted(&routine.file)
        )?;
    }
    for (index, site) in program.sites.iter().enumerate() {
        writeln!(f, "site @{index} = {} {}", site.routine, site.line)?;
    }
    for (index, blob) in program.blobs.iter().enumerate() {
        writeln!(f, "blob c{index} = {}", Quoted(blob))?;
    }
    for (index, ty) in program.types.iter().enumerate() {
        write_type(f, index, ty)?;
    }
    for (index, object) in program.objects.iter().enumerate() {
        write_object(f, index, object)?;
    }
    for process in &program.processes {
        write!(f, "process {} {}", quoted(&process.name), process.code)?;
        write_parameters(f, &process.parameters)?;
        writeln!(f)?;
    }
    for module in &program.data_modules {
        write!(f, "module {}", quoted(&module.name))?;
        if let Some(init) = module.init {
            write!(f, " init {init}")?;
        }
        writeln!(f)?;
    }
    for variable in &program.data_variables {
        writeln!(
            f,
            "variable {} {} offset {} module {}",
            quoted(&variable.name),
            variable.ty,
            variable.offset,
            variable.module
        )?;
    }
    for (index, function) in program.functions.iter().enumerate() {
        writeln!(f)?;
        let id = crate::mir::FunctionId(u32::try_from(index).expect("few functions"));
        write_function(f, id, function)?;
    }
    Ok(())
}

fn write_type(f: &mut Formatter<'_>, index: usize, ty: &TypeDescriptor) -> fmt::Result {
    write!(
        f,
        "type t{index} = {} {} size {} align {} {}",
        name(names::KINDS, ty.kind),
        quoted(&ty.name),
        ty.size,
        ty.align,
        Flags(ty.flags, names::TYPE_FLAGS)
    )?;
    if let Some(element) = ty.element {
        write!(f, " element {element}")?;
    }
    if let Some(root) = ty.root {
        write!(f, " root {root}")?;
    }
    if let Some(object) = ty.object {
        write!(f, " object {object}")?;
    }
    if ty.dimensions != 0 {
        write!(f, " dimensions {}", ty.dimensions)?;
    }
    for (index, (lower, count)) in ty.bounds.iter().enumerate() {
        let lead = if index == 0 { " bounds" } else { "," };
        write!(f, "{lead} {lower}:{count}")?;
    }
    for (index, field) in ty.fields.iter().enumerate() {
        let lead = if index == 0 { " fields" } else { "," };
        write!(
            f,
            "{lead} {} {} {}",
            quoted(&field.name),
            field.ty,
            field.offset
        )?;
    }
    writeln!(f)
}

fn write_object(f: &mut Formatter<'_>, index: usize, object: &ObjectDescriptor) -> fmt::Result {
    writeln!(
        f,
        "object o{index} = {} state {} type {} {}",
        quoted(&object.name),
        object.state,
        object.ty,
        Flags(object.flags, names::OBJECT_FLAGS)
    )?;
    for operation in &object.operations {
        write!(
            f,
            "  operation {} {} {}",
            quoted(&operation.name),
            operation.routine,
            Flags(operation.flags, names::OPERATION_FLAGS)
        )?;
        if let Some(code) = operation.reads {
            write!(f, " reads {code}")?;
        }
        if let Some(code) = operation.writes {
            write!(f, " writes {code}")?;
        }
        if let Some(result) = operation.result {
            write!(f, " result {result}")?;
        }
        write_parameters(f, &operation.parameters)?;
        writeln!(f)?;
    }
    Ok(())
}

fn write_parameters(f: &mut Formatter<'_>, parameters: &[ParameterDescriptor]) -> fmt::Result {
    for (index, parameter) in parameters.iter().enumerate() {
        let lead = if index == 0 { " parameters" } else { "," };
        let mode = name(names::MODES, parameter.mode);
        write!(
            f,
            "{lead} {mode} {} {}",
            quoted(&parameter.name),
            parameter.ty
        )?;
    }
    Ok(())
}

fn write_function(
    f: &mut Formatter<'_>,
    id: crate::mir::FunctionId,
    function: &Function,
) -> fmt::Result {
    let context = name(names::CONTEXTS, function.context);
    write!(
        f,
        "function {id} {} {} {context}",
        quoted(&function.name),
        function.routine
    )?;
    if let Some(result) = function.result {
        write!(f, " -> {result}")?;
    }
    writeln!(f, " {{")?;
    for (index, local) in function.locals.iter().enumerate() {
        writeln!(f, "  local l{index} {} {}", quoted(&local.name), local.ty)?;
    }
    for (index, slot) in function.slots.iter().enumerate() {
        let name = quoted(&slot.name);
        writeln!(
            f,
            "  slot s{index} {name} size {} align {}",
            slot.size, slot.align
        )?;
    }
    for (index, block) in function.blocks.iter().enumerate() {
        let id = Block(u32::try_from(index).expect("few blocks"));
        write!(f, "{id}{}", if block.cold { " cold" } else { "" })?;
        for (index, &parameter) in block.parameters.iter().enumerate() {
            let lead = if index == 0 { "(" } else { ", " };
            write!(f, "{lead}{}", Typed(function, parameter))?;
        }
        writeln!(f, "{}:", if block.parameters.is_empty() { "" } else { ")" })?;
        for inst in &block.insts {
            write_inst(f, function, inst)?;
        }
        if let Some(terminator) = &block.terminator {
            write_terminator(f, terminator)?;
        }
    }
    writeln!(f, "}}")
}

/// A value where it is defined.
struct Typed<'a>(&'a Function, Value);

impl Display for Typed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.values.get(self.1.index()) {
            Some(ty) => write!(f, "{}: {ty}", self.1),
            None => write!(f, "{}: ?", self.1),
        }
    }
}

fn write_inst(f: &mut Formatter<'_>, function: &Function, inst: &Inst) -> fmt::Result {
    f.write_str("  ")?;
    if let Some(result) = inst.result {
        write!(f, "{} = ", Typed(function, result))?;
    }
    write!(f, "{}", inst.op)?;
    if inst.line != 0 {
        write!(f, " !{}", inst.line)?;
    }
    writeln!(f)
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Integer(value) => write!(f, "integer {value}"),
            Op::Real(value) if value.is_finite() => write!(f, "real {value:?}"),
            Op::Real(value) => write!(f, "real 0x{:016x}", value.to_bits()),
            Op::Get(local) => write!(f, "get {local}"),
            Op::Set(local, value) => write!(f, "set {local}, {value}"),
            Op::SlotAddress(slot) => write!(f, "slot_address {slot}"),
            Op::BlobAddress(blob) => write!(f, "blob_address {blob}"),
            Op::TypeAddress(ty) => write!(f, "type_address {ty}"),
            Op::Control(field) => write!(f, "control {}", name(names::CONTROL_FIELDS, *field)),
            Op::Load {
                address,
                offset,
                region,
            } => {
                write!(
                    f,
                    "load {} {address}[{offset}]",
                    name(names::REGIONS, *region)
                )
            }
            Op::Store {
                value,
                address,
                offset,
                region,
            } => {
                write!(
                    f,
                    "store {} {address}[{offset}], {value}",
                    name(names::REGIONS, *region)
                )
            }
            Op::Copy { to, from, size } => write!(f, "copy {to}, {from}, {size}"),
            Op::Zero { address, size } => write!(f, "zero {address}, {size}"),
            Op::Unary(op, value) => write!(f, "{} {value}", name(names::UNARY, *op)),
            Op::Binary(op, a, b) => write!(f, "{} {a}, {b}", name(names::BINARY, *op)),
            Op::Compare(op, a, b) => write!(f, "{} {a}, {b}", name(names::COMPARE, *op)),
            Op::CompareReal(op, a, b) => write!(f, "{} {a}, {b}", name(names::COMPARE_REAL, *op)),
            Op::Select(condition, a, b) => write!(f, "select {condition}, {a}, {b}"),
            Op::Check {
                condition,
                trap,
                site,
            } => {
                write!(
                    f,
                    "check {condition}, {} {site}",
                    names::name_of_trap(*trap)
                )
            }
            Op::Call(function, arguments) => write!(f, "call {function}({})", Values(arguments)),
            Op::CallEntry(entry, arguments) => {
                write!(
                    f,
                    "entry {}({})",
                    names::name_of_entry(*entry),
                    Values(arguments)
                )
            }
            Op::Poll => f.write_str("poll"),
        }
    }
}

fn write_terminator(f: &mut Formatter<'_>, terminator: &Terminator) -> fmt::Result {
    f.write_str("  ")?;
    match terminator {
        Terminator::Jump(target) => write!(f, "jump {target}")?,
        Terminator::Branch(condition, yes, no) => write!(f, "branch {condition}, {yes}, {no}")?,
        Terminator::Switch(value, cases, otherwise) => {
            write!(f, "switch {value}")?;
            for (case, block) in cases {
                write!(f, ", {case} {block}")?;
            }
            write!(f, ", else {otherwise}")?;
        }
        Terminator::Return(Some(value)) => write!(f, "return {value}")?,
        Terminator::Return(None) => f.write_str("return")?,
        Terminator::Trap(trap, site) => write!(f, "trap {} {site}", names::name_of_trap(*trap))?,
        Terminator::Unreachable => f.write_str("unreachable")?,
    }
    writeln!(f)
}
