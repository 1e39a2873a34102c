//! Random programs behave the same with and without optimisation: same result, or same trap at the same place.
//!
//! A program has two arrays with random bounds, loops as lowering makes them of FOR, one in another or alone, and in them random
//! accesses, assignments to locals, conditional maxima and polls. Indices are sums of counters, locals and constants, sometimes outside.

use std::fmt::Write as _;

use orcac::codegen::jit::Outcome;
use orcac::codegen::{Options, jit};
use orcac::mir::text::parse;
use orcac::mir::verify::verify;
use orcac::mir::{FunctionId, Program};

const PROGRAM_COUNT: u64 = 150;

#[test]
fn random_programs_behave_the_same_at_every_level() {
    let (mut returned, mut trapped) = (0, 0);
    for seed in 1..=PROGRAM_COUNT {
        let text = Generator::new(seed).program();
        let program = parse(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        let violations = verify(&program);
        assert!(violations.is_empty(), "seed {seed}: {violations:?}\n{text}");
        let expected = outcomes(&program, 0);
        for outcome in expected {
            match outcome {
                Outcome::Returned(_) => returned += 1,
                Outcome::Trapped(..) => trapped += 1,
            }
        }
        for level in [1, 2] {
            assert_eq!(
                outcomes(&program, level),
                expected,
                "seed {seed}, -O{level}\n{text}"
            );
        }
    }
    // Otherwise the test shows little.
    assert!(
        returned > PROGRAM_COUNT / 2,
        "only {returned} calls returned"
    );
    assert!(trapped > PROGRAM_COUNT / 2, "only {trapped} calls trapped");
}

const ARGUMENTS: [[i32; 3]; 4] = [[0, 5, 1], [3, 3, -2], [-4, 9, 7], [2, 1, 0]];

fn outcomes(program: &Program, opt_level: u8) -> [Outcome; 4] {
    let mut program = program.clone();
    orcac::opt::run(&mut program, opt_level);
    let options = Options {
        opt_level,
        debug_info: false,
    };
    let jit = jit::compile(&program, options).expect("the program is valid");
    ARGUMENTS.map(|arguments| {
        let words = arguments.map(|word| u64::from(word.cast_unsigned()));
        jit.evaluate(&program, FunctionId(1), &words)
    })
}

struct Generator {
    state: u64,
    values: u32,
    sites: u32,
    blocks: Vec<String>,
    current: usize,
    /// Counters of the loops around: (64 bits, 32 bits).
    counters: Vec<(u32, u32)>,
}

const HEAD: [&str; 2] = ["v3", "v4"];

impl Generator {
    fn new(seed: u64) -> Generator {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Generator {
            state,
            values: 5,
            sites: 0,
            blocks: vec![String::new()],
            current: 0,
            counters: Vec::new(),
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below((most - least + 1).cast_unsigned()).cast_signed()
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.blocks[self.current], "  {text}");
    }

    fn value(&mut self, ty: &str, op: &str) -> u32 {
        let value = self.values;
        self.values += 1;
        self.line(&format!("v{value}: {ty} = {op}"));
        value
    }

    fn integer(&mut self, ty: &str, number: i64) -> u32 {
        self.value(ty, &format!("integer {number}"))
    }

    fn block(&mut self) -> usize {
        self.blocks.push(String::new());
        self.blocks.len() - 1
    }

    fn program(mut self) -> String {
        for (array, head) in HEAD.iter().enumerate() {
            let slot = self.value("i64", &format!("slot_address s{}", array + 2));
            let lower = self.between(-2, 2);
            for element in 0..8 {
                let number = self.between(-9, 9);
                let number = self.integer("i32", number);
                self.line(&format!("store data v{slot}[{}], v{number}", 4 * element));
            }
            let origin = self.integer("i64", -4 * lower);
            let origin = self.value("i64", &format!("add v{slot}, v{origin}"));
            self.line(&format!("store head {head}[0], v{origin}"));
            let lower = self.integer("i32", lower);
            self.line(&format!("store head {head}[16], v{lower}"));
            let count = self.integer("i32", 8);
            self.line(&format!("store head {head}[20], v{count}"));
        }
        for local in ["l0", "l1", "l2"] {
            let zero = self.integer("i32", 0);
            self.line(&format!("set {local}, v{zero}"));
        }
        for _ in 0..1 + self.below(2) {
            self.counting_loop(2);
        }
        let sum = self.value("i32", "get l0");
        let best = self.value("i32", "get l2");
        let factor = self.integer("i32", 1000);
        let product = self.value("i32", &format!("multiply v{best}, v{factor}"));
        let result = self.value("i32", &format!("add v{sum}, v{product}"));
        self.line(&format!("return v{result}"));

        let mut text =
            "program \"random\" main 0\nroutine r0 = \"process M.p\" \"m.orca\"\n".to_owned();
        for site in 0..self.sites {
            let _ = writeln!(text, "site @{site} = r0 {}", site + 1);
        }
        text.push_str("process \"p\" f0\nfunction f0 \"p\" r0 process {\nb0(v0: i64):\n  entry exit()\n  unreachable\n}\n");
        text.push_str("function f1 \"f\" r0 process -> i32 {\n");
        text.push_str("  local l0 \"sum\" i32\n  local l1 \"j\" i32\n  local l2 \"best\" i32\n");
        for (slot, size) in [24, 24, 32, 32].iter().enumerate() {
            let _ = writeln!(text, "  slot s{slot} \"s\" size {size} align 8");
        }
        for (index, block) in self.blocks.iter().enumerate() {
            if index == 0 {
                text.push_str("b0(v0: i32, v1: i32, v2: i32):\n");
                text.push_str("  v3: i64 = slot_address s0\n  v4: i64 = slot_address s1\n");
            }
            text.push_str(block);
        }
        text.push_str("}\n");
        text
    }

    /// FOR counter IN from .. to DO statements OD
    fn counting_loop(&mut self, depth: u32) {
        let first = self.bound("v0");
        let last = self.bound("v1");
        let (body, after) = (self.block(), self.block());
        let (counter, goes) = (self.values, self.values + 1);
        self.values += 2;
        self.line(&format!("v{goes}: i8 = less_equal v{first}, v{last}"));
        self.line(&format!("branch v{goes}, b{body}(v{first}), b{after}"));
        self.blocks[body] = format!("b{body}(v{counter}: i64):\n");
        self.blocks[after] = format!("b{after}:\n");
        self.current = body;
        let narrow = self.value("i32", &format!("truncate v{counter}"));
        self.counters.push((counter, narrow));
        for _ in 0..1 + self.below(4) {
            self.statement(depth);
        }
        self.counters.pop();
        if self.below(4) != 0 {
            self.line("poll");
        }
        let more = self.value("i8", &format!("less v{counter}, v{last}"));
        let one = self.integer("i64", 1);
        let next = self.value("i64", &format!("add v{counter}, v{one}"));
        self.line(&format!("branch v{more}, b{body}(v{next}), b{after}"));
        self.current = after;
    }

    fn bound(&mut self, parameter: &str) -> u32 {
        match self.below(3) {
            0 => {
                let bound = self.between(-1, 4);
                self.integer("i64", bound)
            }
            _ => self.value("i64", &format!("sign_extend {parameter}")),
        }
    }

    fn statement(&mut self, depth: u32) {
        match self.below(10) {
            0 | 1 if depth > 1 => self.counting_loop(depth - 1),
            0..=3 => {
                let (address, _) = self.element();
                let element = self.value("i32", &format!("load data v{address}[0]"));
                self.add_to_sum(element);
            }
            4 | 5 => {
                let (address, index) = self.element();
                let old = self.value("i32", &format!("load data v{address}[0]"));
                let new = self.value("i32", &format!("add v{old}, v{index}"));
                self.line(&format!("store data v{address}[0], v{new}"));
            }
            6 => {
                let index = self.index();
                self.line(&format!("set l1, v{index}"));
            }
            7 => {
                let sum = self.value("i32", "get l0");
                let best = self.value("i32", "get l2");
                let is_better = self.value("i8", &format!("greater v{sum}, v{best}"));
                self.conditional(is_better, &mut |this| this.line(&format!("set l2, v{sum}")));
            }
            8 => {
                let index = self.index();
                let one = self.integer("i32", 1);
                let odd = self.value("i32", &format!("and v{index}, v{one}"));
                let zero = self.integer("i32", 0);
                let condition = self.value("i8", &format!("equal v{odd}, v{zero}"));
                self.conditional(condition, &mut |this| {
                    let (address, _) = this.element();
                    let element = this.value("i32", &format!("load data v{address}[0]"));
                    this.add_to_sum(element);
                });
            }
            _ => {
                // The second array loses its last element.
                let count = self.value("i32", &format!("load head {}[20]", HEAD[1]));
                let one = self.integer("i32", 1);
                let limit = self.integer("i32", 5);
                let fewer = self.value("i32", &format!("subtract v{count}, v{one}"));
                let fewer = self.value("i32", &format!("maximum v{fewer}, v{limit}"));
                self.line(&format!("store head {}[20], v{fewer}", HEAD[1]));
            }
        }
    }

    fn add_to_sum(&mut self, value: u32) {
        let sum = self.value("i32", "get l0");
        let sum = self.value("i32", &format!("add v{sum}, v{value}"));
        self.line(&format!("set l0, v{sum}"));
    }

    fn conditional(&mut self, condition: u32, then: &mut dyn FnMut(&mut Generator)) {
        let (yes, no, after) = (self.block(), self.block(), self.block());
        self.line(&format!("branch v{condition}, b{yes}, b{no}"));
        self.blocks[yes] = format!("b{yes}:\n");
        self.blocks[no] = format!("b{no}:\n  jump b{after}\n");
        self.blocks[after] = format!("b{after}:\n");
        self.current = yes;
        then(self);
        self.line(&format!("jump b{after}"));
        self.current = after;
    }

    /// An index in 32 bits.
    fn index(&mut self) -> u32 {
        let counter = self.below(self.counters.len() as u64) as usize;
        let (_, narrow) = self.counters[counter];
        match self.below(6) {
            0 => {
                let constant = self.between(0, 5);
                self.integer("i32", constant)
            }
            1 => self.value("i32", "get l1"),
            2 => {
                let constant = self.between(-2, 2);
                let constant = self.integer("i32", constant);
                self.value("i32", &format!("subtract v{narrow}, v{constant}"))
            }
            3 => {
                let factor = self.between(-1, 2);
                let factor = self.integer("i32", factor);
                let product = self.value("i32", &format!("multiply v{narrow}, v{factor}"));
                self.value("i32", &format!("add v{product}, v2"))
            }
            _ => narrow,
        }
    }

    /// The address of an element behind its check, and its index.
    fn element(&mut self) -> (u32, u32) {
        let array = self.below(2) as usize;
        let head = HEAD[array];
        let index = self.index();
        let wide = self.value("i64", &format!("sign_extend v{index}"));
        let lower = self.value("i32", &format!("load head {head}[16]"));
        let lower = self.value("i64", &format!("sign_extend v{lower}"));
        let count = self.value("i32", &format!("load head {head}[20]"));
        let count = self.value("i64", &format!("sign_extend v{count}"));
        let distance = self.value("i64", &format!("subtract v{wide}, v{lower}"));
        let outside = self.value("i8", &format!("above_equal v{distance}, v{count}"));
        let site = self.sites;
        self.sites += 1;
        self.line(&format!("check v{outside}, array_bound @{site}"));
        let origin = self.value("i64", &format!("load head {head}[0]"));
        let size = self.integer("i64", 4);
        let offset = self.value("i64", &format!("multiply v{wide}, v{size}"));
        (
            self.value("i64", &format!("add v{origin}, v{offset}")),
            index,
        )
    }
}
