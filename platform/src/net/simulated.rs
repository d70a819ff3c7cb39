//! The network of a simulated cluster: every host has an IP address and its own [`Network`] view;
//! bytes take time, links are cut and healed in one direction or both, connections are reset, and
//! a host's sockets die at once. Everything that is left to chance comes from one seed.
//!
//! It behaves as TCP does where that matters to whoever stands above it:
//! - Bytes arrive whole and in order, each write after a delay drawn from its link's [`Delays`].
//! - A cut link loses nothing that was written: it arrives after the link has healed. Until then
//!   the writer fills its buffer and waits, and hears of nothing.
//! - Connecting over a cut link is tried again after 1, 2, 4, … seconds, and times out after
//!   [`CONNECT_TIMEOUT`].
//! - Closing a connection with unread bytes, or writing to one that the other side has closed,
//!   resets it. So does [`SimNetwork::kill`], as the kernel does for a process that dies. A
//!   machine that loses power is cut off with [`SimNetwork::isolate`] and then killed: nobody
//!   hears of it.

mod connection;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use self::connection::{Connection, Side};
use self::stream::SimStream;
use super::{Listener, Network, Stream};
use crate::clock::Clock;
use crate::random::{Random, SeededRandom};
use crate::runtime::{BoxFuture, Runtime};

/// How long a connection is tried for when nobody answers.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(127);
/// When it is tried for the second time.
const CONNECT_RETRY: Duration = Duration::from_secs(1);
/// Connections that wait to be accepted.
const BACKLOG_MAX: usize = 128;
/// Where ports begin that nobody chose.
const FREE_PORT_MIN: u16 = 32_768;

/// How long bytes are on their way: evenly drawn, with a few that take much longer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Delays {
    /// The least.
    pub min: Duration,
    /// The most of ordinary bytes.
    pub max: Duration,
    /// How likely a write is late, 0 to 1.
    pub late_chance: f64,
    /// The most that a late one takes on top.
    pub late_max: Duration,
}

impl Default for Delays {
    /// One data centre: 50 to 300 microseconds, none late.
    fn default() -> Self {
        Delays {
            min: Duration::from_micros(50),
            max: Duration::from_micros(300),
            late_chance: 0.0,
            late_max: Duration::ZERO,
        }
    }
}

impl Delays {
    fn draw(&self, random: &dyn Random) -> Duration {
        let up_to = |most: Duration| {
            let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
            Duration::from_nanos(random.below(nanos.saturating_add(1)))
        };
        let ordinary = self.min + up_to(self.max.saturating_sub(self.min));
        if self.late_chance > 0.0 && random.chance(self.late_chance) {
            return ordinary + up_to(self.late_max);
        }
        ordinary
    }
}

/// One direction between two hosts.
type Direction = (IpAddr, IpAddr);

#[derive(Default)]
struct Host {
    /// Counts deaths: what belongs to an earlier life is dead.
    life: u64,
    last_port: u16,
}

struct Backlog {
    waiting: VecDeque<SimStream>,
    acceptor: Option<Waker>,
    /// Distinguishes listeners that followed one another on one address.
    id: u64,
}

struct World {
    delays: Delays,
    delays_of: BTreeMap<Direction, Delays>,
    /// Since when.
    cut: BTreeMap<Direction, Duration>,
    hosts: BTreeMap<IpAddr, Host>,
    listeners: BTreeMap<SocketAddr, Backlog>,
    connections: BTreeMap<u64, Connection>,
    last_id: u64,
    random: SeededRandom,
}

impl World {
    fn delay(&self, direction: Direction) -> Duration {
        self.delays_of.get(&direction).unwrap_or(&self.delays).draw(&self.random)
    }

