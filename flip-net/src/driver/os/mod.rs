//! The few system calls that the devices need and that neither std nor socket2 has in a safe form.
//! Each has a file of its own with a safe interface. Nothing in here knows a protocol.

#![allow(
    unsafe_code,
    reason = "these are the calls that have no safe form in std or socket2"
)]

pub(super) mod batch;
pub(super) mod bell;
pub(super) mod interface;
pub(super) mod interrupt;
pub(super) mod name;
pub(super) mod option;
pub(super) mod poll;
pub(super) mod random;
