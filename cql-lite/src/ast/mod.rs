//! The syntax tree: one type for every statement of CQL 3.4.7.
//!
//! A tree holds what was written and checks nothing that needs the schema. Nodes that an error
//! may point to carry a [`Position`]; positions never make two trees unequal. `Display` writes CQL
//! that parses back to an equal tree.

mod auth;
mod describe;
mod markers;
mod modify;
mod name;
mod position;
mod print;
mod relation;
mod schema;
mod select;
mod table;
mod term;
mod type_name;

pub use auth::*;
pub use describe::*;
pub use modify::*;
pub use name::*;
pub use position::*;
pub use relation::*;
pub use schema::*;
pub use select::*;
pub use table::*;
pub use term::*;
pub use type_name::*;

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `SELECT`
    Select(Box<Select>),
    /// `INSERT`
    Insert(Box<Insert>),
    /// `UPDATE`
    Update(Box<Update>),
    /// `DELETE`
    Delete(Box<Delete>),
    /// `BEGIN BATCH … APPLY BATCH`
    Batch(Batch),
    /// `USE keyspace`
    Use(Identifier),
    /// `TRUNCATE [TABLE] table`
    Truncate(QualifiedName),
    /// `CREATE KEYSPACE`
    CreateKeyspace(CreateKeyspace),
    /// `ALTER KEYSPACE`
    AlterKeyspace(AlterKeyspace),
    /// `DROP KEYSPACE`
    DropKeyspace(DropKeyspace),
    /// `CREATE TABLE`
    CreateTable(Box<CreateTable>),
    /// `ALTER TABLE`
    AlterTable(Box<AlterTable>),
    /// `DROP TABLE`
    DropTable(Drop),
    /// `CREATE TYPE`
    CreateType(CreateType),
    /// `ALTER TYPE`
    AlterType(Box<AlterType>),
    /// `DROP TYPE`
    DropType(Drop),
    /// `CREATE INDEX`
    CreateIndex(Box<CreateIndex>),
    /// `DROP INDEX`
    DropIndex(Drop),
    /// `CREATE MATERIALIZED VIEW`
    CreateView(Box<CreateView>),
    /// `ALTER MATERIALIZED VIEW`
    AlterView(AlterView),
    /// `DROP MATERIALIZED VIEW`
    DropView(Drop),
    /// `CREATE TRIGGER`
    CreateTrigger(Box<CreateTrigger>),
    /// `DROP TRIGGER`
    DropTrigger(DropTrigger),
    /// `CREATE FUNCTION`
    CreateFunction(Box<CreateFunction>),
    /// `DROP FUNCTION`
    DropFunction(DropFunction),
    /// `CREATE AGGREGATE`
    CreateAggregate(Box<CreateAggregate>),
    /// `DROP AGGREGATE`
    DropAggregate(DropFunction),
    /// `CREATE ROLE`
    CreateRole(CreateRole),
    /// `ALTER ROLE`
    AlterRole(AlterRole),
    /// `DROP ROLE`
    DropRole(DropRole),
    /// `CREATE USER`
    CreateUser(CreateUser),
    /// `ALTER USER`
    AlterUser(AlterUser),
    /// `DROP USER`
    DropUser(DropRole),
    /// `ADD IDENTITY`
    AddIdentity(AddIdentity),
    /// `DROP IDENTITY`
    DropIdentity(DropIdentity),
    /// `GRANT role TO role`
    GrantRole(RoleGrant),
    /// `REVOKE role FROM role`
    RevokeRole(RoleGrant),
    /// `GRANT permissions ON resource TO role`
    Grant(Box<PermissionGrant>),
    /// `REVOKE permissions ON resource FROM role`
    Revoke(Box<PermissionGrant>),
    /// `LIST permissions`
    ListPermissions(Box<ListPermissions>),
    /// `LIST ROLES`
    ListRoles(ListRoles),
    /// `LIST USERS`
    ListUsers,
    /// `LIST SUPERUSERS`
    ListSuperusers,
    /// `DESCRIBE`
    Describe(Describe),
}
