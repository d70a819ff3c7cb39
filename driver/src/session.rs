//! A session: one API over a node inside this process and over a cluster.

use std::fmt;
use std::sync::Arc;

use crate::SerializeRow;
use crate::batch::Batch;
use crate::bound::Bound;
use crate::builder::SessionBuilder;
use crate::error::Result;
use crate::options::{Options, Settled};
use crate::rows::{Page, PagingState, Rows};
use crate::schema::Schema;
use crate::statement::{Prepared, PreparedOf, Statement};
use crate::stream::{Pages, What};

#[cfg(feature = "cluster")]
use crate::cluster::Cluster;
#[cfg(feature = "embedded")]
use crate::embedded::Embedded;

/// A database: a node inside this process ([`Session::open`], [`Session::memory`]) or a cluster
/// ([`Session::connect`]). Clones share it, and may be used from many tasks and threads at once.
///
/// Every future of a session may be dropped at any time; a write that was under way may then be
/// made or not. Dropping the last clone closes the node and waits for that, which takes a sync.
#[derive(Clone)]
pub struct Session {
    half: Half,
    options: Options,
}

#[derive(Clone)]
enum Half {
    #[cfg(feature = "embedded")]
    Embedded(Arc<Embedded>),
    #[cfg(feature = "cluster")]
    Cluster(Arc<Cluster>),
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.half {
            #[cfg(feature = "embedded")]
            Half::Embedded(node) => write!(formatter, "Session({:?})", node.dir()),
            #[cfg(feature = "cluster")]
            Half::Cluster(_) => formatter.write_str("Session(cluster)"),
        }
    }
}

#[cfg(feature = "embedded")]
impl Session {
    /// Opens the data directory `dir`, creating it if there is none, and runs its node inside
    /// this process, without a port. After a crash it recovers what was acknowledged.
    ///
    /// ```
    /// # fn main() -> helenus_driver::Result<()> {
    /// # let dir = std::env::temp_dir().join(format!("helenus-doc-open-{}", std::process::id()));
    /// # helenus_driver::wait(async {
    /// let session = helenus_driver::Session::open(&dir).await?;
    /// // The directory is this process's now.
    /// let refused = helenus_driver::Session::open(&dir).await.unwrap_err();
    /// assert_eq!(refused.kind(), helenus_driver::ErrorKind::InUse);
    /// assert!(refused.to_string().contains(&format!("pid {}", std::process::id())));
    /// session.close().await?;
    /// # drop(std::fs::remove_dir_all(&dir));
    /// # Ok(()) })
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InUse`](crate::ErrorKind::InUse) names the process that has the directory;
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) names the file that is damaged.
    pub async fn open(dir: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::builder().open(dir).await
    }

    /// Opens a database in memory, for tests: it starts in a millisecond, needs no directory, and
    /// is gone with the session.
    ///
    /// ```
    /// # helenus_driver::wait(async {
    /// let session = helenus_driver::Session::memory().await?;
    /// let rows = session.query("SELECT cluster_name FROM system.local", ()).await?;
    /// assert_eq!(rows.one::<(String,)>()?.0, "Helenus");
    /// # helenus_driver::Result::Ok(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// If threads cannot be started.
    pub async fn memory() -> Result<Self> {
        Self::builder().memory().await
    }

    /// A session on a node that somebody else has opened, and will close. Nothing times out.
    #[doc(hidden)]
    #[must_use]
    pub fn on(handler: Arc<dyn helenus::server::Handler>) -> Self {
        Self::embedded(Embedded::on(handler), Options::default())
    }

    /// The node inside this process, if there is one: to flush it, or to look at its metrics.
    #[doc(hidden)]
    #[must_use]
    pub fn node(&self) -> Option<&helenus::node::Node> {
        match &self.half {
            Half::Embedded(embedded) => embedded.node(),
            #[cfg(feature = "cluster")]
            Half::Cluster(_) => None,
        }
    }

    pub(crate) fn embedded(embedded: Embedded, options: Options) -> Self {
        Self { half: Half::Embedded(Arc::new(embedded)), options }
    }
}

#[cfg(feature = "cluster")]
impl Session {
    /// Connects to a cluster through any of its nodes, each `host:port` or a host.
    ///
    /// ```no_run
    /// # helenus_driver::wait(async {
    /// let session = helenus_driver::Session::connect(["10.0.0.1:9042", "10.0.0.2:9042"]).await?;
    /// # helenus_driver::Result::Ok(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if no node can be reached,
    /// [`ErrorKind::Unauthorized`](crate::ErrorKind::Unauthorized) if none lets the user in.
    pub async fn connect<A: AsRef<str>>(nodes: impl IntoIterator<Item = A>) -> Result<Self> {
        Self::builder().connect(nodes).await
    }

    pub(crate) fn cluster(cluster: Cluster, options: Options) -> Self {
        Self { half: Half::Cluster(Arc::new(cluster)), options }
    }
}

