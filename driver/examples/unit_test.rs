//! An application's own unit tests on a real database that costs a millisecond: a session in
//! memory for each test, with the application's own schema and code.
//!
//! ```text
//! cargo test -p helenus-driver --example unit_test
//! cargo run -p helenus-driver --example unit_test
//! ```
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use helenus_driver::value::Counter;
use helenus_driver::{Prepared, Result, Session};

/// The application: how often its pages were visited. It is given its session, and so does not
/// know whether that is a test's, a directory or a cluster.
struct Visits {
    session: Session,
    add: Prepared,
    count: Prepared,
}

impl Visits {
    async fn new(session: Session) -> Result<Self> {
        for statement in [
            "CREATE KEYSPACE IF NOT EXISTS site \
             WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            "CREATE TABLE IF NOT EXISTS site.visits (page text PRIMARY KEY, number counter)",
        ] {
            session.query(statement, ()).await?;
        }
        let add = "UPDATE site.visits SET number = number + 1 WHERE page = ?";
        let count = "SELECT number FROM site.visits WHERE page = ?";
        let (add, count) = (session.prepare(add).await?, session.prepare(count).await?);
        Ok(Self { session, add, count })
    }

    async fn visit(&self, page: &str) -> Result<i64> {
        self.session.execute(&self.add, (page,)).await?;
        self.count(page).await
    }

    async fn count(&self, page: &str) -> Result<i64> {
        let rows = self.session.execute(&self.count, (page,)).await?;
        Ok(rows.first::<(Counter,)>()?.map_or(0, |(number,)| number.0))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let directory = std::env::temp_dir().join("helenus-visits");
    let visits = Visits::new(Session::open(directory).await?).await?;
    println!("visit {} of /index", visits.visit("/index").await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn visits_are_counted_by_page() -> Result<()> {
        let visits = Visits::new(Session::memory().await?).await?;
        assert_eq!(visits.visit("/index").await?, 1);
        assert_eq!(visits.visit("/index").await?, 2);
        assert_eq!(visits.visit("/about").await?, 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_page_that_nobody_visited_has_none() -> Result<()> {
        let visits = Visits::new(Session::memory().await?).await?;
        assert_eq!(visits.count("/nowhere").await?, 0);
        Ok(())
    }
}
