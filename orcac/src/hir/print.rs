//! The text form of the typed program: what `orcac dump hir` shows.
//!
//! Orca-like, for people: every expression in parentheses, every conversion and constant folded, the class of each operation
//! beside it. A local whose name another local of its routine has too is followed by its id. Functions that the run-time
//! system implements are not listed.

use std::fmt::Write;

use super::{
    AccessClass, Argument, ArrayBounds, ArrayType, Base, BinaryOp, CompareOp, Expr, ExprKind,
    Field, FunctionBody, Init, Local, LocalKind, LogicalOp, Measure, Operation, OperationBody,
    Place, Program, Routine, Step, StepKind, Stmt, StmtKind, TypeId, TypeKind, UnaryOp,
};

/// The whole program.
pub fn print(program: &Program) -> String {
    let mut printer = Printer {
        program,
        locals: &[],
        fields: &[],
        out: String::new(),
        indent: 0,
    };
    printer.program();
    printer.out
}

struct Printer<'a> {
    program: &'a Program,
    /// Of the routine being printed.
    locals: &'a [Local],
    /// Of the object being printed.
    fields: &'a [Field],
    out: String,
    indent: usize,
}

impl<'a> Printer<'a> {
    fn line(&mut self, text: &str) {
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn program(&mut self) {
        let program = self.program;
        self.line(&format!("program {}", program.name));
        for (i, ty) in program.types.iter().enumerate().skip(FIRST_OWN_TYPE) {
            let kind = self.type_kind(&ty.kind);
            self.line(&format!("type {} {} = {kind}", TypeId(i as u32), ty.name));
        }
        for (i, constant) in program.constants.iter().enumerate() {
            let value = self.expr(&constant.value);
            self.line(&format!("constant c{i} {} = {value}", constant.name));
        }
        for module in &program.data_modules {
            self.line(&format!("data module {}", module.name));
            self.indent += 1;
            for id in &module.variables {
                let variable = &program.data_variables[id.index()];
                let ty = self.sub_type(variable.ty, &variable.init);
                self.line(&format!("{}: {ty}", variable.name));
            }
            self.routine_body(&module.routine, &module.body);
            self.indent -= 1;
        }
        for object in &program.objects {
            let single = if object.single_copy_only {
                " single-copy"
            } else {
                ""
            };
            self.line(&format!("object {}{single}", object.name));
            self.fields = &object.fields;
            self.indent += 1;
            for field in &object.fields {
                let ty = self.sub_type(field.ty, &field.init);
                self.line(&format!("{}: {ty}", field.name));
            }
            for operation in &object.operations {
                self.operation(operation);
            }
            if let Some((routine, body)) = &object.init {
                self.line("initialization");
                self.indent += 1;
                self.routine_body(routine, body);
                self.indent -= 1;
            }
            self.indent -= 1;
            self.fields = &[];
        }
        for function in &program.functions {
            match &function.body {
                FunctionBody::Orca(body) => {
                    let head = self.head(&function.name, &function.routine);
                    self.line(&format!("function {head}"));
                    self.indent += 1;
                    self.routine_body(&function.routine, body);
                    self.indent -= 1;
                }
                FunctionBody::Library(_) => {}
            }
        }
        for process in &program.processes {
            let head = self.head(&process.name, &process.routine);
            self.line(&format!("process {head}"));
            self.indent += 1;
            self.routine_body(&process.routine, &process.body);
            self.indent -= 1;
        }
    }

    fn operation(&mut self, operation: &'a Operation) {
        let head = self.head(&operation.name, &operation.routine);
        let mut marks = String::new();
        if operation.may_block {
            marks.push_str(" blocking");
        }
        if operation.does_output {
            marks.push_str(" output");
        }
        match &operation.body {
            OperationBody::Plain { class, body } => {
                self.line(&format!("operation {head} {}{marks}", class_text(*class)));
                self.indent += 1;
                self.routine_body(&operation.routine, body);
            }
            OperationBody::Guards(alternatives) => {
                self.line(&format!("operation {head}{marks}"));
                self.indent += 1;
                self.declarations(&operation.routine);
                for alternative in alternatives {
                    let guard = self.expr(&alternative.guard);
                    let writes = if alternative.guard_writes {
                        " guard-writes"
                    } else {
                        ""
                    };
                    self.line(&format!(
                        "GUARD {guard} {}{writes}",
                        class_text(alternative.class)
                    ));
                    self.block(&alternative.body);
                }
            }
        }
        self.indent -= 1;
    }

    fn head(&self, name: &str, routine: &Routine) -> String {
        let mut text = format!("{name}(");
        for (i, local) in routine.locals[..routine.parameter_count].iter().enumerate() {
            let mode = match local.kind {
                LocalKind::In { modified: false } => "",
                LocalKind::In { modified: true } => "IN copied ",
                LocalKind::Out => "OUT ",
                _ => "SHARED ",
            };
            let separator = if i == 0 { "" } else { "; " };
            let ty = self.type_name(local.ty);
            let _ = write!(text, "{separator}{}: {mode}{ty}", local.name);
        }
        text.push(')');
        if let Some(result) = routine.result {
            let _ = write!(text, ": {}", self.type_name(result));
        }
        text
    }

    fn declarations(&mut self, routine: &'a Routine) {
        self.locals = &routine.locals;
        for (i, local) in routine.locals.iter().enumerate() {
            let bounded = !local.init.bounds.is_empty();
            if i < routine.parameter_count && !bounded {
                continue;
            }
            let name = self.local_name(i);
            let ty = self.sub_type(local.ty, &local.init);
            let kind = if local.kind == LocalKind::Loop {
                "FOR "
            } else {
                ""
            };
            self.line(&format!("{kind}{name}: {ty}"));
        }
    }

    fn routine_body(&mut self, routine: &'a Routine, body: &[Stmt]) {
        self.declarations(routine);
        self.line("BEGIN");
        self.block(body);
    }

    fn local_name(&self, index: usize) -> String {
        let name = &self.locals[index].name;
        let same = self
            .locals
            .iter()
            .filter(|local| local.name == *name)
            .count();
        if same > 1 {
            format!("{name}.l{index}")
        } else {
            name.clone()
        }
    }

    fn type_name(&self, ty: TypeId) -> String {
        self.program.types[ty.index()].name.clone()
    }

    fn sub_type(&self, ty: TypeId, init: &Init) -> String {
        let mut text = self.type_name(ty);
        for group in &init.bounds {
            let _ = write!(text, "[{}]", self.pairs(group));
        }
        text
    }

    fn pairs(&self, group: &[(Expr, Expr)]) -> String {
        let pairs: Vec<String> = group
            .iter()
            .map(|(low, high)| format!("{} .. {}", self.expr(low), self.expr(high)))
            .collect();
        pairs.join(", ")
    }

    fn type_kind(&self, kind: &TypeKind) -> String {
        match kind {
            TypeKind::ShortInt => "shortint".into(),
            TypeKind::Integer => "integer".into(),
            TypeKind::LongInt => "longint".into(),
            TypeKind::ShortReal => "shortreal".into(),
            TypeKind::Real => "real".into(),
            TypeKind::LongReal => "longreal".into(),
            TypeKind::Boolean => "boolean".into(),
            TypeKind::Char => "char".into(),
            TypeKind::Enumeration { literals } => format!("({})", literals.join(", ")),
            TypeKind::Record { fields } => format!("RECORD {}END", self.field_list(fields)),
            TypeKind::Array(array) => self.array_type(array),
            TypeKind::Set { element } => format!("SET OF {}", self.type_name(*element)),
            TypeKind::Bag { element } => format!("BAG OF {}", self.type_name(*element)),
            TypeKind::Graph { root, node } => {
                format!(
                    "GRAPH {}NODES {}END",
                    self.field_list(root),
                    self.field_list(node)
                )
            }
            TypeKind::Nodename { graph } => format!("NODENAME OF {}", self.type_name(*graph)),
            TypeKind::Object(object) => format!("OBJECT {object}"),
        }
    }

    fn array_type(&self, array: &ArrayType) -> String {
        let dimension = |(i, index): (usize, &TypeId)| {
            let name = self.type_name(*index);
            match &array.bounds {
                ArrayBounds::Dynamic => name,
                ArrayBounds::Constant(bounds) => {
                    format!("{name} {} .. {}", bounds[i].0, bounds[i].1)
                }
                ArrayBounds::Computed(bounds) => {
                    format!(
                        "{name} {} .. {}",
                        self.expr(&bounds[i].0),
                        self.expr(&bounds[i].1)
                    )
                }
            }
        };
        let dimensions: Vec<String> = array.indices.iter().enumerate().map(dimension).collect();
        format!(
            "ARRAY[{}] OF {}",
            dimensions.join(", "),
            self.type_name(array.element)
        )
    }

    fn field_list(&self, fields: &[Field]) -> String {
        let mut text = String::new();
        for field in fields {
            let _ = write!(
                text,
                "{}: {}; ",
                field.name,
                self.sub_type(field.ty, &field.init)
            );
        }
        text
    }

    fn block(&mut self, body: &[Stmt]) {
        self.indent += 1;
        for stmt in body {
            self.stmt(stmt);
        }
        self.indent -= 1;
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Assign { place, value } => {
                let text = format!("{} := {}", self.place(place), self.expr(value));
                self.line(&text);
            }
            StmtKind::AssignBinary {
                place, op, value, ..
            } => {
                let text = format!(
                    "{} {}:= {}",
                    self.place(place),
                    binary_text(*op),
                    self.expr(value)
                );
                self.line(&text);
            }
            StmtKind::AssignLogical { place, op, value } => {
                let text = format!(
                    "{} {}:= {}",
                    self.place(place),
                    logical_text(*op),
                    self.expr(value)
                );
                self.line(&text);
            }
            StmtKind::Call(call) => {
                let name = &self.program.functions[call.function.index()].name;
                let text = format!(
                    "{name}({}){}",
                    self.arguments(&call.arguments),
                    checks(&call.alias_checks)
                );
                self.line(&text);
            }
            StmtKind::Invoke(invocation) => {
                let text = self.invocation(invocation);
                self.line(&text);
            }
            StmtKind::Discard(expr) => {
                let text = self.expr(expr);
                self.line(&text);
            }
            StmtKind::Fork {
                process,
                arguments,
                alias_checks,
                on,
            } => {
                let name = &self.program.processes[process.index()].name;
                let mut text = format!(
                    "FORK {name}({}){}",
                    self.arguments(arguments),
                    checks(alias_checks)
                );
                if let Some(on) = on {
                    let _ = write!(text, " ON {}", self.expr(on));
                }
                self.line(&text);
            }
            StmtKind::Exit => self.line("EXIT"),
            StmtKind::Return(None) => self.line("RETURN"),
            StmtKind::Return(Some(value)) => {
                let text = format!("RETURN {}", self.expr(value));
                self.line(&text);
            }
            StmtKind::If {
                branches,
                otherwise,
            } => {
                for (i, (condition, body)) in branches.iter().enumerate() {
                    let keyword = if i == 0 { "IF" } else { "ELSIF" };
                    let text = format!("{keyword} {}", self.expr(condition));
                    self.line(&text);
                    self.block(body);
                }
                if !otherwise.is_empty() {
                    self.line("ELSE");
                    self.block(otherwise);
                }
            }
            StmtKind::Case {
                selector,
                branches,
                otherwise,
            } => {
                let text = format!("CASE {}", self.expr(selector));
                self.line(&text);
                self.indent += 1;
                for (ranges, body) in branches {
                    let labels: Vec<String> = ranges
                        .iter()
                        .map(|(low, high)| {
                            if low == high {
                                low.to_string()
                            } else {
                                format!("{low} .. {high}")
                            }
                        })
                        .collect();
                    self.line(&format!("{} =>", labels.join(", ")));
                    self.block(body);
                }
                if let Some(otherwise) = otherwise {
                    self.line("ELSE");
                    self.block(otherwise);
                }
                self.indent -= 1;
            }
            StmtKind::While { condition, body } => {
                let text = format!("WHILE {}", self.expr(condition));
                self.line(&text);
                self.block(body);
            }
            StmtKind::Loop(body) => {
                self.line("DO");
                self.block(body);
            }
            StmtKind::Repeat { body, until } => {
                self.line("REPEAT");
                self.block(body);
                let text = format!("UNTIL {}", self.expr(until));
                self.line(&text);
            }
            StmtKind::ForRange {
                variable,
                from,
                to,
                body,
            } => {
                let text = format!(
                    "FOR {} IN {} .. {}",
                    self.local_name(variable.index()),
                    self.expr(from),
                    self.expr(to)
                );
                self.line(&text);
                self.block(body);
            }
            StmtKind::ForEach {
                variable,
                set,
                body,
            } => {
                let text = format!(
                    "FOR {} IN {}",
                    self.local_name(variable.index()),
                    self.expr(set)
                );
                self.line(&text);
                self.block(body);
            }
            StmtKind::Insert { element, set } => {
                let text = format!("INSERT({}, {})", self.expr(element), self.place(set));
                self.line(&text);
            }
            StmtKind::Delete { element, set } => {
                let text = format!("DELETE({}, {})", self.expr(element), self.place(set));
                self.line(&text);
            }
            StmtKind::DeleteNode { graph, node } => {
                let text = format!("DELETENODE({}, {})", self.place(graph), self.expr(node));
                self.line(&text);
            }
            StmtKind::Assert(condition) => {
                let text = format!("ASSERT({})", self.expr(condition));
                self.line(&text);
            }
            StmtKind::Strategy {
                object,
                replicate,
                cpu,
            } => {
                let text = format!(
                    "Strategy({}, {}, {})",
                    self.place(object),
                    self.expr(replicate),
                    self.expr(cpu)
                );
                self.line(&text);
            }
            StmtKind::Read(places) => {
                let places: Vec<String> = places.iter().map(|place| self.place(place)).collect();
                self.line(&format!("Read({})", places.join(", ")));
            }
            StmtKind::Write { arguments, newline } => {
                let keyword = if *newline { "WriteLine" } else { "Write" };
                let text = format!("{keyword}({})", self.exprs(arguments));
                self.line(&text);
            }
        }
    }

