//! What a statement is told about the catalog and its session.

use std::fmt;
use std::sync::Arc;

use weir_common::error::Result;
use weir_common::types::PgType;

use crate::catalog::{self, Catalog};
use crate::pg_catalog::sessions::{CursorInfo, PreparedInfo, SendSignal, SessionInfo};

/// The OID of the schema `pg_catalog`.
pub(super) const PG_CATALOG: i64 = 11;
/// The OID of the schema `public`.
pub(super) const PUBLIC: i64 = 2200;
/// The OID of the schema `information_schema`.
pub(super) const INFORMATION_SCHEMA: i64 = 13000;
/// The OID of the schema `weir`.
pub(super) const WEIR: i64 = 13001;
/// The OID of the one database.
pub(super) const DATABASE: i64 = 5;
/// The OID of the role that owns everything.
pub(super) const OWNER: i64 = 10;
/// The name of the role that owns everything.
pub(super) const OWNER_NAME: &str = "weir";
/// The OID of the session's role when it is another one.
pub(super) const GUEST: i64 = 16383;
/// The OID of the one foreign-data wrapper, the owner of all connectors.
pub(super) const WRAPPER: i64 = 13010;
/// The first OID of the foreign servers, one for each connector in use.
pub(super) const SERVERS: i64 = 13020;

/// Schemas by OID, oldest first.
pub(super) const SCHEMAS: [(i64, &str); 4] =
    [(PG_CATALOG, "pg_catalog"), (PUBLIC, catalog::PUBLIC), (INFORMATION_SCHEMA, "information_schema"), (WEIR, catalog::WEIR)];

/// What kind of relation Postgres would call it: `pg_class.relkind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `r`, a table
    Table,
    /// `v`, a view
    View,
    /// `m`, a materialized view
    MaterializedView,
    /// `f`, a foreign table: what a source looks like to Postgres clients
    Source,
}

impl Kind {
    /// The letter in `pg_class.relkind`.
    pub fn letter(self) -> &'static str {
        match self {
            Kind::Table => "r",
            Kind::View => "v",
            Kind::MaterializedView => "m",
            Kind::Source => "f",
        }
    }
}

/// A column as clients see it.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type with modifier.
    pub ty: PgType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The text of its DEFAULT.
    pub default: Option<String>,
    /// Its COMMENT.
    pub comment: Option<String>,
}

/// A primary key.
#[derive(Clone, Debug)]
pub struct PrimaryKey {
    /// The constraint's name, and its index's.
    pub name: String,
    /// Positions of its columns, from 0.
    pub columns: Vec<usize>,
}

/// A CHECK constraint.
#[derive(Clone, Debug)]
pub struct Check {
    /// The constraint's name.
    pub name: String,
    /// The text of its condition.
    pub expr: String,
    /// Positions of the columns that the condition names, from 0.
    pub columns: Vec<usize>,
}

/// Where a source's rows come from.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The connector, shown as the foreign server.
    pub server: String,
    /// The options of the WITH clause.
    pub options: Vec<(String, String)>,
}

/// A relation as clients see it.
#[derive(Clone, Debug)]
pub struct RelationInfo {
    /// Its OID.
    pub oid: u32,
    /// The schema it is in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its columns.
    pub columns: Vec<ColumnInfo>,
    /// Its primary key.
    pub primary_key: Option<PrimaryKey>,
    /// Its CHECK constraints, by name.
    pub checks: Vec<Check>,
    /// The query of a view or materialized view.
    pub definition: Option<String>,
    /// Its COMMENT.
    pub comment: Option<String>,
    /// Where a source's rows come from.
    pub foreign: Option<Foreign>,
    /// The OIDs of the relations that its query names.
    pub depends_on: Vec<u32>,
    /// The memory or disk that its rows take, as far as is known.
    pub bytes: u64,
}

/// The relations that clients see besides the system's own.
#[derive(Clone, Debug, Default)]
pub struct SystemCatalog {
    /// Oldest first.
    pub relations: Vec<RelationInfo>,
}

impl From<&Catalog> for SystemCatalog {
    fn from(catalog: &Catalog) -> Self {
        SystemCatalog { relations: catalog.relations().map(|relation| RelationInfo::from(relation.as_ref())).collect() }
    }
}

