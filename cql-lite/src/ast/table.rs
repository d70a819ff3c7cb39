//! Tables and materialized views: CREATE, ALTER, and their properties.

use super::{
    Direction, Identifier, Literal, Position, QualifiedName, Relation, Selection, Term, TypeName,
};

/// `name = value` after WITH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The property's name.
    pub name: Identifier,
    /// Its value.
    pub value: PropertyValue,
}

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// A constant. Properties are taken by their text: `1` and `'1'` are the same.
    Literal(Literal),
    /// A bare unreserved keyword, in lower case.
    Keyword(Identifier),
    /// `{'key': value, …}`
    Map(PropertyMap),
}

/// `{'key': value, …}`: constants only, no key twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyMap {
    /// The entries in the order written.
    pub entries: Vec<(Literal, Literal)>,
    /// Where the opening brace stands.
    pub position: Position,
}

/// `CREATE TABLE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTable {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The table.
    pub table: QualifiedName,
    /// The columns in the order written.
    pub columns: Vec<ColumnDefinition>,
    /// The separate `PRIMARY KEY (…)`s. That there is exactly one primary key, here or at a
    /// column, is not checked here.
    pub primary_keys: Vec<PrimaryKey>,
    /// What stands after WITH.
    pub options: Vec<TableOption>,
}

/// `name type [STATIC] [MASKED WITH …] [PRIMARY KEY]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// The column.
    pub name: Identifier,
    /// Its type.
    pub type_name: TypeName,
    /// `STATIC`
    pub is_static: bool,
    /// `MASKED WITH …`
    pub mask: Option<ColumnMask>,
    /// `PRIMARY KEY`; never in ALTER TABLE.
    pub primary_key: bool,
}

/// `MASKED WITH function(…)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnMask {
    /// The function; `None` is `DEFAULT`.
    pub function: Option<QualifiedName>,
    /// Its arguments after the column's value.
    pub arguments: Vec<Term>,
    /// Where `MASKED` stands.
    pub position: Position,
}

/// `PRIMARY KEY ((a, b), c, d)`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryKey {
    /// The partition key's columns; at least one.
    pub partition: Vec<Identifier>,
    /// The clustering columns.
    pub clustering: Vec<Identifier>,
    /// Where `PRIMARY` stands.
    pub position: Position,
}

/// One part of what stands after WITH, for a table or a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableOption {
    /// `name = value`
    Property(Property),
    /// `COMPACT STORAGE`; never for a view.
    CompactStorage(Position),
    /// `CLUSTERING ORDER BY (a ASC, b DESC)`
    ClusteringOrder {
        /// The columns with their directions.
        columns: Vec<(Identifier, Direction)>,
        /// Where `CLUSTERING` stands.
        position: Position,
    },
}

/// `ALTER TABLE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTable {
    /// `IF EXISTS` before the table's name.
    pub if_exists: bool,
    /// The table.
    pub table: QualifiedName,
    /// What is altered.
    pub alteration: TableAlteration,
}

/// What an ALTER TABLE does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableAlteration {
    /// `ALTER column TYPE type`
    ColumnType {
        /// The column.
        column: Identifier,
        /// The new type.
        type_name: TypeName,
    },
    /// `ALTER [IF EXISTS] column MASKED WITH …`, or `DROP MASKED` if there is no mask.
    Mask {
        /// `IF EXISTS` before the column's name.
        if_exists: bool,
        /// The column.
        column: Identifier,
        /// The new mask.
        mask: Option<ColumnMask>,
    },
    /// `ADD [IF NOT EXISTS] a int` or `ADD (a int, b text)`
    Add {
        /// `IF NOT EXISTS` before the columns.
        if_not_exists: bool,
        /// The columns; at least one.
        columns: Vec<ColumnDefinition>,
    },
    /// `DROP [IF EXISTS] a` or `DROP (a, b)`
    Drop {
        /// `IF EXISTS` before the columns.
        if_exists: bool,
        /// The columns; at least one.
        columns: Vec<Identifier>,
        /// `USING TIMESTAMP microseconds`
        timestamp: Option<i64>,
    },
    /// `RENAME [IF EXISTS] a TO b AND …`
    Rename {
        /// `IF EXISTS` before the columns.
        if_exists: bool,
        /// The columns with their new names; at least one.
        renames: Vec<(Identifier, Identifier)>,
    },
    /// `DROP COMPACT STORAGE`
    DropCompactStorage,
    /// `WITH name = value AND …`
    Properties(Vec<Property>),
}

/// `CREATE MATERIALIZED VIEW …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateView {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The view.
    pub view: QualifiedName,
    /// What it selects.
    pub selection: Selection,
    /// The table that it is a view of.
    pub base_table: QualifiedName,
    /// The WHERE clause; empty if there is none.
    pub relations: Vec<Relation>,
    /// `PRIMARY KEY (…)`
    pub primary_key: PrimaryKey,
    /// What stands after WITH.
    pub options: Vec<TableOption>,
}

/// `ALTER MATERIALIZED VIEW … WITH …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterView {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The view.
    pub view: QualifiedName,
    /// The new properties; at least one.
    pub properties: Vec<Property>,
}
