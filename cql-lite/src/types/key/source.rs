//! Where components are read from: checked, and un-inverted on the way for descending columns.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use crate::types::error::{Result, ValueError};

/// Unread bytes of a key.
#[derive(Clone, Debug)]
pub struct KeySource<'a> {
    rest: &'a [u8],
    mask: u8,
}

fn cut() -> ValueError {
    ValueError::damaged("a key ends inside a component")
}

impl<'a> KeySource<'a> {
    /// A source at the beginning of a component of an ascending or descending column.
    pub fn new(bytes: &'a [u8], descending: bool) -> KeySource<'a> {
        KeySource { rest: bytes, mask: if descending { 0xff } else { 0 } }
    }

    /// What has not been read, as it is stored.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or_else(cut)?;
        self.rest = rest;
        Ok(first ^ self.mask)
    }

    /// The next byte, which stays unread.
    pub(super) fn peek(&self) -> Result<u8> {
        self.rest.first().map(|byte| byte ^ self.mask).ok_or_else(cut)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(cut)?;
        self.rest = rest;
        Ok(head.map(|byte| byte ^ self.mask))
    }

    /// Appends the next `count` bytes to `out`.
    pub(super) fn copy(&mut self, count: usize, out: &mut Vec<u8>) -> Result<()> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or_else(cut)?;
        self.rest = rest;
        self.append(head, out);
        Ok(())
    }

    /// Appends the bytes up to the next 00, which is read but not appended.
    pub(super) fn copy_to_zero(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let zero = self.mask;
        let length = self.rest.iter().position(|byte| *byte == zero).ok_or_else(cut)?;
        self.copy(length, out)?;
        self.byte().map(|_| ())
    }

    fn append(&self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.mask == 0 {
            out.extend_from_slice(bytes);
        } else {
            out.extend(bytes.iter().map(|byte| byte ^ self.mask));
        }
    }
}
