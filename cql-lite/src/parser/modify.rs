//! INSERT, UPDATE, DELETE, BATCH.

use std::collections::BTreeMap;

use super::cursor::{Parsed, Parser};
use crate::ast::{
    Assignment, AssignmentOperation, Attribute, Attributes, Batch, BatchKind, Delete, DeleteTarget,
    Identifier, Insert, InsertSource, JsonDefault, JsonValue, Literal, LiteralKind, Modification,
    Term, Update,
};
use crate::lexer::{Keyword, Symbol, TokenKind};

impl Parser<'_> {
    /// `INSERT INTO …`; the keyword is next.
    pub(super) fn insert(&mut self) -> Parsed<Insert> {
        self.take();
        self.expect(Keyword::Into)?;
        let table = self.table_name()?;
        let source = if self.at(Symbol::OpenParen) {
            self.insert_values()?
        } else if self.take_if(Keyword::Json) {
            self.insert_json()?
        } else {
            return self.no_viable();
        };
        let if_not_exists = self.if_not_exists()?;
        let attributes = self.attributes()?;
        Ok(Insert { table, source, if_not_exists, attributes })
    }

    fn insert_values(&mut self) -> Parsed<InsertSource> {
        self.take();
        let columns = self.comma_separated(Self::column)?;
        self.expect(Symbol::CloseParen)?;
        self.expect(Keyword::Values)?;
        self.expect(Symbol::OpenParen)?;
        let values = self.comma_separated(Self::term)?;
        self.expect(Symbol::CloseParen)?;
        Ok(InsertSource::Values { columns, values })
    }

    fn insert_json(&mut self) -> Parsed<InsertSource> {
        let next = self.peek();
        let value = if let Some(marker) = self.marker()? {
            JsonValue::Marker(marker)
        } else if next.kind == TokenKind::String {
            self.take();
            JsonValue::Literal(Literal {
                kind: LiteralKind::String,
                text: next.text(self.input()),
                position: next.position,
            })
        } else {
            return self.no_viable();
        };
        let mut default = JsonDefault::Null;
        if self.take_if(Keyword::Default) {
            if self.take_if(Keyword::Unset) {
                default = JsonDefault::Unset;
            } else if !self.take_if(Keyword::Null) {
                return self.no_viable();
            }
        }
        Ok(InsertSource::Json { value, default })
    }

    /// `USING TIMESTAMP … AND TTL …`, if it is next.
    fn attributes(&mut self) -> Parsed<Attributes> {
        if !self.take_if(Keyword::Using) {
            return Ok(Attributes::default());
        }
        let list = self.and_separated(|parser| {
            if parser.take_if(Keyword::Timestamp) {
                return parser.integer_or_marker().map(Attribute::Timestamp);
            }
            if parser.take_if(Keyword::Ttl) {
                return parser.integer_or_marker().map(Attribute::Ttl);
            }
            parser.no_viable()
        })?;
        Ok(Attributes { list })
    }

    /// `UPDATE …`; the keyword is next.
    pub(super) fn update(&mut self) -> Parsed<Update> {
        self.take();
        let table = self.table_name()?;
        let attributes = self.attributes()?;
        self.expect(Keyword::Set)?;
        let assignments = self.assignments()?;
        self.expect(Keyword::Where)?;
        let relations = self.relations()?;
        let condition = self.if_clause()?;
        Ok(Update { table, attributes, assignments, relations, condition })
    }

    /// The assignments after SET. Setting a whole column goes with nothing else done to it.
    fn assignments(&mut self) -> Parsed<Vec<Assignment>> {
        let mut whole = BTreeMap::new();
        self.comma_separated(|parser| {
            let assignment = parser.assignment()?;
            let sets_whole = matches!(assignment.operation, AssignmentOperation::Set(_));
            let column = &assignment.column;
            let before = whole.insert(column.name.clone(), sets_whole);
            if before.is_some_and(|before| before || sets_whole) {
                let message = format!("Multiple incompatible setting of column {}", column.name);
                return parser.rule_broken(column.position, message);
            }
            Ok(assignment)
        })
    }

    fn assignment(&mut self) -> Parsed<Assignment> {
        let column = self.column()?;
        let operation = match self.peek().kind {
            TokenKind::Symbol(Symbol::Equal) => {
                self.take();
                self.whole_assignment(&column)?
            }
            TokenKind::Symbol(Symbol::PlusEqual) => {
                self.take();
                AssignmentOperation::Add(self.term()?)
            }
            TokenKind::Symbol(Symbol::MinusEqual) => {
                self.take();
                AssignmentOperation::Subtract(self.term()?)
            }
            TokenKind::Symbol(Symbol::OpenBracket) => {
                self.take();
                let key = self.term()?;
                self.expect(Symbol::CloseBracket)?;
                self.expect(Symbol::Equal)?;
                AssignmentOperation::SetElement { key, value: self.term()? }
            }
            TokenKind::Symbol(Symbol::Dot) => {
                self.take();
                let field = self.identifier()?;
                self.expect(Symbol::Equal)?;
                AssignmentOperation::SetField { field, value: self.term()? }
            }
            _ => return self.no_viable(),
        };
        Ok(Assignment { column, operation })
    }

    /// What stands after `column =`.
    fn whole_assignment(&mut self, column: &Identifier) -> Parsed<AssignmentOperation> {
        if Self::is_column(self.peek().kind) {
            match self.peek_at(1).kind {
                TokenKind::Symbol(Symbol::Plus) => return self.assign_to_itself(column, true),
                TokenKind::Symbol(Symbol::Minus) => return self.assign_to_itself(column, false),
                TokenKind::Integer => return self.add_integer(column),
                _ => {}
            }
        }
        let term = self.assigned_term()?;
        if !self.take_if(Symbol::Plus) {
            return Ok(AssignmentOperation::Set(term));
        }
        let second = self.column()?;
        self.same_column(column, &second, "X = <value> + X")?;
        Ok(AssignmentOperation::Prepend(term))
    }

    /// `column + term` or `column - term`
    fn assign_to_itself(&mut self, column: &Identifier, add: bool) -> Parsed<AssignmentOperation> {
        let second = self.column()?;
        self.take();
        let term = self.term()?;
        if add {
            self.same_column(column, &second, "X = X +<value>")?;
            return Ok(AssignmentOperation::Add(term));
        }
        self.same_column(column, &second, "X = X -<value>")?;
        Ok(AssignmentOperation::Subtract(term))
    }

    /// `column -3`: a column and a negative integer.
    fn add_integer(&mut self, column: &Identifier) -> Parsed<AssignmentOperation> {
        let second = self.column()?;
        let Some(literal) = self.literal() else { return self.no_viable() };
        let negative = literal.text.starts_with('-');
        let form = if negative { "X = X - <value>" } else { "X = X + <value>" };
        self.same_column(column, &second, form)?;
        Ok(AssignmentOperation::Add(Term::Literal(literal)))
    }

    fn same_column(&mut self, column: &Identifier, second: &Identifier, form: &str) -> Parsed<()> {
        if column.name == second.name {
            return Ok(());
        }
        let message = format!("Only expressions of the form {form} are supported.");
        self.rule_broken(second.position, message)
    }

    /// `DELETE …`; the keyword is next.
    pub(super) fn delete(&mut self) -> Parsed<Delete> {
        self.take();
        let targets = if self.at(Keyword::From) {
            Vec::new()
        } else {
            self.comma_separated(Self::delete_target)?
        };
        self.expect(Keyword::From)?;
        let table = self.table_name()?;
        let mut attributes = Attributes::default();
        if self.take_phrase(&[Keyword::Using, Keyword::Timestamp])? {
            attributes.list.push(Attribute::Timestamp(self.integer_or_marker()?));
        }
        self.expect(Keyword::Where)?;
        let relations = self.relations()?;
        let condition = self.if_clause()?;
        Ok(Delete { targets, table, attributes, relations, condition })
    }

    fn delete_target(&mut self) -> Parsed<DeleteTarget> {
        let column = self.column()?;
        if self.take_if(Symbol::OpenBracket) {
            let key = self.term()?;
            self.expect(Symbol::CloseBracket)?;
            return Ok(DeleteTarget::Element { column, key });
        }
        if self.take_if(Symbol::Dot) {
            return Ok(DeleteTarget::Field { column, field: self.identifier()? });
        }
        Ok(DeleteTarget::Column(column))
    }

    /// `BEGIN … APPLY BATCH`; the keyword is next.
    pub(super) fn batch(&mut self) -> Parsed<Batch> {
        self.take();
        let kind = if self.take_if(Keyword::Unlogged) {
            BatchKind::Unlogged
        } else if self.take_if(Keyword::Counter) {
            BatchKind::Counter
        } else {
            BatchKind::Logged
        };
        self.expect(Keyword::Batch)?;
        let attributes = self.attributes()?;
        let mut statements = Vec::new();
        loop {
            let statement = match self.peek().kind {
                TokenKind::Keyword(Keyword::Insert) => Modification::Insert(self.insert()?),
                TokenKind::Keyword(Keyword::Update) => Modification::Update(self.update()?),
                TokenKind::Keyword(Keyword::Delete) => Modification::Delete(self.delete()?),
                _ => break,
            };
            statements.push(statement);
            self.take_if(Symbol::Semicolon);
        }
        self.expect_all(&[Keyword::Apply, Keyword::Batch])?;
        Ok(Batch { kind, attributes, statements })
    }
}
