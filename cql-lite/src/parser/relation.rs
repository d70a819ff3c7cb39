//! WHERE and IF.

use super::cursor::{Parsed, Parser};
use crate::ast::{
    CompareOperator, Condition, ConditionPart, Identifier, IfClause, InValues, Predicate, Relation,
    RelationTarget, Term,
};
use crate::lexer::{Keyword, Symbol, TokenKind};

impl Parser<'_> {
    /// `WHERE …`, if it is next; otherwise no relations.
    pub(super) fn optional_where(&mut self) -> Parsed<Vec<Relation>> {
        if self.take_if(Keyword::Where) { self.relations() } else { Ok(Vec::new()) }
    }

    /// Relations joined by AND.
    pub(super) fn relations(&mut self) -> Parsed<Vec<Relation>> {
        self.and_separated(|parser| {
            if parser.at_custom_expression() {
                return parser.custom_expression();
            }
            parser.relation()
        })
    }

    /// Whether `expr(`, a single token to Cassandra, is next.
    fn at_custom_expression(&mut self) -> bool {
        let (word, paren) = (self.peek(), self.peek_at(1));
        word.kind == TokenKind::Identifier
            && paren.kind == Symbol::OpenParen.into()
            && word.end == paren.start
            && word.source(self.input()) == "expr"
    }

    fn custom_expression(&mut self) -> Parsed<Relation> {
        let position = self.take().position;
        self.take();
        let index = self.index_name()?;
        self.expect(Symbol::Comma)?;
        let value = self.term()?;
        self.expect(Symbol::CloseParen)?;
        Ok(Relation::CustomIndex { index, value, position })
    }

    fn relation(&mut self) -> Parsed<Relation> {
        let next = self.peek();
        match next.kind {
            TokenKind::Keyword(Keyword::Token) => self.token_relation(),
            TokenKind::Symbol(Symbol::OpenParen) => {
                let tuple = Self::is_column(self.peek_at(1).kind)
                    && (self.at_ahead(2, Symbol::Comma) || self.at_ahead(2, Symbol::CloseParen));
                if tuple {
                    return self.tuple_relation();
                }
                self.take();
                let relation = self.nested(Self::relation)?;
                self.expect(Symbol::CloseParen)?;
                Ok(relation)
            }
            kind if Self::is_column(kind) => self.column_relation(),
            _ => self.no_viable(),
        }
    }

    fn column_relation(&mut self) -> Parsed<Relation> {
        if self.at_ahead(1, Symbol::OpenBracket) {
            let column = self.column()?;
            self.take();
            let key = self.term()?;
            self.expect(Symbol::CloseBracket)?;
            let Some(operator) = self.compare_operator() else { return self.no_viable() };
            let predicate = Predicate::Compare { operator, value: self.term()? };
            let target = RelationTarget::Element { column, key };
            return Ok(Relation::Predicate { target, predicate });
        }
        let begins_predicate = match self.peek_at(1).kind {
            TokenKind::Symbol(symbol) => compare_operator(symbol).is_some(),
            TokenKind::Keyword(keyword) => matches!(
                keyword,
                Keyword::In | Keyword::Contains | Keyword::Like | Keyword::Between | Keyword::Is
            ),
            _ => false,
        };
        if !begins_predicate {
            return self.no_viable_at(1);
        }
        let target = RelationTarget::Column(self.column()?);
        Ok(Relation::Predicate { target, predicate: self.column_predicate()? })
    }

    /// What may stand after a column.
    fn column_predicate(&mut self) -> Parsed<Predicate> {
        if let Some(predicate) = self.condition_predicate()? {
            return Ok(predicate);
        }
        match self.take().kind {
            TokenKind::Keyword(Keyword::Like) => Ok(Predicate::Like(self.term()?)),
            TokenKind::Keyword(Keyword::Between) => self.between(Self::term),
            _ => {
                self.expect_all(&[Keyword::Not, Keyword::Null])?;
                Ok(Predicate::IsNotNull)
            }
        }
    }

    /// A comparison, IN or CONTAINS, if one is next.
    fn condition_predicate(&mut self) -> Parsed<Option<Predicate>> {
        if let Some(operator) = self.compare_operator() {
            return Ok(Some(Predicate::Compare { operator, value: self.term()? }));
        }
        if self.take_if(Keyword::In) {
            return self.in_values().map(|values| Some(Predicate::In(values)));
        }
        if self.take_if(Keyword::Contains) {
            let key = self.at(Keyword::Key) && !self.at_ahead(1, Symbol::Dot);
            if key {
                self.take();
                return Ok(Some(Predicate::ContainsKey(self.term()?)));
            }
            return Ok(Some(Predicate::Contains(self.term()?)));
        }
        Ok(None)
    }

    /// What stands after BETWEEN.
    fn between(&mut self, value: fn(&mut Self) -> Parsed<Term>) -> Parsed<Predicate> {
        let low = value(self)?;
        self.expect(Keyword::And)?;
        Ok(Predicate::Between { low, high: value(self)? })
    }

    /// What stands after IN where single columns are compared.
    fn in_values(&mut self) -> Parsed<InValues> {
        if let Some(marker) = self.marker()? {
            return Ok(InValues::Marker(marker));
        }
        if !self.at(Symbol::OpenParen) {
            return self.no_viable();
        }
        Ok(InValues::List(self.bracketed(Symbol::CloseParen)?))
    }

    fn column_list(&mut self) -> Parsed<Vec<Identifier>> {
        self.expect(Symbol::OpenParen)?;
        let columns = self.comma_separated(Self::column)?;
        self.expect(Symbol::CloseParen)?;
        Ok(columns)
    }

    fn token_relation(&mut self) -> Parsed<Relation> {
        let position = self.take().position;
        let columns = self.column_list()?;
        let target = RelationTarget::Token { columns, position };
        let predicate = if self.take_if(Keyword::Between) {
            self.between(Self::term)?
        } else {
            let Some(operator) = self.compare_operator() else { return self.no_viable() };
            Predicate::Compare { operator, value: self.term()? }
        };
        Ok(Relation::Predicate { target, predicate })
    }

    fn tuple_relation(&mut self) -> Parsed<Relation> {
        let position = self.position();
        let columns = self.column_list()?;
        let target = RelationTarget::Tuple { columns, position };
        let predicate = if self.take_if(Keyword::In) {
            Predicate::In(self.tuple_in_values()?)
        } else if self.take_if(Keyword::Between) {
            self.between(Self::tuple_or_marker)?
        } else {
            let Some(operator) = self.compare_operator() else { return self.no_viable() };
            Predicate::Compare { operator, value: self.tuple_or_marker()? }
        };
        Ok(Relation::Predicate { target, predicate })
    }

    fn tuple_or_marker(&mut self) -> Parsed<Term> {
        if let Some(marker) = self.marker()? {
            return Ok(Term::Marker(marker));
        }
        if !self.at(Symbol::OpenParen) {
            return self.no_viable();
        }
        Ok(Term::Tuple(self.tuple()?))
    }

    /// What stands after IN where tuples are compared: either all tuples or all markers.
    fn tuple_in_values(&mut self) -> Parsed<InValues> {
        if let Some(marker) = self.marker()? {
            return Ok(InValues::Marker(marker));
        }
        if !self.at(Symbol::OpenParen) {
            return self.no_viable();
        }
        self.take();
        if self.take_if(Symbol::CloseParen) {
            return Ok(InValues::List(Vec::new()));
        }
        let tuples = self.at(Symbol::OpenParen);
        let values = self.comma_separated(|parser| {
            if parser.at(Symbol::OpenParen) == tuples {
                parser.tuple_or_marker()
            } else {
                parser.no_viable()
            }
        })?;
        self.expect(Symbol::CloseParen)?;
        Ok(InValues::List(values))
    }

    /// A comparison's operator, if one is next.
    fn compare_operator(&mut self) -> Option<CompareOperator> {
        let TokenKind::Symbol(symbol) = self.peek().kind else { return None };
        let operator = compare_operator(symbol)?;
        self.take();
        Some(operator)
    }

    /// `IF EXISTS` or `IF condition AND …`, if it is next.
    pub(super) fn if_clause(&mut self) -> Parsed<Option<IfClause>> {
        if !self.take_if(Keyword::If) {
            return Ok(None);
        }
        // A column may be named `exists`.
        if self.at(Keyword::Exists) && !self.begins_condition_after_column() {
            self.take();
            return Ok(Some(IfClause::Exists));
        }
        Ok(Some(IfClause::Conditions(self.and_separated(Self::condition)?)))
    }

    fn begins_condition_after_column(&mut self) -> bool {
        match self.peek_at(1).kind {
            TokenKind::Symbol(Symbol::OpenBracket | Symbol::Dot) => true,
            TokenKind::Symbol(symbol) => compare_operator(symbol).is_some(),
            TokenKind::Keyword(keyword) => matches!(keyword, Keyword::In | Keyword::Contains),
            _ => false,
        }
    }

    fn condition(&mut self) -> Parsed<Condition> {
        let column = self.column()?;
        let part = if self.take_if(Symbol::OpenBracket) {
            let key = self.term()?;
            self.expect(Symbol::CloseBracket)?;
            ConditionPart::Element(key)
        } else if self.take_if(Symbol::Dot) {
            ConditionPart::Field(self.identifier()?)
        } else {
            ConditionPart::Whole
        };
        let contains = self.at(Keyword::Contains) && part != ConditionPart::Whole;
        let predicate = if contains { None } else { self.condition_predicate()? };
        match predicate {
            Some(predicate) => Ok(Condition { column, part, predicate }),
            None => self.no_viable(),
        }
    }
}

fn compare_operator(symbol: Symbol) -> Option<CompareOperator> {
    match symbol {
        Symbol::Equal => Some(CompareOperator::Equal),
        Symbol::Less => Some(CompareOperator::Less),
        Symbol::LessOrEqual => Some(CompareOperator::LessOrEqual),
        Symbol::Greater => Some(CompareOperator::Greater),
        Symbol::GreaterOrEqual => Some(CompareOperator::GreaterOrEqual),
        Symbol::NotEqual => Some(CompareOperator::NotEqual),
        _ => None,
    }
}
