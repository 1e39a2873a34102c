//! Leaf entries that work on values: copying, comparing, arrays, objects, sets and graphs.
#![allow(non_snake_case, reason = "functions carry the names of their entries")]

use orca_abi::trap::Trap;
use orca_abi::value::{Dimension, Nodename};

use super::local::Local;
use crate::entry::{kind, leaves, object_type, place};
use crate::heap::OutOfMemory;
use crate::value::{array, compare, copy, free, graph, move_value, object, set};

leaves! {
    ValueCopy(local, type_: u64, destination: u64, source: u64, site: i32) {
        let result = copy(local.heap(), kind(type_), place(destination), place(source));
        local.check(result, site as u32);
    }
    ValueMove(local, type_: u64, destination: u64, source: u64) {
        move_value(local.heap(), kind(type_), place(destination), place(source));
    }
    ValueFree(local, type_: u64, value: u64) {
        free(local.heap(), kind(type_), place(value));
    }
    ValueEqual(_local, type_: u64, a: u64, b: u64) -> i32 {
        i32::from(compare::equal(kind(type_), place(a), place(b)))
    }
    ArrayNew(local, type_: u64, destination: u64, bounds: u64, site: i32) {
        let result = new_array(local, type_, destination, bounds);
        local.check(result, site as u32);
    }
    StringNew(local, destination: u64, bytes: u64, count: i64, site: i32) {
        let bytes = place(bytes).bytes(count as u64);
        let result = array::set_string(local.heap(), place(destination), bytes);
        local.check(result, site as u32);
    }
    ObjectNew(local, descriptor: u64, site: i32) -> u64 {
        match object::make(local.heap(), object_type(descriptor)) {
            Ok(cell) => cell.address(),
            Err(OutOfMemory) => {
                local.raise(Trap::OutOfMemory, site as u32);
                0
            }
        }
    }
    BlockNew(local, bytes: i64, site: i32) -> u64 {
        match u64::try_from(bytes).map_err(|_| OutOfMemory).and_then(|bytes| local.heap().allocate(bytes)) {
            Ok(block) => block.address(),
            Err(OutOfMemory) => {
                local.raise(Trap::OutOfMemory, site as u32);
                0
            }
        }
    }
    BlockFree(local, block: u64, bytes: i64) {
        if block != 0 {
            local.heap().release(place(block), bytes as u64);
        }
    }

    SetInsert(local, type_: u64, set: u64, element: u64, site: i32) {
        let result = set::insert(local.heap(), kind(type_), place(set), place(element));
        local.check(result, site as u32);
    }
    SetDelete(local, type_: u64, set: u64, element: u64) {
        set::delete(local.heap(), kind(type_), place(set), place(element));
    }
    SetContains(_local, type_: u64, set: u64, element: u64) -> i32 {
        i32::from(set::contains(kind(type_), place(set), place(element)))
    }
    SetFrom(local, type_: u64, set: u64, destination: u64, site: i32) {
        if !set::take_oldest(local.heap(), kind(type_), place(set), place(destination)) {
            local.raise(Trap::FromEmpty, site as u32);
        }
    }
    SetSize(_local, _type: u64, set: u64) -> i32 {
        set::count(place(set)) as i32
    }
    SetElement(local, type_: u64, set: u64, index: i32) -> u64 {
        match set::element(local.heap(), kind(type_), place(set), index as u32) {
            Ok(Some(element)) => element.address(),
            Ok(None) => panic!("element {index} of a set of {}", set::count(place(set))),
            Err(OutOfMemory) => {
                local.raise(Trap::OutOfMemory, u32::MAX);
                0
            }
        }
    }
    SetUnion(local, type_: u64, destination: u64, right: u64, site: i32) {
        let result = set::union(local.heap(), kind(type_), place(destination), place(right));
        local.check(result, site as u32);
    }
    SetDifference(local, type_: u64, destination: u64, right: u64, _site: i32) {
        set::difference(local.heap(), kind(type_), place(destination), place(right));
    }
    SetIntersection(local, type_: u64, destination: u64, right: u64, site: i32) {
        let result = set::intersection(local.heap(), kind(type_), place(destination), place(right));
        local.check(result, site as u32);
    }
    SetSymmetric(local, type_: u64, destination: u64, right: u64, site: i32) {
        let result = set::symmetric(local.heap(), kind(type_), place(destination), place(right));
        local.check(result, site as u32);
    }

    GraphAdd(local, type_: u64, graph: u64, destination: u64, site: i32) {
        match graph::add(local.heap(), kind(type_), place(graph)) {
            Ok(name) => place(destination).set(name),
            Err(OutOfMemory) => local.raise(Trap::OutOfMemory, site as u32),
        }
    }
    GraphDelete(local, type_: u64, graph: u64, name: i64, site: i32) {
        if !graph::delete(local.heap(), kind(type_), place(graph), nodename(name)) {
            local.raise(Trap::BadNodename, site as u32);
        }
    }
    GraphNode(local, type_: u64, graph: u64, name: i64, site: i32) -> u64 {
        match graph::node(kind(type_), place(graph), nodename(name)) {
            Some(node) => node.address(),
            None => {
                local.raise(Trap::BadNodename, site as u32);
                0
            }
        }
    }
}

/// A nodename as its eight bytes.
fn nodename(bits: i64) -> Nodename {
    Nodename {
        age: bits as i32,
        index: (bits >> 32) as i32,
    }
}

/// Makes an array from (lower, upper) pairs of 64-bit integers.
fn new_array(local: Local, type_: u64, destination: u64, bounds: u64) -> Result<(), OutOfMemory> {
    let kind = kind(type_);
    let mut dimensions = Vec::with_capacity(kind.dimensions as usize);
    for index in 0..u64::from(kind.dimensions) {
        let lower: i64 = place(bounds).add(16 * index).get();
        let upper: i64 = place(bounds).add(16 * index + 8).get();
        let count = if upper < lower {
            0
        } else {
            upper.checked_sub(lower).and_then(|span| span.checked_add(1)).ok_or(OutOfMemory)?
        };
        dimensions.push(Dimension {
            lower: lower as i32,
            count: i32::try_from(count).map_err(|_| OutOfMemory)?,
        });
    }
    let fresh = crate::value::Scratch::new(local.heap(), kind)?;
    array::make(local.heap(), kind, fresh.place, &dimensions)?;
    move_value(local.heap(), kind, place(destination), fresh.place);
    Ok(())
}
