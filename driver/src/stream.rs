//! Results that come page by page.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use futures_core::Stream;
use helenus_platform::runtime::BoxFuture;

use crate::DeserializeRow;
use crate::bound::Bound;
use crate::error::Result;
use crate::rows::{Page, PagingState, Rows};
use crate::session::Session;
use crate::statement::{Prepared, Statement};

/// What is streamed.
pub(crate) enum What {
    Text(Statement),
    Prepared(Prepared, Bound),
}

/// The pages of a result: a [`Stream`] of [`Rows`], and [`Pages::next`] without one. The next page
/// is asked for when it is wanted. After an error there is nothing more.
pub struct Pages {
    session: Session,
    what: Arc<What>,
    state: State,
}

enum State {
    /// The next page begins here.
    At(Option<PagingState>),
    /// It is under way; whoever stops waiting loses nothing.
    Asked(BoxFuture<'static, Result<Page>>),
    Ended,
}

impl fmt::Debug for Pages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pages")
    }
}

impl Pages {
    pub(crate) fn new(session: Session, what: What) -> Self {
        Self { session, what: Arc::new(what), state: State::At(None) }
    }

    /// The next page, if there is one. The future may be dropped and asked for again.
    pub async fn next(&mut self) -> Option<Result<Rows>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The rows of the pages, one by one.
    #[must_use]
    pub fn rows<R: for<'a> DeserializeRow<'a, 'a>>(self) -> RowStream<R> {
        RowStream { pages: self, rows: Vec::new().into_iter() }
    }
}

impl Stream for Pages {
    type Item = Result<Rows>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::At(state) => {
                    let (state, session, what) =
                        (state.take(), self.session.clone(), self.what.clone());
                    let page = async move { session.page(&what, state.as_ref()).await };
                    self.state = State::Asked(Box::pin(page));
                }
                State::Asked(page) => {
                    let Poll::Ready(page) = page.as_mut().poll(context) else {
                        return Poll::Pending;
                    };
                    self.state = State::Ended;
                    let rows = page.map(|mut page| {
                        if let Some(next) = page.next.take() {
                            self.state = State::At(Some(next));
                        }
                        Rows::new(page)
                    });
                    return Poll::Ready(Some(rows));
                }
            }
        }
    }
}

/// The rows of a result: a [`Stream`] of them, and [`RowStream::next`] without one.
pub struct RowStream<R> {
    pages: Pages,
    rows: vec::IntoIter<R>,
}

/// Nothing of a row is ever pinned.
impl<R> Unpin for RowStream<R> {}

impl<R> fmt::Debug for RowStream<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RowStream")
    }
}

impl<R: for<'a> DeserializeRow<'a, 'a>> RowStream<R> {
    /// The next row, if there is one. The future may be dropped and asked for again.
    pub async fn next(&mut self) -> Option<Result<R>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl<R: for<'a> DeserializeRow<'a, 'a>> Stream for RowStream<R> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Poll::Ready(Some(Ok(row)));
            }
            let page = match Pin::new(&mut self.pages).poll_next(context) {
                Poll::Ready(Some(page)) => page,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            match page.and_then(|page| page.to_vec()) {
                Ok(rows) => self.rows = rows.into_iter(),
                Err(error) => {
                    self.pages.state = State::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
