//! The program's descriptors and constants, as one piece of data with relocations.
//!
//! First comes what compiled code refers to, at places that [`Layout`] knows before any code exists: the program's own record, type descriptors,
//! constants. Everything else follows in the order in which it is written. The records are those of `orca_abi`, written
//! field by field at their real offsets.

use std::collections::BTreeMap;
use std::mem::{offset_of, size_of};

use cranelift_module::{DataDescription, Module};
use orca_abi::descriptor::{self as abi, HAS_READ, HAS_WRITE, MAY_BLOCK, PURE_WRITE};
use orca_abi::types::{Field, Type};
use orca_abi::value::Dimension;
use orca_abi::{Table, Text};

use super::{CodegenError, Compiled, Names, index_u32};
use crate::mir::{
    BlobId, FunctionId, ObjectDescriptor, ObjectId, OperationDescriptor, ParameterDescriptor,
    Program, TypeId,
};

/// Constants may be arrays of anything.
const ALIGNMENT: u64 = 16;

/// Where things are that compiled code refers to.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    types: u64,
    objects: u64,
    blobs: Vec<u64>,
    size: u64,
}

impl Layout {
    pub(crate) fn of(program: &Program) -> Layout {
        let types = aligned(size_of::<abi::Program>() as u64);
        let objects = types + (program.types.len() * size_of::<Type>()) as u64;
        let mut size = objects + (program.objects.len() * size_of::<abi::Object>()) as u64;
        let mut blobs = Vec::with_capacity(program.blobs.len());
        for blob in &program.blobs {
            size = aligned(size);
            blobs.push(size);
            size += blob.len() as u64;
        }
        Layout {
            types,
            objects,
            blobs,
            size: aligned(size),
        }
    }

    pub(crate) fn ty(&self, id: TypeId) -> u64 {
        self.types + u64::from(id.0) * size_of::<Type>() as u64
    }

    pub(crate) fn blob(&self, id: BlobId) -> u64 {
        self.blobs[id.index()]
    }

    fn object(&self, id: ObjectId) -> u64 {
        self.objects + u64::from(id.0) * size_of::<abi::Object>() as u64
    }
}

fn aligned(size: u64) -> u64 {
    size.next_multiple_of(ALIGNMENT)
}

/// Defines the program's data in the module.
pub(super) fn define(
    module: &mut dyn Module,
    names: &Names<'_>,
    compiled: &[Compiled],
) -> Result<(), CodegenError> {
    let mut writer = Writer::new(names.program, &names.layout);
    writer.program(compiled);
    let mut data = DataDescription::new();
    data.set_align(ALIGNMENT);
    let this = module.declare_data_in_data(names.data, &mut data);
    let mut functions = BTreeMap::new();
    for (offset, target) in &writer.pointers {
        match target {
            Target::Data(at) => data.write_data_addr(*offset, this, at.cast_signed()),
            Target::Code(function) => {
                let reference = *functions.entry(*function).or_insert_with(|| {
                    module.declare_func_in_data(names.functions[function.index()], &mut data)
                });
                data.write_function_addr(*offset, reference);
            }
        }
    }
    data.define(writer.bytes.into_boxed_slice());
    module.define_data(names.data, &data)?;
    Ok(())
}

/// What a pointer points to.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// An offset in the data itself.
    Data(u64),
    Code(FunctionId),
}

struct Writer<'a> {
    program: &'a Program,
    layout: &'a Layout,
    bytes: Vec<u8>,
    pointers: Vec<(u32, Target)>,
    texts: BTreeMap<&'a str, u64>,
    /// Routines that only the descriptors need.
    extra_routines: Vec<(String, &'a str)>,
}

