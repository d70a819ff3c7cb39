//! The node's own tables, column by column as Cassandra 5.0 has them, because drivers read them
//! by name and type.
//!
//! One line a table: `keyspace.name (partition key) (clustering key) other columns`. A column is
//! a name and a type; its place in the list is its id, so columns are added at the end only.

/// Own keyspaces and whether they are virtual, in the order of their ids, which start at 1.
pub(super) const KEYSPACES: &[(&str, bool)] = &[
    ("system", false),
    ("system_schema", false),
    ("system_auth", false),
    ("system_distributed", false),
    ("system_traces", false),
    ("system_virtual_schema", true),
    ("system_views", true),
];

/// What `system_schema.tables` and `system_schema.views` have in common.
const OPTIONS: &str = "additional_write_policy text, allow_auto_snapshot boolean, \
    bloom_filter_fp_chance double, caching frozen<map<text,text>>, cdc boolean, comment text, \
    compaction frozen<map<text,text>>, compression frozen<map<text,text>>, \
    crc_check_chance double, dclocal_read_repair_chance double, default_time_to_live int, \
    extensions frozen<map<text,blob>>, gc_grace_seconds int, id uuid, \
    incremental_backups boolean, max_index_interval int, memtable text, \
    memtable_flush_period_in_ms int, min_index_interval int, read_repair text, \
    read_repair_chance double, speculative_retry text";

/// What tables about the latencies of tables have in common.
const LATENCY: &str = "50th_ms double, 99th_ms double, count bigint, max_ms double, \
    per_second double";

/// Stands for [`LATENCY`] in a definition.
const LATENCY_MARK: &str = "$LATENCY";

/// Stands for [`OPTIONS`] in a definition.
const OPTIONS_MARK: &str = "$OPTIONS";

