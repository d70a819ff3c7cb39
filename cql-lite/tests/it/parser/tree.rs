//! What the tree says of a statement: names, constants, markers, positions.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use cql_lite::ast::{
    AssignmentOperation, Identifier, InsertSource, LiteralKind, Position, Predicate, Relation,
    RelationTarget, Selection, Selector, Statement, Term,
};
use cql_lite::parse;

/// The term that a statement inserts.
fn value(text: &str) -> Term {
    let statement = parse(&format!("INSERT INTO t (a) VALUES ({text})")).unwrap();
    let Statement::Insert(insert) = statement else { panic!("no INSERT") };
    let InsertSource::Values { mut values, .. } = insert.source else { panic!("no VALUES") };
    values.remove(0)
}

fn literal(text: &str) -> (LiteralKind, String) {
    match value(text) {
        Term::Literal(literal) => (literal.kind, literal.text),
        other => panic!("{other} is no literal"),
    }
}

fn line_and_column(position: Position) -> (u32, u32) {
    (position.line, position.column)
}

#[test]
fn constants_keep_their_text() {
    for (text, kind, expected) in [
        ("'it''s'", LiteralKind::String, "it's"),
        ("''''", LiteralKind::String, "'"),
        ("$$it's$$", LiteralKind::String, "it's"),
        ("$$$x$$", LiteralKind::String, "$x"),
        ("'a\nb'", LiteralKind::String, "a\nb"),
        ("-007", LiteralKind::Integer, "-007"),
        ("1.50", LiteralKind::Float, "1.50"),
        ("1E5", LiteralKind::Float, "1E5"),
        ("nan", LiteralKind::Float, "NaN"),
        ("-NAN", LiteralKind::Float, "NaN"),
        ("infinity", LiteralKind::Float, "Infinity"),
        ("-infinity", LiteralKind::Float, "-Infinity"),
        ("TRUE", LiteralKind::Boolean, "TRUE"),
        ("0Xab", LiteralKind::Hex, "0Xab"),
        ("1H30M", LiteralKind::Duration, "1H30M"),
        ("-P1Y", LiteralKind::Duration, "-P1Y"),
    ] {
        assert_eq!(literal(text), (kind, expected.to_owned()), "{text}");
    }
    let uuid = "F47AC10B-58CC-4372-A567-0E02B2C3D479";
    assert_eq!(literal(uuid), (LiteralKind::Uuid, uuid.to_owned()));
}

#[test]
fn names_are_folded_unless_quoted() {
    let Ok(Statement::Use(name)) = parse("USE MyKeyspace") else { panic!("no USE") };
    assert_eq!((name.as_str(), name.quoted), ("mykeyspace", false));
    let Ok(Statement::Use(name)) = parse("USE \"My\"\"Ks\"") else { panic!("no USE") };
    assert_eq!((name.as_str(), name.quoted), ("My\"Ks", true));
    let Ok(Statement::Use(name)) = parse("USE TYPE") else { panic!("no USE") };
    assert_eq!((name.as_str(), name.quoted), ("type", false));
}

#[test]
fn made_names_are_quoted_where_they_must_be() {
    for (name, printed) in [
        ("a_1", "a_1"),
        ("key", "key"),
        ("order", "\"order\""),
        ("true", "\"true\""),
        ("Mixed", "\"Mixed\""),
        ("1a", "\"1a\""),
        ("_a", "\"_a\""),
        ("a\"b", "\"a\"\"b\""),
        ("", "\"\""),
    ] {
        assert_eq!(Identifier::new(name).to_string(), printed);
    }
}

#[test]
fn terms_are_what_they_look_like() {
    assert!(matches!(value("{}"), Term::Set(set) if set.elements.is_empty()));
    assert!(matches!(value("[]"), Term::List(list) if list.elements.is_empty()));
    assert!(matches!(value("(1)"), Term::Tuple(tuple) if tuple.elements.len() == 1));
    assert!(matches!(value("{1: 2}"), Term::Map(map) if map.entries.len() == 1));
    assert!(matches!(value("{a: 2}"), Term::Udt(udt) if udt.fields.len() == 1));
    assert!(matches!(value("(a)f(1)"), Term::TypeHint(_)));
    assert!(matches!(value("('x')"), Term::Tuple(_)));
    assert!(matches!(value("('x')'y'"), Term::TypeHint(_)));
    assert!(matches!(value("- 5"), Term::Negate(_)));
    assert!(matches!(value("-5"), Term::Literal(_)));
    assert!(matches!(value("uuid()"), Term::Function(_)));
    assert!(matches!(value("null"), Term::Null(_)));
    let Term::Arithmetic(sum) = value("1 + 2 * 3 - 4") else { panic!("no sum") };
    assert!(matches!(*sum.first, Term::Literal(_)));
    assert_eq!(sum.rest.len(), 2);
    assert!(matches!(&sum.rest[0].operand, Term::Arithmetic(product) if product.rest.len() == 1));
}

