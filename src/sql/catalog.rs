//! The catalog: names to objects. A version is immutable and cheap to hold; a change makes a new one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::ids::RelationId;
use weir_common::lateness::WindowLife;
use weir_common::limits::DEPENDENTS_TOLD_MAX;
use weir_common::plan::Facts;
use weir_common::source::{SourceRef, Watermark};
use weir_common::types::{PG_TYPE_KEY, PgType};

/// The schema of everything that users create.
pub const PUBLIC: &str = "public";
/// The schema of the relations about the system.
pub const WEIR: &str = "weir";
/// The name of the one database.
pub const DATABASE: &str = "weir";
/// Schemas that exist, in the order in which an unqualified name is looked up where it matters.
pub const SCHEMAS: [&str; 4] = [PUBLIC, "pg_catalog", WEIR, "information_schema"];

/// A column of a relation.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Its name, case as it stands.
    pub name: String,
    /// Its type.
    pub ty: PgType,
    /// The Arrow type of its values; of a view's `numeric` it says what precision the query gave it.
    pub data_type: DataType,
    /// Whether NULL is refused (NOT NULL, or part of a primary key).
    pub not_null: bool,
    /// The text of its DEFAULT expression.
    pub default: Option<String>,
}

impl ColumnDef {
    /// A column that takes NULL and has no default.
    pub fn new(name: impl Into<String>, ty: PgType) -> Self {
        let data_type = ty.arrow();
        ColumnDef { name: name.into(), ty, data_type, not_null: false, default: None }
    }

    /// The column that a query's output field becomes in a view.
    pub fn of_field(field: &Field) -> Self {
        let (ty, data_type) = (PgType::of_field(field), field.data_type().clone());
        ColumnDef { name: field.name().clone(), ty, data_type, not_null: false, default: None }
    }

    /// The column's field: nullable, with its Postgres type where the Arrow type does not say it.
    pub fn field(&self) -> Field {
        let field = Field::new(&self.name, self.data_type.clone(), true);
        match PgType::of_arrow(&self.data_type) == self.ty {
            true => field,
            false => field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_string(), self.ty.spelling())])),
        }
    }
}

/// What is particular to a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableDef {
    /// The columns of the primary key, as the constraint lists them.
    pub key: Option<Vec<usize>>,
    /// The constraint's name: `<table>_pkey` unless the user gave one.
    pub key_name: Option<String>,
    /// The CHECK constraints, by name: the order in which they are checked.
    pub checks: Vec<CheckDef>,
    /// Its WATERMARK, of which the column and the delay matter.
    pub watermark: Option<Watermark>,
}

/// A CHECK constraint of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckDef {
    /// Its name, unique in the table.
    pub name: String,
    /// The text of its condition.
    pub expr: String,
    /// The columns that the condition names, in the order in which it names them.
    pub columns: Vec<usize>,
}

/// What is particular to a source.
#[derive(Clone, Debug)]
pub struct SourceDef {
    /// Opens readers.
    pub source: SourceRef,
    /// Its WATERMARK.
    pub watermark: Option<Watermark>,
    /// `connector` of the WITH clause.
    pub connector: String,
    /// The whole WITH clause.
    pub options: BTreeMap<String, String>,
    /// FORMAT, upper case; empty where the connector takes none.
    pub format: String,
    /// ENCODE, upper case; empty where the connector takes none.
    pub encode: String,
    /// The options of the encoding.
    pub format_options: BTreeMap<String, String>,
}

/// What is particular to a view: it is planned anew wherever it is read.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewDef {
    /// The query's text.
    pub query: String,
}

/// What is particular to a materialized view.
#[derive(Clone, Debug, PartialEq)]
pub struct MaterializedViewDef {
    /// The query's text.
    pub query: String,
    /// What is known about its rows; downstream views build on it.
    pub facts: Facts,
    /// The columns of the rows that come too late for its windows, if they ever close.
    pub late: Option<Vec<ColumnDef>>,
    /// Whether these tell where in a source they come from; in views of earlier versions they do not.
    pub late_positions: bool,
    /// Whether these can be admitted: enough of closed windows is kept.
    pub admits_late: bool,
    /// The life of the windows that its rows are of, where they show which those are and a watermark closes them.
    pub life: Option<WindowLife>,
}

/// The kinds of relation.
#[derive(Clone, Debug)]
pub enum RelationKind {
    /// Stored rows that users write.
    Table(TableDef),
    /// Rows from outside, not stored.
    Source(SourceDef),
    /// A named query.
    View(ViewDef),
    /// A maintained query.
    MaterializedView(MaterializedViewDef),
    /// The rows that came too late for the windows of this materialized view.
    LateRows(RelationId),
}

