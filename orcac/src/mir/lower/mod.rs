//! Lowering: the typed program becomes MIR.
//!
//! Expects: a typed program without errors. Guarantees: a MIR program that obeys `mir::verify`, with everything that OrcaMain
//! and the data modules reach and nothing else. Reports: nothing; whatever can still go wrong is a check in the code.
//!
//! Reading order: this file asks for routines until nothing new is asked for and writes the descriptors; `routine` makes one routine
//! (parameters, variables, ways out); `scope` owns temporaries and frees them; `create` initialises variables; `place` turns designators into
//! addresses; `scalar` and `arithmetic` compute words, `structured` everything larger; `call` passes parameters; `stmt` is control flow.
//!
//! Rules that everything here keeps:
//! - a word (scalar) is a MIR value; `shortreal` is computed as F64 and rounded where it is stored or passed;
//! - a structured value is always an address. Either somebody else owns it (a variable, constant bytes) or a temporary of the current
//!   scope does; only temporaries are moved from;
//! - a fresh destination is all zero bytes (objects in it already have cells) and visible to nobody else, so values are built in
//!   place there; any other destination gets a finished value in one step;
//! - a designator is evaluated once, left to right, and located again (with the same index values) only if something evaluated after it may
//!   have moved what it denotes.
//!
//! Implements: [Thesis §4.4], [Thesis §4.5]; ORCA.md 4 to 10.

mod arithmetic;
mod call;
mod constant;
mod create;
mod invoke;
mod place;
mod routine;
mod scalar;
mod scope;
mod stmt;
mod structured;
mod visit;

#[cfg(test)]
mod interpreter;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::{IndexMap, IndexSet};
use orca_abi::descriptor::{
    DOES_OUTPUT, HAS_READ, HAS_WRITE, MAY_BLOCK, Mode, PURE_WRITE, SINGLE_COPY_ONLY,
};

use super::layout::Layouts;
use super::{BlobId, Context, Function, FunctionId, RoutineId, Site, SitePlace};
use crate::hir::{self, AccessClass, LocalKind, OperationBody};
use crate::mir;
use crate::session::Session;
use crate::source::Span;

/// Lowers a program that has no errors.
pub fn lower(session: &Session, program: &hir::Program) -> mir::Program {
    let mut lowerer = Lowerer::new(session, program);
    lowerer.place_data();
    let main = program.main.expect("a whole program has OrcaMain");
    lowerer.process(main);
    let modules = lowerer.data_modules();
    lowerer.drain();
    lowerer.finish(modules)
}

/// A routine in one of its versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Instance {
    Function(hir::FunctionId, Context),
    Process(hir::ProcessId),
    /// The alternatives of one class. In `Context::Process` only for objects that read input or a clock: called directly while unshared.
    Operation(hir::ObjectId, hir::OperationId, Class, Context),
    /// Initialises the state of a new object, all zero so far.
    Initialization(hir::ObjectId, Context),
    Data(usize),
}

/// [`AccessClass`] with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Reads,
    Writes,
}

impl Class {
    fn of(class: AccessClass) -> Class {
        match class {
            AccessClass::Read => Class::Reads,
            AccessClass::Write => Class::Writes,
        }
    }
}

/// Which alternatives an operation has.
fn has_class(operation: &hir::Operation, class: Class) -> bool {
    match &operation.body {
        OperationBody::Plain { class: only, .. } => Class::of(*only) == class,
        OperationBody::Guards(alternatives) => alternatives
            .iter()
            .any(|alternative| Class::of(alternative.class) == class),
    }
}

/// What is known of the whole program while it is lowered.
struct Lowerer<'a> {
    session: &'a Session,
    hir: &'a hir::Program,
    layouts: Layouts<'a>,
    functions: Vec<Option<Function>>,
    instances: BTreeMap<Instance, FunctionId>,
    queue: VecDeque<(Instance, FunctionId, String)>,
    names: BTreeSet<String>,
    blobs: IndexMap<Vec<u8>, BlobId>,
    routines: IndexSet<mir::Routine>,
    sites: IndexSet<SitePlace>,
    processes: IndexSet<hir::ProcessId>,
    /// Offset of each data-module variable.
    data: Vec<u64>,
    data_size: u64,
    /// Memory of [`Lowerer::needs_creation`].
    creation: BTreeMap<(hir::TypeId, bool), bool>,
}

/// Data-module variables start on a cache line of their own.
const DATA_ALIGN: u64 = 64;

