//! Events (§4.2.6) and the schema change that is both an event and a result (§4.2.5.5).

use std::net::SocketAddr;

use helenus_platform::codec::{Put, Reader};

use crate::wire::error::{Result, WireError};
use crate::wire::notation::{PutNotation, ReadNotation};
use crate::wire::version::ProtocolVersion;

macro_rules! named {
    ($(#[$head:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal;)* }) => {
        $(#[$head])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Its name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// The one with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self> {
                let name = reader.string()?;
                Self::from_name(name).ok_or_else(|| {
                    WireError::malformed(format!("unknown {} {name}", stringify!($name)))
                })
            }
        }
    };
}

named! {
    /// What a client can register for.
    EventKind {
        /// Nodes that join, leave or move.
        TopologyChange = "TOPOLOGY_CHANGE";
        /// Nodes that come up or go down.
        StatusChange = "STATUS_CHANGE";
        /// Changes of the schema.
        SchemaChange = "SCHEMA_CHANGE";
    }
}

named! {
    /// How the ring changed.
    TopologyChangeKind {
        /// A node joined.
        NewNode = "NEW_NODE";
        /// A node left.
        RemovedNode = "REMOVED_NODE";
        /// A node's tokens changed.
        MovedNode = "MOVED_NODE";
    }
}

named! {
    /// How a node's status changed.
    StatusChangeKind {
        /// It accepts clients.
        Up = "UP";
        /// It does not.
        Down = "DOWN";
    }
}

named! {
    /// How a schema object changed.
    SchemaChangeKind {
        /// It is new.
        Created = "CREATED";
        /// It is different.
        Updated = "UPDATED";
        /// It is gone.
        Dropped = "DROPPED";
    }
}

named! {
    /// What kind of schema object changed. Indexes and views count as tables.
    SchemaTarget {
        /// A keyspace.
        Keyspace = "KEYSPACE";
        /// A table, a view or an index of it.
        Table = "TABLE";
        /// A user-defined type.
        Type = "TYPE";
        /// A function.
        Function = "FUNCTION";
        /// An aggregate.
        Aggregate = "AGGREGATE";
    }
}

/// Something that the server tells clients without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The ring changed; the address is the one that clients connect to.
    Topology(TopologyChangeKind, SocketAddr),
    /// A node's status changed; the address is the one that clients connect to.
    Status(StatusChangeKind, SocketAddr),
    /// The schema changed.
    Schema(SchemaChange),
}

/// A change of one schema object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaChange {
    /// How it changed.
    pub change: SchemaChangeKind,
    /// What it is.
    pub target: SchemaTarget,
    /// Its keyspace.
    pub keyspace: String,
    /// Its name; empty for a keyspace.
    pub name: String,
    /// The types of the arguments, for functions and aggregates.
    pub arguments: Vec<String>,
}

impl SchemaChange {
    /// A change of a keyspace.
    pub fn keyspace(change: SchemaChangeKind, keyspace: impl Into<String>) -> Self {
        SchemaChange {
            change,
            target: SchemaTarget::Keyspace,
            keyspace: keyspace.into(),
            name: String::new(),
            arguments: Vec::new(),
        }
    }

    /// A change of a table or a type.
    pub fn object(
        change: SchemaChangeKind,
        target: SchemaTarget,
        keyspace: impl Into<String>,
        name: impl Into<String>,
    ) -> Self {
        SchemaChange { target, name: name.into(), ..SchemaChange::keyspace(change, keyspace) }
    }

    /// Appends the change. Version 3 knows no functions: there it is a change of the keyspace.
    pub fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        let callable = matches!(self.target, SchemaTarget::Function | SchemaTarget::Aggregate);
        if callable && version < ProtocolVersion::V4 {
            out.put_string(SchemaChangeKind::Updated.name());
            out.put_string(SchemaTarget::Keyspace.name());
            out.put_string(&self.keyspace);
            return;
        }
        out.put_string(self.change.name());
        out.put_string(self.target.name());
        out.put_string(&self.keyspace);
        if self.target != SchemaTarget::Keyspace {
            out.put_string(&self.name);
        }
        if callable {
            out.put_string_list(&self.arguments);
        }
    }

    /// Reads a change.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let change = SchemaChangeKind::read(reader)?;
        let target = SchemaTarget::read(reader)?;
        let keyspace = reader.string()?.to_owned();
        let name = match target {
            SchemaTarget::Keyspace => String::new(),
            _ => reader.string()?.to_owned(),
        };
        let arguments = match target {
            SchemaTarget::Function | SchemaTarget::Aggregate => reader.string_list()?,
            _ => Vec::new(),
        };
        Ok(SchemaChange { change, target, keyspace, name, arguments })
    }
}

impl Event {
    /// What one registers for to see it.
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Topology(..) => EventKind::TopologyChange,
            Event::Status(..) => EventKind::StatusChange,
            Event::Schema(_) => EventKind::SchemaChange,
        }
    }

    /// Appends the body of an EVENT.
    pub fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        out.put_string(self.kind().name());
        match self {
            Event::Topology(change, address) => {
                out.put_string(change.name());
                out.put_inet(*address);
            }
            Event::Status(change, address) => {
                out.put_string(change.name());
                out.put_inet(*address);
            }
            Event::Schema(change) => change.put(version, out),
        }
    }

    /// Reads the body of an EVENT.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match EventKind::read(reader)? {
            EventKind::TopologyChange => {
                Event::Topology(TopologyChangeKind::read(reader)?, reader.inet()?)
            }
            EventKind::StatusChange => {
                Event::Status(StatusChangeKind::read(reader)?, reader.inet()?)
            }
            EventKind::SchemaChange => Event::Schema(SchemaChange::read(reader)?),
        })
    }
}
