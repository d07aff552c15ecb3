//! Finding objects by OID and by name: `regclass`, visibility, settings, roles.

use weir_common::error::{Error, Result, SqlState, nearest};

use super::facts::{GUEST, OWNER, OWNER_NAME, PrimaryKey, RelationInfo, SCHEMAS, SERVERS, SessionFacts, Setting, index_oid};
use super::identifier::{identifiers, quote_ident};
use super::relations;

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
                Some(near) => error.with_hint(format!("Perhaps you meant to reference the relation \"{near}\".")),
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
