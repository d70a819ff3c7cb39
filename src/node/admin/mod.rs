//! The admin socket: how the commands of an operator reach a running node. Only programs of the
//! user who runs the node can connect.

mod commands;
mod figures;
pub mod protocol;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use helenus_platform::net::{Listener, Stream, accept_until, write_all};
use helenus_platform::stop::Stop;

use super::Node;
pub use figures::{DamagedSsTable, NodeInfo, NodeStatus, RingToken, TableFigures};
use protocol::{REQUEST_BYTES_MAX, Request, Response, VERSION};

/// How long a client may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands at a time.
const COMMANDS_MAX: usize = 16;

/// The admin socket of a node; it ends, and its path goes, when this is dropped.
pub struct AdminSocket {
    shared: Arc<Shared>,
    path: PathBuf,
}

struct Shared {
    node: Node,
    commands: AtomicUsize,
    stop: Stop,
}

impl std::fmt::Debug for AdminSocket {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AdminSocket").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AdminSocket {
    /// Takes commands for `node` through the listener that `bind` opens on the node's socket.
    /// What an earlier run has left there is removed: the directory is locked by this process.
    ///
    /// # Errors
    /// Those of the network.
    pub fn start(
        node: &Node,
        bind: impl FnOnce(&std::path::Path) -> io::Result<Box<dyn Listener>>,
    ) -> io::Result<AdminSocket> {
        let path = protocol::socket_path(&node.config().data_dir);
        let disk = &node.world().disk;
        if disk.exists(&path)? {
            disk.remove(&path)?;
        }
        let listener = bind(&path)?;
        let shared = Arc::new(Shared {
            node: node.clone(),
            commands: AtomicUsize::new(0),
            stop: Stop::default(),
        });
        node.world().runtime.spawn("admin", Box::pin(accept(listener, shared.clone())));
        Ok(AdminSocket { shared, path })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        self.shared.stop.raise();
        // The next start removes it too.
        drop(self.shared.node.world().disk.remove(&self.path));
    }
}

async fn accept(listener: Box<dyn Listener>, shared: Arc<Shared>) {
    let runtime = shared.node.world().runtime.clone();
    let each = |stream, _| {
        let command = UnderWay::begin(&shared);
        runtime.spawn("admin-command", Box::pin(command.serve(stream)));
    };
    accept_until(listener, "the admin socket", &shared.stop, &*runtime, each).await;
}

/// One command, counted as long as it lives.
struct UnderWay {
    shared: Arc<Shared>,
    is_one_too_many: bool,
}

impl UnderWay {
    fn begin(shared: &Arc<Shared>) -> Self {
        let is_one_too_many = shared.commands.fetch_add(1, Ordering::SeqCst) >= COMMANDS_MAX;
        UnderWay { shared: shared.clone(), is_one_too_many }
    }

    async fn serve(self, mut stream: Box<dyn Stream>) {
        let response = match self.request(&mut *stream).await {
            Ok(request) => self.answer(request).await,
            Err(problem) => failed(problem),
        };
        let mut line = serde_json::to_vec(&response).unwrap_or_default();
        line.push(b'\n');
        // Whether it arrives is the business of who asked.
        if write_all(&mut *stream, &line).await.is_ok() {
            drop(poll_fn(|context| stream.poll_shutdown(context)).await);
        }
    }

    async fn request(&self, stream: &mut dyn Stream) -> Result<Request, String> {
        if self.is_one_too_many {
            return Err(format!("{COMMANDS_MAX} commands are under way already"));
        }
        let mut late = self.shared.node.world().runtime.sleep(REQUEST_TIMEOUT);
        let mut read = pin!(read_line(stream, REQUEST_BYTES_MAX));
        let line = poll_fn(|context| match late.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => read.as_mut().poll(context),
        });
        let line = line.await.map_err(|error| format!("reading the request: {error}"))?;
        // The version first: what a later one says need not be understood otherwise.
        let value: serde_json::Value =
            serde_json::from_slice(&line).map_err(|error| format!("not a request: {error}"))?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            return Err(format!(
                "the node speaks version {VERSION} of the admin protocol, not {}: use the \
                 command that belongs to it",
                version.map_or("none".to_string(), |version| version.to_string())
            ));
        }
        serde_json::from_value(value).map_err(|error| format!("not a request: {error}"))
    }

    async fn answer(&self, request: Request) -> Response {
        match self.shared.node.carry_out(request.command).await {
            Ok(result) => Response { version: VERSION, result: Some(result), error: None },
            Err(error) => failed(error.to_string()),
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.commands.fetch_sub(1, Ordering::SeqCst);
    }
}

fn failed(error: String) -> Response {
    Response { version: VERSION, result: None, error: Some(error) }
}

/// Reads up to the end of the first line, which has at most `bytes_max` with its end.
///
/// # Errors
/// `InvalidData` for a longer one, `UnexpectedEof` if there is none.
pub async fn read_line(stream: &mut dyn Stream, bytes_max: usize) -> io::Result<BytesMut> {
    let mut line = BytesMut::new();
    loop {
        let begin = line.len();
        let room = (bytes_max - begin).min(64 << 10);
        if room == 0 {
            let text = format!("a line of more than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        if poll_fn(|context| stream.poll_read(context, &mut line, room)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let new = line.get(begin..).unwrap_or_default();
        if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
            line.truncate(begin + end);
            return Ok(line);
        }
    }
}