impl RelationKind {
    /// The word that users know it by.
    pub fn word(&self) -> &'static str {
        match self {
            RelationKind::Table(_) => "table",
            RelationKind::Source(_) => "source",
            RelationKind::View(_) => "view",
            RelationKind::MaterializedView(_) => "materialized view",
            RelationKind::LateRows(_) => "relation of late rows",
        }
    }
}

/// A relation of schema `public`.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Its number, and OID.
    pub id: RelationId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: RelationKind,
    /// Its columns.
    pub columns: Vec<ColumnDef>,
    /// The statement that created it, as it was typed.
    pub sql: String,
    /// The relations that its query names, directly.
    pub depends_on: Vec<RelationId>,
}

impl Relation {
    /// The relation of its late rows, if it is a materialized view that has any: the number behind its own, and `<name>$late`.
    pub fn late(&self) -> Option<Relation> {
        let RelationKind::MaterializedView(MaterializedViewDef { late: Some(columns), .. }) = &self.kind else { return None };
        Some(Relation {
            id: RelationId(self.id.0 + 1),
            name: late_name(&self.name),
            kind: RelationKind::LateRows(self.id),
            columns: columns.clone(),
            sql: String::new(),
            depends_on: vec![self.id],
        })
    }

    /// The Arrow form of its rows: all fields nullable, Postgres types in the metadata.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(ColumnDef::field).collect::<Vec<_>>()))
    }

    /// The index of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The columns that identify a row, where the engine keeps them unique.
    pub fn key(&self) -> Option<&[usize]> {
        match &self.kind {
            RelationKind::Table(table) => table.key.as_deref(),
            RelationKind::MaterializedView(view) => view.facts.key.as_deref(),
            RelationKind::Source(_) | RelationKind::View(_) | RelationKind::LateRows(_) => None,
        }
    }

    /// The name of the primary key's constraint; `None` without one.
    pub fn key_name(&self) -> Option<String> {
        match &self.kind {
            RelationKind::Table(TableDef { key: Some(_), key_name, .. }) => {
                Some(key_name.clone().unwrap_or_else(|| format!("{}_pkey", self.name)))
            }
            _ => None,
        }
    }

    /// Its CHECK constraints, by name.
    pub fn checks(&self) -> &[CheckDef] {
        match &self.kind {
            RelationKind::Table(table) => &table.checks,
            _ => &[],
        }
    }

    /// Whether it has rows of its own that a commit fixes: tables, materialized views and their late rows.
    pub fn is_stored(&self) -> bool {
        matches!(self.kind, RelationKind::Table(_) | RelationKind::MaterializedView(_) | RelationKind::LateRows(_))
    }
}

/// The name of a materialized view's late rows.
pub fn late_name(view: &str) -> String {
    format!("{view}$late")
}

/// One version of the catalog.
#[derive(Clone)]
pub struct Catalog(Arc<Version>);

struct Version {
    relations: BTreeMap<RelationId, Arc<Relation>>,
    names: HashMap<String, RelationId>,
    next: RelationId,
}

impl Default for Catalog {
    fn default() -> Self {
        Catalog(Arc::new(Version { relations: BTreeMap::new(), names: HashMap::new(), next: RelationId::FIRST_USER }))
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.relations.values().map(|relation| &relation.name)).finish()
    }
}

impl Catalog {
    /// The number that the next relation gets; never one that was in use, also after a drop.
    pub fn next_id(&self) -> RelationId {
        self.0.next
    }

    /// With one relation more, or with another in the place of the one with its number; a materialized view comes with its late rows.
    ///
    /// The caller has checked the name with [`Catalog::check_free`].
    pub fn with(&self, relation: Relation) -> Catalog {
        let mut relations = self.0.relations.clone();
        let mut names = self.0.names.clone();
        let next = RelationId(self.0.next.0.max(relation.id.0 + 1));
        if let Some(before) = relations.get(&relation.id) {
            names.remove(&before.name);
        }
        let (late, mut next) = (relation.late(), next);
        for relation in std::iter::once(relation).chain(late) {
            let taken = names.insert(relation.name.clone(), relation.id);
            debug_assert!(taken.is_none(), "two relations of one name");
            next = RelationId(next.0.max(relation.id.0 + 1));
            relations.insert(relation.id, Arc::new(relation));
        }
        Catalog(Arc::new(Version { relations, names, next }))
    }

    /// The same relations, with a number that none of them will ever get: that of one that was dropped.
    pub fn with_used(&self, id: RelationId) -> Catalog {
        let Version { relations, names, next } = &*self.0;
        let next = RelationId(next.0.max(id.0 + 1));
        Catalog(Arc::new(Version { relations: relations.clone(), names: names.clone(), next }))
    }

