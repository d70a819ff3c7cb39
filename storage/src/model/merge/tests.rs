//! What the merge rule promises.
