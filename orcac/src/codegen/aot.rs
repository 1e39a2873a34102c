//! Machine code in an object file, with the compiled code in a section of its own.
//!
//! The section's name is changed in the finished file, since Cranelift always says `.text`: a new table of section names goes to the end.
//! The linker places the section at a fixed address, so that a checkpoint means the same in every process.

use cranelift_module::Module;
use cranelift_object::{ObjectBuilder, ObjectModule};
use object::elf::{FileHeader64, SectionHeader64};
use object::read::elf::{FileHeader, SectionHeader};
use object::{LittleEndian, U32, U64};

use super::{CodegenError, Options, emit, libcall_name, target};
use crate::mir::Program;

pub(super) fn new_module(name: &str, options: Options) -> Result<ObjectModule, CodegenError> {
    let builder = ObjectBuilder::new(target(options)?, name, Box::new(libcall_name))?;
    Ok(ObjectModule::new(builder))
}

/// The object file of a program.
pub fn compile(program: &Program, options: Options) -> Result<Vec<u8>, CodegenError> {
    let mut module = new_module(&program.name, options)?;
    emit(&mut module as &mut dyn Module, program)?;
    let file = module
        .finish()
        .emit()
        .map_err(|error| CodegenError::Object(error.to_string()))?;
    rename_section(file, b".text", orca_abi::TEXT_SECTION.as_bytes())
        .ok_or_else(|| CodegenError::Object("there is no code section".to_owned()))
}

/// The file with one section called otherwise.
fn rename_section(mut file: Vec<u8>, from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    type Header = FileHeader64<LittleEndian>;
    let endian = LittleEndian;
    let header = Header::parse(&*file).ok()?;
    let sections = header.sections(endian, &*file).ok()?;
    let (section, _) = sections.section_by_name(endian, from)?;
    let names_index = header.shstrndx(endian, &*file).ok()?;
    let names_section = sections.section(object::SectionIndex(usize::try_from(names_index).ok()?));
    let mut names = names_section.ok()?.data(endian, &*file).ok()?.to_vec();
    let new_name = u32::try_from(names.len()).ok()?;
    names.extend_from_slice(to);
    names.push(0);

    let table = usize::try_from(header.e_shoff(endian)).ok()?;
    let row = |index: usize| table + index * size_of::<SectionHeader64<LittleEndian>>();
    let renamed = row(section.0);
    let names_row = row(usize::try_from(names_index).ok()?);
    let at = file.len() as u64;
    file.extend_from_slice(&names);

    let (renamed, _) =
        object::from_bytes_mut::<SectionHeader64<LittleEndian>>(file.get_mut(renamed..)?).ok()?;
    renamed.sh_name = U32::new(endian, new_name);
    let (names_row, _) =
        object::from_bytes_mut::<SectionHeader64<LittleEndian>>(file.get_mut(names_row..)?).ok()?;
    names_row.sh_offset = U64::new(endian, at);
    names_row.sh_size = U64::new(endian, names.len() as u64);
    Some(file)
}