    /// Without one relation; what depends on it must be gone already.
    pub fn without(&self, id: RelationId) -> Catalog {
        debug_assert!(
            self.dependents(id).iter().all(|id| self.by_id(*id).is_some_and(|relation| matches!(relation.kind, RelationKind::LateRows(_)))),
            "a relation is dropped after what depends on it"
        );
        let mut relations = self.0.relations.clone();
        let mut names = self.0.names.clone();
        if let Some(relation) = relations.remove(&id) {
            for relation in [relation.late().map(Arc::new), Some(relation)].into_iter().flatten() {
                relations.remove(&relation.id);
                names.remove(&relation.name);
            }
        }
        Catalog(Arc::new(Version { relations, names, next: self.0.next }))
    }

    /// By number.
    pub fn by_id(&self, id: RelationId) -> Option<&Arc<Relation>> {
        self.0.relations.get(&id)
    }

    /// By name, in schema `public`.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Relation>> {
        self.0.names.get(name).and_then(|id| self.0.relations.get(id))
    }

    /// All relations, oldest first: whatever depends on another comes after it.
    pub fn relations(&self) -> impl Iterator<Item = &Arc<Relation>> {
        self.0.relations.values()
    }

    /// By name, or the error that Postgres gives, with the nearest name as a hint.
    pub fn require(&self, name: &str) -> Result<&Arc<Relation>> {
        self.by_name(name).ok_or_else(|| self.missing(name))
    }

    /// The error for a name that nothing has.
    pub fn missing(&self, name: &str) -> Error {
        let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
        match nearest(name, self.0.names.keys().map(String::as_str)) {
            Some(near) => error.with_hint(format!("Perhaps you meant to reference the relation \"{near}\".")),
            None => error,
        }
    }

    /// An error when the name is taken.
    pub fn check_free(&self, name: &str) -> Result<()> {
        match self.by_name(name) {
            None => Ok(()),
            Some(_) => Err(Error::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"))),
        }
    }

    /// Everything that depends on a relation, directly or not, oldest first; reversed, it is the order to drop in.
    pub fn dependents(&self, id: RelationId) -> Vec<RelationId> {
        let mut found = BTreeSet::from([id]);
        // A dependent is always younger than what it depends on, so one pass in order of age finds all.
        for relation in self.relations() {
            if relation.depends_on.iter().any(|on| found.contains(on)) {
                found.insert(relation.id);
            }
        }
        found.remove(&id);
        found.into_iter().collect()
    }

    /// What depends on these relations, directly or not, and is none of them: each with what it was found through, in the
    /// order in which Postgres tells of it.
    pub fn dependents_of(&self, dropped: &[RelationId]) -> Vec<(RelationId, RelationId)> {
        // Postgres walks from each relation to what depends on it, the youngest first, and tells of it backwards.
        fn walk(catalog: &Catalog, of: RelationId, seen: &mut BTreeSet<RelationId>, found: &mut Vec<(RelationId, RelationId)>) {
            let dependents: Vec<RelationId> =
                catalog.relations().filter(|relation| relation.depends_on.contains(&of)).map(|relation| relation.id).collect();
            for dependent in dependents.into_iter().rev() {
                if seen.insert(dependent) {
                    walk(catalog, dependent, seen, found);
                    found.push((dependent, of));
                }
            }
        }
        let mut seen: BTreeSet<RelationId> = BTreeSet::new();
        let mut found = Vec::new();
        for of in dropped {
            walk(self, *of, &mut seen, &mut found);
        }
        let is_late = |id: &RelationId| self.by_id(*id).is_some_and(|relation| matches!(relation.kind, RelationKind::LateRows(_)));
        found.retain(|(dependent, _)| !dropped.contains(dependent) && !is_late(dependent));
        found.reverse();
        found
    }

    /// The error of a DROP of these relations without CASCADE, while others depend on them; `None` when nothing does.
    pub fn dependents_error(&self, dropped: &[RelationId]) -> Option<Error> {
        let what =
            |id: RelationId| self.by_id(id).map_or_else(String::new, |relation| format!("{} {}", relation.kind.word(), relation.name));
        let lines: Vec<String> =
            self.dependents_of(dropped).into_iter().map(|(dependent, on)| format!("{} depends on {}", what(dependent), what(on))).collect();
        if lines.is_empty() {
            return None;
        }
        let message = match dropped {
            [one] => format!("cannot drop {} because other objects depend on it", what(*one)),
            _ => "cannot drop desired object(s) because other objects depend on them".to_string(),
        };
        let error = Error::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
        Some(error.with_detail(told(&lines)).with_hint("Use DROP ... CASCADE to drop the dependent objects too."))
    }
}

/// Lines about dependents for a DETAIL: not more than [`DEPENDENTS_TOLD_MAX`].
pub fn told(lines: &[String]) -> String {
    let mut told = lines[..lines.len().min(DEPENDENTS_TOLD_MAX)].join("\n");
    match lines.len().saturating_sub(DEPENDENTS_TOLD_MAX) {
        0 => {}
        1 => told.push_str("\nand 1 other object"),
        more => told.push_str(&format!("\nand {more} other objects")),
    }
    told
}
