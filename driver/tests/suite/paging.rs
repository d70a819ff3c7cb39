//! Results of many pages.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use helenus_driver::{PagingState, Result, Session};

use crate::both;

both! {
    all_pages_are_one_result
    pages_and_rows_stream
    a_stream_that_nobody_waited_for_loses_nothing
    a_page_goes_on_where_the_last_one_ended
}

const ROWS: i32 = 1_000;

async fn fill(session: &Session) -> Result<()> {
    session.query("CREATE TABLE t (p int, c int, v text, PRIMARY KEY (p, c))", ()).await?;
    let insert = session.prepare("INSERT INTO t (p, c, v) VALUES (1, ?, ?)").await?;
    for c in 0..ROWS {
        session.execute(&insert, (c, format!("value {c}"))).await?;
    }
    Ok(())
}

async fn all_pages_are_one_result(session: Session) -> Result<()> {
    fill(&session).await?;
    let select = session.prepare("SELECT c, v FROM t WHERE p = ?").await?.page_size(64);
    let rows = session.execute(&select, (1,)).await?;
    assert_eq!(rows.len(), 1_000);
    for (expected, row) in rows.iter::<(i32, &str)>()?.enumerate() {
        let (c, v) = row?;
        assert_eq!((c as usize, v), (expected, &*format!("value {expected}")));
    }
    let text = helenus_driver::Statement::new("SELECT c FROM t").page_size(300);
    assert_eq!(session.query(text, ()).await?.len(), 1_000);
    Ok(())
}

async fn pages_and_rows_stream(session: Session) -> Result<()> {
    fill(&session).await?;
    let select = session.prepare("SELECT c FROM t WHERE p = 1").await?.page_size(300);
    let mut pages = session.stream(&select, ())?;
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page?.len());
    }
    assert_eq!(sizes, [300, 300, 300, 100]);
    let what = helenus_driver::Statement::new("SELECT c FROM t WHERE p = ?").page_size(17);
    let mut rows = session.query_stream(what, (1,)).await?.rows::<(i32,)>();
    for c in 0..ROWS {
        assert_eq!(rows.next().await.unwrap()?, (c,));
    }
    assert!(rows.next().await.is_none());
    let mut rows = session.query_stream("SELECT v FROM t", ()).await?.rows::<(i32,)>();
    let mismatch = rows.next().await.unwrap().unwrap_err();
    assert_eq!(mismatch.kind(), helenus_driver::ErrorKind::Mismatch);
    assert!(rows.next().await.is_none());
    Ok(())
}

async fn a_stream_that_nobody_waited_for_loses_nothing(session: Session) -> Result<()> {
    fill(&session).await?;
    let select = session.prepare("SELECT c FROM t WHERE p = 1").await?.page_size(50);
    let mut rows = session.stream(&select, ())?.rows::<(i32,)>();
    let mut seen = Vec::new();
    loop {
        // Looked at once and given up, in between.
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(Some(row)) = pin!(rows.next()).poll(&mut context) {
            seen.push(row?.0);
            continue;
        }
        match rows.next().await {
            Some(row) => seen.push(row?.0),
            None => break,
        }
    }
    assert_eq!(seen, (0..ROWS).collect::<Vec<_>>());
    Ok(())
}

async fn a_page_goes_on_where_the_last_one_ended(session: Session) -> Result<()> {
    fill(&session).await?;
    let select = session.prepare("SELECT c FROM t WHERE p = 1").await?.page_size(400);
    let mut state = None;
    let mut seen = Vec::new();
    loop {
        let (page, next) = session.execute_page(&select, (), state).await?;
        seen.push(page.len());
        // As a program does that sends it to its client and gets it back.
        state = next.map(|next| PagingState::from_bytes(next.as_bytes()));
        if state.is_none() {
            break;
        }
    }
    assert_eq!(seen, [400, 400, 200]);
    let spoiled = PagingState::from_bytes(&b"no paging state"[..]);
    let refused = session.execute_page(&select, (), Some(spoiled)).await.unwrap_err();
    assert_eq!(refused.kind(), helenus_driver::ErrorKind::Invalid, "{refused}");
    Ok(())
}
