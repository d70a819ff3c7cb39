//! Tokens that need not be stored. The engine takes tokens as they come and would work with any;
//! but where a block's tokens are all what Cassandra's partitioner says, they can be computed:
//! eight bytes less for every partition that do not compress.

use helenus_platform::murmur3;

use crate::model::Token;

/// The token that Cassandra's `Murmur3Partitioner` gives this partition key. Partitions with such
/// tokens take less room.
pub fn murmur3_token(key: &[u8]) -> Token {
    Token(murmur3::token(key))
}
