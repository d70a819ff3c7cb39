//! Everything of the schema but tables and views: keyspaces, types, indexes, triggers, functions,
//! aggregates.

use super::{Identifier, Property, QualifiedName, Term, TypeName};

/// `CREATE KEYSPACE … WITH …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateKeyspace {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The keyspace.
    pub keyspace: Identifier,
    /// Its properties; at least one.
    pub properties: Vec<Property>,
}

/// `ALTER KEYSPACE … WITH …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterKeyspace {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The keyspace.
    pub keyspace: Identifier,
    /// The new properties; at least one.
    pub properties: Vec<Property>,
}

/// `DROP KEYSPACE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropKeyspace {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The keyspace.
    pub keyspace: Identifier,
}

/// `DROP TABLE`, `DROP TYPE`, `DROP INDEX`, `DROP MATERIALIZED VIEW`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drop {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// What is dropped.
    pub name: QualifiedName,
}

/// `CREATE TYPE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateType {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The type.
    pub name: QualifiedName,
    /// Its fields; at least one.
    pub fields: Vec<(Identifier, TypeName)>,
}

/// `ALTER TYPE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterType {
    /// `IF EXISTS` before the type's name.
    pub if_exists: bool,
    /// The type.
    pub name: QualifiedName,
    /// What is altered.
    pub alteration: TypeAlteration,
}

/// What an ALTER TYPE does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeAlteration {
    /// `ALTER field TYPE type`
    FieldType {
        /// The field.
        field: Identifier,
        /// Its new type.
        type_name: TypeName,
    },
    /// `ADD [IF NOT EXISTS] field type`
    Add {
        /// `IF NOT EXISTS` before the field's name.
        if_not_exists: bool,
        /// The field.
        field: Identifier,
        /// Its type.
        type_name: TypeName,
    },
    /// `RENAME [IF EXISTS] a TO b AND …`
    Rename {
        /// `IF EXISTS` before the fields.
        if_exists: bool,
        /// The fields with their new names; at least one.
        renames: Vec<(Identifier, Identifier)>,
    },
}

/// `CREATE [CUSTOM] INDEX …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateIndex {
    /// `CUSTOM`
    pub custom: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The index's name, if written.
    pub name: Option<Identifier>,
    /// The table.
    pub table: QualifiedName,
    /// What is indexed; may be empty for a custom index.
    pub targets: Vec<IndexTarget>,
    /// `USING 'class'`
    pub class: Option<String>,
    /// What stands after WITH.
    pub properties: Vec<Property>,
}

/// What an index is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexTarget {
    /// Which part of the column.
    pub kind: IndexTargetKind,
    /// The column.
    pub column: Identifier,
}

/// The part of a column that is indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IndexTargetKind {
    /// `column`
    Simple,
    /// `VALUES(column)`
    Values,
    /// `KEYS(column)`
    Keys,
    /// `ENTRIES(column)`
    Entries,
    /// `FULL(column)`
    Full,
}

/// `CREATE TRIGGER … ON … USING 'class'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTrigger {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The trigger.
    pub name: Identifier,
    /// The table.
    pub table: QualifiedName,
    /// The Java class.
    pub class: String,
}

/// `DROP TRIGGER … ON …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropTrigger {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The trigger.
    pub name: Identifier,
    /// The table.
    pub table: QualifiedName,
}

/// `CREATE [OR REPLACE] FUNCTION …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateFunction {
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The function.
    pub name: QualifiedName,
    /// Its arguments.
    pub arguments: Vec<(Identifier, TypeName)>,
    /// `CALLED ON NULL INPUT`; otherwise `RETURNS NULL ON NULL INPUT`.
    pub called_on_null: bool,
    /// What it returns.
    pub returns: TypeName,
    /// The language, in lower case.
    pub language: Identifier,
    /// The source.
    pub body: String,
}

/// `CREATE [OR REPLACE] AGGREGATE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateAggregate {
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The aggregate.
    pub name: QualifiedName,
    /// The types of its arguments.
    pub arguments: Vec<TypeName>,
    /// `SFUNC`
    pub state_function: Identifier,
    /// `STYPE`
    pub state_type: TypeName,
    /// `FINALFUNC`
    pub final_function: Option<Identifier>,
    /// `INITCOND`
    pub initial_state: Option<Term>,
}

/// `DROP FUNCTION`, `DROP AGGREGATE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropFunction {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The function or aggregate.
    pub name: QualifiedName,
    /// The types of its arguments, if they were written.
    pub arguments: Option<Vec<TypeName>>,
}
