//! Many connections at once: each keeps requests in flight, or offers them at a rate whether or
//! not those before are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, execute, startup};

/// What a connection does.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) startup: &'static [u8],
    /// The prepared statement, with one key.
    pub(crate) id: Arc<Vec<u8>>,
    pub(crate) keys: u64,
    /// Most requests in flight.
    pub(crate) slots: usize,
    /// Requests offered a second; none: as many as are answered.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
}

/// A request that is answered later is of no use any more, as with the Java driver's default.
pub(crate) const DEADLINE: Duration = Duration::from_secs(2);

/// What became of the requests.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) good: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) errors: AtomicU64,
    /// Not sent: everything was in flight already.
    pub(crate) turned_away: AtomicU64,
    /// Nanoseconds of all good answers.
    pub(crate) nanos: AtomicU64,
}

/// Opens a connection and sets it up.
pub(crate) async fn open(address: SocketAddr, body: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&startup(body)).await?;
    let mut ready = [0; 9];
    stream.read_exact(&mut ready).await?;
    Ok(stream)
}

/// Runs one connection; answers how many good answers it got.
pub(crate) async fn connection(
    address: SocketAddr,
    number: u64,
    work: Work,
    tally: Arc<Tally>,
) -> std::io::Result<u64> {
    let stream = open(address, work.startup).await?;
    let (mut sent_at, mut free) = (vec![None; work.slots], (0..work.slots).collect::<Vec<_>>());
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let (mut key, mut good, mut offered) = (number * 7919, 0, 0.0);
    let mut buffer = vec![0; 64 << 10];
    let began = Instant::now();
    while began.elapsed() < work.duration {
        let due = match work.rate {
            None => free.len(),
            Some(rate) => {
                let all = began.elapsed().as_secs_f64() * rate;
                let due = (all - offered) as usize;
                offered += due as f64;
                due
            }
        };
        // Bytes that the node does not take yet are enough of a queue on this side.
        let room = if output.len() < 64 << 10 { free.len() } else { 0 };
        tally.turned_away.fetch_add(due.saturating_sub(room) as u64, Ordering::Relaxed);
        for _ in 0..due.min(room) {
            let Some(slot) = free.pop() else { break };
            key += 1;
            sent_at[slot] = Some(Instant::now());
            let request = execute(&work.id, slot as u16, &[&(key % work.keys).to_be_bytes()]);
            output.extend_from_slice(&request);
        }
        tokio::select! {
            biased;
            read = stream.readable() => {
                read?;
                match stream.try_read(&mut buffer) {
                    Ok(0) => return Err(std::io::ErrorKind::ConnectionReset.into()),
                    Ok(read) => input.extend_from_slice(&buffer[..read]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            wrote = stream.writable(), if !output.is_empty() => {
                wrote?;
                match stream.try_write(&output) {
                    Ok(wrote) => drop(output.drain(..wrote)),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        let mut at = 0;
        while let Some(answer) = Answer::parse(&input[at..]) {
            at += answer.end;
            let slot = usize::from(answer.stream);
            let took = sent_at[slot].take().map_or(Duration::ZERO, |at: Instant| at.elapsed());
            free.push(slot);
            let counter = match (answer.is_error, took > DEADLINE) {
                (true, _) => &tally.errors,
                (false, true) => &tally.late,
                (false, false) => {
                    good += 1;
                    tally.nanos.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
                    &tally.good
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        input.drain(..at);
    }
    Ok(good)
}

/// Runs so many connections; what each got, and the sum.
pub(crate) fn press(
    runtime: &tokio::runtime::Runtime,
    address: SocketAddr,
    connections: u64,
    work: &Work,
) -> (Vec<u64>, Arc<Tally>) {
    let tally = Arc::new(Tally::default());
    let tasks: Vec<_> = (0..connections)
        .map(|number| runtime.spawn(connection(address, number, work.clone(), tally.clone())))
        .collect();
    let goods = runtime.block_on(async {
        let mut goods = Vec::new();
        for task in tasks {
            goods.push(task.await.unwrap().unwrap());
        }
        goods
    });
    (goods, tally)
}
