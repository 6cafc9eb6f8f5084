-- db_postgres.lua - what is PostgreSQL's own (10 and later): its transactions, and the
-- queries that assertions ask.  Names are parameters, or quoted.
local format, next, sort = string.format, next, table.sort

local postgres = {
  name = "postgres", title = "PostgreSQL",
  arrays = true,
  -- Once a transaction has its snapshot, the server refuses to make it one that writes.
  begin = { read = "BEGIN READ ONLY; SELECT 1", write = "BEGIN READ WRITE", rolled_back = "BEGIN READ WRITE" },
  -- Which transaction this is: in numbers, so that no setting changes how it looks.
  identity = "select pg_catalog.pg_backend_pid(), "
    .. "(extract(epoch from pg_catalog.transaction_timestamp()) * 1000000)::bigint",
}

function postgres.placeholder(n) return "$" .. n end
function postgres.as_text(expression) return "cast(" .. expression .. " as text)" end

local TABLE = [[
select c.oid::text as oid, n.nspname::text as schema, c.relname::text as name
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relname::text = $1::text and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and (n.nspname::text = $2::text or $2::text is null and pg_catalog.pg_table_is_visible(c.oid))
order by pg_catalog.pg_table_is_visible(c.oid) desc limit 1]]

local COLUMNS = [[
select a.attname::text as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type
from pg_catalog.pg_attribute a
where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped order by a.attnum]]

-- { schema, name, columns = { { name, type }, … } } of a table or view, or nil.
function postgres.table(ask, schema, name)
  local found = ask(TABLE, name, schema)[1]
  if not found then return nil end
  return { schema = found.schema, name = found.name, columns = ask(COLUMNS, found.oid) }
end

-- What others than the superuser's reserve may use.  Of sessions of other roles an
-- ordinary one sees no more than that they are there.
local CONNECTIONS = [[
select pg_catalog.current_setting('max_connections')::int
    - pg_catalog.current_setting('superuser_reserved_connections')::int
    - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) as most,
  (select count(*) from pg_catalog.pg_stat_activity
    where backend_type = 'client backend' or backend_type is null and usesysid is not null
      and datid is not null) as used]]

function postgres.connections(ask)
  local row = ask(CONNECTIONS)[1]
  return row.used, row.most
end

local OLDEST = [[
select pid, usename::text as "user", datname::text as database, state,
  extract(epoch from clock_timestamp() - xact_start)::float8 as age
from pg_catalog.pg_stat_activity
where backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid() and xact_start is not null
order by xact_start limit 10]]

local PREPARED = [[
select gid as prepared, owner::text as "user", database::text as database,
  extract(epoch from clock_timestamp() - prepared)::float8 as age
from pg_catalog.pg_prepared_xacts order by prepared limit 10]]

local HIDDEN = [[
select count(*) filter (where query = '<insufficient privilege>') as n,
  count(*) filter (where state = 'disabled') as untracked
from pg_catalog.pg_stat_activity
where usesysid is not null and datid is not null and pid <> pg_catalog.pg_backend_pid()]]

-- The oldest transactions, the oldest first; how many sessions the role cannot see, and how many nobody.
function postgres.transactions(ask)
  local list = ask(OLDEST)
  for _, row in next, ask(PREPARED) do list[#list + 1] = row end
  sort(list, function(a, b) return a.age > b.age end)
  local hidden = ask(HIDDEN)[1]
  return list, hidden.n, hidden.untracked
end

local INDEXES = [[
select n.nspname::text as schema, t.relname::text as "table", i.relname::text as name,
  x.indisvalid as valid, x.indisready as ready, pg_catalog.pg_is_in_recovery() as standby, %s
from pg_catalog.pg_index x
  join pg_catalog.pg_class i on i.oid = x.indexrelid
  join pg_catalog.pg_class t on t.oid = x.indrelid
  join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where ($1::text is null or i.relname::text = $1::text) and ($2::text is null or t.relname::text = $2::text)
  and ($3::text is null or n.nspname::text = $3::text) and (not (x.indisvalid and x.indisready) or %s)
order by 1, 2, 3 limit 1000]]

-- A build shows the one index it is at, and others of its table may wait for it.
local BUILDING = [[
  exists (select from pg_catalog.pg_stat_progress_create_index p
    where p.index_relid = x.indexrelid or p.relid = x.indrelid) as building,
  exists (select from pg_catalog.pg_stat_progress_create_index p
    where p.datname = pg_catalog.current_database() and p.relid is null) as hidden]]

-- Indexes that are not valid; of a name or a table that was asked for, all.
function postgres.indexes(ask, s, wanted)
  local building = s.raw:info().version_number >= 120000 and BUILDING or "false as building, false as hidden"
  local all = (wanted.index or wanted.table) and "true" or "false"
  return ask(format(INDEXES, building, all), wanted.index, wanted.table, wanted.schema)
end

postgres.schema = [[select from pg_catalog.pg_namespace where nspname::text = $1::text]]

postgres.role = [[select pg_catalog.pg_is_in_recovery() as standby, current_user::text as "user"]]

-- Of a standby.  Whether the receiver runs is seen by everybody, what it does is not.
postgres.standby = [[
select (select count(*) from pg_catalog.pg_stat_wal_receiver) as receivers,
  (select status from pg_catalog.pg_stat_wal_receiver) as status,
  pg_catalog.pg_is_wal_replay_paused() as paused,
  pg_catalog.pg_last_wal_receive_lsn()::text as received,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(),
    pg_catalog.pg_last_wal_replay_lsn())::bigint as behind,
  extract(epoch from clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 as age]]

postgres.replayed = [[select pg_catalog.pg_last_wal_replay_lsn() >= $1::pg_lsn as done]]

-- Of a primary.  A lag is NULL where nothing is written: then there is none.  What only takes
-- the WAL away (a backup, pg_receivewal) streams like a replica, but replays nothing; what reads
-- a logical slot is no copy of the server.
postgres.replicas = [[
select pid, application_name as name, host(client_addr) as address, state, sync_state,
  replay_lsn is not null and not exists (select from pg_catalog.pg_replication_slots s
    where s.active_pid = pid and s.slot_type = 'logical') as replays,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::bigint as behind,
  extract(epoch from replay_lag)::float8 as lag
from pg_catalog.pg_stat_replication order by application_name, pid]]

postgres.slots = [[
select slot_name::text as name, slot_type as type,
  pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint as held
from pg_catalog.pg_replication_slots where not active order by slot_name]]

return postgres
