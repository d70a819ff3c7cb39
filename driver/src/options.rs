//! How a statement is executed: what a statement says itself, what the session says for all.

use std::time::Duration;

use crate::{Consistency, SerialConsistency};

/// Rows of a page where nobody says otherwise, as Cassandra's drivers have it.
pub(crate) const PAGE_ROWS_DEFAULT: u32 = 5_000;
/// How long a request may take where nobody says otherwise.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// What a statement says; the rest is the session's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Options {
    pub(crate) consistency: Option<Consistency>,
    pub(crate) serial_consistency: Option<SerialConsistency>,
    pub(crate) timeout: Option<Option<Duration>>,
    pub(crate) page_size: Option<u32>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) idempotent: bool,
}

/// Everything settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) consistency: Consistency,
    pub(crate) serial_consistency: SerialConsistency,
    pub(crate) timeout: Option<Duration>,
    /// Rows; positive.
    pub(crate) page_size: i32,
    pub(crate) timestamp: Option<i64>,
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only a network retries"))]
    pub(crate) idempotent: bool,
}

impl Options {
    /// These options, and those of `session` where these say nothing.
    pub(crate) fn settle(&self, session: &Options) -> Settled {
        let timeout = self.timeout.or(session.timeout).unwrap_or(Some(TIMEOUT_DEFAULT));
        let page_size = self.page_size.or(session.page_size).unwrap_or(PAGE_ROWS_DEFAULT);
        Settled {
            consistency: self
                .consistency
                .or(session.consistency)
                .unwrap_or(Consistency::LocalQuorum),
            serial_consistency: self
                .serial_consistency
                .or(session.serial_consistency)
                .unwrap_or(SerialConsistency::LocalSerial),
            timeout,
            page_size: i32::try_from(page_size).unwrap_or(i32::MAX).max(1),
            timestamp: self.timestamp.or(session.timestamp),
            idempotent: self.idempotent || session.idempotent,
        }
    }
}

/// The methods that set options, the same on everything that has some. `$options` is where the
/// [`Options`] stand.
macro_rules! option_methods {
    ($($options:ident).+) => {
        /// How many replicas must answer; [`LocalQuorum`](crate::Consistency::LocalQuorum) if nobody says.
        #[must_use]
        pub fn consistency(mut self, level: $crate::Consistency) -> Self {
            self.$($options).+.consistency = Some(level);
            self
        }

        /// The level of the conditional part of a conditional statement;
        /// [`SerialConsistency::LocalSerial`](crate::SerialConsistency::LocalSerial) if nobody says.
        #[must_use]
        pub fn serial_consistency(mut self, level: $crate::SerialConsistency) -> Self {
            self.$($options).+.serial_consistency = Some(level);
            self
        }

        /// How long to wait for an answer, per page; 30 seconds if nobody says, `None` for ever.
        /// Past it comes [`ErrorKind::Timeout`](crate::ErrorKind::Timeout): a write may have been
        /// made all the same.
        #[must_use]
        pub fn timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.$($options).+.timeout = Some(timeout.into());
            self
        }

        /// Most rows of a page, at least 1; 5000 if nobody says.
        #[must_use]
        pub fn page_size(mut self, rows: u32) -> Self {
            self.$($options).+.page_size = Some(rows.max(1));
            self
        }

        /// The timestamp of writes that do not say `USING TIMESTAMP`, in microseconds since the
        /// epoch; the node's clock if nobody says.
        #[must_use]
        pub fn timestamp(mut self, micros: i64) -> Self {
            self.$($options).+.timestamp = Some(micros);
            self
        }

        /// Says that executing it twice does no more than once, so that it may be tried again on
        /// another node after a failure that leaves open whether it was executed.
        #[must_use]
        pub fn idempotent(mut self, idempotent: bool) -> Self {
            self.$($options).+.idempotent = idempotent;
            self
        }
    };
}
pub(crate) use option_methods;
