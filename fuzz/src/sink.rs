//! A sink that sums up what it is given, so that two reads can be compared.

use helenus_storage::model::{PartitionKey, RowRef};
use helenus_storage::{Flow, Sink};

/// Partitions, static rows, rows, and a sum over the rows' bytes and positions that does not
/// depend on their order.
#[derive(Default)]
pub(crate) struct Counter(pub(crate) [u64; 4]);

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Sink for Counter {
    fn partition(&mut self, _key: &PartitionKey, static_row: Option<RowRef<'_>>) -> Flow {
        self.0[0] += 1;
        self.0[1] += u64::from(static_row.is_some());
        Flow::Continue
    }

    fn row(&mut self, position: &[u8], row: RowRef<'_>) -> Flow {
        self.0[2] += 1;
        self.0[3] = self.0[3]
            .wrapping_add(sum(position))
            .wrapping_add(sum(&format!("{row:?}").into_bytes()));
        Flow::Continue
    }

    fn end_partition(&mut self) -> Flow {
        Flow::Continue
    }
}
