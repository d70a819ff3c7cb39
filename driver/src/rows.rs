//! What a statement answers: rows, read as the caller's own types.

use std::fmt;
use std::slice;
use std::sync::Arc;

#[cfg(feature = "embedded")]
use bytes::Bytes;
#[cfg(feature = "embedded")]
use scylla_cql_core::deserialize::FrameSlice;
#[cfg(feature = "embedded")]
use scylla_cql_core::deserialize::result::RawRowIterator;
use scylla_cql_core::deserialize::result::TypedRowIterator;

use crate::error::{Error, ErrorKind, Result};
use crate::{ColumnSpec, DeserializeRow};

/// The rows that a statement answered; none for statements that answer none.
///
/// A row is read as a tuple, in the order of the columns, or as a struct that derives
/// [`DeserializeRow`](macro@crate::DeserializeRow), by name.
///
/// ```
/// # helenus_driver::doc(|session| async move {
/// # session.query("INSERT INTO app.todo (id, what) VALUES (1, 'believe')", ()).await?;
/// use helenus_driver::DeserializeRow;
///
/// #[derive(DeserializeRow)]
/// #[scylla(crate = helenus_driver)]
/// struct Todo {
///     id: i32,
///     what: Option<String>,
/// }
///
/// let rows = session.query("SELECT id, what FROM app.todo", ()).await?;
/// for todo in rows.iter::<Todo>()? {
///     let todo = todo?;
///     println!("{}: {}", todo.id, todo.what.unwrap_or_default());
/// }
/// let (id, what): (i32, String) = rows.one()?;
/// # assert_eq!((id, what.as_str()), (1, "believe"));
/// # Ok(()) });
/// ```
#[derive(Debug, Default)]
pub struct Rows {
    first: Page,
    more: Vec<Page>,
}

/// One answer of a node.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) body: Body,
    pub(crate) warnings: Vec<String>,
    pub(crate) next: Option<PagingState>,
}

/// The rows of one answer.
#[derive(Default)]
pub(crate) enum Body {
    #[default]
    Nothing,
    #[cfg(feature = "embedded")]
    Cells { columns: Arc<[ColumnSpec<'static>]>, count: usize, cells: Bytes },
    #[cfg(feature = "cluster")]
    Cluster(Box<scylla::response::query_result::QueryRowsResult>),
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} rows", self.len())
    }
}

impl Body {
    fn len(&self) -> usize {
        match self {
            Body::Nothing => 0,
            #[cfg(feature = "embedded")]
            Body::Cells { count, .. } => *count,
            #[cfg(feature = "cluster")]
            Body::Cluster(rows) => rows.rows_num(),
        }
    }

    fn columns(&self) -> &[ColumnSpec<'_>] {
        match self {
            Body::Nothing => &[],
            #[cfg(feature = "embedded")]
            Body::Cells { columns, .. } => columns,
            #[cfg(feature = "cluster")]
            Body::Cluster(rows) => rows.column_specs().as_slice(),
        }
    }

    fn typed<'a, R: DeserializeRow<'a, 'a>>(
        &'a self,
    ) -> Result<Option<TypedRowIterator<'a, 'a, R>>> {
        match self {
            Body::Nothing => Ok(None),
            #[cfg(feature = "embedded")]
            Body::Cells { columns, count, cells } => {
                let raw = RawRowIterator::new(*count, columns, FrameSlice::new(cells));
                TypedRowIterator::new(raw).map(Some).map_err(Error::mismatch)
            }
            #[cfg(feature = "cluster")]
            Body::Cluster(rows) => rows.rows().map(Some).map_err(Error::mismatch),
        }
    }
}

/// Where the next page of a result begins: opaque bytes, which any node of the same cluster
/// understands, for the same statement with the same values. They are no secret from the user
/// whose result it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagingState(Arc<[u8]>);

impl PagingState {
    /// The bytes, to be kept or sent along.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The state with these bytes.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }
}

impl Rows {
    pub(crate) fn new(first: Page) -> Self {
        Self { first, more: Vec::new() }
    }

    /// Where the page after the last one begins.
    pub(crate) fn next(&self) -> Option<&PagingState> {
        self.more.last().unwrap_or(&self.first).next.as_ref()
    }

