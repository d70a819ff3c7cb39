//! Tables and views.

use cql_lite::ast::{
    AlterTable, AlterView, ColumnDefinition, ColumnMask, CreateTable, CreateView, Direction, Drop,
    Identifier, Position, PrimaryKey, Property, PropertyMap, PropertyValue, Statement,
    TableAlteration, TableOption,
};

use super::Generator;

impl Generator<'_> {
    pub(super) fn table_statement(&mut self) -> Statement {
        match self.below(6) {
            0 | 1 => Statement::CreateTable(Box::new(self.create_table())),
            2 => Statement::AlterTable(Box::new(AlterTable {
                if_exists: self.flag(),
                table: self.qualified(),
                alteration: self.table_alteration(),
            })),
            3 => Statement::CreateView(Box::new(CreateView {
                if_not_exists: self.flag(),
                view: self.qualified(),
                selection: self.selection(),
                base_table: self.qualified(),
                relations: self.several(0, Self::relation),
                primary_key: self.primary_key(),
                options: self.table_options(true),
            })),
            4 => Statement::AlterView(AlterView {
                if_exists: self.flag(),
                view: self.qualified(),
                properties: self.properties(1),
            }),
            _ => {
                let drop = Drop { if_exists: self.flag(), name: self.qualified() };
                if self.flag() { Statement::DropTable(drop) } else { Statement::DropView(drop) }
            }
        }
    }

    pub(super) fn property_map(&mut self) -> PropertyMap {
        let mut entries = self.several(0, |generator| (generator.literal(), generator.literal()));
        for (index, (key, _)) in entries.iter_mut().enumerate() {
            *key = super::super::string_literal(&format!("{}{index}", key.text));
        }
        PropertyMap { entries, position: Position::START }
    }

    /// Properties of different names.
    pub(super) fn properties(&mut self, least: usize) -> Vec<Property> {
        let mut properties = self.several(least, |generator| Property {
            name: generator.name(),
            value: match generator.below(3) {
                0 => PropertyValue::Literal(generator.literal()),
                1 => PropertyValue::Map(generator.property_map()),
                _ => PropertyValue::Keyword(Identifier::new("values")),
            },
        });
        for (index, property) in properties.iter_mut().enumerate() {
            property.name.name.push_str(&format!("_{index}"));
        }
        properties
    }

    fn table_options(&mut self, view: bool) -> Vec<TableOption> {
        let mut options: Vec<TableOption> =
            self.properties(0).into_iter().map(TableOption::Property).collect();
        if !view && self.flag() {
            options.push(TableOption::CompactStorage(Position::START));
        }
        if self.flag() {
            let columns = self.several(1, |generator| {
                let direction = generator.one_of(&[Direction::Ascending, Direction::Descending]);
                (generator.name(), direction)
            });
            options.push(TableOption::ClusteringOrder { columns, position: Position::START });
        }
        options
    }

    fn create_table(&mut self) -> CreateTable {
        let if_not_exists = self.flag();
        let table = self.qualified();
        let mut columns = self.several(1, Self::column);
        if let Some(column) = columns.first_mut() {
            column.primary_key = self.flag();
        }
        let primary_keys = self.several(0, Self::primary_key);
        let options = self.table_options(false);
        CreateTable { if_not_exists, table, columns, primary_keys, options }
    }

    fn column(&mut self) -> ColumnDefinition {
        ColumnDefinition {
            name: self.name(),
            type_name: self.type_name(),
            is_static: self.flag(),
            mask: self.option(Self::mask),
            primary_key: false,
        }
    }

    fn mask(&mut self) -> ColumnMask {
        let function = self.option(Self::function_name);
        let arguments = if function.is_some() { self.several(0, Self::term) } else { Vec::new() };
        ColumnMask { function, arguments, position: Position::START }
    }

    fn primary_key(&mut self) -> PrimaryKey {
        PrimaryKey {
            partition: self.several(1, Self::name),
            clustering: self.several(0, Self::name),
            position: Position::START,
        }
    }

    fn table_alteration(&mut self) -> TableAlteration {
        match self.below(7) {
            0 => TableAlteration::Add {
                if_not_exists: self.flag(),
                columns: self.several(1, Self::column),
            },
            1 => TableAlteration::Drop {
                if_exists: self.flag(),
                columns: self.several(1, Self::name),
                timestamp: self.option(|generator| generator.below(1000) as i64 - 500),
            },
            2 => TableAlteration::Rename { if_exists: self.flag(), renames: self.renames() },
            3 => TableAlteration::DropCompactStorage,
            4 => TableAlteration::Properties(self.properties(1)),
            5 => TableAlteration::Mask {
                if_exists: self.flag(),
                column: self.name(),
                mask: self.option(Self::mask),
            },
            _ => TableAlteration::ColumnType { column: self.name(), type_name: self.type_name() },
        }
    }

    pub(super) fn renames(&mut self) -> Vec<(Identifier, Identifier)> {
        self.several(1, |generator| (generator.name(), generator.name()))
    }
}
