//! Keyspaces, types, indexes, triggers, functions, aggregates, and DESCRIBE.

use cql_lite::ast::{
    AlterKeyspace, AlterType, CreateAggregate, CreateFunction, CreateIndex, CreateKeyspace,
    CreateTrigger, CreateType, Drop, DropFunction, DropKeyspace, DropTrigger, Identifier,
    IndexTarget, IndexTargetKind, Statement, TypeAlteration,
};

use super::Generator;

const TARGETS: [IndexTargetKind; 5] = [
    IndexTargetKind::Simple,
    IndexTargetKind::Values,
    IndexTargetKind::Keys,
    IndexTargetKind::Entries,
    IndexTargetKind::Full,
];

impl Generator<'_> {
    pub(super) fn schema_statement(&mut self) -> Statement {
        match self.below(14) {
            0 => Statement::Describe(self.describe()),
            1 => Statement::CreateKeyspace(CreateKeyspace {
                if_not_exists: self.flag(),
                keyspace: self.name(),
                properties: self.properties(1),
            }),
            2 => Statement::AlterKeyspace(AlterKeyspace {
                if_exists: self.flag(),
                keyspace: self.name(),
                properties: self.properties(1),
            }),
            3 => Statement::DropKeyspace(DropKeyspace {
                if_exists: self.flag(),
                keyspace: self.name(),
            }),
            4 => Statement::CreateType(CreateType {
                if_not_exists: self.flag(),
                name: self.type_reference(),
                fields: self.several(1, |generator| (generator.name(), generator.type_name())),
            }),
            5 => Statement::AlterType(Box::new(self.alter_type())),
            6 => Statement::DropType(Drop { if_exists: self.flag(), name: self.type_reference() }),
            7 => Statement::CreateIndex(Box::new(self.create_index())),
            8 => Statement::DropIndex(Drop { if_exists: self.flag(), name: self.qualified() }),
            9 => Statement::CreateTrigger(Box::new(CreateTrigger {
                if_not_exists: self.flag(),
                name: self.name(),
                table: self.qualified(),
                class: self.text(),
            })),
            10 => Statement::DropTrigger(DropTrigger {
                if_exists: self.flag(),
                name: self.name(),
                table: self.qualified(),
            }),
            11 => Statement::CreateFunction(Box::new(self.create_function())),
            12 => Statement::CreateAggregate(Box::new(self.create_aggregate())),
            _ => {
                let drop = DropFunction {
                    if_exists: self.flag(),
                    name: self.function_name(),
                    arguments: self.option(|generator| generator.several(0, Self::type_name)),
                };
                if self.flag() {
                    return Statement::DropFunction(drop);
                }
                Statement::DropAggregate(drop)
            }
        }
    }

    fn alter_type(&mut self) -> AlterType {
        let if_exists = self.flag();
        let name = self.type_reference();
        let alteration = match self.below(3) {
            0 => TypeAlteration::Add {
                if_not_exists: self.flag(),
                field: self.name(),
                type_name: self.type_name(),
            },
            1 => TypeAlteration::Rename { if_exists: self.flag(), renames: self.renames() },
            _ => TypeAlteration::FieldType { field: self.name(), type_name: self.type_name() },
        };
        AlterType { if_exists, name, alteration }
    }

    fn create_index(&mut self) -> CreateIndex {
        CreateIndex {
            custom: self.flag(),
            if_not_exists: self.flag(),
            name: self.option(Self::name),
            table: self.qualified(),
            targets: self.several(0, |generator| IndexTarget {
                kind: generator.one_of(&TARGETS),
                column: generator.name(),
            }),
            class: self.option(Self::text),
            properties: self.properties(0),
        }
    }

    fn create_function(&mut self) -> CreateFunction {
        CreateFunction {
            or_replace: self.flag(),
            if_not_exists: self.flag(),
            name: self.function_name(),
            arguments: self.several(0, |generator| (generator.name(), generator.type_name())),
            called_on_null: self.flag(),
            returns: self.type_name(),
            language: Identifier::new("java"),
            body: self.text(),
        }
    }

    fn create_aggregate(&mut self) -> CreateAggregate {
        CreateAggregate {
            or_replace: self.flag(),
            if_not_exists: self.flag(),
            name: self.function_name(),
            arguments: self.several(0, Self::type_name),
            state_function: self.function_name().name,
            state_type: self.type_name(),
            final_function: self.option(|generator| generator.function_name().name),
            initial_state: self.option(Self::term),
        }
    }
}
