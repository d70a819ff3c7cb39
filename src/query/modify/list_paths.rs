//! Where new elements of a list go: ordered by the moment they are added, those added at the front
//! mirrored around a moment before all others.

use cql_lite::types::functions::time::timeuuid_at;
use cql_lite::types::key::path;

use super::write::WriteContext;
use crate::error::Result;

/// Places for new elements of a list.
pub(super) struct ListPaths {
    ticks: i64,
    index: u32,
    node: [u8; 4],
}

/// 2010-01-01, in units of 100 ns since 1970: nothing is added before it.
const MIRROR_TICKS: i64 = 1_262_304_000 * 10_000_000;

impl ListPaths {
    /// Places for elements that are added now.
    pub(super) fn new(context: &WriteContext<'_>, at_front: bool) -> ListPaths {
        let moment = context.timestamps.next().wrapping_mul(10);
        let ticks =
            if at_front { MIRROR_TICKS.wrapping_mul(2).wrapping_sub(moment) } else { moment };
        let chance = context.environment.random.next_u64();
        let node = [0, 8, 16, 24].map(|shift| (chance >> shift) as u8);
        ListPaths { ticks, index: 0, node }
    }

    /// The place of the next element.
    pub(super) fn next(&mut self) -> Result<Vec<u8>> {
        // The low half of a timeuuid is ordered byte by byte, signed; the first two bits are the
        // variant's, so the index begins behind the first byte.
        let [b, c, d] = [16, 8, 0].map(|shift| (self.index >> shift) as u8 ^ 0x80);
        let [v, w, x, y] = self.node;
        self.index += 1;
        let uuid = timeuuid_at(self.ticks, [0, b, c, d, v, w, x, y]);
        Ok(path::list(&uuid)?)
    }
}
