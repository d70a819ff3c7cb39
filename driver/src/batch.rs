//! Several writes as one request.

use crate::SerializeRow;
use crate::bound::Bound;
use crate::error::Result;
use crate::options::{Options, option_methods};
use crate::statement::{Prepared, PreparedOf};

/// Several writes as one request.
///
/// ```
/// # helenus_driver::doc(|session| async move {
/// use helenus_driver::Batch;
///
/// let insert = session.prepare("INSERT INTO app.todo (id, what) VALUES (?, ?)").await?;
/// let batch = Batch::logged()
///     .add(&insert, (1, "believe"))?
///     .add(&insert, (2, "warn"))?
///     .statement("DELETE FROM app.todo WHERE id = 3");
/// session.batch(&batch).await?;
/// # assert_eq!(session.query("SELECT * FROM app.todo", ()).await?.len(), 2);
/// # Ok(()) });
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) kind: Kind,
    pub(crate) items: Vec<BatchItem>,
    pub(crate) options: Options,
}

/// What is promised about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Logged,
    Unlogged,
    Counter,
}

/// One write of a batch.
#[derive(Clone, Debug)]
pub(crate) enum BatchItem {
    Text(String),
    Prepared(PreparedOf, Bound),
}

impl Batch {
    fn new(kind: Kind) -> Self {
        Self { kind, items: Vec::new(), options: Options::default() }
    }

    /// Writes that are all made or none, in the end, whatever fails in between.
    #[must_use]
    pub fn logged() -> Self {
        Self::new(Kind::Logged)
    }

    /// Writes that only share the way: for many rows of one partition, which are written together
    /// or not at all anyway.
    #[must_use]
    pub fn unlogged() -> Self {
        Self::new(Kind::Unlogged)
    }

    /// Changes of counters.
    #[must_use]
    pub fn counter() -> Self {
        Self::new(Kind::Counter)
    }

    /// Adds a prepared write with the values of its markers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if the values do not fit the markers.
    pub fn add(mut self, prepared: &Prepared, values: impl SerializeRow) -> Result<Self> {
        let bound = Bound::new(prepared.markers(), &values)?;
        self.items.push(BatchItem::Prepared(prepared.of.clone(), bound));
        Ok(self)
    }

    /// Adds a write as text, without markers.
    #[must_use]
    pub fn statement(mut self, text: impl Into<String>) -> Self {
        self.items.push(BatchItem::Text(text.into()));
        self
    }

    /// How many writes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    option_methods!(options);
}
