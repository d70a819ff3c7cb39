//! Who is connected, and what they have prepared.

use std::collections::BTreeMap;

use super::{LiveViews, signed};
use crate::schema::system::values::{Cell, bigint, boolean, inet, int, map, text};
use crate::server::ClientState;

impl LiveViews {
    pub(super) fn clients(&self) -> Vec<Vec<Cell>> {
        let row = |client: ClientState| {
            let options: BTreeMap<&str, &str> =
                client.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let option = |name| options.get(name).copied().and_then(text);
            vec![
                inet(client.address.ip()),
                int(i32::from(client.address.port())),
                map(&options),
                text(if client.is_ready { "ready" } else { "establishing" }),
                option("DRIVER_NAME"),
                option("DRIVER_VERSION"),
                text(client.address.ip().to_string()),
                client.keyspace.as_deref().and_then(text),
                int(i32::from(client.version.number())),
                bigint(signed(client.requests)),
                None,
                boolean(false),
                None,
                text("anonymous"),
            ]
        };
        self.clients.all().into_iter().map(row).collect()
    }

    pub(super) fn prepared_statements(&self) -> Vec<Vec<Cell>> {
        let statements = self.statements.all().into_iter();
        let row = |prepared: std::sync::Arc<crate::query::Prepared>| {
            let keyspace = prepared.keyspace.as_deref().and_then(text);
            vec![Some(prepared.id.to_vec()), keyspace, text(&prepared.text)]
        };
        statements.map(row).collect()
    }
}