    fn is_alive(&self, ip: IpAddr, life: u64) -> bool {
        self.hosts.get(&ip).is_some_and(|host| host.life == life)
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn free_port(&mut self, ip: IpAddr) -> u16 {
        let host = self.hosts.entry(ip).or_default();
        host.last_port = host.last_port.wrapping_add(1) % FREE_PORT_MIN;
        FREE_PORT_MIN + host.last_port
    }

    /// What was on its way when the link was cut sets out again.
    fn heal(&mut self, direction: Direction, now: Duration, woken: &mut Vec<Waker>) {
        let Some(since) = self.cut.remove(&direction) else { return };
        let delays = *self.delays_of.get(&direction).unwrap_or(&self.delays);
        for connection in self.connections.values_mut() {
            for side in [Side::Opener, Side::Acceptor] {
                if connection.direction(side) == direction {
                    let again = now + delays.draw(&self.random);
                    connection.resend(side, since, again, woken);
                }
            }
        }
    }
}

struct Shared {
    world: Mutex<World>,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the world, and then wakes whom that concerns.
    fn change<T>(&self, change: impl FnOnce(&mut World, Duration, &mut Vec<Waker>) -> T) -> T {
        let (now, mut woken) = (self.clock.monotonic(), Vec::new());
        let result = change(&mut self.lock(), now, &mut woken);
        woken.into_iter().for_each(Waker::wake);
        result
    }
}

/// The network; clones are the same one.
#[derive(Clone)]
pub struct SimNetwork {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for SimNetwork {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let world = self.shared.lock();
        formatter
            .debug_struct("SimNetwork")
            .field("listeners", &world.listeners.keys().collect::<Vec<_>>())
            .field("connections", &world.connections.len())
            .field("cut", &world.cut)
            .finish()
    }
}

impl SimNetwork {
    /// A network without hosts, on `runtime`'s time.
    #[must_use]
    pub fn new(seed: u64, runtime: Arc<dyn Runtime>, clock: Arc<dyn Clock>) -> Self {
        let world = World {
            delays: Delays::default(),
            delays_of: BTreeMap::new(),
            cut: BTreeMap::new(),
            hosts: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_id: 0,
            random: SeededRandom::new(seed),
        };
        SimNetwork { shared: Arc::new(Shared { world: Mutex::new(world), runtime, clock }) }
    }

    /// The network as the host with this address sees it, until the host is killed.
    #[must_use]
    pub fn host(&self, ip: IpAddr) -> SimHost {
        let life = self.shared.lock().hosts.entry(ip).or_default().life;
        SimHost { shared: self.shared.clone(), ip, life }
    }

    /// From now on, bytes take so long wherever nothing else was said.
    pub fn set_delays(&self, delays: Delays) {
        self.shared.lock().delays = delays;
    }

    /// From now on, bytes from one host to the other take so long.
    pub fn set_delays_between(&self, from: IpAddr, to: IpAddr, delays: Delays) {
        self.shared.lock().delays_of.insert((from, to), delays);
    }

    /// Nothing gets from one host to the other any more; the other direction stays as it is.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        self.shared.change(|world, now, _| *world.cut.entry((from, to)).or_insert(now));
    }

    /// Undoes [`SimNetwork::cut`].
    pub fn heal(&self, from: IpAddr, to: IpAddr) {
        self.shared.change(|world, now, woken| world.heal((from, to), now, woken));
    }

    /// Nothing gets across between hosts of `left` and hosts of `right`.
    pub fn partition(&self, left: &[IpAddr], right: &[IpAddr]) {
        for (one, other) in left.iter().flat_map(|l| right.iter().map(move |r| (*l, *r))) {
            self.cut(one, other);
            self.cut(other, one);
        }
    }

    /// Nothing gets to or from this host, of all hosts that there are now.
    pub fn isolate(&self, ip: IpAddr) {
        let others: Vec<IpAddr> = self.shared.lock().hosts.keys().copied().collect();
        let others: Vec<IpAddr> = others.into_iter().filter(|other| *other != ip).collect();
        self.partition(&[ip], &others);
    }

    /// Heals every link.
    pub fn heal_all(&self) {
        self.shared.change(|world, now, woken| {
            let cut: Vec<Direction> = world.cut.keys().copied().collect();
            cut.into_iter().for_each(|direction| world.heal(direction, now, woken));
        });
    }

    /// Resets every connection between the two hosts; both sides hear of it at once.
    pub fn reset(&self, one: IpAddr, other: IpAddr) {
        self.shared.change(|world, _, woken| {
            for connection in world.connections.values_mut() {
                let between = connection.direction(Side::Opener);
                if between == (one, other) || between == (other, one) {
                    connection.reset_now(woken);
                }
            }
        });
    }

