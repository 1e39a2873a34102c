//! Memory: what accesses may overlap, copies, addresses of constants.

use std::borrow::Cow;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AliasRegion, AliasRegionData, BlockArg, InstBuilder, MemFlagsData, types,
};

use super::body::Body;
use crate::mir::{Region, Value};

/// Copies and clears up to this size are written out; longer ones are loops.
const UNROLLED_SIZE_MAX: u64 = 256;

/// Bytes that one round of a loop handles.
const ROUND_SIZE: i64 = 64;

/// The alias regions of a function.
pub(super) struct Regions {
    regions: Vec<AliasRegion>,
}

const ALL: [(Region, &str); 5] = [
    (Region::Data, "contents of values"),
    (Region::Head, "heads of arrays"),
    (Region::Object, "state of the object"),
    (Region::Control, "control block"),
    (Region::Constant, "constants"),
];

impl Regions {
    pub(super) fn declare(function: &mut ir::Function) -> Regions {
        let regions = (0..).zip(ALL).map(|(user_id, (_, description))| {
            let description = Cow::Borrowed(description);
            function.dfg.alias_regions.insert(AliasRegionData {
                user_id,
                description,
            })
        });
        Regions {
            regions: regions.collect(),
        }
    }

    /// Flags of an access. Compiled code never faults on memory except on the guard of its stack.
    pub(super) fn flags(&self, region: Region) -> MemFlagsData {
        let index = ALL
            .iter()
            .position(|(other, _)| *other == region)
            .expect("all are there");
        let flags = MemFlagsData::trusted().with_alias_region(Some(self.regions[index]));
        if region == Region::Constant {
            flags.with_readonly()
        } else {
            flags
        }
    }
}

/// Handles the part of some bytes at an offset, of a type; the bytes lie at each of the addresses.
type Piece<'p, 'a, 'f> = &'p dyn Fn(&mut Body<'a, 'f>, &[ir::Value], i32, ir::Type);

impl<'a, 'f> Body<'a, 'f> {
    pub(super) fn load(
        &mut self,
        ty: ir::Type,
        address: Value,
        offset: i32,
        region: Region,
    ) -> ir::Value {
        let address = self.value(address);
        self.builder
            .ins()
            .load(ty, self.regions.flags(region), address, offset)
    }

    pub(super) fn store(&mut self, value: Value, address: Value, offset: i32, region: Region) {
        let (value, address) = (self.value(value), self.value(address));
        self.builder
            .ins()
            .store(self.regions.flags(region), value, address, offset);
    }

    /// The address of something in the program's data.
    pub(super) fn data_address(&mut self, offset: u64) -> ir::Value {
        let name = match &self.data {
            Some(name) => name.clone(),
            None => {
                let global = self
                    .module
                    .declare_data_in_func(self.names.data, self.builder.func);
                let ir::GlobalValueData::Symbol { name, .. } =
                    self.builder.func.global_values[global].clone()
                else {
                    unreachable!("data is a symbol");
                };
                self.data.insert(name).clone()
            }
        };
        // Not colocated: in an executable the data is farther from the code than 32 bits reach.
        let global = self
            .builder
            .create_global_value(ir::GlobalValueData::Symbol {
                name,
                offset: offset.cast_signed().into(),
                colocated: false,
                tls: false,
            });
        self.builder.ins().symbol_value(types::I64, global)
    }

    pub(super) fn copy(&mut self, to: Value, from: Value, size: u64) {
        let (to, from) = (self.value(to), self.value(from));
        // A copy reads all regions, and accesses without a region do not see stores to one without this.
        self.builder.ins().sequence_point();
        self.in_pieces(size, &[to, from], &|body, addresses, offset, ty| {
            let flags = MemFlagsData::new().with_notrap();
            let value = body.builder.ins().load(ty, flags, addresses[1], offset);
            body.builder.ins().store(flags, value, addresses[0], offset);
        });
    }

    pub(super) fn zero(&mut self, address: Value, size: u64) {
        let address = self.value(address);
        let wide = if size >= 16 {
            Some(self.zero_of(types::I64X2))
        } else {
            None
        };
        self.in_pieces(size, &[address], &|body, addresses, offset, ty| {
            let flags = MemFlagsData::new().with_notrap();
            let value = match wide {
                Some(wide) if ty == types::I64X2 => wide,
                _ => body.zero_of(ty),
            };
            body.builder.ins().store(flags, value, addresses[0], offset);
        });
    }

    fn zero_of(&mut self, ty: ir::Type) -> ir::Value {
        if ty != types::I64X2 {
            return self.builder.ins().iconst(ty, 0);
        }
        let zero = self.builder.ins().iconst(types::I64, 0);
        self.builder.ins().splat(ty, zero)
    }

    /// Calls `piece` for every part of `size` bytes at `addresses`.
    fn in_pieces(&mut self, size: u64, addresses: &[ir::Value], piece: Piece<'_, 'a, 'f>) {
        if size <= UNROLLED_SIZE_MAX {
            return self.tail(size, addresses, piece);
        }
        let round_size = ROUND_SIZE.cast_unsigned();
        let rounds = size / round_size;
        let looped = (rounds * round_size).cast_signed();
        let end = self.builder.ins().iadd_imm_s(addresses[0], looped);
        let round = self.builder.create_block();
        let after = self.builder.create_block();
        let parameters: Vec<ir::Value> = addresses
            .iter()
            .map(|_| self.builder.append_block_param(round, types::I64))
            .collect();
        let arguments: Vec<BlockArg> = addresses.iter().map(|address| (*address).into()).collect();
        self.builder.ins().jump(round, &arguments);
        self.builder.switch_to_block(round);
        self.tail(round_size, &parameters, piece);
        let next: Vec<ir::Value> = parameters
            .iter()
            .map(|address| self.builder.ins().iadd_imm_s(*address, ROUND_SIZE))
            .collect();
        let more = self.builder.ins().icmp(IntCC::NotEqual, next[0], end);
        let arguments: Vec<BlockArg> = next.iter().map(|address| (*address).into()).collect();
        self.builder.ins().brif(more, round, &arguments, after, &[]);
        self.builder.switch_to_block(after);
        self.tail(size % round_size, &next, piece);
    }

    /// Pieces of falling size.
    fn tail(&mut self, size: u64, addresses: &[ir::Value], piece: Piece<'_, 'a, 'f>) {
        const PIECES: [(u64, ir::Type); 5] = [
            (16, types::I64X2),
            (8, types::I64),
            (4, types::I32),
            (2, types::I16),
            (1, types::I8),
        ];
        let mut offset = 0;
        for (piece_size, ty) in PIECES {
            while size - offset >= piece_size {
                piece(
                    self,
                    addresses,
                    i32::try_from(offset).expect("written out"),
                    ty,
                );
                offset += piece_size;
            }
        }
    }
}
