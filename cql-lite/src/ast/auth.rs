//! Roles, users, identities and permissions.

use super::{Identifier, PropertyMap, QualifiedName, RoleName, TypeName};

/// `CREATE ROLE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRole {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The role.
    pub name: RoleName,
    /// Its options.
    pub options: Vec<RoleOption>,
}

/// `ALTER ROLE …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterRole {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The role.
    pub name: RoleName,
    /// The new options.
    pub options: Vec<RoleOption>,
}

/// `DROP ROLE …`, `DROP USER …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropRole {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The role.
    pub name: RoleName,
}

/// An option of a role; each at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleOption {
    /// `PASSWORD = '…'`
    Password(String),
    /// `HASHED PASSWORD = '…'`; never beside a password.
    HashedPassword(String),
    /// `OPTIONS = {…}`
    Options(PropertyMap),
    /// `SUPERUSER = true`
    Superuser(bool),
    /// `LOGIN = true`
    Login(bool),
    /// `ACCESS TO ALL DATACENTERS`
    AccessToAllDatacenters,
    /// `ACCESS TO DATACENTERS {'…', …}`
    AccessToDatacenters(Vec<String>),
    /// `ACCESS FROM ALL CIDRS`
    AccessFromAllCidrs,
    /// `ACCESS FROM CIDRS {'…', …}`
    AccessFromCidrs(Vec<String>),
}

/// `CREATE USER …`; a role that may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateUser {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The user.
    pub name: RoleName,
    /// `WITH [HASHED] PASSWORD '…'`
    pub password: Option<UserPassword>,
    /// `SUPERUSER` or `NOSUPERUSER`, if written.
    pub superuser: Option<bool>,
}

/// `ALTER USER …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterUser {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The user.
    pub name: RoleName,
    /// `WITH [HASHED] PASSWORD '…'`
    pub password: Option<UserPassword>,
    /// `SUPERUSER` or `NOSUPERUSER`, if written.
    pub superuser: Option<bool>,
}

/// A user's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPassword {
    /// `PASSWORD '…'`
    Plain(String),
    /// `HASHED PASSWORD '…'`
    Hashed(String),
}

/// `ADD IDENTITY '…' TO ROLE '…'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddIdentity {
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The identity; its case is kept even where it was not quoted.
    pub identity: RoleName,
    /// The role; its case is kept even where it was not quoted.
    pub role: RoleName,
}

/// `DROP IDENTITY '…'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropIdentity {
    /// `IF EXISTS`
    pub if_exists: bool,
    /// The identity; its case is kept even where it was not quoted.
    pub identity: RoleName,
}

/// `GRANT role TO role`, `REVOKE role FROM role`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleGrant {
    /// The role that is given or taken.
    pub role: RoleName,
    /// The role that gets or loses it.
    pub grantee: RoleName,
}

/// `GRANT … ON … TO …`, `REVOKE … ON … FROM …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionGrant {
    /// What is given or taken.
    pub permissions: Permissions,
    /// On what.
    pub resource: Resource,
    /// Whom it concerns.
    pub grantee: RoleName,
}

/// The permissions that a statement names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// `ALL [PERMISSIONS]`
    All,
    /// `SELECT, MODIFY, …`; at least one.
    List(Vec<Permission>),
}

/// A permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// `CREATE`
    Create,
    /// `ALTER`
    Alter,
    /// `DROP`
    Drop,
    /// `SELECT`
    Select,
    /// `MODIFY`
    Modify,
    /// `AUTHORIZE`
    Authorize,
    /// `DESCRIBE`
    Describe,
    /// `EXECUTE`
    Execute,
    /// `UNMASK`
    Unmask,
    /// `SELECT_MASKED`
    SelectMasked,
}

impl Permission {
    /// Every permission.
    pub const ALL: &'static [Permission] = &[
        Permission::Create,
        Permission::Alter,
        Permission::Drop,
        Permission::Select,
        Permission::Modify,
        Permission::Authorize,
        Permission::Describe,
        Permission::Execute,
        Permission::Unmask,
        Permission::SelectMasked,
    ];

    /// Its name in CQL and in the permissions table.
    pub fn name(self) -> &'static str {
        match self {
            Permission::Create => "CREATE",
            Permission::Alter => "ALTER",
            Permission::Drop => "DROP",
            Permission::Select => "SELECT",
            Permission::Modify => "MODIFY",
            Permission::Authorize => "AUTHORIZE",
            Permission::Describe => "DESCRIBE",
            Permission::Execute => "EXECUTE",
            Permission::Unmask => "UNMASK",
            Permission::SelectMasked => "SELECT_MASKED",
        }
    }
}

/// What permissions are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `ALL KEYSPACES`
    AllKeyspaces,
    /// `KEYSPACE ks`
    Keyspace(Identifier),
    /// `ALL TABLES IN KEYSPACE ks`
    AllTables(Identifier),
    /// `[TABLE] t`
    Table(QualifiedName),
    /// `ALL ROLES`
    AllRoles,
    /// `ROLE r`
    Role(RoleName),
    /// `ALL FUNCTIONS`
    AllFunctions,
    /// `ALL FUNCTIONS IN KEYSPACE ks`
    AllFunctionsIn(Identifier),
    /// `FUNCTION f(types)`
    Function {
        /// The function.
        name: QualifiedName,
        /// The types of its arguments.
        arguments: Vec<TypeName>,
    },
    /// `ALL MBEANS`
    AllMbeans,
    /// `MBEAN 'name'`
    Mbean(String),
    /// `MBEANS 'pattern'`
    Mbeans(String),
}

/// `LIST permissions [ON resource] [OF role] [NORECURSIVE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPermissions {
    /// Which permissions.
    pub permissions: Permissions,
    /// On what.
    pub resource: Option<Resource>,
    /// Whose.
    pub grantee: Option<RoleName>,
    /// `NORECURSIVE`: without those that other roles and resources hand down.
    pub no_recursive: bool,
}

/// `LIST ROLES [OF role] [NORECURSIVE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRoles {
    /// Whose roles.
    pub grantee: Option<RoleName>,
    /// `NORECURSIVE`: without those that other roles hand down.
    pub no_recursive: bool,
}
