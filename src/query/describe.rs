//! DESCRIBE, answered by the server: rows of names, types and the CQL that makes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use cql_lite::ast::{Describe, DescribeTarget, QualifiedName};
use cql_lite::types::frames::CollectionBuilder;
use cql_lite::types::names::maybe_quote;
use cql_lite::types::text::to_literal;
use cql_lite::types::{CqlType, UdtType, frames};
use cql_lite::wire::{ColumnSpec, EncodedColumns, ResponseWriter};

use crate::error::{Error, Result};
use crate::schema::print::create_type;
use crate::schema::{Keyspace, KeyspaceKind, Schema, Table};

use super::services::Services;

/// Keyspaces that every node has, though one of them is not among its system tables.
fn is_system(keyspace: &Keyspace) -> bool {
    keyspace.kind != KeyspaceKind::User
}

/// One row: keyspace, type, name, and unless names alone are asked for the CQL.
struct Element {
    keyspace: String,
    kind: &'static str,
    name: String,
    statement: Option<String>,
}

/// Writes the answer to a DESCRIBE.
pub(super) fn answer(
    services: &Services,
    schema: &Schema,
    in_use: Option<&str>,
    describe: &Describe,
    writer: &mut ResponseWriter<'_>,
) -> Result<()> {
    if describe.target == DescribeTarget::Cluster {
        return cluster(services, schema, in_use, writer);
    }
    let (elements, listing) = elements(schema, in_use, describe)?;
    let mut names = vec!["keyspace_name", "type", "name"];
    if !listing {
        names.push("create_statement");
    }
    let specs: Vec<ColumnSpec> = names.iter().map(|name| spec(name, CqlType::Text)).collect();
    writer.begin_rows(&EncodedColumns::new(&specs, writer.version()), false, None);
    for element in elements {
        writer.cell(Some(element.keyspace.as_bytes()));
        writer.cell(Some(element.kind.as_bytes()));
        writer.cell(Some(element.name.as_bytes()));
        if !listing {
            writer.cell(element.statement.as_deref().map(str::as_bytes));
        }
        writer.end_row();
    }
    writer.finish_rows(None);
    Ok(())
}

fn spec(name: &str, ty: CqlType) -> ColumnSpec {
    ColumnSpec {
        keyspace: "system".to_owned(),
        table: "describe".to_owned(),
        name: name.to_owned(),
        ty,
    }
}

fn keyspace_element(keyspace: &Keyspace, with_statement: bool) -> Element {
    let name = maybe_quote(&keyspace.name);
    let statement = with_statement.then(|| keyspace.create_statement());
    Element { keyspace: name.clone(), kind: "keyspace", name, statement }
}

fn table_element(table: &Table, statement: Option<String>) -> Element {
    let (keyspace, name) = (maybe_quote(&table.keyspace), maybe_quote(&table.name));
    Element { keyspace, kind: "table", name, statement }
}

fn type_element(udt: &UdtType, with_statement: bool) -> Element {
    let (keyspace, name) = (maybe_quote(&udt.keyspace), maybe_quote(&udt.name));
    let statement = with_statement.then(|| create_type(udt));
    Element { keyspace, kind: "type", name, statement }
}

/// Types such that those a type uses come before it.
fn types_in_order(keyspace: &Keyspace) -> Vec<&Arc<UdtType>> {
    let mut left: Vec<&Arc<UdtType>> = keyspace.types.values().collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let ready = |udt: &&Arc<UdtType>| {
            keyspace.types.values().all(|other| {
                done.contains(other.name.as_str())
                    || !udt
                        .fields
                        .iter()
                        .any(|(_, ty)| ty.references_udt(&other.keyspace, &other.name))
            })
        };
        // Types cannot use one another in a circle; if they did, the first would do.
        let at = left.iter().position(ready).unwrap_or(0);
        let udt = left.remove(at);
        done.insert(&udt.name);
        ordered.push(udt);
    }
    ordered
}

/// A keyspace with everything in it.
fn whole_keyspace(keyspace: &Keyspace, internals: bool, out: &mut Vec<Element>) {
    out.push(keyspace_element(keyspace, true));
    out.extend(types_in_order(keyspace).into_iter().map(|udt| type_element(udt, true)));
    for table in keyspace.tables.values() {
        out.push(table_element(table, Some(table.create_statement(internals))));
    }
}

