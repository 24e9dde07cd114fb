//! Metadata contexts: what a client's queries find, and what it has selected (spec, *Metadata querying*).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::handshake::MetaContext;
use crate::text::Escaped;

/// The queries of one option, kept while the export is looked up. All in one string, because a client may send
/// thousands: no query has a NUL in it, so NULs separate them.
#[derive(Debug)]
pub(super) struct Queries(String);

impl Queries {
    /// Keeps the queries; an error says in words which of them is none. "it MUST start with a namespace and a
    /// colon" (spec, `NBD_OPT_LIST_META_CONTEXT`), and a namespace is not empty (*Metadata querying*).
    pub(super) fn keep(queries: &[&str]) -> Result<Self, String> {
        match queries.iter().find(|query| namespace(query).is_none()) {
            Some(query) => Err(format!("the query \"{}\" does not begin with a namespace and a colon", Escaped(query))),
            None => Ok(Self(queries.join("\0"))),
        }
    }

    /// Whether a context is to be listed: all are without a query, and `namespace:` finds all of that namespace.
    pub(super) fn lists(&self, name: &str) -> bool {
        let finds = |query: &str| {
            let whole_namespace = query.split_once(':').is_some_and(|(_, leaf)| leaf.is_empty());
            query == name || whole_namespace && name.starts_with(query)
        };
        self.0.is_empty() || self.0.split('\0').any(finds)
    }

    /// Whether a context is to be selected: by its whole name only. The empty leaf "SHOULD NOT select any contexts"
    /// (spec, *Metadata querying*).
    pub(super) fn selects(&self, name: &str) -> bool {
        self.0.split('\0').any(|query| query == name)
    }
}

/// What stands before the first colon, unless that is nothing.
pub(super) fn namespace(name: &str) -> Option<&str> {
    name.split_once(':').map(|(namespace, _)| namespace).filter(|namespace| !namespace.is_empty())
}

/// What the last `SET_META_CONTEXT` selected, and for which export.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) export: String,
    pub(super) contexts: Vec<MetaContext>,
}

impl Selection {
    /// What counts if the transmission phase begins with this export: nothing, if another one was named with the
    /// selection (spec, `NBD_OPT_SET_META_CONTEXT`).
    pub(super) fn of_export(&self, export: &str) -> &[MetaContext] {
        if self.export == export { &self.contexts } else { &[] }
    }
}
