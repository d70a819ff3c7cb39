//! Traces: the steps of a request, as the node wrote them down in `system_traces`.

use std::time::Duration;

use cql_lite::types::Value;
use cql_lite::types::text::print_uuid;
use helenus_platform::runtime::Runtime;

use super::failure::Failure;
use super::print::table::Page;
use super::session::Session;

/// How often to look whether a trace is complete, and how long to wait between.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Prints the trace with this id, waiting a little until it is complete.
pub(super) fn print_session(session: &mut Session, id: &[u8; 16]) -> Result<(), Failure> {
    let id = print_uuid(id);
    let query = format!(
        "SELECT request, started_at, coordinator, duration, client FROM system_traces.sessions \
         WHERE session_id = {id}"
    );
    let mut found = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            let runtime = session.runtime.clone();
            runtime.block_on(runtime.sleep(BETWEEN_LOOKS));
        }
        found = session.rows(&query)?.into_iter().next().unwrap_or_default();
        if matches!(found.get(3), Some(Some(_))) {
            break;
        }
    }
    let [request, started, coordinator, duration, client] = found.as_slice() else {
        return session.sink.answer(&format!("\nSession {id} wasn't found.\n"));
    };
    let events = session.rows(&format!(
        "SELECT activity, event_id, source, source_elapsed FROM system_traces.events \
         WHERE session_id = {id}"
    ))?;
    let (client, coordinator) = (shown(client.as_ref()), shown(coordinator.as_ref()));
    let begun = match started {
        Some(Value::Timestamp(millis)) => millis.saturating_mul(1_000),
        _ => 0,
    };
    let elapsed = |value: Option<&Value>| value.map_or("--".to_owned(), |value| shown(Some(value)));
    let mut rows = vec![vec![
        shown(request.as_ref()),
        moment(begun),
        coordinator.clone(),
        "0".to_owned(),
        client.clone(),
    ]];
    for event in &events {
        let [activity, at, source, source_elapsed] = event.as_slice() else { continue };
        let at = match at {
            Some(Value::Timeuuid(id)) => micros_of(id),
            _ => begun,
        };
        rows.push(vec![
            shown(activity.as_ref()),
            moment(at),
            shown(source.as_ref()),
            elapsed(source_elapsed.as_ref()),
            client.clone(),
        ]);
    }
    if let Some(Value::Int(duration)) = duration {
        let end = begun.saturating_add(i64::from(*duration));
        rows.push(vec![
            "Request complete".to_owned(),
            moment(end),
            coordinator,
            duration.to_string(),
            client,
        ]);
    }
    let names = ["activity", "timestamp", "source", "source_elapsed", "client"];
    let page = Page { names: names.map(str::to_owned).to_vec(), rows };
    session.sink.answer(&format!("\nTracing session: {id}\n\n{}\n", page.table(true)))
}

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::Text(text) | Value::Ascii(text)) => text.clone(),
        Some(Value::Inet(address)) => address.to_string(),
        Some(Value::Int(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Microseconds since the epoch as a date and a time.
fn moment(micros: i64) -> String {
    let mut text = String::new();
    super::print::datetime::print(&mut text, "%Y-%m-%d %H:%M:%S", micros.div_euclid(1_000), true);
    format!("{text}.{:06}", micros.rem_euclid(1_000_000))
}

/// The time of a version 1 UUID in microseconds since the epoch.
fn micros_of(id: &[u8; 16]) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *id;
    let ticks = i64::from_be_bytes([g & 0x0f, h, e, f, a, b, c, d]);
    // UUIDs count 100 ns from 1582-10-15.
    ticks.saturating_sub(0x01b2_1dd2_1381_4000) / 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use cql_lite::types::text::parse_uuid;

    #[test]
    fn the_time_of_an_event_is_in_its_id() {
        // The UUID of 2024-02-29T12:30:00.123456Z.
        let ticks: u64 = 0x01b2_1dd2_1381_4000 + 1_709_209_800_123_456 * 10;
        let text = format!(
            "{:08x}-{:04x}-1{:03x}-8000-000000000000",
            ticks & 0xffff_ffff,
            ticks >> 32 & 0xffff,
            ticks >> 48
        );
        let micros = micros_of(&parse_uuid(&text).unwrap());
        assert_eq!(micros, 1_709_209_800_123_456);
        assert_eq!(moment(micros), "2024-02-29 12:30:00.123456");
    }
}