impl From<&catalog::Relation> for RelationInfo {
    fn from(relation: &catalog::Relation) -> Self {
        use catalog::RelationKind as From;
        let (kind, definition) = match &relation.kind {
            From::Table(_) => (Kind::Table, None),
            From::Source(_) => (Kind::Source, None),
            From::View(view) => (Kind::View, Some(view.query.clone())),
            From::MaterializedView(view) => (Kind::MaterializedView, Some(view.query.clone())),
            From::LateRows(_) => (Kind::Table, None),
        };
        let key = match &relation.kind {
            From::Table(table) => table.key.clone(),
            _ => None,
        };
        let primary_key = relation.key_name().zip(key).map(|(name, columns)| PrimaryKey { name, columns });
        let check =
            |check: &catalog::CheckDef| Check { name: check.name.clone(), expr: check.expr.clone(), columns: check.columns.clone() };
        let checks = relation.checks().iter().map(check).collect();
        let foreign = match &relation.kind {
            From::Source(source) => Some(Foreign {
                server: source.connector.clone(),
                options: source.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            }),
            _ => None,
        };
        RelationInfo {
            oid: relation.id.0,
            schema: catalog::PUBLIC.to_string(),
            name: relation.name.clone(),
            kind,
            columns: relation
                .columns
                .iter()
                .map(|column| ColumnInfo {
                    name: column.name.clone(),
                    ty: column.ty.clone(),
                    not_null: column.not_null,
                    default: column.default.clone(),
                    comment: None,
                })
                .collect(),
            primary_key,
            checks,
            definition,
            comment: None,
            foreign,
            depends_on: relation.depends_on.iter().map(|id| id.0).collect(),
            bytes: 0,
        }
    }
}

/// The OID of the index behind a table's primary key: the table's own with bit 30 set, so it never has to be stored.
pub fn index_oid(relation: u32) -> u32 {
    relation | 0x4000_0000
}

/// The OID of a table's primary key constraint.
pub(super) fn constraint_oid(relation: u32) -> i64 {
    (relation | 0x5000_0000) as i64
}

/// The OID of a table's n-th CHECK constraint, from 0: beyond all of [`constraint_oid`]'s.
pub(super) fn check_oid(relation: u32, number: usize) -> i64 {
    0x6000_0000 + ((relation as i64 * 1601 + number as i64) & 0x1FFF_FFFF)
}

/// The OID of a column's default: numbers of `pg_attrdef` stand beside nothing else, so they need only differ among themselves.
pub(super) fn default_oid(relation: u32, attnum: usize) -> i64 {
    0x6000_0000 + ((relation as i64 * 1601 + attnum as i64) & 0x1FFF_FFFF)
}

/// The OID of the rule behind a view.
pub(super) fn rule_oid(relation: u32) -> i64 {
    (relation | 0x2000_0000) as i64
}

/// A setting as `pg_settings` and `current_setting` show it.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// Its name, as SHOW ALL spells it.
    pub name: String,
    /// Its value now.
    pub value: String,
    /// Its value after RESET.
    pub default: String,
    /// What it does, in one sentence.
    pub description: String,
    /// `user`, `internal`, `backend` ...: who may change it, and when.
    pub context: &'static str,
    /// `bool`, `string`, `integer`, `real` or `enum`.
    pub kind: &'static str,
    /// `ms`, `kB` ... for numbers with one.
    pub unit: Option<&'static str>,
    /// The words an `enum` takes.
    pub values: Vec<&'static str>,
}

/// What [`SetConfig`] calls: name, value and whether the change is for the transaction alone.
pub type SetConfigFn = dyn Fn(&str, &str, bool) -> Result<String> + Send + Sync;

/// Changes a setting for `set_config(name, value, is_local)` and returns its new value.
#[derive(Clone)]
pub struct SetConfig(pub Arc<SetConfigFn>);

impl fmt::Debug for SetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetConfig")
    }
}

/// What one statement is told.
#[derive(Clone, Debug, Default)]
pub struct SessionFacts {
    /// The relations, as the statement sees them.
    pub catalog: SystemCatalog,
    /// The session's user.
    pub user: String,
    /// The session's database.
    pub database: String,
    /// The number that a cancel request names.
    pub pid: i32,
    /// The client's address and port.
    pub client: Option<std::net::SocketAddr>,
    /// The schemas that unqualified names are looked up in, `pg_catalog` left out.
    pub search_path: Vec<String>,
    /// Every setting, ordered by name.
    pub settings: Vec<Setting>,
    /// When the server started, microseconds since 1970.
    pub server_started: i64,
    /// When the statement started, microseconds since 1970.
    pub now: i64,
    /// The last epoch that was committed, for `txid_current()`.
    pub commit: u64,
    /// What `set_config` calls; without it, it is refused.
    pub set_config: Option<SetConfig>,
    /// Everybody's sessions, by number.
    pub sessions: Vec<SessionInfo>,
    /// The session's prepared statements that have a name, by name.
    pub prepared: Vec<PreparedInfo>,
    /// The session's cursors, by name.
    pub cursors: Vec<CursorInfo>,
    /// What `pg_cancel_backend` calls; without it, it is refused.
    pub send_signal: Option<SendSignal>,
}

/// The OID of a schema.
pub(super) fn schema_oid(name: &str) -> i64 {
    SCHEMAS.iter().find(|(_, schema)| *schema == name).map_or(0, |(oid, _)| *oid)
}
