//! What goes wrong has the same kind and code on both halves.

use helenus_driver::{Error, ErrorKind, Result, Session};

use crate::both;

both! {
    the_node_refuses_with_its_code_and_words
    values_that_do_not_fit_are_refused_before_they_are_sent
    rows_of_another_type_are_a_mismatch
    a_closed_session_says_so
}

async fn refused(session: &Session, statement: &str) -> Error {
    session.query(statement, ()).await.unwrap_err()
}

async fn the_node_refuses_with_its_code_and_words(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    let cases = [
        ("SELEC * FROM t", ErrorKind::Invalid, 0x2000, "SELEC"),
        ("SELECT nothing FROM t", ErrorKind::Invalid, 0x2200, "nothing"),
        ("SELECT * FROM nowhere", ErrorKind::Invalid, 0x2200, "nowhere"),
        ("CREATE TABLE t (k int PRIMARY KEY)", ErrorKind::AlreadyExists, 0x2400, "t"),
        ("INSERT INTO t (v) VALUES (1)", ErrorKind::Invalid, 0x2200, "k"),
        ("DROP KEYSPACE nowhere", ErrorKind::Invalid, 0x2200, "nowhere"),
    ];
    for (statement, kind, code, word) in cases {
        let error = refused(&session, statement).await;
        assert_eq!((error.kind(), error.code()), (kind, Some(code)), "{statement}: {error:?}");
        assert!(error.message().contains(word), "{statement}: {error}");
    }
    let error = session.prepare("SELECT nothing FROM t").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, Some(0x2200)));
    let exists = refused(&session, "CREATE TABLE t (k int PRIMARY KEY)").await;
    assert!(exists.message().contains("already existing table"), "{exists}");
    Ok(())
}

async fn values_that_do_not_fit_are_refused_before_they_are_sent(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    let insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)").await?;
    for error in [
        session.execute(&insert, (1, "text")).await.unwrap_err(),
        session.execute(&insert, (1,)).await.unwrap_err(),
        session.query("INSERT INTO t (k, v) VALUES (?, ?)", (1, 2, 3)).await.unwrap_err(),
        session.stream(&insert, ("a", "b")).unwrap_err(),
        helenus_driver::Batch::logged().add(&insert, (true, 1)).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, None), "{error}");
    }
    // Too few of them are for the node to refuse.
    let error = session.query("INSERT INTO t (k, v) VALUES (?, ?)", ()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, Some(0x2200)), "{error}");
    Ok(())
}

async fn rows_of_another_type_are_a_mismatch(session: Session) -> Result<()> {
    session.query("CREATE TABLE t (k int PRIMARY KEY, v int)", ()).await?;
    session.query("INSERT INTO t (k) VALUES (1)", ()).await?;
    let rows = session.query("SELECT k, v FROM t", ()).await?;
    let kind = |error: Error| error.kind();
    assert_eq!(rows.one::<(i32, String)>().map_err(kind).unwrap_err(), ErrorKind::Mismatch);
    assert_eq!(rows.one::<(i32,)>().map_err(kind).unwrap_err(), ErrorKind::Mismatch);
    // A null where there may be none.
    assert_eq!(rows.one::<(i32, i32)>().map_err(kind).unwrap_err(), ErrorKind::Mismatch);
    assert_eq!(rows.one::<(i32, Option<i32>)>()?, (1, None));
    let none = session.query("SELECT k, v FROM t WHERE k = 2", ()).await?;
    assert_eq!(none.first::<(i32, Option<i32>)>()?, None);
    let error = none.one::<(i32, Option<i32>)>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.message().contains("answered 0"), "{error}");
    Ok(())
}

async fn a_closed_session_says_so(session: Session) -> Result<()> {
    let clone = session.clone();
    session.close().await?;
    let error = clone.query("SELECT * FROM system.local", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    clone.close().await
}
