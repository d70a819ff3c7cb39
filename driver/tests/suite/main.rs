//! One suite, run on both halves: on a node inside this process, and over the network against a
//! node that this process serves. What a statement does, and what goes wrong, must be the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "looks at data directories from outside")]

mod errors;
mod halves;
mod lifecycle;
mod paging;
mod statements;
mod types;

use std::future::Future;

use helenus_driver::{Result, Session};

pub(crate) use halves::{connected, embedded};

/// Runs `test` on a session with a keyspace `ks` of its own, in use.
pub(crate) fn on<F: Future<Output = Result<()>>>(
    session: impl Future<Output = Session>,
    test: impl FnOnce(Session) -> F,
) {
    let done = helenus_driver::wait(async {
        let session = session.await;
        test(session).await
    });
    done.unwrap();
}

/// Defines each test twice: once for each half.
macro_rules! both {
    ($($name:ident)*) => {
        mod on_embedded {
            $(#[test] fn $name() { crate::on(crate::embedded(), super::$name); })*
        }
        mod on_cluster {
            $(#[test] fn $name() { crate::on(crate::connected(), super::$name); })*
        }
    };
}
pub(crate) use both;