/// The CQL that makes every keyspace of users with everything in it, ids included.
pub fn schema_script(schema: &Schema) -> String {
    let mut elements = Vec::new();
    for keyspace in schema.keyspaces().values().filter(|keyspace| !is_system(keyspace)) {
        whole_keyspace(keyspace, true, &mut elements);
    }
    elements.into_iter().filter_map(|element| element.statement).fold(
        String::new(),
        |mut script, statement| {
            script.push_str(&statement);
            script.push_str("\n\n");
            script
        },
    )
}

fn find_keyspace<'s>(schema: &'s Schema, name: &str) -> Result<&'s Keyspace> {
    match schema.keyspace(name) {
        Some(keyspace) => Ok(keyspace),
        None => Err(Error::invalid(format!("'{name}' not found in keyspaces"))),
    }
}

fn keyspace_of<'s>(
    schema: &'s Schema,
    in_use: Option<&str>,
    name: &QualifiedName,
) -> Result<&'s Keyspace> {
    let written = name.keyspace.as_ref().map(|keyspace| keyspace.as_str());
    match written.or(in_use) {
        Some(keyspace) => find_keyspace(schema, keyspace),
        None => Err(Error::invalid("No keyspace specified and no current keyspace")),
    }
}

/// What is described, and whether names alone are asked for.
fn elements(
    schema: &Schema,
    in_use: Option<&str>,
    describe: &Describe,
) -> Result<(Vec<Element>, bool)> {
    let mut out = Vec::new();
    let internals = describe.with_internals;
    let listed = || -> Result<Vec<&Keyspace>> {
        match in_use {
            Some(name) => Ok(vec![find_keyspace(schema, name)?]),
            None => Ok(schema.keyspaces().values().map(AsRef::as_ref).collect()),
        }
    };
    match &describe.target {
        DescribeTarget::Keyspaces => {
            out.extend(schema.keyspaces().values().map(|ks| keyspace_element(ks, false)));
            return Ok((out, true));
        }
        DescribeTarget::Tables => {
            for keyspace in listed()? {
                out.extend(keyspace.tables.values().map(|table| table_element(table, None)));
            }
            return Ok((out, true));
        }
        DescribeTarget::Types => {
            for keyspace in listed()? {
                out.extend(keyspace.types.values().map(|udt| type_element(udt, false)));
            }
            return Ok((out, true));
        }
        DescribeTarget::Functions | DescribeTarget::Aggregates => {
            listed()?;
            return Ok((out, true));
        }
        DescribeTarget::Schema { full } => {
            for keyspace in schema.keyspaces().values() {
                if *full || !is_system(keyspace) {
                    whole_keyspace(keyspace, internals, &mut out);
                }
            }
        }
        DescribeTarget::Keyspace { only, name } => {
            let name =
                name.as_ref().map(|name| name.as_str()).or(in_use).ok_or_else(|| {
                    Error::invalid("No keyspace specified and no current keyspace")
                })?;
            let keyspace = find_keyspace(schema, name)?;
            if *only {
                out.push(keyspace_element(keyspace, true));
            } else {
                whole_keyspace(keyspace, internals, &mut out);
            }
        }
        DescribeTarget::Table(name) => {
            let keyspace = keyspace_of(schema, in_use, name)?;
            let table = keyspace.tables.get(name.name.as_str()).ok_or_else(|| {
                missing_in("Table", name, &format!("keyspace '{}'", keyspace.name))
            })?;
            out.push(table_element(table, Some(table.create_statement(internals))));
        }
        DescribeTarget::Type(name) => {
            let keyspace = keyspace_of(schema, in_use, name)?;
            let udt = keyspace.types.get(name.name.as_str()).ok_or_else(|| {
                missing_in("User defined type", name, &format!("'{}'", keyspace.name))
            })?;
            out.push(type_element(udt, true));
        }
        DescribeTarget::Any(name) => any(schema, in_use, name, internals, &mut out)?,
        absent => return Err(not_there(schema, in_use, absent)?),
    }
    Ok((out, false))
}

