//! What things cost on the heap: not the bytes asked for, but what an allocator takes for them.

/// Bytes that an allocation of `bytes` takes.
///
/// Allocators round up to size classes. mimalloc's are multiples of 16 up to 128 bytes and then
/// four to each power of two; others come close.
pub(crate) fn allocation(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// Bytes that a reference-counted block of `bytes` takes: two counters stand before it.
pub(crate) fn shared(bytes: usize) -> usize {
    allocation(2 * size_of::<usize>() + bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_their_class() {
        let taken = [0, 1, 16, 17, 129, 160, 161, 250, 257, 1024, 1025].map(allocation);
        assert_eq!(taken, [0, 16, 16, 32, 160, 160, 192, 256, 320, 1024, 1280]);
        assert_eq!(shared(10), 32);
    }
}
