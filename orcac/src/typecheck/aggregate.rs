//! Aggregates of records, sets and arrays.
//!
//! Implements: ORCA.md 5.8.

use crate::ast::{self, Element, QualName};
use crate::diagnostics::{Diagnostic, codes};
use crate::hir::{ArrayBounds, ArrayType, ExprKind, TypeId, TypeKind};
use crate::source::Span;

use super::Checker;
use super::convert::Operand;
use super::generic::count;
use super::types::Ty;
use super::value::Value;

impl Checker<'_> {
    /// `T:{...}`
    pub(crate) fn brace_aggregate(
        &mut self,
        name: &QualName,
        elements: &[ast::Expr],
        span: Span,
    ) -> Operand {
        let ty = self.named_type(name);
        let Some(id) = ty.id() else {
            self.check_all(elements);
            return Operand::error(span);
        };
        match self.types.kind(id).clone() {
            TypeKind::Record { fields } if self.types.formal(ty).is_none() => {
                if fields.len() != elements.len() {
                    let text = self.type_name(ty);
                    self.report_aggregate(
                        span,
                        format!(
                            "{text} has {}, found {}",
                            count(fields.len(), "field"),
                            count(elements.len(), "value")
                        ),
                    );
                    self.check_all(elements);
                    return Operand::error(span);
                }
                let parts: Vec<Operand> = elements
                    .iter()
                    .zip(&fields)
                    .map(|(element, field)| self.expr_for(element, Ty::Of(field.ty)))
                    .collect();
                let value = Self::aggregate_value(&parts, Value::Record);
                let parts = parts.into_iter().map(|part| part.expr).collect();
                self.aggregate(id, ExprKind::RecordAggregate(parts), value, span)
            }
            TypeKind::Set { element } | TypeKind::Bag { element } => {
                let parts: Vec<Operand> = elements
                    .iter()
                    .map(|part| self.expr_for(part, Ty::Of(element)))
                    .collect();
                let value = Self::aggregate_value(&parts, |values| {
                    let mut distinct: Vec<Value> = Vec::new();
                    for value in values.iter() {
                        if !distinct.contains(value) {
                            distinct.push(value.clone());
                        }
                    }
                    Value::Set(distinct.into())
                });
                let parts = parts.into_iter().map(|part| part.expr).collect();
                self.aggregate(id, ExprKind::SetAggregate(parts), value, span)
            }
            _ => {
                let text = self.type_name(ty);
                let message = if self.types.array(ty).is_some() {
                    format!("{text} is an array type: write its values in [ ]")
                } else {
                    format!("{text} has no aggregates; records, sets and arrays have")
                };
                self.report_aggregate(name.span, message);
                self.check_all(elements);
                Operand::error(span)
            }
        }
    }

    fn aggregate(
        &mut self,
        ty: TypeId,
        kind: ExprKind,
        value: Option<Value>,
        span: Span,
    ) -> Operand {
        let mut operand = Operand::computed(ty, kind, span);
        operand.value = value;
        operand
    }

    fn report_aggregate(&mut self, span: Span, message: String) {
        self.report(Diagnostic::new(codes::BAD_AGGREGATE, span, message));
    }

    /// Checks expressions whose place is wrong, for the names in them.
    pub(crate) fn check_all(&mut self, exprs: &[ast::Expr]) {
        for expr in exprs {
            self.expr(expr, None);
        }
    }

    fn check_elements(&mut self, elements: &[Element]) {
        for element in elements {
            match element {
                Element::Value(expr) => {
                    self.expr(expr, None);
                }
                Element::Row { elements, .. } => self.check_elements(elements),
            }
        }
    }

    /// `T:[...]`
    pub(crate) fn array_aggregate(
        &mut self,
        name: &QualName,
        elements: &[Element],
        span: Span,
    ) -> Operand {
        let ty = self.named_type(name);
        let array = self.types.array(ty).cloned();
        let (Some(id), Some(array)) = (ty.id(), array) else {
            if !ty.is_error() {
                let text = self.type_name(ty);
                self.report_aggregate(name.span, format!("{text} is not an array type"));
            }
            self.check_elements(elements);
            return Operand::error(span);
        };
        let mut shape: Vec<Option<usize>> = vec![None; array.indices.len()];
        let mut parts = Vec::new();
        let is_whole = self.take_row(&array, 0, elements, span, &mut shape, &mut parts);
        let bounds = if is_whole {
            self.aggregate_bounds(ty, &array, &shape, span)
        } else {
            None
        };
        let Some(bounds) = bounds else {
            return Operand::error(span);
        };
        let value = Self::aggregate_value(&parts, |elements| Value::Array {
            bounds: bounds.clone().into(),
            elements,
        });
        let elements = parts.into_iter().map(|part| part.expr).collect();
        self.aggregate(
            id,
            ExprKind::ArrayAggregate { bounds, elements },
            value,
            span,
        )
    }

    /// One row of dimension `depth`; false if its form was reported.
    fn take_row(
        &mut self,
        array: &ArrayType,
        depth: usize,
        elements: &[Element],
        span: Span,
        shape: &mut [Option<usize>],
        parts: &mut Vec<Operand>,
    ) -> bool {
        let known = shape[depth].get_or_insert(elements.len());
        if *known != elements.len() {
            let message = format!(
                "rows of equal length are needed: the first has {known}, this one {}",
                elements.len()
            );
            self.report_aggregate(span, message);
            self.check_elements(elements);
            return false;
        }
        let is_last = depth + 1 == array.indices.len();
        let mut is_whole = true;
        for element in elements {
            match element {
                Element::Value(expr) if is_last => {
                    let part = self.expr_for(expr, Ty::Of(array.element));
                    parts.push(part);
                }
                Element::Row { span, elements } if !is_last => {
                    is_whole &= self.take_row(array, depth + 1, elements, *span, shape, parts);
                }
                Element::Value(expr) => {
                    let message = format!(
                        "the array has {}: rows stand in [ ]",
                        count(array.indices.len(), "dimension")
                    );
                    self.report_aggregate(expr.span, message);
                    self.expr(expr, None);
                    return false;
                }
                Element::Row { span, elements } => {
                    let message = format!(
                        "the array has only {}",
                        count(array.indices.len(), "dimension")
                    );
                    self.report_aggregate(*span, message);
                    self.check_elements(elements);
                    return false;
                }
            }
        }
        is_whole
    }

    /// The bounds that the values get: the type's, or from 1 or the first value of the index type.
    fn aggregate_bounds(
        &mut self,
        ty: Ty,
        array: &ArrayType,
        shape: &[Option<usize>],
        span: Span,
    ) -> Option<Vec<(i64, i64)>> {
        let lengths: Vec<i64> = shape
            .iter()
            .map(|length| length.unwrap_or(0) as i64)
            .collect();
        let name = self.type_name(ty);
        match &array.bounds {
            ArrayBounds::Computed(_) => {
                let message = format!(
                    "the bounds of {name} are only known when the program runs, so it has no aggregates"
                );
                self.report_aggregate(span, message);
                None
            }
            ArrayBounds::Constant(bounds) => {
                for (&(low, high), &length) in bounds.iter().zip(&lengths) {
                    let wanted = high.saturating_sub(low).saturating_add(1);
                    if wanted != length {
                        self.report_aggregate(
                            span,
                            format!("{name} has {wanted} elements in a row, found {length}"),
                        );
                        return None;
                    }
                }
                Some(bounds.clone())
            }
            ArrayBounds::Dynamic => {
                let mut bounds = Vec::new();
                for (&index, &length) in array.indices.iter().zip(&lengths) {
                    let low = if self.types.is_integer(Ty::Of(index)) {
                        1
                    } else {
                        0
                    };
                    if let Some(values) =
                        self.types.ordinals(index).filter(|&values| values < length)
                    {
                        let index = self.types.id_name(index).to_owned();
                        self.report_aggregate(span, format!("the index type `{index}` has {values} values, found {length} elements"));
                        return None;
                    }
                    bounds.push((low, low + length - 1));
                }
                Some(bounds)
            }
        }
    }
}
