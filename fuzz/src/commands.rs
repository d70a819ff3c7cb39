//! What another node asks of a replica: the payloads of reads and mutations.
//!
//! Input: the payload of a read, of an answer to one, and of a mutation.

use bytes::Bytes;
use helenus::coordinator::mutation_message;
use helenus::coordinator::read::{PAGE_BYTES_MAX, ReadAnswer, ReadRequest};

use crate::pages::dump;

/// Whatever the bytes are, nothing panics, and what is taken is written as it is read.
pub fn run(data: &[u8]) {
    let _ = ReadAnswer::decode(&Bytes::copy_from_slice(data));
    if let Ok((version, mutation)) = mutation_message::decode(data) {
        assert_eq!(mutation_message::encode(version, mutation), data);
    }
    let Ok(request) = ReadRequest::decode(data) else { return };
    let ReadRequest { metadata_version, asked, command } = request;
    assert!(command.bytes_max <= PAGE_BYTES_MAX);
    let again = ReadRequest::encode(metadata_version, asked, &command);
    let again = ReadRequest::decode(&again).expect("a request of our own");
    assert_eq!(format!("{:?}", again.command), format!("{command:?}"));
}

/// The example of the documentation, asked for as a page and as a digest.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let command = dump(include_str!("../../docs/format/replica-read.md"));
    let request = |asked: u8| [&[1, 7, 0, 0, 0, 0, 0, 0, 0, asked][..], &command].concat();
    vec![request(1), request(2)]
}