impl Session {
    /// Settles what holds for the whole session before it begins: consistency, timeout, keyspace,
    /// user.
    #[must_use]
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// Executes a statement with values for its markers, and answers all of its rows; for results
    /// too large for that there is [`Self::query_stream`].
    ///
    /// The values are a tuple, a slice, a map by name, or a struct that derives
    /// [`SerializeRow`](macro@crate::SerializeRow); `()` for none. A statement that is executed
    /// often is better prepared.
    ///
    /// ```
    /// # helenus_driver::doc(|session| async move {
    /// session.query("INSERT INTO app.todo (id, what) VALUES (?, ?)", (1, "believe")).await?;
    /// let rows = session.query("SELECT what FROM app.todo WHERE id = ?", (1,)).await?;
    /// let (what,): (String,) = rows.one()?;
    /// assert_eq!(what, "believe");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn query(
        &self,
        statement: impl Into<Statement>,
        values: impl SerializeRow,
    ) -> Result<Rows> {
        let statement = statement.into();
        if values.is_empty() {
            return self.all(&What::Text(statement)).await;
        }
        let prepared = self.prepare(statement).await?;
        self.execute(&prepared, values).await
    }

    /// Prepares a statement, to be executed often.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn prepare(&self, statement: impl Into<Statement>) -> Result<Prepared> {
        let statement = statement.into();
        let settled = statement.options.settle(&self.options);
        let of = match &self.half {
            #[cfg(feature = "embedded")]
            Half::Embedded(embedded) => {
                PreparedOf::Embedded(Arc::new(embedded.prepare(&statement.text, &settled).await?))
            }
            #[cfg(feature = "cluster")]
            Half::Cluster(cluster) => {
                PreparedOf::Cluster(Box::new(cluster.prepare(&statement.text, &settled).await?))
            }
        };
        Ok(Prepared { of, options: statement.options })
    }

    /// Executes a prepared statement with values for its markers, and answers all of its rows; for
    /// results too large for that there is [`Self::stream`].
    ///
    /// ```
    /// # helenus_driver::doc(|session| async move {
    /// use helenus_driver::{MaybeUnset, SerializeRow};
    ///
    /// #[derive(SerializeRow)]
    /// #[scylla(crate = helenus_driver)]
    /// struct Todo<'a> {
    ///     id: i32,
    ///     what: MaybeUnset<&'a str>,
    /// }
    ///
    /// let insert = session.prepare("INSERT INTO app.todo (id, what) VALUES (:id, :what)").await?;
    /// session.execute(&insert, Todo { id: 1, what: MaybeUnset::Set("believe") }).await?;
    /// // Leaves what is there as it is; `None::<&str>` would delete it.
    /// session.execute(&insert, Todo { id: 1, what: MaybeUnset::Unset }).await?;
    /// # let rows = session.query("SELECT what FROM app.todo WHERE id = 1", ()).await?;
    /// # assert_eq!(rows.one::<(String,)>()?.0, "believe");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn execute(&self, prepared: &Prepared, values: impl SerializeRow) -> Result<Rows> {
        let bound = Bound::new(prepared.markers(), &values)?;
        let settled = prepared.options.settle(&self.options);
        let mut rows = Rows::new(self.execute_once(prepared, &bound, &settled, None).await?);
        while let Some(state) = rows.next() {
            let page = self.execute_once(prepared, &bound, &settled, Some(state)).await?;
            rows.push(page);
        }
        Ok(rows)
    }

    /// All pages of a result.
    async fn all(&self, what: &What) -> Result<Rows> {
        let mut rows = Rows::new(self.page(what, None).await?);
        while let Some(state) = rows.next() {
            let page = self.page(what, Some(state)).await?;
            rows.push(page);
        }
        Ok(rows)
    }

    /// Executes a prepared statement for one page of rows, from where `state` says, or from the
    /// beginning. The second part of the answer is where the next page begins, if there is one:
    /// for a program that hands it to its own client and forgets.
    ///
    /// ```
    /// # helenus_driver::doc(|session| async move {
    /// # for id in 0..5 {
    /// #     session.query("INSERT INTO app.todo (id, what) VALUES (?, 'x')", (id,)).await?;
    /// # }
    /// let select = session.prepare("SELECT id FROM app.todo").await?.page_size(3);
    /// let (page, next) = session.execute_page(&select, (), None).await?;
    /// assert_eq!(page.len(), 3);
    /// let (page, next) = session.execute_page(&select, (), next).await?;
    /// assert_eq!(page.len(), 2);
    /// assert_eq!(next, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn execute_page(
        &self,
        prepared: &Prepared,
        values: impl SerializeRow,
        state: Option<PagingState>,
    ) -> Result<(Rows, Option<PagingState>)> {
        let bound = Bound::new(prepared.markers(), &values)?;
        let settled = prepared.options.settle(&self.options);
        let mut page = self.execute_once(prepared, &bound, &settled, state.as_ref()).await?;
        let next = page.next.take();
        Ok((Rows::new(page), next))
    }

    /// The rows of a prepared statement, page by page: whatever the size of the result, one page
    /// is in memory.
    ///
    /// ```
    /// # helenus_driver::doc(|session| async move {
    /// # for id in 0..5 {
    /// #     session.query("INSERT INTO app.todo (id, what) VALUES (?, 'x')", (id,)).await?;
    /// # }
    /// let select = session.prepare("SELECT id, what FROM app.todo").await?.page_size(2);
    /// let mut rows = session.stream(&select, ())?.rows::<(i32, String)>();
    /// let mut seen = 0;
    /// while let Some(row) = rows.next().await {
    ///     let (_id, _what) = row?;
    ///     seen += 1;
    /// }
    /// assert_eq!(seen, 5);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the values do not fit the markers;
    /// nothing else has happened yet.
    pub fn stream(&self, prepared: &Prepared, values: impl SerializeRow) -> Result<Pages> {
        let bound = Bound::new(prepared.markers(), &values)?;
        Ok(Pages::new(self.clone(), What::Prepared(prepared.clone(), bound)))
    }

    /// As [`Self::stream`], of a statement as text.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind): with values, the statement is prepared at once.
    pub async fn query_stream(
        &self,
        statement: impl Into<Statement>,
        values: impl SerializeRow,
    ) -> Result<Pages> {
        let statement = statement.into();
        if values.is_empty() {
            return Ok(Pages::new(self.clone(), What::Text(statement)));
        }
        let prepared = self.prepare(statement).await?;
        self.stream(&prepared, values)
    }

    /// Executes several writes as one. A batch with conditions answers as a conditional statement
    /// does; others answer no rows.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn batch(&self, batch: &Batch) -> Result<Rows> {
        let settled = batch.options.settle(&self.options);
        let page = match &self.half {
            #[cfg(feature = "embedded")]
            Half::Embedded(embedded) => embedded.batch(batch, &settled).await?,
            #[cfg(feature = "cluster")]
            Half::Cluster(cluster) => cluster.batch(batch, &settled).await?,
        };
        Ok(Rows::new(page))
    }

    /// The keyspaces, tables, columns and types that there are now.
    ///
    /// ```
    /// # helenus_driver::doc(|session| async move {
    /// let schema = session.schema().await?;
    /// let todo = schema.table("app", "todo").unwrap();
    /// assert_eq!(todo.partition_key().map(|column| &*column.name).collect::<Vec<_>>(), ["id"]);
    /// assert_eq!(todo.column("what").unwrap().cql_type, "text");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn schema(&self) -> Result<Schema> {
        Schema::read(self).await
    }

    /// Makes `keyspace` that of names without one, in this session and its clones: as `USE` does.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there is no such keyspace.
    pub async fn use_keyspace(&self, keyspace: &str) -> Result<()> {
        self.query(format!("USE \"{}\"", keyspace.replace('"', "\"\"")), ()).await.map(drop)
    }

    /// Closes the session and all of its clones, which refuse everything from then on. A node
    /// inside this process syncs what is written, ends its threads and lets its directory go.
    /// Dropping the last clone does the same without telling how it went.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) if the disk fails. What was acknowledged
    /// is safe all the same.
    #[expect(clippy::unused_async, reason = "closing a cluster's connections may have to wait")]
    pub async fn close(self) -> Result<()> {
        match &self.half {
            #[cfg(feature = "embedded")]
            Half::Embedded(embedded) => embedded.close(),
            #[cfg(feature = "cluster")]
            Half::Cluster(cluster) => {
                cluster.close();
                Ok(())
            }
        }
    }

    async fn execute_once(
        &self,
        prepared: &Prepared,
        bound: &Bound,
        settled: &Settled,
        state: Option<&PagingState>,
    ) -> Result<Page> {
        match (&self.half, &prepared.of) {
            #[cfg(feature = "embedded")]
            (Half::Embedded(embedded), PreparedOf::Embedded(prepared)) => {
                embedded.execute(prepared, bound, settled, state).await
            }
            #[cfg(feature = "cluster")]
            (Half::Cluster(cluster), PreparedOf::Cluster(prepared)) => {
                cluster.execute(prepared, bound, settled, state).await
            }
            #[cfg(all(feature = "embedded", feature = "cluster"))]
            _ => Err(crate::Error::elsewhere()),
        }
    }

    /// One page of what a stream streams.
    pub(crate) async fn page(&self, what: &What, state: Option<&PagingState>) -> Result<Page> {
        match what {
            What::Prepared(prepared, bound) => {
                let settled = prepared.options.settle(&self.options);
                self.execute_once(prepared, bound, &settled, state).await
            }
            What::Text(statement) => {
                let settled = statement.options.settle(&self.options);
                match &self.half {
                    #[cfg(feature = "embedded")]
                    Half::Embedded(embedded) => {
                        embedded.query(&statement.text, &settled, state).await
                    }
                    #[cfg(feature = "cluster")]
                    Half::Cluster(cluster) => cluster.query(&statement.text, &settled, state).await,
                }
            }
        }
    }
}
