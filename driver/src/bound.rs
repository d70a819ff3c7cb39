//! Values, serialized for the markers of one statement.

use scylla_cql_core::serialize::row::RowSerializationContext;
use scylla_cql_core::serialize::writers::RowWriter;

use crate::error::{Error, ErrorKind, Result};
use crate::{ColumnSpec, SerializeRow};

/// Room for the values of an ordinary statement, so that the buffer does not grow step by step.
const VALUES_BYTES: usize = 128;

/// Values as the protocol's \[value\]s, one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    count: u16,
    bytes: Vec<u8>,
}

impl Bound {
    pub(crate) fn new(markers: &[ColumnSpec<'_>], values: &impl SerializeRow) -> Result<Self> {
        let mut bytes = Vec::with_capacity(VALUES_BYTES);
        let mut writer = RowWriter::new(&mut bytes);
        values
            .serialize(&RowSerializationContext::from_specs(markers), &mut writer)
            .map_err(Error::values)?;
        let count = u16::try_from(writer.value_count())
            .map_err(|_| Error::new(ErrorKind::Invalid, "a statement has at most 65535 values"))?;
        Ok(Self { count, bytes })
    }

    /// The values for the node inside this process.
    #[cfg(feature = "embedded")]
    pub(crate) fn values(&self) -> Result<cql_lite::wire::Values<'_>> {
        cql_lite::wire::Values::serialized(self.count, &self.bytes)
            .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
    }
}

/// Bound values as values to be bound again, unchanged: what the network driver takes.
#[cfg(feature = "cluster")]
impl SerializeRow for Bound {
    fn serialize(
        &self,
        _context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> std::result::Result<(), scylla_cql_core::serialize::SerializationError> {
        use helenus_platform::codec::Reader;
        use scylla_cql_core::serialize::SerializationError;

        let mut reader = Reader::new(&self.bytes);
        for _ in 0..self.count {
            let length = reader.i32_be().map_err(SerializationError::new)?;
            let cell = writer.make_cell_writer();
            match usize::try_from(length) {
                Ok(length) => {
                    let value = reader.bytes(length).map_err(SerializationError::new)?;
                    cell.set_value(value).map_err(SerializationError::new)?
                }
                Err(_) if length == -2 => cell.set_unset(),
                Err(_) => cell.set_null(),
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}
