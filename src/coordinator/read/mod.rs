//! Reads over several replicas: what the nodes say to one another (`message`).

mod message;

pub use message::{
    Asked, PAGE_BYTES_MAX, READ_MESSAGE_VERSION, ReadAnswer, ReadRequest, put_digest, put_page,
};
