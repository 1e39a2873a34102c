//! The one-way function on 48 bits: a Feistel cipher derived from DES, with tables of its own, that
//! encrypts zero under a key made from its argument.
//!
//! It is neither DES nor the one-way function on FLIP addresses, and not strong by the measure of
//! today: ports are protected by the network's key where that matters.
//!
//! Implements: [Amoeba5] §4. Known answers are in `port.rs`.

const BLOCK_BITS: usize = 48;
const HALF_BITS: usize = 24;
const ROUNDS: usize = 16;

type Block = [u8; BLOCK_BITS];

/// All tables count from 0: bit `j` of the output is bit `TABLE[j]` of the input.
#[rustfmt::skip]
const INITIAL: [usize; BLOCK_BITS] = [
    23, 27, 34, 44, 37, 17, 12, 42,  3, 32, 41, 29, 20,  2,  1, 10,  0, 28, 40,  6,  7, 11, 16,  8,
    25, 30, 14, 26, 47, 38, 19, 43, 18,  5, 35, 39, 36, 21,  4, 45, 24, 22, 13, 33, 31,  9, 15, 46,
];
#[rustfmt::skip]
const EXPANSION: [usize; BLOCK_BITS] = [
    22, 15, 12,  3,  8,  2, 23, 16, 14, 13,  9, 10,  0,  1, 21, 19, 18,  6, 11,  7, 17,  4, 20,  5,
     5, 17, 11, 13, 12, 14,  8,  7, 19, 22, 18,  9,  3,  4,  1,  6, 16,  2, 20, 15, 10, 23,  0, 21,
];
#[rustfmt::skip]
const PERMUTATION: [usize; HALF_BITS] = [
     3, 13,  9, 12,  8, 20, 21,  7,  5, 23, 16,  1, 14, 18,  4, 15, 22, 10,  2,  0, 11, 19, 17,  6,
];

#[rustfmt::skip]
const KEY_CHOICE_1: [usize; 56] = [
    56, 48, 40, 32, 24, 16,  8,  0, 57, 49, 41, 33, 25, 17,  9,  1, 58, 50, 42, 34, 26, 18, 10,  2, 59, 51, 43, 35,
    62, 54, 46, 38, 30, 22, 14,  6, 61, 53, 45, 37, 29, 21, 13,  5, 60, 52, 44, 36, 28, 20, 12,  4, 27, 19, 11,  3,
];
#[rustfmt::skip]
const KEY_CHOICE_2: [usize; BLOCK_BITS] = [
    13, 16, 10, 23,  0,  4,  2, 27, 14,  5, 20,  9, 22, 18, 11,  3, 25,  7, 15,  6, 26, 19, 12,  1,
    40, 51, 30, 36, 46, 54, 29, 39, 50, 44, 32, 47, 43, 48, 38, 55, 33, 52, 45, 41, 49, 35, 28, 31,
];
const SHIFTS: [usize; ROUNDS] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];

#[rustfmt::skip]
const SUBSTITUTION: [[u8; 64]; 8] = [
    [14,  4, 13,  1,  2, 15, 11,  8,  3, 10,  6, 12,  5,  9,  0,  7,
      0, 15,  7,  4, 14,  2, 13,  1, 10,  6, 12, 11,  9,  5,  3,  8,
      4,  1, 14,  8, 13,  6,  2, 11, 15, 12,  9,  7,  3, 10,  5,  0,
     15, 12,  8,  2,  4,  9,  1,  7,  5, 11,  3, 14, 10,  0,  6, 13],
    [15,  1,  8, 14,  6, 11,  3,  4,  9,  7,  2, 13, 12,  0,  5, 10,
      3, 13,  4,  7, 15,  2,  8, 14, 12,  0,  1, 10,  6,  9, 11,  5,
      0, 14,  7, 11, 10,  4, 13,  1,  5,  8, 12,  6,  9,  3,  2, 15,
     13,  8, 10,  1,  3, 15,  4,  2, 11,  6,  7, 12,  0,  5, 14,  9],
    [10,  0,  9, 14,  6,  3, 15,  5,  1, 13, 12,  7, 11,  4,  2,  8,
     13,  7,  0,  9,  3,  4,  6, 10,  2,  8,  5, 14, 12, 11, 15,  1,
     13,  6,  4,  9,  8, 15,  3,  0, 11,  1,  2, 12,  5, 10, 14,  7,
      1, 10, 13,  0,  6,  9,  8,  7,  4, 15, 14,  3, 11,  5,  2, 12],
    [ 7, 13, 14,  3,  0,  6,  9, 10,  1,  2,  8,  5, 11, 12,  4, 15,
     13,  8, 11,  5,  6, 15,  0,  3,  4,  7,  2, 12,  1, 10, 14,  9,
     10,  6,  9,  0, 12, 11,  7, 13, 15,  1,  3, 14,  5,  2,  8,  4,
      3, 15,  0,  6, 10,  1, 13,  8,  9,  4,  5, 11, 12,  7,  2, 14],
    [ 2, 12,  4,  1,  7, 10, 11,  6,  8,  5,  3, 15, 13,  0, 14,  9,
     14, 11,  2, 12,  4,  7, 13,  1,  5,  0, 15, 10,  3,  9,  8,  6,
      4,  2,  1, 11, 10, 13,  7,  8, 15,  9, 12,  5,  6,  3,  0, 14,
     11,  8, 12,  7,  1, 14,  2, 13,  6, 15,  0,  9, 10,  4,  5,  3],
    [12,  1, 10, 15,  9,  2,  6,  8,  0, 13,  3,  4, 14,  7,  5, 11,
     10, 15,  4,  2,  7, 12,  9,  5,  6,  1, 13, 14,  0, 11,  3,  8,
      9, 14, 15,  5,  2,  8, 12,  3,  7,  0,  4, 10,  1, 13, 11,  6,
      4,  3,  2, 12,  9,  5, 15, 10, 11, 14,  1,  7,  6,  0,  8, 13],
    [ 4, 11,  2, 14, 15,  0,  8, 13,  3, 12,  9,  7,  5, 10,  6,  1,
     13,  0, 11,  7,  4,  9,  1, 10, 14,  3,  5, 12,  2, 15,  8,  6,
      1,  4, 11, 13, 12,  3,  7, 14, 10, 15,  6,  8,  0,  5,  9,  2,
      6, 11, 13,  8,  1,  4, 10,  7,  9,  5,  0, 15, 14,  2,  3, 12],
    [13,  2,  8,  4,  6, 15, 11,  1, 10,  9,  3, 14,  5,  0, 12,  7,
      1, 15, 13,  8, 10,  3,  7,  4, 12,  5,  6, 11,  0, 14,  9,  2,
      7, 11,  4,  1,  9, 12, 14,  2,  0,  6, 10, 13, 15,  3,  5,  8,
      2,  1, 14,  7,  4, 10,  8, 13, 15, 12,  9,  0,  3,  5,  6, 11],
];