    /// Closes every socket of the host, as the kernel does when a process dies: its views fail
    /// from now on, and those it was connected to are told by a reset. [`SimNetwork::host`] gives
    /// a view to its next life.
    pub fn kill(&self, ip: IpAddr) {
        let unaccepted = self.shared.change(|world, now, woken| {
            world.hosts.entry(ip).or_default().life += 1;
            let mut unaccepted = Vec::new();
            let dead: Vec<SocketAddr> =
                world.listeners.keys().copied().filter(|address| address.ip() == ip).collect();
            for address in dead {
                let Some(backlog) = world.listeners.remove(&address) else { continue };
                woken.extend(backlog.acceptor);
                unaccepted.extend(backlog.waiting);
            }
            let World { connections, delays, delays_of, random, .. } = world;
            for connection in connections.values_mut() {
                for side in connection.sides_of(ip) {
                    let direction = connection.direction(side);
                    let delay = delays_of.get(&direction).unwrap_or(delays).draw(random);
                    connection.kill(side, now + delay, woken);
                }
            }
            unaccepted
        });
        // Dropped outside of the lock, which their drop takes.
        drop(unaccepted);
    }

    /// How many connections exist, those included of which one side is closed.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }
}

/// The network as one host sees it.
#[derive(Clone)]
pub struct SimHost {
    shared: Arc<Shared>,
    ip: IpAddr,
    life: u64,
}

impl std::fmt::Debug for SimHost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = formatter.debug_struct("SimHost");
        fields.field("ip", &self.ip).field("life", &self.life).finish_non_exhaustive()
    }
}

fn dead() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the host was killed")
}

impl SimHost {
    fn check_alive(&self) -> io::Result<()> {
        if self.shared.lock().is_alive(self.ip, self.life) { Ok(()) } else { Err(dead()) }
    }

    /// Puts a new connection into the listener's backlog, and gives this side of it.
    fn open(&self, address: SocketAddr) -> io::Result<SimStream> {
        self.shared.change(|world, _, woken| {
            let has_room =
                world.listeners.get(&address).is_some_and(|b| b.waiting.len() < BACKLOG_MAX);
            if !has_room {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let from = SocketAddr::new(self.ip, world.free_port(self.ip));
            let id = world.next_id();
            world.connections.insert(id, Connection::new(from, address));
            let stream = |side| SimStream::new(self.shared.clone(), id, side, from);
            if let Some(backlog) = world.listeners.get_mut(&address) {
                backlog.waiting.push_back(stream(Side::Acceptor));
                woken.extend(backlog.acceptor.take());
            }
            Ok(stream(Side::Opener))
        })
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let (there, back) = ((self.ip, address.ip()), (address.ip(), self.ip));
        let end = self.shared.clock.monotonic() + CONNECT_TIMEOUT;
        let mut pause = CONNECT_RETRY;
        loop {
            self.check_alive()?;
            let ways = {
                let world = self.shared.lock();
                let is_cut = world.cut.contains_key(&there) || world.cut.contains_key(&back);
                (!is_cut).then(|| (world.delay(there), world.delay(back)))
            };
            if let Some((to, from)) = ways {
                self.shared.runtime.sleep(to).await;
                let opened = self.open(address);
                self.shared.runtime.sleep(from).await;
                self.check_alive()?;
                return opened.map(|stream| Box::new(stream) as Box<dyn Stream>);
            }
            if self.shared.clock.monotonic() + pause > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.shared.runtime.sleep(pause).await;
            pause *= 2;
        }
    }
}

impl Network for SimHost {
    fn bind(&self, mut address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            self.check_alive()?;
            if address.ip().is_unspecified() {
                address.set_ip(self.ip);
            }
            if address.ip() != self.ip {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            }
            let mut world = self.shared.lock();
            if address.port() == 0 {
                address.set_port(world.free_port(self.ip));
            }
            if world.listeners.contains_key(&address) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let id = world.next_id();
            let backlog = Backlog { waiting: VecDeque::new(), acceptor: None, id };
            world.listeners.insert(address, backlog);
            Ok(Box::new(SimListener { host: self.clone(), address, id }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(self.connect_to(address))
    }
}

struct SimListener {
    host: SimHost,
    address: SocketAddr,
    id: u64,
}

impl Listener for SimListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn poll_accept(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let mut world = self.host.shared.lock();
        let Some(backlog) = world.listeners.get_mut(&self.address).filter(|b| b.id == self.id)
        else {
            return Poll::Ready(Err(dead()));
        };
        match backlog.waiting.pop_front() {
            Some(stream) => {
                let from = stream.opener();
                Poll::Ready(Ok((Box::new(stream), from)))
            }
            None => {
                backlog.acceptor = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let backlog = {
            let mut world = self.host.shared.lock();
            let is_ours = world.listeners.get(&self.address).is_some_and(|b| b.id == self.id);
            if is_ours { world.listeners.remove(&self.address) } else { None }
        };
        drop(backlog);
    }
}
