//! The same, for programs without async: every call waits on the calling thread.
//!
//! ```
//! use helenus_driver::blocking::Session;
//!
//! # fn main() -> helenus_driver::Result<()> {
//! let session = Session::memory()?;
//! session.query("CREATE KEYSPACE app WITH replication = \
//!     {'class': 'SimpleStrategy', 'replication_factor': 1}", ())?;
//! session.query("CREATE TABLE app.todo (id int PRIMARY KEY, what text)", ())?;
//! let insert = session.prepare("INSERT INTO app.todo (id, what) VALUES (?, ?)")?;
//! for (id, what) in [(1, "believe"), (2, "warn")] {
//!     session.execute(&insert, (id, what))?;
//! }
//! let select = session.prepare("SELECT id, what FROM app.todo")?;
//! for row in session.stream(&select, ())?.rows::<(i32, String)>() {
//!     let (id, what) = row?;
//!     println!("{id}: {what}");
//! }
//! # session.close()
//! # }
//! ```

use helenus_platform::runtime::block_on;

use crate::batch::Batch;
use crate::builder::SessionBuilder;
use crate::error::Result;
use crate::rows::{PagingState, Rows};
use crate::schema::Schema;
use crate::statement::{Prepared, Statement};
use crate::{DeserializeRow, SerializeRow};

/// A [`Session`](crate::Session) whose calls wait. Clones share it.
#[derive(Clone, Debug)]
pub struct Session {
    session: crate::Session,
}

/// From here to there and back, as a program grows into async one part at a time.
impl From<crate::Session> for Session {
    fn from(session: crate::Session) -> Self {
        Self { session }
    }
}

impl From<Session> for crate::Session {
    fn from(session: Session) -> Self {
        session.session
    }
}

#[cfg(feature = "embedded")]
impl Session {
    /// As [`Session::open`](crate::Session::open).
    ///
    /// # Errors
    /// As there.
    pub fn open(dir: impl AsRef<std::path::Path>) -> Result<Self> {
        block_on(crate::Session::open(dir)).map(Self::from)
    }

    /// As [`Session::memory`](crate::Session::memory).
    ///
    /// # Errors
    /// As there.
    pub fn memory() -> Result<Self> {
        block_on(crate::Session::memory()).map(Self::from)
    }
}

#[cfg(feature = "cluster")]
impl Session {
    /// As [`Session::connect`](crate::Session::connect).
    ///
    /// # Errors
    /// As there.
    pub fn connect<A: AsRef<str>>(nodes: impl IntoIterator<Item = A>) -> Result<Self> {
        block_on(crate::Session::connect(nodes)).map(Self::from)
    }
}

impl Session {
    /// Begins a session with settings: `Session::build(|builder| builder.keyspace("app").memory())`.
    ///
    /// ```
    /// use helenus_driver::blocking::Session;
    /// let session = Session::build(|builder| builder.keyspace("system").memory())?;
    /// session.query("SELECT host_id FROM local", ())?;
    /// # helenus_driver::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// Those of the way to begin it that was chosen.
    pub fn build<F>(begin: impl FnOnce(SessionBuilder) -> F) -> Result<Self>
    where
        F: Future<Output = Result<crate::Session>>,
    {
        block_on(begin(crate::Session::builder())).map(Self::from)
    }

    /// As [`Session::query`](crate::Session::query).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn query(
        &self,
        statement: impl Into<Statement>,
        values: impl SerializeRow,
    ) -> Result<Rows> {
        block_on(self.session.query(statement, values))
    }

    /// As [`Session::prepare`](crate::Session::prepare).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn prepare(&self, statement: impl Into<Statement>) -> Result<Prepared> {
        block_on(self.session.prepare(statement))
    }

    /// As [`Session::execute`](crate::Session::execute).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn execute(&self, prepared: &Prepared, values: impl SerializeRow) -> Result<Rows> {
        block_on(self.session.execute(prepared, values))
    }

    /// As [`Session::execute_page`](crate::Session::execute_page).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn execute_page(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
        state: Option<PagingState>,
    ) -> Result<(Rows, Option<PagingState>)> {
        block_on(self.session.execute_page(prepared, values, state))
    }

    /// As [`Session::stream`](crate::Session::stream).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn stream(&self, prepared: &Prepared, values: impl SerializeRow) -> Result<Pages> {
        self.session.stream(prepared, values).map(Pages)
    }

    /// As [`Session::query_stream`](crate::Session::query_stream).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn query_stream(
        &self,
        statement: impl Into<Statement>,
        values: impl SerializeRow,
    ) -> Result<Pages> {
        block_on(self.session.query_stream(statement, values)).map(Pages)
    }

    /// As [`Session::batch`](crate::Session::batch).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn batch(&self, batch: &Batch) -> Result<Rows> {
        block_on(self.session.batch(batch))
    }

    /// As [`Session::schema`](crate::Session::schema).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn schema(&self) -> Result<Schema> {
        block_on(self.session.schema())
    }

    /// As [`Session::use_keyspace`](crate::Session::use_keyspace).
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub fn use_keyspace(&self, keyspace: &str) -> Result<()> {
        block_on(self.session.use_keyspace(keyspace))
    }

    /// As [`Session::close`](crate::Session::close).
    ///
    /// # Errors
    /// As there.
    pub fn close(self) -> Result<()> {
        block_on(self.session.close())
    }
}

/// The pages of a result, each asked for when it is its turn.
#[derive(Debug)]
pub struct Pages(crate::Pages);

impl Pages {
    /// The rows of the pages, one by one.
    #[must_use]
    pub fn rows<R: for<'a> DeserializeRow<'a, 'a>>(self) -> RowIter<R> {
        RowIter(self.0.rows())
    }
}

impl Iterator for Pages {
    type Item = Result<Rows>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.0.next())
    }
}

/// The rows of a result.
#[derive(Debug)]
pub struct RowIter<R>(crate::RowStream<R>);

impl<R: for<'a> DeserializeRow<'a, 'a>> Iterator for RowIter<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.0.next())
    }
}