impl<'a> Lowerer<'a> {
    fn new(session: &'a Session, hir: &'a hir::Program) -> Lowerer<'a> {
        Lowerer {
            session,
            hir,
            layouts: Layouts::new(hir),
            functions: Vec::new(),
            instances: BTreeMap::new(),
            queue: VecDeque::new(),
            names: BTreeSet::new(),
            blobs: IndexMap::new(),
            routines: IndexSet::new(),
            sites: IndexSet::new(),
            processes: IndexSet::new(),
            data: Vec::new(),
            data_size: 0,
            creation: BTreeMap::new(),
        }
    }

    /// The MIR function of a routine, which will be lowered if it is not yet.
    fn function(&mut self, instance: Instance) -> FunctionId {
        if let Some(&id) = self.instances.get(&instance) {
            return id;
        }
        let id = FunctionId(self.functions.len() as u32);
        self.functions.push(None);
        let name = self.unique_name(instance);
        self.instances.insert(instance, id);
        self.queue.push_back((instance, id, name));
        id
    }

    fn unique_name(&mut self, instance: Instance) -> String {
        let version = |context| match context {
            Context::Process => "",
            Context::Operation => ".inside",
        };
        let name = match instance {
            Instance::Function(id, context) => {
                let function = &self.hir.functions[id.index()];
                format!("{}{}", function.name, version(context))
            }
            Instance::Process(id) => self.hir.processes[id.index()].name.clone(),
            Instance::Operation(object, operation, class, context) => {
                let object = &self.hir.objects[object.index()];
                let operation = &object.operations[operation.index()].name;
                let class = match class {
                    Class::Reads => "reads",
                    Class::Writes => "writes",
                };
                let alone = match context {
                    Context::Process => ".unshared",
                    Context::Operation => "",
                };
                format!("{}${operation}.{class}{alone}", object.name)
            }
            Instance::Initialization(object, context) => {
                let object = &self.hir.objects[object.index()];
                format!("{}.init{}", object.name, version(context))
            }
            Instance::Data(module) => format!("{}.data", self.hir.data_modules[module].name),
        };
        let mut unique = name.clone();
        let mut number = 1;
        while !self.names.insert(unique.clone()) {
            number += 1;
            unique = format!("{name}.{number}");
        }
        unique
    }

    /// The index of a process type, which will be lowered.
    fn process(&mut self, process: hir::ProcessId) -> u32 {
        self.function(Instance::Process(process));
        self.processes.insert_full(process).0 as u32
    }

    fn routine(&mut self, title: &str, file: &str) -> RoutineId {
        let routine = mir::Routine {
            title: title.to_owned(),
            file: file.to_owned(),
        };
        RoutineId(self.routines.insert_full(routine).0 as u32)
    }

    fn site(&mut self, routine: RoutineId, span: Span) -> Site {
        let line = self.line(span);
        Site(self.sites.insert_full(SitePlace { routine, line }).0 as u32)
    }

    fn line(&self, span: Span) -> u32 {
        self.session.sources.line(span)
    }

    fn blob(&mut self, bytes: Vec<u8>) -> BlobId {
        let next = BlobId(self.blobs.len() as u32);
        *self.blobs.entry(bytes).or_insert(next)
    }

    fn file_name(&self, span: Span) -> String {
        let path = &self.session.sources.get(span.file).path;
        path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Gives every data-module variable its place.
    fn place_data(&mut self) {
        let hir = self.hir;
        for variable in &hir.data_variables {
            let ty = self.layouts.of(variable.ty);
            let (size, align) = (ty.size, u64::from(ty.align));
            let offset = self.data_size.next_multiple_of(align);
            self.data.push(offset);
            self.data_size = offset + size;
        }
        self.data_size = self.data_size.next_multiple_of(DATA_ALIGN);
    }

    fn data_modules(&mut self) -> Vec<mir::DataModule> {
        let hir = self.hir;
        hir.data_modules
            .iter()
            .enumerate()
            .map(|(index, module)| {
                let created = module.variables.iter().any(|variable| {
                    let variable = &hir.data_variables[variable.index()];
                    !variable.init.bounds.is_empty() || self.needs_creation(variable.ty, true)
                });
                let needed = created || !module.body.is_empty();
                mir::DataModule {
                    name: module.name.clone(),
                    init: needed.then(|| self.function(Instance::Data(index))),
                }
            })
            .collect()
    }

    /// Lowers what was asked for until nothing new is; types bring objects, objects their operations.
    fn drain(&mut self) {
        let mut described = 0;
        loop {
            while let Some((instance, id, name)) = self.queue.pop_front() {
                let function = routine::lower_instance(self, instance, name);
                self.functions[id.index()] = Some(function);
            }
            self.parameter_types();
            let Some((&object, _)) = self.layouts.objects.get_index(described) else {
                return;
            };
            described += 1;
            self.operations(object);
        }
    }

    /// Asks for all operations of an object type that some value has.
    fn operations(&mut self, object: hir::ObjectId) {
        self.layouts.state(object);
        let hir = self.hir;
        for (index, operation) in hir.objects[object.index()].operations.iter().enumerate() {
            let id = hir::OperationId(index as u32);
            for class in [Class::Reads, Class::Writes] {
                if has_class(operation, class) {
                    self.function(Instance::Operation(object, id, class, Context::Operation));
                }
            }
            self.signature_types(&operation.routine);
        }
    }

    fn parameter_types(&mut self) {
        let hir = self.hir;
        for index in 0..self.processes.len() {
            let process = self.processes[index];
            self.signature_types(&hir.processes[process.index()].routine);
        }
    }

    fn signature_types(&mut self, routine: &hir::Routine) {
        for local in &routine.locals[..routine.parameter_count] {
            self.layouts.id(local.ty);
        }
        if let Some(result) = routine.result {
            self.layouts.id(result);
        }
    }

    fn finish(mut self, data_modules: Vec<mir::DataModule>) -> mir::Program {
        let objects = (0..self.layouts.objects.len())
            .map(|index| {
                let object = *self.layouts.objects.get_index(index).expect("in range").0;
                self.object_descriptor(object)
            })
            .collect();
        let processes = (0..self.processes.len())
            .map(|index| self.process_descriptor(self.processes[index]))
            .collect();
        let data_variables = self.data_variables();
        let main = self.hir.main.expect("a whole program has OrcaMain");
        mir::Program {
            name: self.hir.name.clone(),
            processes,
            objects,
            data_size: self.data_size,
            data_variables,
            data_modules,
            main: self
                .processes
                .get_index_of(&main)
                .expect("OrcaMain is first") as u32,
            functions: self
                .functions
                .into_iter()
                .map(|function| function.expect("the queue is empty"))
                .collect(),
            types: self.layouts.descriptors,
            blobs: self.blobs.into_keys().collect(),
            routines: self.routines.into_iter().collect(),
            sites: self.sites.into_iter().collect(),
        }
    }

    fn data_variables(&mut self) -> Vec<mir::DataVariable> {
        let hir = self.hir;
        let mut variables = Vec::new();
        for (module, source) in hir.data_modules.iter().enumerate() {
            for &id in &source.variables {
                let variable = &hir.data_variables[id.index()];
                variables.push(mir::DataVariable {
                    name: format!("{}.{}", variable.module, variable.name),
                    ty: self.layouts.id(variable.ty),
                    offset: self.data[id.index()],
                    module: module as u32,
                });
            }
        }
        variables
    }

    fn process_descriptor(&mut self, id: hir::ProcessId) -> mir::ProcessDescriptor {
        let process = &self.hir.processes[id.index()];
        mir::ProcessDescriptor {
            name: process.name.clone(),
            code: self.instances[&Instance::Process(id)],
            parameters: self.parameters(&process.routine),
        }
    }

    fn object_descriptor(&mut self, id: hir::ObjectId) -> mir::ObjectDescriptor {
        let object = &self.hir.objects[id.index()];
        let operations = (0..object.operations.len() as u32)
            .map(|index| self.operation_descriptor(id, hir::OperationId(index)))
            .collect();
        mir::ObjectDescriptor {
            name: object.name.clone(),
            state: self.layouts.state(id),
            ty: self.layouts.id(object.ty),
            operations,
            flags: if object.single_copy_only {
                SINGLE_COPY_ONLY
            } else {
                0
            },
        }
    }

    fn operation_descriptor(
        &mut self,
        object: hir::ObjectId,
        id: hir::OperationId,
    ) -> mir::OperationDescriptor {
        let operation = &self.hir.objects[object.index()].operations[id.index()];
        let code = |class| {
            let instance = Instance::Operation(object, id, class, Context::Operation);
            self.instances.get(&instance).copied()
        };
        let (reads, writes) = (code(Class::Reads), code(Class::Writes));
        let routine = &operation.routine;
        let has_out = routine.locals[..routine.parameter_count]
            .iter()
            .any(|local| local.kind == LocalKind::Out);
        let pure = writes.is_some()
            && reads.is_none()
            && !has_out
            && !operation.may_block
            && routine.result.is_none();
        let flag = |set, bit| if set { bit } else { 0 };
        mir::OperationDescriptor {
            name: operation.name.clone(),
            flags: flag(reads.is_some(), HAS_READ)
                | flag(writes.is_some(), HAS_WRITE)
                | flag(operation.may_block, MAY_BLOCK)
                | flag(pure, PURE_WRITE)
                | flag(operation.does_output, DOES_OUTPUT),
            routine: self.routine(&routine.title, &routine.file),
            reads,
            writes,
            parameters: self.parameters(routine),
            result: routine.result.map(|ty| self.layouts.id(ty)),
        }
    }

    fn parameters(&mut self, routine: &hir::Routine) -> Vec<mir::ParameterDescriptor> {
        routine.locals[..routine.parameter_count]
            .iter()
            .map(|local| mir::ParameterDescriptor {
                name: local.name.clone(),
                mode: match local.kind {
                    LocalKind::Out => Mode::Out,
                    LocalKind::Shared => Mode::Shared,
                    _ => Mode::In,
                },
                ty: self.layouts.id(local.ty),
            })
            .collect()
    }
}
