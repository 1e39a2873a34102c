//! Calls: of compiled functions, and of the run-time system through the entry table.

use std::mem::offset_of;

use cranelift_codegen::ir::{self, InstBuilder, types};
use cranelift_codegen::isa::CallConv;
use orca_abi::control::Control;
use orca_abi::symbols::{Class, Entry, Word};

use super::body::Body;
use super::clif_type;
use crate::mir::verify::type_of_word;
use crate::mir::{ControlField, FunctionId, Region, Value};

impl Body<'_, '_> {
    pub(super) fn call(&mut self, callee: FunctionId, arguments: &[Value]) -> Option<ir::Value> {
        let reference = match self.callees.get(&callee) {
            Some(reference) => *reference,
            None => {
                let id = self.names.functions[callee.index()];
                let reference = self.module.declare_func_in_func(id, self.builder.func);
                self.callees.insert(callee, reference);
                reference
            }
        };
        let arguments = self.all(arguments);
        let call = self.builder.ins().call(reference, &arguments);
        self.builder.inst_results(call).first().copied()
    }

    /// The control block comes first, without being among `arguments`.
    pub(super) fn call_entry(
        &mut self,
        entry: Entry,
        arguments: &[ir::Value],
    ) -> Option<ir::Value> {
        let signature = match self.entries.get(&entry) {
            Some(signature) => *signature,
            None => {
                let signature = self.builder.import_signature(entry_signature(entry));
                self.entries.insert(entry, signature);
                signature
            }
        };
        let control = self.control();
        let offset = offset_of!(Control, entries) + 8 * entry.index();
        let stub = self.load_control(types::I64, control, offset);
        let mut all = vec![control];
        all.extend_from_slice(arguments);
        let call = self.builder.ins().call_indirect(signature, stub, &all);
        self.builder.inst_results(call).first().copied()
    }

    /// The address of the control block.
    pub(super) fn control(&mut self) -> ir::Value {
        self.builder.ins().get_pinned_reg(types::I64)
    }

    /// Never `readonly` or movable: after a checkpoint is restored the block has other contents.
    fn load_control(&mut self, ty: ir::Type, control: ir::Value, offset: usize) -> ir::Value {
        let flags = self.regions.flags(Region::Control);
        let offset = i32::try_from(offset).expect("the control block is small");
        self.builder.ins().load(ty, flags, control, offset)
    }

    pub(super) fn control_field(&mut self, field: ControlField) -> ir::Value {
        let control = self.control();
        let (ty, offset) = match field {
            ControlField::Ncpus => (types::I32, offset_of!(Control, ncpus)),
            ControlField::Mycpu => (types::I32, offset_of!(Control, mycpu)),
            ControlField::Data => (types::I64, offset_of!(Control, data)),
        };
        self.load_control(ty, control, offset)
    }
}

fn entry_signature(entry: Entry) -> ir::Signature {
    let signature = entry.signature();
    // The poll saves every register itself, so that a loop with a poll keeps its values in registers.
    let convention = match signature.class {
        Class::Poll => CallConv::PreserveAll,
        Class::Leaf | Class::Waiting | Class::Final => CallConv::SystemV,
    };
    let mut clif = ir::Signature::new(convention);
    clif.params.push(ir::AbiParam::new(types::I64));
    clif.params
        .extend(signature.parameters.iter().map(|word| parameter(*word)));
    clif.returns.extend(
        signature
            .result
            .map(|word| ir::AbiParam::new(clif_type(type_of_word(word)))),
    );
    clif
}

/// C compilers expect narrow arguments to be extended by the caller.
fn parameter(word: Word) -> ir::AbiParam {
    let parameter = ir::AbiParam::new(clif_type(type_of_word(word)));
    match word {
        Word::I8 => parameter.uext(),
        Word::I16 => parameter.sext(),
        Word::I32 | Word::I64 | Word::F32 | Word::F64 | Word::Pointer => parameter,
    }
}
