//! Text to program.

use orca_abi::symbols::Entry;
use orca_abi::trap::Trap;

use super::names::{self, Names, item};
use crate::mir::{
    BlobId, Block, BlockData, DataModule, DataVariable, FieldDescriptor, Function, FunctionId,
    Inst, Local, LocalData, ObjectDescriptor, ObjectId, Op, OperationDescriptor,
    ParameterDescriptor, ProcessDescriptor, Program, Routine, RoutineId, Site, SitePlace, Slot,
    SlotData, Target, Terminator, Ty, TypeDescriptor, TypeId, Value,
};

/// More values than any function that is written as text.
const VALUE_COUNT_MAX: u32 = 1 << 20;

/// Text that is not a program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: u32,
    pub message: String,
}

/// Reads what `print` writes.
pub fn parse(text: &str) -> Result<Program, ParseError> {
    let tokens = Lexer {
        rest: text,
        line: 1,
    }
    .tokens()?;
    let mut parser = Parser { tokens, next: 0 };
    parser.program()
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// A number as written.
    Number(String),
    Text(Vec<u8>),
    Sign(&'static str),
    End,
}

impl Token {
    fn describe(&self) -> String {
        match self {
            Token::Word(word) => format!("`{word}`"),
            Token::Number(number) => format!("`{number}`"),
            Token::Text(_) => "a text".to_owned(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".to_owned(),
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
}

const SIGNS: &[&str] = &["->", "(", ")", "{", "}", "[", "]", "=", ":", ",", "@", "!"];

impl Lexer<'_> {
    fn tokens(mut self) -> Result<Vec<(Token, u32)>, ParseError> {
        let mut tokens = Vec::new();
        while let Some(first) = self.rest.chars().next() {
            if first == '\n' {
                self.line += 1;
            }
            if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else if first == ';' {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else {
                let line = self.line;
                tokens.push((self.token(first)?, line));
            }
        }
        tokens.push((Token::End, self.line));
        Ok(tokens)
    }

    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    fn token(&mut self, first: char) -> Result<Token, ParseError> {
        if let Some(sign) = SIGNS.iter().find(|sign| self.rest.starts_with(**sign)) {
            self.skip(sign.len());
            return Ok(Token::Sign(sign));
        }
        if first == '"' {
            return self.text();
        }
        if first.is_ascii_digit() || first == '-' {
            return Ok(Token::Number(self.number()));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            let length = self.rest.find(|c| !is_inside(c)).unwrap_or(self.rest.len());
            let word = self.rest[..length].to_owned();
            self.skip(length);
            return Ok(Token::Word(word));
        }
        Err(self.error(format!("unexpected character `{first}`")))
    }

    fn number(&mut self) -> String {
        let mut previous = ' ';
        let mut length = 0;
        let is_hexadecimal = self.rest.starts_with("0x");
        for c in self.rest.chars() {
            let after_exponent = previous == 'e' && !is_hexadecimal;
            let fits = c.is_ascii_alphanumeric()
                || c == '.'
                || (c == '-' && (length == 0 || after_exponent));
            if !fits {
                break;
            }
            previous = c;
            length += 1;
        }
        let number = self.rest[..length].to_owned();
        self.skip(length);
        number
    }

    fn text(&mut self) -> Result<Token, ParseError> {
        let bytes = self.rest.as_bytes();
        let mut text = Vec::new();
        let mut at = 1;
        loop {
            match bytes.get(at) {
                None | Some(b'\n') => return Err(self.error("text without an end".to_owned())),
                Some(b'"') => break,
                Some(b'\\') => {
                    let digits = bytes
                        .get(at + 1..at + 3)
                        .and_then(|two| std::str::from_utf8(two).ok());
                    let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
                    text.push(byte.ok_or_else(|| {
                        self.error("expected two hexadecimal digits after `\\`".to_owned())
                    })?);
                    at += 3;
                }
                Some(&byte) => {
                    text.push(byte);
                    at += 1;
                }
            }
        }
        self.skip(at + 1);
        Ok(Token::Text(text))
    }

    fn error(&self, message: String) -> ParseError {
        ParseError {
            line: self.line,
            message,
        }
    }
}

struct Parser {
    tokens: Vec<(Token, u32)>,
    next: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl Parser {
    // Tokens.

    fn peek(&self) -> &Token {
        // The last token is `End`, and `take` never passes it.
        &self.tokens[self.next].0
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.next += 1;
        }
        token
    }

    fn error<T>(&self, expected: &str) -> Parsed<T> {
        let (token, line) = &self.tokens[self.next];
        Err(ParseError {
            line: *line,
            message: format!("expected {expected}, found {}", token.describe()),
        })
    }

    fn is_sign(&self, wanted: &str) -> bool {
        matches!(self.peek(), Token::Sign(sign) if *sign == wanted)
    }

    fn try_sign(&mut self, wanted: &str) -> bool {
        let found = self.is_sign(wanted);
        if found {
            self.take();
        }
        found
    }

    fn sign(&mut self, wanted: &str) -> Parsed<()> {
        if self.try_sign(wanted) {
            Ok(())
        } else {
            self.error(&format!("`{wanted}`"))
        }
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(self.peek(), Token::Word(word) if word == wanted)
    }

    fn try_word(&mut self, wanted: &str) -> bool {
        let found = self.is_word(wanted);
        if found {
            self.take();
        }
        found
    }

    fn word(&mut self, wanted: &str) -> Parsed<()> {
        if self.try_word(wanted) {
            Ok(())
        } else {
            self.error(&format!("`{wanted}`"))
        }
    }

    fn any_word(&mut self, expected: &str) -> Parsed<String> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.take();
                Ok(word)
            }
            _ => self.error(expected),
        }
    }

    fn bytes(&mut self) -> Parsed<Vec<u8>> {
        match self.peek().clone() {
            Token::Text(text) => {
                self.take();
                Ok(text)
            }
            _ => self.error("a text in quotes"),
        }
    }

    fn text(&mut self) -> Parsed<String> {
        match String::from_utf8(self.bytes()?) {
            Ok(text) => Ok(text),
            Err(_) => self.error("a text in UTF-8 before this"),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, expected: &str) -> Parsed<T> {
        let parsed = match self.peek() {
            Token::Number(number) => number.parse().ok(),
            _ => None,
        };
        match parsed {
            Some(number) => {
                self.take();
                Ok(number)
            }
            None => self.error(expected),
        }
    }

    fn real(&mut self) -> Parsed<f64> {
        let parsed = match self.peek() {
            Token::Number(number) => match number.strip_prefix("0x") {
                Some(bits) => u64::from_str_radix(bits, 16).ok().map(f64::from_bits),
                None => number.parse().ok(),
            },
            _ => None,
        };
        match parsed {
            Some(number) => {
                self.take();
                Ok(number)
            }
            None => self.error("a real number"),
        }
    }

    /// `v12` and so on.
    fn id(&mut self, letter: char, what: &str) -> Parsed<u32> {
        let parsed = match self.peek() {
            Token::Word(word) => word
                .strip_prefix(letter)
                .and_then(|number| number.parse().ok()),
            _ => None,
        };
        match parsed {
            Some(id) => {
                self.take();
                Ok(id)
            }
            None => self.error(what),
        }
    }

    /// An id that must be the next of its table.
    fn next_id(&mut self, letter: char, what: &str, length: usize) -> Parsed<()> {
        let at = self.next;
        if self.id(letter, what)? as usize == length {
            return Ok(());
        }
        self.next = at;
        self.error(&format!("`{letter}{length}`"))
    }

    fn named<T: Copy>(&mut self, names: Names<T>, what: &str) -> Parsed<T> {
        let found = match self.peek() {
            Token::Word(word) => item(names, word),
            _ => None,
        };
        match found {
            Some(found) => {
                self.take();
                Ok(found)
            }
            None => self.error(what),
        }
    }

    fn flags(&mut self, names: Names<u32>) -> Parsed<u32> {
        let mut flags = 0;
        self.sign("(")?;
        while !self.try_sign(")") {
            flags |= self.named(names, "a flag")?;
        }
        Ok(flags)
    }

    fn value(&mut self) -> Parsed<Value> {
        Ok(Value(self.id('v', "a value")?))
    }

    fn block(&mut self) -> Parsed<Block> {
        Ok(Block(self.id('b', "a block")?))
    }

    fn function_id(&mut self) -> Parsed<FunctionId> {
        Ok(FunctionId(self.id('f', "a function")?))
    }

    fn type_id(&mut self) -> Parsed<TypeId> {
        Ok(TypeId(self.id('t', "a type")?))
    }

    fn routine_id(&mut self) -> Parsed<RoutineId> {
        Ok(RoutineId(self.id('r', "a routine")?))
    }

    fn object_id(&mut self) -> Parsed<ObjectId> {
        Ok(ObjectId(self.id('o', "an object type")?))
    }

    fn site(&mut self) -> Parsed<Site> {
        self.sign("@")?;
        Ok(Site(self.number("a site's number")?))
    }

    fn ty(&mut self) -> Parsed<Ty> {
        self.named(names::TYPES, "a machine type")
    }

    // Tables.

    fn program(&mut self) -> Parsed<Program> {
        let mut program = Program::default();
        self.word("program")?;
        program.name = self.text()?;
        self.word("main")?;
        program.main = self.number("a process index")?;
        while *self.peek() != Token::End {
            self.item(&mut program)?;
        }
        Ok(program)
    }

    fn item(&mut self, program: &mut Program) -> Parsed<()> {
        let expected = "an item of a program";
        let at = self.next;
        match self.any_word(expected)?.as_str() {
            "data" => program.data_size = self.number("a size")?,
            "routine" => {
                self.next_id('r', "a routine", program.routines.len())?;
                self.sign("=")?;
                let (title, file) = (self.text()?, self.text()?);
                program.routines.push(Routine { title, file });
            }
            "site" => {
                if self.site()?.index() != program.sites.len() {
                    return self.error(&format!("`@{}` before this", program.sites.len()));
                }
                self.sign("=")?;
                let (routine, line) = (self.routine_id()?, self.number("a line")?);
                program.sites.push(SitePlace { routine, line });
            }
            "blob" => {
                self.next_id('c', "a constant", program.blobs.len())?;
                self.sign("=")?;
                program.blobs.push(self.bytes()?);
            }
            "type" => {
                self.next_id('t', "a type", program.types.len())?;
                self.sign("=")?;
                program.types.push(self.type_descriptor()?);
            }
            "object" => {
                self.next_id('o', "an object type", program.objects.len())?;
                self.sign("=")?;
                program.objects.push(self.object()?);
            }
            "process" => {
                let (name, code) = (self.text()?, self.function_id()?);
                let parameters = self.parameters()?;
                program.processes.push(ProcessDescriptor {
                    name,
                    code,
                    parameters,
                });
            }
            "module" => {
                let name = self.text()?;
                let init = if self.try_word("init") {
                    Some(self.function_id()?)
                } else {
                    None
                };
                program.data_modules.push(DataModule { name, init });
            }
            "variable" => {
                let (name, ty) = (self.text()?, self.type_id()?);
                self.word("offset")?;
                let offset = self.number("an offset")?;
                self.word("module")?;
                let module = self.number("a module index")?;
                program.data_variables.push(DataVariable {
                    name,
                    ty,
                    offset,
                    module,
                });
            }
            "function" => {
                self.next_id('f', "a function", program.functions.len())?;
                program.functions.push(self.function()?);
            }
            _ => {
                self.next = at;
                return self.error(expected);
            }
        }
        Ok(())
    }

    fn type_descriptor(&mut self) -> Parsed<TypeDescriptor> {
        let kind = self.named(names::KINDS, "a kind of type")?;
        let name = self.text()?;
        self.word("size")?;
        let size = self.number("a size")?;
        self.word("align")?;
        let align = self.number("an alignment")?;
        let flags = self.flags(names::TYPE_FLAGS)?;
        let element = if self.try_word("element") {
            Some(self.type_id()?)
        } else {
            None
        };
        let root = if self.try_word("root") {
            Some(self.type_id()?)
        } else {
            None
        };
        let object = if self.is_word("object") && self.is_attribute() {
            self.take();
            Some(self.object_id()?)
        } else {
            None
        };
        let dimensions = if self.try_word("dimensions") {
            self.number("a number")?
        } else {
            0
        };
        let mut bounds = Vec::new();
        if self.try_word("bounds") {
            loop {
                let lower = self.number("a lower bound")?;
                self.sign(":")?;
                bounds.push((lower, self.number("a count")?));
                if !self.try_sign(",") {
                    break;
                }
            }
        }
        let mut fields = Vec::new();
        if self.try_word("fields") {
            loop {
                let (name, ty) = (self.text()?, self.type_id()?);
                fields.push(FieldDescriptor {
                    name,
                    ty,
                    offset: self.number("an offset")?,
                });
                if !self.try_sign(",") {
                    break;
                }
            }
        }
        Ok(TypeDescriptor {
            name,
            kind,
            flags,
            size,
            align,
            element,
            root,
            fields,
            dimensions,
            bounds,
            object,
        })
    }

    /// `object o0` inside a type, not `object o0 = ...` after it.
    fn is_attribute(&self) -> bool {
        let after = self.tokens.get(self.next + 2).map(|(token, _)| token);
        !matches!(after, Some(Token::Sign("=")))
    }

    fn object(&mut self) -> Parsed<ObjectDescriptor> {
        let name = self.text()?;
        self.word("state")?;
        let state = self.type_id()?;
        self.word("type")?;
        let ty = self.type_id()?;
        let flags = self.flags(names::OBJECT_FLAGS)?;
        let mut operations = Vec::new();
        while self.try_word("operation") {
            let (name, routine) = (self.text()?, self.routine_id()?);
            let flags = self.flags(names::OPERATION_FLAGS)?;
            let reads = if self.try_word("reads") {
                Some(self.function_id()?)
            } else {
                None
            };
            let writes = if self.try_word("writes") {
                Some(self.function_id()?)
            } else {
                None
            };
            let result = if self.try_word("result") {
                Some(self.type_id()?)
            } else {
                None
            };
            let parameters = self.parameters()?;
            operations.push(OperationDescriptor {
                name,
                flags,
                routine,
                reads,
                writes,
                parameters,
                result,
            });
        }
        Ok(ObjectDescriptor {
            name,
            state,
            ty,
            operations,
            flags,
        })
    }

    fn parameters(&mut self) -> Parsed<Vec<ParameterDescriptor>> {
        let mut parameters = Vec::new();
        if self.try_word("parameters") {
            loop {
                let mode = self.named(names::MODES, "a mode")?;
                let (name, ty) = (self.text()?, self.type_id()?);
                parameters.push(ParameterDescriptor { name, mode, ty });
                if !self.try_sign(",") {
                    break;
                }
            }
        }
        Ok(parameters)
    }

    // Functions.

    fn function(&mut self) -> Parsed<Function> {
        let (name, routine) = (self.text()?, self.routine_id()?);
        let context = self.named(names::CONTEXTS, "`process` or `operation`")?;
        let result = if self.try_sign("->") {
            Some(self.ty()?)
        } else {
            None
        };
        let mut function = Function {
            name,
            routine,
            context,
            result,
            blocks: Vec::new(),
            values: Vec::new(),
            locals: Vec::new(),
            slots: Vec::new(),
        };
        self.sign("{")?;
        while self.try_word("local") {
            self.next_id('l', "a local", function.locals.len())?;
            let (name, ty) = (self.text()?, self.ty()?);
            function.locals.push(LocalData { name, ty });
        }
        while self.try_word("slot") {
            self.next_id('s', "a slot", function.slots.len())?;
            let name = self.text()?;
            self.word("size")?;
            let size = self.number("a size")?;
            self.word("align")?;
            function.slots.push(SlotData {
                name,
                size,
                align: self.number("an alignment")?,
            });
        }
        while !self.try_sign("}") {
            self.next_id('b', "a block", function.blocks.len())?;
            let block = self.block_data(&mut function)?;
            function.blocks.push(block);
        }
        Ok(function)
    }

    fn define(&mut self, function: &mut Function) -> Parsed<Value> {
        let value = self.value()?;
        if value.0 >= VALUE_COUNT_MAX {
            return self.error("a smaller value number before this");
        }
        self.sign(":")?;
        let ty = self.ty()?;
        if function.values.len() <= value.index() {
            // Numbers that stay unused have any type.
            function.values.resize(value.index() + 1, Ty::I64);
        }
        function.values[value.index()] = ty;
        Ok(value)
    }

    fn block_data(&mut self, function: &mut Function) -> Parsed<BlockData> {
        let mut block = BlockData {
            cold: self.try_word("cold"),
            ..BlockData::default()
        };
        if self.try_sign("(") {
            loop {
                block.parameters.push(self.define(function)?);
                if !self.try_sign(",") {
                    break;
                }
            }
            self.sign(")")?;
        }
        self.sign(":")?;
        while block.terminator.is_none() {
            block.terminator = self.terminator()?;
            if block.terminator.is_none() {
                let inst = self.inst(function)?;
                block.insts.push(inst);
            }
        }
        Ok(block)
    }

    fn terminator(&mut self) -> Parsed<Option<Terminator>> {
        let Token::Word(word) = self.peek().clone() else {
            return Ok(None);
        };
        let at = self.next;
        self.take();
        Ok(Some(match word.as_str() {
            "jump" => Terminator::Jump(self.target()?),
            "branch" => {
                let condition = self.value()?;
                self.sign(",")?;
                let yes = self.target()?;
                self.sign(",")?;
                Terminator::Branch(condition, yes, self.target()?)
            }
            "switch" => {
                let value = self.value()?;
                let mut cases = Vec::new();
                loop {
                    self.sign(",")?;
                    if self.try_word("else") {
                        break Terminator::Switch(value, cases, self.block()?);
                    }
                    cases.push((self.number("a case")?, self.block()?));
                }
            }
            "return" => {
                let has_value = matches!(self.peek(), Token::Word(word) if word.starts_with('v'));
                Terminator::Return(if has_value { Some(self.value()?) } else { None })
            }
            "trap" => {
                let trap = self.trap()?;
                Terminator::Trap(trap, self.site()?)
            }
            "unreachable" => Terminator::Unreachable,
            _ => {
                self.next = at;
                return Ok(None);
            }
        }))
    }

    fn trap(&mut self) -> Parsed<Trap> {
        self.named(names::TRAPS, "a trap")
    }

    fn target(&mut self) -> Parsed<Target> {
        let block = self.block()?;
        let arguments = if self.is_sign("(") {
            self.values()?
        } else {
            Vec::new()
        };
        Ok(Target { block, arguments })
    }

    fn values(&mut self) -> Parsed<Vec<Value>> {
        let mut values = Vec::new();
        self.sign("(")?;
        if !self.try_sign(")") {
            loop {
                values.push(self.value()?);
                if !self.try_sign(",") {
                    break;
                }
            }
            self.sign(")")?;
        }
        Ok(values)
    }

    fn inst(&mut self, function: &mut Function) -> Parsed<Inst> {
        let has_result = matches!(self.tokens.get(self.next + 1), Some((Token::Sign(":"), _)));
        let result = if has_result {
            let value = self.define(function)?;
            self.sign("=")?;
            Some(value)
        } else {
            None
        };
        let op = self.op()?;
        let line = if self.try_sign("!") {
            self.number("a line")?
        } else {
            0
        };
        Ok(Inst { result, op, line })
    }

    fn op(&mut self) -> Parsed<Op> {
        let at = self.next;
        let word = self.any_word("an instruction")?;
        if let Some(op) = item(names::UNARY, &word) {
            return Ok(Op::Unary(op, self.value()?));
        }
        if let Some(op) = item(names::BINARY, &word) {
            let (a, b) = self.pair()?;
            return Ok(Op::Binary(op, a, b));
        }
        if let Some(op) = item(names::COMPARE, &word) {
            let (a, b) = self.pair()?;
            return Ok(Op::Compare(op, a, b));
        }
        if let Some(op) = item(names::COMPARE_REAL, &word) {
            let (a, b) = self.pair()?;
            return Ok(Op::CompareReal(op, a, b));
        }
        Ok(match word.as_str() {
            "integer" => Op::Integer(self.number("an integer")?),
            "real" => Op::Real(self.real()?),
            "get" => Op::Get(Local(self.id('l', "a local")?)),
            "set" => {
                let local = Local(self.id('l', "a local")?);
                self.sign(",")?;
                Op::Set(local, self.value()?)
            }
            "slot_address" => Op::SlotAddress(Slot(self.id('s', "a slot")?)),
            "blob_address" => Op::BlobAddress(BlobId(self.id('c', "a constant")?)),
            "type_address" => Op::TypeAddress(self.type_id()?),
            "control" => Op::Control(self.named(names::CONTROL_FIELDS, "a control field")?),
            "load" => {
                let region = self.named(names::REGIONS, "a region")?;
                let (address, offset) = self.place()?;
                Op::Load {
                    address,
                    offset,
                    region,
                }
            }
            "store" => {
                let region = self.named(names::REGIONS, "a region")?;
                let (address, offset) = self.place()?;
                self.sign(",")?;
                Op::Store {
                    value: self.value()?,
                    address,
                    offset,
                    region,
                }
            }
            "copy" => {
                let (to, from) = self.pair()?;
                self.sign(",")?;
                Op::Copy {
                    to,
                    from,
                    size: self.number("a size")?,
                }
            }
            "zero" => {
                let address = self.value()?;
                self.sign(",")?;
                Op::Zero {
                    address,
                    size: self.number("a size")?,
                }
            }
            "select" => {
                let condition = self.value()?;
                self.sign(",")?;
                let (a, b) = self.pair()?;
                Op::Select(condition, a, b)
            }
            "check" => {
                let condition = self.value()?;
                self.sign(",")?;
                let trap = self.trap()?;
                Op::Check {
                    condition,
                    trap,
                    site: self.site()?,
                }
            }
            "call" => {
                let function = self.function_id()?;
                Op::Call(function, self.values()?)
            }
            "entry" => {
                let at = self.next;
                let name = self.any_word("the name of an entry")?;
                let Some(entry) = Entry::of_name(&name) else {
                    self.next = at;
                    return self.error("the name of an entry");
                };
                Op::CallEntry(entry, self.values()?)
            }
            "poll" => Op::Poll,
            _ => {
                self.next = at;
                return self.error("an instruction");
            }
        })
    }

    fn pair(&mut self) -> Parsed<(Value, Value)> {
        let first = self.value()?;
        self.sign(",")?;
        Ok((first, self.value()?))
    }

    /// `v1[8]`
    fn place(&mut self) -> Parsed<(Value, i32)> {
        let address = self.value()?;
        self.sign("[")?;
        let offset = self.number("an offset")?;
        self.sign("]")?;
        Ok((address, offset))
    }
}