fn missing_in(what: &str, name: &QualifiedName, place: &str) -> Error {
    Error::invalid(format!("{what} '{}' not found in {place}", name.name.as_str()))
}

/// The error for things that this version has none of.
fn not_there(schema: &Schema, in_use: Option<&str>, target: &DescribeTarget) -> Result<Error> {
    let (what, name) = match target {
        DescribeTarget::Index(name) => {
            let keyspace = keyspace_of(schema, in_use, name)?;
            return Ok(Error::invalid(format!(
                "Table for existing index '{}' not found in '{}'",
                name.name.as_str(),
                keyspace.name
            )));
        }
        DescribeTarget::View(name) => ("Materialized view", name),
        DescribeTarget::Function(name) => ("User defined function", name),
        DescribeTarget::Aggregate(name) => ("User defined aggregate", name),
        _ => return Ok(Error::invalid("there is nothing of that kind")),
    };
    let keyspace = keyspace_of(schema, in_use, name)?;
    Ok(missing_in(what, name, &format!("'{}'", keyspace.name)))
}

/// `DESCRIBE name`: a keyspace or a table, whichever there is.
fn any(
    schema: &Schema,
    in_use: Option<&str>,
    name: &QualifiedName,
    internals: bool,
    out: &mut Vec<Element>,
) -> Result<()> {
    let wanted = name.name.as_str();
    let keyspace = match &name.keyspace {
        Some(keyspace) => keyspace.as_str(),
        None => {
            if let Some(keyspace) = schema.keyspace(wanted) {
                whole_keyspace(keyspace, internals, out);
                return Ok(());
            }
            in_use.unwrap_or(wanted)
        }
    };
    let keyspace = find_keyspace(schema, keyspace)?;
    let table = keyspace.tables.get(wanted).ok_or_else(|| {
        Error::invalid(format!("'{wanted}' not found in keyspace '{}'", keyspace.name))
    })?;
    out.push(table_element(table, Some(table.create_statement(internals))));
    Ok(())
}

/// `DESCRIBE CLUSTER`: from what the node tells of itself in `system.local`.
fn cluster(
    services: &Services,
    schema: &Schema,
    in_use: Option<&str>,
    writer: &mut ResponseWriter<'_>,
) -> Result<()> {
    let table = schema
        .table("system", "local")
        .ok_or_else(|| Error::server("the node has no table system.local"))?;
    let rows = services.views.rows(schema, table, None)?;
    let local = rows.first();
    let value = |name: &str| -> Option<&[u8]> {
        let index = table.columns().position(|column| column.name == name)?;
        local?.get(index)?.as_deref()
    };
    let text = |name: &str| String::from_utf8_lossy(value(name).unwrap_or_default()).into_owned();
    let partitioner = text("partitioner");
    let short = partitioner.strip_prefix("org.apache.cassandra.dht.").unwrap_or(&partitioner);
    let mut specs = vec![
        spec("cluster", CqlType::Text),
        spec("partitioner", CqlType::Text),
        spec("snitch", CqlType::Text),
    ];
    let owned = in_use.and_then(|name| schema.keyspace(name)).is_some_and(|ks| !is_system(ks));
    if owned {
        let nodes = Box::new(CqlType::List(Box::new(CqlType::Text)));
        specs.push(spec("range_ownership", CqlType::Map(Box::new(CqlType::Text), nodes)));
    }
    writer.begin_rows(&EncodedColumns::new(&specs, writer.version()), false, None);
    writer.cell(Some(text("cluster_name").as_bytes()));
    writer.cell(Some(short.as_bytes()));
    writer.cell(Some(b"SimpleSnitch"));
    if owned {
        let address = to_literal(&CqlType::Inet, value("broadcast_address")).unwrap_or_default();
        let mut nodes = CollectionBuilder::new();
        nodes.element(address.trim_matches('\'').as_bytes());
        let nodes = nodes.finish();
        let mut ranges = CollectionBuilder::new();
        if let Some(tokens) = value("tokens") {
            for token in frames::set_elements(tokens)? {
                ranges.entry(token?, &nodes);
            }
        }
        writer.cell(Some(&ranges.finish()));
    }
    writer.end_row();
    writer.finish_rows(None);
    Ok(())
}
