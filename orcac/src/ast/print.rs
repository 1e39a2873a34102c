//! The text form of the tree: what `orcac dump ast` shows and tests compare.
//!
//! A line a declaration or statement, with the place where it starts; expressions with the operator in front, so that
//! precedence is visible: `(+ a (* b c))`. Keywords are in lower case whatever the file has.

use std::fmt::Write as _;

use super::*;
use crate::session::Session;

/// The text form of a file.
pub fn print(session: &Session, file: &File) -> String {
    let mut printer = Printer {
        session,
        out: String::new(),
        depth: 0,
    };
    for unit in &file.units {
        printer.unit(unit);
    }
    printer.out
}

struct Printer<'a> {
    session: &'a Session,
    out: String,
    depth: usize,
}

impl Printer<'_> {
    fn line(&mut self, span: Span, text: &str) {
        let (line, column) = self.session.sources.get(span.file).line_column(span.start);
        let _ = writeln!(
            self.out,
            "{:indent$}{text}  @{line}:{column}",
            "",
            indent = 2 * self.depth
        );
    }

    fn plain(&mut self, text: &str) {
        let _ = writeln!(self.out, "{:indent$}{text}", "", indent = 2 * self.depth);
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self)) {
        self.depth += 1;
        inner(self);
        self.depth -= 1;
    }

    fn id(&self, ident: Ident) -> String {
        let name = self.session.name(ident.name);
        if name.is_empty() {
            "<missing>".to_owned()
        } else {
            name.to_owned()
        }
    }

    fn ids(&self, idents: &[Ident]) -> String {
        join(idents, ", ", |ident| self.id(*ident))
    }

    fn qual(&self, name: &QualName) -> String {
        join(&name.parts, ".", |part| self.id(*part))
    }

    fn unit(&mut self, unit: &Unit) {
        let kind = match unit.kind {
            UnitKind::Module => "module",
            UnitKind::Data => "data module",
            UnitKind::Object => "object",
        };
        let part = match unit.part {
            UnitPart::Specification => "specification",
            UnitPart::Implementation => "implementation",
        };
        let generic = if unit.generic.is_some() {
            "generic "
        } else {
            ""
        };
        let implicit = if unit.implicit { "implicit " } else { "" };
        let mut text = format!("{implicit}{generic}{kind} {part} {}", self.id(unit.name));
        if !unit.shape.is_empty() {
            let _ = write!(
                text,
                "[{}]",
                join(&unit.shape, ", ", |dim| self.shape_dim(dim))
            );
        }
        self.line(unit.span, &text);
        self.nested(|p| {
            for param in unit.generic.iter().flat_map(|generic| &generic.params) {
                let text = p.generic_param(param);
                p.line(param.span, &text);
            }
            p.decls(&unit.decls);
            if let Some(init) = &unit.init {
                p.plain("begin");
                p.nested(|p| p.block(init));
            }
        });
    }

    fn shape_dim(&self, dim: &ShapeDim) -> String {
        match &dim.bounds {
            Some((low, high)) => {
                format!(
                    "{} {}..{}",
                    self.qual(&dim.index),
                    self.id(*low),
                    self.id(*high)
                )
            }
            None => self.qual(&dim.index),
        }
    }

    fn generic_param(&self, param: &GenericParam) -> String {
        let name = self.id(param.name);
        match &param.kind {
            GenericParamKind::Type => format!("formal type {name}"),
            GenericParamKind::ScalarType => format!("formal scalar type {name}"),
            GenericParamKind::NumericType => format!("formal numeric type {name}"),
            GenericParamKind::Function { params, result } => {
                format!(
                    "formal function {name}{}",
                    self.signature(params, result.as_ref())
                )
            }
            GenericParamKind::Const(ty) => format!("formal const {name}: {}", self.qual(ty)),
        }
    }

    fn decls(&mut self, decls: &[Decl]) {
        for decl in decls {
            self.decl(decl);
        }
    }

    fn decl(&mut self, decl: &Decl) {
        let text = match &decl.kind {
            DeclKind::Import {
                from: Some(from),
                names,
            } => {
                format!("from {} import {}", self.id(*from), self.ids(names))
            }
            DeclKind::Import { from: None, names } => format!("import {}", self.ids(names)),
            DeclKind::Instantiation {
                kind,
                name,
                generic,
                actuals,
            } => {
                let kind = if *kind == UnitKind::Object {
                    "object"
                } else {
                    "module"
                };
                let (name, generic) = (self.id(*name), self.id(*generic));
                format!("{kind} {name} = new {generic}({})", self.exprs(actuals))
            }
            DeclKind::Const { name, value } => {
                format!("const {} = {}", self.id(*name), self.expr(value))
            }
            DeclKind::Type { name, ty: Some(ty) } => {
                format!("type {} = {}", self.id(*name), self.ty(ty))
            }
            DeclKind::Type { name, ty: None } => format!("type {}", self.id(*name)),
            DeclKind::Var { names, ty } => format!("var {}: {}", self.ids(names), self.ty(ty)),
            DeclKind::Routine(routine) => return self.routine(decl.span, routine),
            DeclKind::Error => "error".to_owned(),
        };
        self.line(decl.span, &text);
    }

    fn routine(&mut self, span: Span, routine: &Routine) {
        let kind = match routine.kind {
            RoutineKind::Function => "function",
            RoutineKind::Process => "process",
            RoutineKind::Operation => "operation",
        };
        let parallel = match &routine.parallel {
            Some(indices) => format!("parallel[{}] ", self.ids(indices)),
            None => String::new(),
        };
        let signature = self.signature(&routine.params, routine.result.as_ref());
        self.line(
            span,
            &format!("{parallel}{kind} {}{signature}", self.id(routine.name)),
        );
        let Some(body) = &routine.body else { return };
        self.nested(|p| {
            p.decls(&body.decls);
            if let Some(dependencies) = &body.dependencies {
                p.plain("dependencies");
                p.nested(|p| p.block(dependencies));
            }
            p.plain("begin");
            p.nested(|p| match &body.code {
                Code::Statements(block) => p.block(block),
                Code::Guards(guards) => {
                    for guard in guards {
                        let text = format!("guard {}", p.expr(&guard.condition));
                        p.line(guard.span, &text);
                        p.nested(|p| p.block(&guard.body));
                    }
                }
            });
        });
    }

    fn signature(&self, params: &[Param], result: Option<&ResultType>) -> String {
        let params = join(params, "; ", |param| {
            let mode = mode(param.mode);
            let names = self.ids(&param.names);
            format!(
                "{names}: {mode}{}",
                self.collected(param.collect.as_ref(), self.ty(&param.ty))
            )
        });
        match result {
            Some(result) => {
                let ty = self.collected(result.collect.as_ref(), self.qual(&result.ty));
                format!("({params}): {ty}")
            }
            None => format!("({params})"),
        }
    }

    fn collected(&self, collect: Option<&Collect>, ty: String) -> String {
        match collect {
            None => ty,
            Some(Collect::Gather) => format!("gather {ty}"),
            Some(Collect::Reduce { with }) => format!("reduce {ty} with {}", self.id(*with)),
        }
    }

    fn ty(&self, ty: &Type) -> String {
        match &ty.kind {
            TypeKind::Named { name, bounds, tag } => {
                let mut text = self.qual(name);
                for bounds in bounds {
                    let ranges = join(&bounds.ranges, ", ", |range| self.range(range));
                    let _ = write!(text, "[{ranges}]");
                }
                if let Some(tag) = tag {
                    let _ = write!(text, "({})", self.expr(tag));
                }
                text
            }
            TypeKind::Enumeration(names) => format!("({})", self.ids(names)),
            TypeKind::Record(fields) => format!("record {}end", self.fields(fields)),
            TypeKind::Union {
                tag,
                tag_type,
                default,
                alternatives,
            } => {
                let default = default.as_ref().map(|e| format!(" ({})", self.expr(e)));
                let alternatives = join(alternatives, "", |alternative| {
                    let label = self.expr(&alternative.label);
                    let name = self.id(alternative.name);
                    format!("{label} => {name}: {}; ", self.ty(&alternative.ty))
                });
                format!(
                    "union ({}: {}{}) {alternatives}end",
                    self.id(*tag),
                    self.qual(tag_type),
                    default.unwrap_or_default()
                )
            }
            TypeKind::Array { dims, element } => {
                let dims = join(dims, ", ", |dim| match &dim.range {
                    Some(range) => format!("{} {}", self.qual(&dim.index), self.range(range)),
                    None => self.qual(&dim.index),
                });
                format!("array [{dims}] of {}", self.ty(element))
            }
            TypeKind::Set(element) => format!("set of {}", self.ty(element)),
            TypeKind::Bag(element) => format!("bag of {}", self.ty(element)),
            TypeKind::Graph { root, node } => {
                format!("graph {}nodes {}end", self.fields(root), self.fields(node))
            }
            TypeKind::NodeName(graph) => format!("nodename of {}", self.id(*graph)),
            TypeKind::Function { params, result } => {
                let params = join(params, ", ", |param| {
                    format!("{}{}", mode(param.mode), self.qual(&param.ty))
                });
                let result = result.as_ref().map(|ty| format!(": {}", self.qual(ty)));
                format!("function ({params}){}", result.unwrap_or_default())
            }
            TypeKind::Error => "error".to_owned(),
        }
    }

    fn fields(&self, fields: &[Fields]) -> String {
        join(fields, "", |f| {
            format!("{}: {}; ", self.ids(&f.names), self.ty(&f.ty))
        })
    }

    fn range(&self, range: &Range) -> String {
        format!("{}..{}", self.expr(&range.low), self.expr(&range.high))
    }

    fn block(&mut self, block: &Block) {
        for stmt in &block.stmts {
            self.stmt(stmt);
        }
    }

    /// A statement whose first line is `text` and which holds `block`.
    fn compound(&mut self, span: Span, text: &str, block: &Block) {
        self.line(span, text);
        self.nested(|p| p.block(block));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        let text = match &stmt.kind {
            StmtKind::Assign {
                target, op, value, ..
            } => {
                let op = op.map_or("", BinaryOp::text);
                format!("{} {op}:= {}", self.designator(target), self.expr(value))
            }
            StmtKind::Call(call) => self.call(call),
            StmtKind::Operation(call) => self.operation(call),
            StmtKind::Fork {
                process, args, on, ..
            } => {
                let on = on.as_ref().map(|on| format!(" on {}", self.expr(on)));
                let args = self.exprs(args);
                format!(
                    "fork {}({args}){}",
                    self.qual(process),
                    on.unwrap_or_default()
                )
            }
            StmtKind::Exit => "exit".to_owned(),
            StmtKind::Return(None) => "return".to_owned(),
            StmtKind::Return(Some(value)) => format!("return {}", self.expr(value)),
            StmtKind::From { args, .. } => format!("from({})", self.exprs(args)),
            StmtKind::Directive {
                object,
                directive,
                args,
                ..
            } => {
                let object = self.designator(object);
                format!("{object}$${}({})", self.id(*directive), self.exprs(args))
            }
            StmtKind::Access(indices) => format!("access[{}]", self.exprs(indices)),
            StmtKind::Error => "error".to_owned(),
            compound => return self.compound_stmt(stmt.span, compound),
        };
        self.line(stmt.span, &text);
    }

    fn compound_stmt(&mut self, span: Span, kind: &StmtKind) {
        match kind {
            StmtKind::If { arms, otherwise } => {
                for (i, arm) in arms.iter().enumerate() {
                    let word = if i == 0 { "if" } else { "elsif" };
                    let text = format!("{word} {}", self.expr(&arm.condition));
                    self.compound(arm.span, &text, &arm.body);
                }
                self.otherwise(otherwise.as_ref());
            }
            StmtKind::Case {
                selector,
                arms,
                otherwise,
            } => {
                let text = format!("case {}", self.expr(selector));
                self.line(span, &text);
                self.nested(|p| {
                    for arm in arms {
                        let labels = join(&arm.labels, ", ", |label| match &label.high {
                            Some(high) => format!("{}..{}", p.expr(&label.low), p.expr(high)),
                            None => p.expr(&label.low),
                        });
                        p.compound(arm.span, &format!("{labels} =>"), &arm.body);
                    }
                });
                self.otherwise(otherwise.as_ref());
            }
            StmtKind::While { condition, body } => {
                let text = format!("while {}", self.expr(condition));
                self.compound(span, &text, body);
            }
            StmtKind::Loop(body) => self.compound(span, "do", body),
            StmtKind::Repeat { body, until } => {
                self.compound(span, "repeat", body);
                let text = format!("until {}", self.expr(until));
                self.plain(&text);
            }
            StmtKind::ForRange {
                variable,
                range,
                body,
            } => {
                let text = format!("for {} in {}", self.id(*variable), self.range(range));
                self.compound(span, &text, body);
            }
            StmtKind::ForEach {
                variable,
                elements,
                body,
            } => {
                let text = format!("for {} in {}", self.id(*variable), self.expr(elements));
                self.compound(span, &text, body);
            }
            simple => unreachable!("{simple:?} has one line"),
        }
    }

    fn otherwise(&mut self, block: Option<&Block>) {
        if let Some(block) = block {
            self.plain("else");
            self.nested(|p| p.block(block));
        }
    }

    fn exprs(&self, exprs: &[Expr]) -> String {
        join(exprs, ", ", |expr| self.expr(expr))
    }

    fn expr(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Int { value, radix } => match radix {
                Radix::Decimal => value.to_string(),
                Radix::Octal => format!("{value:o}B"),
                Radix::Hex => format!("0{value:X}H"),
            },
            ExprKind::Real(value) => format!("{value:?}"),
            ExprKind::Char(value) => format!("{:?}", char::from(*value)),
            ExprKind::String(text) => format!("{:?}", self.session.name(*text)),
            ExprKind::Designator(designator) => self.designator(designator),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Operation(call) => self.operation(call),
            ExprKind::BraceAggregate { ty, elements } => {
                format!("{}:{{{}}}", self.qual(ty), self.exprs(elements))
            }
            ExprKind::ArrayAggregate { ty, elements } => {
                format!("{}:[{}]", self.qual(ty), self.elements(elements))
            }
            ExprKind::From { args, .. } => format!("from({})", self.exprs(args)),
            ExprKind::Paren(inner) => format!("(paren {})", self.expr(inner)),
            ExprKind::Unary { op, operand, .. } => {
                format!("({} {})", op.text(), self.expr(operand))
            }
            ExprKind::Binary {
                op, left, right, ..
            } => {
                format!("({} {} {})", op.text(), self.expr(left), self.expr(right))
            }
            ExprKind::Error => "error".to_owned(),
        }
    }

    fn elements(&self, elements: &[Element]) -> String {
        join(elements, ", ", |element| match element {
            Element::Value(value) => self.expr(value),
            Element::Row { elements, .. } => format!("[{}]", self.elements(elements)),
        })
    }

    fn designator(&self, designator: &Designator) -> String {
        let mut text = self.id(designator.root);
        for selector in &designator.selectors {
            let _ = match &selector.kind {
                SelectorKind::Field(name) => write!(text, ".{}", self.id(*name)),
                SelectorKind::Index(indices) => write!(text, "[{}]", self.exprs(indices)),
                SelectorKind::Root(name) => write!(text, "!{}", self.id(*name)),
            };
        }
        text
    }

    fn call(&self, call: &Call) -> String {
        format!(
            "{}({})",
            self.designator(&call.callee),
            self.exprs(&call.args)
        )
    }

    fn operation(&self, call: &OperationCall) -> String {
        let object = self.designator(&call.object);
        format!(
            "{object}${}({})",
            self.id(call.operation),
            self.exprs(&call.args)
        )
    }
}

fn join<T>(items: &[T], separator: &str, text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(separator)
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::In => "",
        Mode::Out => "out ",
        Mode::Shared => "shared ",
    }
}
