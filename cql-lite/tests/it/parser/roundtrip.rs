//! What the printer writes of any tree parses back to an equal one.

use std::fmt;

use cql_lite::ast::Statement;
use cql_lite::parse;
use proptest::prelude::*;

use super::generate::Generator;

/// A statement that a failing test shows as CQL, not as a page of nodes.
pub(super) struct Generated(pub(super) Statement);

impl fmt::Debug for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

pub(super) fn generated() -> impl Strategy<Value = Generated> {
    proptest::collection::vec(any::<u32>(), 1..200)
        .prop_map(|choices| Generated(Generator::new(&choices).statement()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000,
        ..ProptestConfig::default() })]

    #[test]
    fn printed_statements_parse_back_equal(Generated(statement) in generated()) {
        let printed = statement.to_string();
        match parse(&printed) {
            Ok(again) => prop_assert!(again == statement, "read back as\n  {}", again),
            Err(error) => prop_assert!(false, "{}", error),
        }
        let markers = statement.bind_markers();
        prop_assert!(markers.iter().enumerate().all(|(index, marker)| marker.index == index));
    }
}
