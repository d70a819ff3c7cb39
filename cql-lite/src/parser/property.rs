//! Properties: what stands after WITH.

use std::collections::BTreeSet;

use super::cursor::{Parsed, Parser};
use crate::ast::{
    Direction, Literal, Position, Property, PropertyMap, PropertyValue, TableOption, Term,
};
use crate::lexer::{Keyword, Symbol};

/// The names of the properties seen so far.
type Seen = BTreeSet<String>;

impl Parser<'_> {
    /// `name = value AND …`
    pub(super) fn properties(&mut self) -> Parsed<Vec<Property>> {
        let mut seen = Seen::new();
        self.and_separated(|parser| parser.property(&mut seen))
    }

    fn property(&mut self, seen: &mut Seen) -> Parsed<Property> {
        if !Self::is_identifier(self.peek().kind) {
            return self.no_viable();
        }
        if !self.at_ahead(1, Symbol::Equal) {
            return self.no_viable_at(1);
        }
        let value = self.peek_at(2).kind;
        let begins_value = value == Symbol::OpenBrace.into()
            || Self::begins_literal(value)
            || Self::is_keyword_name(value);
        if !begins_value {
            return self.no_viable_at(2);
        }
        let name = self.take_name();
        self.take();
        if !seen.insert(name.name.clone()) {
            let message = format!("Multiple definition for property '{}'", name.name);
            return self.rule_broken(name.position, message);
        }
        Ok(Property { value: self.property_value()?, name })
    }

    fn property_value(&mut self) -> Parsed<PropertyValue> {
        if self.at(Symbol::OpenBrace) {
            return self.property_map().map(PropertyValue::Map);
        }
        match self.literal() {
            Some(literal) => Ok(PropertyValue::Literal(literal)),
            None => self.identifier().map(PropertyValue::Keyword),
        }
    }

    /// `{'key': value, …}`
    pub(super) fn property_map(&mut self) -> Parsed<PropertyMap> {
        let position = self.expect(Symbol::OpenBrace)?.position;
        let mut entries = Vec::new();
        if !self.take_if(Symbol::CloseBrace) {
            let terms = self.comma_separated(Self::map_entry)?;
            self.expect(Symbol::CloseBrace)?;
            let mut seen = Seen::new();
            for (key, value) in terms {
                let entry = self.property_entry(key, value)?;
                if !seen.insert(entry.0.text.clone()) {
                    let message = format!("Multiple definition for property {}", entry.0.text);
                    return self.rule_broken(entry.0.position, message);
                }
                entries.push(entry);
            }
        }
        Ok(PropertyMap { entries, position })
    }

    fn property_entry(&mut self, key: Term, value: Term) -> Parsed<(Literal, Literal)> {
        let literals = match (key, value) {
            (Term::Literal(key), Term::Literal(value)) => Ok((key, value)),
            (Term::Literal(key), value) => {
                let message = format!("Invalid property value: {value} for property: {key}");
                Err((message, value))
            }
            (key, _) => Err((format!("Invalid property name: {key}"), key)),
        };
        literals.or_else(|(mut message, culprit)| {
            if matches!(culprit, Term::Marker(_)) {
                message.push_str(" (bind variables are not supported in DDL queries)");
            }
            self.rule_broken(culprit.position(), message)
        })
    }

    /// What stands after WITH for a table or a view.
    pub(super) fn table_options(&mut self, view: bool) -> Parsed<Vec<TableOption>> {
        if !self.take_if(Keyword::With) {
            return Ok(Vec::new());
        }
        let mut seen = Seen::new();
        self.and_separated(|parser| {
            let position = parser.position();
            if parser.at(Keyword::Compact) && !parser.at_ahead(1, Symbol::Equal) {
                return parser.compact_storage(view, position);
            }
            if parser.at(Keyword::Clustering) && !parser.at_ahead(1, Symbol::Equal) {
                return parser.clustering_order(position);
            }
            parser.property(&mut seen).map(TableOption::Property)
        })
    }

    fn compact_storage(&mut self, view: bool, position: Position) -> Parsed<TableOption> {
        self.expect_all(&[Keyword::Compact, Keyword::Storage])?;
        if view {
            let message =
                "COMPACT STORAGE tables are not allowed starting with version 4.0".to_owned();
            return self.rule_broken(position, message);
        }
        Ok(TableOption::CompactStorage(position))
    }

    fn clustering_order(&mut self, position: Position) -> Parsed<TableOption> {
        self.expect_all(&[Keyword::Clustering, Keyword::Order, Keyword::By])?;
        self.expect(Symbol::OpenParen)?;
        let columns = self.comma_separated(|parser| {
            let column = parser.identifier()?;
            if parser.take_if(Keyword::Desc) {
                return Ok((column, Direction::Descending));
            }
            if parser.take_if(Keyword::Asc) {
                return Ok((column, Direction::Ascending));
            }
            parser.no_viable()
        })?;
        self.expect(Symbol::CloseParen)?;
        Ok(TableOption::ClusteringOrder { columns, position })
    }
}
