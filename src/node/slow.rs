//! Log lines about single requests: slow ones, and those that failed inside the node. Both are
//! bounded, so that a bad hour does not fill a disk. A request that is answered on its
//! connection's task cannot be slow (its budget is some hundred microseconds), so only those that
//! have to wait are looked at.

use std::fmt::Write;
use std::sync::Arc;

use cql_lite::lexer::{Lexer, TokenKind};
use cql_lite::wire::{BoundValue, Values};

use super::Node;
use crate::error::Error;
use crate::query::Prepared;
use crate::server::{Handled, RequestContext};

/// Longest statement that is logged, in characters.
const STATEMENT_CHARS_MAX: usize = 1000;
/// Values of which the size is logged.
const SIZES_MAX: usize = 32;

/// What is logged of a statement, should it be slow.
struct Statement {
    prepared: Arc<Prepared>,
    /// Further statements of the same batch.
    others: usize,
    sizes: String,
    client: std::net::SocketAddr,
    keyspace: Option<Arc<str>>,
}

/// The sizes of bound values, never the values.
fn sizes(values: &Values<'_>) -> String {
    let mut text = String::new();
    for (_, value) in values.iter().take(SIZES_MAX) {
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = match value {
            BoundValue::Null => write!(text, "{comma}null"),
            BoundValue::Unset => write!(text, "{comma}unset"),
            BoundValue::Bytes(bytes) => write!(text, "{comma}{}", bytes.len()),
        };
    }
    if values.len() > SIZES_MAX {
        let _ = write!(text, ", {} more", values.len() - SIZES_MAX);
    }
    text
}

/// A statement with `?` in the place of its constants.
fn without_constants(text: &str) -> String {
    let mut lexer = Lexer::new(text);
    let mut shown = String::new();
    let mut copied = 0;
    // What is not CQL is not shown: nobody knows where its constants are.
    while let Ok(token) = lexer.next_token() {
        if token.kind == TokenKind::End || shown.len() > STATEMENT_CHARS_MAX {
            break;
        }
        let is_constant = token.kind.is_constant();
        // Between tokens stand blanks and comments, and a comment may say anything.
        if token.start > copied && !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(if is_constant { "?" } else { token.source(text) });
        copied = token.end;
    }
    shown.chars().take(STATEMENT_CHARS_MAX).collect()
}

impl Node {
    /// Logs the request behind `handled`, should it be slow.
    pub(super) fn watch_slow(
        &self,
        handled: Handled,
        context: &RequestContext<'_>,
        prepared: &Arc<Prepared>,
        others: usize,
        values: &Values<'_>,
    ) -> Handled {
        let threshold = self.config().slow_query_threshold;
        let Handled::Pending(answer) = handled else { return handled };
        if threshold.is_zero() {
            return Handled::Pending(answer);
        }
        let (node, since) = (self.clone(), self.world().clock.monotonic());
        let statement = Statement {
            prepared: prepared.clone(),
            others,
            sizes: sizes(values),
            client: context.client.address,
            keyspace: context.client.keyspace.clone(),
        };
        Handled::Pending(Box::pin(async move {
            let answer = answer.await;
            let now = node.world().clock.monotonic();
            let took = now.saturating_sub(since);
            if took >= threshold
                && let Some(left_out) = node.shared.slow_lines.admit(now)
            {
                tracing::warn!(
                    took_ms = took.as_secs_f64() * 1000.0,
                    statement = without_constants(&statement.prepared.text),
                    others_in_batch = statement.others,
                    bound_bytes = statement.sizes,
                    client = %statement.client,
                    keyspace = statement.keyspace.as_deref().unwrap_or(""),
                    left_out,
                    "slow query"
                );
            }
            answer
        }))
    }

    /// Logs an error that is the node's own, such as a damaged file: the client is told, and
    /// somebody has to do something.
    pub(super) fn log_failure(&self, error: &Error) {
        let is_own = matches!(*error.kind, crate::error::ErrorKind::Server);
        if is_own
            && let Some(left_out) = self.shared.failure_lines.admit(self.world().clock.monotonic())
        {
            tracing::error!(%error, left_out, "a request failed inside the node");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cql_lite::wire::ValuesBuilder;

    #[test]
    fn neither_constants_nor_comments_nor_values_are_shown() {
        let text = "SELECT \"Name\", f(7) FROM shop.users -- secret\n WHERE id = 'secret' AND n IN \
                    (-1, 2.5, 0xCAFE) AND ok = true AND u = ? LIMIT 10";
        assert_eq!(
            without_constants(text),
            "SELECT \"Name\", f(?) FROM shop.users WHERE id = ? AND n IN (?, ?, ?) AND ok = ? AND \
             u = ? LIMIT ?"
        );
        assert_eq!(without_constants("SELECT 'never closed"), "SELECT");
        let long = format!("SELECT {} FROM t", "a, ".repeat(1000));
        assert_eq!(without_constants(&long).chars().count(), STATEMENT_CHARS_MAX);

        let mut values = ValuesBuilder::positional();
        values.push(BoundValue::Bytes(b"secret")).unwrap();
        values.push(BoundValue::Null).unwrap();
        assert_eq!(sizes(&values.values()), "6, null");
        (0..40).for_each(|_| values.push(BoundValue::Unset).unwrap());
        assert!(sizes(&values.values()).ends_with(", unset, 10 more"));
    }
}
