//! Helenus inside a Rust program: a node without a port.
//!
//! ```
//! # fn main() -> Result<(), helenus_driver::Error> {
//! # let dir = std::env::temp_dir().join(format!("helenus-doc-{}", std::process::id()));
//! let session = helenus_driver::Session::open(&dir)?;
//! session.run("CREATE KEYSPACE app WITH replication = \
//!     {'class': 'SimpleStrategy', 'replication_factor': 1}")?;
//! session.run("CREATE TABLE app.todo (id int PRIMARY KEY, what text)")?;
//! session.run("INSERT INTO app.todo (id, what) VALUES (1, 'believe Cassandra')")?;
//! let rows = session.run("SELECT what FROM app.todo WHERE id = 1")?;
//! assert_eq!(rows.text(0, 0), Some("believe Cassandra"));
//! session.close()?;
//! # drop(std::fs::remove_dir_all(&dir));
//! # Ok(())
//! # }
//! ```
//!
//! The session asks the node as a connection would, in the native protocol's own terms, so what
//! holds for a client over the network holds here.

mod error;
mod rows;
mod session;
mod values;

pub use error::Error;
pub use rows::Rows;
pub use session::{Prepared, Session};
pub use values::ToCql;
