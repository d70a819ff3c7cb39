//! CQL text.

/// Any text parses or is refused with a position inside it; what parses prints to something that
/// parses to the same.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(statement) = cql_lite::parse(text) else { return };
    let printed = statement.to_string();
    match cql_lite::parse(&printed) {
        Ok(again) => assert_eq!(again.to_string(), printed, "printing changes {text:?}"),
        Err(error) => panic!("{text:?} prints as {printed:?}, which does not parse: {error}"),
    }
}
