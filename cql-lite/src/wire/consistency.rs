//! Consistency levels (§3) and write types (§9).

use std::fmt;

use super::error::{Result, WireError};

macro_rules! coded {
    ($(#[$head:meta])* $name:ident: $repr:ty {
        $($(#[$doc:meta])* $variant:ident = $code:literal, $text:literal;)*
    }) => {
        $(#[$head])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($repr)]
        pub enum $name {
            $($(#[$doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them, by code.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The one with this code.
            pub fn from_code(code: $repr) -> Option<Self> {
                match code {
                    $($code => Some($name::$variant),)*
                    _ => None,
                }
            }

            /// Its code on the wire.
            pub fn code(self) -> $repr {
                self as $repr
            }

            /// Its name, as Cassandra spells it.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// The one with this name, in this spelling.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(self.name())
            }
        }
    };
}

coded! {
    /// How many replicas must answer.
    Consistency: u16 {
        /// Any node, a hint counts; writes only.
        Any = 0x0000, "ANY";
        /// One replica.
        One = 0x0001, "ONE";
        /// Two replicas.
        Two = 0x0002, "TWO";
        /// Three replicas.
        Three = 0x0003, "THREE";
        /// More than half of all replicas.
        Quorum = 0x0004, "QUORUM";
        /// All replicas.
        All = 0x0005, "ALL";
        /// More than half of the replicas of the coordinator's data centre.
        LocalQuorum = 0x0006, "LOCAL_QUORUM";
        /// More than half in every data centre; writes only.
        EachQuorum = 0x0007, "EACH_QUORUM";
        /// Linearizable reads, over all data centres.
        Serial = 0x0008, "SERIAL";
        /// Linearizable reads, within the coordinator's data centre.
        LocalSerial = 0x0009, "LOCAL_SERIAL";
        /// One replica of the coordinator's data centre.
        LocalOne = 0x000A, "LOCAL_ONE";
        /// Whatever the server is configured for; not a choice of clients.
        NodeLocal = 0x000B, "NODE_LOCAL";
    }
}

impl Consistency {
    /// Reads a code, refusing unknown ones as Cassandra does.
    pub fn decode(code: u16) -> Result<Self> {
        Consistency::from_code(code).ok_or_else(|| {
            WireError::malformed(format!("Unknown code {code} for a consistency level"))
        })
    }

    /// Whether it is a level of linearizable operations.
    pub fn is_serial(self) -> bool {
        matches!(self, Consistency::Serial | Consistency::LocalSerial)
    }
}

coded! {
    /// What kind of write failed or timed out. On the wire it goes by its name.
    WriteType: u8 {
        /// One partition.
        Simple = 0, "SIMPLE";
        /// A logged batch, after its log was written.
        Batch = 1, "BATCH";
        /// A batch without a log.
        UnloggedBatch = 2, "UNLOGGED_BATCH";
        /// Counters.
        Counter = 3, "COUNTER";
        /// Writing the log of a batch.
        BatchLog = 4, "BATCH_LOG";
        /// A conditional write.
        Cas = 5, "CAS";
        /// A materialized view.
        View = 6, "VIEW";
        /// A table with change data capture.
        Cdc = 7, "CDC";
    }
}

coded! {
    /// The kind of a BATCH (§4.1.7).
    BatchKind: u8 {
        /// All or nothing, by a log.
        Logged = 0, "LOGGED";
        /// No such promise.
        Unlogged = 1, "UNLOGGED";
        /// Counter updates only.
        Counter = 2, "COUNTER";
    }
}
