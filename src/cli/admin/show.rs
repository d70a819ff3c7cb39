//! Answers as nodetool lays them out.

use std::fmt::Display;
use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::node::ListedSnapshot;
use crate::node::admin::{DamagedSsTable, NodeInfo, NodeStatus, RingToken, TableFigures};

type Out<'a> = &'a mut dyn Write;

fn parse<T: DeserializeOwned>(value: Value) -> io::Result<T> {
    serde_json::from_value(value).map_err(io::Error::from)
}

/// A size as nodetool prints it: `104.55 KiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"KiB");
    while value >= 1024.0
        && let Some(larger) = units.next()
    {
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.2} {unit}")
}

/// Rows in columns as wide as their widest cell, with two spaces between.
fn table(out: Out<'_>, rows: &[Vec<String>]) -> io::Result<()> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|c| c.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

pub(super) fn nothing(_: Out<'_>, _: Value) -> io::Result<()> {
    Ok(())
}

pub(super) fn status(out: Out<'_>, value: Value) -> io::Result<()> {
    let nodes: Vec<NodeStatus> = parse(value)?;
    let mut datacenters: Vec<&str> = nodes.iter().map(|node| node.datacenter.as_str()).collect();
    datacenters.sort_unstable();
    datacenters.dedup();
    for datacenter in datacenters {
        let title = format!("Datacenter: {datacenter}");
        writeln!(out, "{title}\n{}", "=".repeat(title.chars().count()))?;
        writeln!(out, "Status=Up/Down\n|/ State=Normal/Leaving/Joining/Moving/Drained")?;
        let head = ["--", "Address", "Load", "Tokens", "Owns (effective)", "Host ID", "Rack"];
        let mut rows = vec![head.map(str::to_string).to_vec()];
        for node in nodes.iter().filter(|node| node.datacenter == datacenter) {
            rows.push(vec![
                node.status.clone(),
                node.address.clone(),
                size(node.load),
                node.tokens.to_string(),
                format!("{:.1}%", node.owns),
                node.host_id.clone(),
                node.rack.clone(),
            ]);
        }
        table(out, &rows)?;
    }
    match nodes.iter().map(|node| node.damaged_sstables).sum::<usize>() {
        0 => Ok(()),
        count => writeln!(out, "\nDamaged SSTables: {count} (`helenus info` names them)"),
    }
}

pub(super) fn ring(out: Out<'_>, value: Value) -> io::Result<()> {
    let tokens: Vec<RingToken> = parse(value)?;
    let mut datacenters: Vec<&str> = tokens.iter().map(|one| one.datacenter.as_str()).collect();
    datacenters.sort_unstable();
    datacenters.dedup();
    for datacenter in datacenters {
        let title = format!("Datacenter: {datacenter}");
        writeln!(out, "{title}\n{}", "=".repeat(title.chars().count()))?;
        let head = ["Address", "Rack", "Status", "State", "Load", "Owns", "Token"];
        let mut rows = vec![head.map(str::to_string).to_vec()];
        for one in tokens.iter().filter(|one| one.datacenter == datacenter) {
            rows.push(vec![
                one.address.clone(),
                one.rack.clone(),
                one.status.clone(),
                one.state.clone(),
                size(one.load),
                format!("{:.2}%", one.owns),
                one.token.to_string(),
            ]);
        }
        table(out, &rows)?;
    }
    Ok(())
}

pub(super) fn info(out: Out<'_>, value: Value) -> io::Result<()> {
    show_info(out, &parse(value)?, false)
}

pub(super) fn info_with_tokens(out: Out<'_>, value: Value) -> io::Result<()> {
    show_info(out, &parse(value)?, true)
}

fn show_info(out: Out<'_>, info: &NodeInfo, all_tokens: bool) -> io::Result<()> {
    let mut line = |name: &str, value: &dyn Display| writeln!(out, "{name:<23}: {value}");
    line("ID", &info.id)?;
    line("Cluster", &info.cluster_name)?;
    line("Version", &format_args!("{} (Cassandra {})", info.version, info.release_version))?;
    line("Native Transport active", &info.native_transport_active)?;
    line("Load", &size(info.load))?;
    line("Generation No", &info.generation_no)?;
    line("Uptime (seconds)", &info.uptime_seconds)?;
    let memory = format_args!("{} / {}", size(info.memtable_bytes), size(info.memtable_bytes_max));
    line("Memtables", &memory)?;
    line("Block Cache", &format_args!("capacity {}", size(info.block_cache_bytes_max)))?;
    line("Commit Log", &info.commit_log_mode)?;
    line("Pending Compactions", &info.pending_compactions)?;
    line("Data Directory", &info.data_dir)?;
    line("Data Center", &info.data_center)?;
    line("Rack", &info.rack)?;
    if let Some(failure) = &info.failure {
        line("Writes refused because", failure)?;
    }
    for file in &info.damaged_sstables {
        line("Damaged SSTable", &damaged(file))?;
    }
    if all_tokens {
        return info.tokens.iter().try_for_each(|token| line("Token", token));
    }
    let count = info.tokens.len();
    line("Token", &format_args!("(invoke with -T/--tokens to see all {count} tokens)"))
}

fn damaged(file: &DamagedSsTable) -> String {
    let DamagedSsTable { keyspace, table, file, unreadable, why } = file;
    let how = if *unreadable { "unreadable" } else { "in part" };
    format!("{file} of {keyspace}.{table} ({how}): {why}")
}

pub(super) fn setaside(out: Out<'_>, value: Value) -> io::Result<()> {
    let kept: Vec<String> = parse(value)?;
    kept.iter().try_for_each(|path| writeln!(out, "Set aside: {path}"))
}

pub(super) fn tablestats(out: Out<'_>, value: Value) -> io::Result<()> {
    let tables: Vec<TableFigures> = parse(value)?;
    writeln!(out, "Total number of tables: {}\n----------------", tables.len())?;
    let mut keyspaces: Vec<&str> = tables.iter().map(|table| table.keyspace.as_str()).collect();
    keyspaces.sort_unstable();
    keyspaces.dedup();
    for keyspace in keyspaces {
        let of = || tables.iter().filter(|table| table.keyspace == keyspace);
        writeln!(out, "Keyspace : {keyspace}")?;
        let reads: u64 = of().map(|table| table.local_read_count).sum();
        let writes: u64 = of().map(|table| table.local_write_count).sum();
        let flushes: u64 = of().map(|table| table.pending_flushes).sum();
        writeln!(out, "\tRead Count: {reads}\n\tWrite Count: {writes}")?;
        writeln!(out, "\tPending Flushes: {flushes}")?;
        for figures in of() {
            let mut line = |name: &str, value: u64| writeln!(out, "\t\t{name}: {value}");
            line(&format!("Table: {}\n\t\tSSTable count", figures.table), figures.sstable_count)?;
            line("Space used (live)", figures.space_used_live)?;
            line("Space used by snapshots (total)", figures.space_used_by_snapshots_total)?;
            line("Number of partitions (estimate)", figures.number_of_partitions_estimate)?;
            line("Number of rows (estimate)", figures.number_of_rows_estimate)?;
            line("Number of tombstones (estimate)", figures.number_of_tombstones_estimate)?;
            line("Memtable data size", figures.memtable_data_size)?;
            line("Memtable count", figures.memtable_count)?;
            line("Local read count", figures.local_read_count)?;
            line("Local write count", figures.local_write_count)?;
            line("Pending flushes", figures.pending_flushes)?;
            line("Pending compactions", figures.pending_compactions)?;
            for file in &figures.damaged_sstables {
                writeln!(out, "\t\tDamaged SSTable: {}", damaged(file))?;
            }
            writeln!(out)?;
        }
        writeln!(out, "----------------")?;
    }
    Ok(())
}

pub(super) fn snapshot(out: Out<'_>, value: Value) -> io::Result<()> {
    let tag: String = parse(value)?;
    writeln!(out, "Snapshot directory: {tag}")
}

pub(super) fn listsnapshots(out: Out<'_>, value: Value) -> io::Result<()> {
    let snapshots: Vec<ListedSnapshot> = parse(value)?;
    if snapshots.is_empty() {
        return writeln!(out, "There are no snapshots");
    }
    writeln!(out, "Snapshot Details:")?;
    let head = [
        "Snapshot name",
        "Keyspace name",
        "Column family name",
        "True size",
        "Size on disk",
        "Creation time",
    ];
    let mut rows = vec![head.map(str::to_string).to_vec()];
    for snapshot in &snapshots {
        rows.push(vec![
            snapshot.snapshot_name.clone(),
            snapshot.keyspace_name.clone(),
            snapshot.column_family_name.clone(),
            size(snapshot.true_size),
            size(snapshot.size_on_disk),
            snapshot.creation_time.clone(),
        ]);
    }
    table(out, &rows)?;
    let total: u64 = snapshots.iter().map(|snapshot| snapshot.true_size).sum();
    writeln!(out, "\nTotal TrueDiskSpaceUsed: {}", size(total))
}

pub(super) fn clearsnapshot(out: Out<'_>, value: Value) -> io::Result<()> {
    let cleared: Vec<String> = parse(value)?;
    match cleared.as_slice() {
        [] => writeln!(out, "There are no snapshots"),
        cleared => writeln!(out, "Cleared: {}", cleared.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_nodetool() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(107_059), "104.55 KiB");
        assert_eq!(size(5 << 40), "5.00 TiB");
        assert_eq!(size(u64::MAX), "16777216.00 TiB");
    }

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["a".to_string(), "bb".into()], vec!["ccc".into(), "d".into()]];
        let mut out = Vec::new();
        table(&mut out, &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a    bb\nccc  d\n");
    }
}