    pub(crate) fn push(&mut self, page: Page) {
        self.more.push(page);
    }

    fn pages(&self) -> impl Iterator<Item = &Page> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pages().map(|page| page.body.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages().all(|page| page.body.len() == 0)
    }

    /// Names and types of the columns.
    #[must_use]
    pub fn columns(&self) -> &[ColumnSpec<'_>] {
        self.first.body.columns()
    }

    /// What the nodes warn of.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.pages().flat_map(|page| &page.warnings).map(String::as_str)
    }

    /// The rows, each read when it is its turn. Text and blobs can be borrowed.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if the columns are not those of `R`; on a row if its content is not.
    pub fn iter<'a, R: DeserializeRow<'a, 'a>>(&'a self) -> Result<RowIter<'a, R>> {
        Ok(RowIter { page: self.first.body.typed()?, more: self.more.iter() })
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn first<'a, R: DeserializeRow<'a, 'a>>(&'a self) -> Result<Option<R>> {
        self.iter()?.next().transpose()
    }

    /// The only row.
    ///
    /// # Errors
    /// As [`Self::iter`], and [`ErrorKind::Mismatch`] if there is none or more than one.
    pub fn one<'a, R: DeserializeRow<'a, 'a>>(&'a self) -> Result<R> {
        match (self.len(), self.first()?) {
            (1, Some(row)) => Ok(row),
            (rows, _) => {
                let message = format!("one row was expected, the statement answered {rows}");
                Err(Error::new(ErrorKind::Mismatch, message))
            }
        }
    }

    /// All rows.
    ///
    /// # Errors
    /// As [`Self::iter`].
    pub fn to_vec<'a, R: DeserializeRow<'a, 'a>>(&'a self) -> Result<Vec<R>> {
        let mut all = Vec::with_capacity(self.len());
        for row in self.iter()? {
            all.push(row?);
        }
        Ok(all)
    }

    /// Whether a conditional statement was applied. If it was not, the row says why: it has the
    /// values that the condition met, beside `[applied]`.
    ///
    /// ```
    /// # helenus_driver::doc(|session| async move {
    /// let insert = "INSERT INTO app.todo (id, what) VALUES (7, 'once') IF NOT EXISTS";
    /// assert!(session.query(insert, ()).await?.applied()?);
    /// assert!(!session.query(insert, ()).await?.applied()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] if the statement had no condition.
    pub fn applied(&self) -> Result<bool> {
        let unconditional = || {
            let message = "the statement has no IF, so it does not say whether it was applied";
            Error::new(ErrorKind::Mismatch, message)
        };
        if self.columns().first().is_none_or(|column| column.name() != "[applied]") {
            return Err(unconditional());
        }
        let row = self.first::<Applied>()?.ok_or_else(unconditional)?;
        Ok(row.0)
    }
}

/// The first column of a conditional statement's answer, whatever the others are.
struct Applied(bool);

impl<'f, 'm> DeserializeRow<'f, 'm> for Applied {
    fn type_check(
        _specs: &[ColumnSpec<'_>],
    ) -> std::result::Result<(), scylla_cql_core::deserialize::TypeCheckError> {
        Ok(())
    }

    fn deserialize(
        mut row: scylla_cql_core::deserialize::row::ColumnIterator<'f, 'm>,
    ) -> std::result::Result<Self, scylla_cql_core::deserialize::DeserializationError> {
        let applied = row.next().transpose()?.and_then(|column| column.slice);
        Ok(Self(applied.is_some_and(|slice| slice.as_slice() == [1])))
    }
}

/// Iterates over [`Rows`].
pub struct RowIter<'a, R> {
    page: Option<TypedRowIterator<'a, 'a, R>>,
    more: slice::Iter<'a, Page>,
}

impl<R> fmt::Debug for RowIter<'_, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowIter")
    }
}

impl<'a, R: DeserializeRow<'a, 'a>> Iterator for RowIter<'a, R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.page.as_mut().and_then(Iterator::next) {
                return Some(row.map_err(Error::mismatch));
            }
            match self.more.next()?.body.typed() {
                Ok(page) => self.page = page,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
