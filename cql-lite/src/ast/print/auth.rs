//! Roles, users, identities and permissions.

use std::fmt::{Display, Formatter, Result};

use super::table::with;
use super::term::enclosed;
use super::{separated, separated_by, string, when};
use crate::ast::{
    AddIdentity, AlterRole, AlterUser, CreateRole, CreateUser, DropIdentity, DropRole,
    ListPermissions, ListRoles, Permission, PermissionGrant, Permissions, Resource, RoleGrant,
    RoleName, RoleOption, UserPassword,
};

impl Display for CreateRole {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE ROLE ")?;
        when(f, self.if_not_exists, "IF NOT EXISTS ")?;
        self.name.fmt(f)?;
        with(f, &self.options)
    }
}

impl Display for AlterRole {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ALTER ROLE ")?;
        when(f, self.if_exists, "IF EXISTS ")?;
        self.name.fmt(f)?;
        with(f, &self.options)
    }
}

/// `DROP what name`
pub(super) fn drop_of(f: &mut Formatter<'_>, what: &str, drop: &DropRole) -> Result {
    write!(f, "DROP {what} ")?;
    when(f, drop.if_exists, "IF EXISTS ")?;
    drop.name.fmt(f)
}

impl Display for RoleOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            RoleOption::Password(password) => {
                f.write_str("PASSWORD = ")?;
                string(f, password)
            }
            RoleOption::HashedPassword(password) => {
                f.write_str("HASHED PASSWORD = ")?;
                string(f, password)
            }
            RoleOption::Options(options) => write!(f, "OPTIONS = {options}"),
            RoleOption::Superuser(superuser) => write!(f, "SUPERUSER = {superuser}"),
            RoleOption::Login(login) => write!(f, "LOGIN = {login}"),
            RoleOption::AccessToAllDatacenters => f.write_str("ACCESS TO ALL DATACENTERS"),
            RoleOption::AccessToDatacenters(names) => names_of(f, "ACCESS TO DATACENTERS", names),
            RoleOption::AccessFromAllCidrs => f.write_str("ACCESS FROM ALL CIDRS"),
            RoleOption::AccessFromCidrs(names) => names_of(f, "ACCESS FROM CIDRS", names),
        }
    }
}

fn names_of(f: &mut Formatter<'_>, what: &str, names: &[String]) -> Result {
    write!(f, "{what} {{")?;
    separated_by(f, names, ", ", |f, name| string(f, name))?;
    f.write_str("}")
}

impl Display for CreateUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("CREATE USER ")?;
        when(f, self.if_not_exists, "IF NOT EXISTS ")?;
        self.name.fmt(f)?;
        user_options(f, self.password.as_ref(), self.superuser)
    }
}

impl Display for AlterUser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ALTER USER ")?;
        when(f, self.if_exists, "IF EXISTS ")?;
        self.name.fmt(f)?;
        user_options(f, self.password.as_ref(), self.superuser)
    }
}

fn user_options(
    f: &mut Formatter<'_>,
    password: Option<&UserPassword>,
    superuser: Option<bool>,
) -> Result {
    if let Some(password) = password {
        let (word, text) = match password {
            UserPassword::Plain(text) => ("PASSWORD", text),
            UserPassword::Hashed(text) => ("HASHED PASSWORD", text),
        };
        write!(f, " WITH {word} ")?;
        string(f, text)?;
    }
    f.write_str(match superuser {
        None => "",
        Some(true) => " SUPERUSER",
        Some(false) => " NOSUPERUSER",
    })
}

impl Display for AddIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("ADD IDENTITY ")?;
        when(f, self.if_not_exists, "IF NOT EXISTS ")?;
        write!(f, "{} TO ROLE {}", self.identity, self.role)
    }
}

impl Display for DropIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("DROP IDENTITY ")?;
        when(f, self.if_exists, "IF EXISTS ")?;
        self.identity.fmt(f)
    }
}

/// `verb role toward role`
pub(super) fn role_grant(
    f: &mut Formatter<'_>,
    verb: &str,
    toward: &str,
    grant: &RoleGrant,
) -> Result {
    write!(f, "{verb} {} {toward} {}", grant.role, grant.grantee)
}

/// `verb permissions ON resource toward role`
pub(super) fn permission_grant(
    f: &mut Formatter<'_>,
    verb: &str,
    toward: &str,
    grant: &PermissionGrant,
) -> Result {
    let PermissionGrant { permissions, resource, grantee } = grant;
    write!(f, "{verb} {permissions} ON {resource} {toward} {grantee}")
}

impl Display for Permissions {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Permissions::All => f.write_str("ALL PERMISSIONS"),
            Permissions::List(list) => separated(f, list, ", "),
        }
    }
}

impl Display for Permission {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.name())
    }
}

impl Display for Resource {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Resource::AllKeyspaces => f.write_str("ALL KEYSPACES"),
            Resource::Keyspace(keyspace) => write!(f, "KEYSPACE {keyspace}"),
            Resource::AllTables(keyspace) => write!(f, "ALL TABLES IN KEYSPACE {keyspace}"),
            Resource::Table(table) => write!(f, "TABLE {table}"),
            Resource::AllRoles => f.write_str("ALL ROLES"),
            Resource::Role(role) => write!(f, "ROLE {role}"),
            Resource::AllFunctions => f.write_str("ALL FUNCTIONS"),
            Resource::AllFunctionsIn(keyspace) => {
                write!(f, "ALL FUNCTIONS IN KEYSPACE {keyspace}")
            }
            Resource::Function { name, arguments } => {
                write!(f, "FUNCTION {name}")?;
                enclosed(f, "(", arguments, ")")
            }
            Resource::AllMbeans => f.write_str("ALL MBEANS"),
            Resource::Mbean(name) => {
                f.write_str("MBEAN ")?;
                string(f, name)
            }
            Resource::Mbeans(pattern) => {
                f.write_str("MBEANS ")?;
                string(f, pattern)
            }
        }
    }
}

impl Display for ListPermissions {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "LIST {}", self.permissions)?;
        if let Some(resource) = &self.resource {
            write!(f, " ON {resource}")?;
        }
        of_role(f, self.grantee.as_ref(), self.no_recursive)
    }
}

impl Display for ListRoles {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("LIST ROLES")?;
        of_role(f, self.grantee.as_ref(), self.no_recursive)
    }
}

fn of_role(f: &mut Formatter<'_>, role: Option<&RoleName>, no_recursive: bool) -> Result {
    if let Some(role) = role {
        write!(f, " OF {role}")?;
    }
    when(f, no_recursive, " NORECURSIVE")
}
