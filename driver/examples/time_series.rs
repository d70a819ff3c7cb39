//! Measurements by sensor and day: written in batches, read newest first, page by page.
//!
//! ```text
//! cargo run --release -p helenus-driver --example time_series
//! ```
#![expect(clippy::print_stdout, reason = "it is what the program is for")]

use helenus_driver::value::CqlTimestamp;
use helenus_driver::{Batch, DeserializeRow, Result, SerializeRow, Session};

const DAY_MILLIS: i64 = 86_400_000;
const START_MILLIS: i64 = 1_767_225_600_000;

#[derive(Debug, SerializeRow, DeserializeRow)]
#[scylla(crate = helenus_driver)]
struct Measurement {
    sensor: i32,
    day: i32,
    at: CqlTimestamp,
    celsius: f64,
}

impl Measurement {
    fn new(sensor: i32, millis: i64) -> Self {
        let day = i32::try_from(millis / DAY_MILLIS).unwrap_or(0);
        let celsius = 20.0 + f64::from(sensor) + ((millis / 60_000) % 10) as f64 / 10.0;
        Self { sensor, day, at: CqlTimestamp(millis), celsius }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // Session::connect(["db1.example:9042"]).await? is all that a cluster changes.
    let session = Session::memory().await?;
    session
        .query(
            "CREATE KEYSPACE weather \
             WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            (),
        )
        .await?;
    // A partition is a sensor's day, so that none grows for ever; a month later it is gone.
    session
        .query(
            "CREATE TABLE weather.measurements (sensor int, day int, at timestamp, \
             celsius double, PRIMARY KEY ((sensor, day), at)) \
             WITH CLUSTERING ORDER BY (at DESC) AND default_time_to_live = 2592000",
            (),
        )
        .await?;

    let insert = "INSERT INTO weather.measurements (sensor, day, at, celsius) \
                  VALUES (:sensor, :day, :at, :celsius)";
    let insert = session.prepare(insert).await?;
    for sensor in 0..3 {
        for hour in 0..24 {
            // Measurements of one partition are one write.
            let mut batch = Batch::unlogged();
            for minute in 0..60 {
                let millis = START_MILLIS + (hour * 60 + minute) * 60_000;
                batch = batch.add(&insert, Measurement::new(sensor, millis))?;
            }
            session.batch(&batch).await?;
        }
    }

    let day = i32::try_from(START_MILLIS / DAY_MILLIS).unwrap_or(0);
    let newest = "SELECT * FROM weather.measurements WHERE sensor = ? AND day = ? LIMIT 1";
    let rows = session.query(newest, (1, day)).await?;
    println!("newest: {:?}", rows.one::<Measurement>()?);

    let of_day = "SELECT at, celsius FROM weather.measurements WHERE sensor = ? AND day = ?";
    let of_day = session.prepare(of_day).await?.page_size(100);
    let mut rows = session.stream(&of_day, (1, day))?.rows::<(CqlTimestamp, f64)>();
    let (mut count, mut sum) = (0, 0.0);
    while let Some(row) = rows.next().await {
        let (_at, celsius) = row?;
        (count, sum) = (count + 1, sum + celsius);
    }
    println!("{count} measurements, {:.2} degrees on average", sum / f64::from(count));
    session.close().await
}