/// Encrypts 48 zero bits under the key that `argument` makes.
pub(crate) fn one_way(argument: [u8; 6]) -> [u8; 6] {
    let keys = round_keys(key_bits(argument));
    let zero: Block = [0; BLOCK_BITS];
    let start = permute(&zero, &INITIAL);
    let mut left = [0; HALF_BITS];
    let mut right = [0; HALF_BITS];
    left.copy_from_slice(&start[..HALF_BITS]);
    right.copy_from_slice(&start[HALF_BITS..]);

    for key in &keys {
        let mixed = round(&right, key);
        let mut next = [0; HALF_BITS];
        for (bit, slot) in next.iter_mut().enumerate() {
            *slot = left[bit] ^ mixed[bit];
        }
        left = right;
        right = next;
    }

    // The halves leave swapped; then the inverse of the initial permutation.
    let mut swapped: Block = [0; BLOCK_BITS];
    swapped[..HALF_BITS].copy_from_slice(&right);
    swapped[HALF_BITS..].copy_from_slice(&left);
    let mut out: Block = [0; BLOCK_BITS];
    for (bit, &source) in INITIAL.iter().enumerate() {
        out[source] = swapped[bit];
    }
    pack(&out)
}

/// Six bits of the argument, least significant first, then two zeros, eight times.
fn key_bits(argument: [u8; 6]) -> [u8; 64] {
    let mut bits = [0; 64];
    for index in 0..BLOCK_BITS {
        bits[index / 6 * 8 + index % 6] = (argument[index / 8] >> (index % 8)) & 1;
    }
    bits
}

/// The key schedule of DES.
fn round_keys(key: [u8; 64]) -> [Block; ROUNDS] {
    let mut chosen: [u8; 56] = permute(&key, &KEY_CHOICE_1);
    SHIFTS.map(|shift| {
        let (c, d) = chosen.split_at_mut(28);
        c.rotate_left(shift);
        d.rotate_left(shift);
        permute(&chosen, &KEY_CHOICE_2)
    })
}

fn round(half: &[u8; HALF_BITS], key: &Block) -> [u8; HALF_BITS] {
    let mut expanded: Block = permute(half, &EXPANSION);
    for (bit, key_bit) in expanded.iter_mut().zip(key) {
        *bit ^= key_bit;
    }
    let mut substituted = [0; 32];
    for (index, table) in SUBSTITUTION.iter().enumerate() {
        let b = &expanded[6 * index..6 * index + 6];
        let row = 2 * b[0] + b[5];
        let column = 8 * b[1] + 4 * b[2] + 2 * b[3] + b[4];
        let value = table[usize::from(16 * row + column)];
        for bit in 0..4 {
            substituted[4 * index + bit] = (value >> (3 - bit)) & 1;
        }
    }
    permute(&substituted, &PERMUTATION)
}

fn permute<const N: usize>(input: &[u8], table: &[usize; N]) -> [u8; N] {
    table.map(|source| input[source])
}

fn pack(bits: &Block) -> [u8; 6] {
    let mut bytes = [0; 6];
    for (index, bit) in bits.iter().enumerate() {
        bytes[index / 8] |= bit << (index % 8);
    }
    bytes
}
