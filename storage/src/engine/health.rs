//! The latch that a failure sets for good.
//!
//! After a failed sync nobody knows what the disk holds; after a failed manifest append nobody
//! knows what the manifest says. From then on the engine refuses writes with the first cause,
//! and goes on serving reads, until the directory is opened again.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};

/// Set once, by the first failure after which writing on would be unsafe.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failure: OnceLock<Arc<Error>>,
}

impl Health {
    /// Refuses if the engine has failed.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(refused(cause.clone())),
        }
    }

    /// Records a failure; the first one stays.
    pub(crate) fn fail(&self, error: Arc<Error>) {
        // A second failure adds nothing: the first is the cause that an operator needs.
        let _ = self.failure.set(error);
    }

    /// The failure, if there was one.
    pub(crate) fn failure(&self) -> Option<Arc<Error>> {
        self.failure.get().cloned()
    }
}

fn refused(cause: Arc<Error>) -> Error {
    let what = format!("the engine refuses writes since it failed: {cause}");
    Error::new(ErrorKind::Closed, what).at(cause.place().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_stays_and_is_named() {
        let health = Health::default();
        health.check().unwrap();
        health.fail(Arc::new(Error::invalid("sync failed")));
        health.fail(Arc::new(Error::invalid("another")));
        let error = health.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.to_string().contains("sync failed"), "{error}");
    }
}