/// The tables, in the order of their ids, which start at 1: add at the end only.
const TABLES: &[&str] = &[
    "system.local (key text) () bootstrapped text, broadcast_address inet, broadcast_port int, \
     cluster_name text, cql_version text, data_center text, gossip_generation int, host_id uuid, \
     listen_address inet, listen_port int, native_protocol_version text, partitioner text, \
     rack text, release_version text, rpc_address inet, rpc_port int, schema_version uuid, \
     tokens set<text>, truncated_at map<uuid,blob>",
    "system.peers (peer inet) () data_center text, host_id uuid, preferred_ip inet, rack text, \
     release_version text, rpc_address inet, schema_version uuid, tokens set<text>",
    "system.peers_v2 (peer inet) (peer_port int) data_center text, host_id uuid, \
     native_address inet, native_port int, preferred_ip inet, preferred_port int, rack text, \
     release_version text, schema_version uuid, tokens set<text>",
    "system.peer_events (peer inet) () hints_dropped map<uuid,int>",
    "system.peer_events_v2 (peer inet) (peer_port int) hints_dropped map<uuid,int>",
    "system.IndexInfo (table_name text) (index_name text) value blob",
    "system.available_ranges_v2 (keyspace_name text) () full_ranges set<blob>, \
     transient_ranges set<blob>",
    "system.batches (id timeuuid) () mutations list<blob>, version int",
    "system.built_views (keyspace_name text) (view_name text) status_replicated boolean",
    "system.compaction_history (id uuid) () bytes_in bigint, bytes_out bigint, \
     columnfamily_name text, compacted_at timestamp, compaction_properties \
     frozen<map<text,text>>, keyspace_name text, rows_merged map<int,bigint>",
    "system.paxos (row_key blob) (cf_id uuid) in_progress_ballot timeuuid, \
     in_progress_read_ballot timeuuid, most_recent_commit blob, most_recent_commit_at timeuuid, \
     most_recent_commit_version int, proposal blob, proposal_ballot timeuuid, \
     proposal_version int",
    "system.prepared_statements (prepared_id blob) () logged_keyspace text, query_string text",
    "system.repairs (parent_id timeuuid) () cfids set<uuid>, coordinator inet, \
     coordinator_port int, last_update timestamp, participants set<inet>, \
     participants_wp set<text>, ranges set<blob>, repaired_at timestamp, started_at timestamp, \
     state int",
    "system.size_estimates (keyspace_name text) (table_name text, range_start text, \
     range_end text) mean_partition_size bigint, partitions_count bigint",
    "system.sstable_activity_v2 (keyspace_name text, table_name text, id text) () \
     rate_120m double, rate_15m double",
    "system.table_estimates (keyspace_name text) (table_name text, range_type text, \
     range_start text, range_end text) mean_partition_size bigint, partitions_count bigint",
    "system.top_partitions (keyspace_name text, table_name text) (top_type text) \
     last_update timestamp, top frozen<list<frozen<tuple<text,bigint>>>>",
    "system.transferred_ranges_v2 (operation text, keyspace_name text) (peer inet, peer_port int) \
     ranges set<blob>",
    "system.view_builds_in_progress (keyspace_name text) (view_name text, start_token text, \
     end_token text) keys_built bigint, last_token text",
    "system_schema.keyspaces (keyspace_name text) () durable_writes boolean, \
     replication frozen<map<text,text>>",
    "system_schema.tables (keyspace_name text) (table_name text) flags frozen<set<text>>, \
     $OPTIONS",
    "system_schema.columns (keyspace_name text) (table_name text, column_name text) \
     clustering_order text, column_name_bytes blob, kind text, position int, type text",
    "system_schema.column_masks (keyspace_name text) (table_name text, column_name text) \
     function_argument_nulls frozen<list<boolean>>, function_argument_types frozen<list<text>>, \
     function_argument_values frozen<list<text>>, function_keyspace text, function_name text",
    "system_schema.dropped_columns (keyspace_name text) (table_name text, column_name text) \
     dropped_time timestamp, kind text, type text",
    "system_schema.triggers (keyspace_name text) (table_name text, trigger_name text) \
     options frozen<map<text,text>>",
    "system_schema.views (keyspace_name text) (view_name text) base_table_id uuid, \
     base_table_name text, include_all_columns boolean, version int, where_clause text, $OPTIONS",
    "system_schema.indexes (keyspace_name text) (table_name text, index_name text) kind text, \
     options frozen<map<text,text>>",
    "system_schema.types (keyspace_name text) (type_name text) field_names frozen<list<text>>, \
     field_types frozen<list<text>>",
    "system_schema.functions (keyspace_name text) (function_name text, argument_types \
     frozen<list<text>>) argument_names frozen<list<text>>, body text, \
     called_on_null_input boolean, language text, return_type text",
    "system_schema.aggregates (keyspace_name text) (aggregate_name text, argument_types \
     frozen<list<text>>) final_func text, initcond text, return_type text, state_func text, \
     state_type text",
    "system_auth.roles (role text) () can_login boolean, is_superuser boolean, \
     member_of set<text>, salted_hash text",
    "system_auth.role_members (role text) (member text)",
    "system_auth.role_permissions (role text) (resource text) permissions set<text>",
    "system_auth.network_permissions (role text) () dcs frozen<set<text>>",
    "system_distributed.view_build_status (keyspace_name text, view_name text) (host_id uuid) \
     status text",
    "system_traces.sessions (session_id uuid) () client inet, command text, coordinator inet, \
     coordinator_port int, duration int, parameters map<text,text>, request text, \
     started_at timestamp",
    "system_traces.events (session_id uuid) (event_id timeuuid) activity text, source inet, \
     source_elapsed int, source_port int, thread text",
    "system_virtual_schema.keyspaces (keyspace_name text) ()",
    "system_virtual_schema.tables (keyspace_name text) (table_name text) comment text",
    "system_virtual_schema.columns (keyspace_name text) (table_name text, column_name text) \
     clustering_order text, column_name_bytes blob, kind text, position int, type text",
    "system_views.clients (address inet) (port int) connection_stage text, driver_name text, \
     driver_version text, hostname text, protocol_version int, request_count bigint, \
     ssl_cipher_suite text, ssl_enabled boolean, ssl_protocol text, username text, \
     client_options frozen<map<text,text>>, keyspace_name text",
    "system_views.settings (name text) () value text",
    "system_views.system_properties (name text) () value text",
    "system_views.caches (name text) () capacity_bytes bigint, entry_count int, hit_count bigint, \
     hit_ratio double, recent_hit_rate_per_second bigint, recent_request_rate_per_second bigint, \
     request_count bigint, size_bytes bigint",
    "system_views.disk_usage (keyspace_name text, table_name text) () mebibytes bigint",
    "system_views.helenus (name text) () value text",
    "system_views.thread_pools (name text) () active_tasks int, active_tasks_limit int, \
     blocked_tasks bigint, blocked_tasks_all_time bigint, completed_tasks bigint, \
     pending_tasks int",
    "system_views.sstable_tasks (keyspace_name text) (table_name text, task_id timeuuid) \
     completion_ratio double, kind text, progress bigint, sstables int, target_directory text, \
     total bigint, unit text",
    "system_views.queries (thread_id text) () duration_micros bigint, task text",
    "system_views.max_partition_size (keyspace_name text, table_name text) () mebibytes bigint",
    "system_views.local_read_latency (keyspace_name text, table_name text) () $LATENCY",
    "system_views.local_scan_latency (keyspace_name text, table_name text) () $LATENCY",
    "system_views.local_write_latency (keyspace_name text, table_name text) () $LATENCY",
    "system_views.coordinator_read_latency (keyspace_name text, table_name text) () $LATENCY",
    "system_views.coordinator_scan_latency (keyspace_name text, table_name text) () $LATENCY",
    "system_views.coordinator_write_latency (keyspace_name text, table_name text) () $LATENCY",
];

