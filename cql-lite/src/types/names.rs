//! Names of things in CQL text: which need quotes, and the names of plain types.

use super::CqlType;
use super::display::plain_type;

/// Words that cannot stand as a name without quotes, sorted.
pub const RESERVED_WORDS: &[&str] = &[
    "add",
    "allow",
    "alter",
    "and",
    "apply",
    "asc",
    "authorize",
    "batch",
    "begin",
    "by",
    "columnfamily",
    "create",
    "default",
    "delete",
    "desc",
    "describe",
    "drop",
    "entries",
    "execute",
    "from",
    "full",
    "grant",
    "if",
    "in",
    "index",
    "infinity",
    "insert",
    "into",
    "is",
    "keyspace",
    "limit",
    "materialized",
    "mbean",
    "mbeans",
    "modify",
    "nan",
    "norecursive",
    "not",
    "null",
    "of",
    "on",
    "or",
    "order",
    "primary",
    "rename",
    "replace",
    "revoke",
    "schema",
    "select",
    "set",
    "table",
    "to",
    "token",
    "truncate",
    "unlogged",
    "unset",
    "update",
    "use",
    "using",
    "view",
    "where",
    "with",
];

/// `name` has to be quoted to be read back as itself.
pub fn needs_quotes(name: &str) -> bool {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    !plain || RESERVED_WORDS.binary_search(&name).is_ok()
}

/// `name` as CQL text, quoted only where it must be.
pub fn maybe_quote(name: &str) -> String {
    if needs_quotes(name) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
}

impl CqlType {
    /// The plain type called `name` (any case; `varchar` is `text`). Collections, tuples and
    /// user-defined types are not found by name alone.
    pub fn plain(name: &str) -> Option<CqlType> {
        plain_type(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_sorted_for_the_search() {
        assert!(RESERVED_WORDS.is_sorted());
    }

    #[test]
    fn only_plain_lowercase_names_go_without_quotes() {
        assert_eq!(maybe_quote("users"), "users");
        assert_eq!(maybe_quote("Users"), "\"Users\"");
        assert_eq!(maybe_quote("a\"b"), "\"a\"\"b\"");
        assert_eq!(maybe_quote("1a"), "\"1a\"");
        assert_eq!(maybe_quote(""), "\"\"");
        assert_eq!(maybe_quote("table"), "\"table\"");
    }
}
