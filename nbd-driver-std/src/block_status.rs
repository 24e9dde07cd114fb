//! A walk over a range of the export.

use std::ops::Range;

use nbd_proto::transmission::Extent;
use nbd_proto::wire::number::ContextId;

use crate::client::Client;
use crate::error::Error;

/// Iterator over what one metadata context says of a range, from its start to its end without a gap.
///
/// Each step may be a request to the server. Neighbours with the same flags are not joined. After an error the
/// iterator has ended. Holds what one reply brought: at most 2^20 extents.
#[derive(Debug)]
pub struct BlockStatus<'a> {
    client: &'a Client,
    context: ContextId,
    range: Range<u64>,
    /// Whether the server has answered.
    under_way: bool,
    extents: std::vec::IntoIter<Extent>,
}

impl<'a> BlockStatus<'a> {
    pub(crate) fn new(client: &'a Client, context: ContextId, range: Range<u64>) -> Self {
        Self { client, context, range, under_way: false, extents: Vec::new().into_iter() }
    }

    /// Whether an extent ends before what is still wanted. (One that has a start has an end.)
    fn is_behind(&self, extent: &Extent) -> bool {
        extent.offset.saturating_add(extent.length) <= self.range.start
    }

    fn end(&mut self, error: Error) -> Error {
        self.range.start = self.range.end;
        error
    }
}

impl Iterator for BlockStatus<'_> {
    type Item = Result<Extent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.range.is_empty() {
            for extent in self.extents.by_ref() {
                // Cut to what is still wanted: a request may have had to begin before it, and servers go on behind.
                let start = extent.offset.max(self.range.start);
                let end = extent.offset.saturating_add(extent.length).min(self.range.end);
                if start < end {
                    self.range.start = end;
                    return Some(Ok(Extent { offset: start, length: end - start, flags: extent.flags }));
                }
            }
            match self.client.context_status(self.context, &self.range, self.under_way) {
                // Asked again, the server would say the same again.
                Ok(extents) if extents.iter().all(|extent| self.is_behind(extent)) => {
                    return Some(Err(self.end(Error::Unsupported("the server's block status does not get on"))));
                }
                Ok(extents) => {
                    self.under_way = true;
                    self.extents = extents.into_iter();
                }
                Err(error) => return Some(Err(self.end(error))),
            }
        }
        None
    }
}
