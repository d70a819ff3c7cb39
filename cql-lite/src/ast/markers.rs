//! Which bind markers a statement has, in the order of its text.

use super::{
    AssignmentOperation, Attribute, Attributes, BindMarker, ColumnDefinition, ColumnMask,
    ConditionPart, Delete, DeleteTarget, IfClause, InValues, Insert, InsertSource, JsonValue,
    Modification, PathStep, Predicate, Relation, RelationTarget, Select, Selection, Selector,
    Statement, TableAlteration, Term, Update,
};

impl Statement {
    /// The statement's bind markers in the order of its text, which is that of the values that a
    /// client binds by position. The `index` of each is its place in this list.
    pub fn bind_markers(&self) -> Vec<&BindMarker> {
        let mut markers = Markers(Vec::new());
        markers.statement(self);
        debug_assert!(markers.0.iter().enumerate().all(|(index, marker)| index == marker.index));
        markers.0
    }
}

/// The markers found so far.
struct Markers<'a>(Vec<&'a BindMarker>);

impl<'a> Markers<'a> {
    fn statement(&mut self, statement: &'a Statement) {
        match statement {
            Statement::Select(select) => self.select(select),
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Batch(batch) => {
                self.attributes(&batch.attributes);
                for statement in &batch.statements {
                    match statement {
                        Modification::Insert(insert) => self.insert(insert),
                        Modification::Update(update) => self.update(update),
                        Modification::Delete(delete) => self.delete(delete),
                    }
                }
            }
            Statement::CreateTable(create) => self.columns(&create.columns),
            Statement::AlterTable(alter) => match &alter.alteration {
                TableAlteration::Add { columns, .. } => self.columns(columns),
                TableAlteration::Mask { mask: Some(mask), .. } => self.mask(mask),
                _ => {}
            },
            Statement::CreateView(create) => {
                self.selection(&create.selection);
                self.relations(&create.relations);
            }
            Statement::CreateAggregate(create) => self.terms(create.initial_state.iter()),
            _ => {}
        }
    }

    fn select(&mut self, select: &'a Select) {
        self.selection(&select.selection);
        self.relations(&select.relations);
        self.selectors(&select.group_by);
        self.terms(select.order_by.iter().filter_map(|ordering| ordering.ann_of.as_ref()));
        self.terms(select.per_partition_limit.iter());
        self.terms(select.limit.iter());
    }

    fn selection(&mut self, selection: &'a Selection) {
        if let Selection::List(list) = selection {
            for selected in list {
                self.selector(&selected.selector);
            }
        }
    }

    fn insert(&mut self, insert: &'a Insert) {
        match &insert.source {
            InsertSource::Values { values, .. } => self.terms(values),
            InsertSource::Json { value: JsonValue::Marker(marker), .. } => self.0.push(marker),
            InsertSource::Json { value: JsonValue::Literal(_), .. } => {}
        }
        self.attributes(&insert.attributes);
    }

    fn update(&mut self, update: &'a Update) {
        self.attributes(&update.attributes);
        for assignment in &update.assignments {
            match &assignment.operation {
                AssignmentOperation::Set(term)
                | AssignmentOperation::Add(term)
                | AssignmentOperation::Subtract(term)
                | AssignmentOperation::Prepend(term)
                | AssignmentOperation::SetField { value: term, .. } => self.term(term),
                AssignmentOperation::SetElement { key, value } => self.terms([key, value]),
            }
        }
        self.relations(&update.relations);
        self.condition(update.condition.as_ref());
    }

    fn delete(&mut self, delete: &'a Delete) {
        for target in &delete.targets {
            if let DeleteTarget::Element { key, .. } = target {
                self.term(key);
            }
        }
        self.attributes(&delete.attributes);
        self.relations(&delete.relations);
        self.condition(delete.condition.as_ref());
    }

    fn attributes(&mut self, attributes: &'a Attributes) {
        for attribute in &attributes.list {
            match attribute {
                Attribute::Timestamp(term) | Attribute::Ttl(term) => self.term(term),
            }
        }
    }