    fn exprs(&self, exprs: &[Expr]) -> String {
        let texts: Vec<String> = exprs.iter().map(|expr| self.expr(expr)).collect();
        texts.join(", ")
    }

    fn arguments(&self, arguments: &[Argument]) -> String {
        let texts: Vec<String> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::In(expr) => self.expr(expr),
                Argument::Out(place) => format!("OUT {}", self.place(place)),
                Argument::Shared(place) => format!("SHARED {}", self.place(place)),
            })
            .collect();
        texts.join(", ")
    }

    fn invocation(&self, invocation: &super::Invocation) -> String {
        let TypeKind::Object(object) = self.program.types[invocation.object.ty.index()].kind else {
            return "?".to_owned();
        };
        let operation =
            &self.program.objects[object.index()].operations[invocation.operation.index()];
        format!(
            "{}${}({}){}",
            self.place(&invocation.object),
            operation.name,
            self.arguments(&invocation.arguments),
            checks(&invocation.alias_checks)
        )
    }

    fn place(&self, place: &Place) -> String {
        let (mut text, mut at) = match place.base {
            Base::Local(id) => (
                self.local_name(id.index()),
                Some(self.locals[id.index()].ty),
            ),
            Base::OwnField(id) => match self.fields.get(id.index()) {
                Some(field) => (field.name.clone(), Some(field.ty)),
                None => (format!("field {id}"), None),
            },
            Base::SelfObject => ("SELF".to_owned(), None),
            Base::Data(id) => {
                let variable = &self.program.data_variables[id.index()];
                (
                    format!("{}.{}", variable.module, variable.name),
                    Some(variable.ty),
                )
            }
            Base::Constant(id) => {
                let constant = &self.program.constants[id.index()];
                (constant.name.clone(), Some(constant.value.ty))
            }
        };
        for step in &place.path {
            text.push_str(&self.step(step, at));
            at = Some(step.ty);
        }
        text
    }

    fn step(&self, step: &Step, at: Option<TypeId>) -> String {
        let kind = at.map(|at| &self.program.types[at.index()].kind);
        let name = |fields: Option<&[Field]>, index: usize| {
            let field = fields.and_then(|fields| fields.get(index));
            field.map_or_else(|| format!(".{index}"), |field| format!(".{}", field.name))
        };
        match &step.kind {
            StepKind::Field(id) => match kind {
                Some(TypeKind::Record { fields }) => name(Some(fields), id.index()),
                _ => name(None, id.index()),
            },
            StepKind::RootField(id) => match kind {
                Some(TypeKind::Graph { root, .. }) => name(Some(root), id.index()),
                _ => name(None, id.index()),
            },
            StepKind::NodeField(id) => match kind {
                Some(TypeKind::Graph { node, .. }) => name(Some(node), id.index()),
                _ => name(None, id.index()),
            },
            StepKind::ObjectField(id) => match kind {
                Some(TypeKind::Object(object)) => name(
                    Some(&self.program.objects[object.index()].fields),
                    id.index(),
                ),
                _ => name(None, id.index()),
            },
            StepKind::Index(indices) => format!("[{}]", self.exprs(indices)),
            StepKind::Node(node) => format!("[{}]", self.expr(node)),
        }
    }

    fn expr(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Integer(value) => self.ordinal(*value, expr.ty),
            ExprKind::Real(value) => format!("{value:?}"),
            ExprKind::Text(text) => format!("\"{}\"", text.escape_ascii()),
            ExprKind::Nil => "NIL".to_owned(),
            ExprKind::Place(place) => self.place(place),
            ExprKind::Convert(inner) => {
                format!("{}({})", self.type_name(expr.ty), self.expr(inner))
            }
            ExprKind::Unary(op, inner) => {
                let op = match op {
                    UnaryOp::Negate => "-",
                    UnaryOp::Not => "NOT ",
                    UnaryOp::Complement => "~",
                };
                format!("({op}{})", self.expr(inner))
            }
            ExprKind::Binary(op, left, right, _) => {
                format!(
                    "({} {} {})",
                    self.expr(left),
                    binary_text(*op),
                    self.expr(right)
                )
            }
            ExprKind::Logical(op, left, right) => {
                format!(
                    "({} {} {})",
                    self.expr(left),
                    logical_text(*op),
                    self.expr(right)
                )
            }
            ExprKind::Compare(op, left, right) => {
                format!(
                    "({} {} {})",
                    self.expr(left),
                    compare_text(*op),
                    self.expr(right)
                )
            }
            ExprKind::In(element, set) => format!("({} IN {})", self.expr(element), self.expr(set)),
            ExprKind::RecordAggregate(parts) | ExprKind::SetAggregate(parts) => {
                format!("{}:{{{}}}", self.type_name(expr.ty), self.exprs(parts))
            }
            ExprKind::ArrayAggregate { bounds, elements } => {
                let bounds: Vec<String> = bounds
                    .iter()
                    .map(|(low, high)| format!("{low} .. {high}"))
                    .collect();
                format!(
                    "{}[{}]:[{}]",
                    self.type_name(expr.ty),
                    bounds.join(", "),
                    self.exprs(elements)
                )
            }
            ExprKind::Call(call) => {
                let name = &self.program.functions[call.function.index()].name;
                format!(
                    "{name}({}){}",
                    self.arguments(&call.arguments),
                    checks(&call.alias_checks)
                )
            }
            ExprKind::Invoke(invocation) => self.invocation(invocation),
            ExprKind::Standard(function, arguments) => {
                let name = format!("{function:?}").to_ascii_uppercase();
                format!("{name}({})", self.exprs(arguments))
            }
            ExprKind::Measure(measure, of) => {
                let of = self.expr(of);
                match measure {
                    Measure::Size => format!("SIZE({of})"),
                    Measure::Lower { dimension } => format!("LB({of}, {})", dimension + 1),
                    Measure::Upper { dimension } => format!("UB({of}, {})", dimension + 1),
                }
            }
            ExprKind::From(set) => format!("FROM({})", self.place(set)),
            ExprKind::AddNode(graph) => format!("ADDNODE({})", self.place(graph)),
        }
    }

    fn ordinal(&self, value: i64, ty: TypeId) -> String {
        match &self.program.types[ty.index()].kind {
            TypeKind::Boolean => (value != 0).to_string(),
            TypeKind::Enumeration { literals } => {
                match usize::try_from(value).ok().and_then(|i| literals.get(i)) {
                    Some(literal) => literal.clone(),
                    None => value.to_string(),
                }
            }
            TypeKind::Char => match u8::try_from(value) {
                Ok(byte) if byte.is_ascii_graphic() || byte == b' ' => {
                    format!("'{}'", byte as char)
                }
                _ => format!("CHR({value})"),
            },
            _ => value.to_string(),
        }
    }
}

/// The types in front are predeclared.
const FIRST_OWN_TYPE: usize = 9;

fn class_text(class: AccessClass) -> &'static str {
    match class {
        AccessClass::Read => "read",
        AccessClass::Write => "write",
    }
}

fn checks(pairs: &[(usize, usize)]) -> String {
    let mut text = String::new();
    for (a, b) in pairs {
        let _ = write!(text, " alias-check({a}, {b})");
    }
    text
}

fn binary_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "^",
        BinaryOp::ShiftLeft => "<<",
        BinaryOp::ShiftRight => ">>",
    }
}

fn logical_text(op: LogicalOp) -> &'static str {
    match op {
        LogicalOp::And => "AND",
        LogicalOp::Or => "OR",
    }
}

fn compare_text(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "=",
        CompareOp::NotEqual => "/=",
        CompareOp::Less => "<",
        CompareOp::Greater => ">",
        CompareOp::LessEqual => "<=",
        CompareOp::GreaterEqual => ">=",
    }
}
