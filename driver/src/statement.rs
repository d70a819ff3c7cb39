//! Statements: as text, and prepared.

use crate::ColumnSpec;
use crate::options::{Options, option_methods};

/// A statement as text, with how to execute it. A `&str` or a `String` becomes one by itself.
///
/// ```
/// use helenus_driver::{Consistency, Statement};
/// use std::time::Duration;
///
/// let statement = Statement::new("SELECT * FROM app.todo")
///     .consistency(Consistency::One)
///     .timeout(Duration::from_secs(2))
///     .page_size(100);
/// assert_eq!(statement.text(), "SELECT * FROM app.todo");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub(crate) text: String,
    pub(crate) options: Options,
}

impl Statement {
    /// A statement that is executed as the session says.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), options: Options::default() }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    option_methods!(options);
}

impl From<&str> for Statement {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Statement {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Statement {
    fn from(text: &String) -> Self {
        Self::new(text.as_str())
    }
}

/// A prepared statement: parsed once, executed often. Cheap to clone. It belongs to the session
/// that prepared it and to that session's clones.
///
/// ```
/// # helenus_driver::doc(|session| async move {
/// let insert = session.prepare("INSERT INTO app.todo (id, what) VALUES (?, ?)").await?;
/// let quick = insert.clone().consistency(helenus_driver::Consistency::One);
/// session.execute(&insert, (1, "believe Cassandra")).await?;
/// session.execute(&quick, (2, "and be quick about it")).await?;
/// # Ok(()) });
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) of: PreparedOf,
    pub(crate) options: Options,
}

/// Whose statement it is.
#[derive(Clone, Debug)]
pub(crate) enum PreparedOf {
    #[cfg(feature = "embedded")]
    Embedded(std::sync::Arc<crate::embedded::PreparedHere>),
    #[cfg(feature = "cluster")]
    Cluster(Box<scylla::statement::prepared::PreparedStatement>),
}

impl Prepared {
    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.of {
            #[cfg(feature = "embedded")]
            PreparedOf::Embedded(prepared) => prepared.text(),
            #[cfg(feature = "cluster")]
            PreparedOf::Cluster(prepared) => prepared.get_statement(),
        }
    }

    /// The markers: their names and types, in the order of the statement.
    #[must_use]
    pub fn markers(&self) -> &[ColumnSpec<'_>] {
        match &self.of {
            #[cfg(feature = "embedded")]
            PreparedOf::Embedded(prepared) => prepared.markers(),
            #[cfg(feature = "cluster")]
            PreparedOf::Cluster(prepared) => prepared.get_variable_col_specs().as_slice(),
        }
    }

    option_methods!(options);
}
