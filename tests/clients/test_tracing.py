"""Traces as the driver fetches them: the real steps of a request."""

from cassandra.query import BatchStatement, SimpleStatement


def activities(trace):
    return [event.description for event in trace.events]


def trace_of(session, statement, parameters=None):
    result = session.execute(statement, parameters, trace=True)
    rows = list(result)
    trace = result.get_query_trace()
    assert trace.duration is not None and trace.client == "127.0.0.1"
    elapsed = [event.source_elapsed for event in trace.events]
    assert elapsed == sorted(elapsed) and elapsed[-1] <= trace.duration
    return rows, trace


def test_a_write_and_a_read_tell_their_steps(session):
    session.execute("DROP TABLE IF EXISTS traced")
    session.execute("CREATE TABLE traced (p int, c int, v text, PRIMARY KEY (p, c))")
    statement = SimpleStatement("INSERT INTO traced (p, c, v) VALUES (1, 2, 'x')")
    _, trace = trace_of(session, statement)
    assert trace.request_type == "Execute CQL3 query"
    assert trace.parameters["query"] == statement.query_string
    assert trace.parameters["consistency_level"] == "LOCAL_ONE"
    steps = activities(trace)
    assert steps[0] == f"Parsing {statement.query_string}"
    assert steps[1] == "Preparing statement"
    assert steps[2].startswith("Appending to commitlog: 1 mutations, ")
    assert steps[3].startswith("Added to memtable at log position ")

    select = session.prepare("SELECT v FROM traced WHERE p = ? AND c = ?")
    rows, trace = trace_of(session, select, (1, 2))
    assert rows[0].v == "x"
    assert trace.request_type == "Execute CQL3 prepared query"
    assert trace.parameters["bound_var_0_p"] == "1" and trace.parameters["bound_var_1_c"] == "2"
    steps = activities(trace)
    assert steps[0] == f"Executing single-partition query on {session.keyspace}.traced"
    assert steps[1].startswith("Merging data from 1 memtables and 0 sstables")
    assert "Returning 1 rows, having read 0 tombstone cells" in steps

    session.execute("DELETE FROM traced WHERE p = 1 AND c = 2")
    rows, trace = trace_of(session, "SELECT * FROM traced")
    assert rows == []
    steps = activities(trace)
    assert f"Executing seq scan across a token range of {session.keyspace}.traced" in steps
    assert "Returning 0 rows, having read 1 tombstone cells" in steps


def test_conditions_batches_errors_and_schema_changes_are_traced(session):
    session.execute("DROP TABLE IF EXISTS traced")
    _, trace = trace_of(session, "CREATE TABLE traced (k int PRIMARY KEY, v int)")
    assert "Planning the change of the schema" in activities(trace)
    session.execute("INSERT INTO traced (k, v) VALUES (1, 1)")
    _, trace = trace_of(session, "UPDATE traced SET v = 2 WHERE k = 1 IF v = 7")
    assert "CAS precondition does not match current values" in activities(trace)
    batch = BatchStatement()
    batch.add("INSERT INTO traced (k, v) VALUES (2, 2)")
    batch.add("INSERT INTO traced (k, v) VALUES (3, 3)")
    _, trace = trace_of(session, batch)
    assert trace.request_type == "Execute batch of CQL3 queries"
    assert any(step.startswith("Appending to commitlog: 2 mutations") for step in activities(trace))


def test_what_is_not_traced_leaves_nothing(session):
    session.execute("DROP TABLE IF EXISTS traced")
    session.execute("CREATE TABLE traced (k int PRIMARY KEY)")
    before = {row.session_id for row in session.execute("SELECT session_id FROM system_traces.sessions")}
    session.execute("INSERT INTO traced (k) VALUES (1)")
    result = session.execute("SELECT * FROM traced")
    assert result.get_query_trace() is None
    after = {row.session_id for row in session.execute("SELECT session_id FROM system_traces.sessions")}
    assert after == before


def test_old_traces_make_room(session):
    session.execute("DROP TABLE IF EXISTS traced")
    session.execute("CREATE TABLE traced (k int PRIMARY KEY)")
    futures = [session.execute_async("SELECT * FROM traced", trace=True) for _ in range(600)]
    results = [future.result() for future in futures]
    assert results[-1].get_query_trace().duration is not None
    count = session.execute("SELECT count(*) FROM system_traces.sessions").one()[0]
    assert count == 512
