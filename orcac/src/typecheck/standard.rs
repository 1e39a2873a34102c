//! The standard functions.
//!
//! Implements: ORCA.md 8, 4.4 (which may stand in bounds), 5.9 (which are constant).

use crate::ast;
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{ArrayBounds, Expr, ExprKind, Measure, Place, StandardFunction, StmtKind, TypeId};
use crate::source::Span;

use super::Checker;
use super::convert::{Operand, dummy};
use super::entity::{Entity, Standard};
use super::generic::count;
use super::place::Usage;
use super::types::{BOOLEAN, CHAR, INTEGER, REAL, STRING, Ty};
use super::value::{self, Value};

impl Checker<'_> {
    /// `NCPUS()` or `MYCPU()`.
    pub(crate) fn processor_number(&mut self, standard: Standard, span: Span) -> Operand {
        let function = match standard {
            Standard::Ncpus => StandardFunction::Ncpus,
            _ => StandardFunction::Mycpu,
        };
        Operand::computed(INTEGER, ExprKind::Standard(function, Vec::new()), span)
    }

    /// A standard function where a value is wanted.
    pub(crate) fn standard_value(
        &mut self,
        standard: Standard,
        args: &[ast::Expr],
        args_span: Span,
        span: Span,
    ) -> Operand {
        let counts = match standard {
            Standard::Ncpus | Standard::Mycpu => 0..=0,
            Standard::Lb | Standard::Ub => 1..=2,
            Standard::Val => 2..=2,
            Standard::DeleteNode
            | Standard::Insert
            | Standard::Delete
            | Standard::Assert
            | Standard::Strategy
            | Standard::Read
            | Standard::Write
            | Standard::WriteLine => {
                self.report(Diagnostic::new(
                    codes::BAD_CALL,
                    span,
                    format!("{} has no result: its call is a statement", standard.name()),
                ));
                return Operand::error(span);
            }
            _ => 1..=1,
        };
        if !self.check_count(standard, counts, args, args_span) {
            return Operand::error(span);
        }
        match standard {
            Standard::Ncpus | Standard::Mycpu => self.processor_number(standard, span),
            Standard::Abs => self.abs(&args[0], span),
            Standard::Cap
            | Standard::Chr
            | Standard::Float
            | Standard::Trunc
            | Standard::Odd
            | Standard::Ord => self.simple(standard, &args[0], span),
            Standard::Min | Standard::Max => self.extreme(standard, &args[0], span),
            Standard::Val => self.val(&args[0], &args[1], span),
            Standard::Size => self.size(&args[0], span),
            Standard::Lb | Standard::Ub => self.bound_of(standard, args, span),
            _ => self.add_node(&args[0], span),
        }
    }

    fn check_count(
        &mut self,
        standard: Standard,
        counts: std::ops::RangeInclusive<usize>,
        args: &[ast::Expr],
        args_span: Span,
    ) -> bool {
        if counts.contains(&args.len()) {
            return true;
        }
        let wanted = if counts.start() == counts.end() {
            count(*counts.start(), "argument")
        } else {
            format!("{} or {} arguments", counts.start(), counts.end())
        };
        self.report(Diagnostic::new(
            codes::ARGUMENT_COUNT,
            args_span,
            format!("{} takes {wanted}, found {}", standard.name(), args.len()),
        ));
        false
    }

    fn bad_argument(&mut self, standard: Standard, wanted: &str, found: Ty, span: Span) -> Operand {
        if !found.is_error() {
            let found = self.type_name(found);
            self.report(Diagnostic::new(
                codes::BAD_ARGUMENT,
                span,
                format!("{} takes {wanted}, found {found}", standard.name()),
            ));
        }
        Operand::error(span)
    }

    fn abs(&mut self, arg: &ast::Expr, span: Span) -> Operand {
        let operand = self.expr(arg, None);
        if !self.types.is_numeric(operand.ty) {
            return self.bad_argument(Standard::Abs, "an integer or real", operand.ty, span);
        }
        let ty = operand.ty;
        match operand.value {
            Some(Value::Int(number)) => {
                let bits = ty
                    .id()
                    .and_then(|id| value::bits(self.types.kind(id)))
                    .unwrap_or(64);
                let wrapped = value::wrap_bits(i128::from(number).abs(), bits);
                Operand::constant(ty, Value::Int(wrapped), span)
            }
            Some(Value::Real(number)) => Operand::constant(ty, Value::Real(number.abs()), span),
            Some(_) => Operand::constant(ty, Value::Unknown, span),
            None => {
                let id = operand.expr.ty;
                Operand::computed(
                    id,
                    ExprKind::Standard(StandardFunction::Abs, vec![operand.expr]),
                    span,
                )
            }
        }
    }

    /// Functions of one argument with a result type of their own.
    fn simple(&mut self, standard: Standard, arg: &ast::Expr, span: Span) -> Operand {
        let operand = self.expr(arg, None);
        let ty = operand.ty;
        let (fits, wanted) = match standard {
            Standard::Cap => (ty == Ty::Of(CHAR), "a char"),
            Standard::Chr | Standard::Float | Standard::Odd => {
                (self.types.is_integer(ty), "an integer")
            }
            Standard::Trunc => (self.types.is_real(ty), "a real"),
            _ => (
                self.types.is_discrete(ty),
                "an integer, char, boolean or enumeration",
            ),
        };
        if !fits {
            return self.bad_argument(standard, wanted, ty, span);
        }
        let (function, result) = match standard {
            Standard::Cap => (StandardFunction::Cap, CHAR),
            Standard::Chr => (StandardFunction::Chr, CHAR),
            Standard::Float => (StandardFunction::Float, REAL),
            Standard::Odd => (StandardFunction::Odd, BOOLEAN),
            Standard::Trunc => (StandardFunction::Trunc, INTEGER),
            _ => (StandardFunction::Ord, INTEGER),
        };
        if let Some(value) = &operand.value {
            return match fold_simple(function, value) {
                Some(value) => Operand::constant(Ty::Of(result), value, span),
                None => {
                    self.report(Diagnostic::new(
                        codes::CONSTANT_ERROR,
                        span,
                        "range error in CHR: a char has the values 0 .. 255",
                    ));
                    Operand::error(span)
                }
            };
        }
        Operand::computed(
            result,
            ExprKind::Standard(function, vec![operand.expr]),
            span,
        )
    }

    /// An argument that names a discrete type.
    fn type_argument(&mut self, standard: Standard, arg: &ast::Expr) -> Option<TypeId> {
        let name = match &arg.kind {
            ast::ExprKind::Designator(designator) => designator.as_qual_name(),
            ast::ExprKind::Error => return None,
            _ => None,
        };
        let Some(name) = name else {
            self.report(Diagnostic::new(
                codes::BAD_ARGUMENT,
                arg.span,
                format!("{} takes the name of a type", standard.name()),
            ));
            return None;
        };
        let ty = match self.look_up_qualified(&name) {
            Entity::Error => return None,
            Entity::Type(ty) => ty,
            other => {
                self.report(Diagnostic::new(
                    codes::BAD_ARGUMENT,
                    arg.span,
                    format!(
                        "{} takes the name of a type, found {}",
                        standard.name(),
                        other.kind_name()
                    ),
                ));
                return None;
            }
        };
        if !ty.is_error() && !self.types.is_discrete(ty) {
            self.bad_argument(
                standard,
                "an integer, char, boolean or enumeration type",
                ty,
                arg.span,
            );
            return None;
        }
        ty.id()
    }

    fn extreme(&mut self, standard: Standard, arg: &ast::Expr, span: Span) -> Operand {
        let Some(id) = self.type_argument(standard, arg) else {
            return Operand::error(span);
        };
        let (low, high) = self.types.range(id).expect("a discrete type has a range");
        let value = if standard == Standard::Min { low } else { high };
        Operand::constant(Ty::Of(id), Value::Int(value), span)
    }

    fn val(&mut self, of: &ast::Expr, arg: &ast::Expr, span: Span) -> Operand {
        let ty = self.type_argument(Standard::Val, of);
        let operand = self.expr(arg, None);
        let Some(id) = ty else {
            return Operand::error(span);
        };
        if !self.types.is_integer(operand.ty) {
            return self.bad_argument(Standard::Val, "an integer", operand.ty, arg.span);
        }
        if self.types.is_integer(Ty::Of(id)) && operand.value.is_some() {
            return self.as_constant_of(operand, Ty::Of(id));
        }
        match operand.value {
            Some(Value::Int(number)) => {
                let (low, high) = self.types.range(id).expect("a discrete type has a range");
                if number < low || number > high {
                    let name = self.types.id_name(id).to_owned();
                    self.report(Diagnostic::new(
                        codes::CONSTANT_ERROR,
                        span,
                        format!("range error in VAL: `{name}` has the ordinals {low} .. {high}"),
                    ));
                    return Operand::error(span);
                }
                Operand::constant(Ty::Of(id), Value::Int(number), span)
            }
            Some(_) => Operand::constant(Ty::Of(id), Value::Unknown, span),
            None => Operand::computed(
                id,
                ExprKind::Standard(StandardFunction::Val, vec![operand.expr]),
                span,
            ),
        }
    }

    fn size(&mut self, arg: &ast::Expr, span: Span) -> Operand {
        let operand = self.expr(arg, None);
        let array = self.types.array(operand.ty).cloned();
        if array.is_none() && self.types.set_element(operand.ty).is_none() {
            return self.bad_argument(Standard::Size, "an array, string or set", operand.ty, span);
        }
        let constant = match (&operand.value, array.map(|array| array.bounds)) {
            (Some(Value::Text(text)), _) => Some(text.len() as i64),
            (Some(Value::Set(elements)), _) => Some(elements.len() as i64),
            (Some(Value::Array { elements, .. }), _) => Some(elements.len() as i64),
            (_, Some(ArrayBounds::Constant(bounds))) => {
                let length =
                    |(low, high): (i64, i64)| high.saturating_sub(low).saturating_add(1).max(0);
                Some(bounds.into_iter().map(length).fold(1, i64::saturating_mul))
            }
            _ => None,
        };
        match constant {
            Some(size) => Operand::constant(Ty::Of(INTEGER), Value::Int(size), span),
            None => self.measure(Measure::Size, operand, INTEGER, span),
        }
    }

    fn measure(&mut self, measure: Measure, operand: Operand, ty: TypeId, span: Span) -> Operand {
        let is_unknown = operand.value.is_some();
        let mut made =
            Operand::computed(ty, ExprKind::Measure(measure, Box::new(operand.expr)), span);
        if is_unknown {
            made.value = Some(Value::Unknown);
        }
        made
    }

    fn bound_of(&mut self, standard: Standard, args: &[ast::Expr], span: Span) -> Operand {
        let operand = self.expr(&args[0], None);
        let dimension = match args.get(1) {
            Some(arg) => self.dimension(arg),
            None => Some(1),
        };
        let Some(array) = self.types.array(operand.ty).cloned() else {
            return self.bad_argument(standard, "an array", operand.ty, span);
        };
        let Some(dimension) = dimension else {
            return Operand::error(span);
        };
        let index = usize::try_from(dimension - 1)
            .ok()
            .filter(|&index| index < array.indices.len());
        let Some(index) = index else {
            let name = self.type_name(operand.ty);
            self.report(Diagnostic::new(
                codes::CONSTANT_ERROR,
                args[1].span,
                format!(
                    "{name} has {}, not a dimension {dimension}",
                    count(array.indices.len(), "dimension")
                ),
            ));
            return Operand::error(span);
        };
        let pair = match (&operand.value, &array.bounds) {
            (Some(Value::Text(text)), _) => Some((1, text.len() as i64)),
            (Some(Value::Array { bounds, .. }), _) => Some(bounds[index]),
            (_, ArrayBounds::Constant(bounds)) => Some(bounds[index]),
            _ => None,
        };
        let ty = array.indices[index];
        match pair {
            Some((low, high)) => {
                let value = if standard == Standard::Lb { low } else { high };
                Operand::constant(Ty::Of(ty), Value::Int(value), span)
            }
            None => {
                let measure = if standard == Standard::Lb {
                    Measure::Lower { dimension: index }
                } else {
                    Measure::Upper { dimension: index }
                };
                self.measure(measure, operand, ty, span)
            }
        }
    }

    fn dimension(&mut self, arg: &ast::Expr) -> Option<i64> {
        let operand = self.constant_expr(arg, None)?;
        match operand.value {
            Some(Value::Int(dimension)) if self.types.is_integer(operand.ty) => Some(dimension),
            Some(Value::Unknown) => None,
            _ => {
                self.report_mismatch(arg.span, Ty::Integer, operand.ty);
                None
            }
        }
    }

    fn add_node(&mut self, arg: &ast::Expr, span: Span) -> Operand {
        let Some(graph) = self.graph_argument(Standard::AddNode, arg) else {
            return Operand::error(span);
        };
        let ty = graph.ty;
        let mut operand = Operand::computed(ty, ExprKind::AddNode(graph), span);
        operand.ty = Ty::Added(ty);
        operand
    }

    fn graph_argument(&mut self, standard: Standard, arg: &ast::Expr) -> Option<Place> {
        let place = self.changed_argument(arg, Usage::ReadWrite)?;
        if self.types.is_graph(Ty::Of(place.ty)) {
            return Some(place);
        }
        self.bad_argument(standard, "a graph", Ty::Of(place.ty), arg.span);
        None
    }

    /// `FROM(s)`
    pub(crate) fn removed_value(
        &mut self,
        args: &[ast::Expr],
        args_span: Span,
        span: Span,
    ) -> Operand {
        let [arg] = args else {
            self.report(Diagnostic::new(
                codes::ARGUMENT_COUNT,
                args_span,
                format!("FROM takes 1 argument, found {}", args.len()),
            ));
            return Operand::error(span);
        };
        let Some(place) = self.changed_argument(arg, Usage::ReadWrite) else {
            return Operand::error(span);
        };
        match self.types.set_element(Ty::Of(place.ty)) {
            Some(element) => Operand::computed(element, ExprKind::From(place), span),
            None => {
                let found = self.type_name(Ty::Of(place.ty));
                self.report(Diagnostic::new(
                    codes::BAD_ARGUMENT,
                    arg.span,
                    format!("FROM takes a set, found {found}"),
                ));
                Operand::error(span)
            }
        }
    }

    /// A standard function as a statement.
    pub(crate) fn standard_statement(
        &mut self,
        standard: Standard,
        args: &[ast::Expr],
        args_span: Span,
        span: Span,
    ) -> Option<StmtKind> {
        let counts = match standard {
            Standard::Assert => 1..=1,
            Standard::DeleteNode | Standard::Insert | Standard::Delete => 2..=2,
            Standard::Strategy => 3..=3,
            Standard::Read | Standard::Write | Standard::WriteLine => 0..=usize::MAX,
            _ => {
                let operand = self.standard_value(standard, args, args_span, span);
                if !operand.ty.is_error() {
                    self.report_unused_result(standard.name(), span);
                }
                return None;
            }
        };
        if !self.check_count(standard, counts, args, args_span) {
            self.check_all(args);
            return None;
        }
        match standard {
            Standard::Assert => Some(StmtKind::Assert(self.condition(&args[0]))),
            Standard::Insert | Standard::Delete => self.insert_or_delete(standard, args),
            Standard::DeleteNode => {
                let graph = self.graph_argument(standard, &args[0]);
                let operand = self.expr(&args[1], None);
                let graph = graph?;
                let node = self.as_node_of(graph.ty, operand)?;
                Some(StmtKind::DeleteNode { graph, node })
            }
            Standard::Strategy => self.strategy(args),
            Standard::Read => {
                let places = args
                    .iter()
                    .filter_map(|arg| self.read_argument(arg))
                    .collect();
                Some(StmtKind::Read(places))
            }
            _ => {
                let arguments = args
                    .iter()
                    .map(|arg| self.write_argument(standard, arg))
                    .collect();
                let newline = standard == Standard::WriteLine;
                Some(StmtKind::Write { arguments, newline })
            }
        }
    }

    fn insert_or_delete(&mut self, standard: Standard, args: &[ast::Expr]) -> Option<StmtKind> {
        let element = self.expr(&args[0], None);
        let set = self.changed_argument(&args[1], Usage::ReadWrite)?;
        let Some(wanted) = self.types.set_element(Ty::Of(set.ty)) else {
            self.bad_argument(
                standard,
                "a set as its second argument",
                Ty::Of(set.ty),
                args[1].span,
            );
            return None;
        };
        if !self.types.equivalent(Ty::Of(wanted), element.ty) {
            self.report_mismatch(args[0].span, Ty::Of(wanted), element.ty);
            return None;
        }
        let element = self.coerce(element, Ty::Of(wanted)).expr;
        Some(match standard {
            Standard::Insert => StmtKind::Insert { element, set },
            _ => StmtKind::Delete { element, set },
        })
    }

    fn strategy(&mut self, args: &[ast::Expr]) -> Option<StmtKind> {
        let object = self.changed_argument(&args[0], Usage::ReadWrite);
        let replicate = self.expr_for(&args[1], Ty::Of(INTEGER)).expr;
        let cpu = self.expr_for(&args[2], Ty::Of(INTEGER)).expr;
        let object = object?;
        if self.types.object(Ty::Of(object.ty)).is_none() {
            self.bad_argument(
                Standard::Strategy,
                "an object",
                Ty::Of(object.ty),
                args[0].span,
            );
            return None;
        }
        Some(StmtKind::Strategy {
            object,
            replicate,
            cpu,
        })
    }

    fn read_argument(&mut self, arg: &ast::Expr) -> Option<Place> {
        let place = self.changed_argument(arg, Usage::Write)?;
        if !self.can_be_text(Ty::Of(place.ty)) {
            self.bad_argument(
                Standard::Read,
                "integers, reals, chars and strings",
                Ty::Of(place.ty),
                arg.span,
            );
            return None;
        }
        Some(place)
    }

    fn write_argument(&mut self, standard: Standard, arg: &ast::Expr) -> Expr {
        let operand = self.expr(arg, None);
        if operand.ty.is_error() {
            return dummy(arg.span);
        }
        if !self.can_be_text(operand.ty) {
            self.bad_argument(
                standard,
                "integers, reals, chars and strings",
                operand.ty,
                arg.span,
            );
            return dummy(arg.span);
        }
        self.concrete(operand).expr
    }

    fn can_be_text(&self, ty: Ty) -> bool {
        self.types.is_integer(ty)
            || self.types.is_real(ty)
            || ty == Ty::Of(CHAR)
            || ty == Ty::Of(STRING)
    }
}

/// `None`: outside the result type.
fn fold_simple(function: StandardFunction, value: &Value) -> Option<Value> {
    Some(match (function, value) {
        (StandardFunction::Cap, Value::Int(code)) => {
            let byte = u8::try_from(*code).unwrap_or(0).to_ascii_uppercase();
            Value::Int(i64::from(byte))
        }
        (StandardFunction::Chr, Value::Int(code)) if !(0..=255).contains(code) => return None,
        (StandardFunction::Float, Value::Int(number)) => Value::Real(*number as f64),
        (StandardFunction::Odd, Value::Int(number)) => Value::Int(number & 1),
        (StandardFunction::Ord, Value::Int(number)) => {
            Value::Int(value::wrap_bits(i128::from(*number), 32))
        }
        (StandardFunction::Trunc, Value::Real(number)) => Value::Int(i64::from(*number as i32)),
        (StandardFunction::Chr, Value::Int(code)) => Value::Int(*code),
        _ => Value::Unknown,
    })
}
