//! What all connections of a server share, and never change.

use super::export::Export;
use super::options::ServerOptions;
use crate::error::Error;

#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) options: ServerOptions,
    pub(super) exports: Vec<Export>,
}

impl Site {
    /// Errors if two exports have the same name.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut names: Vec<_> = self.exports.iter().map(Export::name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::DuplicateExport { name: pair[0].to_owned() }),
            None => Ok(()),
        }
    }
}
