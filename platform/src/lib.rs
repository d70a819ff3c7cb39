//! The world outside the database, behind seams: clock, randomness, tasks, channels, disk and
//! network, each with a real half and a twin for tests; checked byte readers and writers.

pub mod channel;
pub mod checksum;
pub mod clock;
pub mod codec;
pub mod disk;
pub mod fork;
pub mod murmur3;
pub mod net;
pub mod open_files;
pub mod pool;
pub mod random;
pub mod runtime;
pub mod signal;
pub mod stop;
