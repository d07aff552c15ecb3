//! What a statement is told about the catalog and its session, and the look-ups on it that functions share.

use std::fmt;
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::types::PgType;

use super::relations;
use crate::catalog::{self, Catalog};

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
        };
        let primary_key = match &relation.kind {
            From::Table(table) => table.key.as_ref().map(|columns| PrimaryKey {
                name: table.key_name.clone().unwrap_or_else(|| format!("{}_pkey", relation.name)),
                columns: columns.clone(),
            }),
            _ => None,
        };
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

/// Changes a setting for `set_config(name, value, is_local)` and returns its new value.
#[derive(Clone)]
pub struct SetConfig(pub Arc<dyn Fn(&str, &str, bool) -> Result<String> + Send + Sync>);

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
    /// When the session started, microseconds since 1970.
    pub session_started: i64,
    /// When the statement started, microseconds since 1970.
    pub now: i64,
    /// The last epoch that was committed, for `txid_current()`.
    pub commit: u64,
    /// What `set_config` calls; without it, it is refused.
    pub set_config: Option<SetConfig>,
}

/// A relation that `regclass` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub oid: i64,
    pub schema: String,
    pub name: String,
}

impl SessionFacts {
    /// The relation with this OID, when it is one of the users'.
    pub(super) fn relation(&self, oid: i64) -> Option<&RelationInfo> {
        self.catalog.relations.iter().find(|relation| relation.oid as i64 == oid)
    }

    /// The relation whose primary key has this index.
    pub(super) fn indexed(&self, index: i64) -> Option<(&RelationInfo, &PrimaryKey)> {
        self.catalog.relations.iter().find_map(|relation| {
            let key = relation.primary_key.as_ref()?;
            (index_oid(relation.oid) as i64 == index).then_some((relation, key))
        })
    }

    /// Any relation, index or system relation by OID.
    pub(super) fn named(&self, oid: i64) -> Option<Named> {
        if let Some(relation) = self.relation(oid) {
            return Some(Named { oid, schema: relation.schema.clone(), name: relation.name.clone() });
        }
        if let Some((relation, key)) = self.indexed(oid) {
            return Some(Named { oid, schema: relation.schema.clone(), name: key.name.clone() });
        }
        relations::by_oid(oid).map(|system| Named { oid, schema: system.schema.to_string(), name: system.name.to_string() })
    }

    /// The OID of a relation or index in one schema.
    pub(super) fn oid_in(&self, schema: &str, name: &str) -> Option<i64> {
        for relation in self.catalog.relations.iter().filter(|relation| relation.schema == schema) {
            if relation.name == name {
                return Some(relation.oid as i64);
            }
            if relation.primary_key.as_ref().is_some_and(|key| key.name == name) {
                return Some(index_oid(relation.oid) as i64);
            }
        }
        relations::find(schema, name).map(|system| system.oid)
    }

    /// The schemas an unqualified name is looked up in, in order.
    pub(super) fn lookup_path(&self) -> impl Iterator<Item = &str> {
        let listed = self.search_path.iter().any(|schema| schema == "pg_catalog");
        (!listed).then_some("pg_catalog").into_iter().chain(self.effective_path())
    }

    /// The search path without schemas that do not exist.
    pub(super) fn effective_path(&self) -> impl Iterator<Item = &str> {
        self.search_path.iter().map(String::as_str).filter(|schema| SCHEMAS.iter().any(|(_, name)| name == schema))
    }

    /// Whether an unqualified name reaches the relation with this OID; `None` when there is none.
    pub(super) fn is_visible(&self, oid: i64) -> Option<bool> {
        let named = self.named(oid)?;
        Some(self.lookup(&named.name) == Some(oid))
    }

    /// The OID that an unqualified name means.
    pub(super) fn lookup(&self, name: &str) -> Option<i64> {
        self.lookup_path().find_map(|schema| self.oid_in(schema, name))
    }

    /// The OID that the text of a `regclass` means: a number, a name, or a schema and a name.
    pub(super) fn regclass(&self, text: &str) -> Result<Option<i64>> {
        if text == "-" {
            return Ok(Some(0));
        }
        if let Ok(oid) = text.trim().parse::<u32>() {
            return Ok(Some(oid as i64));
        }
        let parts = identifiers(text)?;
        Ok(match parts.as_slice() {
            [name] => self.lookup(name),
            [schema, name] => self.oid_in(schema, name),
            [database, schema, name] if *database == self.database => self.oid_in(schema, name),
            _ => None,
        })
    }

    /// The OID that the text of a `regclass` means, or the error of a cast.
    pub(super) fn require_regclass(&self, text: &str) -> Result<i64> {
        self.regclass(text)?.ok_or_else(|| {
            let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{text}\" does not exist"));
            match nearest(text, self.catalog.relations.iter().map(|relation| relation.name.as_str())) {
                Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
                None => error,
            }
        })
    }

    /// How `regclass` shows an OID: qualified when the name alone would not find it, the number when nothing has it.
    pub(super) fn regclass_name(&self, oid: i64) -> String {
        match self.named(oid) {
            None if oid == 0 => "-".to_string(),
            None => oid.to_string(),
            Some(named) if self.lookup(&named.name) == Some(oid) => quote_ident(&named.name),
            Some(named) => format!("{}.{}", quote_ident(&named.schema), quote_ident(&named.name)),
        }
    }

    /// The setting with this name, whatever its case.
    pub(super) fn setting(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
    }

    /// The roles, with their OIDs.
    pub(super) fn roles(&self) -> Vec<(i64, &str)> {
        let mut roles = vec![(OWNER, OWNER_NAME)];
        if self.user != OWNER_NAME && !self.user.is_empty() {
            roles.push((GUEST, &self.user));
        }
        roles
    }

    /// The connectors in use, each with its OID as a foreign server.
    pub(super) fn servers(&self) -> Vec<(i64, &str)> {
        let mut names: Vec<&str> =
            self.catalog.relations.iter().filter_map(|relation| relation.foreign.as_ref()).map(|foreign| foreign.server.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().enumerate().map(|(at, name)| (SERVERS + at as i64, name)).collect()
    }
}

/// The OID of a schema.
pub(super) fn schema_oid(name: &str) -> i64 {
    SCHEMAS.iter().find(|(_, schema)| *schema == name).map_or(0, |(oid, _)| *oid)
}

/// An identifier as SQL needs it written: in quotes unless it is a plain lower-case word.
pub(super) fn quote_ident(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&format!(" {name} "));
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Keywords that are no name of a column, a table or a function without quotes.
const RESERVED: &str = " \
     all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
     cast char character check coalesce collate collation column concurrently constraint create cross \
     current_catalog current_date current_role current_schema current_time current_timestamp current_user dec \
     decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign \
     freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect \
     interval into is isnull join lateral leading least left like limit localtime localtimestamp national natural \
     nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay \
     placing position precision primary real references returning right row select session_user setof similar \
     smallint some substring symmetric table tablesample then time timestamp to trailing treat trim true union \
     unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement \
     xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable \
     ";

/// The parts of a possibly qualified, possibly quoted name, folded as Postgres folds them.
pub(super) fn identifiers(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::new(SqlState("42602"), "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((_, '"')) if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                        chars.next();
                        part.push('"');
                    }
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => part.push(c),
                    None => return Err(invalid()),
                }
            };
            (part, quoted[end..].trim_start())
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].trim().to_lowercase(), &rest[end..])
        };
        if part.is_empty() {
            return Err(invalid());
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}
