//! INSERT, UPDATE, DELETE, BATCH, TRUNCATE, USE.

use cql_lite::ast::{
    Assignment, AssignmentOperation, Attribute, Attributes, Batch, BatchKind, Condition,
    ConditionPart, Delete, DeleteTarget, IfClause, Insert, InsertSource, JsonDefault, JsonValue,
    Modification, Predicate, Statement, Update,
};

use super::Generator;

impl Generator<'_> {
    pub(super) fn modification(&mut self) -> Statement {
        match self.below(6) {
            0 => Statement::Insert(Box::new(self.insert())),
            1 => Statement::Update(Box::new(self.update())),
            2 => Statement::Delete(Box::new(self.delete())),
            3 => Statement::Batch(Batch {
                kind: self.one_of(&[BatchKind::Logged, BatchKind::Unlogged, BatchKind::Counter]),
                attributes: self.attributes(),
                statements: self.several(0, |generator| match generator.below(3) {
                    0 => Modification::Insert(generator.insert()),
                    1 => Modification::Update(generator.update()),
                    _ => Modification::Delete(generator.delete()),
                }),
            }),
            4 => Statement::Truncate(self.qualified()),
            _ => Statement::Use(self.name()),
        }
    }

    fn attributes(&mut self) -> Attributes {
        let list = self.several(0, |generator| {
            if generator.flag() {
                return Attribute::Ttl(generator.integer_or_marker());
            }
            Attribute::Timestamp(generator.integer_or_marker())
        });
        Attributes { list }
    }

    fn insert(&mut self) -> Insert {
        let table = self.qualified();
        let source = if self.flag() {
            let value = if self.flag() {
                JsonValue::Marker(self.marker())
            } else {
                JsonValue::Literal(self.string_literal())
            };
            let default = self.one_of(&[JsonDefault::Null, JsonDefault::Unset]);
            InsertSource::Json { value, default }
        } else {
            InsertSource::Values {
                columns: self.several(1, Self::name),
                values: self.several(1, Self::term),
            }
        };
        Insert { table, source, if_not_exists: self.flag(), attributes: self.attributes() }
    }

    fn update(&mut self) -> Update {
        let table = self.qualified();
        let attributes = self.attributes();
        let mut assignments: Vec<Assignment> = vec![self.assignment()];
        // Another column, since two assignments to one may exclude each other.
        if self.flag() {
            let mut second = self.assignment();
            second.column.name.push_str("_2");
            assignments.push(second);
        }
        let relations = self.several(1, Self::relation);
        Update { table, attributes, assignments, relations, condition: self.condition() }
    }

    fn assignment(&mut self) -> Assignment {
        let column = self.name();
        let operation = match self.below(6) {
            0 => AssignmentOperation::Set(self.term()),
            1 => AssignmentOperation::Add(self.term()),
            2 => AssignmentOperation::Subtract(self.term()),
            3 => AssignmentOperation::Prepend(self.term()),
            4 => AssignmentOperation::SetElement { key: self.term(), value: self.term() },
            _ => AssignmentOperation::SetField { field: self.name(), value: self.term() },
        };
        Assignment { column, operation }
    }

    fn delete(&mut self) -> Delete {
        let targets = self.several(0, |generator| match generator.below(3) {
            0 => DeleteTarget::Column(generator.name()),
            1 => DeleteTarget::Element { column: generator.name(), key: generator.term() },
            _ => DeleteTarget::Field { column: generator.name(), field: generator.name() },
        });
        let table = self.qualified();
        let timestamp = self.option(Self::integer_or_marker);
        let attributes =
            Attributes { list: timestamp.map(Attribute::Timestamp).into_iter().collect() };
        let relations = self.several(1, Self::relation);
        Delete { targets, table, attributes, relations, condition: self.condition() }
    }

    fn condition(&mut self) -> Option<IfClause> {
        match self.below(4) {
            0 | 1 => None,
            2 => Some(IfClause::Exists),
            _ => Some(IfClause::Conditions(self.several(1, |generator| {
                let column = generator.name();
                let part = match generator.below(3) {
                    0 => ConditionPart::Whole,
                    1 => ConditionPart::Element(generator.term()),
                    _ => ConditionPart::Field(generator.name()),
                };
                let predicate = match generator.below(4) {
                    2 if part == ConditionPart::Whole => Predicate::Contains(generator.term()),
                    3 if part == ConditionPart::Whole => Predicate::ContainsKey(generator.term()),
                    1 => generator.in_values(Self::term),
                    _ => generator.compare(Self::term),
                };
                Condition { column, part, predicate }
            }))),
        }
    }
}
