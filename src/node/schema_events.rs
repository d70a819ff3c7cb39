//! What clients are told of a change of the schema: what is different after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::wire::{SchemaChange, SchemaChangeKind, SchemaTarget};

use crate::schema::{Keyspace, KeyspaceKind, Schema};

/// The events of a change, in an order in which a client can follow them.
pub(super) fn schema_events(before: &Schema, after: &Schema) -> Vec<SchemaChange> {
    let mut events = Vec::new();
    if before.schema_version == after.schema_version {
        return events;
    }
    let users = |schema: &Schema| -> BTreeMap<String, Arc<Keyspace>> {
        let all = schema.keyspaces().iter();
        let users = all.filter(|(_, keyspace)| keyspace.kind == KeyspaceKind::User);
        users.map(|(name, keyspace)| (name.clone(), keyspace.clone())).collect()
    };
    let (were, are) = (users(before), users(after));
    for name in were.keys().filter(|name| !are.contains_key(*name)) {
        events.push(SchemaChange::keyspace(SchemaChangeKind::Dropped, name));
    }
    for (name, is) in &are {
        // A keyspace that was dropped and made again is another one.
        let was = were.get(name).filter(|was| was.id == is.id);
        match was {
            Some(was) if Arc::ptr_eq(was, is) => continue,
            None => {
                if were.contains_key(name) {
                    events.push(SchemaChange::keyspace(SchemaChangeKind::Dropped, name));
                }
                events.push(SchemaChange::keyspace(SchemaChangeKind::Created, name));
            }
            Some(was) if was.options != is.options => {
                events.push(SchemaChange::keyspace(SchemaChangeKind::Updated, name));
            }
            Some(_) => {}
        }
        let (no_tables, no_types) = (BTreeMap::new(), BTreeMap::new());
        let tables = was.map_or(&no_tables, |was| &was.tables);
        let types = was.map_or(&no_types, |was| &was.types);
        // Types first where they come, and last where they go: tables are made of them.
        let of_types = objects(SchemaTarget::Type, name, types, &is.types, |_, _| true);
        let of_tables =
            objects(SchemaTarget::Table, name, tables, &is.tables, |was, is| was.id == is.id);
        let (gone_types, new_types): (Vec<_>, Vec<_>) =
            of_types.into_iter().partition(|event| event.change == SchemaChangeKind::Dropped);
        events.extend(new_types);
        events.extend(of_tables);
        events.extend(gone_types);
    }
    events
}

/// What has become of the tables, or the types, of a keyspace.
fn objects<T: PartialEq>(
    target: SchemaTarget,
    keyspace: &str,
    were: &BTreeMap<String, Arc<T>>,
    are: &BTreeMap<String, Arc<T>>,
    is_same: impl Fn(&T, &T) -> bool,
) -> Vec<SchemaChange> {
    let event = |kind, name: &str| SchemaChange::object(kind, target, keyspace, name);
    let mut events = Vec::new();
    for (name, was) in were {
        if are.get(name).is_none_or(|is| !is_same(was, is)) {
            events.push(event(SchemaChangeKind::Dropped, name));
        }
    }
    for (name, is) in are {
        match were.get(name).filter(|was| is_same(was, is)) {
            None => events.push(event(SchemaChangeKind::Created, name)),
            Some(was) if !Arc::ptr_eq(was, is) && was != is => {
                events.push(event(SchemaChangeKind::Updated, name));
            }
            Some(_) => {}
        }
    }
    events
}
