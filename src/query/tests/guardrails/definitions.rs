//! Guardrails of the schema.

use super::{node, refusal, set, violated, warnings};

#[test]
fn the_schema_holds_so_much() {
    let node = node(&[
        ("keyspaces_warn_threshold", "1"),
        ("keyspaces_fail_threshold", "2"),
        ("tables_warn_threshold", "1"),
        ("tables_fail_threshold", "2"),
        ("columns_per_table_warn_threshold", "2"),
        ("columns_per_table_fail_threshold", "3"),
        ("fields_per_udt_warn_threshold", "1"),
        ("fields_per_udt_fail_threshold", "2"),
        ("vector_dimensions_warn_threshold", "2"),
        ("vector_dimensions_fail_threshold", "4"),
        ("minimum_replication_factor_warn_threshold", "2"),
        ("maximum_replication_factor_fail_threshold", "3"),
    ]);
    let keyspace = |name, factor| {
        format!(
            "CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = \
             {{'class': 'NetworkTopologyStrategy', 'datacenter1': {factor}}}"
        )
    };
    let warned = warnings(&node, &keyspace("two", 1));
    assert_eq!(
        warned[..2],
        [
            violated(
                "keyspaces",
                "Creating keyspace two, current number of keyspaces 2 exceeds warning threshold \
                 of 1."
            ),
            violated(
                "minimum_replication_factor",
                "The keyspace two has a replication factor of 1, below the warning threshold of 2."
            )
        ]
    );
    assert_eq!(warnings(&node, &keyspace("two", 1)), [""; 0], "it exists");
    assert_eq!(
        refusal(&node, &keyspace("three", 1)),
        violated(
            "keyspaces",
            "Cannot have more than 2 keyspaces, aborting the creation of \
                               keyspace three"
        )
    );
    node.run("DROP KEYSPACE two").unwrap();
    assert_eq!(
        refusal(&node, &keyspace("two", 4)),
        violated(
            "maximum_replication_factor",
            "The keyspace two has a replication factor of 4, above the failure threshold of 3."
        )
    );

    assert_eq!(warnings(&node, "CREATE TABLE a (k int PRIMARY KEY, v int)"), [""; 0]);
    assert_eq!(
        warnings(&node, "CREATE TABLE b (k int PRIMARY KEY)"),
        [violated(
            "tables",
            "Creating table b, current number of tables 2 exceeds warning threshold of 1."
        )]
    );
    assert_eq!(
        refusal(&node, "CREATE TABLE c (k int PRIMARY KEY)"),
        violated("tables", "Cannot have more than 2 tables, aborting the creation of table c")
    );
    assert_eq!(warnings(&node, "CREATE TABLE IF NOT EXISTS b (k int PRIMARY KEY)"), [""; 0]);
    assert_eq!(
        warnings(&node, "ALTER TABLE a ADD w int"),
        [violated(
            "columns_per_table",
            "The table a has 3 columns, this exceeds the warning threshold of 2."
        )]
    );
    assert_eq!(
        refusal(&node, "ALTER TABLE a ADD x int"),
        violated(
            "columns_per_table",
            "Tables cannot have more than 3 columns, but 4 provided for table a"
        )
    );
    node.run("DROP TABLE b").unwrap();
    assert!(
        refusal(&node, "CREATE TABLE b (k int PRIMARY KEY, a int, b int, c int)")
            .contains("but 4 provided for table b")
    );
    assert_eq!(
        warnings(&node, "CREATE TYPE u (a int, b int)"),
        [violated(
            "fields_per_udt",
            "The user type u has 2 columns, this exceeds the warning threshold of 1."
        )]
    );
    assert_eq!(
        refusal(&node, "ALTER TYPE u ADD c int"),
        violated(
            "fields_per_udt",
            "User types cannot have more than 2 columns, but 3 provided for user type u."
        )
    );
    let vector = "CREATE TABLE b (k int PRIMARY KEY, v list<frozen<vector<float, 3>>>)";
    assert_eq!(
        warnings(&node, vector)[1],
        violated(
            "vector_dimensions",
            "Column v has a vector of 3 dimensions, this exceeds the warning threshold of 2."
        )
    );
    assert_eq!(
        refusal(&node, "ALTER TABLE b ADD w vector<float, 5>"),
        violated(
            "vector_dimensions",
            "Column w has a vector of 5 dimensions, this exceeds the failure threshold of 4."
        )
    );
}

