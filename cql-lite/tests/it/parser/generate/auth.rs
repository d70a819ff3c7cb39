//! Roles, users, identities and permissions.

use cql_lite::ast::{
    AddIdentity, AlterRole, AlterUser, CreateRole, CreateUser, DropIdentity, DropRole,
    ListPermissions, ListRoles, Permission, PermissionGrant, Permissions, Resource, RoleGrant,
    RoleOption, Statement, UserPassword,
};

use super::Generator;

impl Generator<'_> {
    pub(super) fn auth_statement(&mut self) -> Statement {
        match self.below(13) {
            0 => self.list_statement(),
            1 => Statement::CreateRole(CreateRole {
                if_not_exists: self.flag(),
                name: self.role(false),
                options: self.role_options(),
            }),
            2 => Statement::AlterRole(AlterRole {
                if_exists: self.flag(),
                name: self.role(false),
                options: self.role_options(),
            }),
            3 => Statement::DropRole(DropRole { if_exists: self.flag(), name: self.role(false) }),
            4 => Statement::CreateUser(CreateUser {
                if_not_exists: self.flag(),
                name: self.role(true),
                password: self.option(Self::password),
                superuser: self.option(Self::flag),
            }),
            5 => Statement::AlterUser(AlterUser {
                if_exists: self.flag(),
                name: self.role(true),
                password: self.option(Self::password),
                superuser: self.option(Self::flag),
            }),
            6 => Statement::DropUser(DropRole { if_exists: self.flag(), name: self.role(true) }),
            7 => Statement::AddIdentity(AddIdentity {
                if_not_exists: self.flag(),
                identity: self.role(true),
                role: self.role(true),
            }),
            8 => Statement::DropIdentity(DropIdentity {
                if_exists: self.flag(),
                identity: self.role(true),
            }),
            9 => Statement::GrantRole(self.role_grant()),
            10 => Statement::RevokeRole(self.role_grant()),
            11 => Statement::Grant(Box::new(self.permission_grant())),
            _ => Statement::Revoke(Box::new(self.permission_grant())),
        }
    }

    fn list_statement(&mut self) -> Statement {
        match self.below(4) {
            0 => Statement::ListUsers,
            1 => Statement::ListSuperusers,
            2 => Statement::ListRoles(ListRoles {
                grantee: self.option(|generator| generator.role(false)),
                no_recursive: self.flag(),
            }),
            _ => Statement::ListPermissions(Box::new(ListPermissions {
                permissions: self.permissions(),
                resource: self.option(Self::resource),
                grantee: self.option(|generator| generator.role(false)),
                no_recursive: self.flag(),
            })),
        }
    }

    fn password(&mut self) -> UserPassword {
        let text = self.text();
        if self.flag() { UserPassword::Plain(text) } else { UserPassword::Hashed(text) }
    }

    fn role_options(&mut self) -> Vec<RoleOption> {
        let password = self.option(|generator| match generator.password() {
            UserPassword::Plain(text) => RoleOption::Password(text),
            UserPassword::Hashed(text) => RoleOption::HashedPassword(text),
        });
        let options = [
            password,
            self.option(|generator| RoleOption::Options(generator.property_map())),
            self.option(|generator| RoleOption::Superuser(generator.flag())),
            self.option(|generator| RoleOption::Login(generator.flag())),
            self.option(|_| RoleOption::AccessToAllDatacenters),
            self.option(|generator| {
                RoleOption::AccessToDatacenters(generator.several(1, Self::text))
            }),
            self.option(|_| RoleOption::AccessFromAllCidrs),
            self.option(|generator| RoleOption::AccessFromCidrs(generator.several(1, Self::text))),
        ];
        options.into_iter().flatten().collect()
    }

    fn role_grant(&mut self) -> RoleGrant {
        RoleGrant { role: self.role(false), grantee: self.role(false) }
    }

    fn permission_grant(&mut self) -> PermissionGrant {
        PermissionGrant {
            permissions: self.permissions(),
            resource: self.resource(),
            grantee: self.role(false),
        }
    }

    fn permissions(&mut self) -> Permissions {
        if self.flag() {
            return Permissions::All;
        }
        Permissions::List(self.several(1, |generator| generator.one_of(Permission::ALL)))
    }

    fn resource(&mut self) -> Resource {
        match self.below(12) {
            0 => Resource::AllKeyspaces,
            1 => Resource::Keyspace(self.name()),
            2 => Resource::AllTables(self.name()),
            3 => Resource::Table(self.qualified()),
            4 => Resource::AllRoles,
            5 => Resource::Role(self.role(false)),
            6 => Resource::AllFunctions,
            7 => Resource::AllFunctionsIn(self.name()),
            8 => {
                let name = self.function_name();
                Resource::Function { name, arguments: self.several(0, Self::type_name) }
            }
            9 => Resource::AllMbeans,
            10 => Resource::Mbean(self.text()),
            _ => Resource::Mbeans(self.text()),
        }
    }
}
