//! One request to the node and its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cql_lite::wire::frame::HEADER_BYTES;
use cql_lite::wire::{
    FrameHeader, Opcode, ProtocolVersion, Response, ResponseWriter, ResultBody,
    decode_shared_response, result_kind,
};
use helenus::server::{Answer, Client, Handled, Handler, RequestContext, TurnBudget};
use helenus_platform::runtime::BoxFuture;

use super::Embedded;
use super::convert::refused;
use super::hold::{Hold, within};
use crate::error::{Error, ErrorKind, Result};

/// The version whose bytes the session and its node exchange.
pub(super) const VERSION: ProtocolVersion = ProtocolVersion::V5;
/// Work that a statement may do on the caller's thread before it goes on in the background.
const TURN_UNITS: u64 = 4_000;
/// Room for an answer of an ordinary row, so that the buffer does not grow step by step.
const ANSWER_BYTES: usize = 256;

/// A request that is made of the node: a method of [`Handler`] with all but the context.
pub(super) trait Call:
    FnOnce(&dyn Handler, &mut RequestContext<'_>, &mut ResponseWriter<'_>) -> Handled
{
}

impl<C> Call for C where
    C: FnOnce(&dyn Handler, &mut RequestContext<'_>, &mut ResponseWriter<'_>) -> Handled
{
}

/// An answer that is not an error.
pub(super) struct Answered {
    pub(super) warnings: Vec<String>,
    pub(super) response: Response,
}

/// The node's answer cannot be understood, which is a defect.
pub(super) fn unclear(what: String) -> Error {
    Error::new(ErrorKind::Failed, format!("the node's answer cannot be understood: {what}"))
}

/// A request as far as it came without waiting.
enum Begun {
    Answered { frame: BytesMut, hold_until: Option<u64>, keyspace: Option<String> },
    Pending(BoxFuture<'static, Answer>),
}

impl Embedded {
    /// Makes `call` on this thread and waits for the answer, and until it may be given.
    ///
    /// Dropping the future gives the request up; a write that has begun may be made all the same.
    pub(super) async fn ask(&self, timeout: Option<Duration>, call: impl Call) -> Result<Answered> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "the session has been closed"));
        }
        let handler = self.handler.as_ref();
        let begun = self.begin(handler, call);
        let (frame, keyspace) = match begun {
            Begun::Answered { frame, hold_until, keyspace } => {
                if let Some(position) = hold_until.filter(|at| handler.watermark() < *at) {
                    within(self.timer.as_deref(), timeout, Hold::new(handler, position)).await??;
                }
                (frame, keyspace)
            }
            Begun::Pending(future) => {
                let answered = async {
                    let answer = future.await;
                    if let Some(position) = answer.hold_until {
                        Hold::new(handler, position).await?;
                    }
                    Ok((answer.frame, answer.keyspace))
                };
                within(self.timer.as_deref(), timeout, answered).await??
            }
        };
        if let Some(keyspace) = keyspace {
            self.use_keyspace(keyspace.into());
        }
        decode(frame.freeze())
    }

    fn begin(&self, handler: &dyn Handler, call: impl Call) -> Begun {
        let client = self.client.load();
        let mut frame = BytesMut::with_capacity(ANSWER_BYTES);
        let mut budget = TurnBudget { units: TURN_UNITS };
        let mut context = RequestContext {
            client: &client,
            stream: 0,
            tracing: false,
            budget: &mut budget,
            memory: None,
        };
        let mut writer = ResponseWriter::new(&mut frame, VERSION, 0);
        match call(handler, &mut context, &mut writer) {
            Handled::Answered { hold_until } => {
                let keyspace = writer.finish().keyspace;
                Begun::Answered { frame, hold_until, keyspace }
            }
            Handled::Pending(future) => Begun::Pending(future),
        }
    }

    fn use_keyspace(&self, keyspace: Arc<str>) {
        let now = self.client.load();
        let client = Client { keyspace: Some(keyspace), ..now.as_ref().clone() };
        self.client.store(Arc::new(client));
    }
}

fn decode(frame: Bytes) -> Result<Answered> {
    let header = FrameHeader::parse(&frame).ok_or_else(|| unclear("it has no header".into()))?;
    let opcode =
        Opcode::from_byte(header.opcode).ok_or_else(|| unclear("its opcode is unknown".into()))?;
    if frame.len() < HEADER_BYTES {
        return Err(unclear("it has no body".into()));
    }
    let body = frame.slice(HEADER_BYTES..);
    if header.flags == 0 && opcode == Opcode::Result && *body == result_kind::VOID.to_be_bytes() {
        return Ok(Answered { warnings: Vec::new(), response: Response::Result(ResultBody::Void) });
    }
    let body = decode_shared_response(VERSION, header.flags, opcode, &body)
        .map_err(|error| unclear(error.to_string()))?;
    match body.response {
        Response::Error(error) => Err(refused(error)),
        response => Ok(Answered { warnings: body.warnings, response }),
    }
}