#[test]
fn subtracting_without_a_space_adds_a_negative_number() {
    let text = "UPDATE t SET c = c -1, d = d - 1, e = e-1, f -= 1 WHERE k = 1";
    let statement = parse(text).unwrap();
    let Statement::Update(update) = statement else { panic!("no UPDATE") };
    let adds: Vec<bool> = update
        .assignments
        .iter()
        .map(|assignment| matches!(assignment.operation, AssignmentOperation::Add(_)))
        .collect();
    assert_eq!(adds, [true, false, true, false]);
}

#[test]
fn markers_come_in_the_order_of_the_text() {
    let statement = parse(
        "BEGIN BATCH USING TTL :t UPDATE t USING TIMESTAMP ? SET m[?] = :\"V\" WHERE k IN ? \
         IF l[?] IN (?, :b); INSERT INTO t JSON ? USING TTL ?; \
         DELETE m[?] FROM t WHERE (a, b) > (?, ?); APPLY BATCH",
    )
    .unwrap();
    let names: Vec<Option<&str>> = statement
        .bind_markers()
        .into_iter()
        .map(|marker| marker.name.as_ref().map(Identifier::as_str))
        .collect();
    let unnamed = None;
    assert_eq!(names[..4], [Some("t"), unnamed, unnamed, Some("V")]);
    assert_eq!(names[4..8], [unnamed, unnamed, unnamed, Some("b")]);
    assert_eq!(names.len(), 13);
}

#[test]
fn trying_a_type_hint_does_not_count_markers_twice() {
    let statement = parse("SELECT (f)[?], ('x', ?), (g) FROM t WHERE a = (h(?), ?)").unwrap();
    let indexes: Vec<usize> = statement.bind_markers().iter().map(|marker| marker.index).collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
}

#[test]
fn nodes_know_where_they_stand() {
    let statement = parse("SELECT a,\n  ttl(b) FROM ks.t\nWHERE 'é' = 1").unwrap_err();
    assert_eq!((statement.line, statement.column), (3, 6));
    let text = "SELECT a,\n  ttl(b) FROM ks.t\nWHERE c = 'é' AND token(d) > ?";
    let statement = parse(text).unwrap();
    let Statement::Select(select) = statement else { panic!("no SELECT") };
    let Selection::List(list) = &select.selection else { panic!("no list") };
    let selected: Vec<_> =
        list.iter().map(|selected| line_and_column(selected.selector.position())).collect();
    assert_eq!(selected, [(1, 7), (2, 2)]);
    assert_eq!(line_and_column(select.table.position()), (2, 14));
    assert_eq!(line_and_column(select.table.name.position), (2, 17));
    let relations: Vec<_> =
        select.relations.iter().map(|relation| line_and_column(relation.position())).collect();
    assert_eq!(relations, [(3, 6), (3, 18)]);
    let Relation::Predicate { predicate: Predicate::Compare { value, .. }, .. } =
        &select.relations[1]
    else {
        panic!("no comparison")
    };
    assert_eq!(line_and_column(value.position()), (3, 29));
}

#[test]
fn positions_do_not_make_trees_unequal() {
    assert_eq!(parse("SELECT a FROM t"), parse("select\n  a\nfrom\n  t;"));
    assert_ne!(parse("SELECT a FROM t"), parse("SELECT b FROM t"));
}

#[test]
fn words_with_two_meanings_are_read_as_cassandra_reads_them() {
    let selector = |text: &str| match parse(text) {
        Ok(Statement::Select(select)) => match select.selection {
            Selection::List(mut list) => (select.json, select.distinct, list.remove(0).selector),
            Selection::All => panic!("{text}: *"),
        },
        other => panic!("{text}: {other:?}"),
    };
    assert!(matches!(selector("SELECT json FROM t"), (false, false, Selector::Column(_))));
    assert!(matches!(selector("SELECT json a FROM t"), (true, false, Selector::Column(_))));
    assert!(matches!(selector("SELECT json distinct a FROM t"), (true, true, Selector::Column(_))));
    assert!(matches!(selector("SELECT (int)a FROM t"), (_, _, Selector::TypeHint(_))));
    assert!(matches!(selector("SELECT (a) FROM t"), (_, _, Selector::Parenthesized(_))));
    assert!(matches!(selector("SELECT a.b FROM t"), (_, _, Selector::Path(_))));
    assert!(matches!(selector("SELECT a.b() FROM t"), (_, _, Selector::Function(_))));
    assert!(matches!(selector("SELECT count(*) FROM t"), (_, _, Selector::CountRows(_))));
    assert!(matches!(selector("SELECT count(a) FROM t"), (_, _, Selector::Function(_))));
    let relation = |text: &str| match parse(text) {
        Ok(Statement::Select(mut select)) => select.relations.remove(0),
        other => panic!("{text}: {other:?}"),
    };
    let custom = relation("SELECT * FROM t WHERE expr(i, 'x')");
    assert!(matches!(custom, Relation::CustomIndex { .. }));
    let parenthesized = relation("SELECT * FROM t WHERE (a) = (1)");
    assert!(matches!(
        parenthesized,
        Relation::Predicate { target: RelationTarget::Tuple { .. }, .. }
    ));
}
