//! What all connections of a server share, and never change.

use nbd_proto::error::{Field, Refused};
use nbd_proto::limits::MAX_STRING;

use super::export::Export;
use super::options::ServerOptions;
use crate::error::Error;

#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) options: ServerOptions,
    pub(super) exports: Vec<Export>,
}

impl Site {
    /// Errors if two exports have the same name, or one a name that no client can be told: "no longer than 4096
    /// bytes", and without NUL (spec, *Conventions*).
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.exports.iter().any(|export| export.name().len() > MAX_STRING || export.name().contains('\0')) {
            return Err(Refused::String { field: Field::ExportName }.into());
        }
        let mut names: Vec<_> = self.exports.iter().map(Export::name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::DuplicateExport { name: pair[0].to_owned() }),
            None => Ok(()),
        }
    }
}
