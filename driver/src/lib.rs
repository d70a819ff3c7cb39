//! Helenus for Rust programs: a wide-column database inside the program, without a server, or a
//! cluster over the network, behind one API.
//!
//! ```
//! # fn main() -> helenus_driver::Result<()> {
//! # helenus_driver::wait(async {
//! # let dir = std::env::temp_dir().join(format!("helenus-doc-front-{}", std::process::id()));
//! let session = helenus_driver::Session::open(&dir).await?;
//! session.query("CREATE KEYSPACE IF NOT EXISTS app WITH replication = \
//!     {'class': 'SimpleStrategy', 'replication_factor': 1}", ()).await?;
//! session.query("CREATE TABLE IF NOT EXISTS app.todo (id int PRIMARY KEY, what text)", ()).await?;
//! session.query("INSERT INTO app.todo (id, what) VALUES (?, ?)", (1, "believe Cassandra")).await?;
//! let rows = session.query("SELECT id, what FROM app.todo", ()).await?;
//! for row in rows.iter::<(i32, &str)>()? {
//!     let (id, what) = row?;
//!     println!("{id}: {what}");
//! }
//! # session.close().await?;
//! # drop(std::fs::remove_dir_all(&dir));
//! # Ok(()) })
//! # }
//! ```
//!
//! # From one file to many machines
//!
//! Only the line that begins the session changes; statements, types and errors stay as they are.
//!
//! ```no_run
//! # helenus_driver::wait(async {
//! use helenus_driver::Session;
//!
//! let session = Session::memory().await?;                     // in a test
//! let session = Session::open("./data").await?;               // inside the program
//! let session = Session::connect(["db1.example:9042"]).await?; // a cluster
//! # helenus_driver::Result::Ok(()) }).unwrap();
//! ```
//!
//! A program without async uses [`blocking::Session`], with the same methods. An embedded session
//! needs no particular runtime, and what a node has in memory is answered on the calling thread; a
//! connected session uses the tokio that it is opened in, or starts one of its own.
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `embedded` (default) | [`Session::open`] and [`Session::memory`]: the database |
//! | `cluster` (default) | [`Session::connect`]: the network driver (the `scylla` crate) |
//!
//! # Types
//!
//! | CQL | Rust |
//! | --- | --- |
//! | `ascii`, `text` | `String`, `&str` |
//! | `tinyint`, `smallint`, `int`, `bigint` | `i8`, `i16`, `i32`, `i64` |
//! | `float`, `double`, `boolean`, `blob` | `f32`, `f64`, `bool`, `Vec<u8>` |
//! | `counter`, `varint`, `decimal` | [`Counter`](value::Counter), [`CqlVarint`](value::CqlVarint), [`CqlDecimal`](value::CqlDecimal) |
//! | `date`, `time` | [`CqlDate`](value::CqlDate), [`CqlTime`](value::CqlTime) |
//! | `timestamp`, `duration` | [`CqlTimestamp`](value::CqlTimestamp), [`CqlDuration`](value::CqlDuration) |
//! | `uuid`, `timeuuid`, `inet` | [`Uuid`], [`CqlTimeuuid`](value::CqlTimeuuid), [`std::net::IpAddr`] |
//! | `list`, `set`, `map`, `tuple`, `vector` | `Vec`, `HashSet` and `BTreeSet`, `HashMap` and `BTreeMap`, tuples, `Vec` |
//! | a user-defined type | a struct that derives [`SerializeValue`](macro@SerializeValue) and [`DeserializeValue`](macro@DeserializeValue) |
//! | null; not set | `None`; [`MaybeUnset::Unset`] |
//! | anything | [`CqlValue`](value::CqlValue) |
//!
//! The derives say where they find this crate: `#[scylla(crate = helenus_driver)]`.

#[cfg(not(any(feature = "embedded", feature = "cluster")))]
compile_error!("helenus-driver needs the feature `embedded`, or `cluster`, or both");

mod batch;
pub mod blocking;
mod bound;
mod builder;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "embedded")]
mod embedded;
mod error;
mod options;
mod rows;
pub mod schema;
mod session;
mod statement;
mod stream;

pub use batch::Batch;
pub use builder::SessionBuilder;
pub use error::{Error, ErrorKind, Result};
pub use rows::{PagingState, RowIter, Rows};
pub use session::Session;
pub use statement::{Prepared, Statement};
pub use stream::{Pages, RowStream};

#[cfg(feature = "embedded")]
pub use helenus::config::{Config, DurabilityMode};
pub use scylla_cql_core::deserialize::row::DeserializeRow;
pub use scylla_cql_core::deserialize::value::DeserializeValue;
pub use scylla_cql_core::frame::response::result::{
    CollectionType, ColumnSpec, ColumnType, NativeType, TableSpec, UserDefinedType,
};
pub use scylla_cql_core::frame::types::{Consistency, SerialConsistency};
pub use scylla_cql_core::serialize::row::SerializeRow;
pub use scylla_cql_core::serialize::value::SerializeValue;
pub use scylla_cql_core::value::MaybeUnset;
pub use scylla_cql_core::{DeserializeRow, DeserializeValue, SerializeRow, SerializeValue};
pub use uuid::Uuid;

pub mod value {
    //! Values of the types that Rust has no type of its own for.
    pub use scylla_cql_core::value::{
        Counter, CqlDate, CqlDecimal, CqlDecimalBorrowed, CqlDuration, CqlTime, CqlTimestamp,
        CqlTimeuuid, CqlValue, CqlVarint, CqlVarintBorrowed, Emptiable, MaybeEmpty, MaybeUnset,
        Row, Unset, ValueOverflow,
    };
}

pub mod serialize {
    //! What it takes to bind a type of one's own without a derive.
    pub use scylla_cql_core::serialize::SerializationError;
    pub use scylla_cql_core::serialize::row::RowSerializationContext;
    pub use scylla_cql_core::serialize::writers::{
        CellOverflowError, CellValueBuilder, CellWriter, RowWriter, WrittenCellProof,
    };
}

pub mod deserialize {
    //! What it takes to read a type of one's own without a derive.
    pub use scylla_cql_core::deserialize::row::{ColumnIterator, RawColumn};
    pub use scylla_cql_core::deserialize::{DeserializationError, FrameSlice, TypeCheckError};
}

#[doc(hidden)]
pub use scylla_cql_core::_macro_internal;

#[doc(hidden)]
pub use helenus_platform::runtime::block_on as wait;

/// A session for an example, with a table `app.todo (id int PRIMARY KEY, what text)`.
#[cfg(feature = "embedded")]
#[doc(hidden)]
#[expect(clippy::expect_used, reason = "an example fails by panicking")]
pub fn doc<F: Future<Output = Result<()>>>(example: impl FnOnce(Session) -> F) {
    let done = wait(async {
        let session = Session::memory().await?;
        let keyspace = "CREATE KEYSPACE app WITH replication = \
                        {'class': 'SimpleStrategy', 'replication_factor': 1}";
        session.query(keyspace, ()).await?;
        session.query("CREATE TABLE app.todo (id int PRIMARY KEY, what text)", ()).await?;
        example(session).await
    });
    done.expect("the example failed");
}