/// One table, taken apart.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) keyspace: &'static str,
    pub(super) name: &'static str,
    pub(super) partition_key: Vec<(String, String)>,
    pub(super) clustering: Vec<(String, String)>,
    pub(super) others: Vec<(String, String)>,
}

/// All tables, in the order of their ids.
pub(super) fn all() -> impl Iterator<Item = Definition> {
    TABLES.iter().filter_map(|line| parse(line))
}

fn parse(line: &'static str) -> Option<Definition> {
    let (name, rest) = line.split_once(" (")?;
    let (keyspace, name) = name.split_once('.')?;
    let (partition_key, rest) = rest.split_once(") (")?;
    let (clustering, others) = rest.split_once(')')?;
    Some(Definition {
        keyspace,
        name,
        partition_key: columns(partition_key),
        clustering: columns(clustering),
        others: columns(&others.replace(OPTIONS_MARK, OPTIONS).replace(LATENCY_MARK, LATENCY)),
    })
}

/// Splits at the commas that stand outside angle brackets.
fn columns(list: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut depth = 0;
    let mut start = 0;
    for (at, c) in list.char_indices().chain([(list.len(), ',')]) {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ',' if depth == 0 => {
                if let Some((name, ty)) =
                    list.get(start..at).and_then(|column| column.trim().split_once(' '))
                {
                    found.push((name.to_string(), ty.trim().to_string()));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_table() {
        let all: Vec<_> = all().collect();
        assert_eq!(all.len(), TABLES.len());
        for table in &all {
            assert!(
                KEYSPACES.iter().any(|(name, _)| *name == table.keyspace),
                "{}",
                table.keyspace
            );
            assert!(!table.partition_key.is_empty(), "{}", table.name);
        }
        let tables = all.iter().find(|t| t.name == "tables" && t.keyspace == "system_schema");
        assert_eq!(tables.unwrap().others.len(), 23);
    }
}
