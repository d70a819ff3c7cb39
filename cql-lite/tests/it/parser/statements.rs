//! Statements that must parse, taken from every corner of the grammar; what the printer makes of
//! each must parse back to an equal tree.

use cql_lite::parse;

const TABLES: [&str; 6] = [
    include_str!("statements/drivers.cql"),
    include_str!("statements/select.cql"),
    include_str!("statements/modify.cql"),
    include_str!("statements/table.cql"),
    include_str!("statements/schema.cql"),
    include_str!("statements/auth.cql"),
];

/// Every statement of the tables: one a line; lines that begin with `#` say what follows.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let lines = TABLES.into_iter().flat_map(str::lines).map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn check(text: &str) -> Result<(), String> {
    let statement = parse(text).map_err(|error| error.to_string())?;
    let printed = statement.to_string();
    let again = parse(&printed).map_err(|error| format!("{printed}\n  {error}"))?;
    if statement != again || printed != again.to_string() {
        return Err(format!("{printed}\n  {again}"));
    }
    let markers = statement.bind_markers();
    if !markers.iter().enumerate().all(|(index, marker)| marker.index == index) {
        return Err(format!("markers out of order: {markers:?}"));
    }
    Ok(())
}

#[test]
fn every_statement_parses_and_prints_back() {
    let failures: Vec<String> = all()
        .filter_map(|text| check(text).err().map(|error| format!("{text}\n  {error}")))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let count = all().count();
    assert!(count >= 400, "only {count} statements");
}