#[test]
fn changes_of_the_schema_can_be_forbidden() {
    let mut node = node(&[]);
    node.run("CREATE TABLE t (k int PRIMARY KEY, v int)").unwrap();
    let windows = "CREATE TABLE w (k int PRIMARY KEY) WITH compaction = \
                   {'class': 'TimeWindowCompactionStrategy'}";
    let warned = warnings(&node, windows);
    assert!(
        warned[0].starts_with(
            "Guardrail zero_ttl_on_twcs violated: 0 default_time_to_live on a table with \
             TimeWindowCompactionStrategy compaction strategy is not recommended. It is suspicious"
        ),
        "{warned:?}"
    );
    node.run("DROP TABLE w").unwrap();
    set(
        &mut node,
        &[
            ("drop_truncate_table_enabled", "false"),
            ("drop_keyspace_enabled", "false"),
            ("alter_table_enabled", "false"),
            ("uncompressed_tables_enabled", "false"),
            ("simplestrategy_enabled", "false"),
            ("zero_ttl_on_twcs_enabled", "false"),
            ("table_properties_disallowed", "cdc"),
            ("table_properties_ignored", "gc_grace_seconds"),
            ("table_properties_warned", "comment"),
        ],
    );
    let dropping = violated(
        "drop_truncate_table_enabled",
        "DROP and TRUNCATE TABLE functionality is not \
                                                 allowed",
    );
    let altering = violated("alter_table", "ALTER TABLE changing columns is not allowed");
    let compressing = violated("uncompressed_tables_enabled", "Uncompressed table is not allowed");
    for (cql, wanted) in [
        ("DROP TABLE t", &dropping),
        ("TRUNCATE t", &dropping),
        (
            "DROP KEYSPACE ks",
            &violated("drop_keyspace_enabled", "DROP KEYSPACE functionality is not allowed"),
        ),
        ("ALTER TABLE t ADD w int", &altering),
        ("ALTER TABLE t DROP v", &altering),
        ("ALTER TABLE t RENAME k TO l", &altering),
        ("CREATE TABLE u (k int PRIMARY KEY) WITH compression = {'enabled': false}", &compressing),
        ("ALTER TABLE t WITH compression = {'enabled': false}", &compressing),
        (
            "CREATE KEYSPACE s WITH replication = {'class': 'SimpleStrategy', \
             'replication_factor': 1}",
            &violated("simplestrategy", "SimpleStrategy is not allowed"),
        ),
        (
            "ALTER TABLE t WITH cdc = true",
            &violated(
                "table_properties",
                "Provided values [cdc] are not allowed for Table Properties (disallowed values \
                 are: [cdc])",
            ),
        ),
    ] {
        assert_eq!(refusal(&node, cql), *wanted, "{cql}");
    }
    assert!(refusal(&node, windows).contains("compaction strategy is not allowed. It is"));
    assert_eq!(
        warnings(&node, "ALTER TABLE t WITH comment = 'x' AND gc_grace_seconds = 7")[..2],
        [
            violated(
                "table_properties",
                "Ignoring provided values [gc_grace_seconds] as they are not supported for Table \
                 Properties (ignored values are: [gc_grace_seconds])"
            ),
            violated(
                "table_properties",
                "Provided values [comment] are not recommended for Table Properties (warned \
                 values are: [comment])"
            )
        ]
    );
    let schema = node.services.metadata.schema();
    let options = &schema.table("ks", "t").unwrap().options;
    assert_eq!((options.comment.as_str(), options.gc_grace_seconds), ("x", 864_000));
}
