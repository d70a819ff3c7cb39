//! Requests about metadata, as messages of internode: `Join` while this node belongs to no cluster,
//! `Metadata` from then on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helenus_platform::runtime::BoxFuture;

use super::transport::{MemberAddress, MetadataTransport, TransportError, is_join};
use crate::internode::{Internode, Request, Target, Verb};

/// Longer than anybody waits for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// [`MetadataTransport`] over the connections of the node.
#[derive(Debug)]
pub struct OverInternode(pub Arc<Internode>);

impl MetadataTransport for OverInternode {
    fn call(
        &self,
        to: MemberAddress,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let MemberAddress { host_id, address } = to;
        let verb = if is_join(&request) { Verb::Join } else { Verb::Metadata };
        let deadline = self.0.deadline(PATIENCE);
        let request = Request { verb, payload: request, deadline, trace: None };
        let response = self.0.request(&Target { address, host_id }, request);
        Box::pin(async move { response.await.map_err(|error| TransportError(error.to_string())) })
    }
}