impl<'a> Writer<'a> {
    fn new(program: &'a Program, layout: &'a Layout) -> Writer<'a> {
        let size = usize::try_from(layout.size).expect("data fits into memory");
        Writer {
            program,
            layout,
            bytes: vec![0; size],
            pointers: Vec::new(),
            texts: BTreeMap::new(),
            extra_routines: Vec::new(),
        }
    }

    // Places and values.

    /// Zeroed room for `count` records.
    fn room<T>(&mut self, count: usize) -> u64 {
        let start = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(start + count * size_of::<T>(), 0);
        start as u64
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let at = usize::try_from(at).expect("data fits into memory");
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u32(&mut self, at: u64, field: usize, value: u32) {
        self.put(at + field as u64, &value.to_le_bytes());
    }

    fn u64(&mut self, at: u64, field: usize, value: u64) {
        self.put(at + field as u64, &value.to_le_bytes());
    }

    fn pointer(&mut self, at: u64, field: usize, target: Target) {
        let offset = u32::try_from(at + field as u64).expect("descriptors are below 4 GB");
        self.pointers.push((offset, target));
    }

    fn type_pointer(&mut self, at: u64, field: usize, ty: Option<TypeId>) {
        if let Some(ty) = ty {
            self.pointer(at, field, Target::Data(self.layout.ty(ty)));
        }
    }

    fn code_pointer(&mut self, at: u64, field: usize, code: Option<FunctionId>) {
        if let Some(code) = code {
            self.pointer(at, field, Target::Code(code));
        }
    }

    fn table(&mut self, at: u64, field: usize, data: u64, len: usize) {
        let at = at + field as u64;
        if len != 0 {
            self.pointer(at, offset_of!(Table<u8>, data), Target::Data(data));
        }
        self.u64(at, offset_of!(Table<u8>, len), len as u64);
    }

    fn text(&mut self, at: u64, field: usize, text: &'a str) {
        let data = match self.texts.get(text) {
            Some(data) => *data,
            None => {
                let data = self.bytes.len() as u64;
                self.bytes.extend_from_slice(text.as_bytes());
                self.texts.insert(text, data);
                data
            }
        };
        self.text_at(at + field as u64, data, text.len());
    }

    fn text_at(&mut self, at: u64, data: u64, len: usize) {
        self.pointer(at, offset_of!(Text, data), Target::Data(data));
        self.u64(at, offset_of!(Text, len), len as u64);
    }

    // Records.

    fn program(&mut self, compiled: &[Compiled]) {
        let program = self.program;
        for (blob, at) in program.blobs.iter().zip(&self.layout.blobs) {
            self.put(*at, blob);
        }
        self.u32(0, offset_of!(abi::Program, version), orca_abi::VERSION);
        self.u32(0, offset_of!(abi::Program, main), program.main);
        self.text(0, offset_of!(abi::Program, name), &program.name);
        self.types();
        self.processes();
        self.objects();
        self.data_modules();
        self.places();
        self.functions(compiled);
    }

    fn types(&mut self) {
        for (index, ty) in self.program.types.iter().enumerate() {
            let at = self.layout.ty(TypeId(index_u32(index)));
            self.u32(at, offset_of!(Type, kind), ty.kind as u32);
            self.u32(at, offset_of!(Type, flags), ty.flags);
            self.u64(at, offset_of!(Type, size), ty.size);
            self.u32(at, offset_of!(Type, align), ty.align);
            self.u32(at, offset_of!(Type, dimensions), ty.dimensions);
            self.text(at, offset_of!(Type, name), &ty.name);
            self.type_pointer(at, offset_of!(Type, element), ty.element);
            self.type_pointer(at, offset_of!(Type, root), ty.root);
            if let Some(object) = ty.object {
                let object = Target::Data(self.layout.object(object));
                self.pointer(at, offset_of!(Type, object), object);
            }
            let fields = self.room::<Field>(ty.fields.len());
            self.table(at, offset_of!(Type, fields), fields, ty.fields.len());
            for (field, at) in ty.fields.iter().zip((fields..).step_by(size_of::<Field>())) {
                self.u64(at, offset_of!(Field, offset), field.offset);
                self.type_pointer(at, offset_of!(Field, kind), Some(field.ty));
                self.text(at, offset_of!(Field, name), &field.name);
            }
            let bounds = self.room::<Dimension>(ty.bounds.len());
            self.table(at, offset_of!(Type, bounds), bounds, ty.bounds.len());
            for (bound, at) in ty
                .bounds
                .iter()
                .zip((bounds..).step_by(size_of::<Dimension>()))
            {
                self.u32(at, offset_of!(Dimension, lower), bound.0.cast_unsigned());
                self.u32(at, offset_of!(Dimension, count), bound.1.cast_unsigned());
            }
        }
    }

    fn parameters(&mut self, at: u64, field: usize, parameters: &'a [ParameterDescriptor]) {
        let data = self.room::<abi::Parameter>(parameters.len());
        self.table(at, field, data, parameters.len());
        let places = (data..).step_by(size_of::<abi::Parameter>());
        for (parameter, at) in parameters.iter().zip(places) {
            self.u32(at, offset_of!(abi::Parameter, mode), parameter.mode as u32);
            self.type_pointer(at, offset_of!(abi::Parameter, kind), Some(parameter.ty));
            self.text(at, offset_of!(abi::Parameter, name), &parameter.name);
        }
    }

    fn processes(&mut self) {
        let processes = &self.program.processes;
        let data = self.room::<abi::Process>(processes.len());
        self.table(
            0,
            offset_of!(abi::Program, processes),
            data,
            processes.len(),
        );
        for (process, at) in processes
            .iter()
            .zip((data..).step_by(size_of::<abi::Process>()))
        {
            self.text(at, offset_of!(abi::Process, name), &process.name);
            self.code_pointer(at, offset_of!(abi::Process, code), Some(process.code));
            self.parameters(
                at,
                offset_of!(abi::Process, parameters),
                &process.parameters,
            );
        }
    }

    fn objects(&mut self) {
        let objects = &self.program.objects;
        let data = self.layout.objects;
        self.table(0, offset_of!(abi::Program, objects), data, objects.len());
        for (index, object) in objects.iter().enumerate() {
            let at = self.layout.object(ObjectId(index_u32(index)));
            self.text(at, offset_of!(abi::Object, name), &object.name);
            self.type_pointer(at, offset_of!(abi::Object, state), Some(object.state));
            self.type_pointer(at, offset_of!(abi::Object, kind), Some(object.ty));
            self.u32(at, offset_of!(abi::Object, flags), object.flags);
            self.u32(at, offset_of!(abi::Object, index), index_u32(index));
            let count = object.operations.len() + 2;
            let data = self.room::<abi::Operation>(count);
            self.table(at, offset_of!(abi::Object, operations), data, count);
            let mut places = (data..).step_by(size_of::<abi::Operation>());
            self.whole_state(object, places.next().expect("endless"), HAS_READ, "READ_");
            let flags = HAS_WRITE | PURE_WRITE;
            self.whole_state(object, places.next().expect("endless"), flags, "WRITE_");
            for (operation, at) in object.operations.iter().zip(places) {
                self.operation(operation, at);
            }
        }
    }

    fn operation(&mut self, operation: &'a OperationDescriptor, at: u64) {
        assert!(
            operation.flags & PURE_WRITE == 0 || operation.flags & MAY_BLOCK == 0,
            "a pure write never blocks"
        );
        self.text(at, offset_of!(abi::Operation, name), &operation.name);
        self.u32(at, offset_of!(abi::Operation, flags), operation.flags);
        self.u32(at, offset_of!(abi::Operation, routine), operation.routine.0);
        self.code_pointer(at, offset_of!(abi::Operation, reads), operation.reads);
        self.code_pointer(at, offset_of!(abi::Operation, writes), operation.writes);
        self.type_pointer(at, offset_of!(abi::Operation, result), operation.result);
        self.parameters(
            at,
            offset_of!(abi::Operation, parameters),
            &operation.parameters,
        );
    }

    /// READ_ gives the whole state, WRITE_ takes it; the run-time system does both itself.
    fn whole_state(
        &mut self,
        object: &'a ObjectDescriptor,
        at: u64,
        flags: u32,
        name: &'static str,
    ) {
        let routine = self.program.routines.len() + self.extra_routines.len();
        let file = object.operations.first().map_or("", |operation| {
            &*self.program.routines[operation.routine.index()].file
        });
        self.extra_routines
            .push((format!("operation {}${name}", object.name), file));
        self.text(at, offset_of!(abi::Operation, name), name);
        self.u32(at, offset_of!(abi::Operation, flags), flags);
        self.u32(at, offset_of!(abi::Operation, routine), index_u32(routine));
        if flags & HAS_READ != 0 {
            return self.type_pointer(at, offset_of!(abi::Operation, result), Some(object.state));
        }
        let data = self.room::<abi::Parameter>(1);
        self.table(at, offset_of!(abi::Operation, parameters), data, 1);
        self.u32(data, offset_of!(abi::Parameter, mode), abi::Mode::In as u32);
        self.type_pointer(data, offset_of!(abi::Parameter, kind), Some(object.state));
        self.text(data, offset_of!(abi::Parameter, name), "state");
    }

    fn data_modules(&mut self) {
        let program = self.program;
        self.u64(0, offset_of!(abi::Program, data_size), program.data_size);
        let data = self.room::<abi::DataModule>(program.data_modules.len());
        let field = offset_of!(abi::Program, data_modules);
        self.table(0, field, data, program.data_modules.len());
        let places = (data..).step_by(size_of::<abi::DataModule>());
        for (module, at) in program.data_modules.iter().zip(places) {
            self.text(at, offset_of!(abi::DataModule, name), &module.name);
            self.code_pointer(at, offset_of!(abi::DataModule, init), module.init);
        }
        let data = self.room::<abi::DataVariable>(program.data_variables.len());
        let field = offset_of!(abi::Program, data_variables);
        self.table(0, field, data, program.data_variables.len());
        let places = (data..).step_by(size_of::<abi::DataVariable>());
        for (variable, at) in program.data_variables.iter().zip(places) {
            self.text(at, offset_of!(abi::DataVariable, name), &variable.name);
            self.type_pointer(at, offset_of!(abi::DataVariable, kind), Some(variable.ty));
            self.u64(at, offset_of!(abi::DataVariable, offset), variable.offset);
            self.u32(at, offset_of!(abi::DataVariable, module), variable.module);
        }
    }

    fn places(&mut self) {
        let program = self.program;
        let extra = std::mem::take(&mut self.extra_routines);
        let count = program.routines.len() + extra.len();
        let data = self.room::<abi::Routine>(count);
        self.table(0, offset_of!(abi::Program, routines), data, count);
        let places = (data..).step_by(size_of::<abi::Routine>());
        for (routine, at) in program.routines.iter().zip(places) {
            self.text(at, offset_of!(abi::Routine, name), &routine.title);
            self.text(at, offset_of!(abi::Routine, file), &routine.file);
        }
        let first_extra = data + (program.routines.len() * size_of::<abi::Routine>()) as u64;
        let places = (first_extra..).step_by(size_of::<abi::Routine>());
        for ((title, file), at) in extra.iter().zip(places) {
            let title_at = self.bytes.len() as u64;
            self.bytes.extend_from_slice(title.as_bytes());
            self.text_at(
                at + offset_of!(abi::Routine, name) as u64,
                title_at,
                title.len(),
            );
            self.text(at, offset_of!(abi::Routine, file), file);
        }
        let data = self.room::<abi::Site>(program.sites.len());
        self.table(
            0,
            offset_of!(abi::Program, sites),
            data,
            program.sites.len(),
        );
        for (site, at) in program
            .sites
            .iter()
            .zip((data..).step_by(size_of::<abi::Site>()))
        {
            self.u32(at, offset_of!(abi::Site, routine), site.routine.0);
            self.u32(at, offset_of!(abi::Site, line), site.line);
        }
    }

    fn functions(&mut self, compiled: &[Compiled]) {
        let program = self.program;
        assert_eq!(program.functions.len(), compiled.len());
        let data = self.room::<abi::Function>(compiled.len());
        self.table(0, offset_of!(abi::Program, functions), data, compiled.len());
        let places = (data..).step_by(size_of::<abi::Function>());
        for ((index, code), at) in compiled.iter().enumerate().zip(places) {
            let id = FunctionId(index_u32(index));
            self.code_pointer(at, offset_of!(abi::Function, code), Some(id));
            self.u32(at, offset_of!(abi::Function, size), code.size);
            let routine = program.functions[index].routine;
            self.u32(at, offset_of!(abi::Function, routine), routine.0);
            let lines = self.room::<abi::Line>(code.lines.len());
            self.table(
                at,
                offset_of!(abi::Function, lines),
                lines,
                code.lines.len(),
            );
            for ((offset, line), at) in code
                .lines
                .iter()
                .zip((lines..).step_by(size_of::<abi::Line>()))
            {
                self.u32(at, offset_of!(abi::Line, offset), *offset);
                self.u32(at, offset_of!(abi::Line, line), *line);
            }
        }
    }
}