    fn columns(&mut self, columns: &'a [ColumnDefinition]) {
        for mask in columns.iter().filter_map(|column| column.mask.as_ref()) {
            self.mask(mask);
        }
    }

    fn mask(&mut self, mask: &'a ColumnMask) {
        self.terms(&mask.arguments);
    }

    fn relations(&mut self, relations: &'a [Relation]) {
        for relation in relations {
            match relation {
                Relation::CustomIndex { value, .. } => self.term(value),
                Relation::Predicate { target, predicate } => {
                    if let RelationTarget::Element { key, .. } = target {
                        self.term(key);
                    }
                    self.predicate(predicate);
                }
            }
        }
    }

    fn predicate(&mut self, predicate: &'a Predicate) {
        match predicate {
            Predicate::Compare { value, .. }
            | Predicate::Contains(value)
            | Predicate::ContainsKey(value)
            | Predicate::Like(value) => self.term(value),
            Predicate::Between { low, high } => self.terms([low, high]),
            Predicate::In(InValues::Marker(marker)) => self.0.push(marker),
            Predicate::In(InValues::List(values)) => self.terms(values),
            Predicate::IsNotNull => {}
        }
    }

    fn condition(&mut self, condition: Option<&'a IfClause>) {
        let Some(IfClause::Conditions(conditions)) = condition else { return };
        for condition in conditions {
            if let ConditionPart::Element(key) = &condition.part {
                self.term(key);
            }
            self.predicate(&condition.predicate);
        }
    }

    fn terms(&mut self, terms: impl IntoIterator<Item = &'a Term>) {
        for term in terms {
            self.term(term);
        }
    }

    fn term(&mut self, term: &'a Term) {
        match term {
            Term::Literal(_) | Term::Null(_) => {}
            Term::Marker(marker) => self.0.push(marker),
            Term::List(sequence) | Term::Set(sequence) | Term::Tuple(sequence) => {
                self.terms(&sequence.elements);
            }
            Term::Map(map) => self.terms(map.entries.iter().flat_map(|(key, value)| [key, value])),
            Term::Udt(udt) => self.terms(udt.fields.iter().map(|(_, value)| value)),
            Term::Function(call) => self.terms(&call.arguments),
            Term::TypeHint(hint) => self.term(&hint.term),
            Term::Cast(cast) => self.term(&cast.term),
            Term::Arithmetic(arithmetic) => {
                self.term(&arithmetic.first);
                self.terms(arithmetic.rest.iter().map(|step| &step.operand));
            }
            Term::Negate(negate) => self.term(&negate.operand),
        }
    }

    fn selectors(&mut self, selectors: &'a [Selector]) {
        for selector in selectors {
            self.selector(selector);
        }
    }

    fn selector(&mut self, selector: &'a Selector) {
        match selector {
            Selector::Column(_) | Selector::CountRows(_) => {}
            Selector::Term(term) => self.term(term),
            Selector::CellInfo(info) => self.path(&info.path),
            Selector::Cast(cast) => self.selector(&cast.selector),
            Selector::Function(call) => self.selectors(&call.arguments),
            Selector::TypeHint(hint) => self.selector(&hint.selector),
            Selector::Parenthesized(sequence)
            | Selector::List(sequence)
            | Selector::Set(sequence) => self.selectors(&sequence.elements),
            Selector::MapOrUdt(map) => {
                for (key, value) in &map.entries {
                    self.selector(key);
                    self.selector(value);
                }
            }
            Selector::Path(path) => {
                self.selector(&path.base);
                self.path(&path.steps);
            }
            Selector::Arithmetic(arithmetic) => {
                self.selector(&arithmetic.first);
                for step in &arithmetic.rest {
                    self.selector(&step.operand);
                }
            }
            Selector::Negate(negate) => self.selector(&negate.operand),
        }
    }

    fn path(&mut self, steps: &'a [PathStep]) {
        for step in steps {
            match step {
                PathStep::Field(_) => {}
                PathStep::Element(key) => self.term(key),
                PathStep::Slice(from, to) => self.terms(from.iter().chain(to)),
            }
        }
    }
}
