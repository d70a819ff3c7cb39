"""Tables that are computed from the node's live state."""


def columns(session, keyspace, table):
    return {name: c.cql_type for name, c in session.cluster.metadata.keyspaces[keyspace].tables[table].columns.items()}


def test_clients_are_listed(session):
    version = session.cluster.protocol_version
    for _ in range(20):
        session.execute("SELECT release_version FROM system.local")
    rows = list(session.execute("SELECT * FROM system_views.clients WHERE address = '127.0.0.1'"))
    mine = [row for row in rows if row.protocol_version == version and row.connection_stage == "ready"]
    assert mine and all(row.ssl_enabled is False for row in mine)
    assert all("Python Driver" in row.driver_name for row in mine)
    assert all(row.client_options["DRIVER_NAME"] == row.driver_name for row in mine)
    assert max(row.request_count for row in mine) >= 20
    assert any(row.keyspace_name == session.keyspace for row in mine)
    one = session.execute("SELECT port FROM system_views.clients WHERE address = '127.0.0.1' AND port = %s", [mine[0].port])
    assert [row.port for row in one] == [mine[0].port]
    assert list(session.execute("SELECT * FROM system_views.clients WHERE address = '10.0.0.1'")) == []


def test_who_leaves_is_gone(node, session):
    count = "SELECT count(*) FROM system_views.clients"
    before = session.execute(count).one()[0]
    other = node.cluster()
    other.connect()
    assert session.execute(count).one()[0] > before
    other.shutdown()
    for _ in range(200):
        if session.execute(count).one()[0] <= before:
            return
    raise AssertionError("closed connections are still listed")


def test_prepared_statements_are_listed(session):
    session.execute("CREATE TABLE IF NOT EXISTS listed (k int PRIMARY KEY)")
    text = "SELECT * FROM listed WHERE k = ?"
    prepared = session.prepare(text)
    row = session.execute(
        "SELECT * FROM system.prepared_statements WHERE prepared_id = %s", [prepared.query_id]
    ).one()
    assert (row.query_string, row.logged_keyspace) == (text, session.keyspace)


def test_schema_is_asked_for_by_keyspace(session):
    session.execute("CREATE TABLE IF NOT EXISTS listed (k int PRIMARY KEY)")
    rows = list(session.execute("SELECT * FROM system_schema.tables WHERE keyspace_name = %s", [session.keyspace]))
    assert {row.keyspace_name for row in rows} == {session.keyspace}
    rows = list(session.execute("SELECT * FROM system_schema.columns WHERE keyspace_name IN (%s, 'system')", [session.keyspace]))
    assert {row.keyspace_name for row in rows} == {session.keyspace, "system"}
    assert list(session.execute("SELECT * FROM system_schema.tables WHERE keyspace_name = 'absent'")) == []


def test_figures_have_the_columns_of_cassandra(session):
    session.execute("CREATE TABLE IF NOT EXISTS figures (k int PRIMARY KEY, v text)")
    for k in range(7):
        session.execute("INSERT INTO figures (k, v) VALUES (%s, 'x')", [k])
    key = "keyspace_name = %s AND table_name = 'figures'"
    latency = {"keyspace_name": "text", "table_name": "text", "50th_ms": "double", "99th_ms": "double",
               "count": "bigint", "max_ms": "double", "per_second": "double"}
    for name in ["local_read", "local_scan", "local_write", "coordinator_read", "coordinator_scan", "coordinator_write"]:
        assert columns(session, "system_views", f"{name}_latency") == latency
    row = session.execute(f"SELECT count FROM system_views.local_write_latency WHERE {key}", [session.keyspace]).one()
    assert row.count >= 7
    for name in ["disk_usage", "max_partition_size"]:
        row = session.execute(f"SELECT * FROM system_views.{name} WHERE {key}", [session.keyspace]).one()
        assert row.mebibytes >= 0
    chunks = session.execute("SELECT * FROM system_views.caches WHERE name = 'chunks'").one()
    assert chunks.capacity_bytes > 0 and chunks.request_count >= chunks.hit_count
    pool = session.execute("SELECT * FROM system_views.thread_pools").one()
    assert pool.completed_tasks > 0 and pool.active_tasks_limit > 0
    assert columns(session, "system_views", "sstable_tasks")["task_id"] == "timeuuid"
    assert session.execute("SELECT value FROM system_views.system_properties WHERE name = 'os.name'").one().value
    settings = {row.name: row.value for row in session.execute("SELECT * FROM system_views.settings")}
    assert settings["commit_log.mode"] in ("group", "periodic", "batch")
    for name in ["size_estimates", "table_estimates"]:
        rows = list(session.execute(
            f"SELECT * FROM system.{name} WHERE keyspace_name = %s AND table_name = 'figures'", [session.keyspace]
        ))
        assert len(rows) == 16 and all(row.mean_partition_size >= 0 for row in rows)
