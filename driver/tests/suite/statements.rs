//! What statements do: conditions, batches, schema, changing columns.

use helenus_driver::schema::ColumnKind;
use helenus_driver::{Batch, Consistency, Prepared, Result, Session, Statement};

use crate::both;

both! {
    a_condition_says_whether_it_was_applied
    a_batch_is_all_of_its_writes
    a_batch_of_conditions_answers_as_one
    statements_say_how_they_are_executed
    a_prepared_statement_follows_the_schema
    the_schema_is_described
    clones_share_the_session_and_tasks_the_work
}

async fn a_condition_says_whether_it_was_applied(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    let insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?) IF NOT EXISTS").await?;
    assert!(session.execute(&insert, (1, 1)).await?.applied()?);
    let refused = session.execute(&insert, (1, 2)).await?;
    assert!(!refused.applied()?);
    assert_eq!(refused.one::<(bool, i32, i32)>()?, (false, 1, 1));
    let update = session.prepare("UPDATE t SET v = ? WHERE k = ? IF v = ?").await?;
    let refused = session.execute(&update, (3, 1, 9)).await?;
    assert_eq!(refused.one::<(bool, Option<i32>)>()?, (false, Some(1)));
    assert!(session.execute(&update, (3, 1, 1)).await?.applied()?);
    let plain = session.query("SELECT v FROM t", ()).await?;
    assert_eq!(plain.applied().unwrap_err().kind(), helenus_driver::ErrorKind::Mismatch);
    assert_eq!(plain.one::<(i32,)>()?, (3,));
    Ok(())
}

async fn a_batch_is_all_of_its_writes(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int, c int, v text, PRIMARY KEY (k, c))", ()).await?;
    let insert = session.prepare("INSERT INTO t (k, c, v) VALUES (?, ?, ?)").await?;
    let delete = session.prepare("DELETE FROM t WHERE k = ? AND c = ?").await?;
    for batch in [Batch::logged(), Batch::unlogged()] {
        let batch = batch
            .add(&insert, (1, 1, "one"))?
            .add(&insert, (1, 2, "two"))?
            .statement("INSERT INTO t (k, c, v) VALUES (1, 3, 'three')")
            .add(&delete, (1, 4))?;
        assert_eq!(batch.len(), 4);
        assert!(session.batch(&batch).await?.is_empty());
        let rows = session.query("SELECT c, v FROM t WHERE k = 1", ()).await?;
        let expected = [(1, "one"), (2, "two"), (3, "three")];
        assert_eq!(rows.to_vec::<(i32, &str)>()?, expected);
        session.query("TRUNCATE t", ()).await?;
    }
    Ok(())
}

async fn a_batch_of_conditions_answers_as_one(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int, c int, v int, PRIMARY KEY (k, c))", ()).await?;
    let insert = "INSERT INTO t (k, c, v) VALUES (?, ?, ?) IF NOT EXISTS";
    let insert = session.prepare(insert).await?;
    let batch = Batch::logged().add(&insert, (1, 1, 1))?.add(&insert, (1, 2, 2))?;
    assert!(session.batch(&batch).await?.applied()?);
    assert!(!session.batch(&batch).await?.applied()?);
    Ok(())
}

async fn statements_say_how_they_are_executed(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    let late = Statement::new("INSERT INTO t (k, v) VALUES (1, 1)").timestamp(2_000);
    session.query(late.consistency(Consistency::One), ()).await?;
    let insert = session.prepare("INSERT INTO t (k, v) VALUES (1, ?)").await?;
    session.execute(&insert.clone().timestamp(1_000), (0,)).await?;
    let batch = Batch::logged().add(&insert, (0,))?.timestamp(1_500);
    session.batch(&batch).await?;
    let select = Statement::new("SELECT v, writetime(v) FROM t").consistency(Consistency::Quorum);
    assert_eq!(session.query(select, ()).await?.one::<(i32, i64)>()?, (1, 2_000));
    // A level that does not read is refused by the node, which therefore was told of it.
    let select = session.prepare("SELECT v FROM t").await?.consistency(Consistency::Any);
    let refused = session.execute(&select, ()).await.unwrap_err();
    assert_eq!(refused.kind(), helenus_driver::ErrorKind::Invalid, "{refused}");
    Ok(())
}

async fn a_prepared_statement_follows_the_schema(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    session.query("INSERT INTO t (k, v) VALUES (1, 2)", ()).await?;
    let select: Prepared = session.prepare("SELECT * FROM t WHERE k = ?").await?;
    assert_eq!(select.text(), "SELECT * FROM t WHERE k = ?");
    assert_eq!(select.markers().len(), 1);
    assert_eq!(select.markers()[0].name(), "k");
    assert_eq!(session.execute(&select, (1,)).await?.one::<(i32, i32)>()?, (1, 2));
    session.query("ALTER TABLE t ADD a text", ()).await?;
    session.query("UPDATE t SET a = 'new' WHERE k = 1", ()).await?;
    for _ in 0..2 {
        let rows = session.execute(&select, (1,)).await?;
        let row = rows.one::<(i32, String, i32)>()?;
        assert_eq!(row, (1, "new".to_owned(), 2));
    }
    Ok(())
}

async fn the_schema_is_described(session: Session) -> Result<()> {
    session.query("CREATE TYPE place (street text, number int)", ()).await?;
    let create = "CREATE TABLE t (p int, q text, c int, d int, s int static, \
                  v frozen<place>, a list<text>, PRIMARY KEY ((q, p), c, d)) \
                  WITH CLUSTERING ORDER BY (c DESC, d ASC) AND comment = 'a table'";
    session.query(create, ()).await?;
    let used = session.query("SELECT keyspace_name FROM system_schema.types", ()).await?;
    let (keyspace,) = used.iter::<(String,)>()?.last().unwrap()?;
    let schema = session.schema().await?;
    assert_eq!(schema.keyspace(&keyspace).unwrap().types["place"].len(), 2);
    let table = schema.table(&keyspace, "t").unwrap();
    assert_eq!(table.comment, "a table");
    let names: Vec<_> = table.columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["q", "p", "c", "d", "a", "s", "v"]);
    let key: Vec<_> = table.clustering_key().map(|c| (&*c.name, c.descending)).collect();
    assert_eq!(key, [("c", true), ("d", false)]);
    assert_eq!(table.column("s").unwrap().kind, ColumnKind::Static);
    assert_eq!(table.column("a").unwrap().cql_type, "list<text>");
    assert!(schema.keyspace("system").unwrap().tables.contains_key("local"));
    Ok(())
}

async fn clones_share_the_session_and_tasks_the_work(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    let insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)").await?;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (session, insert) = (session.clone(), insert.clone());
            scope.spawn(move || {
                let session = helenus_driver::blocking::Session::from(session);
                for number in 0..50 {
                    session.execute(&insert, (thread * 50 + number, thread)).unwrap();
                }
            });
        }
    });
    let rows = session.query("SELECT COUNT(*) FROM t", ()).await?;
    assert_eq!(rows.one::<(i64,)>()?, (200,));
    Ok(())
}
