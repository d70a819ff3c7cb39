//! Roles, users, identities and permissions.

use std::collections::BTreeSet;

use super::cursor::{Parsed, Parser};
use crate::ast::{
    AddIdentity, AlterRole, AlterUser, CreateRole, CreateUser, DropIdentity, DropRole,
    ListPermissions, ListRoles, Permission, PermissionGrant, Permissions, Resource, RoleGrant,
    RoleName, RoleOption, Statement, UserPassword,
};
use crate::lexer::{Keyword, Symbol, TokenKind};

/// Cassandra's words for a user's name in double quotes.
const USER_NAMES: &str = "user names and USER is deprecated, please use ROLE";

impl Parser<'_> {
    /// What stands after `CREATE ROLE`.
    pub(super) fn create_role(&mut self) -> Parsed<CreateRole> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.role_name()?;
        Ok(CreateRole { if_not_exists, name, options: self.role_options()? })
    }

    /// What stands after `ALTER ROLE`.
    pub(super) fn alter_role(&mut self) -> Parsed<AlterRole> {
        let if_exists = self.if_exists()?;
        let name = self.role_name()?;
        Ok(AlterRole { if_exists, name, options: self.role_options()? })
    }

    /// What stands after `DROP ROLE`.
    pub(super) fn drop_role(&mut self) -> Parsed<DropRole> {
        let if_exists = self.if_exists()?;
        Ok(DropRole { if_exists, name: self.role_name()? })
    }

    fn role_options(&mut self) -> Parsed<Vec<RoleOption>> {
        if !self.take_if(Keyword::With) {
            return Ok(Vec::new());
        }
        let position = self.position();
        let mut seen = BTreeSet::new();
        let options = self.and_separated(|parser| {
            let position = parser.position();
            let option = parser.role_option()?;
            if let Some(name) = exclusive_name(&option)
                && !seen.insert(name)
            {
                let message = format!("Multiple definition for property '{name}'");
                return parser.rule_broken(position, message);
            }
            Ok(option)
        })?;
        let plain = options.iter().any(|option| matches!(option, RoleOption::Password(_)));
        let hashed = options.iter().any(|option| matches!(option, RoleOption::HashedPassword(_)));
        if plain && hashed {
            let message =
                "Options 'password' and 'hashed password' are mutually exclusive".to_owned();
            return self.rule_broken(position, message);
        }
        Ok(options)
    }

    fn role_option(&mut self) -> Parsed<RoleOption> {
        let next = self.peek();
        let TokenKind::Keyword(keyword) = next.kind else { return self.no_viable() };
        match keyword {
            Keyword::Password => {
                self.take();
                self.expect(Symbol::Equal)?;
                Ok(RoleOption::Password(self.string()?))
            }
            Keyword::Hashed => {
                self.expect_all(&[Keyword::Hashed, Keyword::Password])?;
                self.expect(Symbol::Equal)?;
                Ok(RoleOption::HashedPassword(self.string()?))
            }
            Keyword::Options => {
                self.take();
                self.expect(Symbol::Equal)?;
                Ok(RoleOption::Options(self.property_map()?))
            }
            Keyword::Superuser => {
                self.take();
                self.boolean().map(RoleOption::Superuser)
            }
            Keyword::Login => {
                self.take();
                self.boolean().map(RoleOption::Login)
            }
            Keyword::Access => self.role_access(),
            _ => self.no_viable(),
        }
    }

    /// `= true`
    fn boolean(&mut self) -> Parsed<bool> {
        self.expect(Symbol::Equal)?;
        let token = self.expect(TokenKind::Boolean)?;
        Ok(token.source(self.input()).eq_ignore_ascii_case("true"))
    }

    fn role_access(&mut self) -> Parsed<RoleOption> {
        self.take();
        let to = match self.peek().kind {
            TokenKind::Keyword(Keyword::To) => true,
            TokenKind::Keyword(Keyword::From) => false,
            _ => return self.no_viable(),
        };
        self.take();
        let what = if to { Keyword::Datacenters } else { Keyword::Cidrs };
        if self.take_if(Keyword::All) {
            self.expect(what)?;
            let everywhere = if to {
                RoleOption::AccessToAllDatacenters
            } else {
                RoleOption::AccessFromAllCidrs
            };
            return Ok(everywhere);
        }
        if !self.take_if(what) {
            return self.no_viable();
        }
        self.expect(Symbol::OpenBrace)?;
        let names = self.comma_separated(Self::string)?;
        self.expect(Symbol::CloseBrace)?;
        Ok(if to {
            RoleOption::AccessToDatacenters(names)
        } else {
            RoleOption::AccessFromCidrs(names)
        })
    }

    /// What stands after `CREATE USER`.
    pub(super) fn create_user(&mut self) -> Parsed<CreateUser> {
        let if_not_exists = self.if_not_exists()?;
        let name = self.user_name(USER_NAMES)?;
        let password = self.user_password()?;
        Ok(CreateUser { if_not_exists, name, password, superuser: self.superuser() })
    }

    /// What stands after `ALTER USER`.
    pub(super) fn alter_user(&mut self) -> Parsed<AlterUser> {
        let if_exists = self.if_exists()?;
        let name = self.user_name(USER_NAMES)?;
        let password = self.user_password()?;
        Ok(AlterUser { if_exists, name, password, superuser: self.superuser() })
    }

    /// What stands after `DROP USER`.
    pub(super) fn drop_user(&mut self) -> Parsed<DropRole> {
        let if_exists = self.if_exists()?;
        Ok(DropRole { if_exists, name: self.user_name(USER_NAMES)? })
    }

    fn user_password(&mut self) -> Parsed<Option<UserPassword>> {
        if !self.take_if(Keyword::With) {
            return Ok(None);
        }
        if self.take_if(Keyword::Password) {
            return Ok(Some(UserPassword::Plain(self.string()?)));
        }
        if self.take_phrase(&[Keyword::Hashed, Keyword::Password])? {
            return Ok(Some(UserPassword::Hashed(self.string()?)));
        }
        self.no_viable()
    }

    fn superuser(&mut self) -> Option<bool> {
        if self.take_if(Keyword::Superuser) {
            return Some(true);
        }
        self.take_if(Keyword::NoSuperuser).then_some(false)
    }

    /// What stands after `ADD IDENTITY`.
    pub(super) fn add_identity(&mut self) -> Parsed<AddIdentity> {
        let if_not_exists = self.if_not_exists()?;
        let identity = self.user_name("identity")?;
        self.expect_all(&[Keyword::To, Keyword::Role])?;
        Ok(AddIdentity { if_not_exists, identity, role: self.user_name("identity")? })
    }

    /// What stands after `DROP IDENTITY`.
    pub(super) fn drop_identity(&mut self) -> Parsed<DropIdentity> {
        let if_exists = self.if_exists()?;
        Ok(DropIdentity { if_exists, identity: self.user_name("identity")? })
    }

    /// `GRANT …` or `REVOKE …`; the keyword is next.
    pub(super) fn grant_or_revoke(&mut self) -> Parsed<Statement> {
        let grant = self.take().kind == Keyword::Grant.into();
        let toward = if grant { Keyword::To } else { Keyword::From };
        if self.at_permissions(toward) {
            let permissions = self.permissions()?;
            self.expect(Keyword::On)?;
            let resource = self.resource()?;
            self.expect(toward)?;
            let change =
                Box::new(PermissionGrant { permissions, resource, grantee: self.role_name()? });
            return Ok(if grant { Statement::Grant(change) } else { Statement::Revoke(change) });
        }
        let role = self.role_name()?;
        self.expect(toward)?;
        let change = RoleGrant { role, grantee: self.role_name()? };
        Ok(if grant { Statement::GrantRole(change) } else { Statement::RevokeRole(change) })
    }

    /// Whether permissions are next; some of their names could also be roles.
    fn at_permissions(&mut self, toward: Keyword) -> bool {
        match self.peek().kind {
            TokenKind::Keyword(Keyword::All | Keyword::Unmask | Keyword::SelectMasked) => {
                !self.at_ahead(1, toward)
            }
            TokenKind::Keyword(keyword) => permission(keyword).is_some(),
            _ => false,
        }
    }

    fn permissions(&mut self) -> Parsed<Permissions> {
        if self.take_if(Keyword::All) {
            self.take_if(Keyword::Permissions);
            return Ok(Permissions::All);
        }
        self.comma_separated(|parser| {
            if let TokenKind::Keyword(keyword) = parser.peek().kind
                && let Some(permission) = permission(keyword)
            {
                parser.take();
                parser.take_if(Keyword::Permission);
                return Ok(permission);
            }
            parser.no_viable()
        })
        .map(Permissions::List)
    }

    fn resource(&mut self) -> Parsed<Resource> {
        match self.peek().kind {
            TokenKind::Keyword(Keyword::All) if self.all_of_something() => self.all_resources(),
            TokenKind::Keyword(Keyword::Keyspace | Keyword::Schema) => {
                self.take();
                self.keyspace_name().map(Resource::Keyspace)
            }
            TokenKind::Keyword(Keyword::Table | Keyword::ColumnFamily) => {
                self.take();
                self.table_name().map(Resource::Table)
            }
            TokenKind::Keyword(Keyword::Role) if self.names_follow() => {
                self.take();
                self.role_name().map(Resource::Role)
            }
            TokenKind::Keyword(Keyword::Function) if self.names_follow() => {
                self.take();
                let name = self.function_name()?;
                Ok(Resource::Function { name, arguments: self.argument_types()? })
            }
            TokenKind::Keyword(Keyword::Mbean) if self.at_ahead(1, TokenKind::String) => {
                self.take();
                self.string().map(Resource::Mbean)
            }
            TokenKind::Keyword(Keyword::Mbeans) if self.at_ahead(1, TokenKind::String) => {
                self.take();
                self.string().map(Resource::Mbeans)
            }
            _ => self.table_name().map(Resource::Table),
        }
    }

    /// Whether a name stands after the next token, which is then no table's name.
    fn names_follow(&mut self) -> bool {
        let kind = self.peek_at(1).kind;
        kind == TokenKind::String || Self::is_identifier(kind) || Self::is_function_name(kind)
    }

    fn all_of_something(&mut self) -> bool {
        matches!(
            self.peek_at(1).kind,
            TokenKind::Keyword(
                Keyword::Keyspaces
                    | Keyword::Tables
                    | Keyword::ColumnFamilies
                    | Keyword::Roles
                    | Keyword::Functions
                    | Keyword::Mbeans
            )
        )
    }

    fn all_resources(&mut self) -> Parsed<Resource> {
        self.take();
        match self.take().kind {
            TokenKind::Keyword(Keyword::Keyspaces) => Ok(Resource::AllKeyspaces),
            TokenKind::Keyword(Keyword::Roles) => Ok(Resource::AllRoles),
            TokenKind::Keyword(Keyword::Mbeans) => Ok(Resource::AllMbeans),
            TokenKind::Keyword(Keyword::Functions) => {
                if !self.take_phrase(&[Keyword::In, Keyword::Keyspace])? {
                    return Ok(Resource::AllFunctions);
                }
                self.keyspace_name().map(Resource::AllFunctionsIn)
            }
            _ => {
                self.expect_all(&[Keyword::In, Keyword::Keyspace])?;
                self.keyspace_name().map(Resource::AllTables)
            }
        }
    }

    /// `LIST …`; the keyword is next.
    pub(super) fn list(&mut self) -> Parsed<Statement> {
        match self.peek_at(1).kind {
            TokenKind::Keyword(Keyword::Users) => {
                self.take();
                self.take();
                Ok(Statement::ListUsers)
            }
            TokenKind::Keyword(Keyword::Superusers) => {
                self.take();
                self.take();
                Ok(Statement::ListSuperusers)
            }
            TokenKind::Keyword(Keyword::Roles) => {
                self.take();
                self.take();
                let grantee = self.of_role()?;
                let no_recursive = self.take_if(Keyword::NoRecursive);
                Ok(Statement::ListRoles(ListRoles { grantee, no_recursive }))
            }
            TokenKind::Keyword(keyword)
                if keyword == Keyword::All || permission(keyword).is_some() =>
            {
                self.take();
                let permissions = self.permissions()?;
                let resource =
                    if self.take_if(Keyword::On) { Some(self.resource()?) } else { None };
                let grantee = self.of_role()?;
                let no_recursive = self.take_if(Keyword::NoRecursive);
                let list = ListPermissions { permissions, resource, grantee, no_recursive };
                Ok(Statement::ListPermissions(Box::new(list)))
            }
            _ => self.no_viable_at(1),
        }
    }

    fn of_role(&mut self) -> Parsed<Option<RoleName>> {
        if self.take_if(Keyword::Of) { self.role_name().map(Some) } else { Ok(None) }
    }
}

/// The name under which an option of a role may occur once; access may be told several times.
fn exclusive_name(option: &RoleOption) -> Option<&'static str> {
    match option {
        RoleOption::Password(_) => Some("PASSWORD"),
        RoleOption::HashedPassword(_) => Some("HASHED_PASSWORD"),
        RoleOption::Options(_) => Some("OPTIONS"),
        RoleOption::Superuser(_) => Some("SUPERUSER"),
        RoleOption::Login(_) => Some("LOGIN"),
        _ => None,
    }
}

fn permission(keyword: Keyword) -> Option<Permission> {
    match keyword {
        Keyword::Create => Some(Permission::Create),
        Keyword::Alter => Some(Permission::Alter),
        Keyword::Drop => Some(Permission::Drop),
        Keyword::Select => Some(Permission::Select),
        Keyword::Modify => Some(Permission::Modify),
        Keyword::Authorize => Some(Permission::Authorize),
        Keyword::Describe => Some(Permission::Describe),
        Keyword::Execute => Some(Permission::Execute),
        Keyword::Unmask => Some(Permission::Unmask),
        Keyword::SelectMasked => Some(Permission::SelectMasked),
        _ => None,
    }
}
